"""What this machine has: the values from which Podman's configuration and the checks are computed."""

from __future__ import annotations

import os
import pwd
import resource
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amun.engines.podman.podman_cli import Podman
from amun.errors import EngineUnavailable, Rejected

PROGRAMS = (
    "crun", "runc", "catatonit", "conmon", "netavark", "aardvark-dns", "slirp4netns", "pasta",
    "iptables", "nft", "newuidmap", "mmdebstrap",
)  # fmt: skip
# Helpers that distributions keep off PATH (containers.conf(5), helper_binaries_dir).
HELPER_DIRECTORIES = ("/usr/libexec/podman", "/usr/lib/podman", "/usr/local/libexec/podman", "/usr/local/lib/podman")
SUBORDINATE = (Path("/etc/subuid"), Path("/etc/subgid"))
SYSTEM_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


@dataclass(frozen=True)
class Facts:
    """One machine as Podman sees it. Limits are numbers of files and processes, -1 for unlimited.

    `systemd` says whether a (user) systemd can be asked for control groups; `subordinate` whether the user has
    subordinate uids and gids (root needs none), `subordinate_free` from which number on nobody has any; `short_names`
    whether Podman resolves `fedora:28` by itself.
    `refusal` is what a Podman said that does not even tell of itself, and `lasting` whether it will go on doing so;
    nothing is known of its storage then.
    """

    podman: str | None
    version: str = "0"
    refusal: str | None = None
    lasting: bool = False
    root: bool = True
    user: str = "root"
    cgroups: str = "v2"
    systemd: bool = False
    nofile: int = -1
    nproc: int = -1
    pid_max: int = 4194304
    programs: Mapping[str, str] = field(default_factory=dict)
    selinux: bool = False
    subordinate: bool = True
    subordinate_free: int = 100000
    short_names: bool = False
    storage_driver: str = "overlay"
    storage_root: str = "/var/lib/containers/storage"
    storage_free: int = 0
    distribution: str = ""

    @property
    def version_numbers(self) -> tuple[int, ...]:
        """`4.3.1` and `5.0.0-rc1` as numbers that compare."""
        return tuple(int(part) for part in self.version.split("-")[0].split(".") if part.isdigit())


def gather(environment: Mapping[str, str]) -> Facts:
    """Look at this machine; `environment` is what Podman is asked with. Takes about 0.2 s."""
    podman = shutil.which("podman")
    info: dict[str, Any] = {}
    refused: EngineUnavailable | None = None
    if podman:
        try:
            info = Podman(podman, environment).json("info", "--format", "json", timeout=60) or {}
        except EngineUnavailable as exc:
            refused = exc
    store, host = info.get("store", {}), info.get("host", {})
    root, user = os.geteuid() == 0, _user()
    storage_root = str(store.get("graphRoot", ""))
    return Facts(
        podman=podman,
        version=str(info.get("version", {}).get("Version", "0")),
        refusal=None if refused is None else str(refused),
        lasting=isinstance(refused, Rejected),
        root=root,
        user=user,
        cgroups="v2" if Path("/sys/fs/cgroup/cgroup.controllers").exists() else "v1",
        systemd=_systemd(root),
        nofile=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        nproc=resource.getrlimit(resource.RLIMIT_NPROC)[1],
        pid_max=int(Path("/proc/sys/kernel/pid_max").read_text()),
        programs=find_programs(),
        selinux=bool(host.get("security", {}).get("selinuxEnabled", False)),
        subordinate=root or _subordinate(user),
        subordinate_free=max(map(free_from, SUBORDINATE)),
        short_names=bool(info.get("registries", {}).get("search")),
        storage_driver=str(store.get("graphDriverName", "")),
        storage_root=storage_root,
        storage_free=_free(Path(storage_root)) if storage_root else 0,
        distribution=distribution(),
    )


def find_programs() -> dict[str, str]:
    """Name → path of those PROGRAMS that are installed, wherever distributions put them."""
    directories = [*os.environ.get("PATH", "").split(os.pathsep), *SYSTEM_DIRECTORIES, *HELPER_DIRECTORIES]
    path = os.pathsep.join(dict.fromkeys(directories))
    return {name: found for name in PROGRAMS if (found := shutil.which(name, path=path))}


def distribution() -> str:
    """The family whose package manager this machine has: debian, fedora, suse, arch, alpine or the empty string."""
    families = {"apt-get": "debian", "dnf": "fedora", "zypper": "suse", "pacman": "arch", "apk": "alpine"}
    return next((family for program, family in families.items() if shutil.which(program)), "")


def _systemd(root: bool) -> bool:
    if root:
        return Path("/run/systemd/system").is_dir()
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    return Path(runtime, "systemd", "private").exists() and Path(runtime, "bus").exists()


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # an arbitrary uid, as some platforms give
        return str(os.geteuid())


def _subordinate(user: str) -> bool:
    """subuid(5): lines of NAME-OR-UID:START:COUNT; directories such as LDAP may serve them too (getsubids)."""
    return all(_listed(file, user) for file in SUBORDINATE)


def free_from(file: Path) -> int:
    """The number after all ranges in a file of subordinate ids; 100000, as useradd(8) begins, if there are none."""
    try:
        ranges = [line.split(":")[1:] for line in file.read_text().splitlines()]
    except OSError:
        return 100000
    return max(
        [100000, *(int(pair[0]) + int(pair[1]) for pair in ranges if len(pair) == 2 and "".join(pair).isdecimal())]
    )


def _listed(file: Path, user: str) -> bool:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return False
    return any(line.split(":")[0] in (user, str(os.geteuid())) for line in lines)


def file_system(path: Path) -> str:
    """Type of the file system that a path is on, or would be (proc_pid_mountinfo(5)); empty where it is not known."""
    device = _existing(path).stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return next((mount[mount.index("-") + 1] for mount in mounts if mount[2] == number), "")


def _free(path: Path) -> int:
    """Bytes that are free where a directory is, or will be; 0 where this user may not look."""
    try:
        return shutil.disk_usage(_existing(path)).free
    except OSError:
        return 0


def _existing(path: Path) -> Path:
    """The directory itself, or the nearest above it that there is, as far as this user sees."""
    while not os.path.exists(path) and path != path.parent:
        path = path.parent
    return path
