"""How much one caller may ask: requests and submissions a minute, and inspections that are not over.

Rates are counted in a moving window by each process of the API for itself: with four of them, a caller may come to
four times as many. Who has no name is counted by address, all of one IPv6 network together.
"""

from __future__ import annotations

import functools
import ipaddress
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from amun.errors import TooManyRequests

from .callers import Caller

FAILURES = 30
"""Credentials nobody knew that may come from one address in a minute, before no other is looked at."""

OPEN_PAUSE = 15
"""Seconds after which to come back with one inspection more: nobody knows when one will be over."""

NETWORK = 64
"""Bits of an IPv6 address that say whose it is; the rest is the owner's to choose."""


@dataclass(frozen=True)
class Rates:
    """What one caller may; 0 is any number."""

    requests: int = 0
    submissions: int = 0
    open: int = 0


class Limits:
    """Counts what callers ask. Each method raises `TooManyRequests` where it is too much."""

    def __init__(self, rates: Rates) -> None:
        self._requests = _per_minute(rates.requests, "requests")
        self._submissions = _per_minute(rates.submissions, "submissions")
        self._failures = RateLimitItemPerMinute(FAILURES, namespace="failures")
        self._open = rates.open

    @functools.cached_property
    def _counter(self) -> MovingWindowRateLimiter:
        return MovingWindowRateLimiter(MemoryStorage())  # which starts a thread

    def request(self, caller: Caller) -> None:
        """One more request."""
        self._count(self._requests, account(caller), "requests")

    def submission(self, caller: Caller) -> None:
        """One more submission."""
        self._count(self._submissions, account(caller), "submissions")

    def failure(self, address: str) -> None:
        """One more credential that nobody knew."""
        self._counter.hit(self._failures, _network(address))

    def may_try(self, address: str) -> None:
        """Whether one more credential that is not known may come from there: each costs the cluster a review."""
        if not self._counter.test(self._failures, _network(address)):
            message = "Too many credentials from this address were not valid."
            raise TooManyRequests(message, self._wait(self._failures, _network(address)))

    def opening(self, caller: Caller, unfinished: Callable[[], Sequence[str]]) -> None:
        """One more inspection, beside those of the same caller that are not over: the engine is asked if it matters."""
        if not self._open or caller.name is None:
            return
        number = len(unfinished())
        if number >= self._open:
            message = f"{number} of your inspections are not over yet, and one caller may have {self._open}."
            raise TooManyRequests(message, OPEN_PAUSE)

    def _count(self, limit: RateLimitItem | None, account: str, what: str) -> None:
        if limit is not None and not self._counter.hit(limit, account):
            message = f"Too many {what}: one caller may make {limit.amount} a minute."
            raise TooManyRequests(message, self._wait(limit, account))

    def _wait(self, limit: RateLimitItem, account: str) -> int:
        """Seconds until the oldest of what is counted is a minute old."""
        return max(1, math.ceil(self._counter.get_window_stats(limit, account).reset_time - time.time()))


def _per_minute(number: int, what: str) -> RateLimitItem | None:
    return RateLimitItemPerMinute(number, namespace=what) if number else None


def account(caller: Caller) -> str:
    """What a caller is counted by."""
    return f"name {caller.name}" if caller.name is not None else f"address {_network(caller.address)}"


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, NETWORK), strict=False))
    return str(parsed)


NO_LIMITS = Limits(Rates())
"""Any number of everything."""
