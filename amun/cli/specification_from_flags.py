"""A specification made of a command line's flags: base, packages, files, variables, and the command as a script."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amun.client import Document

HOME = "/home/amun"  # Where a script finds itself; relative paths of files are taken from there.
BETTER = ("lower", "higher")


class Unusable(ValueError):
    """A flag that no specification can be made of; says which and why."""


@dataclass(frozen=True)
class Stack:
    """What `amun run` was asked for, as it was written.

    Attributes:
        files: `LOCAL[:PATH]`.
        variables: `NAME=VALUE`.
        metrics: `PATH[:lower|higher]`.
        fields: of the specification, as they are; those that are None are left out.
    """

    base: str
    packages: Sequence[str] = ()
    python: Sequence[str] = ()
    lock: Path | None = None
    files: Sequence[str] = ()
    variables: Sequence[str] = ()
    metrics: Sequence[str] = ()
    build: Mapping[str, object] = field(default_factory=dict)
    run: Mapping[str, object] = field(default_factory=dict)
    fields: Mapping[str, object] = field(default_factory=dict)


def specification(stack: Stack, script: str) -> Document:
    """The document to post. Raises `Unusable`."""
    document: Document = {
        "base": stack.base,
        "packages": list(stack.packages),
        "python_packages": list(stack.python),
        "python": _locked(stack.lock) if stack.lock else None,
        "files": [_file(text) for text in stack.files],
        "environment": [_variable(text) for text in stack.variables],
        "script": script,
        "metrics": [_metric(text) for text in stack.metrics],
        "build": _step(stack.build),
        "run": _step(stack.run),
        **stack.fields,
    }
    return {name: value for name, value in document.items() if value not in (None, [], {})}


def script_of(command: Sequence[str]) -> str:
    """A shell script that becomes the command, each argument byte for byte what it was."""
    if not command[0] or command[0].startswith("-"):
        raise Unusable(f"{command[0]!r} is no command.")
    _encodable(command, "The command")
    return f"#!/bin/sh\nexec {shlex.join(command)}\n"


def script_from(path: Path) -> str:
    """A file as a script, byte for byte."""
    return _text(path)


def _locked(directory: Path) -> Document:
    """Pipfile and Pipfile.lock of a directory, as a specification carries them."""
    import tomllib

    try:
        pipfile = tomllib.loads(_text(directory / "Pipfile"))
        lock = json.loads(_text(directory / "Pipfile.lock"))
    except ValueError as error:
        if isinstance(error, Unusable):
            raise
        what = "Pipfile" if isinstance(error, tomllib.TOMLDecodeError) else "Pipfile.lock"
        raise Unusable(f"{directory / what} cannot be read: {error}.") from None
    sections = ("source", "packages", "dev-packages", "requires")
    return {
        "requirements": {name: pipfile[name] for name in sections if name in pipfile},
        "requirements_locked": lock,
    }


def _file(text: str) -> Document:
    """`LOCAL[:PATH]`; without PATH, or with a relative one, it comes where the script runs."""
    local, colon, path = text.rpartition(":")
    if not colon or Path(text).exists():
        local, path = text, ""
    target = path or Path(local).name
    return {"path": target if target.startswith("/") else f"{HOME}/{target}", "content": _text(Path(local))}


def _variable(text: str) -> Document:
    name, equals, value = text.partition("=")
    if not equals:
        raise Unusable(f"{text!r} is no NAME=VALUE.")
    _encodable([text], name)
    return {"name": name, "value": value}


def _metric(text: str) -> Document:
    path, _, better = text.rpartition(":")
    return {"path": path, "better": better} if path and better in BETTER else {"path": text}


def _step(given: Mapping[str, object]) -> dict[str, Any]:
    """`cpu`, `memory` and `timeout` as they stand in `build` or `run`."""
    requests = {name: given[name] for name in ("cpu", "memory") if given.get(name) is not None}
    timeout = given.get("timeout")
    return {**({"requests": requests} if requests else {}), **({"timeout": timeout} if timeout is not None else {})}


def _text(path: Path) -> str:
    """The bytes of a file as the text that they are in UTF-8: JSON has no other."""
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Unusable(f"{path} is not UTF-8 text, which is all that a specification can carry.") from None


def _encodable(texts: Iterable[str], what: str) -> None:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise Unusable(f"{what} is not UTF-8 text, which is all that a specification can carry.") from None
