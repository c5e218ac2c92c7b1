"""The identity of an environment: computed from all that goes into the image, and from nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def environment_digest(context: Mapping[str, bytes], base_digest: str | None) -> str:
    """Return ``sha256:`` and 64 hexadecimal digits.

    `context` is the build context (see dockerfile.py); `base_digest` is what the base image resolved to, such as
    ``sha256:…``, or None where the engine cannot tell. Lengths are hashed with the bytes, so that nothing can pass for
    the end of one thing and the beginning of the next.
    """
    digest = hashlib.sha256()
    named = (part for name in sorted(context) for part in (name.encode(), context[name]))
    for part in ((base_digest or "").encode(), *named):
        digest.update(len(part).to_bytes(8, "big") + part)
    return f"sha256:{digest.hexdigest()}"
