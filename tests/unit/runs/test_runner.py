"""The runners do to a script what the report says, with python3 and without: run here as plain processes.

Where being the first process matters they run in a PID namespace of their own; containers are in tests/engine.
"""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import amun.runs.programs
from amun.model import timestamps
from amun.runs import kernel_counters
from amun.runs.log_frames import frame
from amun.runs.report import Outcome, assemble

PROGRAMS = Path(amun.runs.programs.__file__).parent
PYTHON = [sys.executable, "-I", "-S", "-B", str(PROGRAMS / "runner.py")]
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash"]}
FOUND = {name: command for name, command in SHELLS.items() if shutil.which(command[0])}
RUNNERS = {"python": PYTHON} | {
    name: [*command, str(PROGRAMS / "runner.sh"), "--shell"] for name, command in FOUND.items()
}
OLDER = {
    *(path for minor in range(6, 15) if (path := shutil.which(f"python3.{minor}"))),
    *map(str, Path.home().glob(".pyenv/versions/3.*/bin/python3")),
}
NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runner is for Linux containers")


@pytest.fixture(params=RUNNERS)
def runner(request):
    """Every runner that there is a program for."""
    return RUNNERS[request.param]


@pytest.fixture
def namespace():
    """A command prefix that makes what follows PID 1."""
    if not shutil.which("unshare") or subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no PID namespace can be made here")
    return NAMESPACE


@dataclass(frozen=True)
class Left:
    """What a run left: its output by stream, its report, the runner's exit code and how long it took."""

    stdout: bytes
    stderr: bytes
    report: dict
    exit_code: int
    seconds: float


@pytest.fixture
def script(tmp_path):
    def write(text):
        path = tmp_path / "script"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(0o755)
        return str(path)

    return write


@pytest.fixture
def run(tmp_path, script):
    def run_script(runner, text, *options, **kwargs):
        command = [*runner, "--home", str(tmp_path), *map(str, options), script(text)]
        start = time.monotonic()
        done = subprocess.run(command, capture_output=True, timeout=60, check=False, **kwargs)
        assert done.stderr == b"", done.stderr.decode()
        return left(done.stdout, done.returncode, time.monotonic() - start)

    return run_script


def left(log, exit_code, seconds=0.0):
    assert log.endswith(b"\n")
    streams = {"stdout": bytearray(), "stderr": bytearray(), "report": bytearray()}
    for line in log.split(b"\n")[:-1]:
        if line:
            found = frame("", line)
            streams[found.stream] += found.data
    assert log.split(b"\n")[-2].startswith(b"report F {")
    report = json.loads(streams["report"].splitlines()[-1])  # all of it; those before are for runs that are killed
    return Left(bytes(streams["stdout"]), bytes(streams["stderr"]), report, exit_code, seconds)


def first_output(process):
    """The first frame of what the script prints. One of the report comes before, for those that are killed."""
    return next(line for line in process.stdout if not line.startswith(b"report "))


def test_output_and_exit_code_are_those_of_the_script(run, runner):
    found = run(runner, "#!/bin/sh\necho out; echo err >&2; printf 'no end'; exit 3")
    assert (found.stdout, found.stderr) == (b"out\nno end", b"err\n")
    assert (found.exit_code, found.report["exit_code"], found.report["signal"]) == (3, 3, None)


def test_the_report_tells_which_script_ran_where_and_when(run, runner):
    text = "#!/bin/sh\nexit 0\t$\\\n"
    found = run(runner, text).report
    assert found["script_sha256"] == sha256(text.encode()).hexdigest()
    assert found["hostname"] == os.uname().nodename
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z", found["start_datetime"])
    assert found["start_datetime"] <= found["end_datetime"]
    assert found["os_release"] == Path("/etc/os-release").read_text()
    assert found["deadline_exceeded"] is found["oom_killed"] is False


def test_what_an_engine_asks_for_is_left_beside_the_log_and_says_the_same(run, runner, tmp_path):
    account = tmp_path / "account"
    account.write_text("what was there before, and longer than what comes\n" * 100)
    result = run(runner, "#!/bin/sh\nkill -9 $$\n", "--account", account)
    said = json.loads(account.read_text())
    assert said == {name: result.report[name] for name in said}
    assert (said["signal"], said["exit_code"]) == ("SIGKILL", 137)
    assert {
        "usage",
        "script_sha256",
        "start_datetime",
        "end_datetime",
        "deadline_exceeded",
        "oom_killed",
    } <= said.keys()
    assert account.stat().st_size < 4096


def test_who_is_killed_has_left_what_was_known_before(runner, script, tmp_path):
    account = tmp_path / "account"
    account.touch()
    command = [*runner, "--home", str(tmp_path), "--account", str(account), script("#!/bin/sh\necho on; sleep 60\n")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    first_output(process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert json.loads(account.read_text()).keys() >= {"script_sha256", "start_datetime"}


def test_an_account_that_nobody_asked_for_is_not_made(run, runner, tmp_path):
    assert run(runner, "true", "--account", tmp_path / "nothing").exit_code == 0
    assert not (tmp_path / "nothing").exists()


def test_processor_time_is_that_of_the_script_and_its_children(run, runner):
    loop = "i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done"
    found = run(runner, f"#!/bin/sh\n{loop}\nsh -c '{loop}'").report
    assert 0.02 < found["usage"]["ru_utime"] + found["usage"]["ru_stime"] < 30


def test_all_of_getrusage_is_reported_where_there_is_python(run):
    found = run(PYTHON, "#!/bin/sh\nexit 0").report
    assert len(found["usage"]) == 16
    assert found["usage"]["ru_maxrss"] > 0


def test_what_the_kernel_counts_is_reported_as_it_was_before_the_script_and_after(run, runner):
    found = run(runner, "#!/bin/sh\nsleep 0.3").report
    assert set(found["kernel"]) == {"before", "after"}
    before, after = kernel_counters.parse(found["kernel"]).values()
    assert 0.25 < after["monotonic"] - before["monotonic"] < 5
    assert before["cpus"] == after["cpus"] == os.sysconf("SC_NPROCESSORS_ONLN")
    assert sum(after["ticks"].values()) > sum(before["ticks"].values())
    assert len(after["load"]) == 3
    assert before.keys() <= after.keys()


def test_python_tells_what_the_script_itself_waited_for(run):
    found = run(PYTHON, "#!/bin/sh\ni=0; while [ $i -lt 90000 ]; do i=$((i + 1)); done").report
    before, after = kernel_counters.parse(found["kernel"]).values()
    assert "script" not in before
    if Path("/proc/self/schedstat").exists():
        assert after["script"]["running_ns"] / 1e9 == pytest.approx(processor_time(found), abs=0.05)


def test_what_a_script_leaves_behind_is_no_part_of_its_time(run):
    found = run(PYTHON, "#!/bin/sh\nsleep 60 &\n")
    before, after = kernel_counters.parse(found.report["kernel"]).values()
    started, ended = (timestamps.seconds(found.report[f"{name}_datetime"]) for name in ("start", "end"))
    drained = 0.5
    assert after["monotonic"] - before["monotonic"] < found.seconds - drained
    assert ended - started < found.seconds - drained


def processor_time(report):
    return report["usage"]["ru_utime"] + report["usage"]["ru_stime"]


def test_a_script_ended_by_a_signal_is_reported_so(run, runner):
    found = run(runner, "#!/bin/sh\nkill -SEGV $$")
    assert found.stderr == b""
    assert (found.exit_code, found.report["exit_code"], found.report["signal"]) == (139, 139, "SIGSEGV")


@pytest.mark.parametrize("code", [137, 139, 143, 255])
def test_an_exit_code_that_looks_like_a_signal_names_none(run, runner, code):
    found = run(runner, f"#!/bin/sh\nexit {code}")
    assert (found.exit_code, found.report["exit_code"], found.report["signal"]) == (code, code, None)


def test_a_script_without_a_first_line_is_run_by_the_shell(run, runner):
    assert run(runner, "echo plain").stdout == b"plain\n"


def test_an_empty_script_does_nothing_well(run, runner):
    assert run(runner, "").exit_code == 0


@pytest.mark.parametrize(
    ("first", "exit_code", "why"),
    [
        ("#!/no/such/interpreter", 127, "'/no/such/interpreter': No such file or directory"),
        ("#! \t/no/such/interpreter -x  y ", 127, "'/no/such/interpreter -x  y': No such file or directory"),
        ("#!/bin/sh\r", 127, "'/bin/sh\\r': No such file or directory"),
        ("#!/etc/os-release", 126, "'/etc/os-release': Permission denied"),
        ("#!/etc", 126, "'/etc': Permission denied"),
    ],
)
def test_a_missing_interpreter_is_told_on_standard_error(run, runner, first, exit_code, why):
    found = run(runner, f"{first}\necho never\n")
    assert (found.exit_code, found.report["signal"]) == (exit_code, None)
    assert found.stdout == b""
    assert found.stderr.decode().endswith(f"script: cannot execute its interpreter {why}\n")
    assert b"exec:" not in found.stderr


def test_an_interpreter_whose_own_is_missing_is_told_too(run, runner, tmp_path):
    between = tmp_path / "between"
    between.write_text("#!/no/such/interpreter\n")
    between.chmod(0o755)
    found = run(runner, f"#!{between}\necho never\n")
    assert found.exit_code == 127
    said = found.stderr.decode()
    wanted = f"script: cannot execute its interpreter '{between}': No such file or directory\n"
    bash_says = f"script: {between}: bad interpreter: No such file or directory\n"
    assert said.endswith((wanted, bash_says, "script: cannot execute: required file not found\n")), said


def test_windows_line_ends_are_named_as_the_reason(run, runner):
    found = run(runner, "#!/bin/sh\r\necho never\r\n")
    assert b"'/bin/sh\\r'" in found.stderr
    assert b"Windows line ends" in found.stderr


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("#!/usr/bin/env sh\r\necho never\r\n", b"Windows line ends"),
        ("\ufeff#!/bin/sh\necho shown\n", b"byte order mark"),
    ],
)
def test_what_nobody_sees_in_a_first_line_is_named(run, runner, text, named):
    assert named in run(runner, text).stderr


def test_a_sound_first_line_brings_no_hint(run, runner):
    assert run(runner, "#!/usr/bin/env sh\necho fine\r\n").stderr == b""


def test_a_script_finds_the_place_it_was_promised(run, runner, tmp_path):
    env = {"PATH": os.environ["PATH"], "HOME": "/", "GREETING": "a 'b' \"c\""}
    found = run(runner, '#!/bin/sh\npwd; echo "$HOME"; echo "$GREETING"; cat; echo ${LC_CTYPE-unset}', env=env)
    assert found.stdout.decode() == f"{tmp_path}\n{tmp_path}\na 'b' \"c\"\nunset\n"


def test_a_home_that_was_chosen_stays(run, runner):
    assert run(runner, '#!/bin/sh\necho "$HOME"', env={**os.environ, "HOME": "/opt"}).stdout == b"/opt\n"


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_a_bash_script_is_found_through_env(run, runner):
    found = run(runner, "#!/usr/bin/env bash\nset -o pipefail\na=(1 2 3)\necho ${#a[@]}\nfalse | true")
    assert (found.stdout, found.exit_code) == (b"3\n", 1)


def test_no_descriptor_of_the_runner_is_open_in_the_script(run, runner):
    reader, writer = os.pipe()
    found = run(runner, "#!/bin/sh\nls /proc/$$/fd", pass_fds=[] if "runner.sh" in str(runner) else [writer])
    os.close(reader)
    os.close(writer)
    # The shell that runs the script has it open itself.
    assert found.stdout.split() in ([b"0", b"1", b"10", b"2"], [b"0", b"1", b"2"], [b"0", b"1", b"2", b"255"])


def test_the_script_is_the_first_to_die_when_memory_runs_out(run, runner):
    assert run(runner, "#!/bin/sh\nread -r score </proc/self/oom_score_adj; echo $score").stdout == b"1000\n"


def test_the_script_starts_with_default_signals(run):
    found = run(PYTHON, "#!/bin/sh\ngrep -E '^Sig(Blk|Ign)' /proc/self/status").stdout
    # Signals 32 and 33 are the C library's own; make, for one, leaves them ignored, and nobody can change that.
    of_the_library = 0b11 << 31
    assert [int(mask, 16) & ~of_the_library for mask in found.split()[1::2]] == [0, 0]


def test_binary_output_passes_as_it_is(run):
    data = bytes(range(256)) * 40 + b"\n\n\r\n" + bytes(reversed(range(256)))
    script = f"#!{sys.executable}\nimport sys\nsys.stdout.buffer.write({data!r})\nsys.stderr.buffer.write({data!r})"
    found = run(PYTHON, script)
    assert found.stdout == data
    assert found.stderr == data


def test_lines_longer_than_a_frame_come_whole(run, runner):
    size = 30000
    found = run(runner, f"#!/bin/sh\nprintf '%0{size}d\\n%0{size}d' 0 0 | tr 0 x")
    assert found.stdout == b"x" * size + b"\n" + b"x" * size


def test_much_output_comes_whole_where_it_may(run):
    size, line = 50_000_000, "much " * 100
    found = run(PYTHON, f"#!/bin/sh\nyes '{line}' | head -c {size}", "--output-limit", size)
    expected = f"{line}\n".encode() * (size // len(line))
    # Digests, because no difference of this size can be shown.
    assert sha256(found.stdout).digest() == sha256(expected[:size]).digest()
    assert found.report["truncated"] == {"stdout": False, "stderr": False}


def test_output_over_the_limit_is_cut_and_said_to_be(run, runner):
    text = "#!/bin/sh\necho short >&2\nyes 0123456 | head -c 1000000\nexit 5"
    found = run(runner, text, "--output-limit", 1000)
    assert 0 < len(found.stdout) <= 1000
    assert (b"0123456\n" * 200).startswith(found.stdout)
    assert found.report["truncated"] == {"stdout": True, "stderr": False}
    assert found.exit_code == 5


def test_a_log_of_short_lines_stays_in_proportion_to_the_limit(run, runner):
    found = run(runner, "#!/bin/sh\nyes '' | head -n 100; printf x >&2", "--output-limit", 1600)
    assert (found.stdout, found.report["truncated"]) == (b"\n" * 100, {"stdout": False, "stderr": False})
    found = run(runner, "#!/bin/sh\nyes '' | head -n 101; printf x >&2", "--output-limit", 1600)
    assert (found.stdout, found.report["truncated"]) == (b"\n" * 100, {"stdout": True, "stderr": False})


def test_one_line_may_be_as_long_as_the_limit(run):
    text = "#!/bin/sh\nfor size in 500 300 195 5; do head -c $size /dev/zero; sleep 0.05; done"
    found = run(PYTHON, text, "--output-limit", 1000)
    assert (len(found.stdout), found.report["truncated"]["stdout"]) == (1000, False)


def test_of_a_run_that_is_killed_is_known_what_ran_where_and_whether_output_was_cut(runner, script):
    command = [*runner, "--output-limit", "100", script("#!/bin/sh\nyes | head -n 50\nsleep 1\necho go >&2\nsleep 60")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        log = b"".join(iter(process.stdout.readline, b"stderr F go\n"))
        os.killpg(process.pid, signal.SIGKILL)
    known = assemble([frame("", line) for line in log.splitlines()], Outcome(exit_code=137), "")
    assert known["script_sha256"] == sha256(Path(command[-1]).read_bytes()).hexdigest()
    assert known["os_release"]["id"] == platform.freedesktop_os_release()["ID"]
    assert known["hostname"] == os.uname().nodename
    assert (known["signal"], known["truncated"]) == ("SIGKILL", {"stdout": True, "stderr": False})


def test_output_is_seen_while_the_script_runs(runner, script):
    command = [*runner, script("#!/bin/sh\nprintf 'first\\n'; sleep 60")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert first_output(process) == b"stdout F first\n"
        os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("text", "exit_code", "name"),
    [("trap '' TERM\nwhile :; do sleep 1; done", 137, "SIGKILL"), ("exec sleep 60", 143, "SIGTERM")],
)
def test_a_script_past_its_deadline_is_ended(run, runner, namespace, text, exit_code, name):
    found = run([*namespace, *runner], f"#!/bin/sh\necho begun\n{text}", "--timeout", 0.3, "--grace", 0.3)
    assert found.stdout == b"begun\n"
    assert found.report["deadline_exceeded"] is True
    assert (found.exit_code, found.report["signal"]) == (exit_code, name)
    assert found.seconds < 10


def test_a_script_may_put_its_things_in_order_at_its_deadline(run, runner):
    text = "#!/bin/sh\ntrap 'echo tidy; exit 7' TERM\nwhile :; do sleep 0.1; done"
    found = run(runner, text, "--timeout", 0.3, "--grace", 20)
    assert (found.stdout, found.exit_code, found.report["deadline_exceeded"]) == (b"tidy\n", 7, True)


def test_a_script_cannot_forge_its_deadline(run, runner):
    found = run(runner, "#!/bin/sh\nkill -ALRM $PPID; sleep 0.2; echo still", "--timeout", 50)
    assert (found.stdout, found.report["deadline_exceeded"]) == (b"still\n", False)


def test_a_script_that_signals_just_as_it_ends_holds_nothing_up(run, runner):
    for _ in range(5):
        found = run(runner, "#!/bin/sh\nfor i in 1 2 3 4; do kill -ALRM $PPID; done; exit 5", "--timeout", 50)
        lost = 137 if runner[0] == "bash" else 5  # how it ended, bash may lose
        assert found.exit_code == found.report["exit_code"]
        assert found.exit_code in (5, lost)
        assert found.seconds < 20


def test_being_stopped_is_passed_on_and_reported(runner, script):
    command = [
        *runner,
        "--grace",
        "20",
        script("#!/bin/sh\ntrap 'echo bye; exit 4' TERM\necho go\nwhile :; do sleep 0.1; done"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert first_output(process) == b"stdout F go\n"
        process.terminate()
        found = left(process.stdout.read(), process.wait(20))
    assert (found.stdout, found.report["exit_code"], found.report["deadline_exceeded"]) == (b"bye\n", 4, False)


def test_as_first_process_the_runner_passes_a_stop_on(runner, script, namespace, tmp_path):
    text = "#!/bin/sh\ntrap 'echo bye; exit 4' TERM\necho go\nwhile :; do sleep 0.1; done"
    command = [*namespace, *runner, "--grace", "20", "--home", str(tmp_path), script(text)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert first_output(process) == b"stdout F go\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGTERM)
        found = left(process.stdout.read(), process.wait(20))
    assert (found.stdout, found.report["exit_code"]) == (b"bye\n", 4)


@pytest.mark.parametrize("shell", [name for name in SHELLS if shutil.which(SHELLS[name][0])])
def test_a_stop_before_all_processes_are_ready_does_not_take_the_report_along(run, shell, namespace, tmp_path):
    text, last = (PROGRAMS / "runner.sh").read_text(), "frame() {\n"
    assert last in text
    late = tmp_path / "runner.sh"
    late.write_text(text.replace(last, f"{last} sleep 0.3\n"))
    found = run([*namespace, *SHELLS[shell], str(late), "--shell"], "#!/bin/sh\ntrap '' TERM; kill -TERM -1; exit 4")
    assert found.report["exit_code"] == found.exit_code == 4


def test_what_a_script_leaves_behind_is_ended_and_holds_nothing_up(run, runner, namespace):
    text = "#!/bin/sh\n(trap '' TERM HUP; setsid sleep 50) &\nsetsid sleep 50 >/dev/null 2>&1 &\necho done; exit 6"
    found = run([*namespace, *runner], text)
    assert (found.stdout, found.exit_code) == (b"done\n", 6)
    assert found.seconds < 10


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_what_went_through_a_pipe_of_the_scripts_own_is_not_lost(run, runner, namespace):
    text = "#!/bin/bash\nexec > >(sleep 0.2; exec cat)\nseq 1000"
    found = run([*namespace, *runner], text)
    assert found.stdout == b"".join(b"%d\n" % number for number in range(1, 1001))


def test_orphans_are_reaped_while_the_script_runs(run, namespace):
    text = "#!/bin/sh\nfor i in 1 2 3; do sh -c 'sleep 0.1 &'; done; sleep 0.6; grep -l 'State:.Z' /proc/[0-9]*/status"
    assert run([*namespace, *PYTHON], text).stdout == b""


def test_hwinfo_is_what_it_was_before_the_script_started(run, runner, tmp_path):
    text = '{"cpu_info": {"brand_raw": "a \\"b\\"\\\\ \\u0001"}}\n'
    (tmp_path / "hwinfo").mkdir()
    (tmp_path / "hwinfo" / "info.json").write_text(text)
    found = run(runner, "#!/bin/sh\necho forged > hwinfo/info.json")
    assert json.loads(found.report["hwinfo"]) == json.loads(text)


def test_a_missing_hwinfo_is_null(run, runner):
    assert run(runner, "#!/bin/sh\nexit 0").report["hwinfo"] is None


def test_the_shell_hands_over_to_the_python_that_works(run, tmp_path):
    (tmp_path / "hwinfo").mkdir()
    (tmp_path / "hwinfo" / "python").write_text(f"{sys.executable}\n")
    found = run(["sh", str(PROGRAMS / "runner.sh")], "#!/bin/sh\nexit 2")
    assert (found.exit_code, len(found.report["usage"])) == (2, 16)


@pytest.mark.parametrize("noted", [None, "", "\n", "/nowhere/python3\n", "/etc/os-release\n"])
def test_the_shell_does_it_itself_where_no_python_works(run, tmp_path, noted):
    if noted is not None:
        (tmp_path / "hwinfo").mkdir()
        (tmp_path / "hwinfo" / "python").write_text(noted)
    found = run(["sh", str(PROGRAMS / "runner.sh")], "#!/bin/sh\necho here; exit 2")
    assert (found.stdout, found.exit_code, len(found.report["usage"])) == (b"here\n", 2, 2)


@pytest.mark.parametrize("python", sorted(OLDER))
def test_the_runner_works_on_other_versions_of_python(run, python):
    if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} does not start")
    found = run([python, *PYTHON[1:]], "#!/bin/sh\necho old; echo err >&2; exit 9", "--timeout", 50)
    assert (found.stdout, found.stderr, found.exit_code) == (b"old\n", b"err\n", 9)


def json_string(program):
    return re.search(r"^json_string\(\) \{.*?^\}\n", (PROGRAMS / program).read_text(), re.DOTALL | re.MULTILINE).group()


def test_both_shell_programs_write_strings_alike():
    assert json_string("runner.sh") == json_string("hwinfo.sh")


@pytest.mark.parametrize("shell", FOUND)
@settings(deadline=None, max_examples=60)
@given(
    st.text(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.sampled_from('"\\\n\t\x01\x7f*?[~'),
        max_size=30,
    )
)
def test_any_text_is_written_as_a_json_string(shell, text):
    program = "newline='\n'\n" + json_string("runner.sh") + 'json_string "$1"\nprintf %s "$json"'
    written = subprocess.run([*FOUND[shell], "-c", program, "sh", text], capture_output=True, check=True, timeout=20)
    assert json.loads(written.stdout) == text
