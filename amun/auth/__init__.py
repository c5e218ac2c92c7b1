"""Getting in: who asks, what they may see, and how much they may ask."""
