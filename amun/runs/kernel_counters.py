"""What the kernel counted before and after an item: the runner's account of it, read into numbers.

The runner reports what a few files of /proc and /sys say as text (`amun/runs/programs/runner.py`), and whoever forges a
report may put anything in its place. What is read here is numbers that are finite and not negative, by the names below;
what is anything else is left out. All of them are counters since some moment in the past unless said otherwise, so that
the difference of two snapshots is what happened in between.

==================  ====================================================================================================
``monotonic``       seconds
``cpus``            how many processors there are
``ticks``           hundredths of seconds of all processors by what they did: user, nice, system, idle, iowait, irq,
                    softirq, steal
``switches``        context switches of the machine
``load``            its load averages over 1, 5 and 15 minutes; no counters
``pressure``        of cpu, memory, io: microseconds in which ``some`` program of the machine stood still for want of
                    it, or all of them (``full``)
``paged``           KiB read from disks (``in``) and written to them (``out``)
``cgroup``          the container's own: ``pressure`` as above, ``usage_us`` (CPU time), ``periods``,
                    ``throttled_periods``, ``throttled_us`` (on each processor by itself), and its limit
                    ``quota_us`` in each ``period_us``; no quota is no limit
``script``          of the first thread of the script's process: ``running_ns``, ``waiting_ns`` for a processor
``frequency_hz``    of the processor that the runner or, afterwards, the script was on; no counter
``thermal_events``  how often a processor was slowed down for being hot
==================  ====================================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

GROUP = "/sys/fs/cgroup/"
RESOURCES = ("cpu", "memory", "io")
TICKS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")

LONGEST = 4096
"""Characters of one text that are read; none of them is half as long."""

Snapshot = dict[str, Any]


def parse(account: object) -> dict[str, Snapshot | None]:
    """Return the snapshots ``before`` and ``after`` of what a runner said, None for one that says nothing."""
    said = account if isinstance(account, Mapping) else {}
    return {moment: snapshot(said.get(moment)) or None for moment in ("before", "after")}


def snapshot(texts: object) -> Snapshot:
    """Return what was counted at one moment, of texts by the paths of the files that said it."""
    said = {str(key): text for key, text in texts.items()} if isinstance(texts, Mapping) else {}
    known = {key: text for key, text in said.items() if isinstance(text, str) and len(text) <= LONGEST}
    found = {
        "monotonic": _first(known.get("monotonic") or known.get("/proc/uptime")),
        "cpus": _listed(known.get("/sys/devices/system/cpu/online")),
        "ticks": _ticks(_fields(known.get("/proc/stat")).get("cpu", [])),
        "switches": _one(_fields(known.get("/proc/stat")), "ctxt"),
        "load": _load(known.get("/proc/loadavg")),
        "pressure": {name: _pressure(known.get(f"/proc/pressure/{name}")) for name in RESOURCES},
        "paged": _named(_fields(known.get("/proc/vmstat")), {"in": "pgpgin", "out": "pgpgout"}),
        "cgroup": _group(known),
        "script": _script(known.get("schedstat")),
        "frequency_hz": _frequency(known.get("frequency")),
        "thermal_events": _sum(known.get("thermal_throttles")),
    }
    cleaned = _without_nothing(found)
    return cleaned if isinstance(cleaned, dict) else {}


def _without_nothing(value: Any) -> Any:
    """Leave out what is None or empty, at every level."""
    if not isinstance(value, Mapping):
        return value
    cleaned = {name: _without_nothing(part) for name, part in value.items()}
    return {name: part for name, part in cleaned.items() if part is not None and part not in ({}, [])}


def _number(text: str) -> float | None:
    """A number as the kernel writes it: one of 18 digits at most can be told from its neighbours, or nearly so."""
    return float(text) if re.fullmatch(r"\d{1,18}(\.\d{1,9})?", text, re.ASCII) else None


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _first(text: str | None) -> float | None:
    words = (text or "").split(maxsplit=1)
    return _number(words[0]) if words else None


def _fields(text: str | None) -> dict[str, list[str]]:
    """Return the words of each line by the first of them."""
    lines = [line.split() for line in (text or "").splitlines()]
    return {words[0]: words[1:] for words in lines if words}


def _one(fields: Mapping[str, list[str]], name: str) -> int | None:
    words = fields.get(name) or [""]
    return _whole(_number(words[0]))


def _named(fields: Mapping[str, list[str]], names: Mapping[str, str]) -> dict[str, int | None]:
    return {name: _one(fields, field) for name, field in names.items()}


def _ticks(words: list[str]) -> dict[str, int | None]:
    return {name: _whole(_number(word)) for name, word in zip(TICKS, words, strict=False)}


def _listed(text: str | None) -> int | None:
    """How many there are in a list of ranges: ``0-3,8``."""
    ranges = re.findall(r"(\d{1,5})(?:-(\d{1,5}))?", text or "", re.ASCII)
    return sum(max(0, int(last or first) - int(first) + 1) for first, last in ranges) or None


def _load(text: str | None) -> list[float] | None:
    averages = [_number(word) for word in (text or "").split()[:3]]
    known = [average for average in averages if average is not None]
    return known if len(known) == 3 else None


def _pressure(text: str | None) -> dict[str, int | None]:
    totals = {name: dict(_pairs(words)).get("total", "") for name, words in _fields(text).items()}
    return {name: _whole(_number(totals.get(name, ""))) for name in ("some", "full")}


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (word.partition("=") for word in words)]


def _group(known: Mapping[str, str]) -> dict[str, Any]:
    second = f"{GROUP}cpu.stat" in known
    counted = _fields(known.get(GROUP + ("cpu.stat" if second else "cpu/cpu.stat")))
    found: dict[str, Any] = _named(counted, {"periods": "nr_periods", "throttled_periods": "nr_throttled"})
    if second:
        quota, period = [*known.get(f"{GROUP}cpu.max", "").split(), "", ""][:2]
        pressure = {name: _pressure(known.get(f"{GROUP}{name}.pressure")) for name in RESOURCES}
        found |= _named(counted, {"usage_us": "usage_usec", "throttled_us": "throttled_usec"}) | {"pressure": pressure}
    else:
        quota, period = (known.get(f"{GROUP}cpu/cpu.cfs_{name}_us", "").strip() for name in ("quota", "period"))
        found["usage_us"] = _thousandth(_first(known.get(f"{GROUP}cpuacct/cpuacct.usage")))
        found["throttled_us"] = _thousandth(_one(counted, "throttled_time"))
    return found | {"quota_us": _whole(_number(quota)), "period_us": _whole(_number(period))}


def _thousandth(number: float | None) -> int | None:
    return None if number is None else int(number // 1000)


def _script(text: str | None) -> dict[str, int | None]:
    words = [*(text or "").split(), "", ""]
    return {"running_ns": _whole(_number(words[0])), "waiting_ns": _whole(_number(words[1]))}


def _frequency(text: str | None) -> int | None:
    """Kilohertz as cpufreq has them, or megahertz after a colon as /proc/cpuinfo does."""
    _, colon, megahertz = (text or "").partition(":")
    number = _first(megahertz if colon else text)
    return None if number is None else int(number * (1_000_000 if colon else 1000))


def _sum(text: str | None) -> int | None:
    counts = [_number(word) for word in (text or "").split()]
    known = [count for count in counts if count is not None]
    return int(sum(known)) if known else None
