"""The short names of images that this machine's Podman knows, see containers-registries.conf(5)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from amun.telemetry.logs import logger


def of_machine(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Aliases by short name: the system's, then the user's. A file that cannot be read is left out."""
    found: dict[str, str] = {}
    for path in _files(environment):
        try:
            aliases = tomllib.loads(path.read_text()).get("aliases") or {}
            found |= {str(short): str(name) for short, name in aliases.items() if name}
        except (OSError, ValueError, AttributeError) as exc:
            logger.warning("short names of images not read", file=str(path), error=str(exc))
    return found


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    if named := environment.get("CONTAINERS_REGISTRIES_CONF"):
        places = [Path(named)]
    else:
        own = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "containers"
        places = [Path("/etc/containers/registries.conf"), *((own / "registries.conf",) * (os.geteuid() != 0))]
    for place in places:
        yield from filter(Path.is_file, [place, *sorted(place.with_suffix(".conf.d").glob("*.conf"))])
