"""Environments that are really built, and looked at from inside. Needs Podman, and the network for packages."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amun.engines.podman.builds.namespace import build_command
from amun.engines.podman.host.machine import Machine, for_settings
from amun.environments.build_log import Failure, failed_step
from amun.environments.dockerfile import build_arguments, context
from amun.errors import EngineUnavailable
from amun.settings import Settings
from amun.validation.problems import validated
from tests.support import deb_images, rpm_images

pytestmark = pytest.mark.podman

PYPI = {"name": "pypi", "url": "https://pypi.org/simple", "verify_ssl": True}
SAME = {"name": "same", "url": "https://pypi.org/simple/", "verify_ssl": True}
SIX = "sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254"
TOML = "sha256:806143ae5bfb6a3c6e736a764057db0e6a0e05e338b5630894a5f779cabb4f9b"
MANAGERS = ["micropipenv", "pipenv", "uv"]

# Every character of the basic multilingual plane that text can hold, and some beyond.
CHARACTERS = "".join(map(chr, [*range(1, 0xD800), *range(0xE000, 0x10000), 0x1F600, 0x10FFFF]))
PIECES = [CHARACTERS[start : start + 30_000] for start in range(0, len(CHARACTERS), 30_000)]
NASTY = ["", " ", "a b", "'", '"', "\\", "\\\\n", "$HOME", "${HOME}", "\\$HOME", "`id`", "$(id)", "#", " #x", "a=b"]
NASTY += ["\t", "\n", "\r", "one\ntwo\n", "\n ", "é漢😀", "<<EOF", "*", "~", "%s", "--", "\\\n", "end\\"]


class Builder:
    """Builds specifications with the Podman of this machine, and runs commands in the images."""

    def __init__(self, machine: Machine, base: str, directory: Path) -> None:
        self.machine = machine
        self.base = base
        self.directory = directory
        self.images: list[str] = []

    def podman(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.call([self.machine.podman, *arguments], **options)

    def call(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self.machine.environment, text=True, check=False, **options)

    def build_files(self, files: dict[str, bytes]) -> tuple[str, str]:
        """Build a context; returns the image and the log. Raises RuntimeError, with the log, if it fails."""
        place = self.directory / str(len(list(self.directory.iterdir())))
        place.mkdir()
        for name, content in files.items():
            (place / name).write_bytes(content)
        image = f"localhost/amun/test-builds:{place.name}"
        options = [f"--build-arg={name}={value}" for name, value in build_arguments(files).items()]
        options += [f"--volume={volume}" for volume in self.machine.build_volumes]
        command = build_command(self.machine, *options, "-t", image, str(place))
        done = self.call(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            raise RuntimeError(done.stdout)
        self.images.append(image)
        return image, done.stdout

    def build(self, **fields: Any) -> tuple[str, str]:
        return self.build_files(context(validated({"base": self.base, **fields})))

    def failure(self, **fields: Any) -> Failure:
        with pytest.raises(RuntimeError) as raised:
            self.build(**fields)
        return failed_step(str(raised.value))

    def base_without(self, *paths: str) -> str:
        """Make a base image that lacks these paths."""
        dockerfile = f"FROM {self.base}\nUSER 0\nRUN rm -rf {' '.join(paths)}\n"
        image, _ = self.build_files({"Dockerfile": dockerfile.encode()})
        return image

    def run(self, image: str, *command: str, **options: Any) -> str:
        """Run as a cluster does: some user that the image does not know, of group 0. Returns what was printed."""
        user = 64_000 if self.machine.rootless else 1_000_140_000  # Without root, there are 65,536 at most.
        arguments = ["run", "--rm", "--network=host", f"--user={user}:0", *options.pop("flags", ())]
        done = self.podman(*arguments, image, *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def python_packages(self, image: str) -> dict[str, str]:
        listed = json.loads(self.run(image, "python", "-m", "pip", "list", "--format=json"))
        return {package["name"]: package["version"] for package in listed}


@pytest.fixture(scope="module")
def builder(base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    builder = Builder(for_settings(Settings()), base, tmp_path_factory.mktemp("contexts"))
    yield builder
    builder.podman("rmi", "--force", *builder.images, stdout=subprocess.DEVNULL)


def stack(manager: str = "micropipenv", six: str = SIX, python: str | None = None) -> dict[str, Any]:
    """A small locked stack: from an index of two by name, from any of them, and one package for another system."""
    packages = {
        "six": {"version": "==1.16.0", "hashes": [six], "markers": "python_version >= '2.7'"},
        "toml": {"version": "==0.10.2", "hashes": [TOML], "index": "same"},
        "colorama": {"version": "==0.4.6", "hashes": ["sha256:" + "0" * 64], "markers": "sys_platform == 'win32'"},
    }
    sources = [PYPI, SAME]
    meta = {"pipfile-spec": 6, "sources": sources, "requires": {"python_version": python}}
    return {
        "package_manager": manager,
        "python": {
            "requirements": {"source": sources, "packages": {"six": "==1.16.0", "toml": {"version": "*"}}},
            "requirements_locked": {"_meta": meta, "default": packages, "develop": {}},
        },
    }


def test_a_native_package_is_there_and_apt_leaves_no_lists(builder: Builder) -> None:
    image, _ = builder.build(packages=["tree"])
    assert builder.run(image, "tree", "--version").startswith("tree v")
    assert builder.run(image, "sh", "-c", "ls /var/lib/apt/lists /opt/amun/build 2>/dev/null || true").split() == [
        "/var/lib/apt/lists:"
    ]


def test_a_native_package_that_does_not_exist_is_named(builder: Builder) -> None:
    reason, message = builder.failure(packages=["no-such-package"])
    assert reason == "BuildFailed"
    assert message.startswith("Installing native packages failed (step ")
    assert message.endswith("E: Unable to locate package no-such-package.")


@pytest.mark.parametrize("package", ["hello.traditional", "tre."])
def test_no_package_is_taken_for_another_by_a_pattern(builder: Builder, package: str) -> None:
    _, message = builder.failure(packages=[package])
    assert f"Unable to locate package {package}" in message


def test_a_native_package_may_be_called_by_what_it_provides(builder: Builder) -> None:
    image, _ = builder.build(packages=["pip", "tree:amd64", "dash/bookworm"])
    assert builder.run(image, "tree", "--version").startswith("tree v")


@pytest.fixture(scope="module")
def with_debs(builder: Builder) -> str:
    """A base with a repository of its own, each package of which is there for a case."""
    image, _ = builder.build_files(deb_images.context(builder.base))
    return image


@pytest.mark.parametrize(
    ("packages", "sentence"),
    [
        ("own-needy", "own-needy : Depends: libmissing (>= 2) but it is not installable"),
        (
            "own-bad",
            "dpkg: error processing package own-bad (--configure): installed own-bad package post-installation",
        ),
        ("own-left own-right", "own-left : Conflicts: own-right but 1.0 is to be installed"),
        ("own-same-a own-same-b", "trying to overwrite '/etc/same', which is also in package own-same-a 1.0"),
        ("own-gone", "own-gone.deb File not found"),
        ("own-broken", "own-broken.deb Hash Sum mismatch"),
        ("tree=9.9", "E: Version '9.9' for 'tree' was not found"),
        (
            "no-such tree no-such-either",
            "E: Unable to locate package no-such; E: Unable to locate package no-such-either",
        ),
    ],
)
def test_what_apt_cannot_give_is_said(builder: Builder, with_debs: str, packages: str, sentence: str) -> None:
    reason, message = builder.failure(base=with_debs, packages=packages.split())
    assert reason == "BuildFailed"
    assert sentence in message


@pytest.fixture(scope="module", params=rpm_images.MANAGERS)
def with_rpm(builder: Builder, request: pytest.FixtureRequest) -> str:
    try:
        return rpm_images.ensure(builder.machine, request.param)
    except EngineUnavailable as exc:
        pytest.skip(f"no image with {request.param} can be made here: {exc}")


def test_rpm_packages_are_installed_in_the_version_asked_for_and_updated(builder: Builder, with_rpm: str) -> None:
    pinned = "hello=1.0" if "zypper" in with_rpm else "hello-1.0"
    old, _ = builder.build(base=with_rpm, packages=[pinned, "webserver"])
    assert builder.run(old, "rpm", "-q", "hello", "engine-x").split() == ["hello-1.0-1.noarch", "engine-x-1.0-1.noarch"]
    new, _ = builder.build(base=old, update=True)
    assert builder.run(new, "rpm", "-q", "hello").strip() == "hello-2.0-1.noarch"


def test_a_group_of_rpm_packages_is_installed(builder: Builder, with_rpm: str) -> None:
    if "zypper" in with_rpm:
        pytest.skip("zypper does not know groups, but patterns")
    image, _ = builder.build(base=with_rpm, packages=["@tools"])
    assert builder.run(image, "rpm", "-q", "group-tool").strip() == "group-tool-1.0-1.noarch"


@pytest.mark.parametrize("package", ["bad-post", "bad-pre", "bad-trigger hello"])
def test_a_script_of_an_rpm_package_that_failed_fails_the_build(builder: Builder, with_rpm: str, package: str) -> None:
    names = package.split()
    _, message = builder.failure(base=with_rpm, packages=names)
    assert f"a script of the package {names[0]}-1.0-1.noarch failed" in message


@pytest.mark.parametrize(
    ("packages", "sentence"),
    [
        ("needier", "nothing provides libmissing.so.7()(64bit) needed by needy-1.0-1.noarch"),
        ("picky", "nothing provides hello >= 9 needed by picky-1.0-1.noarch"),
        ("left right", "left-1.0-1.noarch conflicts with right provided by right-1.0-1.noarch"),
        ("hello nosuch", "nosuch"),
        ("same-a same-b", "/etc/same"),
        ("gone", "gone-1.0-1.noarch"),
        ("broken", "broken-1.0-1.noarch"),
    ],
)
def test_what_an_rpm_repository_cannot_give_is_said(
    builder: Builder, with_rpm: str, packages: str, sentence: str
) -> None:
    reason, message = builder.failure(base=with_rpm, packages=packages.split())
    assert reason == "BuildFailed"
    assert sentence in message


def test_a_loose_python_package_is_found_first_on_a_base_that_manages_its_own(builder: Builder) -> None:
    image, _ = builder.build(python_packages=["iniconfig>1; python_version > '3'"])
    assert builder.run(image, "python3", "-c", "import iniconfig; print(iniconfig.__file__)").startswith(
        "/opt/amun/venv"
    )
    assert builder.run(image, "sh", "-c", "command -v python3; command -v pip").split() == [
        "/opt/amun/venv/bin/python3",
        "/opt/amun/venv/bin/pip",
    ]


def test_loose_python_packages_join_those_of_the_base(builder: Builder) -> None:
    site = "/usr/lib/python3/dist-packages/of_the_base.py"
    image, _ = builder.build(files=[{"path": site, "content": "here = 1\n"}], python_packages=["iniconfig>1"])
    assert builder.run(image, "python", "-c", "import iniconfig, of_the_base; print(of_the_base.here)") == "1\n"


def test_new_files_do_not_install_packages_again(builder: Builder) -> None:
    loose = {"python_packages": ["iniconfig>0.1"]}
    builder.build(**loose, files=[{"path": "/a", "content": "1"}])
    _, log = builder.build(**loose, files=[{"path": "/b", "content": "2"}], environment=[{"name": "A", "value": "1"}])
    assert "Using cache" in log.partition("loose.sh")[2].partition("finish.sh")[0]
    assert "Installing Python packages" not in log


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_locked_stack_is_installed_exactly_and_alone(builder: Builder, manager: str) -> None:
    image, _ = builder.build(**stack(manager))
    found = builder.python_packages(image)
    assert {name: found[name] for name in found.keys() - {"pip", "setuptools"}} == {"six": "1.16.0", "toml": "0.10.2"}
    assert builder.run(image, "ls", "/opt/amun") == "packages\nvenv\n"


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_wrong_hash_is_not_installed(builder: Builder, manager: str) -> None:
    reason, message = builder.failure(**stack(manager, six="sha256:" + "1" * 64))
    assert reason == "BuildFailed"
    assert message.startswith("Installing the locked Python packages failed (step ")
    assert "DO NOT MATCH THE HASHES: six==1.16.0" in message or "Hash mismatch for `six==1.16.0`" in message


@pytest.mark.parametrize(
    ("package", "sentence"),
    [
        ("netifaces==0.11.0", "failed: No such file or directory (building netifaces)"),
        ("anyjson==0.3.3", "error in anyjson setup command: use_2to3 is invalid"),
        ("dataclasses==0.8", "No matching distribution found for dataclasses==0.8: 0.8 requires Python >=3.6, <3.7"),
        ("iniconfig @ git+https://git.example.org/x", "Cannot find command 'git'"),
    ],
)
def test_why_a_python_package_cannot_be_had_is_said(builder: Builder, package: str, sentence: str) -> None:
    reason, message = builder.failure(python_packages=[package])
    assert reason == "BuildFailed"
    assert sentence in message


def test_a_configuration_that_pip_cannot_read_is_said(builder: Builder) -> None:
    recipe = f"FROM {builder.base}\nUSER 0\nRUN echo nonsense >/etc/pip.conf\n"
    base, _ = builder.build_files({"Dockerfile": recipe.encode()})
    _, message = builder.failure(base=base, python_packages=["iniconfig"])
    assert "ERROR: pip cannot read what the base image tells it (pip config list)" in message


NETWORK = "if [ -r /run/amun/environment ]; then . /run/amun/environment; fi"
PIP_INSTALL = f"RUN {NETWORK}; python3 -m pip install --break-system-packages"
CONF = "'[global]\\nuser = true\\n[install]\\ntarget = /elsewhere\\nno-deps = yes\\n'"
ELSEWHERE = {
    "variables": f"{PIP_INSTALL} --target /srv/aside six==1.17.0\n"
    "ENV PIP_USER=1 PIP_TARGET=/elsewhere PIP_PREFIX=/elsewhere PIP_ROOT=/elsewhere PIP_DRY_RUN=1 PIP_NO_DEPS=1 "
    "PIP_QUIET=3 PIP_REQUIRE_HASHES=1 PIP_PYTHON=/usr/bin/python3 UV_TARGET=/elsewhere UV_PREFIX=/elsewhere "
    "UV_SYSTEM_PYTHON=1 UV_NO_DEPS=1 UV_DRY_RUN=1 PIPENV_IGNORE_VIRTUALENVS=1 MICROPIPENV_PIP_ARGS=--user "
    "PYTHONPATH=/srv/aside PYTHONUSERBASE=/elsewhere",
    "files": "RUN mkdir -p /root/.config/pip /root/.pip && "
    f"for place in /etc /root/.config/pip /root/.pip; do printf {CONF} >$place/pip.conf; done",
    "packages of root": f"{PIP_INSTALL} --user six==1.16.0 toml iniconfig",
}


@pytest.fixture(scope="module", params=ELSEWHERE)
def misleading(builder: Builder, request: pytest.FixtureRequest) -> str:
    """A base that tells pip and its like to install elsewhere, or has packages where only root sees them."""
    recipe = f"FROM {builder.base}\nUSER 0\n{ELSEWHERE[request.param]}\n"
    image, _ = builder.build_files({"Dockerfile": recipe.encode()})
    return image


def test_no_setting_of_the_base_leads_loose_packages_elsewhere(builder: Builder, misleading: str) -> None:
    image, _ = builder.build(base=misleading, python_packages=["iniconfig>1", "packaging"])
    flags = ["--env=HOME=/home/amun", "--env=PYTHONPATH="]
    program = "import iniconfig, packaging; print(iniconfig.__file__, packaging.__file__)"
    places = builder.run(image, "python3", "-c", program, flags=flags).split()
    assert all(place.startswith("/opt/amun/venv/") for place in places)
    assert builder.run(image, "sh", "-c", "ls -d /elsewhere 2>/dev/null || true") == ""


@pytest.mark.parametrize("manager", MANAGERS)
def test_no_setting_of_the_base_leads_a_locked_stack_elsewhere(builder: Builder, misleading: str, manager: str) -> None:
    image, _ = builder.build(base=misleading, **stack(manager))
    program = "import six, toml; print(six.__version__, six.__file__, toml.__file__)"
    version, *places = builder.run(image, "python3", "-c", program, flags=["--env=PYTHONPATH="]).split()
    assert version == "1.16.0"
    assert all(place.startswith("/opt/amun/venv/") for place in places)


def test_what_is_not_there_after_all_fails_the_build(builder: Builder) -> None:
    """Here by a module that every Python of the base loads: no setting at all."""
    meddling = "import os, sys\nif 'install' in sys.argv: os.environ['PIP_DRY_RUN'] = '1'\n"
    recipe = f"FROM {builder.base}\nUSER 0\nCOPY meddling.py /usr/lib/python3/dist-packages/usercustomize.py\n"
    recipe += "RUN cd /usr/lib/python3.* && rm -f sitecustomize.py && "
    recipe += "mv /usr/lib/python3/dist-packages/usercustomize.py sitecustomize.py\n"
    base, _ = builder.build_files({"Dockerfile": recipe.encode(), "meddling.py": meddling.encode()})
    missing = " says that it has installed everything, but in /opt/amun/venv "
    _, message = builder.failure(base=base, python_packages=["iniconfig"])
    assert f"ERROR: pip{missing}iniconfig is not there: a setting of the base image" in message
    _, message = builder.failure(base=base, **stack("micropipenv"))
    assert f"ERROR: micropipenv{missing}six is not there; toml is not there: a setting of the base image" in message


@pytest.fixture(scope="module")
def with_git(builder: Builder) -> tuple[str, str]:
    """A base with git, for which https://git.example.org/ is a directory of its own; and a commit there."""
    setup = "from setuptools import setup\nsetup(name='from-git', version='0.7', py_modules=['from_git'])\n"
    commands = [
        "cd /srv/py",
        "git init -q",
        "git add .",
        "git -c user.name=a -c user.email=b commit -qm 1",
        "git rev-parse HEAD >/srv/commit",
        "echo broken >setup.py",
        "git -c user.name=a -c user.email=b commit -qam 2",
        "git config uploadpack.allowAnySHA1InWant true",
        "git config --system url.file:///srv/.insteadOf https://git.example.org/",
        "git config --system safe.directory '*'",
    ]
    image, _ = builder.build(packages=["git"], files=[
        {"path": "/srv/py/setup.py", "content": setup}, {"path": "/srv/py/from_git.py", "content": "here = 1\n"},
    ])  # fmt: skip
    recipe = f"FROM {image}\nUSER 0\nRUN {' && '.join(commands)}\n"
    base, _ = builder.build_files({"Dockerfile": recipe.encode()})
    return base, builder.run(base, "cat", "/srv/commit").strip()


@pytest.mark.parametrize("manager", MANAGERS)
def test_a_locked_commit_is_what_is_installed(builder: Builder, with_git: tuple[str, str], manager: str) -> None:
    base, commit = with_git
    locked = stack(manager)
    packages = locked["python"]["requirements_locked"]["default"]
    packages["From_Git"] = {"git": "https://git.example.org/py", "ref": commit, "markers": "os_name == 'posix'"}
    packages["nothing"] = {"git": "https://git.example.org/none", "ref": commit, "markers": "os_name == 'nt'"}
    image, _ = builder.build(base=base, **locked, python_packages=["from-git", "iniconfig"])
    found = builder.python_packages(image)
    assert found["from-git"] == "0.7"
    assert found["six"] == "1.16.0"
    _, message = builder.failure(base=base, **locked, python_packages=["from-git>1"])
    assert "Cannot install from-git>1" in message


def test_loose_packages_do_not_change_a_locked_stack(builder: Builder) -> None:
    image, _ = builder.build(**stack(), python_packages=["six", "iniconfig"])
    assert builder.python_packages(image)["six"] == "1.16.0"
    assert "iniconfig" in builder.python_packages(image)
    _, message = builder.failure(**stack(), python_packages=["six<1.16"])
    assert "Cannot install six<1.16" in message


def test_a_lock_for_another_python_is_refused(builder: Builder) -> None:
    _, message = builder.failure(**stack(python="3.6"))
    assert "the lock is for Python 3.6 and the image has Python 3." in message


def test_python_packages_on_a_base_without_python_say_what_to_do(builder: Builder) -> None:
    base = builder.base_without("/usr/bin/python3*")
    _, message = builder.failure(base=base, python_packages=["iniconfig"])
    assert message.endswith("the base image has no python3, which Python packages need: "
                            "add python3 to `packages` or choose another base.")  # fmt: skip


def test_a_base_without_python_is_as_good_as_any_for_the_rest(builder: Builder) -> None:
    base = builder.base_without("/usr/bin/python3*")
    image, _ = builder.build(base=base, files=[{"path": "data/a", "content": "1"}])
    assert builder.run(image, "cat", "/data/a") == "1"


def test_pip_is_fetched_and_upgraded_where_the_base_has_none(builder: Builder) -> None:
    base = builder.base_without("/usr/lib/python3*/ensurepip", "/usr/share/python-wheels", "/usr/bin/pip*")
    image, log = builder.build(base=base, **stack(), upgrade_pip=True)
    assert "Fetching pip from" in log
    assert builder.python_packages(image)["six"] == "1.16.0"


def test_every_character_arrives_in_variables_verbatim(builder: Builder) -> None:
    values = {f"V{index}": value for index, value in enumerate([*NASTY, *PIECES])}
    image, _ = builder.build(environment=[{"name": name, "value": value} for name, value in values.items()])
    seen = json.loads(builder.run(image, "python3", "-c", "import json, os; print(json.dumps(dict(os.environ)))"))
    assert {name: seen.get(name) for name in values} == values


def test_every_character_arrives_in_files_and_their_names(builder: Builder) -> None:
    names = ["$HOME", "`id`", "'\"\\", "é漢😀", "*", "-rf", " #"]
    paths = [f"/home/amun/in/{name}" for name in names]
    contents = {path: f"{CHARACTERS}\n{path}" for path in paths} | {"/etc/a.d/b": "", "/usr/bin/c": "\r\n\\\n"}
    image, _ = builder.build(files=[{"path": path, "content": content} for path, content in contents.items()])
    program = "import json, sys; print(json.dumps([open(path, newline='').read() for path in json.load(sys.stdin)]))"
    seen = builder.run(image, "python3", "-c", program, input=json.dumps(list(contents)), flags=["-i"])
    assert json.loads(seen) == list(contents.values())


def test_home_is_writable_and_files_are_readable_for_any_user(builder: Builder) -> None:
    files = [{"path": path, "content": "x"} for path in ("/home/amun/in/a", "/srv/deep/er/b")]
    image, _ = builder.build(files=files)
    places = ["/home/amun", "/home/amun/in", "/home/amun/in/a", "/srv/deep", "/srv/deep/er", "/srv/deep/er/b"]
    modes = builder.run(image, "stat", "-c", "%a", *places).split()
    assert modes == ["777", "777", "644", "755", "755", "644"]
    assert builder.run(image, "sh", "-c", "pwd; echo $HOME; echo 1 >new; cat new").split() == ["/home/amun"] * 2 + ["1"]


def test_a_file_takes_the_place_of_a_link_and_leaves_its_target_alone(builder: Builder) -> None:
    base, _ = builder.build_files({
        "Dockerfile": f"FROM {builder.base}\nUSER 0\nRUN echo old >/target && ln -s /target /link\n".encode()
    })  # fmt: skip
    image, _ = builder.build(base=base, files=[{"path": "/link", "content": "new\n"}])
    assert builder.run(image, "cat", "/link", "/target") == "new\nold\n"


def test_the_base_image_that_cannot_be_pulled_is_named(builder: Builder) -> None:
    reason, message = builder.failure(base="registry.invalid/no/such:1")
    assert reason == "ErrImagePull"
    assert message.startswith("The base image registry.invalid/no/such:1 could not be pulled: ")
