"""Podman's configuration files of Amun's own: facts → text.

`CONTAINERS_CONF` makes Podman read one file instead of the system's (containers.conf(5)), so what the system's files
say is carried over, and only what Amun depends on is set on top of it.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .facts import Facts

HOOKS = Path("/usr/share/containers/oci/hooks.d")

# More is of no use to an inspection, and old programs (rpm and Python 2 of older images) close every possible file
# one by one before each child, which takes minutes at the million that Podman asks for by default.
MOST_FILES = 65536
MOST_PROCESSES = 1048576
# Output is limited by the runner; this stops a script that writes around it from filling the disk.
LOG_SIZE = 1 << 30


def containers_conf(
    facts: Facts, runtime: str, *, hooks: Path, inherited: Mapping[str, Any] | None = None, pids_limit: int = 512
) -> str:
    """The containers.conf that makes Podman work on a machine with these facts."""
    document = {table: dict(values) for table, values in (inherited or {}).items()}
    containers, engine = document.setdefault("containers", {}), document.setdefault("engine", {})
    containers |= {
        "default_ulimits": [*_other_ulimits(containers.get("default_ulimits", ())), *ulimits(facts)],
        "pids_limit": pids_limit,
        # The container log is read by Amun in this format; the journal's would lose the streams' framing.
        "log_driver": "k8s-file",
        "log_size_max": LOG_SIZE,
        # A proxy's credentials are no business of a stranger's script.
        "http_proxy": False,
    }
    engine |= {
        "runtime": runtime,
        "cgroup_manager": "systemd" if facts.systemd else "cgroupfs",
        # `podman logs --follow` and `podman wait` need events, and the journal is not there on every machine.
        "events_logger": "file",
        "hooks_dir": [*engine.get("hooks_dir", [str(HOOKS)] if HOOKS.is_dir() else []), str(hooks)],
    }
    return to_toml(document)


def ulimits(facts: Facts) -> tuple[str, str]:
    """Limits that may be set here: without CAP_SYS_RESOURCE nobody gets more than the hard limit of this process.

    Podman lowers its own limit on processes to the kernel's pid_max before it starts a container.
    """
    nofile = _at_most(facts.nofile, MOST_FILES)
    nproc = _at_most(facts.nproc, min(MOST_PROCESSES, facts.pid_max))
    return f"nofile={nofile}:{nofile}", f"nproc={nproc}:{nproc}"


def precreate_hook(python: str, program: Path, limit: int, host_access: str) -> str:
    """A hook (oci-hooks(5), stage precreate) that limits the processes of each container, and what they may ask for.

    With `host_access` "closed" it also takes the host's addresses out of the network of each container.

    `pids_limit` of containers.conf is not applied to the containers of `podman kube play` (Podman issue 24418), and
    a fork bomb would take the machine. With a `limit` of 0 there is none.
    """
    hook = {"path": python, "args": [python, "-I", "-S", str(program), str(limit), host_access]}
    document = {"version": "1.0.0", "hook": hook, "when": {"always": True}, "stages": ["precreate"]}
    return json.dumps(document, indent=2) + "\n"


def registries_conf() -> str:
    """Where Podman has no registry for short names (`python:3.11`), take the one that everybody means."""
    return 'unqualified-search-registries = ["docker.io"]\n'


def system_files(root: bool, environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The files Podman reads by itself, the later over the earlier."""
    if own := environment.get("CONTAINERS_CONF"):
        return [Path(own)]
    places = [Path("/usr/share/containers"), Path("/etc/containers")]
    if not root:
        places.append(Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config", "containers"))
    files = (
        file
        for place in places
        for file in (place / "containers.conf", *sorted(place.glob("containers.conf.d/*.conf")))
    )
    return [file for file in files if os.path.isfile(file)]


def inherit(files: Iterable[Path]) -> dict[str, Any]:
    """Merge containers.conf files table by table; one that cannot be read or parsed is left out, as if not there."""
    merged: dict[str, Any] = {}
    for file in files:
        try:
            document = tomllib.loads(file.read_text())
        except (OSError, ValueError):
            continue
        _merge(merged, document)
    return merged


def to_toml(document: Mapping[str, Any]) -> str:
    """Tables of scalars, arrays and sub-tables as TOML. (A JSON string is a TOML basic string, DEL excepted.)"""
    return "\n".join(_table((name,), values) for name, values in document.items() if isinstance(values, Mapping))


def _table(path: tuple[str, ...], values: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    lines = [f"[{'.'.join(map(_key, path))}]", *(f"{_key(key)} = {_value(value)}" for key, value in plain.items())]
    inner = [_table((*path, key), value) for key, value in values.items() if isinstance(value, Mapping)]
    return "\n".join([*lines, "", *inner])


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _merge(into: dict[str, Any], document: Mapping[str, Any]) -> None:
    for key, value in document.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _other_ulimits(configured: Iterable[str]) -> list[str]:
    return [limit for limit in configured if limit.split("=")[0] not in ("nofile", "nproc")]


def _at_most(hard: int, ceiling: int) -> int:
    return ceiling if hard < 0 else min(hard, ceiling)
