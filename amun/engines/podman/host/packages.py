"""The distribution's package of a program: its version, and what its changelog names. Versions are compared by the
package manager itself, for every distribution counts its own way."""

from __future__ import annotations

import gzip
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

DOCUMENTATION = Path("/usr/share/doc")

_EPOCH = re.compile(r"^\d+:")


@dataclass(frozen=True)
class Package:
    """An installed package: `manager` is ``dpkg`` or ``rpm``, `named` are the CVEs of its changelog."""

    name: str
    version: str
    manager: str
    named: frozenset[str] = frozenset()

    def at_least(self, version: str) -> bool:
        """Whether it is this version of the distribution's, or a later one."""
        return _compared(self.manager, self.version, version) >= 0

    def later_than(self, version: str) -> bool:
        """Whether it is a later version of the distribution's."""
        return _compared(self.manager, self.version, version) > 0

    def upstream_at_least(self, version: str) -> bool:
        """Whether it was made of this version of the program, or of a later one."""
        return _compared(self.manager, _EPOCH.sub("", self.version), version) >= 0


def release() -> tuple[str, str]:
    """Distribution and release as os-release(5) has them: ``("debian", "12")``; empty where nothing says so."""
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        return "", ""
    return found.get("ID", ""), found.get("VERSION_ID", "")


def of(program: str) -> Package | None:
    """The package that a program, named by its path, is of; None where it is of none."""
    path = os.path.realpath(program)
    return _of_dpkg(path) or _of_rpm(path)


def _of_dpkg(path: str) -> Package | None:
    owner = _printed("dpkg-query", "--search", path).partition(":")[0]  # NAME[:ARCHITECTURE]: PATH
    version = _printed("dpkg-query", "--show", "--showformat", "${Version}", owner) if owner else ""
    if not version:  # what was removed is known still, without a version
        return None
    return Package(owner, version, "dpkg", _cves(_changelog(owner)))


def _changelog(name: str) -> str:
    """Of a package of dpkg; nothing where the machine was installed without documentation."""
    for path in (DOCUMENTATION / name / "changelog.Debian.gz", DOCUMENTATION / name / "changelog.gz"):
        try:
            return gzip.decompress(path.read_bytes()).decode(errors="replace")
        except (OSError, EOFError):
            continue
    return ""


def _of_rpm(path: str) -> Package | None:
    printed = _printed("rpm", "--query", "--file", path, "--queryformat", "%{NAME} %{VERSION}-%{RELEASE}\n").split()
    if len(printed) != 2:
        return None
    name, version = printed
    return Package(name, version, "rpm", _cves(_printed("rpm", "--query", "--changelog", name)))


def _cves(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"CVE-\d{4}-\d{4,}", text))


def _compared(manager: str, version: str, other: str) -> int:
    """1 if a version is later than the other one, 0 if it is the same, -1 if it is earlier, or nobody can tell."""
    if manager == "rpm":
        printed = _printed("rpm", "--define", f"one {version}", "--define", f"other {other}", "--eval", _VERCMP)
        return int(printed) if printed in ("0", "1") else -1
    if _call("dpkg", "--compare-versions", version, "gt", other).returncode == 0:
        return 1
    return 0 if _call("dpkg", "--compare-versions", version, "eq", other).returncode == 0 else -1


_VERCMP = '%{lua:print(rpm.vercmp(rpm.expand("%{one}"), rpm.expand("%{other}")))}'


def _printed(*command: str) -> str:
    """What a program prints; nothing if it fails or is not there."""
    done = _call(*command)
    return done.stdout.strip() if done.returncode == 0 else ""


def _call(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "LC_ALL": "C"},
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return subprocess.CompletedProcess(command, 127, "", "")
