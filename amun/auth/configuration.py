"""How callers are asked who they are: what the settings say, or what goes by itself where the service listens."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Literal, get_args

from amun.errors import EngineUnavailable
from amun.settings import Settings
from amun.telemetry.logs import logger

from .api_keys import KeyFile
from .callers import Reviewer
from .permission import Access
from .rate_limits import Limits, Rates
from .review_cache import Remembering

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
    if settings.on_cluster:  # which can review the tokens of its users
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


def check(settings: Settings) -> None:
    """Raise `Undecided` unless callers can be asked as the settings say, as far as that is known without a cluster."""
    chosen = mode(settings)
    if chosen == "keys":
        _of_keys(settings)
    elif chosen == "token":
        _rights(settings)


def check_listening(settings: Settings, hosts: Iterable[str]) -> None:
    """Raise `Undecided` if nobody is asked for AMUN_HOST being loopback, and others can reach one of `hosts`."""
    reachable = [host for host in hosts if not is_loopback(host)]
    if reachable and settings.auth == "auto" and is_loopback(settings.host):
        raise Undecided(f"AMUN_HOST is {settings.host}, but the API listens on {reachable[0]}: set AMUN_HOST to that.")


def _of_keys(settings: Settings) -> KeyFile:
    if settings.api_keys is None:
        raise Undecided("AMUN_AUTH is keys: set AMUN_API_KEYS to the file they are in (`amun key` makes them).")
    keys = KeyFile(settings.api_keys, _names(settings.auth_admins))
    try:
        keys.inspect()
    except ValueError as exc:
        raise Undecided(f"AMUN_API_KEYS cannot be used: {exc}.") from exc
    return keys


def _of_tokens(settings: Settings) -> Reviewer:
    from .token_review import reviewer  # with the libraries of clusters

    try:
        asked = reviewer(settings, *_rights(settings), _names(settings.auth_admins))
    except EngineUnavailable as exc:
        raise Undecided(f"Tokens cannot be reviewed: {exc}") from exc
    return Remembering(asked, settings.auth_cache)


def _rights(settings: Settings) -> tuple[Access, Access | None]:
    """The right that callers need, and the one of those who see all."""
    admin = settings.auth_admin_access
    return _right("AMUN_AUTH_ACCESS", settings.auth_access), _right("AMUN_AUTH_ADMIN_ACCESS", admin) if admin else None


def _right(name: str, text: str) -> Access:
    try:
        return Access.parse(text)
    except ValueError as exc:
        raise Undecided(f"{name} cannot be used: {exc}.") from exc


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
