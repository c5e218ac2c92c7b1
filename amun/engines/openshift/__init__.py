"""OpenShift: environments by its build API, items by Jobs, all state in objects of one namespace."""
