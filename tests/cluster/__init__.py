"""A cluster in the test process: an API server that speaks HTTP as OpenShift's does, for what Amun uses of it.

`store` keeps the objects and knows no HTTP; `apiserver` serves them; `world` plays the controllers and the kubelet.
What it answers is held against what a real one answered: `recorded/`, and the schemas of the real servers.
"""
