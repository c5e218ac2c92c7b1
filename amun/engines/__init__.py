"""What builds environments and runs scripts in them: one interface, and an engine for each kind of place."""
