"""The use cases without HTTP, and the controller's loop."""
