"""HTTP as the API servers of Kubernetes and OpenShift speak it."""
