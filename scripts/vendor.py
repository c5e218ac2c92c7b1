"""Fetches the plotting library of the page, as `packages.json` beside it says: these versions, and no other bytes.

Whoever wants another version writes it there with the integrity that `npm view NAME@VERSION dist.integrity` prints.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).parent.parent / "amun" / "pages" / "static" / "vendor"


def main() -> None:
    """Fetch all packages, check each, and put the named files of them in place."""
    packages = json.loads((VENDOR / "packages.json").read_text())
    with tempfile.TemporaryDirectory() as directory:
        for name, package in packages.items():
            archive = fetch(f"{name}@{package['version']}", package["integrity"], Path(directory))
            for inside, outside in package["files"].items():
                (VENDOR / outside).write_bytes(member(archive, f"package/{inside}"))
            print(f"{name} {package['version']}: {', '.join(package['files'].values())}")


def fetch(name: str, integrity: str, directory: Path) -> Path:
    """The package's archive; ends the program if it is not the one that was meant."""
    command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(directory), name]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    archive = directory / printed.split()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != integrity:
        sys.exit(f"{name} is not what packages.json says: sha512-{digest}")
    return archive


def member(archive: Path, name: str) -> bytes:
    """The bytes of one file in it."""
    with tarfile.open(archive) as opened:
        found = opened.extractfile(name)
        if found is None:
            sys.exit(f"{archive.name} has no file {name}.")
        return found.read()


if __name__ == "__main__":
    main()
