"""Images with dnf or zypper and a small repository of their own, made here of Debian's packages.

No registry is needed: Debian has dnf, zypper and rpm. The package database is empty but for what stands for the system
itself, the repository is a directory of the image, and each of its packages is there for a case of the tests.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from amun.engines.podman.host import base_image
from amun.engines.podman.host.machine import Machine
from amun.engines.podman.podman_cli import Podman

MANAGERS = ("dnf", "zypper")

# Name, version and further lines of the spec file.
PACKAGES = [
    ("hello", "1.0", ""),
    ("hello", "2.0", ""),
    ("engine-x", "1.0", "Provides: webserver = 3"),
    ("needy", "1.0", "Requires: libmissing.so.7()(64bit)"),
    ("needier", "1.0", "Requires: needy"),
    ("picky", "1.0", "Requires: hello >= 9"),
    ("bad-post", "1.0", "%post\nexit 3"),
    ("bad-pre", "1.0", "%pre\nexit 4"),
    ("bad-trigger", "1.0", "%triggerin -- hello\nexit 5"),
    ("left", "1.0", "Conflicts: right"),
    ("right", "1.0", ""),
    ("same-a", "1.0", "%install\nmkdir -p %{buildroot}/etc\necho a >%{buildroot}/etc/same"),
    ("same-b", "1.0", "%install\nmkdir -p %{buildroot}/etc\necho b >%{buildroot}/etc/same"),
    ("gone", "1.0", ""),
    ("broken", "1.0", ""),
    ("group-tool", "1.0", ""),
]

GROUPS = """<?xml version="1.0"?>
<comps><group><id>tools</id><name>Tools</name><uservisible>true</uservisible>
<packagelist><packagereq type="mandatory">group-tool</packagereq></packagelist></group></comps>
"""

REPOSITORY = "[own]\nname=own\nbaseurl=file:///srv/repo\nenabled=1\ngpgcheck=0\nautorefresh=1\nrepo_gpgcheck=0\n"

SETUP = """\
set -eu
mkdir -p /etc/rpm /etc/dnf /etc/yum.repos.d /etc/zypp/repos.d /srv/repo /var/lib/rpm
echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros
printf '[main]\\ngpgcheck=0\\ninstallonly_limit=3\\n' >/etc/dnf/dnf.conf
mkdir -p /etc/dnf/vars && echo 1 >/etc/dnf/vars/releasever
cp own.repo /etc/yum.repos.d/ && cp own.repo /etc/zypp/repos.d/
rpm --initdb
for spec in *.spec; do rpmbuild -bb --quiet --define '_rpmdir /srv/repo' "$spec"; done
rpm --install --nodeps /srv/repo/noarch/system-*.rpm
createrepo_c --quiet --groupfile "$PWD/comps.xml" /srv/repo
rm /srv/repo/noarch/gone-*.rpm
echo broken >/srv/repo/noarch/broken-1.0-1.noarch.rpm
rm -f /usr/bin/apt /usr/bin/apt-get
"""


def ensure(machine: Machine, manager: str) -> str:
    """Return the name of the image, made where it is not there. Raises `EngineUnavailable` if it cannot be made."""
    packages = ("ca-certificates", manager, "rpm", "createrepo-c")
    debian = base_image.ensure(machine, base_image.Recipe(f"localhost/amun/test-debian-{manager}:bookworm", packages))
    name = f"localhost/amun/test-{manager}:own"
    with tempfile.TemporaryDirectory() as directory:
        for file, text in _context(debian).items():
            Path(directory, file).write_text(text)
        podman = Podman(machine.podman, machine.environment)
        podman.call("build", "--quiet", "--network", "none", "--tag", name, directory, timeout=600)
    return name


def _context(debian: str) -> dict[str, str]:
    specs = {f"{name}-{version}.spec": _spec(name, version, more) for name, version, more in PACKAGES}
    system = _spec("system", "1.0", "Provides: /bin/sh")
    dockerfile = f"FROM {debian}\nCOPY . /srv/setup/\nRUN cd /srv/setup && sh -e setup.sh && rm -rf /srv/setup\n"
    files = {"Dockerfile": dockerfile, "setup.sh": SETUP, "own.repo": REPOSITORY, "comps.xml": GROUPS}
    return {**files, **specs, "system-1.0.spec": system}


def _spec(name: str, version: str, more: str) -> str:
    """Files, where %install makes any, are those that it makes."""
    tags, scripts = (more, "") if not more.startswith("%") else ("", more)
    head = f"Name: {name}\nVersion: {version}\nRelease: 1\nSummary: {name}\nLicense: MIT\nBuildArch: noarch\n{tags}\n"
    files = "%files\n" + ("/etc/same\n" if "/etc/same" in scripts else "")
    return f"{head}\n%description\n{name}\n\n{scripts}\n\n{files}"
