"""`amun run`: a specification made of flags, and a command whose arguments arrive byte for byte."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests_mock import Mocker

from amun.cli.specification_from_flags import script_of
from amun.validation.problems import problems
from tests.support.command_line import amun

ID = "inspection-0123456789abcdef"
API = "http://127.0.0.1:8080/api/v1"


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMUN_URL", "AMUN_TOKEN", "AMUN_BASE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def printed(*arguments: str) -> dict[str, Any]:
    """The specification that `amun run --print` makes; one that the service takes."""
    result = amun("run", "--print", *arguments)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    assert problems(document) == []
    return document


def refusal(*arguments: str) -> str:
    result = amun("run", "--print", *arguments)
    assert result.exit_code == 2
    return " ".join(result.stderr.replace("│", " ").split())


def says(refused: str, words: str) -> bool:
    """Whether it says so, wherever a long path makes the box break its lines."""
    return words.replace(" ", "") in refused.replace(" ", "")


# ---- the command ----------------------------------------------------------------------------------------------------

ARGUMENTS = st.lists(
    st.one_of(
        st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=30),
        st.text("'\"\\$`!*?~#&|;<>(){}[] \t\r\n=%-ä\x81\x88", max_size=20),
        st.sampled_from(["", "-n", "--", "-c", "$(id)", "$'\\n'", "\\", "'", "''", "A=b", "\x1b[2J"]),
    ),
    max_size=6,
)


@settings(max_examples=60)
@given(ARGUMENTS)
def test_arguments_arrive_byte_for_byte(arguments: list[str]) -> None:
    script = script_of(["printf", r"%s\0", "first", *arguments])
    shell = subprocess.run(["sh", "-c", script], capture_output=True, check=True, env={"PATH": os.environ["PATH"]})
    assert shell.stdout == b"".join(argument.encode() + b"\0" for argument in ["first", *arguments])
    assert shell.stderr == b""


def test_the_script_is_a_file_that_becomes_the_command(tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(printed("--", "sh", "-c", "echo $$; exit 3")["script"].encode())
    (tmp_path / "script").chmod(0o755)
    process = subprocess.Popen([tmp_path / "script"], stdout=subprocess.PIPE)
    assert process.communicate()[0].strip() == str(process.pid).encode()
    assert process.returncode == 3


def test_options_after_the_command_are_its_own() -> None:
    script = printed("--repeat", "2", "python3", "-c", "1", "--repeat", "3", "--", "--help")["script"]
    assert script == "#!/bin/sh\nexec python3 -c 1 --repeat 3 -- --help\n"
    assert printed("--", "ls", "--", "x")["script"] == "#!/bin/sh\nexec ls -- x\n"


@pytest.mark.parametrize("command", [[], [""], ["--", "-x"]])
def test_what_is_no_command_is_refused(command: list[str]) -> None:
    assert refusal(*command)


def test_what_no_json_can_carry_is_refused(tmp_path: Path) -> None:
    assert "not UTF-8" in refusal("--", "echo", os.fsdecode(b"\xff"))
    assert "not UTF-8" in refusal("--env", os.fsdecode(b"A=\xff"), "--", "true")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    assert "not UTF-8" in refusal("--file", str(tmp_path / "image.png"), "--", "true")
    assert "not UTF-8" in refusal("--script", str(tmp_path / "image.png"))


def test_a_script_goes_as_it_is(tmp_path: Path) -> None:
    text = "#!/bin/sh\r\nprintf '\\t'\n\tends without a line end"
    (tmp_path / "script").write_bytes(text.encode())
    assert printed("--script", str(tmp_path / "script"))["script"] == text
    assert "either a COMMAND or a --script" in refusal("--script", str(tmp_path / "script"), "true")
    assert "No such file" in refusal("--script", str(tmp_path / "absent"))


# ---- the stack ------------------------------------------------------------------------------------------------------


def test_every_flag_is_a_field(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("some\ndata")
    options = (
        "--base debian:12 -p gcc --package libc6-dev --python numpy==2.4.6 --python attrs>=25 --env A=b=c --env EMPTY= "
        "--cpu 2 --memory 1Gi --build-memory 2Gi --timeout 60 -n 20 --warmup 3 --parallelism 2 --identifier fast "
        "--metric seconds:lower --metric rate:higher --metric latency.p99"
    )
    document = printed(*options.split(), "--file", f"{tmp_path}/data.txt:/srv/in.txt", "true")
    assert document == {
        "base": "debian:12",
        "packages": ["gcc", "libc6-dev"],
        "python_packages": ["numpy==2.4.6", "attrs>=25"],
        "files": [{"path": "/srv/in.txt", "content": "some\ndata"}],
        "environment": [{"name": "A", "value": "b=c"}, {"name": "EMPTY", "value": ""}],
        "script": "#!/bin/sh\nexec true\n",
        "metrics": [
            {"path": "seconds", "better": "lower"},
            {"path": "rate", "better": "higher"},
            {"path": "latency.p99"},
        ],
        "build": {"requests": {"cpu": "2", "memory": "2Gi"}},
        "run": {"requests": {"cpu": "2", "memory": "1Gi"}, "timeout": 60},
        "identifier": "fast",
        "batch_size": 20,
        "warmup": 3,
        "parallelism": 2,
    }


def test_the_base_is_that_of_the_demo_unless_the_environment_names_another(monkeypatch: pytest.MonkeyPatch) -> None:
    assert printed("true") == {"base": "localhost/amun/base:bookworm", "script": "#!/bin/sh\nexec true\n"}
    monkeypatch.setenv("AMUN_BASE", "ubi9")
    assert printed("true")["base"] == "ubi9"
    assert printed("--base", "debian:12", "true")["base"] == "debian:12"


def test_a_file_comes_where_the_script_runs_unless_it_is_told_where(tmp_path: Path) -> None:
    (tmp_path / "a:b.txt").write_text("x")

    def path(option: str) -> str:
        return str(printed("--file", option, "true")["files"][0]["path"])

    local = f"{tmp_path}/a:b.txt"
    assert path(local) == "/home/amun/a:b.txt"
    assert path(f"{local}:in/c.txt") == "/home/amun/in/c.txt"
    assert path(f"{local}:/etc/c.txt") == "/etc/c.txt"
    assert "No such file" in refusal("--file", f"{tmp_path}/absent:/x", "true")


def test_a_locked_stack_is_read_from_its_directory(tmp_path: Path) -> None:
    example = json.loads((Path(__file__).parents[3] / "examples" / "numpy-matmul.json").read_text())
    (tmp_path / "Pipfile.lock").write_text(json.dumps(example["python"]["requirements_locked"]))
    pipfile = '[[source]]\nname = "pypi"\nurl = "https://pypi.org/simple"\nverify_ssl = true\n'
    pipfile += '[packages]\nnumpy = "*"\n[dev-packages]\n[requires]\npython_version = "3.11"\n[scripts]\nrun = "x"\n'
    (tmp_path / "Pipfile").write_text(pipfile)
    assert printed("--lock", str(tmp_path), "true")["python"] == example["python"]
    (tmp_path / "Pipfile").write_text("[packages")
    assert says(refusal("--lock", str(tmp_path), "true"), "Pipfile cannot be read")
    (tmp_path / "Pipfile").write_text(pipfile)
    (tmp_path / "Pipfile.lock").write_text("{")
    assert says(refusal("--lock", str(tmp_path), "true"), "Pipfile.lock cannot be read")
    (tmp_path / "Pipfile.lock").unlink()
    assert "No such file" in refusal("--lock", str(tmp_path), "true")


def test_a_variable_without_a_value_is_refused() -> None:
    assert "is no NAME=VALUE" in refusal("--env", "PATH", "true")


# ---- what becomes of it ---------------------------------------------------------------------------------------------


def test_print_submits_nothing(requests_mock: Mocker) -> None:
    printed("true")
    assert not requests_mock.called


def test_what_is_printed_is_what_is_submitted(requests_mock: Mocker) -> None:
    requests_mock.post(f"{API}/inspect", status_code=202, json={"inspection_id": ID})
    result = amun("run", "--detach", "--python", "attrs", "--", "python3", "-c", "print('a b')")
    assert (result.exit_code, result.stdout) == (0, ID + "\n")
    assert requests_mock.last_request.json() == printed("--python", "attrs", "--", "python3", "-c", "print('a b')")


@pytest.mark.parametrize(("phase", "code"), [("succeeded", 0), ("failed", 1), ("build_failed", 1)])
@pytest.mark.parametrize("options", [[], ["--watch"]])
def test_it_is_followed_to_its_end_and_exits_likewise(
    requests_mock: Mocker, phase: str, code: int, options: list[str]
) -> None:
    status = {"parameters": {"inspection_id": ID}, "phase": phase, "reason": None, "message": None, "job": None}
    requests_mock.post(f"{API}/inspect", status_code=202, json={"inspection_id": ID})
    requests_mock.get(f"{API}/inspect/{ID}/status", json={**status, "build": {"state": "waiting"}})
    result = amun("run", *options, "true")
    assert result.exit_code == code
    assert f"{ID}: {phase}" in result.stderr


def test_what_the_service_refuses_is_told_field_by_field(requests_mock: Mocker) -> None:
    details = [{"path": "run.requests.memory", "message": "'lots' is no quantity"}]
    requests_mock.post(f"{API}/inspect", status_code=400, json={"error": "It is not valid.", "details": details})
    result = amun("run", "--memory", "lots", "true")
    assert result.exit_code == 2
    assert "run.requests.memory: 'lots' is no quantity" in result.stderr


def test_nobody_detaches_and_watches() -> None:
    assert amun("run", "--detach", "--watch", "true").exit_code == 2
