"""What a script printed comes out of a container's log byte for byte, however the log was cut on the way."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amun.runs import log_frames
from amun.runs.log_frames import CriDecoder, Frame, TimestampDecoder, frames
from amun.runs.programs.runner import Stream

TIME = "2026-11-23T12:11:21.025483409+00:00"
PRINTED = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=40)), max_size=12)
LONG = st.tuples(st.just("stdout"), st.binary(min_size=1, max_size=3).map(lambda data: data * 7000))


def framed(printed):
    streams = {name: Stream(name, 1 << 30) for name in ("stdout", "stderr")}
    return b"".join(streams[name].frame(data) for name, data in printed)


def cri_log(data, block):
    """Wrap as conmon does: `block` bytes at a time, P where a line goes on in the next one."""
    # Not splitlines(): only \n ends a line here.
    lines = itertools.chain.from_iterable(re.findall(rb"[^\n]*\n|[^\n]+", part) for part in chunks(data, block))
    return b"".join(
        b"%s stdout %s %s\n" % (TIME.encode(), b"F" if line.endswith(b"\n") else b"P", line.rstrip(b"\n"))
        for line in lines
    )


def chunks(data, size):
    return [data[start : start + size] for start in range(0, len(data), size)]


def streams(found):
    joined = {"stdout": b"", "stderr": b""}
    for frame in found:
        joined[frame.stream] += frame.data
    return joined


def printed_on(printed, name):
    return b"".join(data for stream, data in printed if stream == name)


def check_round_trip(printed, block, size):
    log = cri_log(framed(printed), block)
    found = streams(frames(chunks(log, size)))
    assert found == {name: printed_on(printed, name) for name in ("stdout", "stderr")}


@settings(deadline=None)
@given(PRINTED, st.integers(1, 100), st.integers(1, 100))
def test_any_bytes_come_back_on_the_stream_they_were_printed_on(printed, block, size):
    check_round_trip(printed, block, size)


@settings(deadline=None, max_examples=25)
@given(st.lists(LONG, max_size=2), st.integers(1000, 9000), st.integers(1000, 70000))
def test_lines_that_are_too_long_for_one_frame_come_back_whole(printed, block, size):
    check_round_trip(printed, block, size)


@settings(deadline=None)
@given(PRINTED, st.integers(1, 500))
def test_the_log_that_the_kubernetes_api_serves_gives_the_same(printed, size):
    log = b"".join(TIME.encode() + b" " + line + b"\n" for line in framed(printed).split(b"\n")[:-1])
    found = list(frames(chunks(log, size), TimestampDecoder()))
    assert streams(found) == {name: printed_on(printed, name) for name in ("stdout", "stderr")}
    assert {frame.time for frame in found} <= {TIME}


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([CriDecoder, TimestampDecoder]))
def test_no_log_however_broken_stops_the_reading_of_what_follows(garbage, decoder):
    line = TIME.encode() + (b" stdout F" if decoder is CriDecoder else b"") + b" stdout F still here\n"
    found = list(frames([garbage, b"\n", line], decoder()))
    assert found[-1].data.endswith(b"still here\n")


def test_a_line_is_seen_as_soon_as_it_is_complete():
    def growing():
        yield b"T stdout F stdout F on"
        yield b"e\nT stdout F stdout P tw"
        yield b"o?\n"
        raise AssertionError("read further than what was asked for")

    found = frames(growing())
    assert next(found) == Frame("T", "stdout", b"one\n")
    assert next(found) == Frame("T", "stdout", b"two?")


def test_pieces_of_both_container_streams_are_not_mixed_up():
    log = b"1 stdout P stdout F a\n2 stderr P Trace\n3 stdout F b\n4 stderr F back\n"
    assert list(frames([log])) == [Frame("1", "stdout", b"ab\n"), Frame("2", "stderr", b"Traceback\n")]


def test_what_no_runner_wrote_is_passed_on_as_standard_error():
    log = b"T stdout F exec failed\nT stdout F stdoutF x\nnot a log entry\nT stdout F \n"
    assert [frame.data for frame in frames([log]) if frame.stream == "stderr"] == [
        b"exec failed\n",
        b"stdoutF x\n",
        b"not a log entry\n",
    ]


def test_a_line_that_was_cut_off_when_the_container_was_killed_is_kept():
    assert list(frames([b"T stdout F stdout F whole\nT stdout P stdout P ha"])) == [
        Frame("T", "stdout", b"whole\n"),
        Frame("T", "stdout", b"ha"),
    ]


@pytest.mark.parametrize("decoder", [CriDecoder, TimestampDecoder])
def test_an_endless_line_costs_no_more_memory_than_the_longest_line(decoder, monkeypatch):
    monkeypatch.setattr(log_frames, "LONGEST_LINE", 1000)
    reader = decoder()
    prefix = b"T stdout P " if decoder is CriDecoder else b"T "
    for _ in range(50):
        ended = b"\n" if decoder is CriDecoder else b""
        assert list(reader.feed(prefix + b"x" * 100 + ended)) == []
    (_, line), *_ = [*reader.close(), ("", b"")]
    assert 0 < len(line) <= 1000


def test_frames_are_short_enough_for_runtimes_not_to_split():
    frame = Stream("stdout", 1 << 30).frame(b"x" * 65536)
    assert max(map(len, frame.split(b"\n"))) < 8192
