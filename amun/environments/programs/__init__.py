"""Programs that travel in the build context and run inside the build: nothing here is imported by the service."""
