"""Logs as text: whole, in part, and followed live by many."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

import pytest
import requests

from tests.conftest import Service, environment_of, specification, wait_until

from .conftest import SLEEPER, Api

pytestmark = [pytest.mark.podman, pytest.mark.slow]

FOLLOWERS = 30
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d)"

LINES = r"""#!/bin/sh
echo one
echo two >&2
printf 'thr'; sleep 0.2; printf 'ee\n'
printf '\303\244\377 last, without an end'
"""


@pytest.fixture(scope="module")
def printed(service: Service, base: str) -> str:
    """The path of the log of a script that printed a few lines, on both streams."""
    inspection_id = service.submit(specification(base, LINES))
    assert service.wait(inspection_id)["phase"] == "succeeded"
    return f"/inspect/{inspection_id}/job/log"


@pytest.fixture(scope="module")
def asleep(running: str) -> str:
    """The path of the log of an item that has printed a line and runs on."""
    return f"/inspect/{running}/job/log"


def bytes_of(api: Api, path: str, **query: object) -> bytes:
    response = api.get(path, params=query, headers={"Accept": "text/plain"})
    assert response.status_code == 200
    return response.content


def log_files_open(service: Service, inspection_id: str) -> int:
    """How many open files of an inspection's items the processes of the API have."""
    count = 0
    for pid in service.parts("gunicorn"):
        with contextlib.suppress(FileNotFoundError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    count += f"{inspection_id}/items" in os.readlink(descriptor)
    return count


# -- what is there --------------------------------------------------------------------------------------------------


def test_each_stream_is_to_be_had_alone_and_byte_for_byte(api: Api, printed: str) -> None:
    assert bytes_of(api, printed, stream="stdout") == b"one\nthree\n\xc3\xa4\xff last, without an end"
    assert bytes_of(api, printed, stream="stderr") == b"two\n"


def test_both_streams_come_together_with_no_byte_lost(api: Api, printed: str) -> None:
    both = bytes_of(api, printed)
    assert both.replace(b"two\n", b"") == bytes_of(api, printed, stream="stdout")


def test_the_older_and_the_newer_path_give_the_same_text(api: Api, printed: str) -> None:
    assert bytes_of(api, printed) == bytes_of(api, printed.replace("/job/log", "/job/0/log"))


def test_each_line_has_its_time_if_that_is_asked_for(api: Api, printed: str) -> None:
    text = bytes_of(api, printed, stream="stdout", timestamps="true").decode(errors="replace")
    assert re.fullmatch(rf"{TIME} one\n{TIME} three\n{TIME} ä\ufffd last, without an end", text)
    assert re.fullmatch(rf"{TIME} two\n", bytes_of(api, printed, stream="stderr", timestamps="true").decode())


@pytest.mark.parametrize("query", [{}, {"stream": "stdout"}, {"stream": "stdout", "timestamps": "true"}])
def test_who_comes_back_gets_the_rest(api: Api, printed: str, query: dict[str, str]) -> None:
    whole = bytes_of(api, printed, **query)
    for offset in (0, 1, 5, len(whole) - 1, len(whole), len(whole) + 100):
        assert bytes_of(api, printed, offset=offset, **query) == whole[offset:]
        assert bytes_of(api, printed, offset=offset, follow="true", **query) == whole[offset:]


def test_a_build_log_can_be_had_from_any_byte_on(api: Api, done: str) -> None:
    path = f"/inspect/{done}/build/log"
    whole = bytes_of(api, path)
    for offset in (0, 7, len(whole), len(whole) + 100, 2**40):
        assert bytes_of(api, path, offset=offset) == whole[offset:]
    assert api.json(path, offset=7)["log"].encode() == whole[7:]


def test_the_log_of_what_is_over_ends_at_once_for_followers(api: Api, printed: str, build_failed: str) -> None:
    assert bytes_of(api, printed, follow="true") == bytes_of(api, printed)
    path = f"/inspect/{build_failed}/build/log"
    assert bytes_of(api, path, follow="true") == bytes_of(api, path)
    assert bytes_of(api, f"/inspect/{build_failed}/job/log", follow="true") == b""


def test_who_likes_json_as_well_gets_json(api: Api, printed: str) -> None:
    for accept in ("application/json, text/plain, */*", "*/*", "application/json"):
        answer = api.get(printed, headers={"Accept": accept})
        assert answer.headers["Content-Type"] == "application/json"
    browser = api.get(printed, headers={"Accept": "text/plain;q=0.9"})
    assert browser.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_a_hostile_log_is_not_taken_for_a_page(api: Api, printed: str) -> None:
    answer = api.get(printed, headers={"Accept": "text/plain"})
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


# -- live -----------------------------------------------------------------------------------------------------------


def test_lines_arrive_as_they_are_printed_and_the_stream_ends_with_the_item(
    api: Api, service: Service, base: str
) -> None:
    """The follower comes before the build has begun, waits for it, and gets each line when it is printed."""
    document = specification(script="echo first; sleep 2; echo last >&2", **environment_of(base, "followed"))
    inspection_id = service.submit(document)
    with api.follow(f"/inspect/{inspection_id}/job/0/log") as lines:
        assert api.json(f"/inspect/{inspection_id}/status")["phase"] in ("queued", "building", "pending")
        assert next(lines) == b"first"
        first = time.monotonic()
        assert api.json(f"/inspect/{inspection_id}/status")["phase"] == "running"
        assert next(lines) == b"last"
        assert time.monotonic() - first > 1
        assert next(lines, None) is None
    assert service.wait(inspection_id, timeout=5)["phase"] == "succeeded"


def test_a_build_is_followed_from_before_it_begins_to_its_end(api: Api, service: Service, base: str) -> None:
    document = specification(base, None, build={"cache": False}, files=[{"path": "/srv/followed", "content": "x"}])
    inspection_id = service.submit(document)
    with api.follow(f"/inspect/{inspection_id}/build/log") as lines:
        first = next(lines)
        assert b"STEP 1/" in first
        assert api.json(f"/inspect/{inspection_id}/status")["build"]["state"] == "running"
        followed = b"\n".join([first, *lines])
    assert service.wait(inspection_id)["phase"] == "succeeded"
    assert followed == bytes_of(api, f"/inspect/{inspection_id}/build/log").rstrip(b"\n")


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_a_stream_ends_when_the_inspection_is_ended(api: Api, service: Service, base: str, end: str) -> None:
    inspection_id = service.submit(specification(base, SLEEPER))
    with api.follow(f"/inspect/{inspection_id}/job/log") as lines:
        assert next(lines) == b"awake"
        if end == "cancel":
            service.client.cancel(inspection_id)
            assert next(lines, None) is None
        else:
            service.client.delete(inspection_id)
            # The inspection is gone: the stream is cut, not ended, so that nobody takes it for the whole log.
            with pytest.raises(requests.exceptions.ChunkedEncodingError):
                next(lines)


def test_a_follower_who_comes_back_misses_nothing_and_gets_nothing_twice(api: Api, service: Service, base: str) -> None:
    script = "for n in 1 2 3 4 5 6 7 8; do echo line $n; sleep 0.2; done"
    inspection_id = service.submit(specification(base, script))
    path, got = f"/inspect/{inspection_id}/job/log", b""
    for _ in range(20):
        with api.follow(path, offset=len(got)) as lines:
            line = next(lines, None)
        if line is None:
            break
        got += line + b"\n"
    assert got == b"".join(b"line %d\n" % number for number in range(1, 9))


def test_many_followers_hold_up_nobody_and_are_forgotten_when_they_leave(
    api: Api, service: Service, running: str, asleep: str
) -> None:
    before = log_files_open(service, running)
    with contextlib.ExitStack() as open_streams:
        streams = [open_streams.enter_context(api.follow(asleep)) for _ in range(FOLLOWERS)]
        assert [next(lines) for lines in streams] == [b"awake"] * FOLLOWERS
        assert log_files_open(service, running) >= before + FOLLOWERS
        # Were a worker thread held by each stream, twenty would hold them all.
        answered = []
        for path in ("/liveness", "/api/v1/version", f"/api/v1/inspect/{running}/status"):
            started = time.monotonic()
            assert requests.get(service.url + path, timeout=30).status_code == 200
            answered.append(time.monotonic() - started)
        assert max(answered) < 2
    wait_until(lambda: log_files_open(service, running) == before, timeout=15)


def test_followers_of_a_run_that_has_not_started_hold_up_nobody_either(
    api: Api, service: Service, running: str
) -> None:
    """Item 1 waits for item 0, which sleeps."""
    path = f"{api.url}/inspect/{running}/job/1/log"
    with contextlib.ExitStack() as open_streams:
        for _ in range(FOLLOWERS):
            stream = requests.get(path, params={"follow": "true"}, stream=True, timeout=30)
            open_streams.enter_context(stream)
            assert stream.status_code == 200
        started = time.monotonic()
        assert requests.get(f"{service.url}/liveness", timeout=30).status_code == 200
        assert time.monotonic() - started < 2
        seconds = processor_seconds(service)
        time.sleep(2)
        assert processor_seconds(service) - seconds < 1.5  # of the 4 that two processors have


def processor_seconds(service: Service) -> float:
    """Processor time that the processes of the API have used."""
    ticks = 0
    for pid in service.parts("gunicorn"):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_a_slow_reader_does_not_make_the_service_keep_the_log_in_memory(api: Api, service: Service, base: str) -> None:
    """A follower that reads nothing while megabytes are printed."""
    script = "head -c 8000000 /dev/zero | tr '\\0' x | fold -w 100; echo end"
    inspection_id = service.submit(specification(base, script))
    service.wait(inspection_id)
    before = memory(service)
    with contextlib.ExitStack() as open_streams:
        for _ in range(10):
            options = {"params": {"follow": "true"}, "stream": True, "timeout": 30}
            url = f"{api.url}/inspect/{inspection_id}/job/log"
            open_streams.enter_context(requests.get(url, **options))  # type: ignore[arg-type]
        time.sleep(1)
        assert memory(service) - before < 40 * 2**20
    whole = bytes_of(api, f"/inspect/{inspection_id}/job/log", follow="true")
    assert len(whole) == 8_000_000 + 80_000 - 1 + len("end\n")
    assert whole.endswith(b"xend\n")


def memory(service: Service) -> int:
    """Resident bytes of the processes of the API."""
    pages = 0
    for pid in service.parts("gunicorn"):
        pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
