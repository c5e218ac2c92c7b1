"""What no schema of a single field can say of a specification: fields against each other, and how much is too much.

A rule takes any JSON at all and looks only at what has the shape it is about; whatever has another shape breaks the
schema, which says so (validation.py). It yields the path of each offending field and a sentence, "must …".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from packaging.utils import canonicalize_name

from amun.model.file_path import absolute_path
from amun.model.metric_path import canonical

from . import formats

Path = tuple[str | int, ...]
Message = str | Callable[[], str]
"""A sentence, or what makes it when it is needed."""

Found = Iterator[tuple[Path, Message]]
Check = Callable[[object], Found]

SCRIPT_MAX = 2**20
"""Bytes of a script: it travels to a cluster in a ConfigMap, which holds no more."""

FILES_MAX = 4 * 2**20
"""Bytes of all files together."""

ITEMS_MAX = 1000
"""Items of one job, warm-ups included."""

PACKAGES_MAX = 2000
"""Packages of a lock."""

ELEMENTS_MAX = 1000
"""Elements of any list that there are rules for."""

LOCK: Path = ("python", "requirements_locked")

UNCHECKED = frozenset({"path", "file", "uri", "url", "hg", "svn", "bzr"})
"""Fields of a locked package by which it would come from where neither a hash nor a commit says what is meant."""

VARIABLE_MAX = 2**17
"""Bytes of a variable as a Dockerfile writes it, see `written`: Linux starts no program with a longer one
(MAX_ARG_STRLEN)."""

VARIABLES_MAX = 2**18
"""Bytes of all variables as a Dockerfile writes them. What Buildah takes to read a value grows with its square: 3 s of
a processor for 100 kB, outside the limits of the build. An image's configuration, which has at most 4 MiB
(containers/image, iolimits), takes up to twelve times as much: it holds each variable twice, in JSON."""


def files_apart(document: object) -> Found:
    """No file is given twice, and none is where another one needs a directory."""
    first: dict[str, int] = {}
    for index, path in _strings(document, "files", "path"):
        if not formats.conforms(formats.file_path, path):
            continue
        normal = absolute_path(path)
        if first.setdefault(normal, index) != index:
            yield ("files", index, "path"), f"must not be the same file as files[{first[normal]}]"
    above: list[str] = []
    for path in sorted(first, key=lambda path: f"{path}/"):  # what is in a directory comes directly after it
        while above and not path.startswith(f"{above[-1]}/"):
            above.pop()
        for parent in above:
            yield ("files", first[parent], "path"), f"must not be a directory that files[{first[path]}] is in"
        above.append(path)


def variables_once(document: object) -> Found:
    """No environment variable is given twice: which of the two is meant, nobody could say."""
    first: dict[str, int] = {}
    for index, name in _strings(document, "environment", "name"):
        if first.setdefault(name, index) != index:
            yield ("environment", index, "name"), f"must not be the same variable as environment[{first[name]}]"


def sizes(document: object) -> Found:
    """What travels through the engine, and what a process starts with, has limits."""
    script = _object(document).get("script")
    if isinstance(script, str) and _bytes(script) > SCRIPT_MAX:
        yield ("script",), f"must have at most {SCRIPT_MAX} bytes"
    if sum(_bytes(content) for _, content in _strings(document, "files", "content")) > FILES_MAX:
        yield ("files",), f"must have at most {FILES_MAX} bytes together"
    together = 0
    for index, variable in enumerate(_list(_object(document).get("environment"))):
        name, value = (_object(variable).get(key) for key in ("name", "value"))
        if isinstance(name, str) and isinstance(value, str):
            size = written(name, value)
            together += size
            if size > VARIABLE_MAX:
                yield ("environment", index, "value"), f"must take at most {VARIABLE_MAX} bytes {_COUNTED}"
    if together > VARIABLES_MAX:
        yield ("environment",), f"must take at most {VARIABLES_MAX} bytes together {_COUNTED}"


_COUNTED = (
    "in a Dockerfile, names included, where a line end takes 15, and a backslash, a dollar sign and a quote take 2"
)


def written(name: str, value: str) -> int:
    """Bytes of a variable as `dockerfile` writes it on one line."""
    return _bytes(f'{name}="{value}"') + sum(map(value.count, '\\$"')) + 14 * value.count("\n")


def items_within_limits(document: object) -> Found:
    """There are not too many items, and no more can fail than there are."""
    asked = _object(document)
    batch_size = 1 if asked.get("batch_size") is None else _integer(asked["batch_size"], formats.batch_size)
    warmup = 0 if asked.get("warmup") is None else _integer(asked["warmup"], formats.warmup)
    if batch_size is None or warmup is None:
        return
    if warmup and batch_size <= ITEMS_MAX < warmup + batch_size:
        yield ("warmup",), f"must be at most {ITEMS_MAX} together with batch_size, which is {batch_size}"
    allowed, items = asked.get("allowed_failures"), warmup + batch_size
    if isinstance(allowed, int) and allowed > items:
        named = f"warmup + batch_size, which are {items}" if warmup else f"batch_size, which is {items}"
        yield ("allowed_failures",), f"must be at most {named}"


def metrics_once(document: object) -> Found:
    """No metric is described twice."""
    first: dict[str, int] = {}
    for index, path in _strings(document, "metrics", "path"):
        if (earlier := first.setdefault(canonical(path), index)) != index:
            yield ("metrics", index, "path"), f"must not be the same metric as metrics[{earlier}]"


def node_labels(document: object) -> Found:
    """The keys of a node selector are keys of labels."""
    for step in ("build", "run"):
        path: Path = (step, "requests", "hardware", "node_selector")
        for key in _at(document, *path):
            if message := formats.complaint(formats.label_key, key):
                yield (*path, key), message


def pipfile_with_lock(document: object) -> Found:
    """A Pipfile without its lock says nothing exact; a lock without its Pipfile installs with none of the managers."""
    halves = {
        name: any(value is not None for value in _at(document, "python", name).values())
        for name in ("requirements", "requirements_locked")
    }
    for name, given in halves.items():
        if not given and any(halves.values()):
            other = next(half for half in halves if half != name)
            yield ("python", name), f"is required together with python.{other}"


def sources_once(document: object) -> Found:
    """No two indexes of the lock have one name: from which of them a package comes, nobody could say."""
    first: dict[str, int] = {}
    for index, name in _strings(_at(document, *LOCK, "_meta"), "sources", "name"):
        if (earlier := first.setdefault(name, index)) != index:
            yield (*LOCK, "_meta", "sources", index, "name"), f"must not be the same name as that of sources[{earlier}]"


def locked_packages(document: object) -> Found:
    """Each locked package has a name that can be one, and that no other has, and says exactly what is installed."""
    known = [_object(source).get("name") for source in _list(_at(document, *LOCK, "_meta").get("sources"))]
    packages = _at(document, *LOCK, "default")
    if len(packages) > PACKAGES_MAX:  # as the schema says
        return
    first: dict[str, str] = {}
    for name, package in packages.items():
        path: Path = (*LOCK, "default", name)
        if message := formats.complaint(formats.python_package, name):
            yield path, message
        elif (earlier := first.setdefault(canonicalize_name(name), name)) != name:
            yield path, f"must not be the same package as {earlier}"
        if isinstance(package, dict):
            for field, message in _origin(package, known):
                yield (*path, field), message


def _origin(package: dict[str, Any], known: list[Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with where a locked package is said to come from, by the field."""
    given = {field for field, value in package.items() if value is not None}
    for field in sorted(given & UNCHECKED):
        yield field, "must not be given: what comes from there cannot be checked; lock a version with its hashes"
    if package.get("editable") and "git" not in given and not given & UNCHECKED:
        yield "editable", "must not be set without git: it would be installed from a directory, if it were there"
    for field in ("git", "ref") if given & {"git", "ref"} else ("version", "hashes"):
        if field not in given and not given & UNCHECKED:
            yield field, "is required"
    if isinstance(index := package.get("index"), str) and index not in known:
        yield "index", "must be the name of one of python.requirements_locked._meta.sources"


RULES: tuple[Check, ...] = (
    files_apart,
    variables_once,
    sizes,
    items_within_limits,
    metrics_once,
    node_labels,
    pipfile_with_lock,
    sources_once,
    locked_packages,
)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    """Return a list; an empty one where there is none, or one so long that the schema refuses it unread."""
    return value if isinstance(value, list) and len(value) <= ELEMENTS_MAX else []


def _at(document: object, *path: str | int) -> dict[str, Any]:
    """Return the object at the path, an empty one where there is none."""
    for part in path:
        document = _object(document).get(str(part))
    return _object(document)


def _strings(document: object, field: str, key: str) -> Iterator[tuple[int, str]]:
    """Return the strings under one key of the objects in a list, each with its index in the list."""
    for index, item in enumerate(_list(_object(document).get(field))):
        if isinstance(value := _object(item).get(key), str):
            yield index, value


def _integer(value: object, form: Callable[[str], None]) -> int | None:
    """Read a number of items as callers write it: it may be a string of that form."""
    if isinstance(value, str) and formats.conforms(form, value):
        return int(value)
    return value if isinstance(value, int) else None


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
