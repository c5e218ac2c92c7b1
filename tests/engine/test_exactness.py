"""What a specification holds arrives byte for byte where it is to be seen, or is refused by its path: nothing between.

Values are generated; a build or run costs seconds, so each takes many of them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from amun.environments.dockerfile import context
from amun.validation.problems import problems, validated
from tests.conftest import Service

FEW = settings(
    max_examples=2,
    phases=[Phase.generate],  # to look for a smaller case takes too many builds
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
MANY = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

NASTY = [
    "", " ", "\t", "\n", "\r\n", "\r", "a\tb\\n\\t\\\\", "$HOME ${HOME} $(id) `id` $$", "'", '"', "'\\''", "\\",
    "end\\", "\\\n", "%s %d %%", "#", "#!", "!", "~", "*", "?[a-z]", "{a,b}", "a=b", "--", "-n", "-e x", "<<EOF\nEOF\n",
    "&& ls", "; ls", "| ls", "{{ x }}", "{% x %}", "${AMUN_NEWLINE}", "\x1b[31m", "\x7f", "\u0085", "\u2028", "\ufeff",
    "\ufffd", "e\u0301", "\u202e", "漢字 😀", "no: yes", "null", "0x10", "- a\n- b\n", "\x00", "\ud800", "x" * 70_000,
]  # fmt: skip
ANY = st.characters(codec="utf-8") | st.sampled_from("\t\n\r\\$'\"`#%!*?~{}[]() \x00\x01\x1b\x7f\u2028\ud800")
TEXTS = st.sampled_from(NASTY) | st.text(ANY, max_size=200)
NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,30}\Z") | st.text(ANY, max_size=10)

LOOK = """#!/usr/bin/env python3
import hashlib, json, os
wanted = json.loads({wanted!r})
files = {{path: hashlib.sha256(open(path, "rb").read()).hexdigest() for path in wanted["files"]}}
variables = {{name: os.environb[name.encode()].hex() for name in wanted["variables"]}}
print(json.dumps({{"files": files, "variables": variables}}))
"""


def refused(document: dict[str, Any], field: str) -> set[int]:
    """Indices of the elements of a list that are refused; whatever is refused must be one of them."""
    found = problems(document)
    indices = [re.match(rf"{field}\[(\d+)\]", problem.path) for problem in found]
    assert all(indices), found
    return {int(index[1]) for index in indices if index}


def accepted(document: dict[str, Any], field: str) -> list[Any]:
    """Those elements of a list that the rest is accepted with."""
    wrong = refused(document, field)
    return [element for index, element in enumerate(document[field]) if index not in wrong]


def apart(parts: tuple[str, str], number: int, content: str) -> dict[str, str]:
    """A file whose directory is no other's."""
    place, name = parts
    return {"path": f"{place}{number}/{name}", "content": content}


PLACES = st.sampled_from(["/data/", "relative ", "/home/amun/", "/opt/x//./", "/srv/$HOME/", "/-rf/", "/a\\b/"])
FILES = st.lists(st.tuples(st.tuples(PLACES, TEXTS), TEXTS), min_size=40, max_size=40)
VARIABLES = st.lists(st.tuples(NAMES, TEXTS), min_size=40, max_size=40)


@pytest.mark.podman
@pytest.mark.slow
@FEW
@given(FILES, VARIABLES)
def test_files_and_variables_arrive_as_they_were_sent(
    service: Service, base: str, given_files: Any, given_variables: Any
) -> None:
    files = [apart(parts, number, content) for number, (parts, content) in enumerate(given_files)]
    files += [{"path": f"/nasty/{number}", "content": text} for number, text in enumerate(NASTY)]
    files += [{"path": "/nasty/big", "content": "\t\\$é\r\n" * 130_000}]
    variables = [{"name": f"V{number}_{name}", "value": value} for number, (name, value) in enumerate(given_variables)]
    variables += [{"name": f"NASTY_{number}", "value": text} for number, text in enumerate(NASTY)]
    files = accepted({"base": base, "files": files}, "files")
    variables = accepted({"base": base, "environment": variables}, "environment")
    assert len(files) > len(NASTY) - 5
    assert len(variables) > len(NASTY) - 5

    where = {"files": ["/" + file["path"] for file in files], "variables": [one["name"] for one in variables]}
    script = LOOK.format(wanted=json.dumps(where))
    document = {"base": base, "files": files, "environment": variables, "script": script}
    inspection_id = service.submit(document)
    status = service.wait(inspection_id)
    report = service.client.result(inspection_id)["result"]
    assert status["phase"] == "succeeded", report["stderr"]
    assert report["stdout"]["files"] == {
        "/" + file["path"]: sha256(file["content"].encode()).hexdigest() for file in files
    }
    assert report["stdout"]["variables"] == {one["name"]: one["value"].encode().hex() for one in variables}


SCRIPTS = st.builds(
    str.__add__,
    st.sampled_from(
        ["#!/bin/cat\n", "#! /bin/cat\n", "#!/bin/cat -u\n", 'cat "$0"; exit\n', '\n\n  cat "$0"; exit #\t']
    ),
    st.text(ANY, max_size=3000) | st.lists(st.sampled_from(NASTY), max_size=20).map("".join),
)
BIG = "#!/bin/cat\n\t$PATH\\n \"'é😀\r\n" + "0123456789\\\t$(id)\r\n" * 50_000 + "no line end"


@pytest.mark.podman
@pytest.mark.slow
@FEW
@given(st.lists(SCRIPTS, min_size=5, max_size=5))
def test_scripts_run_as_they_were_sent(service: Service, base: str, texts: list[str]) -> None:
    """Each prints itself: its interpreter is cat, or its first command."""
    sent = {}
    for text in [*texts, BIG]:
        document = {"base": base, "script": text}
        found = problems(document)
        if found:
            assert [problem.path for problem in found] == ["script"]
            assert "\x00" in text or "\ud800" in text
        else:
            sent[service.submit(document)] = text
    for inspection_id, text in sent.items():
        assert service.wait(inspection_id)["phase"] == "succeeded"
        report = service.client.result(inspection_id)["result"]
        assert report["script_sha256"] == sha256(text.encode()).hexdigest()
        assert report["stdout_text"] == text
        assert report["stderr"] == ""


class Image:
    """Programs that note each word they are called with, and a database that has each package; no more is on PATH."""

    def __init__(self, directory: Path, *programs: str) -> None:
        self.path = directory / "bin"
        self.called = directory / "called"
        self.path.mkdir()
        for program in programs:
            (self.path / program).write_text(f'#!/bin/sh\nprintf \'%s\\0\' {program} "$@" "" >>{self.called}\n')
            (self.path / program).chmod(0o755)
        (self.path / "dpkg-query").write_text("#!/bin/sh\necho install ok installed\n")
        (self.path / "dpkg-query").chmod(0o755)
        (self.path / "tee").symlink_to(str(shutil.which("tee")))

    def run(self, files: dict[str, bytes], helper: str, directory: Path) -> list[list[str]]:
        """Run the step of a Dockerfile that calls a helper program; the words of every call."""
        self.called.write_bytes(b"")
        for name, content in files.items():
            (directory / name).write_bytes(content.replace(b"/opt/amun/build", bytes(directory)))
        lines = files["Dockerfile"].decode().replace(", \\\n    ", ", ").splitlines()
        (step,) = (line for line in lines if line.startswith("RUN ") and f'/{helper}"' in line)
        command = json.loads(step.removeprefix("RUN ").replace("/opt/amun/build", str(directory)))
        subprocess.run(command, env={"PATH": str(self.path)}, check=True, capture_output=True)
        words = self.called.read_bytes().decode("utf-8", "surrogatepass").split("\0")[:-1]
        calls: list[list[str]] = [[]]
        for word in words:
            calls[-1].append(word) if word else calls.append([])
        return calls[:-1]


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path, "apt-get", "python", "rm")


NATIVE = st.from_regex(r"\A[A-Za-z0-9@][A-Za-z0-9_.+:=~^@-]{0,20}\Z") | TEXTS
LOOSE = TEXTS | st.sampled_from(
    ["six", "six==1.16.0", "a[b,c]>=1,<2; python_version > '3'", 'a; os_name == "x"', "a @ https://x.org/a.zip#sha1=0"]
)


@MANY
@given(packages=st.lists(NATIVE | st.sampled_from(["vim", "g++", "libc6=2.36-9", "@tools"]), max_size=12))
def test_native_packages_reach_the_package_manager_as_they_were_sent(
    image: Image, tmp_path: Path, packages: list[str]
) -> None:
    document: dict[str, Any] = {"base": "debian:12", "packages": packages}
    document["packages"] = accepted(document, "packages")
    if document["packages"]:
        files = context(validated(document))
        install = next(call for call in image.run(files, "native.sh", tmp_path) if "install" in call)
        assert install[install.index("install") + 1 :] == document["packages"]


@MANY
@given(packages=st.lists(LOOSE, max_size=12))
def test_python_packages_reach_pip_as_they_were_sent(image: Image, tmp_path: Path, packages: list[str]) -> None:
    document: dict[str, Any] = {"base": "debian:12", "python_packages": packages}
    document["python_packages"] = accepted(document, "python_packages")
    if document["python_packages"]:
        calls = image.run(context(validated(document)), "loose.sh", tmp_path)
        call = next(call for call in calls if "--" in call)
        assert call[call.index("--") + 1 :] == document["python_packages"]
