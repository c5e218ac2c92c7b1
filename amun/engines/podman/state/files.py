"""Files of the state directory: written whole or not at all, locked by the kernel, corrupt ones told apart.

A lock is `flock`: it goes with the process that holds it, whatever kills that.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from amun.errors import EngineUnavailable, Rejected, Unreadable


class CorruptState(Unreadable):
    """A file of the state directory cannot be understood."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"The state file {path.name} is corrupt.")
        self.path = path


class DiskFull(EngineUnavailable):
    """There is no room for what is to be kept."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space, no more of it for this user, no file as large."""

LASTING = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
"""What a disk refuses until somebody has mended rights, mounts or paths."""


def size(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turn what the disk refuses into `EngineUnavailable`, `DiskFull` or `Rejected`; a missing file passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as exc:
        kind = DiskFull if exc.errno in FULL else Rejected if exc.errno in LASTING else EngineUnavailable
        raise kind(f"The state directory cannot be used: {exc.strerror or exc}.") from exc


def write(path: Path, content: bytes | str, mode: int = 0o600) -> None:
    """Replace `path` by `content` at once: a reader sees the old or the new, never a part."""
    data = content.encode() if isinstance(content, str) else content
    with disk_errors():
        descriptor, temporary = tempfile.mkstemp(prefix=".", suffix=path.name, dir=path.parent)
        try:
            with open(descriptor, "wb") as file:
                file.write(data)
                os.fchmod(file.fileno(), mode)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise


def write_json(path: Path, document: Any) -> None:
    """`write` a JSON document."""
    write(path, json.dumps(document, ensure_ascii=False, separators=(",", ":")))


def read_json(path: Path) -> Any:
    """The JSON object in `path`, None if there is no such file. Raises `CorruptState` for anything else."""
    try:
        with disk_errors():
            document = json.loads(path.read_bytes())
    except FileNotFoundError:
        if path.is_symlink():
            raise CorruptState(path) from None
        return None
    except (ValueError, RecursionError, Rejected) as exc:  # no JSON, or no file at all
        raise CorruptState(path) from exc
    if not isinstance(document, dict):
        raise CorruptState(path)
    return document


SHARED = ("mount", "build-environment")
"""Directories that are mounted into runs and builds: users of other ids read in them."""


def tighten(root: Path) -> None:
    """Let nobody else read the files below `root`, but for what is mounted: earlier versions did."""
    with disk_errors():
        for directory, folders, names in os.walk(root):
            folders[:] = [name for name in folders if name not in SHARED]
            for path in (directory, *(os.path.join(directory, name) for name in names)):
                with contextlib.suppress(FileNotFoundError):
                    status = os.lstat(path)
                    if not stat.S_ISLNK(status.st_mode) and status.st_mode & 0o077 and status.st_uid == os.geteuid():
                        os.chmod(path, status.st_mode & 0o700)


def set_aside(path: Path) -> None:
    """Rename a corrupt file, so that its content can be looked at and the state be worked out again."""
    aside = path.with_name(path.name + ".corrupt")
    with contextlib.suppress(FileNotFoundError):
        try:
            os.replace(path, aside)
        except OSError:  # a directory where there is a file, or the other way round
            os.replace(path, f"{aside}.{time.time_ns()}")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, waiting for whoever has it."""
    with disk_errors():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def open_locked(path: Path) -> Iterator[BinaryIO]:
    """`locked`, and the file itself: a process that is given it holds the lock as well."""
    with disk_errors():
        file = path.open("ab")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


@contextlib.contextmanager
def try_locked(path: Path) -> Iterator[bool]:
    """Hold the lock of `path` if nobody else does; says whether it is held."""
    with disk_errors():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
