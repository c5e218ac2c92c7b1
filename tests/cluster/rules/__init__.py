"""What objects are filled in with and checked for before they are kept, and who may do what."""
