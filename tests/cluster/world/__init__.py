"""What happens in a cluster behind its API server: build controller, Job controller, scheduler and kubelet.

They act on the store as the real ones do, with the words that were recorded of them. Run pods are processes of this
machine, without containers around them; builds interpret the Dockerfile only as far as tests can see.
"""

from .world import Latencies, World

__all__ = ["Latencies", "World"]
