"""Builds by `podman build`: their processes, their networks, their base images."""
