"""Hook of the stage precreate: reads a container's runtime configuration, makes it stricter, writes it back.

Run by Podman for every container that Amun starts, as `python -I -S precreate.py PROCESSES ACCESS`, where PROCESSES
may be 0 for no limit and ACCESS is what the container may have to the host's addresses, `closed` or `open`; see
oci-hooks(5) and `configuration.precreate_hook`. It imports nothing but the standard library and `hostroutes`, to start
in a few milliseconds.

Where control groups set no limits, annotations say which resource limits take their place (`MEMORY`, `PROCESSES`).

The filter of system calls that comes with Podman lets everybody make user namespaces, in which everybody is root to the
kernel and may ask it for all that root may. Runtimes on clusters refuse that, and so does this: whoever was not given
CAP_SYS_ADMIN makes no namespaces, mounts nothing, keeps no keys (which belong to a user, and all runs are one user's),
and limits only itself (prlimit(2) would reach its runner).

Since 4.4 `podman kube play` mounts a file system in memory at /tmp, /var/tmp and /run of every container, and has no
option against it (Podman pull request 16682). What a run wrote there would take memory, where nobody counts it, in
place of the disk that it may fill. So these are left out: the directories are the image's, as on a cluster.
"""

from __future__ import annotations

import json
import os
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing it would take as long as all the rest
    from typing import Any

EPERM, ENOSYS = 1, 38
MEMORY, PROCESSES = "amun/data-limit", "amun/user-processes"
"""Annotations of a container: bytes that each of its processes may have (RLIMIT_DATA), and processes and threads of
its user id, which is its own (RLIMIT_NPROC)."""

NAMESPACES = 0x7E020000
"""All of clone's flags that ask for a new namespace (clone(2))."""

IN_MEMORY = {"/tmp", "/var/tmp", "/run"}  # noqa: S108 - in the container
"""Where Podman mounts file systems in memory by itself."""

REFUSED = {
    "unshare", "setns", "mount", "umount", "umount2", "pivot_root", "mount_setattr", "move_mount", "open_tree",
    "fsopen", "fsconfig", "fsmount", "fspick", "keyctl", "add_key", "request_key",
}  # fmt: skip


def main() -> None:
    configuration = json.load(sys.stdin)
    leave_on_disk(configuration.get("mounts") or [])
    limit_processes(configuration.setdefault("linux", {}), int(sys.argv[1]))
    limit_resources(configuration.get("process", {}), configuration.get("annotations") or {})
    given = configuration.get("process", {}).get("capabilities", {}).get("bounding") or []
    if "CAP_SYS_ADMIN" not in given:
        refuse_calls(configuration["linux"].get("seccomp") or {})
    if sys.argv[2] == "closed":
        close_host(configuration["linux"].get("namespaces") or [])
    json.dump(configuration, sys.stdout)


def leave_on_disk(mounts: list[dict[str, Any]]) -> None:
    mounts[:] = [mount for mount in mounts if mount.get("type") != "tmpfs" or mount["destination"] not in IN_MEMORY]


def limit_processes(linux: dict[str, Any], limit: int) -> None:
    if limit:
        pids = linux.setdefault("resources", {}).setdefault("pids", {})
        if not 0 < pids.get("limit", 0) <= limit:
            pids["limit"] = limit


def limit_resources(process: dict[str, Any], annotations: dict[str, str]) -> None:
    """Set what the annotations ask for, and no more than may be set here."""
    kinds = {MEMORY: ("RLIMIT_DATA", resource.RLIMIT_DATA), PROCESSES: ("RLIMIT_NPROC", resource.RLIMIT_NPROC)}
    for annotation, (name, number) in kinds.items():
        if annotation in annotations:
            highest = resource.getrlimit(number)[1]
            wanted = int(annotations[annotation])
            limit = wanted if highest == resource.RLIM_INFINITY else min(wanted, highest)
            others = [one for one in process.get("rlimits") or [] if one["type"] != name]
            process["rlimits"] = [*others, {"type": name, "soft": limit, "hard": limit}]


def close_host(namespaces: list[dict[str, str]]) -> None:
    """Close the network that the container joins. One without a path is made by the runtime, and has no way out."""
    path = next((entry.get("path") for entry in namespaces if entry["type"] == "network"), None)
    if path:
        sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "host"))
        import routes  # type: ignore[import-not-found]

        routes.close_host(path)


def refuse_calls(seccomp: dict[str, Any]) -> None:
    """Take calls from what the filter allows. One without a list of allowed calls is not of Podman's making."""
    rules = seccomp.get("syscalls") or []
    limited = {"clone", "clone3", "prlimit64"}
    for rule in rules:
        if rule["action"] == "SCMP_ACT_ALLOW":
            rule["names"] = [name for name in rule["names"] if name not in REFUSED | limited]
    if rules:
        rules[:] = [rule for rule in rules if rule["names"]] + [
            {"names": sorted(REFUSED), "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM},
            # Its flags are behind a pointer, where no filter sees them; callers fall back to clone.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS},
            _allowed("clone", 1 if os.uname().machine.startswith("s390") else 0, "SCMP_CMP_MASKED_EQ", NAMESPACES),
            # A process of its own (0), or only asking.
            _allowed("prlimit64", 0, "SCMP_CMP_EQ"),
            _allowed("prlimit64", 2, "SCMP_CMP_EQ"),
        ]


def _allowed(name: str, argument: int, operation: str, value: int = 0) -> dict[str, Any]:
    """A rule for a call of which one argument is `value`, or has none of its bits."""
    condition = {"index": argument, "value": value, "valueTwo": 0, "op": operation}
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [condition]}


if __name__ == "__main__":
    main()
