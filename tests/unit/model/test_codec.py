"""What is damaged on the disk is a defect of the inspection that it belongs to, and of nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amun.application.inspections import Inspections
from amun.archive import documents
from amun.auth.callers import ANYBODY
from amun.engines.podman.engine import PodmanEngine
from amun.engines.podman.state import files
from amun.engines.podman.state.store import Declared, Store
from amun.errors import AmunError, ArchiveUnavailable, Conflict
from amun.model import codec, status
from amun.model.inspection import BuildState, Inspection, ItemState, Observation, Submission
from amun.settings import Settings
from amun.validation.problems import validated

MOMENT = "2026-01-01T00:00:00.000000Z"
DOCUMENT = {"base": "debian:12", "script": "true", "batch_size": 2, "metrics": [{"path": "a.b"}]}
WRONG: list[Any] = [None, True, -1, 1.5, "x", "", [], ["x"], {}, {"a": 1}, "9999-99-99T00:00:00Z"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


class World:
    """A state directory with two inspections that are over, and one that is not; no Podman is needed to read it."""

    def __init__(self, root: Path) -> None:
        self.settings = Settings(state_dir=root, engine="podman")
        self.store = Store(root)
        self.damaged, self.other, self.open = self.add("a", over=True), self.add("b", over=True), self.add("c")
        self.inspections = Inspections(PodmanEngine(self.settings), self.settings, ANYBODY)

    def add(self, name: str, over: bool = False) -> str:
        specification = validated(DOCUMENT)
        inspection = Inspection(f"inspection-{name:0<16}", specification, "0" * 64, f"sha256:{name:0<64}", MOMENT, None)
        build = self.store.new_build(inspection, {"Dockerfile": b"FROM x\n"})
        self.store.declare(Declared(inspection, build, cached=False), b"true")
        if over:
            self.store.keep_build(build, BuildState("terminated", "succeeded", started_at=MOMENT, finished_at=MOMENT))
            for item in range(2):
                state = ItemState(item, "terminated", "succeeded", exit_code=0, started_at=MOMENT, finished_at=MOMENT)
                self.store.keep_item(inspection.id, state, {"exit_code": 0, "stdout": {"a": {"b": 1}}})
            self.store.close(inspection.id)
        return inspection.id

    def files(self) -> list[Path]:
        """All that is kept of the inspection that is damaged, but for what scripts have printed."""
        build = self.store.declared(self.damaged).build
        places = (self.store.path(self.damaged), self.store.build_path(build))
        return [path for place in places for path in place.rglob("*.json") if path.name != "report.json"]

    def look(self) -> None:
        """Ask all that a caller may ask; an error of Amun's own is an answer."""
        for ask in (self.inspections.detail, lambda one: self.inspections.report(one, 0), self.inspections.observe):
            try:
                ask(self.damaged)
            except AmunError:
                continue
        items, total = self.inspections.page(1, 10)
        assert total == 3
        assert [item["phase"] for item in items if item["inspection_id"] == self.other] == ["succeeded"]
        for phase in ("error", "succeeded", "queued"):
            self.inspections.page(1, 10, phase=phase)
        assert status.verdict(self.inspections.observe(self.open)).phase == "queued"
        self.store.builds_in_use()
        list(self.store.expired(1))
        list(self.store.unused_builds(0))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "state")


def damages(document: dict[str, Any]) -> Iterator[Any]:
    """Documents in which one field, at any depth, is of another type, missing, or more than this version knows."""
    yield from ([], "x", 1, {}, None)
    yield {**document, "later": {"than": "this"}}
    for name, value in document.items():
        yield {other: document[other] for other in document if other != name}
        yield from ({**document, name: wrong} for wrong in WRONG)
        if isinstance(value, dict):
            yield from ({**document, name: inner} for inner in damages(value))


def test_nothing_in_the_files_of_one_inspection_is_an_error_for_anybody(world: World) -> None:
    tried = 0
    for path in world.files():
        whole = path.read_text()
        for damage in damages(json.loads(whole)):
            path.write_text(json.dumps(damage))
            _forget()
            world.look()
            tried += 1
        path.write_text(whole)
    assert tried > 500
    _forget()
    assert status.verdict(world.inspections.observe(world.damaged)).phase == "succeeded"


def make_directory(path: Path) -> None:
    path.mkdir()


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize("make", [make_directory, make_loop])
def test_what_is_no_file_any_more_is_a_defect_of_its_inspection_alone(
    world: World, make: Callable[[Path], None]
) -> None:
    for path in [*world.files(), world.store.path(world.damaged) / "finished"]:
        kept = path.rename(path.with_name("kept"))
        make(path)
        _forget()
        world.look()
        (path.unlink if path.is_symlink() else path.rmdir)()
        kept.rename(path)
    _forget()
    assert status.verdict(world.inspections.observe(world.damaged)).phase == "succeeded"


def test_items_that_are_gone_are_a_defect_of_their_inspection_alone(world: World) -> None:
    shutil.rmtree(world.store.path(world.damaged) / "items")
    world.look()
    assert status.verdict(world.inspections.observe(world.damaged)).reason == "StateCorrupt"


@pytest.mark.parametrize("content", ["", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:0", "never", "\0"])
def test_what_is_marked_happened_whatever_became_of_when(world: World, content: str) -> None:
    path = world.store.path(world.damaged) / "finished"
    path.write_text(content)
    os.utime(path, (1e9, 1e9))
    assert world.store.marked(world.damaged, "finished") == "2001-09-09T01:46:40.000000Z"
    world.look()


@pytest.mark.parametrize("wrong", [{"item": -1}, {"item": 1}, {"attempt": 0}, {"attempt": -1}])
def test_an_item_that_cannot_be_is_a_defect_of_its_inspection(world: World, wrong: dict[str, int]) -> None:
    path = world.store.item_path(world.damaged, 0) / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **wrong}))
    assert status.verdict(world.inspections.observe(world.damaged)).reason == "StateCorrupt"


@pytest.mark.parametrize("content", [b"", b"../../x", b"\xff", b"a" * 5000, b"a\0b", b"/", b"no-such"])
def test_an_environment_that_cannot_be_read_is_built_anew(world: World, content: bytes) -> None:
    environment = world.store.declared(world.other).inspection.environment
    world.store.serve(environment, "other")
    (served,) = (world.settings.state_dir / "environments").iterdir()
    served.write_bytes(content)
    assert world.store.current_build(environment) is None


def test_a_directory_in_place_of_an_environment_is_set_aside(world: World) -> None:
    environment, build = world.store.declared(world.other).inspection.environment, "0" * 16 + "-" + "0" * 8
    world.store.serve(environment, build)
    (served,) = (world.settings.state_dir / "environments").iterdir()
    served.unlink()
    served.mkdir()
    assert world.store.current_build(environment) is None
    world.store.serve(environment, build)
    assert served.read_text() == build


def test_what_is_damaged_again_is_set_aside_again(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for damage in (make_directory, make_loop, make_directory, Path.touch):
        damage(path)
        files.set_aside(path)
        assert not os.path.lexists(path)


def test_a_link_to_nowhere_is_no_key_that_was_never_used(world: World) -> None:
    world.store.keep_key("key", world.other, "fingerprint")
    (kept,) = (world.settings.state_dir / "idempotency").iterdir()
    kept.unlink()
    kept.symlink_to("/nowhere/x")
    with pytest.raises(files.CorruptState):
        world.store.key("key")


def _forget() -> None:
    from amun.engines.podman.state import store

    store._read_declared.cache_clear()  # records never change, so they are read once


def test_what_a_later_version_has_added_is_left_out(world: World) -> None:
    for path in world.files():
        path.write_text(json.dumps({**json.loads(path.read_text()), "later": [1]}))
    _forget()
    assert status.verdict(world.inspections.observe(world.damaged)).phase == "succeeded"


UNREADABLE = [
    "",
    "{",
    "[]",
    "{}",
    '{"id": 1, "fingerprint": []}',
    '{"id": "x"}',
    '{"id": "../../x", "fingerprint": "fingerprint"}',
]


@pytest.mark.parametrize("content", UNREADABLE)
def test_a_key_that_cannot_be_read_accepts_nothing_twice(world: World, content: str) -> None:
    engine = PodmanEngine(world.settings)
    world.store.keep_key("key", world.other, "fingerprint")
    (kept,) = (world.settings.state_dir / "idempotency").iterdir()
    kept.write_text(content)
    inspection = replace(world.store.declared(world.other).inspection, id="inspection-" + "d" * 16)
    with pytest.raises(Conflict, match="take another"):
        engine.submit(Submission(inspection, b"true", {}), "key", "fingerprint")
    assert len(world.store.ids()) == 3


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(json_values)
def test_states_are_restored_or_refused(document: Any) -> None:
    for kind in (BuildState, ItemState):
        try:
            restored = codec.restore(kind, document)
        except ValueError:
            continue
        assert codec.restore(kind, asdict(restored)) == restored


def test_an_archive_s_damaged_document_is_refused_as_such(world: World) -> None:
    observed = world.inspections.observe(world.other)
    whole = json.loads(documents.observation(observed))
    assert documents.parse_observation(json.dumps({**whole, "later": 1}).encode()) == observed
    for damage in damages(whole):
        try:
            found = documents.parse_observation(json.dumps(damage).encode())
        except ArchiveUnavailable:
            continue
        assert isinstance(found, Observation)
        status.to_document(found)
        status.summary(found)
