"""The embedded engine: real containers on this machine, by Podman."""
