"""How callers are asked who they are: what the settings say, or what goes by itself where the service listens."""

from __future__ import annotations

import ipaddress
from typing import Literal, get_args

from ..logs import logger
from ..settings import Settings
from .base import Reviewer
from .limits import Limits, Rates

Mode = Literal["none", "token", "keys"]

USUAL = Rates(requests=6000, submissions=600, open=1000)
"""What one caller may where nothing else is set: a scheduler of thousands of inspections, but not two of them."""

UNDECIDED = (
    "AMUN_HOST is {host}, which others can reach, and nothing says how they prove who they are: set AMUN_API_KEYS to a "
    "file of keys (`amun key` makes them), or AMUN_AUTH to `token` where there is a cluster to review tokens, or "
    "AMUN_AUTH=none to let everybody in."
)


class Undecided(ValueError):
    """The settings do not say how callers are asked, or what they say cannot be done. One sentence for a person."""


def mode(settings: Settings) -> Mode:
    """How callers are asked. Raises `Undecided`; whoever starts the service says so and does not start it."""
    match settings.auth:
        case "none" | "token" | "keys" as chosen:
            return chosen
        case "auto":
            return _by_itself(settings)
    known = ", ".join(("auto", *get_args(Mode)))
    raise Undecided(f"AMUN_AUTH is {settings.auth!r}; there are: {known}.")


def _by_itself(settings: Settings) -> Mode:
    if is_loopback(settings.host):
        return "none"
    if _has_cluster(settings):
        return "token"
    if settings.api_keys is not None:
        return "keys"
    raise Undecided(UNDECIDED.format(host=settings.host or "empty"))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there. Names count as reachable, but for ``localhost``."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _has_cluster(settings: Settings) -> bool:
    """Whether the inspections are on a cluster, which can then review the tokens of its users."""
    if settings.engine != "auto":
        return settings.engine != "podman"
    from ..engines.openshift.cluster import in_cluster

    return in_cluster()


def reviewer(settings: Settings) -> Reviewer | None:
    """Who tells whose a credential is; None where nobody is asked. Raises `Undecided`."""
    chosen = mode(settings)
    if chosen == "token":
        return _of_tokens(settings)
    if chosen == "keys":
        return _of_keys(settings)
    if settings.auth == "none":
        logger.warning("nobody is asked who they are (AMUN_AUTH=none)", host=settings.host)
    return None


def _of_keys(settings: Settings) -> Reviewer:
    from .keys import KeyFile

    if settings.api_keys is None:
        raise Undecided("AMUN_AUTH is keys: set AMUN_API_KEYS to the file they are in (`amun key` makes them).")
    keys = KeyFile(settings.api_keys, _names(settings.auth_admins))
    try:
        keys.check()
    except ValueError as exc:
        raise Undecided(f"AMUN_API_KEYS cannot be used: {exc}.") from exc
    return keys


def _of_tokens(settings: Settings) -> Reviewer:
    from ..errors import EngineUnavailable
    from .cluster import Access, reviewer
    from .memory import Remembering

    try:
        access = Access.parse(settings.auth_access)
        admin = Access.parse(settings.auth_admin_access) if settings.auth_admin_access else None
        asked = reviewer(settings, access, admin, _names(settings.auth_admins))
    except (ValueError, EngineUnavailable) as exc:
        raise Undecided(f"Tokens cannot be reviewed: {exc}") from exc
    return Remembering(asked, settings.auth_cache)


def _names(listed: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip() for name in listed.split(","))))


def limits(settings: Settings) -> Limits:
    """What one caller may: as set, else the usual; any number where only this machine asks, and is not asked."""
    usual = Rates() if mode(settings) == "none" and is_loopback(settings.host) else USUAL
    return Limits(
        Rates(
            requests=_set_or(settings.request_rate, usual.requests),
            submissions=_set_or(settings.submission_rate, usual.submissions),
            open=_set_or(settings.open_limit, usual.open),
        )
    )


def _set_or(value: int | None, usual: int) -> int:
    return usual if value is None else value
