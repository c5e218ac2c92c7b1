"""A container that is a process of this machine, and what the kernel does with the first process of one."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.cluster.objects.logs import Log

MARK = "WORLD_CONTAINER"
"""Variable by which all processes of a container are known, wherever they went; its value begins with who made them."""

START_ERROR = 128


class Container(Protocol):
    """What the kubelet needs of a container."""

    exit_code: int | None
    """None as long as it runs."""
    start_error: str
    """Why it could not be started, empty if it could."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it, and all that it left behind."""

    def out_of_memory(self) -> None:
        """Do as the kernel does when its memory is used up."""


class Process:
    """A command with its output in a log; `ended` is called once it and all that it started are gone."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str],
        log: Log,
        ended: Callable[[], None],
        niceness: int = 0,
    ) -> None:
        self.exit_code: int | None = None
        self.start_error = ""
        self._mark, self._log, self._ended = f"{os.getpid()}.{secrets.token_hex(16)}", log, ended
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env={**environment, MARK: self._mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            if niceness:
                with contextlib.suppress(ProcessLookupError):
                    os.setpriority(os.PRIO_PROCESS, self._process.pid, niceness)
        except OSError as error:
            self.start_error = f'exec: "{command[0]}": {error.strerror}: unknown'
        self._watcher = threading.Thread(target=self._watch, name=f"container {command[0]}", daemon=True)
        self._watcher.start()

    def terminate(self) -> None:
        """SIGTERM, if the first process has a handler for it: no other reaches the first of a container."""
        if self._process is not None and _handles(self._process.pid, signal.SIGTERM):
            self._process.terminate()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()  # by its number: the environment of a runner is nobody's to read
        _kill(self._mark)

    def out_of_memory(self) -> None:
        first = self._process.pid if self._process else 0
        _kill(self._mark, spare=first)
        time.sleep(0.2)  # for what the first process, if it lives on without the others, has to say
        if self.exit_code is None:
            self.kill()

    def _watch(self) -> None:
        if self._process is None:
            self._finish(START_ERROR)
            return
        reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        reader.start()
        code = self._process.wait()
        _kill(self._mark)
        reader.join(5)
        self._finish(code if code >= 0 else 128 - code)

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as output, contextlib.suppress(OSError, ValueError):
            while chunk := os.read(output.fileno(), 1 << 16):
                self._log.write(chunk)

    def _finish(self, code: int) -> None:
        self._log.close()
        self.exit_code = code
        self._ended()


def _handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        caught = next(line for line in lines if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
    return False


def left() -> list[int]:
    """Processes of containers that this process started."""
    return list(_marked(f"{os.getpid()}."))


def _kill(mark: str, spare: int = 0) -> None:
    """Kill all processes of a container; some may be starting others meanwhile."""
    for _ in range(20):
        found = [pid for pid in _marked(mark) if pid != spare]
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        time.sleep(0.01)


def _marked(mark: str) -> Iterator[int]:
    wanted = f"\0{MARK}={mark}".encode()
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if wanted in b"\0" + (directory / "environ").read_bytes() and not _dead(directory):
                yield int(directory.name)


def _dead(process: Path) -> bool:
    return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z"
