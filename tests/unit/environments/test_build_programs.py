"""The helper programs of a build, as far as they can be tried without an image."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.environments.programs import get_pip, installed, settings
from amun.runs.programs import programs

NATIVE = Path(get_pip.__file__).with_name("native.sh")
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
APT = (
    "apt-get -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold -o Acquire::Retries=3 -o Acquire::Languages=none"
    " -o APT::Cmd::Pattern-Only=true"
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


PLACES = ("/opt/amun/build", "/run/amun", "/var/lib/apt/lists")
"""What native.sh touches of an image besides its programs."""

SHIM = """#!/bin/sh
if [ $1 = info ]; then shift; set -- rpm "$@"; else
    printf "%s" {program} >>{root}/calls; printf " <%s>" "$@" >>{root}/calls; echo >>{root}/calls
    for word; do case $word in
        install | add) while read -r line; do echo "$line"; done <{root}/says; exit {code} ;;
    esac; done
    exit 0
fi
"""
RPM = """#!/bin/sh
list={root}/names
for word; do if [ "$word" = --whatprovides ]; then list={root}/provided; fi; done
while read -r line; do if [ "$line" = "$word" ]; then exit 0; fi; done <$list
exit 1
"""
DPKG_QUERY = """#!/bin/sh
case $# in
3)  while read -r line; do
        if [ "$line" = "$3" ]; then echo "install ok installed"; exit; fi
    done <{root}/names
    exit 1 ;;
*)  echo "deinstall ok config-files, , gone, "; echo "install ok installed, , , "
    while read -r line; do echo "install ok installed, , other, $line, last"; done <{root}/provided ;;
esac
"""


class Image:
    """A directory with the programs that an image has, and beside them all that they may touch: its native.sh knows no
    other place, whatever a shell has built in. Managers note how they are called, and `says` is said when one installs;
    `names` are installed, and something that provides what is `provided`."""

    def __init__(
        self,
        directory: Path,
        *managers: str,
        names: str = "vim;which",
        provided: str = "",
        says: str = "",
        code: int = 0,
    ) -> None:
        self.root = directory
        text = NATIVE.read_text()
        for place in PLACES:
            (directory / place[1:]).mkdir(parents=True)
            text = text.replace(place, f"{directory}{place}")
        (directory / "native.sh").write_text(text)
        (directory / "var/lib/apt/lists/list").touch()
        for name, content in {"calls": "", "says": says}.items():
            (directory / name).write_text(content)
        for name, words in {"names": names.split(";"), "provided": provided.split(";")}.items():
            (directory / name).write_text("".join(f"{word}\n" for word in words if word))
        programs = {program: f'#!/bin/sh\nexec {shutil.which(program)} "$@"\n' for program in ("rm", "tee")}
        programs |= dict.fromkeys(managers, SHIM) | {"rpm": RPM, "dpkg-query": DPKG_QUERY}
        if "apk" in managers:
            programs["apk"] = SHIM + RPM.partition("\n")[2]
        (directory / "bin").mkdir()
        for program, content in programs.items():
            path = directory / "bin" / program
            path.write_text(content.replace("{root}", str(directory)).replace("{program}", program)
                            .replace("{code}", str(code)))  # fmt: skip
            path.chmod(0o755)

    def run(self, shell: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        applet = ["sh"] if shell == "busybox" else []
        command = [str(shutil.which(shell)), *applet, str(self.root / "native.sh"), *arguments]
        environment = {"PATH": str(self.root / "bin")}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def called(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()


def test_the_native_program_touches_no_other_places_of_an_image() -> None:
    named = re.findall(r"(?<![\w}])/[a-z][\w./-]*", re.sub(r"^\s*#.*$", "", NATIVE.read_text(), flags=re.MULTILINE))
    assert {name for name in named if not name.startswith(PLACES)} == {"/dev/null"}


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
    assert [line.replace("<", "").replace(">", "") for line in image.called()] == expected
    assert list((tmp_path / "var/lib/apt/lists").iterdir()) == [tmp_path / "var/lib/apt/lists/list"] * (
        manager != "apt-get"
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_names_reach_the_manager_one_by_one_and_unread(tmp_path: Path, shell: str) -> None:
    names = ["a b", "$HOME", "`id`", "*", "x;y", "é"]
    image = Image(tmp_path, "apk")
    (tmp_path / "names").write_text("".join(f"{name}\n" for name in names))
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
    assert Image(tmp_path, "apk", code=42).run(shell, "vim").returncode == 42


MANAGERS = ["dnf", "microdnf", "yum", "apt-get", "apk", "zypper"]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("manager", MANAGERS)
def test_a_name_that_was_not_installed_after_all_fails_the_step(tmp_path: Path, shell: str, manager: str) -> None:
    done = Image(tmp_path, manager).run(shell, "vim", "hello.traditional")
    assert done.returncode != 0
    assert done.stderr == (
        f"ERROR: {manager} ended well, but hello.traditional is not installed, nor anything that provides it\n"
    )


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("manager", "requested", "names", "provided"),
    [
        ("apt-get", "awk", "mawk", "awk"),
        ("apt-get", "awk", "mawk", "awk (= 1.3)"),
        ("apt-get", "vim=2:9.0-1", "vim", ""),
        ("apt-get", "vim:amd64=2:9.0-1", "vim:amd64", ""),
        ("apt-get", "vim/bookworm-backports", "vim", ""),
        ("apt-get", "vim:any", "vim", ""),
        ("apt-get", "vim:native=2:9.0-1", "vim", ""),
        ("apt-get", "vim:all/bookworm", "vim", ""),
        ("apt-get", "g++", "g++", ""),
        ("apt-get", "vim+", "vim", ""),
        ("apt-get", "standard^", "", ""),
        ("dnf", "webserver", "httpd", "webserver"),
        ("dnf", "vim-2:9.0-1.x86_64", "vim-2:9.0-1.x86_64", ""),
        ("dnf", "2:vim-9.0-1", "vim-9.0-1", ""),
        ("dnf", "@development", "", ""),
        ("yum", "vim-9.0", "vim-9.0", ""),
        ("microdnf", "webserver", "", "webserver"),
        ("zypper", "vim=9.0", "vim;vim-9.0", ""),
        ("zypper", "webserver=3", "", "webserver"),
        ("zypper", "pattern:base", "", "pattern() = base"),
        ("zypper", "main:vim", "vim", ""),
        ("apk", "vim=9.0-r0", "vim=9.0-r0", ""),
        ("apk", "cmd:vim", "cmd:vim", ""),
    ],
)
def test_what_is_installed_is_known_by_all_that_it_may_be_called(
    tmp_path: Path, shell: str, manager: str, requested: str, names: str, provided: str
) -> None:
    image = Image(tmp_path, manager, names=names, provided=provided)
    done = image.run(shell, requested)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_zypper_that_keeps_another_version_has_not_installed_this_one(tmp_path: Path, shell: str) -> None:
    image = Image(tmp_path, "zypper", names="vim;vim-9.1", provided="vim")
    assert image.run(shell, "vim=9.0").returncode == 1


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("not_there", ["gone", "aw", "awk2", "other,", "vim=9.0"])
def test_what_is_not_installed_is_not_taken_for_something_else(tmp_path: Path, shell: str, not_there: str) -> None:
    image = Image(tmp_path, "apt-get", names="mawk", provided="awk (= 1.3)")
    assert image.run(shell, not_there).returncode == 1


SCRIPTLETS = {
    # dnf 4.14 and zypper 1.14, really run; the rest by public logs of yum 3 and apk 2, and by RpmTransCB of dnf 5.
    "warning: %post(bad-1.0-1.noarch) scriptlet failed, exit status 3": "bad-1.0-1.noarch",
    "error: %prein(bad-1.0-1.noarch) scriptlet failed, exit status 4": "bad-1.0-1.noarch",
    "warning: %triggerin(bad-1.0-1.noarch) scriptlet failed, exit status 5": "bad-1.0-1.noarch",
    "Error in POSTIN scriptlet in rpm package bad": "bad",
    "Error in <unknown> scriptlet in rpm package bad": "bad",
    "Non-fatal POSTIN scriptlet failure in rpm package bad-1.0-1.noarch": "bad-1.0-1.noarch",
    "Error in post-install scriptlet: bad-0:1.0-1.noarch return code 1": "bad-0:1.0-1.noarch",
    ">>> Non-critical error in post-install scriptlet: bad-0:1.0-1.noarch": "bad-0:1.0-1.noarch",
    "ERROR: bad-1.0-r0.post-install: script exited with error 1": "bad-1.0-r0.post-install",
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("line", SCRIPTLETS)
def test_a_script_of_a_package_that_failed_fails_the_step_and_names_the_package(
    tmp_path: Path, shell: str, line: str
) -> None:
    image = Image(tmp_path, "dnf", says=f"Installing\n{line}\nComplete!\n")
    done = image.run(shell, "vim")
    assert done.returncode != 0
    assert done.stderr == f"ERROR: a script of the package {SCRIPTLETS[line]} failed: {line}\n"
    assert line in done.stdout.splitlines()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_group_that_yum_goes_on_without_fails_the_step(tmp_path: Path, shell: str) -> None:
    done = Image(tmp_path, "yum", says="Warning: Group tools does not exist.\nComplete!\n").run(shell, "vim", "@tools")
    assert done.returncode != 0
    assert done.stderr == "ERROR: Group tools does not exist.\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_without_rpm_it_is_said_that_nothing_can_be_checked(tmp_path: Path, shell: str) -> None:
    image = Image(tmp_path, "microdnf")
    (tmp_path / "bin" / "rpm").unlink()
    done = image.run(shell, "vim")
    assert done.returncode == 0
    assert "There is no rpm in the image by which to see whether all was installed." in done.stdout


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


def test_what_the_base_tells_pip_of_sources_holds_and_what_leads_elsewhere_does_not() -> None:
    listing = (
        "global.index-url='https://a.example.org/simple'\nglobal.user='true'\nglobal.extra-index-url='\\nhttps://b\\nhttps://c'\n"
        "install.target='/x'\ninstall.index-url='https://d.example.org/simple'\nfreeze.index-url='https://never'\n"
        ":env:.prefix='/y'\n:env:.trusted-host='d.example.org'\na line of another kind\n"
    )
    assert settings.options(listing) == {
        "index-url": "https://d.example.org/simple",
        "extra-index-url": "\nhttps://b\nhttps://c",
        "trusted-host": "d.example.org",
    }


VALUE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)


@given(st.dictionaries(st.sampled_from(sorted(settings.PIP)), VALUE, max_size=4))
def test_settings_reach_a_shell_as_they_are(pip: dict[str, str]) -> None:
    leading = dict.fromkeys(["PIP_USER", "PIP_TARGET", "UV_TARGET", "PIPENV_PIPFILE", "MICROPIPENV_PIP_ARGS"], "/x")
    stays = {"UV_HTTP_TIMEOUT": "9", "PATH": os.environ["PATH"], "PIPX": "1"}
    script = "\n".join([*settings.commands(pip, [*leading, "PIP_é", "PIP_a b;exit 9"]), "exec env -0"])
    ended = subprocess.run(["/bin/sh", "-c", script], env={**leading, **stays}, capture_output=True, check=True)
    seen = dict(pair.split("=", 1) for pair in ended.stdout.decode().split("\0") if pair)
    expected = {"PIP_" + name.upper().replace("-", "_"): value for name, value in pip.items()}
    set_always = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONNOUSERSITE": "1"}
    assert {name: value for name, value in seen.items() if name not in ("PWD", "_", "SHLVL", "OLDPWD")} == {
        **stays, **expected, **set_always,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("requirement", "expected"),
    [
        ("zope.interface>1", ""),
        ("Zope_Interface[test]", ""),
        ("zope-interface @ https://example.org/a.whl", ""),
        ("zope-interface @ git+https://example.org/a.git@1", ""),
        ("dev-release>=1", ""),
        ("Zope.Interface>=6", "Zope.Interface is there in version 5.0+cpu, not >=6"),
        ("zope.interface==5.0", ""),
        ("zope", "zope is not there"),
    ],
)
def test_what_was_requested_is_looked_for_as_it_is_installed(requirement: str, expected: str) -> None:
    found = {"zope-interface": "5.0+cpu", "dev-release": "2.0.dev1"}
    assert installed.complaint(installed.Requirement(requirement), found) == expected


def test_what_does_not_apply_here_is_not_looked_for() -> None:
    lines = ["six; python_version < '3'", "six; extra == 'x'", "six; os_name == 'posix' and extra == 'x'"]
    assert not any(installed.applies(installed.Requirement(line)) for line in lines)
    assert installed.applies(installed.Requirement("six; python_version > '3'"))


def test_programs_run_in_every_posix_shell() -> None:
    for program in NATIVE.parent.glob("*.sh"):
        assert os.access(program, os.R_OK)
        for shell in SHELLS:
            applet = ["sh"] if shell == "busybox" else []
            checked = subprocess.run([shell, *applet, "-n", program], capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_installed_is_listed_by_what_the_image_has(shell: str, tmp_path: Path) -> None:
    # A link would leave the virtual environment, and list what the machine has.
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    shutil.copy(NATIVE.with_name("packages.sh"), tmp_path)
    # Without the places where the machine may have one of its own.
    search = programs()["python.sh"].decode().replace(" $PATH /usr/bin /usr/local/bin;", " $PATH;")
    (tmp_path / "python.sh").write_text(search)
    command = [str(shutil.which(shell)), *(["sh"] if shell == "busybox" else []), str(tmp_path / "packages.sh")]
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


@pytest.mark.skipif(not shutil.which("git"), reason="there is no git on this machine")
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://git.example", ("me", "p%7=:x")),
        ("https://git.example:8443/a/b.git", ("me", "p%7=:x")),
        ("https://[2001:db8::1]:8443/a", ("six", "")),
        ("https://[2001:db8::1]/a", ("six", "")),
        ("https://other.example:443/", None),
        ("https://example/", None),
    ],
)
def test_git_is_told_the_password_of_a_host_whatever_its_port(
    shell: str, url: str, told: tuple[str, str] | None, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine git.example login me password p%7=:x\nmachine 2001:db8::1 login six\n")
    applet = "sh " if shell == "busybox" else ""
    helper = f"!{shutil.which(shell)} {applet}{shlex.quote(str(NATIVE.with_name('git-credential.sh')))}"
    own = {"NETRC": str(tmp_path / "netrc"), "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    quiet = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    command = ["git", "-c", f"credential.helper={helper}", "credential", "fill"]
    asked = subprocess.run(
        command, input=f"url={url}\n\n", env={**own, **quiet}, capture_output=True, text=True, check=False
    )
    found = dict(line.split("=", 1) for line in asked.stdout.splitlines())
    assert (asked.returncode == 0) is (told is not None), asked.stderr
    assert told is None or (found["username"], found["password"]) == told
