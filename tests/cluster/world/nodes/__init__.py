"""Scheduler, kubelets, and the containers of pods."""
