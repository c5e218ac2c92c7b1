"""What one item leaves: its report, from the frames in its log and from what the engine knows of its container.

The engine's word counts for what it saw itself: exit code, times, the kill for memory, whether there was time enough
for a deadline. Frames are the image's word, which may be forged; they tell the rest, and the report names it
(`unverified`). What neither knows is null. Whatever the script or the image did to what they left, there is a report,
with every field of its schema and every field of its type.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from amun.model import timestamps
from amun.model.metric_path import take_not_finite
from amun.model.specification import Hardware
from amun.model.thresholds import Thresholds

from . import disturbance, kernel_counters
from . import hardware_match as compare
from .log_frames import Frame

USAGE = (
    *("ru_utime", "ru_stime", "ru_maxrss", "ru_ixrss", "ru_idrss", "ru_isrss", "ru_minflt", "ru_majflt"),
    *("ru_nswap", "ru_inblock", "ru_oublock", "ru_msgsnd", "ru_msgrcv", "ru_nsignals", "ru_nvcsw", "ru_nivcsw"),
)
"""The fields of getrusage(2): seconds, KiB and counts."""

KILLED = 128 + signal.SIGKILL
"""The exit code of what the kernel kills, and of an item of which nobody knows how it ended."""

DEEPEST = 200
"""Levels of nesting in what a script prints. JSON that is deeper breaks its readers, ours among them."""

LARGE = 1 << 20
"""Characters of JSON that are read whatever they are made of."""

MOST_PARTS = 100_000
"""Lists and objects in what is larger than that: each takes twenty times the room that its two brackets took."""

MOST_VALUES = 1_000_000
"""Values in them."""

MOST_PACKAGES = 20_000
"""Installed packages that are listed."""

APART = 2.0
"""Seconds that runner and engine may be apart in when a script began, ended or was late: a cluster's times are whole
seconds, and between a container's times and its script's lies what runner and runtime do."""

BEFOREHAND = frozenset(
    ("cuda", "hostname", "hwinfo", "os_release", "packages", "python_version", "script_sha256", "start_datetime")
)
"""What runners say of a run before the script begins."""

IMAGE_SAYS = (
    *("signal", "stdout", "not_finite", "stdout_text", "stderr", "truncated", "hwinfo", "hardware_match", "os_release"),
    *("runtime_environment", "packages", "usage", "hostname", "quality", "reasons", "kernel"),
)
"""Fields of a report that only the image can tell."""

PLATFORM = frozenset(
    {
        "ContainerStatusUnknown",
        "DeletionByPodGC",
        "DeletionByTaintManager",
        "Evicted",
        "EvictionByEvictionAPI",
        "NodeLost",
        "NodeShutdown",
        "PodDeleted",
        "Preempting",
        "PreemptionByScheduler",
        "Shutdown",
        "Terminated",
        "TerminationByKubelet",
        "UnexpectedAdmissionError",
    }
)
"""Engines' words for what befalls a run through no fault of its own."""

CANNOT_START = frozenset({"ContainerCannotRun", "RunContainerError", "StartError"})
"""Engines' words for an image in which not even the runner could be started: one without /bin/sh, mostly."""


@dataclass(frozen=True)
class Outcome:
    """What the engine knows of an item's container; None is what it does not know. Times are RFC 3339.

    `weak_limits` says how those limits were enforced that no control group did, as in `ItemState`.
    """

    exit_code: int | None = None
    reason: str | None = None
    oom_killed: bool | None = None
    started_at: str | None = None
    finished_at: str | None = None
    hostname: str | None = None
    weak_limits: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Verdict:
    """How an item ended: `succeeded`, `failed` (the script's fault) or `error` (the platform's), why, and in words."""

    phase: Literal["succeeded", "failed", "error"]
    reason: str
    message: str | None = None


def assemble(
    frames: Iterable[Frame],
    outcome: Outcome,
    script_sha256: str,
    hardware: Hardware | None = None,
    limit: int | None = None,
    thresholds: Thresholds | None = None,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Return the report of an item that is over.

    :param frames: all frames of its log. What runners say before the script begins (`BEFOREHAND`) counts as it was said
        first; of all else, what was said last.
    :param script_sha256: hex digest of the script that was sent, for when the runner does not say which one ran.
    :param hardware: what was requested for the run.
    :param limit: bytes of each stream that it carries at most; it says so where there were more.
    :param thresholds: from what on the item counts as disturbed.
    :param timeout: seconds that the script had.
    """
    output, ran, cut = _collect(frames, limit)
    stdout, stderr = (bytes(data).decode("utf-8", "replace") for data in output.values())
    printed, not_finite = read_object(stdout)
    hwinfo = _hwinfo(ran.get("hwinfo"))
    started, ended = _times(ran, outcome)
    usage = _usage(ran.get("usage"))
    return {
        **_ending(ran, outcome, cut, timeout),
        "stdout": printed or {},
        "not_finite": not_finite,
        "stdout_text": stdout,
        "stderr": stderr,
        "script_sha256": _text(ran.get("script_sha256")) or script_sha256,
        "hwinfo": hwinfo,
        **_software(ran, hwinfo),
        "usage": usage,
        "hostname": _text(ran.get("hostname")) or outcome.hostname,
        "datetime": started,
        "start_datetime": started,
        "end_datetime": ended,
        "hardware_match": compare.matches(hardware, hwinfo),
        "weak_limits": None if outcome.weak_limits is None else dict(outcome.weak_limits),
        **_quality(ran.get("kernel"), usage, _between(started, ended), thresholds or Thresholds()),
        "unverified": _unverified(ran, outcome),
    }


def _collect(frames: Iterable[Frame], limit: int | None) -> tuple[dict[str, bytearray], dict[str, Any], set[str]]:
    """Put together the frames of each stream and the runner's account; also says which streams were cut."""
    output = {"stdout": bytearray(), "stderr": bytearray()}
    account: dict[str, Any] = {}
    known: dict[str, Any] = {}
    cut = set()
    for frame in frames:
        if frame.stream == "report":
            said = parse_object(frame.data.decode("utf-8", "replace")) or {}
            cut |= _true_of(said.pop("truncated", None))
            known = {name: said[name] for name in BEFOREHAND & said.keys()} | known
            account |= said | known
            continue
        kept = output[frame.stream]
        if limit is not None and len(kept) + len(frame.data) > limit:
            cut.add(frame.stream)
        kept += frame.data if limit is None else frame.data[: max(0, limit - len(kept))]
    return output, account, cut


def _true_of(flags: object) -> set[str]:
    return {name for name, flag in flags.items() if flag is True} if isinstance(flags, dict) else set()


def _ending(ran: Mapping[str, Any], outcome: Outcome, cut: set[str], timeout: float | None) -> dict[str, Any]:
    code = outcome.exit_code if outcome.exit_code is not None else _integer(ran.get("exit_code"))
    code = KILLED if code is None else code
    late = ran.get("deadline_exceeded") is True and _had_time(outcome, timeout)
    return {
        "exit_code": code,
        "signal": _signal(ran, code),
        "oom_killed": _told_oom_killed(ran, code) if (known := _oom_killed(outcome)) is None else known,
        "deadline_exceeded": late or outcome.reason == "DeadlineExceeded",
        "truncated": {stream: stream in cut for stream in ("stdout", "stderr")},
    }


def _oom_killed(outcome: Outcome) -> bool | None:
    return outcome.reason == "OOMKilled" or outcome.oom_killed


def _told_oom_killed(ran: Mapping[str, Any], code: int) -> bool:
    """Whether the runner says so, of a run that ended as one does which the kernel kills."""
    return ran.get("oom_killed") is True and code == KILLED


def _had_time(outcome: Outcome, timeout: float | None) -> bool:
    """Whether a container ran for as long as a script that came to its deadline, as far as the engine knows."""
    lasted = _between(outcome.started_at, outcome.finished_at)
    return lasted is None or timeout is None or lasted + APART >= timeout


def _signal(ran: Mapping[str, Any], code: int) -> str | None:
    """The signal that the exit code stands for, if the runner says that it was one."""
    name = _signal_name(code)
    if "exit_code" not in ran:
        return name
    said = _text(ran.get("signal"))
    return said if said in (name, f"SIG{code - 128}") else None


def _times(ran: Mapping[str, Any], outcome: Outcome) -> tuple[str | None, str | None]:
    """When the script began and ended: by its runner, which knows better than to a second what is the script's and what
    is its own, as long as the engine's times bear it out; else when its container did."""
    told = _moment(ran.get("start_datetime")), _moment(ran.get("end_datetime"))
    known = outcome.started_at, outcome.finished_at
    if (_between(*known) or 0) < 0:  # engines take both from clocks that tick at different rates
        known = known[0], known[0]
    if not all(map(_borne_out, told, known)) or (_between(*told) or 0) < 0:
        return known
    return told[0] or known[0], told[1] or known[1]


def _borne_out(told: str | None, known: str | None) -> bool:
    apart = _between(told, known)
    return apart is None or abs(apart) <= APART


def _unverified(ran: Mapping[str, Any], outcome: Outcome) -> list[str]:
    """The fields that nobody can vouch for but the image."""
    unknown = {
        "exit_code": outcome.exit_code is None,
        "oom_killed": _oom_killed(outcome) is None
        and ran.get("oom_killed") is True
        and outcome.exit_code in (KILLED, None),
        "deadline_exceeded": ran.get("deadline_exceeded") is True and outcome.reason != "DeadlineExceeded",
        "datetime": outcome.started_at is None,
        "start_datetime": outcome.started_at is None,
        "end_datetime": outcome.finished_at is None,
    }
    return [*(name for name, is_so in unknown.items() if is_so), *IMAGE_SAYS]


def _signal_name(exit_code: int) -> str | None:
    try:
        return signal.Signals(exit_code - 128).name
    except ValueError:
        return None


def _hwinfo(text: object) -> dict[str, Any]:
    hwinfo = (parse_object(text) if isinstance(text, str) else None) or {}
    hwinfo = {
        name: part if isinstance(part, list if name == "gpus" else dict) else None for name, part in hwinfo.items()
    }
    if hwinfo.get("gpus"):
        hwinfo["gpus"] = [gpu for gpu in hwinfo["gpus"] if isinstance(gpu, dict)]
    features = hwinfo.get("cpu_features")
    flags = features.get("flags") if isinstance(features, dict) else None
    if isinstance(features, dict) and isinstance(flags, list):
        features["flags"] = sorted(set(map(str, flags)))
    return hwinfo


def _software(ran: Mapping[str, Any], hwinfo: Mapping[str, Any]) -> dict[str, Any]:
    release = parse_os_release(_text(ran.get("os_release")))
    cpu = hwinfo.get("cpu_info")
    cpu = cpu if isinstance(cpu, dict) else {}
    system = release or {}
    return {
        "os_release": release,
        "runtime_environment": {
            "hardware": {"cpu_family": _integer(cpu.get("family")), "cpu_model": _integer(cpu.get("model"))},
            "operating_system": {"name": system.get("id"), "version": system.get("version_id")},
            "python_version": _text(ran.get("python_version")),
            "cuda_version": _cuda_version(_text(ran.get("cuda"))),
        },
        "packages": parse_packages(_text(ran.get("packages"))),
    }


def _usage(used: object) -> dict[str, int | float | None]:
    used = used if isinstance(used, dict) else {}
    numbers = {name: used.get(name) for name in USAGE}
    return {
        name: number if isinstance(number, int | float) and not isinstance(number, bool) else None
        for name, number in numbers.items()
    }


def _between(started: str | None, ended: str | None) -> float | None:
    """Seconds, negative where the end comes before the start; None where one of them is no moment."""
    if started is None or ended is None:
        return None
    with contextlib.suppress(ValueError):
        return timestamps.seconds(ended) - timestamps.seconds(started)
    return None


def _quality(said: object, usage: Mapping[str, Any], wall: float | None, thresholds: Thresholds) -> dict[str, Any]:
    counted = kernel_counters.parse(said)
    found, reasons = disturbance.assess(counted, usage, wall, thresholds)
    return {"quality": found, "reasons": reasons, "kernel": counted}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _moment(value: object) -> str | None:
    """RFC 3339 as the runner writes it."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", value, re.ASCII):
        with contextlib.suppress(ValueError):
            return value if datetime.fromisoformat(value) else None
    return None


def parse_os_release(text: str | None) -> dict[str, str] | None:
    """Parse os-release(5) into its variables, named in lower case."""
    if text is None:
        return None
    variables = re.findall(r"^[ \t]*([A-Za-z_]\w*)=(.*)$", text, re.MULTILINE | re.ASCII)
    return {name.lower(): _unquote(value.strip()) for name, value in variables}


def parse_packages(text: str | None) -> dict[str, dict[str, str]] | None:
    """Parse what the build noted (`packages.sh`) into versions by name, of ``native`` and ``python``."""
    if text is None:
        return None
    found: dict[str, dict[str, str]] = {"native": {}, "python": {}}
    for entry in text.split(";")[:MOST_PACKAGES]:
        kind, name, version, *_ = [*entry.split(" "), "", "", ""]
        if kind in found and name and version:
            found[kind][name] = version
    return found


def _unquote(value: str) -> str:
    quote = value[:1]
    if quote in ("'", '"') and len(value) > 1 and value.endswith(quote):
        value = value[1:-1]
    return value if quote == "'" else re.sub(r"\\([\\$\"'`])", r"\1", value)


def _cuda_version(text: str | None) -> str | None:
    """Return MAJOR.MINOR from the toolkit's version.json (CUDA 11 on) or version.txt."""
    cuda = (parse_object(text or "") or {}).get("cuda")
    version = str(cuda.get("version")) if isinstance(cuda, dict) else (text or "")
    found = re.search(r"\d+\.\d+", version)
    return found.group() if found else None


def parse_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that is all of `text`; None if there is anything else. See `read_object`."""
    return read_object(text)[0]


def read_object(text: str) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the JSON object that is all of `text`, and the paths of the numbers in it that are null for not being
    finite; None if there is anything else.

    What would take many times its own size to read counts as anything else. Python's reader takes more than JSON: NaN
    and Infinity, numbers beyond the range of a double, halves of surrogate pairs. The first two become null, the last
    are replaced, so that what was read can be written again.
    """
    if not text.lstrip().startswith("{") or not _bearable(text):
        return None, []
    try:
        document = json.loads(text, parse_int=_integer_or_infinity)
        if not isinstance(document, dict) or _deeper(document, DEEPEST):
            return None, []
        if "\\u" in text:
            whole = re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", json.dumps(document, ensure_ascii=False))
            document = json.loads(whole, parse_int=_integer_or_infinity)
    except (ValueError, RecursionError):
        return None, []
    return document, take_not_finite(document)


def _bearable(text: str) -> bool:
    parts, values = text.count("{") + text.count("["), text.count(",")
    return len(text) <= LARGE or (parts <= MOST_PARTS and values <= MOST_VALUES)


def _integer_or_infinity(text: str) -> int | float:
    number = float(text)
    return int(text) if math.isfinite(number) else number


def _deeper(document: object, levels: int) -> bool:
    level = [document]
    while level and levels:
        levels -= 1
        level = [child for parent in level for child in _children(parent)]
    return bool(level)


def _children(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def verdict(
    report: Mapping[str, Any], outcome: Outcome, hardware: Hardware | None = None, script_sha256: str | None = None
) -> Verdict:
    """Say how an item ended, from its report, what the engine knows, the hardware requested and the script sent."""
    if script_sha256 not in (None, report["script_sha256"]):
        return Verdict("error", "ScriptMismatch", "The script that ran is not the one that was sent.")
    wrong = compare.mismatches(hardware, report["hwinfo"])
    if wrong:
        return Verdict("error", "HardwareMismatch", " ".join(wrong))
    if outcome.reason == "PodDeleted":
        return Verdict("error", "PodDeleted", "Somebody has deleted the pod of the run.")
    if outcome.reason in PLATFORM:
        return Verdict("error", outcome.reason or "", "The platform ended the run; it may be tried again.")
    if outcome.reason == "Cancelled":
        return Verdict("failed", "Cancelled", "The run was cancelled.")
    if outcome.reason == "StorageLimitExceeded":
        return Verdict("failed", "StorageLimitExceeded", "The run wrote more to its disk than it may.")
    if report["exit_code"] and report["oom_killed"]:
        return Verdict("failed", "OOMKilled", "The run needed more memory than it had requested.")
    if outcome.reason == "DiskFull":
        return Verdict("error", "DiskFull", "The disk of the service was full.")
    if report["deadline_exceeded"]:
        return Verdict("failed", "DeadlineExceeded", "The script was still running at its deadline.")
    if report["usage"]["ru_utime"] is None:
        return _unreported(outcome)
    if report["exit_code"]:
        how = f"was ended by {report['signal']}" if report["signal"] else f"exited with code {report['exit_code']}"
        return Verdict("failed", "NonZeroExit", f"The script {how}.")
    return Verdict("succeeded", "Completed")


def _unreported(outcome: Outcome) -> Verdict:
    # 126 to 128 is what container runtimes exit with when they cannot start a program.
    if outcome.reason in CANNOT_START or outcome.exit_code in (126, 127, 128):
        message = "The image cannot run a POSIX shell at /bin/sh."
        return Verdict("failed", outcome.reason or "ContainerCannotRun", message)
    known = outcome.reason if outcome.reason not in (None, "Error", "Completed") else None
    return Verdict("error", known or "NoReport", "The run ended without a report of its runner.")
