"""Removes directory trees of any depth: run as `python -I -S uproot.py DIRECTORY…`, by `disk.clear`.

Each directory is moved up before it is gone into, so that no path gets long and no directory stays open: what others
need hours for, or cannot do at all, takes as long as in a flat tree. It imports nothing but the standard library.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator


def uproot(tree: str) -> None:
    """Remove a tree that nobody writes to any more; one that was begun with is finished."""
    shelf = f"{tree}.uprooted"
    os.makedirs(shelf, exist_ok=True)
    places = (f"{shelf}/{os.getpid()}-{number}" for number in itertools.count())
    pending = [tree, *(f"{shelf}/{name}" for name in os.listdir(shelf))]
    while pending:
        directory = pending.pop()
        while os.path.isdir(directory):
            pending += _strip(directory, places)
    os.rmdir(shelf)


def _strip(directory: str, places: Iterator[str]) -> list[str]:
    """Remove the files of a directory, move its directories away, and remove it if that was all; returns those."""
    moved = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                moved.append(next(places))
                os.rename(entry.path, moved[-1])
            else:
                os.unlink(entry.path)
    if not os.listdir(directory):  # or the file system lost its place in the list, and it has to be gone through again
        os.rmdir(directory)
    return moved


if __name__ == "__main__":
    for path in sys.argv[1:]:
        uproot(path)
