"""A Pipfile.lock as the package managers of a build want it.

The lock is the authority: what it names is installed, at that version, from that index, if its hash is right. All its
values have been validated before they come here. The formats: https://pipenv.pypa.io/en/latest/pipfile.html and
https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

Lock = Mapping[str, Any]


def normalized(lock: Lock) -> dict[str, Any]:
    """Return the lock with all its parts, none of them null. pipenv and micropipenv stumble where one is absent."""
    given: dict[str, Any] = _without_nulls(lock)
    meta: dict[str, Any] = {"hash": {"sha256": ""}, "pipfile-spec": 6, "requires": {}, "sources": []}
    meta |= given.get("_meta", {})
    taken = {source.get("name") for source in meta["sources"]}
    names = (name for number in itertools.count() if (name := f"index-{number}") not in taken)
    meta["sources"] = [
        source if "name" in source else {**source, "name": next(names)}
        for source in ({"verify_ssl": True} | source for source in meta["sources"])
    ]
    return {"default": {}, "develop": {}, **given, "_meta": meta}


def pipfile_lock(lock: Lock) -> bytes:
    """Return the lock as the file that micropipenv and pipenv read, without what comes from version control."""
    complete = normalized(lock)
    complete["default"] = _of_indexes(complete)
    return (json.dumps(complete, indent=4, sort_keys=True, ensure_ascii=False) + "\n").encode()


def python_version(lock: Lock) -> str | None:
    """Return the Python that the lock was made for, as precisely as it says: "3.11" or "3.11.4"."""
    requires = normalized(lock)["_meta"]["requires"]
    version: str | None = requires.get("python_full_version") or requires.get("python_version")
    return version


def requirements(lock: Lock) -> list[str]:
    """Return one requirements file for each set of indexes that packages come from, in the order of their first use.

    uv reads no Pipfile.lock. A package that names its index comes from there and nowhere else; the others may come
    from any, the first index being the main one.
    """
    complete = normalized(lock)
    urls = {source["name"]: source["url"] for source in complete["_meta"]["sources"]}
    files: dict[tuple[str, ...], list[str]] = {}
    for name, entry in sorted(_of_indexes(complete).items()):
        indexes = (urls[entry["index"]],) if "index" in entry else tuple(urls.values())
        files.setdefault(indexes, []).append(_requirement(name, entry))
    return [_index_options(indexes) + "".join(lines) for indexes, lines in files.items()]


def repositories(lock: Lock) -> str:
    """Return a requirements file of what comes from version control, empty where nothing does.

    A commit says what is meant as a hash does, but none of the managers would check both in one go, and micropipenv
    passes over markers and extras here. What such a package needs to be built comes from the indexes of the lock.
    """
    complete = normalized(lock)
    lines = [_requested(name, entry) for name, entry in sorted(complete["default"].items()) if "git" in entry]
    urls = tuple(source["url"] for source in complete["_meta"]["sources"])
    indexes = _index_options(urls) if urls else ""
    hosts = "".join(f"--trusted-host {host}\n" for host in unverified_hosts(lock))
    return indexes + hosts + "".join(lines) if lines else ""


def requested(lock: Lock) -> str:
    """Return what the lock asks for, a requirement a line, without hashes: by this the installed is checked."""
    entries = sorted(normalized(lock)["default"].items())
    return "".join(_requested(name, entry) for name, entry in entries)


def unverified_hosts(lock: Lock) -> list[str]:
    """Return the hosts of the indexes whose certificates are not to be verified, with the port where there is one."""
    sources = normalized(lock)["_meta"]["sources"]
    return [urlsplit(source["url"]).netloc.rpartition("@")[2] for source in sources if not source["verify_ssl"]]


def _of_indexes(complete: Lock) -> dict[str, Any]:
    return {name: entry for name, entry in complete["default"].items() if "git" not in entry}


def _without_nulls(value: Any) -> Any:
    """Generated clients write null for what is absent; package managers would take it for a value."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _index_options(urls: tuple[str, ...]) -> str:
    options = ("--index-url", *("--extra-index-url" for _ in urls[1:]))
    return "".join(f"{option} {url}\n" for option, url in zip(options, urls, strict=False))


def _requested(name: str, entry: Mapping[str, Any]) -> str:
    if "git" not in entry:
        return f"{name}{_extras(entry)}{entry['version']}{_markers(entry)}\n"
    place = f"#subdirectory={entry['subdirectory']}" if entry.get("subdirectory") else ""
    return f"{name}{_extras(entry)} @ git+{entry['git']}@{entry['ref']}{place}{_markers(entry)}\n"


def _requirement(name: str, entry: Mapping[str, Any]) -> str:
    hashes = "".join(f" \\\n    --hash={digest}" for digest in entry.get("hashes", ()))
    return f"{name}{_extras(entry)}{entry['version']}{_markers(entry)}{hashes}\n"


def _extras(entry: Mapping[str, Any]) -> str:
    return f"[{','.join(entry['extras'])}]" if entry.get("extras") else ""


def _markers(entry: Mapping[str, Any]) -> str:
    return f" ; {entry['markers']}" if entry.get("markers") else ""
