"""The build controller and the builder."""
