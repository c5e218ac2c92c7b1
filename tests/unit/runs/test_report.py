"""There is a report of every item that is over, with every field of its type, whatever is left of the item."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amun.model.specification import Hardware
from amun.model.thresholds import Thresholds
from amun.runs.log_frames import Frame
from amun.runs.report import USAGE, Outcome, Verdict, assemble, parse_object, parse_os_release, verdict
from amun.validation import schema

SHA = "ab" * 32
TYPES = {
    "exit_code": int,
    "stdout": dict,
    "not_finite": list,
    "weak_limits": dict | None,
    "stdout_text": str,
    "stderr": str,
    "script_sha256": str,
    "hwinfo": dict,
    "os_release": dict | None,
    "runtime_environment": dict,
    "usage": dict,
    "hostname": str | None,
    "packages": dict | None,
    "datetime": str | None,
    "start_datetime": str | None,
    "end_datetime": str | None,
    "hardware_match": bool | None,
    "signal": str | None,
    "oom_killed": bool,
    "deadline_exceeded": bool,
    "truncated": dict,
    "quality": str,
    "reasons": list,
    "kernel": dict,
    "unverified": list,
}
HWINFO = {"cpu_info": {"family": 6, "model": 85}, "cpu_features": {"flags": ["sse2", "avx", "sse"]}}
ACCOUNT = {
    "exit_code": 0,
    "signal": None,
    "script_sha256": "cd" * 32,
    "usage": dict.fromkeys(USAGE, 1),
    "hostname": "pod-1",
    "start_datetime": "2026-11-23T12:00:00.000001Z",
    "end_datetime": "2026-11-23T12:00:01.000001Z",
    "os_release": 'ID="rhel"\nVERSION_ID="8.2"\nANSI_COLOR="0;31"\n',
    "hwinfo": json.dumps(HWINFO),
    "cuda": None,
    "python_version": "3.6",
    "oom_killed": False,
    "truncated": {"stdout": True, "stderr": False},
    "deadline_exceeded": False,
    "kernel": {
        "before": {"monotonic": "5.0", "/proc/loadavg": "0.50 0.25 0.12 1/99 7\n"},
        "after": {"monotonic": "6.0", "schedstat": "900000000 400000000 3\n", "forged": "1", "/proc/loadavg": []},
    },
}


def log(stdout=b"", stderr=b"", account=None):
    yield Frame("T", "stdout", stdout)
    yield Frame("T", "stderr", stderr)
    if account is not None:
        yield Frame("T", "report", json.dumps(account).encode() + b"\n")


def report(account=ACCOUNT, outcome=None, hardware=None, **output):
    return assemble(log(**output, account=account), outcome or Outcome(exit_code=0), SHA, hardware)


def check(found):
    assert [error.message for error in schema.validator("Report").iter_errors(found)] == []
    assert set(found) == set(TYPES)
    assert [name for name, kind in TYPES.items() if not isinstance(found[name], kind)] == []
    assert list(found["usage"]) == list(USAGE)
    assert set(found["runtime_environment"]) == {"hardware", "operating_system", "python_version", "cuda_version"}
    json.dumps(found, allow_nan=False, ensure_ascii=False).encode()


def test_the_report_says_what_the_runner_says():
    found = report(stdout=b'{"elapsed": 1.5}\n', stderr=b"warning\n")
    check(found)
    assert found["stdout"] == {"elapsed": 1.5}
    assert found["stdout_text"] == '{"elapsed": 1.5}\n'
    assert found["stderr"] == "warning\n"
    assert found["script_sha256"] == "cd" * 32
    assert found["datetime"] == found["start_datetime"] == ACCOUNT["start_datetime"]
    assert found["usage"]["ru_maxrss"] == 1
    assert found["os_release"] == {"id": "rhel", "version_id": "8.2", "ansi_color": "0;31"}
    assert found["hwinfo"]["cpu_features"]["flags"] == ["avx", "sse", "sse2"]
    assert found["runtime_environment"] == {
        "hardware": {"cpu_family": 6, "cpu_model": 85},
        "operating_system": {"name": "rhel", "version": "8.2"},
        "python_version": "3.6",
        "cuda_version": None,
    }
    assert found["truncated"] == {"stdout": True, "stderr": False}


def test_what_was_printed_before_the_container_was_killed_is_kept():
    outcome = Outcome(137, "OOMKilled", True, "2026-11-23T12:00:00Z", "2026-11-23T12:00:09Z", "pod-1")
    found = report(account=None, outcome=outcome, stdout=b"step 1\nste")
    check(found)
    assert (found["kernel"], found["quality"]) == ({"before": None, "after": None}, "unknown")
    assert found["stdout_text"] == "step 1\nste"
    assert (found["exit_code"], found["signal"], found["oom_killed"]) == (137, "SIGKILL", True)
    assert found["script_sha256"] == SHA
    assert (found["start_datetime"], found["end_datetime"]) == ("2026-11-23T12:00:00Z", "2026-11-23T12:00:09Z")
    assert set(found["usage"].values()) == {None}


def test_an_item_of_which_nothing_is_known_has_a_report():
    found = assemble([], Outcome(), SHA, Hardware(cpu_family=6))
    check(found)
    assert (found["exit_code"], found["hwinfo"], found["hardware_match"]) == (137, {}, None)


@pytest.mark.parametrize(
    "printed",
    [
        b"no JSON",
        b"[1, 2]",
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"a":' * 300 + b"1" + b"}" * 300,
        b"[" * 200000,
        b'{"a": 1}{"b": 2}',
        b'{"a": "\xff',
        b"",
    ],
)
def test_output_that_is_no_json_object_is_an_empty_object_and_its_text_stays(printed):
    found = report(stdout=printed)
    check(found)
    assert found["stdout"] == {}
    assert found["stdout_text"] == printed.decode("utf-8", "replace")


def test_numbers_that_are_not_finite_are_null_with_their_paths_and_all_others_stay():
    huge = "9" * 5000
    text = (
        f'{{"a": NaN, "b": [[1, -Infinity], {{"c.d": 1e999, "e": 2}}], "f": {huge}, "g": {{"\\ud800": NaN}}, "h": 1.5}}'
    )
    found = report(stdout=text.encode())
    check(found)
    assert found["stdout"] == {
        "a": None,
        "b": [[1, None], {"c.d": None, "e": 2}],
        "f": None,
        "g": {"\ufffd": None},
        "h": 1.5,
    }
    assert found["not_finite"] == ["a", "b[0][1]", 'b[1]["c.d"]', "f", "g.\ufffd"]
    assert found["stdout_text"] == text


def test_no_more_paths_of_numbers_that_are_not_finite_are_told_than_anybody_reads():
    found = report(stdout=('{"a": [' + "NaN, " * 5000 + '1], "' + "k" * 600 + '": NaN}').encode())
    check(found)
    assert found["stdout"]["a"] == [None] * 5000 + [1]
    assert found["not_finite"] == [f"a[{index}]" for index in range(1000)]
    assert report(stdout=('{"' + "k" * 600 + '": NaN}').encode())["not_finite"] == []


def test_json_that_would_take_far_more_room_than_its_text_stays_text():
    limit = 1 << 20
    for text in ('{"a": [' + "[]," * 400_000 + "1]}", '{"a": [' + "1," * 1_100_000 + "1]}"):
        assert len(text) > limit
        assert parse_object(text) is None
    assert parse_object('{"a": [' + "[]," * 300_000 + "1]}") is not None
    assert parse_object('{"a": [' + "0.12345678," * 200_000 + "1]}") is not None
    assert parse_object("[" * 2_000_000) is None


def test_half_a_surrogate_pair_does_not_get_into_the_response():
    found = report(stdout=rb'{"a\ud800": ["\udfff", "\ud83d\ude00"]}')
    check(found)
    assert found["stdout"] == {"a\ufffd": ["\ufffd", "\U0001f600"]}


def test_what_the_kernel_counted_is_numbers_and_judged():
    found = report()
    assert found["kernel"] == {
        "before": {"monotonic": 5.0, "load": [0.5, 0.25, 0.12]},
        "after": {"monotonic": 6.0, "script": {"running_ns": 900000000, "waiting_ns": 400000000}},
    }
    assert (found["quality"], [reason["reason"] for reason in found["reasons"]]) == ("disturbed", ["CpuContention"])


def test_from_what_on_it_counts_as_disturbed_is_the_engines_to_say():
    patient = Thresholds(waiting=0.5)
    found = assemble(log(account=ACCOUNT), Outcome(exit_code=0), SHA, thresholds=patient)
    assert (found["quality"], found["reasons"]) == ("clean", [])


def test_bytes_that_are_no_utf_8_are_replaced():
    found = report(stdout=b"caf\xe9", stderr=b"\xff\x00ok")
    assert found["stdout_text"] == "caf\ufffd"
    assert found["stderr"] == "\ufffd\x00ok"


def test_of_how_it_ended_the_last_report_counts_and_of_what_was_before_it_the_first():
    known = {name: ACCOUNT[name] for name in ("hwinfo", "hostname", "script_sha256", "start_datetime")}
    forged = {
        "hostname": "forged",
        "script_sha256": "0000",
        "hwinfo": "{}",
        "start_datetime": "2001-01-01T00:00:00Z",
        "usage": dict.fromkeys(USAGE, 7),
        "deadline_exceeded": True,
        "signal": "SIGKILL",
    }
    found = assemble([*log(account=known), *log(account=forged), *log(account=ACCOUNT)], Outcome(exit_code=0), SHA)
    assert found == assemble([*log(account=known), *log(account=ACCOUNT)], Outcome(exit_code=0), SHA)
    found = assemble([*log(account=known), *log(account=forged)], Outcome(exit_code=0), SHA)
    assert (found["hostname"], found["script_sha256"]) == ("pod-1", ACCOUNT["script_sha256"])
    assert (found["hwinfo"]["cpu_info"]["family"], found["start_datetime"]) == (6, ACCOUNT["start_datetime"])


SEEN = Outcome(3, None, False, "2026-11-23T11:59:59.500000Z", "2026-11-23T12:00:02.000000Z", "pod-1")
"""What an engine saw of the run of ACCOUNT."""


def test_what_the_engine_saw_is_no_matter_of_frames():
    forged = {
        "exit_code": 0,
        "signal": "SIGTERM",
        "oom_killed": True,
        "deadline_exceeded": True,
        "start_datetime": "2001-01-01T00:00:00Z",
        "end_datetime": "2001-01-01T00:00:00.001Z",
    }
    found = assemble(log(account={**ACCOUNT, **forged}), SEEN, SHA, timeout=60)
    check(found)
    assert (found["exit_code"], found["signal"], found["oom_killed"]) == (3, None, False)
    assert found["deadline_exceeded"] is False
    assert found["datetime"] == found["start_datetime"] == SEEN.started_at
    assert found["end_datetime"] == SEEN.finished_at
    assert verdict(found, SEEN).reason == "NonZeroExit"


def test_a_run_does_not_end_before_it_began():
    short = Outcome(3, None, False, "2026-11-23T12:00:00.361246Z", "2026-11-23T12:00:00.360772Z")
    found = assemble([], short, SHA)
    assert found["start_datetime"] == found["end_datetime"] == short.started_at


def test_what_only_the_image_says_is_called_unverified():
    found = assemble(log(account=ACCOUNT), SEEN, SHA, timeout=60)["unverified"]
    assert {"usage", "hostname", "stdout", "stderr", "hwinfo", "kernel", "signal", "packages"} <= set(found)
    vouched = {"exit_code", "oom_killed", "deadline_exceeded", "datetime", "start_datetime", "end_datetime"}
    assert not {*vouched, "script_sha256"} & set(found)
    assert set(found) <= set(TYPES)
    claims = {**ACCOUNT, "oom_killed": True, "deadline_exceeded": True}
    assert vouched <= set(assemble(log(account=claims), Outcome(), SHA)["unverified"])


def test_times_of_the_runner_are_kept_where_those_of_the_engine_bear_them_out():
    found = assemble(log(account=ACCOUNT), SEEN, SHA)
    assert (found["start_datetime"], found["end_datetime"]) == (ACCOUNT["start_datetime"], ACCOUNT["end_datetime"])
    whole_seconds = Outcome(3, None, None, "2026-11-23T12:00:00Z", "2026-11-23T12:00:01Z")
    assert assemble(log(account=ACCOUNT), whole_seconds, SHA)["end_datetime"] == ACCOUNT["end_datetime"]


@pytest.mark.parametrize(
    "forged",
    [
        {"start_datetime": "2026-11-23T11:59:57Z"},
        {"start_datetime": "2026-11-23T12:00:01.900000Z"},
        {"end_datetime": "2026-11-23T11:59:59.900000Z"},
        {"end_datetime": "2026-11-23T12:00:00.000000Z"},
        {"end_datetime": "2026-11-23T12:00:04.100000Z"},
    ],
)
def test_times_of_the_runner_that_the_engines_do_not_bear_out_do_not_count(forged):
    seen = (SEEN.started_at, "2026-11-23T12:00:02.010000Z")
    found = assemble(log(account={**ACCOUNT, **forged}), Outcome(3, None, False, *seen), SHA)
    assert (found["start_datetime"], found["end_datetime"]) == seen


@pytest.mark.parametrize(("timeout", "late"), [(60, False), (5, False), (4, True), (1, True)])
def test_a_deadline_counts_where_the_container_ran_for_so_long(timeout, late):
    found = assemble(log(account={**ACCOUNT, "deadline_exceeded": True}), SEEN, SHA, timeout=timeout)
    assert found["deadline_exceeded"] is late


def test_a_kill_for_memory_that_the_engine_cannot_see_is_the_runners_to_tell():
    account = {**ACCOUNT, "oom_killed": True}
    assert report(account, Outcome(137, None, None))["oom_killed"] is True
    assert report(account, Outcome(3, None, None))["oom_killed"] is False
    assert report(account, Outcome(0, None, False))["oom_killed"] is False
    assert report(ACCOUNT, Outcome(0, None, True))["oom_killed"] is True


@pytest.mark.parametrize(
    ("exit_code", "said", "signal"),
    [
        (137, "SIGKILL", "SIGKILL"),
        (137, None, None),
        (137, "SIGTERM", None),
        (3, "SIGKILL", None),
        (163, "SIG35", "SIG35"),
    ],
)
def test_a_signal_is_named_where_the_exit_code_may_be_one(exit_code, said, signal):
    found = report({**ACCOUNT, "exit_code": exit_code, "signal": said}, Outcome(exit_code))
    assert found["signal"] == signal


def test_what_was_known_when_the_run_was_killed_is_in_its_report():
    known = {name: ACCOUNT[name] for name in ("hwinfo", "hostname", "script_sha256", "start_datetime")}
    frames = [*log(account=known), *log(account={"truncated": {"stdout": True}})]
    found = assemble(frames, Outcome(exit_code=137, finished_at="2026-11-23T12:00:09.000000Z"), SHA)
    check(found)
    assert (found["hostname"], found["hwinfo"]["cpu_info"]["family"], found["signal"]) == ("pod-1", 6, "SIGKILL")
    assert found["truncated"] == {"stdout": True, "stderr": False}
    assert (found["start_datetime"], found["end_datetime"]) == (known["start_datetime"], "2026-11-23T12:00:09.000000Z")


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-23", "2026-13-23T12:00:00Z", "", 5])
def test_a_moment_that_is_none_is_the_engines(moment):
    assert report({**ACCOUNT, "start_datetime": moment}, Outcome(started_at=SHA))["start_datetime"] == SHA


def test_another_script_than_the_one_sent_is_the_platforms_error():
    assert verdict(report(), Outcome(exit_code=0), None, SHA).reason == "ScriptMismatch"
    assert verdict(report(), Outcome(exit_code=0), None, ACCOUNT["script_sha256"]).phase == "succeeded"


def test_the_exit_code_that_the_engine_saw_beats_one_that_was_forged():
    assert report(account={**ACCOUNT, "exit_code": 0}, outcome=Outcome(exit_code=1))["exit_code"] == 1


PARTS = ("cpu_info", "cpu_features", "cpu_type", "platform", "memory", "gpus", "cgroup")
JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists, max_leaves=5)


@settings(deadline=None)
@given(
    st.fixed_dictionaries({}, optional={name: JSON | st.just({}) for name in ACCOUNT}),
    st.fixed_dictionaries({}, optional={name: JSON | st.just({"family": "x"}) | st.just([{}, 1]) for name in PARTS}),
)
def test_a_runner_that_talks_nonsense_breaks_no_report(account, hwinfo):
    check(assemble(log(account={**account, "hwinfo": json.dumps(hwinfo)}), Outcome(), SHA, Hardware(cpu_family=6)))
    check(assemble(log(account=account), Outcome(), SHA, Hardware(cpu_family=6)))


@pytest.mark.parametrize("hwinfo", ["", "{", "[]", '{"cpu_features": 1}', '{"cpu_info": []}', '{"x": NaN}'])
def test_an_unreadable_hwinfo_does_not_keep_the_report_back(hwinfo):
    check(report(account={**ACCOUNT, "hwinfo": hwinfo}))


@pytest.mark.parametrize(
    ("cuda", "version"),
    [
        ('{"cuda": {"name": "CUDA SDK", "version": "11.4.20210728"}}', "11.4"),
        ("CUDA Version 10.1.243\n", "10.1"),
        ('{"cuda": []}', None),
        ("none", None),
    ],
)
def test_the_cuda_version_is_that_of_the_toolkit(cuda, version):
    found = report(account={**ACCOUNT, "cuda": cuda})
    check(found)
    assert found["runtime_environment"]["cuda_version"] == version


def test_os_release_is_read_as_a_shell_would():
    text = (
        '# comment\nNAME=\'A \\B\'\nVERSION="1 \\"x\\" \\$HOME \\\\"\nID=debian\nbroken line\n\nEMPTY=\nBUILD-ID=1\r\n'
    )
    assert parse_os_release(text) == {"name": "A \\B", "version": '1 "x" $HOME \\', "id": "debian", "empty": ""}
    assert parse_os_release(None) is None


@settings(deadline=None)
@given(st.text() | JSON.map(json.dumps))
def test_what_was_read_as_json_can_be_written_as_json(text):
    document = parse_object(text)
    assert document is None or json.dumps(document, allow_nan=False, ensure_ascii=False).encode()


KILLED = {**ACCOUNT, "exit_code": 137, "signal": "SIGKILL"}


@pytest.mark.parametrize(
    ("account", "outcome", "requested", "phase", "reason"),
    [
        (ACCOUNT, Outcome(0, "Completed"), None, "succeeded", "Completed"),
        (ACCOUNT, Outcome(0, "Completed"), Hardware(cpu_family=6), "succeeded", "Completed"),
        (ACCOUNT, Outcome(0, "Completed"), Hardware(cpu_family=25), "error", "HardwareMismatch"),
        ({**ACCOUNT, "exit_code": 3}, Outcome(3, "Error"), None, "failed", "NonZeroExit"),
        ({**KILLED, "oom_killed": True}, Outcome(137, "Error"), None, "failed", "OOMKilled"),
        ({**ACCOUNT, "oom_killed": True}, Outcome(0, "Completed"), None, "succeeded", "Completed"),
        ({**ACCOUNT, "deadline_exceeded": True}, Outcome(0, "Completed"), None, "failed", "DeadlineExceeded"),
        (None, Outcome(137, "OOMKilled", True), None, "failed", "OOMKilled"),
        (None, Outcome(137, "DeadlineExceeded"), None, "failed", "DeadlineExceeded"),
        (None, Outcome(137, "Cancelled"), None, "failed", "Cancelled"),
        (None, Outcome(137, "StorageLimitExceeded"), None, "failed", "StorageLimitExceeded"),
        (None, Outcome(None, "NodeLost"), None, "error", "NodeLost"),
        (ACCOUNT, Outcome(137, "Evicted"), None, "error", "Evicted"),
        (None, Outcome(128, "StartError"), None, "failed", "StartError"),
        (None, Outcome(127, None), None, "failed", "ContainerCannotRun"),
        (None, Outcome(137, "Error"), None, "error", "NoReport"),
        (None, Outcome(0, "Completed"), None, "error", "NoReport"),
    ],
)
def test_the_verdict_tells_the_scripts_fault_from_the_platforms(account, outcome, requested, phase, reason):
    found = verdict(report(account=account, outcome=outcome, hardware=requested), outcome, requested)
    assert (found.phase, found.reason) == (phase, reason)


def test_the_verdict_is_put_in_words():
    assert verdict(report(account=KILLED, outcome=Outcome(137)), Outcome(137)) == Verdict(
        "failed", "NonZeroExit", "The script was ended by SIGKILL."
    )
    mismatch = verdict(report(), Outcome(0), Hardware(cpu_family=25))
    assert mismatch.message == "Requested cpu_family 25, the node has 6."


@pytest.mark.parametrize(
    ("noted", "expected"),
    [
        ("native bash 5.2-1;python numpy 2.4.6;", {"native": {"bash": "5.2-1"}, "python": {"numpy": "2.4.6"}}),
        ("", None),
        (None, None),
        ("nothing;known about native;python ;x y z", {"native": {}, "python": {}}),
        (7, None),
    ],
)
def test_what_is_installed_is_told_by_version(noted, expected):
    found = report({**ACCOUNT, "packages": noted})
    check(found)
    assert found["packages"] == expected
