"""What any cluster has: records, Jobs, pods, logs, nodes. How images are built is left to a builder."""
