"""What is looked at on a machine, what was found, and the command that helps.

Every function here takes facts and gives checks; what has to be tried out is in `trials`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from amun.engines.checks import Check
from amun.engines.podman.builds.environment import BuildEnvironment
from amun.engines.podman.podman_cli import NO_IDS

from .facts import Facts

OLDEST = (4, 3)
GIBIBYTE = 1 << 30

INSTALL = {
    "debian": "sudo apt-get install -y",
    "fedora": "sudo dnf install -y",
    "suse": "sudo zypper install -y",
    "arch": "sudo pacman -S --needed",
    "alpine": "sudo apk add",
}
# Where a distribution's name for a package is not the program's.
PACKAGES = {
    ("newuidmap", "debian"): "uidmap",
    ("newuidmap", "fedora"): "shadow-utils",
    ("newuidmap", "suse"): "shadow",
    ("newuidmap", "arch"): "shadow",
    ("newuidmap", "alpine"): "shadow-subids",
    ("pasta", "debian"): "passt",
    ("pasta", "fedora"): "passt",
    ("pasta", "suse"): "passt",
    ("pasta", "arch"): "passt",
    ("pasta", "alpine"): "passt",
}


_OVERRIDES = "/etc/systemd/system/user@.service.d"
DELEGATE = (
    f"sudo mkdir -p {_OVERRIDES}"
    f" && printf '[Service]\\nDelegate=cpu memory pids\\n' | sudo tee {_OVERRIDES}/delegate.conf"
    " && sudo systemctl daemon-reload && loginctl terminate-user $USER"
)


def install(facts: Facts, *programs: str) -> str:
    """The command that installs programs on this distribution."""
    packages = " ".join(PACKAGES.get((program, facts.distribution), program) for program in programs)
    command = INSTALL.get(facts.distribution)
    return f"{command} {packages}" if command else f"install {packages} with this system's package manager"


def podman(facts: Facts) -> Check:
    if facts.podman is None:
        return Check("podman", False, "none", "Podman is not installed.", install(facts, "podman", "catatonit"))
    if facts.refusal is not None:
        why = f"{facts.podman} does not work: {facts.refusal.rstrip('.')}."
        return Check("podman", False, "unknown", why, _remedy(facts, facts.refusal), lasting=facts.lasting)
    oldest = ".".join(map(str, OLDEST))
    recent = facts.version_numbers >= OLDEST
    why = f"{facts.podman} is of version {facts.version}; {oldest} or later is needed."
    return Check("podman", recent, facts.version, why, None if recent else install(facts, "podman"), lasting=True)


def _remedy(facts: Facts, refusal: str) -> str:
    """What makes Podman work again that refuses like this."""
    if not NO_IDS.search(refusal):
        return "podman info  # until it succeeds"
    return users(facts).remedy or "podman system migrate  # after a change of /etc/subuid and /etc/subgid"


def pods(facts: Facts) -> Check:
    """Every pod has one process that does nothing but hold it: catatonit."""
    path = facts.programs.get("catatonit")
    if path:
        return Check("pods", True, path, "catatonit is there to hold pods.")
    why = "Podman cannot start pods without catatonit."
    return Check("pods", False, "none", why, install(facts, "catatonit"), lasting=True)


def users(facts: Facts) -> Check:
    """Without subordinate ids a rootless container has one user only, and the script must not be the build's."""
    name = "user namespaces"
    if facts.root:
        return Check(name, True, "root", "Podman runs as root, no subordinate ids are needed.")
    if "newuidmap" not in facts.programs:
        why = "Rootless containers need newuidmap and newgidmap."
        return Check(name, False, "none", why, install(facts, "newuidmap"), lasting=True)
    if facts.subordinate:
        return Check(name, True, "subordinate ids", f"/etc/subuid and /etc/subgid have ranges for {facts.user}.")
    ids = f"{facts.subordinate_free}-{facts.subordinate_free + 65535}"  # another user's would be that user's files
    add = f"sudo usermod --add-subuids {ids} --add-subgids {ids} {facts.user}"
    why = f"/etc/subuid or /etc/subgid has no range for {facts.user}."
    return Check(name, False, "none", why, f"{add} && podman system migrate", lasting=True)


def user_of_builds(facts: Facts, refusal: str | None) -> Check:
    """Who the root of a build is on this machine; `refusal` says why Podman as root cannot build as anybody else."""
    name = "user of builds"
    if not facts.root:
        why = f"Builds run in a user namespace: what is root in them is no more than {facts.user} on this machine."
        return Check(name, True, facts.user, why, needed=False)
    why = "What is root in a build is root on this machine, kept apart by capabilities and system calls alone. "
    if refusal is None:
        why += f"Podman {facts.version} builds in a user namespace here; Amun does not ask for one as root."
    else:
        why += f"Podman {facts.version} does not build in a user namespace here: {refusal}"
    return Check(name, False, "root", why, "run Amun as a user who is not root", needed=False)


def storage(facts: Facts) -> Iterator[Check]:
    """The storage driver, and the disk under it, as far as Podman has told."""
    if not facts.storage_root:
        return
    driver, slow, counted = facts.storage_driver, facts.storage_driver == "vfs", facts.storage_driver == "overlay"
    why = "vfs copies whole images for every container." if slow else f"Images lie in {facts.storage_root}."
    if not counted:
        why += " What runs write to their root directory is not counted (AMUN_STORAGE_LIMIT) but with overlay."
    file = "/etc/containers/storage.conf" if facts.root else "~/.config/containers/storage.conf"
    # Podman keeps to the driver that its storage was made with, so that goes first, and all images with it.
    overlay = f'set driver = "overlay" under [storage] in {file} (Linux 5.13 or later)'
    remedy = f"podman system reset, which removes all images and containers of {facts.user}, then {overlay}"
    yield Check("storage", counted, driver or "unknown", why, None if counted else remedy, needed=False)
    free = facts.storage_free / GIBIBYTE
    enough = free >= 2
    why = f"{free:.1f} GiB are free under {facts.storage_root}; an environment takes 0.2 to 2 GiB."
    yield Check("disk", enough, f"{free:.1f} GiB", why, None if enough else "podman image prune", needed=False)


def in_memory(place: str, setting: str, file_system: str, follows: str) -> Iterator[Check]:
    """A directory whose files take memory, and what follows from that."""
    if file_system in ("tmpfs", "ramfs"):
        why = f"{place} is in memory: {follows}, and nothing is left of it when the machine starts again."
        yield Check("files in memory", False, file_system, why, f"set {setting} to a directory on a disk", needed=False)


def limits_of_builds(facts: Facts, limits: Collection[str], seccomp: str | None) -> Check:
    """Which of the limits of builds hold here; that of the log always does."""
    missing = []
    if "cpu" not in limits:
        missing.append("no control group limits their share of the processors")
    if "memory" not in limits:
        missing.append(
            "no control group limits their memory: it is looked at once a second, and a build that takes too much is"
            " ended"
        )
    if "pids" not in limits:
        missing.append(
            "no control group limits their processes (AMUN_BUILD_PIDS_LIMIT): they are looked at once a second, and a"
            " build that has too many is ended"
        )
    if facts.storage_driver != "overlay":
        missing.append(f"what they write cannot be counted (AMUN_BUILD_STORAGE_LIMIT) with {facts.storage_driver}")
    if seccomp is None:
        missing.append("their system calls are filtered less than those of runs: no profile of Podman's was taken")
    why = (
        f"Of builds, {'; '.join(missing)}."
        if missing
        else "CPU, memory, processes, disk, log and system calls are limited."
    )
    return Check("limits of builds", not missing, "some" if missing else "all", why, needed=False)


def short_names(facts: Facts) -> Check:
    if facts.short_names:
        return Check("short names", True, "the system's registries", "registries.conf says where to look.")
    why = "No registry is configured for names like `python:3.11`, so that everybody's is taken."
    return Check("short names", True, "docker.io", why)


def network_of_builds(found: BuildEnvironment) -> Iterator[Check]:
    """Certificates and the package index that builds are given."""
    why = "Builds trust the certificates that this machine trusts."
    remedy = None
    if found.bundle is None:
        why, remedy = "No certificate bundle was found; downloads in builds may fail.", "install ca-certificates"
    yield Check("certificates", found.bundle is not None, found.bundle or "none", why, remedy, needed=False)
    why = "pip's configuration and the proxies of this machine are passed on to builds."
    local = [url for url in found.pip.get("extra-index-url", "").split() if not url.startswith("http")]
    if local:
        why += f" Indexes in local directories ({', '.join(local)}) are not: a build does not see them."
    yield Check("package index", True, found.summary(), why, needed=False)


def clock() -> Check:
    """A clock before the making of this program makes every certificate invalid."""
    right = time.time() > Path(__file__).stat().st_mtime - 86400
    why = "The clock is later than this program." if right else "The clock is wrong: TLS will fail everywhere."
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return Check("clock", right, now, why, None if right else "sudo timedatectl set-ntp true", needed=False)


def base_image(facts: Facts, present: bool, registry: bool) -> Check:
    """The image of the examples and tests: where no registry is in reach, it is made of Debian's packages."""
    name = "base image"
    if present:
        return Check(name, True, "already there", "`make demo` and the tests have their image.", needed=False)
    if registry:
        return Check(name, True, "a registry", "It is pulled when it is needed.", needed=False)
    if "mmdebstrap" in facts.programs:
        return Check(name, True, "mmdebstrap", "It is made of Debian's packages when it is needed.", needed=False)
    why = "It is not there, and neither a registry nor mmdebstrap is."
    return Check(name, False, "none", why, install(facts, "mmdebstrap"), needed=False)


def whole_images(half: Sequence[str]) -> Check:
    """Images of which a part is missing: a build was killed, or had no room, while it wrote one."""
    name = "images"
    if not half:
        return Check(name, True, "whole", "Podman can list them all.", needed=False)
    why = "While there are half-written images, `podman images` and `podman image prune` fail for everybody."
    return Check(
        name, False, f"{len(half)} half-written", why, f"podman image rm --force {' '.join(half)}", needed=False
    )


def network_remedy(facts: Facts) -> str:
    """What gives runs a network of their own: the program, or the device that it needs."""
    if "slirp4netns" not in facts.programs:
        return install(facts, "slirp4netns")
    return "sudo modprobe tun && sudo chmod a+rw /dev/net/tun"


def unified_groups(facts: Facts) -> str:
    """How to start this machine with control groups version 2."""
    option = "systemd.unified_cgroup_hierarchy=1"
    if facts.distribution == "fedora":
        return f"sudo grubby --update-kernel=ALL --args={option} && sudo reboot"
    return f"add {option} to GRUB_CMDLINE_LINUX in /etc/default/grub, then: sudo update-grub && sudo reboot"
