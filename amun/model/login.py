"""What a host is asked with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Login:
    """What one host is asked with. A token alone is a user without a password."""

    host: str
    user: str
    password: str
