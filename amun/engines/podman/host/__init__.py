"""What this machine and its Podman can do, and what Amun chose."""
