"""An archive in a directory: a file for each object.

A file is written beside its name and synced, then linked to its name, which fails if there is one already. The
directory itself is never made: one that is not there is a disk that is not mounted.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

from amun.errors import ArchiveUnavailable

from .store import CHUNK, Store, checked

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)
"""What file systems without hard links answer."""


class DirectoryStore(Store):
    """Objects as files below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put_once(self, key: str, content: IO[bytes]) -> bool:
        path = self._path(key)
        with self._errors():
            if path.exists():
                return False
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, draft = tempfile.mkstemp(prefix=".", dir=path.parent)
            try:
                with open(descriptor, "wb") as file:
                    shutil.copyfileobj(content, file, CHUNK)
                    file.flush()
                    os.fchmod(descriptor, 0o644)
                    os.fsync(descriptor)
                return _name(draft, path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(draft)

    def open(self, key: str, offset: int = 0) -> Iterator[bytes] | None:
        with self._errors():
            try:
                file = self._path(key).open("rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
            file.seek(offset)
        return self._chunks(file)

    def list(self, prefix: str) -> Iterable[str]:
        top = self._path(prefix)
        with self._errors():
            return [
                str(Path(directory, name).relative_to(self._root))
                for directory, _, names in os.walk(top, onerror=_raise_unless_gone)
                for name in names
                if not name.startswith(".")
            ]

    def delete(self, key: str) -> None:
        path = self._path(key)
        with self._errors(), contextlib.suppress(FileNotFoundError):
            if not path.is_dir():
                return path.unlink()
            for directory, _, names in os.walk(path, topdown=False):
                for name in names:
                    Path(directory, name).unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # something was put there meanwhile
                    Path(directory).rmdir()

    def _path(self, key: str) -> Path:
        if not self._root.is_dir():
            raise ArchiveUnavailable(
                "The archive is out of reach: its directory is not there.", f"There is no directory {self._root}."
            )
        return self._root / checked(key)

    def _chunks(self, file: BinaryIO) -> Iterator[bytes]:
        with file, self._errors():
            while chunk := file.read(CHUNK):
                yield chunk

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            why = exc.strerror or type(exc).__name__
            raise ArchiveUnavailable(f"The archive is out of reach: {why}.", str(exc)) from exc


def _name(draft: str, path: Path) -> bool:
    """Give the draft its name, if nothing has that yet."""
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError as exc:
        if exc.errno not in NO_LINKS:
            raise
        # Two at once may both come here: then the second one stays. What they write is the same.
        if path.exists():
            return False
        os.replace(draft, path)
    _sync(path.parent)
    return True


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # not every file system can
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
