"""The objects of a cluster: kept, numbered, watched, selected, patched, collected."""
