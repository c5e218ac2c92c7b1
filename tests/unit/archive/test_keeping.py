"""What is kept of an inspection, where, and in which order; and that it is complete whatever came in between."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amun.archive import documents
from amun.archive.job import Keeping
from amun.archive.layout import Archive
from amun.archive.store import Store
from amun.environments import dockerfile, logins
from amun.errors import ArchiveUnavailable, InspectionNotFound, Unreadable
from amun.model import status, timestamps
from amun.model.inspection import Observation
from tests.support import archive_doubles
from tests.support.archive_doubles import MemoryEngine, everything

ROOT = Path(__file__).parents[3]
NOW = "2026-02-02T00:00:00.000000Z"
NO_TEXT = b"caf\xe9 \xff\xfe \xed\xa0\x80 \n"


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with archive_doubles.s3_server() as url:
        yield url


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return make(request, tmp_path)


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.slow)])
def store_of_many_tests(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return make(request, tmp_path)


def make(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "directory":
        return archive_doubles.directory_store(tmp_path / "archive")
    return archive_doubles.s3_store(request.getfixturevalue("s3_url"), secrets.token_hex(8))


@pytest.fixture
def directory(tmp_path: Path) -> Store:
    return archive_doubles.directory_store(tmp_path / "archive")


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


def keep(store: Store, engine: MemoryEngine, inspection_id: str) -> Observation:
    """Keep all of an inspection that is over."""
    archive = Archive(store, "test")
    closed = Keeping(archive, engine, inspection_id).advance(engine.observe(inspection_id), over=True)
    assert closed is not None
    return closed


# -- layout ----------------------------------------------------------------------------------------------------------


def test_everything_lies_where_its_readers_look_for_it(store: Store, engine: MemoryEngine) -> None:
    inspection_id = engine.over(2, identifier="layout")
    keep(store, engine, inspection_id)
    whole = f"test/inspections/{inspection_id}"
    found = {key.removeprefix(f"{whole}/"): content for key, content in everything(store, whole).items()}
    item = {"container-log", "log", "hwinfo", "result"}
    assert found.keys() == {
        *("build/specification", "build/Dockerfile", "build/log", "observation"),
        *(f"results/{number}/{name}" for number in range(2) for name in item),
    }
    specification = engine.observe(inspection_id).inspection.specification
    assert json.loads(found["build/specification"]) == {
        **specification.to_document(),
        "@created": archive_doubles.CREATED,
    }
    assert found["build/Dockerfile"] == dockerfile.context(specification)["Dockerfile"]
    assert found["build/log"] == b"STEP 1: FROM debian:12\n"
    assert found["results/1/log"] == b"item 1\ndone\n"
    assert found["results/1/container-log"] == b"".join(engine.item_log(inspection_id, 1))
    assert json.loads(found["results/1/hwinfo"]) == {"cpu_info": {}}
    assert json.loads(found["results/1/result"]) == engine.report(inspection_id, 1)


def test_the_dockerfile_that_is_kept_is_that_of_an_owner_whose_password_a_build_used(
    directory: Store, engine: MemoryEngine
) -> None:
    inspection_id = engine.add(0, python_packages=["private"])
    inspection = replace(engine.observe(inspection_id).inspection, private=True)
    engine.change(inspection_id, inspection=inspection)
    engine.built(inspection_id)
    keep(directory, engine, inspection_id)
    whole = f"test/inspections/{inspection_id}"
    kept = everything(directory, whole)[f"{whole}/build/Dockerfile"]
    assert kept == dockerfile.context(inspection.specification, None, logins.owner_digest("me"))["Dockerfile"]
    assert kept != dockerfile.context(inspection.specification)["Dockerfile"]


def test_the_layout_is_that_of_an_inspection_which_the_original_kept(directory: Store, engine: MemoryEngine) -> None:
    kept = ROOT.parent / "shared/cases/results/inspection-rhtf-conv2d-0f845f38"
    if not kept.is_dir():
        pytest.skip("no inspection of the original is at hand")
    inspection_id = engine.over(2)
    keep(directory, engine, inspection_id)
    names = {str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()}
    assert names <= Archive(directory, "test").names(inspection_id)


def test_what_is_read_again_is_what_was_kept(store: Store, engine: MemoryEngine) -> None:
    extras = {"environment": [{"name": "A", "value": "ü\u2028\"'$"}], "constraints": {"z": [1, {"a": None}], "b": 1.5}}
    inspection_id = engine.over(2, identifier="again", files=[{"path": "/a b", "content": "\u0001ä"}], **extras)
    closed = keep(store, engine, inspection_id)
    before = engine.observe(inspection_id)
    archive = Archive(store, "test")
    assert closed == replace(before, finished_at=closed.finished_at, data_stored=True)
    found = archive.observation(inspection_id)
    assert found == closed
    assert json.dumps(status.to_document(found)) == json.dumps(status.to_document(closed))
    kept, declared = found.inspection.specification, before.inspection.specification
    assert json.dumps(kept.to_document()) == json.dumps(declared.to_document())
    assert archive.report(inspection_id, 1) == engine.report(inspection_id, 1)
    assert b"".join(archive.build_log(inspection_id, 5) or ()) == b"1: FROM debian:12\n"
    assert b"".join(archive.item_log(inspection_id, 0) or ()) == b"".join(engine.item_log(inspection_id, 0))


def test_of_a_build_that_failed_all_is_kept_that_there_is(directory: Store, engine: MemoryEngine) -> None:
    inspection_id = engine.add(3)
    engine.build_logs[inspection_id] = b"no such package\n"
    engine.built(inspection_id, "failed")
    keep(directory, engine, inspection_id)
    names = Archive(directory, "test").names(inspection_id)
    assert names == {"build/specification", "build/Dockerfile", "build/log", "observation"}
    found = Archive(directory, "test").observation(inspection_id)
    assert found is not None
    assert status.verdict(found).phase == "build_failed"
    assert b"".join(Archive(directory, "test").build_log(inspection_id) or ()) == b"no such package\n"


def test_an_inspection_without_a_script_has_no_items(directory: Store, engine: MemoryEngine) -> None:
    inspection_id = engine.over(0)
    assert keep(directory, engine, inspection_id).items == ()


def test_what_a_later_version_adds_is_left_out_and_what_it_leaves_out_is_default(engine: MemoryEngine) -> None:
    observation = engine.observe(engine.over())
    document = json.loads(documents.observation(observation))
    document["later"] = document["items"][0]["later"] = document["build"]["later"] = document["inspection"]["later"] = 1
    del document["defect"], document["items"][0]["node"], document["inspection"]["owner"]
    found = documents.parse_observation(json.dumps(document).encode())
    assert found.items[0] == replace(observation.items[0], node=None)
    assert found.inspection == replace(observation.inspection, owner=None)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"1", b'{"inspection": {}}', b"\xff", b"[" * 100_000])
def test_a_document_that_cannot_be_read_is_said_to_be_so(content: bytes) -> None:
    with pytest.raises(ArchiveUnavailable, match="cannot be read"):
        documents.parse_observation(content)


def test_nothing_that_json_has_room_for_keeps_a_document_from_being_kept() -> None:
    odd = {"a\ud800": ["\udfff", "\0", 10**40, 1e308, -0.0, None, True], "": {}}
    assert documents.parse(documents.dump(odd)) == odd


# -- bytes -----------------------------------------------------------------------------------------------------------


def test_logs_that_are_no_text_are_given_back_as_they_were_and_kept_as_text_too(
    store: Store, engine: MemoryEngine
) -> None:
    inspection_id = engine.over()
    engine.build_logs[inspection_id] = NO_TEXT * 3
    engine.item_logs[inspection_id, 0] = lambda: iter([archive_doubles.cri(NO_TEXT.rstrip(b"\n"), b"\xc3", b"\xa9")])
    keep(store, engine, inspection_id)
    archive = Archive(store, "test")
    assert b"".join(archive.build_log(inspection_id, 2) or ()) == (NO_TEXT * 3)[2:]
    assert b"".join(archive.item_log(inspection_id, 0) or ()) == b"".join(engine.item_log(inspection_id, 0))
    for name in ("build/log", "results/0/log"):
        kept = store.get(archive.key(inspection_id, name))
        assert kept is not None
        assert "caf\ufffd" in kept.decode()


def test_text_is_text_wherever_chunks_are_cut(directory: Store, engine: MemoryEngine) -> None:
    text = "aé€😀\n" * 50_000
    inspection_id = engine.over()
    engine.build_logs[inspection_id] = text.encode()
    keep(directory, engine, inspection_id)
    archive = Archive(directory, "test")
    assert "build/raw-log" not in archive.names(inspection_id)
    assert b"".join(archive.build_log(inspection_id) or ()).decode() == text


def test_the_report_in_a_container_log_is_no_part_of_the_text(directory: Store, engine: MemoryEngine) -> None:
    inspection_id = engine.over()
    log = (
        archive_doubles.cri(b"out")
        + archive_doubles.cri(b"err", stream="stderr")
        + archive_doubles.cri(b'{"a": 1}', stream="report")
    )
    engine.item_logs[inspection_id, 0] = lambda: iter([log])
    keep(directory, engine, inspection_id)
    assert directory.get(f"test/inspections/{inspection_id}/results/0/log") == b"out\nerr\n"


def long_log(size: int) -> Iterator[bytes]:
    chunk = archive_doubles.cri(*[b"x" * 100] * 400)
    for _ in range(size // len(chunk)):
        yield chunk


@pytest.mark.slow
def test_memory_does_not_grow_with_logs(directory: Store, engine: MemoryEngine) -> None:
    inspection_id = engine.over()
    engine.item_logs[inspection_id, 0] = lambda: long_log(20 << 20)
    archive = Archive(directory, "test")
    tracemalloc.start()
    try:
        keep(directory, engine, inspection_id)
        size = sum(map(len, archive.item_log(inspection_id, 0) or ()))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 19 << 20
    assert most < 4 << 20


@pytest.mark.slow
def test_memory_does_not_grow_with_logs_that_go_to_s3(s3_url: str, tmp_path: Path) -> None:
    program = f"""
import resource
from amun.archive.layout import Archive
from tests.support import archive_doubles as archives
from tests.unit.archive.test_keeping import keep, long_log
engine, store = archives.MemoryEngine(), archives.s3_store({s3_url!r}, {secrets.token_hex(8)!r})
keep(store, engine, engine.over())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
inspection_id = engine.over()
engine.item_logs[inspection_id, 0] = lambda: long_log(40 << 20)
keep(store, engine, inspection_id)
assert sum(map(len, Archive(store, "test").item_log(inspection_id, 0))) > 39 << 20
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) < 12 << 10  # KiB


# -- once, and all of it ---------------------------------------------------------------------------------------------


def test_the_observation_is_put_last_and_a_report_last_of_its_item(directory: Store, engine: MemoryEngine) -> None:
    recorded = archive_doubles.Recorded(directory)
    keep(recorded, engine, engine.over(2))
    names = [key.split("/", 3)[3] for key, _ in recorded.puts]
    assert names[-1] == "observation"
    for item in range(2):
        of_item = [name for name in names if name.startswith(f"results/{item}/")]
        assert of_item[-1] == f"results/{item}/result"
        assert len(of_item) == 4


def _puts() -> int:
    return 3 + 2 * 4 + 1


@pytest.mark.parametrize("made", [False, True], ids=["not made", "made and not answered"])
@pytest.mark.parametrize("number", range(1, _puts() + 1))
def test_whichever_put_fails_the_result_is_the_same_and_complete(
    store_of_many_tests: Store, number: int, made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of_many_tests
    monkeypatch.setattr(timestamps, "now", lambda: NOW)
    engine = MemoryEngine()
    inspection_id = engine.over(2)
    failing = archive_doubles.FailsAtPut(store, number, made)
    archive = Archive(failing, "test")
    first = Keeping(archive, engine, inspection_id)
    with pytest.raises(ArchiveUnavailable):
        first.advance(engine.observe(inspection_id), over=True)
    visible = archive.observation(inspection_id)
    assert (visible is None) == (number < _puts() or not made)
    kept = everything(store, f"test/inspections/{inspection_id}")
    # The same controller goes on, or another one after it was killed.
    second = first if number % 2 else Keeping(archive, engine, inspection_id)
    closed = second.advance(engine.observe(inspection_id), over=True)
    assert closed == archive.observation(inspection_id)
    found = everything(store, f"test/inspections/{inspection_id}")
    assert len(found) == _puts()
    assert found.items() >= kept.items()
    whole = engine.over(2)
    keep(store, engine, whole)
    expected = everything(store, f"test/inspections/{whole}")
    assert [content.replace(inspection_id.encode(), whole.encode()) for content in found.values()] == [
        *expected.values()
    ]


def test_what_was_kept_is_neither_read_nor_put_again(directory: Store, engine: MemoryEngine) -> None:
    recorded = archive_doubles.Recorded(directory)
    archive = Archive(recorded, "test")
    inspection_id = engine.add(3)
    engine.built(inspection_id)
    keeping = Keeping(archive, engine, inspection_id)
    assert keeping.news(engine.observe(inspection_id))
    keeping.advance(engine.ended(inspection_id, 1), over=False)
    assert archive.names(inspection_id) >= {"build/log", "results/1/result"}
    assert archive.observation(inspection_id) is None
    assert not keeping.news(engine.observe(inspection_id))
    engine.ended(inspection_id, 0)
    assert keeping.news(engine.observe(inspection_id))
    for item in (0, 2):
        engine.ended(inspection_id, item)
    del engine.item_logs[inspection_id, 1]  # nobody asks for it any more
    engine.item_logs[inspection_id, 1] = lambda: pytest.fail("read again")
    Keeping(archive, engine, inspection_id).advance(engine.observe(inspection_id), over=True)
    keys = [key for key, _ in recorded.puts]
    assert len(keys) == len(set(keys)) == 3 + 3 * 4 + 1
    assert all(kept for _, kept in recorded.puts)


def test_controllers_that_keep_the_same_inspection_agree(store: Store, engine: MemoryEngine) -> None:
    inspection_id = engine.over(3)
    controllers = 4
    barrier = threading.Barrier(controllers)

    def work(_: int) -> Observation | None:
        barrier.wait()
        keeping = Keeping(Archive(store, "test"), engine, inspection_id)
        return keeping.advance(engine.observe(inspection_id), over=True)

    with ThreadPoolExecutor(controllers) as pool:
        list(pool.map(work, range(controllers)))
    again = [work_alone(store, engine, inspection_id) for _ in range(2)]
    assert again[0] == again[1] == Archive(store, "test").observation(inspection_id)
    assert len(Archive(store, "test").names(inspection_id)) == 3 + 3 * 4 + 1


def work_alone(store: Store, engine: MemoryEngine, inspection_id: str) -> Observation | None:
    return Keeping(Archive(store, "test"), engine, inspection_id).advance(engine.observe(inspection_id), over=True)


def test_the_first_to_close_is_who_says_when(directory: Store, engine: MemoryEngine) -> None:
    inspection_id = engine.over()
    first = keep(directory, engine, inspection_id)
    late = archive_doubles.Through(directory)
    monotonous = Keeping(Archive(late, "test"), engine, inspection_id)
    late.list = lambda prefix: []  # type: ignore[method-assign] # it looked before the first one put anything
    assert monotonous.advance(engine.observe(inspection_id), over=True) == first


# -- what is lost ----------------------------------------------------------------------------------------------------


def test_what_is_lost_for_good_holds_up_nothing(
    directory: Store, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> Any:
        raise Unreadable("It is corrupt.")

    inspection_id = engine.over(2)
    engine.item_logs[inspection_id, 0] = lost
    monkeypatch.setattr(engine, "build_log", lost)
    keep(directory, engine, inspection_id)
    archive = Archive(directory, "test")
    assert archive.build_log(inspection_id) is None
    assert archive.item_log(inspection_id, 0) is None
    assert archive.report(inspection_id, 0) == engine.report(inspection_id, 0)
    assert archive.item_log(inspection_id, 1) is not None


def test_an_item_that_left_no_report_has_none(directory: Store, engine: MemoryEngine) -> None:
    inspection_id = engine.over()
    del engine.reports[inspection_id, 0]
    keep(directory, engine, inspection_id)
    assert Archive(directory, "test").report(inspection_id, 0) is None


def test_one_that_was_deleted_meanwhile_is_told_of(directory: Store, engine: MemoryEngine) -> None:
    inspection_id = engine.over()

    class DeletedLast(archive_doubles.Through):
        def after(self, method: str, key: str) -> None:
            if key.endswith("observation"):
                engine.forget(inspection_id)

    keeping = Keeping(Archive(DeletedLast(directory), "test"), engine, inspection_id)
    with pytest.raises(InspectionNotFound):
        keeping.advance(engine.observe(inspection_id), over=True)


# -- the archive as a whole ------------------------------------------------------------------------------------------


def test_of_a_deleted_inspection_nothing_is_left_and_others_stay(store: Store, engine: MemoryEngine) -> None:
    gone, stays = engine.over(identifier="a"), engine.over(identifier="a")
    for inspection_id in (gone, stays):
        keep(store, engine, inspection_id)
    archive = Archive(store, "test")
    archive.delete(gone)
    archive.delete(gone)
    assert archive.observation(gone) is None
    assert archive.names(gone) == set()
    assert archive.observation(stays) is not None


def test_deployments_have_nothing_in_common(directory: Store, engine: MemoryEngine) -> None:
    inspection_id = engine.over()
    keep(directory, engine, inspection_id)
    assert Archive(directory, "other").observation(inspection_id) is None


@pytest.mark.parametrize(
    "hostile",
    ["", ".", "..", "../../etc/passwd", "inspection-0123456789abcdef/../x", "inspection-/0123456789abcdef",
     "inspection-0123456789abcdef\n", "inspection-0123456789abcde", "INSPECTION-0123456789abcdef", "a" * 10_000,
     "inspection-\0-0123456789abcdef", "inspection-..-0123456789abcdef"],
)  # fmt: skip
def test_what_could_not_be_an_id_reaches_no_store(directory: Store, hostile: str) -> None:
    archive = Archive(archive_doubles.Unused(directory), "test")
    assert archive.observation(hostile) is None
    assert archive.build_log(hostile) is None
    assert archive.item_log(hostile, 0) is None
    assert archive.report(hostile, 0) is None
    with pytest.raises(ValueError, match="no id"):
        archive.delete(hostile)


def test_checking_leaves_nothing(store: Store) -> None:
    Archive(store, "test").check()
    assert list(store.list("test")) == []


def test_a_store_that_writes_over_what_it_has_is_found_out(directory: Store) -> None:
    class Forgetful(archive_doubles.Through):
        def put_once(self, key: str, content: Any) -> bool:
            self.inner.delete(key)
            return self.inner.put_once(key, content)

    with pytest.raises(ArchiveUnavailable, match="written over"):
        Archive(Forgetful(directory), "test").check()
    assert list(directory.list("test")) == []


def test_a_place_that_cannot_be_written_is_found_out(directory: Store) -> None:
    with pytest.raises(ArchiveUnavailable, match="broken"):
        Archive(archive_doubles.OutOfReach(directory), "test").check()
