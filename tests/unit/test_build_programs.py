"""The helper programs of a build, as far as they can be tried without an image."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amun.build import get_pip

NATIVE = Path(get_pip.__file__).with_name("native.sh")
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
APT = (
    "apt-get -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold -o Acquire::Retries=3 -o Acquire::Languages=none"
)

PAGE = """
<!DOCTYPE html><html><body>
<a href="../files/pip-9.0.3-py2.py3-none-any.whl#sha256=aa" data-requires-python="&gt;=2.6,!=3.0.*">pip-9.0.3</a>
<a href="https://files.example.org/pip-21.3.1-py3-none-any.whl#sha256=bb" data-requires-python="&gt;=3.6">pip-21.3.1</a>
<a href="../files/pip-24.0-py3-none-any.whl#sha256=cc" data-requires-python="&gt;=3.7">pip-24.0</a>
<a href="../files/pip-24.1-py3-none-any.whl#sha256=dd" data-requires-python="&gt;=3.7" data-yanked="broken">pip-24.1</a>
<a href="../files/pip-25.0b1-py3-none-any.whl">a pre-release</a>
<a href="../files/pip-100.0.tar.gz">no wheel</a>
<a href="../files/pip-26.3-py3-none-any.whl" data-requires-python="&gt;=3.10">pip-26.3</a>
</body></html>
"""


class Image:
    """A directory with the programs that an image has, each of which notes how it is called."""

    def __init__(self, directory: Path, *programs: str) -> None:
        self.directory = directory
        self.calls = directory / "calls"
        self.calls.touch()
        for program in ("rm", *programs):
            path = directory / program
            path.write_text(f'#!/bin/sh\nprintf "%s" {program} >>{self.calls}\n'
                            f'printf " <%s>" "$@" >>{self.calls}\necho >>{self.calls}\n')  # fmt: skip
            path.chmod(0o755)

    def run(self, shell: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Only the image's own programs are on PATH: nothing of this machine is touched."""
        command = [str(shutil.which(shell)), *(["sh"] if shell == "busybox" else []), str(NATIVE), *arguments]
        return subprocess.run(command, env={"PATH": str(self.directory)}, capture_output=True, text=True, check=False)

    def called(self) -> list[str]:
        return self.calls.read_text().splitlines()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("manager", "expected"),
    [
        ("dnf", ["dnf -y upgrade", "dnf -y --setopt=install_weak_deps=False install vim which", "dnf clean all"]),
        (
            "microdnf",
            [
                "microdnf -y update",
                "microdnf -y --setopt=install_weak_deps=0 install vim which",
                "microdnf clean all",
            ],
        ),
        ("yum", ["yum -y update", "yum -y install vim which", "yum clean all"]),
        (
            "apt-get",
            [
                f"{APT} update",
                f"{APT} upgrade",
                f"{APT} --no-install-recommends install vim which",
                "apt-get clean",
                "rm -rf /var/lib/apt/lists/*",
            ],
        ),
        ("apk", ["apk upgrade --no-cache", "apk add --no-cache vim which"]),
        (
            "zypper",
            [
                "zypper --non-interactive update",
                "zypper --non-interactive install --no-recommends vim which",
                "zypper clean --all",
            ],
        ),
    ],
)
def test_native_packages_are_updated_and_installed_by_the_manager_there_is(
    tmp_path: Path, shell: str, manager: str, expected: list[str]
) -> None:
    image = Image(tmp_path, manager)
    done = image.run(shell, "--update", "vim", "which")
    assert done.returncode == 0, done.stderr
    called = [line.replace("<", "").replace(">", "") for line in image.called()]
    assert [line if not line.startswith("rm") else "rm -rf /var/lib/apt/lists/*" for line in called] == expected


@pytest.mark.parametrize("shell", SHELLS)
def test_names_reach_the_manager_one_by_one_and_unread(tmp_path: Path, shell: str) -> None:
    names = ["a b", "$HOME", "`id`", "*", "x;y", "é"]
    image = Image(tmp_path, "apk")
    assert image.run(shell, *names).returncode == 0
    assert image.called() == ["apk <add> <--no-cache> " + " ".join(f"<{name}>" for name in names)]


@pytest.mark.parametrize("shell", SHELLS)
def test_only_an_update_installs_nothing(tmp_path: Path, shell: str) -> None:
    image = Image(tmp_path, "apk")
    assert image.run(shell, "--update").returncode == 0
    assert image.called() == ["apk <upgrade> <--no-cache>"]


@pytest.mark.parametrize("shell", SHELLS)
def test_dnf_is_preferred_where_yum_is_there_too(tmp_path: Path, shell: str) -> None:
    image = Image(tmp_path, "yum", "dnf")
    image.run(shell, "vim")
    assert {line.split()[0] for line in image.called()} == {"dnf"}


@pytest.mark.parametrize("shell", SHELLS)
def test_options_cannot_come_as_package_names(tmp_path: Path, shell: str) -> None:
    image = Image(tmp_path, "apk")
    done = image.run(shell, "vim", "--allow-untrusted")
    assert done.returncode != 0
    assert done.stderr == "ERROR: a package name cannot start with a dash: --allow-untrusted\n"
    assert image.called() == []


@pytest.mark.parametrize("shell", SHELLS)
def test_image_without_a_package_manager_says_so(tmp_path: Path, shell: str) -> None:
    done = Image(tmp_path).run(shell, "vim")
    assert done.returncode != 0
    assert done.stderr.startswith("ERROR: the base image has no package manager that is known here (looked for: dnf ")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_manager_that_fails_fails_the_step_with_its_exit_code(tmp_path: Path, shell: str) -> None:
    image = Image(tmp_path, "apk")
    (tmp_path / "apk").write_text("#!/bin/sh\nexit 42\n")
    assert image.run(shell, "vim").returncode == 42


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        ((3, 5, 2), get_pip.Wheel((9, 0, 3), "https://index.example.org/files/pip-9.0.3-py2.py3-none-any.whl", "aa")),
        ((3, 6, 8), get_pip.Wheel((21, 3, 1), "https://files.example.org/pip-21.3.1-py3-none-any.whl", "bb")),
        ((3, 9, 0), get_pip.Wheel((24, 0), "https://index.example.org/files/pip-24.0-py3-none-any.whl", "cc")),
        ((3, 14, 0), get_pip.Wheel((26, 3), "https://index.example.org/files/pip-26.3-py3-none-any.whl", "")),
        ((2, 5, 0), None),
    ],
)
def test_pip_is_the_newest_that_runs_on_the_images_python(
    python: tuple[int, ...], expected: get_pip.Wheel | None
) -> None:
    assert get_pip.newest(PAGE, "https://index.example.org/pip/", python) == expected


def test_programs_run_in_every_posix_shell() -> None:
    for program in NATIVE.parent.glob("*.sh"):
        assert os.access(program, os.R_OK)
        for shell in SHELLS:
            applet = ["sh"] if shell == "busybox" else []
            checked = subprocess.run([shell, *applet, "-n", program], capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_installed_is_listed_by_what_the_image_has(shell: str, tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.symlink_to(sys.executable)
    command = [str(shutil.which(shell)), *(["sh"] if shell == "busybox" else []), str(NATIVE.with_name("packages.sh"))]
    listed = subprocess.run(
        command, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    entries = [line.split(" ") for line in listed.stdout.splitlines()]
    assert {len(entry) for entry in entries} == {3}
    assert ["python", "pytest", pytest.__version__] in entries
    if shutil.which("dpkg-query"):
        assert "bash" in {name for kind, name, _ in entries if kind == "native"}
    alone = subprocess.run(command, env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False)
    assert "python" not in alone.stdout
