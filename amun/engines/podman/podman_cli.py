"""Calling the podman program: always an argument vector, always a time limit, errors in podman's own words."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amun.errors import EngineUnavailable, Rejected

from .state import files

HOLD = '"$@" </dev/null; exit "$?"'
"""A shell that holds its standard input, a lock, until a command has ended; podman's helpers, which stay, do not."""

NOT_FOUND = 127
"""A shell's exit code where there is no such program; podman has no use for it in what is asked of it here."""

NO_IDS = re.compile("insufficient UIDs or GIDs|not be enough IDs available|newuidmap|newgidmap")
"""What it says to a user who is not root and has no subordinate ids, or too few, or no program to use them by."""

LASTING = re.compile(
    r"toml: |decode configuration|permission denied|read-only file system|database configuration mismatch"
    r"|driver not supported|prerequisites for driver not satisfied|invalid internal status|cannot set up namespace"
    rf"|{NO_IDS.pattern}"
)
"""What podman says of its configuration, its storage and its user, and goes on saying.

Podman 4.3.1 said each when it was given the cause, or others have seen it (tests/unit/engines/test_refusals.py).
"""

LOGGED = re.compile(r'^time=.* level=(?:error|fatal) msg="(.*)"$')
"""How podman prints what befalls it before it knows what it was asked."""

LONGEST_ERROR = 500
"""Characters of an error of podman's that are passed on; it may name a path of any length."""


class PodmanError(EngineUnavailable):
    """Podman ran and refused; the message is the last of what it said."""


class PodmanSlow(EngineUnavailable):
    """Podman did not end in the time that it had, and was killed."""


class PodmanFull(PodmanError, files.DiskFull):
    """Podman had no room on its disk, or on ours."""


class PodmanRejected(PodmanError, Rejected):
    """It will refuse until somebody has mended its configuration, its storage or its rights."""

    status = Rejected.status


NO_ROOM = re.compile(rf"\b({'|'.join(os.strerror(number) for number in files.FULL)})\b", re.IGNORECASE)
"""What programs say then (strerror(3)); Go begins it with a small letter."""


class Podman:
    """The podman program with the configuration that suits this machine."""

    def __init__(self, program: str, environment: Mapping[str, str]) -> None:
        self.program = program
        self.environment = {**os.environ, **environment}

    def call(self, *arguments: str, stdin: bytes | None = None, timeout: float = 120) -> str:
        """Run ``podman ARGUMENTS…`` and return its standard output.

        Raises `PodmanError` if it fails, `PodmanSlow` if it does not end within `timeout` seconds, `EngineUnavailable`
        if it is not there.
        """
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        return self._run([self.program, *arguments], arguments[0], timeout, given)

    def run(self, command: Sequence[str], stdin: bytes = b"", timeout: float = 120) -> str:
        """`call` for a command that calls podman by itself."""
        return self._run(command, "build", timeout, {"input": stdin})

    def call_locked(self, lock: Path, *arguments: str, place: Path, timeout: float = 120) -> str:
        """`call` in a directory, with a lock held until podman has ended, even if this process is killed before."""
        with files.open_locked(lock) as held:
            command = ["/bin/sh", "-c", HOLD, "amun-podman", self.program, *arguments]
            return self._run(command, arguments[0], timeout, {"stdin": held, "cwd": place})

    def _run(self, command: Sequence[str], what: str, timeout: float, given: Mapping[str, Any]) -> str:
        try:
            done = _run_group(command, timeout, env=self.environment, **given)
        except subprocess.TimeoutExpired as exc:
            raise PodmanSlow(f"podman {what} did not answer within {timeout:g} s.") from exc
        except FileNotFoundError as exc:
            raise EngineUnavailable("podman cannot be run: there is no such program.") from exc
        except OSError as exc:
            lasting = isinstance(exc, PermissionError) or exc.errno == errno.ENOEXEC
            raise (Rejected if lasting else EngineUnavailable)(f"podman cannot be run: {exc.strerror}.") from exc
        if done.returncode == NOT_FOUND:
            raise EngineUnavailable("podman cannot be run: there is no such program.")
        if done.returncode != 0:
            error = last_error(done.stderr) or f"podman {what} failed ({done.returncode})."
            raise _kind(error)(error)
        return done.stdout.decode(errors="replace")

    def on_files(self, *command: str, timeout: float) -> bytes:
        """Run a program on files of containers, whoever's they are; returns what it prints, whether it fails or not.

        Raises `subprocess.TimeoutExpired`.
        """
        # Without root they belong to other users, whom Podman can become.
        prefix = () if os.geteuid() == 0 else (self.program, "unshare")
        try:
            done = _run_group([*prefix, *command], timeout, stdin=subprocess.DEVNULL, env=self.environment)
        except OSError as exc:
            raise EngineUnavailable(f"{command[0]} cannot be run: {exc.strerror}.") from exc
        return done.stdout

    def json(self, *arguments: str, timeout: float = 120) -> Any:
        """`call` something that prints JSON."""
        try:
            return json.loads(self.call(*arguments, timeout=timeout) or "null")
        except ValueError as exc:
            raise PodmanError(f"podman {arguments[0]} printed no JSON.") from exc

    def inspect_container(self, name: str) -> dict[str, Any] | None:
        """What `podman container inspect` says of it, None if there is no such container."""
        try:
            found = self.json("container", "inspect", name)
        except PodmanError as exc:
            if "no such container" in str(exc):
                return None
            raise
        document: dict[str, Any] = found[0]
        return document

    def remove_pods(self, names: Sequence[str]) -> None:
        """Kill and remove pods; those that are gone already are fine."""
        command = ("pod", "rm", "--force", "--ignore", "--time", "0", *names)
        if names:
            try:
                self.call(*command)
            except PodmanError:  # the first time it may only find out that a container's monitor was killed
                self.call(*command)


def _kind(error: str) -> type[PodmanError]:
    if NO_ROOM.search(error):
        return PodmanFull
    return PodmanRejected if LASTING.search(error) else PodmanError


def _run_group(
    command: Sequence[str], timeout: float, *, input: bytes | None = None, **given: Any
) -> subprocess.CompletedProcess[bytes]:
    """As `subprocess.run`, but what the command has started ends with it when its time is over.

    It has a session of its own: an interrupt at the terminal must not end containers half-way.
    """
    pipe = subprocess.PIPE
    given |= {"stdout": pipe, "stderr": pipe} | ({} if input is None else {"stdin": pipe})
    with subprocess.Popen(command, start_new_session=True, **given) as process:
        try:
            output, errors = process.communicate(input, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def last_error(stderr: bytes) -> str:
    """The last error in what podman printed, without its log decoration."""
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    if len(lines) > 1 and re.fullmatch(r"Error: failed to start \d+ containers", lines[-1]):
        lines.pop()  # why is what the line before it says
    errors = [line for line in lines if line.startswith("Error:")] or lines[-1:]
    error = errors[-1].removeprefix("Error:").strip() if errors else ""
    if logged := LOGGED.search(error):
        error = re.sub(r"\\(.)", r"\1", logged[1])
    half = LONGEST_ERROR // 2  # what was done stands in front, the cause at the end
    return error if len(error) <= LONGEST_ERROR else f"{error[:half]} … {error[-half:]}"
