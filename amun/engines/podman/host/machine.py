"""How to use Podman on this machine, whatever it is.

`probe` is the way in. Its outcome, a `Machine`, is kept in the state directory and taken from there as long as nothing
that it depends on has changed, so that starting again costs milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from amun import __version__
from amun.engines.checks import Check
from amun.engines.podman.builds import environment as buildenvironment
from amun.engines.podman.state import files
from amun.settings import Settings

from . import configuration, facts
from .outcome import Machine, Wishes
from .prober import Prober, podman_environment

__all__ = ["Check", "Machine", "for_settings", "probe"]

BOOT = Path("/proc/sys/kernel/random/boot_id")


def probe(
    state_dir: Path,
    *,
    run_network: str = "auto",
    build_network: str = "auto",
    pids_limit: int = 512,
    run_host_access: str = "closed",
    build_proxy_names: tuple[str, ...] = (),
    fresh: bool = False,
) -> Machine:
    """Find out how Podman works here, and write what it needs under `state_dir`.

    Looks at a kept outcome first unless `fresh`; only a usable one is kept. What does not work is said in `checks`
    and never raised; a state directory that cannot be written raises `EngineUnavailable`.
    """
    wishes = Wishes(run_network, build_network, pids_limit, run_host_access, build_proxy_names)
    place = state_dir.absolute() / "machine"
    with files.disk_errors():
        (place / "hooks").mkdir(parents=True, exist_ok=True)
    key = _key(place, wishes)
    with files.locked(place / "lock"):
        kept = None if fresh else _kept(place, key)
        if kept is not None:
            return kept
        machine = Prober(place, wishes).probe()
        if machine.usable:
            # Only the owner may read it: proxies may hold passwords.
            files.write(place / "machine.json", json.dumps({"key": key, "machine": machine.to_document()}), mode=0o600)
        return machine


def for_settings(settings: Settings, fresh: bool = False) -> Machine:
    """`probe` as the settings say."""
    return probe(
        settings.state_dir,
        **asdict(wishes(settings)),
        fresh=fresh,
    )


def wishes(settings: Settings) -> Wishes:
    """What the settings say of the machine."""
    names = tuple(name.strip() for name in settings.build_proxy_names.split(",") if name.strip())
    return Wishes(settings.run_network, settings.build_network, settings.pids_limit, settings.run_host_access, names)


def _kept(place: Path, key: str) -> Machine | None:
    """The outcome kept for this key, if the files that it names are still there."""
    try:
        document = json.loads((place / "machine.json").read_bytes())
        machine = Machine.from_document(document["machine"]) if document["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if machine is None or not Path(machine.environment["CONTAINERS_CONF"]).is_file():
        return None
    if not Path(machine.build_doors).is_file():
        return None
    return machine if all(Path(volume.split(":")[0]).is_dir() for volume in machine.build_volumes) else None


def _key(place: Path, wishes: Wishes) -> str:
    """A digest of all that the outcome depends on and that is cheap to look at."""
    programs = {**facts.find_programs(), "podman": shutil.which("podman") or ""}
    configured = [*configuration.system_files(os.geteuid() == 0), Path("/etc/containers/registries.conf")]
    bundle = buildenvironment.find_bundle(os.environ)
    looked_at = [*map(Path, programs.values()), *configured, *_pip_files(), *([Path(bundle)] if bundle else [])]
    seen = [
        __version__,
        BOOT.read_text(),
        os.geteuid(),
        str(place),
        sys.executable,
        asdict(wishes),
        [resource.getrlimit(limit) for limit in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)],
        sorted(podman_environment().items()),
        sorted((name, value) for name, value in os.environ.items() if name.startswith("PIP_")),
        [(str(path), _stamp(path)) for path in looked_at],
    ]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def _pip_files() -> list[Path]:
    """Where pip reads its configuration (pip's user guide, "Configuration")."""
    home = Path(os.environ.get("HOME") or "/")
    user = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    named = [Path(os.environ["PIP_CONFIG_FILE"])] if os.environ.get("PIP_CONFIG_FILE") else []
    return [
        *named,
        Path("/etc/pip.conf"),
        user / "pip" / "pip.conf",
        home / ".pip" / "pip.conf",
        Path(sys.prefix, "pip.conf"),
    ]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
