"""From a specification to a build context and its digest, and what a build's log says."""
