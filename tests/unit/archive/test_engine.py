"""An engine with an archive behind it: what its callers and the controller see, whatever the archive does."""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from amun import archive as archives_of
from amun import composition
from amun.application.controller import Controller
from amun.application.inspections import Inspections
from amun.archive import worker
from amun.archive.directory import DirectoryStore
from amun.archive.engine import SETTLE, Archived
from amun.archive.layout import Archive
from amun.archive.store import Store
from amun.auth.callers import ANYBODY
from amun.engines.base import Engine, NotYet
from amun.errors import ArchiveUnavailable, Conflict, EngineUnavailable, InspectionNotFound, ItemNotFound
from amun.model import status
from amun.model import timestamps as clock
from amun.model.inspection import BuildState, Inspection, Submission
from amun.processes import doctor
from amun.settings import Settings
from amun.telemetry import metrics
from tests.conftest import wait_until
from tests.support import archive_doubles
from tests.support.archive_doubles import MemoryEngine

UNKNOWN = "inspection-0123456789abcdef"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "RETRY_AFTER", 0.05)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return archive_doubles.directory_store(tmp_path / "archive")


@pytest.fixture
def inner() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def engine(inner: MemoryEngine, store: Store) -> Archived:
    return Archived(inner, Archive(store, "test"))


def over(store: Store, inner: MemoryEngine) -> Archived:
    return Archived(inner, Archive(store, "test"))


def close(engine: Archived, *inspection_ids: str) -> None:
    """Have a controller close inspections."""
    controller = Controller(engine)

    def closed() -> bool:
        controller.sweep()
        return not set(inspection_ids) & set(engine.unfinished())

    wait_until(closed, 10, 0.01)


def answers(engine: Engine, inspection_id: str) -> dict[str, Any]:
    """All that an engine says of an inspection of two items."""
    inspections = Inspections(engine, Settings(), ANYBODY)
    outputs = {
        (item, stream, timestamps, offset): b"".join(
            inspections.item_output(
                inspection_id, item, stream=stream, timestamps=timestamps, offset=offset, follow=follow
            )
        )
        for item in range(2)
        for stream in (None, "stdout", "stderr")
        for timestamps in (False, True)
        for offset in (0, 3, 1000)
        for follow in (False, True)
    }
    return {
        "detail": json.dumps(inspections.detail(inspection_id)),
        "status": json.dumps(status.to_document(engine.observe(inspection_id))),
        "observation": engine.observe(inspection_id),
        "declared": engine.declared(inspection_id),
        "build log": [b"".join(engine.build_log(inspection_id, offset, True)) for offset in (0, 7, 1000)],
        "item logs": [b"".join(engine.item_log(inspection_id, item)) for item in range(2)],
        "reports": [json.dumps(inspections.report(inspection_id, item)) for item in range(2)],
        "outputs": outputs,
    }


# -- delegation ------------------------------------------------------------------------------------------------------

METHODS = [name for name, method in vars(Engine).items() if inspect.isfunction(method) and not name.startswith("_")]


@pytest.mark.parametrize("name", METHODS)
def test_no_method_is_forgotten(name: str) -> None:
    """One with a body in `Engine` would be inherited without anybody noticing."""
    assert name in vars(Archived)
    assert inspect.signature(vars(Archived)[name]) == inspect.signature(vars(Engine)[name])


@pytest.mark.parametrize("name", sorted({*METHODS} - {"observe", "build_log", "item_log", "run", "finish"}))
def test_every_method_asks_the_engine_first(name: str, store: Store) -> None:
    """But for those that do more with the answer, which are tested below."""
    called: list[tuple[str, Any]] = []
    answer = object()

    def method(called_name: str) -> Callable[..., Any]:
        def record(_self: Any, *arguments: Any, **named: Any) -> Any:
            called.append((called_name, [*arguments, *named.values()]))
            return [answer] if called_name == "unfinished" else answer

        return record

    inner = type("Recording", (Engine,), {"name": "recording", **{name: method(name) for name in METHODS}})()
    engine = over(store, inner)
    parameters = list(inspect.signature(vars(Engine)[name]).parameters.values())[1:]
    given = {parameter.name: object() for parameter in parameters}
    if name in ("delete", "unfinished"):
        given = dict.fromkeys(given, UNKNOWN)
    result = getattr(engine, name)(**given)
    assert called == [(name, list(given.values()))]
    if inspect.signature(vars(Engine)[name]).return_annotation != "None":
        assert result in (answer, [answer])


# -- read ------------------------------------------------------------------------------------------------------------


def test_all_answers_are_the_same_before_and_after_the_engine_forgot(engine: Archived, inner: MemoryEngine) -> None:
    inspection_id = inner.over(2, identifier="same")
    log = archive_doubles.cri(b"out", b'{"a": 1}') + archive_doubles.cri(b"caf\xe9", stream="stderr")
    inner.item_logs[inspection_id, 1] = lambda: iter([log])
    close(engine, inspection_id)
    before = answers(engine, inspection_id)
    assert before["observation"].data_stored
    assert before["observation"].finished_at is not None
    inner.forget(inspection_id)
    assert answers(engine, inspection_id) == before


def test_nothing_is_asked_of_the_archive_while_the_engine_answers(inner: MemoryEngine, store: Store) -> None:
    inspection_id = inner.over(2)
    assert answers(over(archive_doubles.Unused(store), inner), inspection_id) == answers(inner, inspection_id)


@pytest.mark.parametrize("inspection_id", [UNKNOWN, "../../etc/passwd", "x", "inspection-0123456789abcdef/build"])
def test_what_neither_knows_is_not_found(engine: Archived, inspection_id: str) -> None:
    for read in _reads(engine, inspection_id):
        with pytest.raises(InspectionNotFound, match="There is no inspection"):
            read()


def test_a_hostile_id_reaches_no_archive(inner: MemoryEngine, store: Store) -> None:
    for read in _reads(over(archive_doubles.Unused(store), inner), "../../etc/passwd"):
        with pytest.raises(InspectionNotFound):
            read()


def test_an_item_that_is_not_there_is_the_same_before_and_after(engine: Archived, inner: MemoryEngine) -> None:
    batch, build_only = inner.over(2), inner.over(0)
    close(engine, batch, build_only)

    def said() -> list[str]:
        found = []
        for inspection_id, item in ((batch, 2), (batch, 10**30), (build_only, 0)):
            for read in (engine.item_log, engine.report):
                with pytest.raises(ItemNotFound) as caught:
                    read(inspection_id, item)
                found.append(str(caught.value))
        return found

    before = said()
    inner.forget(batch)
    inner.forget(build_only)
    assert said() == before


def test_one_that_is_only_partly_kept_is_not_there(engine: Archived, inner: MemoryEngine, store: Store) -> None:
    inspection_id = inner.add(2)
    inner.built(inspection_id)
    inner.ended(inspection_id, 0)
    Controller(engine).sweep()
    wait_until(lambda: store.get(f"test/inspections/{inspection_id}/results/0/result"))
    inner.forget(inspection_id)
    for read in _reads(engine, inspection_id):
        with pytest.raises(InspectionNotFound):
            read()


def lose(inner: MemoryEngine, inspection_id: str, items: int) -> None:
    """Take away what an engine reads of builds and pods that are gone."""
    inner.build_logs[inspection_id] = b""
    for item in range(items):
        inner.item_logs.pop((inspection_id, item))
        inner.reports.pop((inspection_id, item))


def test_what_went_with_its_pod_is_read_from_the_archive(engine: Archived, inner: MemoryEngine) -> None:
    inspection_id = inner.over(2)
    close(engine, inspection_id)
    before = answers(engine, inspection_id)
    lose(inner, inspection_id, 2)
    assert answers(engine, inspection_id) == before


def test_an_item_s_part_is_read_from_the_archive_while_others_run(
    engine: Archived, inner: MemoryEngine, store: Store
) -> None:
    inspection_id = inner.add(2)
    inner.built(inspection_id)
    inner.ended(inspection_id, 0)
    report, log = engine.report(inspection_id, 0), b"".join(engine.item_log(inspection_id, 0))
    Controller(engine).sweep()
    wait_until(lambda: store.get(f"test/inspections/{inspection_id}/results/0/result"))
    lose(inner, inspection_id, 1)
    assert engine.report(inspection_id, 0) == report
    assert b"".join(engine.item_log(inspection_id, 0)) == log
    assert engine.report(inspection_id, 1) is None
    assert b"".join(engine.item_log(inspection_id, 1)) == b""


def test_what_went_before_it_was_kept_is_not_there(engine: Archived, inner: MemoryEngine) -> None:
    inspection_id = inner.over()
    lose(inner, inspection_id, 1)
    assert engine.report(inspection_id, 0) is None
    assert b"".join(engine.item_log(inspection_id, 0)) == b""
    assert b"".join(engine.build_log(inspection_id)) == b""


def test_what_has_nothing_to_say_yet_is_not_asked_of_the_archive(inner: MemoryEngine, store: Store) -> None:
    engine = over(archive_doubles.Unused(store), inner)
    inspection_id = inner.add()
    inner.build_logs[inspection_id] = b""
    assert b"".join(engine.build_log(inspection_id)) == b""
    inner.build_logs[inspection_id] = b"built\n"
    inner.built(inspection_id)
    assert b"".join(engine.build_log(inspection_id, 6)) == b""  # nothing more
    assert engine.report(inspection_id, 0) is None
    assert b"".join(engine.item_log(inspection_id, 0)) == b""


def test_what_is_wrong_with_a_log_is_said_before_any_of_it_is_sent(inner: MemoryEngine, store: Store) -> None:
    inspection_id = inner.over()
    lose(inner, inspection_id, 1)
    engine = over(archive_doubles.OutOfReach(store), inner)
    for read in (lambda: engine.build_log(inspection_id), lambda: engine.item_log(inspection_id, 0)):
        with pytest.raises(ArchiveUnavailable):
            read()


def test_lists_are_of_what_the_engine_has(engine: Archived, inner: MemoryEngine) -> None:
    kept, live = inner.over(), inner.add()
    close(engine, kept)
    assert set(engine.inspections()) == {kept, live}
    inner.forget(kept)
    assert engine.inspections() == [live]
    assert [item["inspection_id"] for item in Inspections(engine, Settings(), ANYBODY).page(1, 10)[0]] == [live]


def test_a_kept_inspection_cannot_be_cancelled(engine: Archived, inner: MemoryEngine) -> None:
    inspection_id = inner.over()
    close(engine, inspection_id)
    inner.forget(inspection_id)
    with pytest.raises(Conflict, match="over already"):
        Inspections(engine, Settings(), ANYBODY).cancel(inspection_id)


def _reads(engine: Engine, inspection_id: str) -> list[Callable[[], Any]]:
    return [
        lambda: engine.observe(inspection_id),
        lambda: engine.declared(inspection_id),
        lambda: engine.build_log(inspection_id),
        lambda: engine.item_log(inspection_id, 0),
        lambda: engine.report(inspection_id, 0),
        lambda: engine.delete(inspection_id),
    ]


# -- keep ------------------------------------------------------------------------------------------------------------


def test_an_item_is_kept_while_others_still_run(engine: Archived, inner: MemoryEngine, store: Store) -> None:
    inspection_id = inner.add(3)
    inner.built(inspection_id)
    controller = Controller(engine)
    controller.sweep()
    inner.ended(inspection_id, 1)

    def kept() -> bool:
        controller.sweep()
        return store.get(f"test/inspections/{inspection_id}/results/1/result") is not None

    wait_until(kept, 10)
    assert store.get(f"test/inspections/{inspection_id}/build/log") is not None
    assert inner.ran[-1] == inspection_id
    assert inner.finished == []


def test_nothing_is_closed_before_all_of_it_is_kept(inner: MemoryEngine, store: Store) -> None:
    inspection_id = inner.over(2)
    recorded = archive_doubles.Recorded(store)
    at_closing: list[int] = []
    finish = inner.finish

    def finish_and_count(*arguments: Any, **named: Any) -> None:
        at_closing.append(len(recorded.puts))
        finish(*arguments, **named)

    inner.finish = finish_and_count  # type: ignore[method-assign]
    close(over(recorded, inner), inspection_id)
    assert at_closing == [3 + 2 * 4 + 1]
    closed = Archive(store, "test").observation(inspection_id)
    assert closed is not None
    assert inner.finished == [(inspection_id, True, closed.finished_at)]


def test_a_failed_build_is_kept_and_closed(engine: Archived, inner: MemoryEngine, store: Store) -> None:
    inspection_id = inner.add()
    inner.built(inspection_id, "failed")
    close(engine, inspection_id)
    assert store.get(f"test/inspections/{inspection_id}/build/log") == inner.build_logs[inspection_id]


def test_a_controller_that_was_killed_before_closing_is_followed_by_one_that_says_the_same(
    inner: MemoryEngine, store: Store
) -> None:
    inspection_id = inner.over()
    first = over(store, inner)
    with pytest.raises(NotYet):
        first.finish(inner.declared(inspection_id))
    kept = wait_until(lambda: Archive(store, "test").observation(inspection_id))
    close(over(store, inner), inspection_id)
    assert inner.finished == [(inspection_id, True, kept.finished_at)]


def test_one_that_is_closed_already_is_closed_again_as_it_is(engine: Archived, inner: MemoryEngine) -> None:
    """A controller was killed amid closing: the engine still lists it."""
    inspection_id = inner.over()
    inner.change(inspection_id, finished_at=archive_doubles.LATER, data_stored=True)
    engine.finish(inner.declared(inspection_id))
    assert [name for name, *_ in inner.finished] == [inspection_id]


def test_an_inspection_that_cannot_be_read_is_closed_without_being_kept(
    engine: Archived, inner: MemoryEngine, store: Store
) -> None:
    inspection_id = inner.add()
    inner.change(inspection_id, defect="The state file record.json is corrupt.")
    close(engine, inspection_id)
    assert inner.finished == [(inspection_id, False, None)]
    assert list(store.list("test")) == []


def test_of_a_cancelled_inspection_it_is_kept_how_its_build_ended(engine: Archived, inner: MemoryEngine) -> None:
    inspection_id = inner.add()
    inner.change(inspection_id, cancelled_at=clock.now())
    controller = Controller(engine)
    for _ in range(3):
        controller.sweep()
    assert inner.finished == []
    stopped = BuildState(
        "terminated", "failed", "Cancelled", "Nobody waits.", None, archive_doubles.CREATED, archive_doubles.LATER
    )
    inner.change(inspection_id, build=stopped)
    close(engine, inspection_id)
    inner.forget(inspection_id)
    assert engine.observe(inspection_id).build == stopped


def test_a_build_that_goes_on_for_others_is_not_waited_for(engine: Archived, inner: MemoryEngine) -> None:
    inspection_id = inner.add()
    inner.change(inspection_id, cancelled_at=clock.timestamp(time.time() - SETTLE))
    close(engine, inspection_id)
    assert engine.observe(inspection_id).data_stored


def test_what_is_known_of_closed_inspections_is_forgotten(engine: Archived, inner: MemoryEngine) -> None:
    close(engine, *[inner.over() for _ in range(5)])
    engine.unfinished()
    assert engine._keeper._tasks == {}


# -- an archive that does not work -----------------------------------------------------------------------------------


def test_an_archive_out_of_reach_loses_nothing_and_holds_up_nothing(
    inner: MemoryEngine, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = structlog.testing.CapturingLogger()
    monkeypatch.setattr(worker, "logger", logged)
    broken = archive_doubles.OutOfReach(store)
    engine = over(broken, inner)
    inspection_id, other = inner.over(2), inner.add()
    failures = _value(metrics.STORE_FAILURES)
    controller = Controller(engine)

    def said() -> list[Any]:
        return [call for call in list(logged.calls) if call.args == ("archive out of reach, trying again",)]

    for _ in range(20):
        controller.sweep()
        time.sleep(0.01)
    wait_until(said)
    assert inner.finished == []
    assert _value(metrics.STORE_FAILURES) > failures
    assert 0 < len(said()) < 15  # not at every look
    assert {call.method_name for call in said()} == {"error"}
    assert {call.kwargs["inspection_id"] for call in said()} == {inspection_id}
    # Everything else goes on.
    assert status.verdict(engine.observe(inspection_id)).phase == "succeeded"
    assert engine.report(inspection_id, 0) is not None
    submission = Submission(replace(inner.declared(other), id=UNKNOWN), None, {})
    assert engine.submit(submission).id == UNKNOWN
    engine.check()
    inner.built(other)
    controller.sweep()
    assert inner.ran[-1] == other
    # And when it is back, it is as if nothing had been.
    stored = _value(metrics.STORED)
    broken.broken = False
    close(engine, inspection_id)
    assert [(name, kept) for name, kept, _ in inner.finished] == [(inspection_id, True)]
    assert _value(metrics.STORED) == stored + 1
    before = answers(engine, inspection_id)
    inner.forget(inspection_id)
    assert answers(engine, inspection_id) == before


def test_nobody_is_told_that_there_is_nothing_while_nobody_knows(inner: MemoryEngine, store: Store) -> None:
    broken = archive_doubles.OutOfReach(store)
    broken.broken = False
    engine = over(broken, inner)
    kept, live = inner.over(), inner.over()
    close(engine, kept, live)
    inner.forget(kept)
    broken.broken = True
    for inspection_id in (kept, UNKNOWN):
        for read in _reads(engine, inspection_id):
            with pytest.raises(ArchiveUnavailable) as caught:
                read()
            assert caught.value.status == 503
    assert engine.observe(live).data_stored


def test_an_archive_that_hangs_holds_up_no_other_inspection(inner: MemoryEngine, store: Store) -> None:
    hanging = archive_doubles.Hanging(store)
    engine = over(hanging, inner)
    stuck = [inner.over() for _ in range(10)]
    other = inner.add()
    inner.built(other)
    controller = Controller(engine)
    controller.sweep()
    assert hanging.reached.wait(5)
    started = time.monotonic()
    controller.sweep()
    assert time.monotonic() - started < 1
    assert inner.ran[-1] == other
    assert inner.finished == []
    hanging.released.set()
    close(engine, *stuck)


def test_an_engine_out_of_reach_is_not_the_archive_s_fault(
    engine: Archived, inner: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = _value(metrics.STORE_FAILURES)
    inspection_id = inner.over()
    left = [3]
    item_log = inner.item_log

    def sometimes(*arguments: Any) -> Iterator[bytes]:
        left[0] -= 1
        if left[0] >= 0:
            raise EngineUnavailable("The cluster is out of reach.")
        return item_log(*arguments)

    monkeypatch.setattr(inner, "item_log", sometimes)
    close(engine, inspection_id)
    assert _value(metrics.STORE_FAILURES) == failures
    assert engine.observe(inspection_id).data_stored


def test_one_inspection_s_trouble_is_not_the_others(engine: Archived, inner: MemoryEngine) -> None:
    troubled, well = inner.over(), inner.over()
    inner.reports[troubled, 0] = archive_doubles.report(unheard_of=object())
    close(engine, well)
    assert engine.unfinished() == [troubled]
    inner.reports[troubled, 0] = archive_doubles.report()
    close(engine, troubled)


# -- delete ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forgotten", [False, True], ids=["in both", "in the archive alone"])
def test_a_deleted_inspection_is_nowhere(engine: Archived, inner: MemoryEngine, store: Store, forgotten: bool) -> None:
    inspection_id = inner.over()
    close(engine, inspection_id)
    if forgotten:
        inner.forget(inspection_id)
    engine.delete(inspection_id)
    assert list(store.list("test")) == []
    for read in _reads(engine, inspection_id):
        with pytest.raises(InspectionNotFound):
            read()


@pytest.mark.parametrize("number", range(1, 3 + 4 + 2))
def test_one_deleted_while_it_is_being_kept_is_nowhere(inner: MemoryEngine, store: Store, number: int) -> None:
    inspection_id = inner.over()
    puts = [number]

    class Deleting(archive_doubles.Through):
        def after(self, method: str, key: str) -> None:
            puts[0] -= method == "put"
            if method == "put" and puts[0] == 0:
                engine.delete(inspection_id)

    engine = over(Deleting(store), inner)
    Controller(engine).sweep()
    wait_until(lambda: puts[0] <= 0 and not engine._keeper._tasks, 10)
    wait_until(lambda: not list(store.list("test")), 10)
    with pytest.raises(InspectionNotFound):
        engine.observe(inspection_id)


def test_one_whose_deletion_the_controller_hears_of_late_is_nowhere(store: Store) -> None:
    class Late(MemoryEngine):
        late = True

        def declared(self, inspection_id: str) -> Inspection:
            return declared if self.late else super().declared(inspection_id)

    class Deleting(archive_doubles.Through):
        def before(self, method: str, key: str) -> None:
            if method == "put" and key.endswith("observation"):
                engine.delete(inspection_id)

    inner = Late()
    engine = over(Deleting(store), inner)
    inspection_id = inner.over()
    declared = inner.observe(inspection_id).inspection
    controller = Controller(engine)
    controller.sweep()
    wait_until(lambda: Archive(store, "test").observation(inspection_id))
    inner.late = False

    def gone() -> bool:
        controller.sweep()
        return not list(store.list("test"))

    wait_until(gone, 10)


def test_what_another_controller_closed_stays(inner: MemoryEngine, store: Store) -> None:
    inspection_id = inner.over()
    engines = [over(store, inner) for _ in range(2)]
    for engine in engines:
        with pytest.raises(NotYet):
            engine.finish(inner.declared(inspection_id))
    wait_until(lambda: all(engine._keeper.closed(inspection_id) for engine in engines))
    engines[0].finish(inner.declared(inspection_id))
    engines[1].unfinished()
    wait_until(lambda: engines[1]._keeper._work.empty())
    assert engines[1]._keeper._tasks == {}
    assert Archive(store, "test").observation(inspection_id) is not None


def test_what_was_put_for_a_deleted_one_is_removed_once_the_archive_is_back(inner: MemoryEngine, store: Store) -> None:
    inspection_id = inner.over()

    class DeletedAndBroken(archive_doubles.OutOfReach):
        broken = False

        def after(self, method: str, key: str) -> None:
            if key.endswith("observation") and method == "put":
                inner.forget(inspection_id)
                self.broken = True

    broken = DeletedAndBroken(store)
    engine = over(broken, inner)
    Controller(engine).sweep()
    wait_until(lambda: broken.broken)
    assert list(store.list("test")) != []
    broken.broken = False
    wait_until(lambda: not list(store.list("test")))


def test_deleting_while_the_archive_is_out_of_reach_can_be_repeated(inner: MemoryEngine, store: Store) -> None:
    broken = archive_doubles.OutOfReach(store)
    broken.broken = False
    engine = over(broken, inner)
    inspection_id = inner.over()
    close(engine, inspection_id)
    broken.broken = True
    with pytest.raises(ArchiveUnavailable):
        engine.delete(inspection_id)
    broken.broken = False
    engine.delete(inspection_id)
    assert list(store.list("test")) == []


# -- settings --------------------------------------------------------------------------------------------------------


def test_an_archive_is_put_behind_the_engine_where_one_is_set(tmp_path: Path) -> None:
    plain = composition.load_engine(Settings(engine="podman", state_dir=tmp_path))
    assert not isinstance(plain, Archived)
    with_archive = composition.load_engine(Settings(engine="podman", state_dir=tmp_path, archive=str(tmp_path)))
    assert isinstance(with_archive, Archived)
    assert type(with_archive.inner) is type(plain)
    assert with_archive.name == "podman"


def test_places_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMUN_ARCHIVE", "s3://bucket/some/prefix/")
    monkeypatch.setenv("AMUN_ARCHIVE_ENDPOINT", "https://store.example:9000")
    monkeypatch.setenv("AMUN_DEPLOYMENT", "ocp-test")
    found = archives_of.load(Settings())
    assert found is not None
    assert found.key(UNKNOWN, "observation") == f"ocp-test/inspections/{UNKNOWN}/observation"
    store = found.store
    assert type(store).__name__ == "S3Store"
    assert vars(store).items() >= {
        "_bucket": "bucket", "_prefix": "some/prefix/", "_endpoint": "https://store.example:9000"
    }.items()  # fmt: skip
    monkeypatch.setenv("AMUN_ARCHIVE", "relative")
    monkeypatch.chdir(tmp_path)
    found = archives_of.load(Settings())
    assert found is not None
    assert isinstance(found.store, DirectoryStore)
    assert found.store._root == tmp_path / "relative"
    monkeypatch.setenv("AMUN_ARCHIVE", "")
    assert archives_of.load(Settings()) is None


@pytest.mark.parametrize(
    "wrong",
    [{"archive": "s3://"}, {"archive": "s3:///prefix"}, {"archive": "gs://bucket"}, {"archive_endpoint": "store:9000"},
     {"deployment": ""}, {"deployment": "../x"}, {"deployment": "a/b"}, {"deployment": ".a"}],
)  # fmt: skip
def test_what_names_no_place_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"archive|deployment"):
        Settings(**wrong)  # type: ignore[arg-type]


def test_the_library_of_s3_is_imported_only_if_it_is_chosen(tmp_path: Path) -> None:
    import subprocess
    import sys

    program = (
        "import sys; from amun import archive; from amun.settings import Settings; import amun.archive.engine\n"
        f"archive.load(Settings(archive={str(tmp_path)!r})); assert 'boto3' not in sys.modules\n"
        "archive.load(Settings(archive='s3://bucket')); assert 'boto3' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_doctor_says_whether_an_archive_can_be_written(tmp_path: Path) -> None:
    assert doctor.archive_checks(Settings()) == ()
    (found,) = doctor.archive_checks(Settings(archive=str(tmp_path)))
    assert (found.ok, found.chosen) == (True, str(tmp_path))
    (found,) = doctor.archive_checks(Settings(archive=str(tmp_path / "none")))
    assert not found.ok
    assert not found.needed
    assert "There is no directory" in found.why


def _value(counter: Any) -> float:
    value: float = counter._value.get()
    return value
