"""Why a build failed, from its log: of `podman build` and buildah, and of OpenShift's builder, which runs buildah too.

All of them print ``STEP 4/12: RUN …`` before a step and, last of all, an error that names the step once more.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from . import failures
from .dockerfile import HELPERS, PURPOSES

_MAX = 500  # characters of a tool's line that go into a message

_STEP = re.compile(r"^STEP (?P<number>\d+)/(?P<total>\d+): (?P<text>.*)$", re.MULTILINE)
_FAILED = re.compile(r'^(?:Error|error): .*?building at STEP "(?P<text>.*)": (?P<cause>.*)$', re.MULTILINE)
_PULL = re.compile(
    r"^(?:Error|error): .*?(?:initializing source|copying system image|short-name|failed to pull image).*$",
    re.MULTILINE,
)
_ERROR = re.compile(r"^(?:Error|error): (?P<cause>.*)$", re.MULTILINE)
_KILLED = re.compile(r"Killed signal|Killed \(program |container exited on killed")  # gcc, gcc 8 and older, buildah
_DOING = re.compile(r"^(?:Error|error): (?:build error: |creating build container: |initializing source \S+: )*")


class Failure(NamedTuple):
    """A CamelCase word for programs and one sentence for a person."""

    reason: str
    message: str


def failed_step(log: str) -> Failure:
    """Return what made a build fail, by its log.

    The reason is `ErrImagePull` (no such base image, or no way to it), `OutOfMemoryKilled` (a program was killed, which
    a build does for want of memory) or `BuildFailed`. The message names the step and has the tool's own words.
    """
    if failed := failures.last_match(_FAILED, log):
        return _step_failure(log[: failed.start()], failed["text"], failed["cause"])
    if pull := failures.last_match(_PULL, log):
        base = _base(log, pull[0])
        return Failure("ErrImagePull", _sentence(f"The base image{base} could not be pulled: {_cause(pull[0])}"))
    if error := failures.last_match(_ERROR, log):
        return Failure("BuildFailed", _sentence(f"The build failed: {_cause(error[0])}"))
    return Failure("BuildFailed", "The build failed, and its log does not say why.")


def _step_failure(before: str, text: str, cause: str) -> Failure:
    step = failures.last_match(_STEP, before)
    output = before[step.end() :] if step else before
    where = f"step {step['number']}/{step['total']}, " if step else ""
    what = f"{_purpose(text)} failed ({where}{cause.removeprefix('while running runtime: ')})"
    if cause.endswith("exit status 137") or _KILLED.search(output):
        return Failure("OutOfMemoryKilled", _sentence(f"{what}: a program was killed, most likely for want of memory"))
    said = failures.sentence(output)
    return Failure("BuildFailed", _sentence(f"{what}: {said}" if said else what))


def _purpose(text: str) -> str:
    """Say what a step is there for: of a helper program what it does, of any other step its instruction."""
    for name, purpose in PURPOSES.items():
        if f"{HELPERS}/{name}" in text:
            return purpose
    return _shorten(text, 80)


def _base(log: str, error: str) -> str:
    """The base image by the step that names it, or by the error where that came before any step."""
    first = _STEP.search(log)
    if first and first["text"].startswith("FROM "):
        return f" {first['text'].split()[1]}"
    named = re.search(r"docker://(\S+): ", error)
    return f" {named[1]}" if named else ""


def _cause(line: str) -> str:
    """Cut off who was doing what for whom when it went wrong."""
    return _DOING.sub("", line)


def _sentence(text: str) -> str:
    text, half = text.rstrip(), _MAX // 2  # what was done stands in front, the cause at the end
    return (text if len(text) <= _MAX else f"{text[:half]} … {text[-half:]}").rstrip(".") + "."


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
