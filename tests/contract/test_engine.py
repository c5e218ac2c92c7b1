"""What every engine owes its users, whatever it builds and runs with: the contract of `amun.engines.base.Engine`."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest

from amun.application.inspections import Inspections
from amun.auth.callers import Caller
from amun.engines.base import Engine, Queue
from amun.environments import digest as environment
from amun.errors import Conflict, Infeasible, InspectionNotFound, ItemNotFound
from amun.model import status, timestamps
from amun.model.identifiers import new_id
from amun.model.inspection import ItemState
from tests.support.standin_base import missing, quick, slow, tokens

from .sites import Desk

pytestmark = pytest.mark.slow

TOKEN = "echo token $(cat /proc/sys/kernel/random/uuid)"
"""Prints a line that no other run of it prints."""

ENDLESS = "trap '' TERM; echo started; while :; do sleep 1; done"
"""A script that says so when it has begun, and ends for nobody."""


def most_at_once(items: Iterable[ItemState]) -> int:
    """How many of these items ran at one moment, by what they say of themselves."""
    spans = [(item.started_at or "", item.finished_at or "") for item in items]
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


# -- declared ---------------------------------------------------------------------------------------------------------

ASKED: dict[str, Callable[[Engine, str], Any]] = {
    "declared": lambda engine, name: engine.declared(name),
    "observe": lambda engine, name: engine.observe(name),
    "build_log": lambda engine, name: list(engine.build_log(name)),
    "build_log, followed": lambda engine, name: list(engine.build_log(name, follow=True)),
    "item_log": lambda engine, name: list(engine.item_log(name, 0)),
    "report": lambda engine, name: engine.report(name, 0),
    "cancel": lambda engine, name: engine.cancel(name),
    "delete": lambda engine, name: engine.delete(name),
}


NEVER_GIVEN = [new_id(), new_id("some"), "", ".", "..", "../locks", "inspection-", "INSPECTION-0123456789abcdef", "é"]


@pytest.mark.parametrize("method", ASKED)
def test_an_id_that_was_never_given_is_not_found_by_any_method(idle: Desk, method: str) -> None:
    for name in NEVER_GIVEN:
        with pytest.raises(InspectionNotFound) as raised:
            ASKED[method](idle.engine, name)
        # In the words that are also said of another caller's.
        assert str(raised.value) == f"There is no inspection {name!r}."


def submitted_by(desk: Desk, name: str | None, key: str | None = None) -> str:
    """Submit for a caller of this name."""
    return (
        Inspections(desk.engine, desk.site.settings, Caller(name, admin=name is None))
        .submit(desk.document(), key)[0]
        .id
    )


def test_inspections_are_told_apart_by_who_submitted_them(idle: Desk) -> None:
    names = ["alice", "system:serviceaccount:a:b", "o'brien@example.org", "x" * 200, None]
    made = {name: [submitted_by(idle, name) for _ in range(2)] for name in names}
    for engine in (idle.engine, idle.site.engine()):
        for name in filter(None, names):
            assert list(engine.inspections(name)) == made[name][::-1]
            assert list(engine.unfinished(name)) == made[name]
            for inspection_id in made[name]:
                assert engine.declared(inspection_id) == engine.observe(inspection_id).inspection
                assert engine.declared(inspection_id).owner == name
        assert [engine.declared(inspection_id).owner for inspection_id in made[None]] == [None, None]
        assert set(engine.inspections()) == {inspection_id for ids in made.values() for inspection_id in ids}
        assert list(engine.inspections("bob")) == list(engine.unfinished("bob")) == []
    idle.engine.delete(made["alice"][0])
    assert list(idle.engine.inspections("alice")) == list(idle.engine.unfinished("alice")) == made["alice"][1:]


def test_callers_may_choose_the_same_key(idle: Desk) -> None:
    key = secrets.token_hex()
    made = [submitted_by(idle, name, key) for name in ("alice", "bob", None, "alice", "bob", None)]
    assert len(set(made[:3])) == 3
    assert made[3:] == made[:3]


def test_a_submission_is_there_at_once_and_nothing_of_it_moves_without_a_controller(idle: Desk) -> None:
    document = idle.document(quick(), script="true", batch_size=3)
    accepted, _ = idle.inspections.submit(document)
    assert not accepted.cached
    observation = idle.engine.observe(accepted.id)
    found = status.verdict(observation)
    assert (found.phase, found.reason) == ("queued", "BuildQueued")
    assert found.message
    assert [item.item for item in observation.items] == [0, 1, 2]
    assert {item.state for item in observation.items} == {"waiting"}
    assert observation.inspection.specification.batch_size == 3
    assert observation.inspection.script_sha256 == hashlib.sha256(b"true").hexdigest()
    assert idle.engine.has_environment(observation.inspection.environment)
    assert idle.build_log(accepted.id) == ""
    assert [idle.engine.report(accepted.id, item) for item in range(3)] == [None] * 3
    assert idle.engine.queue() == Queue(builds_waiting=1, items_waiting=3)


def test_items_that_an_inspection_does_not_have_are_not_found(idle: Desk) -> None:
    batch, only_build = idle.submit(script="true", batch_size=2), idle.submit()
    for inspection_id, item in ((batch, 2), (batch, -1), (only_build, 0)):
        with pytest.raises(ItemNotFound):
            idle.engine.report(inspection_id, item)
        with pytest.raises(ItemNotFound):
            list(idle.engine.item_log(inspection_id, item))


def test_inspections_come_newest_first_and_another_process_sees_the_same(idle: Desk) -> None:
    made = [idle.submit() for _ in range(3)]
    for engine in (idle.engine, idle.site.engine()):
        assert list(engine.inspections()) == made[::-1]
        assert list(engine.unfinished()) == made
        assert engine.observe(made[0]) == idle.engine.observe(made[0])


def test_the_same_key_and_body_give_the_same_inspection_and_another_body_is_a_conflict(idle: Desk) -> None:
    document, key = idle.document(quick(), script="true"), secrets.token_hex()
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: idle.inspections.submit(document, key)[0], range(10)))
    assert len({accepted.id for accepted in answers}) == 1
    assert len(idle.engine.inspections()) == 1
    with pytest.raises(Conflict):
        idle.inspections.submit({**document, "batch_size": 2}, key)
    assert idle.inspections.submit(document, key + "other")[0].id != answers[0].id
    assert len(idle.engine.inspections()) == 2


def test_what_no_node_can_serve_is_refused_and_leaves_nothing(idle: Desk) -> None:
    for step in ("build", "run"):
        with pytest.raises(Infeasible, match=f"{step}.requests"):
            idle.submit(script="true", **{step: {"requests": {"cpu": "100k"}}})
    assert list(idle.engine.inspections()) == []
    assert idle.engine.queue() == Queue()


def test_nodes_say_what_they_are(idle: Desk) -> None:
    nodes = idle.engine.nodes()
    assert nodes
    for node in nodes:
        assert node.name
        assert node.architecture in ("amd64", "arm64", "ppc64le", "s390x")
        assert node.labels["kubernetes.io/arch"] == node.architecture
        assert node.cpu >= 1
        assert node.memory > 2**28
        assert 0 <= node.free <= node.count
        assert node.hwinfo["cpu_info"]["count"] >= 1


def test_a_base_image_has_a_digest_where_it_can_be_told(idle: Desk) -> None:
    idle.engine.check()
    digest = idle.engine.resolve(idle.site.base)
    assert digest is None or environment.environment_digest({}, digest) != environment.environment_digest({}, None)
    assert idle.engine.resolve("localhost/amun/there-is-no:such") is None


# -- built ------------------------------------------------------------------------------------------------------------


def test_only_a_build_succeeds_without_items(desk: Desk) -> None:
    made = desk.submit(quick())
    observation = desk.end(made, "succeeded")
    assert observation.items == ()
    assert observation.build.outcome == "succeeded"
    assert "@sha256:" in (observation.build.image or "")
    assert len(tokens(desk.build_log(made))) == 1
    assert desk.engine.unfinished() == []


def test_a_build_that_fails_ends_the_inspection_with_its_log_and_may_be_tried_again(desk: Desk) -> None:
    package = missing()
    failed = desk.submit(package, script="true", batch_size=2)
    first = desk.end(failed, "build_failed")
    found, log = status.verdict(first), desk.build_log(failed)
    assert found.reason == "BuildFailed"
    assert f"Unable to find a match: {package}" in (found.message or "")
    assert "Installing native packages" in (found.message or "")
    assert f"Unable to find a match: {package}" in log
    assert "STEP 1/" in log
    assert first.build.exit_code
    assert {(item.state, item.outcome) for item in first.items} == {("waiting", None)}
    assert [desk.engine.report(failed, item) for item in (0, 1)] == [None, None]
    assert not desk.engine.has_environment(first.inspection.environment)

    accepted, _ = desk.inspections.submit(desk.document(package))
    again = desk.end(accepted.id, "build_failed")
    assert not accepted.cached
    assert again.build.container != first.build.container
    assert desk.build_log(failed) == log
    assert len(tokens(desk.build_log(accepted.id))) == 1


def test_a_hundred_equal_submissions_at_once_cost_one_build(idle: Desk) -> None:
    document = idle.document(quick())
    with ThreadPoolExecutor(20) as threads:
        accepted = list(threads.map(lambda _: idle.inspections.submit(document)[0], range(100)))
    assert Counter(one.cached for one in accepted) == {True: 99, False: 1}
    assert idle.engine.queue() == Queue(builds_waiting=1)
    with idle.controlled():
        built = [idle.end(one.id, "succeeded").build for one in accepted]
    assert len({(build.container, build.image, build.started_at) for build in built}) == 1
    assert len(tokens(idle.build_log(accepted[-1].id))) == 1


def test_one_environment_serves_many_scripts_until_a_fresh_one_is_asked_for(desk: Desk) -> None:
    package = slow(2)
    first = desk.submit(package, script="echo one")
    desk.reach(first, "building")
    joined = desk.submit(package, script="echo two")
    assert desk.phase(joined) == "building"
    followed = b"".join(desk.engine.build_log(joined, follow=True)).decode()
    assert "2 to go" in followed
    assert followed == desk.build_log(first) == desk.build_log(joined)
    old = desk.end(first, "succeeded").build
    assert desk.end(joined, "succeeded").build == type(old)(**{**vars(old), "cached": True})

    accepted, _ = desk.inspections.submit(desk.document(package, script="echo three"))
    assert accepted.cached
    assert desk.end(accepted.id, "succeeded").build.container == old.container
    assert [desk.output(name) for name in (first, joined, accepted.id)] == ["one\n", "two\n", "three\n"]

    accepted, _ = desk.inspections.submit(desk.document(package, build={"cache": False}))
    assert not accepted.cached
    fresh = desk.end(accepted.id, "succeeded").build
    assert fresh.container != old.container
    assert not set(tokens(desk.build_log(accepted.id))) & set(tokens(followed))
    accepted, _ = desk.inspections.submit(desk.document(package))
    assert accepted.cached
    later = desk.end(accepted.id, "succeeded").build
    assert (later.container, later.image) == (fresh.container, fresh.image)


# -- run --------------------------------------------------------------------------------------------------------------

TALKER = """\
#!/usr/bin/env python3
import json, os, sys, time
print("item", os.environ["AMUN_ITEM"], "of", os.environ["AMUN_BATCH_SIZE"], flush=True)
print("trouble", file=sys.stderr, flush=True)
time.sleep(1.5)
print(json.dumps({"id": os.environ["AMUN_INSPECTION_ID"], "lines": os.environ["LINES"]}))
"""


def test_a_batch_from_submission_to_its_reports(desk: Desk) -> None:
    variables = [{"name": "LINES", "value": "one\n'two' $HOME\n"}]
    made = desk.submit(slow(1), script=TALKER, batch_size=3, parallelism=2, environment=variables)
    phases = []
    while not phases or phases[-1] != "succeeded":
        observation = desk.engine.observe(made)
        phase = status.verdict(observation).phase
        assert phase in ("queued", "building", "pending", "running", "succeeded")
        if phase != (phases or [None])[-1]:
            phases.append(phase)
        if observation.build.outcome is None:
            assert {item.state for item in observation.items} == {"waiting"}
        time.sleep(0.01)
    assert next(phase for phase in phases if phase != "queued") == "building"
    assert "running" in phases

    observation = desk.end(made, "succeeded")
    build, items = observation.build, observation.items
    assert [(item.item, item.outcome, item.exit_code, item.attempt) for item in items] == [
        (number, "succeeded", 0, 1) for number in range(3)
    ]
    assert min(item.started_at or "" for item in items) > (build.finished_at or "z")
    assert most_at_once(items) <= 2
    assert all(item.node and item.container for item in items)
    for number in range(3):
        said = f"item {number} of 3\n"
        report = desk.report(made, number)
        assert report["stderr"] == desk.output(made, number, stream="stderr") == "trouble\n"
        assert report["stdout_text"] == desk.output(made, number, stream="stdout")
        assert report["stdout_text"].startswith(said)
        assert f'"id": "{made}"' in report["stdout_text"]
        assert r"one\n'two' $HOME\n" in report["stdout_text"]
        assert report["stdout"] == {}
        assert report["script_sha256"] == hashlib.sha256(TALKER.encode()).hexdigest()
        assert report["exit_code"] == 0
        assert report["hwinfo"]["cpu_info"]["count"] >= 1
        assert report["os_release"]["id"] == "debian"
        assert report["usage"]["ru_utime"] >= 0
        assert report["hardware_match"] is None
        lasted = datetime.fromisoformat(report["end_datetime"]) - datetime.fromisoformat(report["start_datetime"])
        assert 1.4 < lasted.total_seconds() < 15


def test_an_output_is_readable_while_the_script_runs_and_followed_to_its_end(desk: Desk) -> None:
    made = desk.submit(script="echo first; sleep 2; echo last; exit 3")
    arrived: dict[bytes, str | None] = {}
    for chunk in desk.inspections.item_output(made, 0, follow=True):
        if not chunk:
            time.sleep(0.02)
        for line in chunk.split():
            arrived[line] = desk.engine.observe(made).items[0].outcome
    assert arrived[b"first"] is None
    assert list(arrived) == [b"first", b"last"]
    observation = desk.end(made, "failed")
    assert (observation.items[0].reason, observation.items[0].exit_code) == ("NonZeroExit", 3)
    assert desk.report(made)["exit_code"] == 3


def test_too_many_failures_leave_the_rest_unstarted_and_parallelism_of_one_is_one_at_a_time(desk: Desk) -> None:
    script = f"{TOKEN}; sleep 0.3; [ $AMUN_ITEM = 0 ]"
    made = desk.submit(script=script, batch_size=5, parallelism=1, allowed_failures=1)
    items = desk.end(made, "failed", timeout=90).items
    assert [item.outcome for item in items] == ["succeeded", "failed", "failed", None, None]
    assert most_at_once(items[:3]) == 1
    assert [desk.engine.report(made, item) for item in (3, 4)] == [None, None]
    assert [item["reason"] for item in status.to_document(desk.engine.observe(made))["job"]["pods"]][3:] == [
        "NotStarted",
        "NotStarted",
    ]


def test_warm_ups_are_items_of_their_own_and_come_first(desk: Desk) -> None:
    script = "echo $AMUN_ITEM of $AMUN_WARMUP + $AMUN_BATCH_SIZE; sleep 0.3"
    metrics = [{"path": "rate", "unit": "1/s", "better": "higher"}]
    made = desk.submit(script=script, warmup=1, batch_size=2, parallelism=3, metrics=metrics)
    observation = desk.end(made, "succeeded", timeout=90)
    assert [desk.report(made, item)["stdout_text"] for item in (0, 1, 2)] == [f"{i} of 1 + 2\n" for i in (0, 1, 2)]
    assert all(desk.report(made, item)["kernel"]["after"] for item in (0, 1, 2))
    pods = status.to_document(observation)["job"]["pods"]
    assert [(pod["item"], pod["warmup"]) for pod in pods] == [(0, True), (1, False), (2, False)]
    if desk.engine.name == "podman":  # on a cluster the Job controller starts them, `parallelism` at a time
        assert str(pods[0]["finished_at"]) <= min(pod["started_at"] for pod in pods[1:])
    specification = observation.inspection.specification
    assert (specification.warmup, specification.metrics[0].better) == (1, "higher")


def test_no_more_run_at_a_time_than_there_are_places_and_those_submitted_first_go_first(desk: Desk) -> None:
    package = quick()
    first = desk.submit(package, script="sleep 1", batch_size=2, parallelism=5)
    second = desk.submit(package, script="sleep 1")
    before, after = desk.end(first, "succeeded").items, desk.end(second, "succeeded").items
    assert desk.site.places is None or most_at_once([*before, *after]) <= desk.site.places
    assert desk.site.places is None or min(item.finished_at or "" for item in before) < (after[0].started_at or "")


def test_deadlines_count_from_the_start_only(desk: Desk) -> None:
    """The second waits for the first's build, then for its turn: longer in all than its own deadlines allow."""
    deadline = int(10 * desk.site.patience)
    first = desk.submit(slow(6 * deadline), build={"timeout": deadline + 1})
    second = desk.submit(quick(), script="sleep 4", run={"timeout": 7}, build={"timeout": deadline}, batch_size=2)
    third = desk.submit(script=ENDLESS, run={"timeout": 1})
    failed = desk.end(first, "build_failed")
    assert failed.build.reason == "DeadlineExceeded"
    assert "to go" in desk.build_log(first)
    observation = desk.end(second, "succeeded")
    build, items = observation.build, observation.items
    assert (timestamps.between(observation.inspection.created, build.finished_at) or 0) > deadline
    assert (timestamps.between(items[0].started_at, items[1].finished_at) or 0) > 7
    observation = desk.end(third, "failed")
    assert observation.items[0].reason == "DeadlineExceeded"
    assert desk.report(third)["stdout_text"] == "started\n"


@pytest.mark.parametrize("smaller_first", [True, False])
def test_one_deadline_does_not_decide_for_others_who_wait_for_the_same_build(desk: Desk, smaller_first: bool) -> None:
    short = int(3 * desk.site.patience)
    package, deadlines = slow(4 * short), [short, 40 * short]
    made = {
        each: desk.submit(package, build={"timeout": each}) for each in sorted(deadlines, reverse=not smaller_first)
    }
    build = desk.end(made[short], "build_failed").build
    assert (build.outcome, build.reason) == ("failed", "DeadlineExceeded")
    assert "installed" not in desk.build_log(made[short])
    joined = desk.submit(package, build={"timeout": 40 * short}, script=TOKEN)
    desk.end(made[40 * short], "succeeded")
    assert "installed" in desk.build_log(made[40 * short])
    assert len(tokens(desk.build_log(joined))) == len(tokens(desk.build_log(made[40 * short])))
    desk.end(joined, "succeeded")
    later = desk.submit(package, build={"timeout": short})
    assert desk.end(later, "succeeded").build.cached
    assert desk.engine.observe(made[short]).build.reason == "DeadlineExceeded"


# -- stopped ----------------------------------------------------------------------------------------------------------


def test_cancelled_before_anything_began(idle: Desk) -> None:
    made = idle.submit(quick(), script="true")
    idle.engine.cancel(made)
    idle.engine.cancel(made)
    with idle.controlled():
        observation = idle.end(made, "cancelled")
    assert observation.build.started_at is None
    assert idle.build_log(made) == ""
    with pytest.raises(Conflict):
        idle.inspections.cancel(made)


def test_cancelled_while_building_unless_others_wait_for_the_build(desk: Desk) -> None:
    package = slow(int(3 * desk.site.patience))
    first, other = desk.submit(package, script="true"), desk.submit(package)
    desk.wait(lambda: "to go" in desk.build_log(first))
    desk.engine.cancel(first)
    assert {item.state for item in desk.end(first, "cancelled").items} == {"waiting"}
    assert desk.phase(other) == "building"
    assert len(tokens(desk.build_log(other))) == 1
    built = desk.end(other, "succeeded")

    alone = desk.submit(slow(60), script="true")
    desk.wait(lambda: "to go" in desk.build_log(alone))
    desk.engine.cancel(alone)
    observation = desk.end(alone, "cancelled", timeout=20)
    log = desk.build_log(alone)
    assert "to go" in log
    assert "installed" not in log
    assert not desk.engine.has_environment(observation.inspection.environment)
    assert desk.engine.has_environment(built.inspection.environment)
    assert desk.engine.queue() == Queue()


def test_cancelled_while_some_run_and_some_wait(desk: Desk) -> None:
    made = desk.submit(script=ENDLESS, batch_size=3, parallelism=2)
    waiting = desk.submit(script="true", **desk.site.crowded_out())
    desk.printed(made, "started", 0)
    desk.printed(made, "started", 1)
    desk.reach(waiting, "pending")
    assert desk.engine.queue() == Queue(items_waiting=2, items_running=2)
    assert desk.site.places is None or all(node.free == 0 for node in desk.engine.nodes())
    desk.engine.cancel(waiting)
    assert desk.end(waiting, "cancelled").items[0].state == "waiting"
    desk.engine.cancel(made)
    items = desk.end(made, "cancelled", timeout=30).items
    assert [(item.outcome, item.reason) for item in items] == [("failed", "Cancelled")] * 2 + [(None, None)]
    assert desk.output(made, 0) == desk.output(made, 1) == "started\n"
    assert desk.report(made, 1)["stdout_text"] == "started\n"
    assert desk.engine.report(made, 2) is None
    desk.wait(lambda: desk.site.pods() == [], 20)


def test_deleted_in_each_phase_it_is_gone_at_once_and_stops_soon(desk: Desk) -> None:
    over = desk.submit(script="true")
    desk.end(over, "succeeded")
    running = desk.submit(script=ENDLESS, batch_size=2, parallelism=2)
    desk.printed(running, "started", 0)
    pending = desk.submit(script="true", **desk.site.crowded_out())
    desk.reach(pending, "pending")
    building = desk.submit(slow(60), script="true")
    desk.wait(lambda: "to go" in desk.build_log(building))
    queued = desk.submit(quick(), script="true")
    assert desk.phase(queued) == "queued"
    made = [over, running, pending, building, queued]
    assert set(desk.engine.inspections()) == set(made)
    following = desk.engine.item_log(running, 0, follow=True)
    assert next(following)
    for inspection_id in made:
        desk.engine.delete(inspection_id)
        for method in ASKED.values():
            with pytest.raises(InspectionNotFound):
                method(desk.engine, inspection_id)
    assert list(desk.engine.inspections()) == []
    assert desk.engine.queue() == Queue()
    desk.wait(lambda: desk.site.pods() == [], 30)
    assert _ends(following)
    # The place of the deleted build is free again.
    desk.end(desk.submit(quick()), "succeeded", timeout=20)


def _ends(log: Iterable[bytes]) -> bool:
    """Whether a followed log comes to its end, be it that it says what happened."""
    end = time.monotonic() + 10
    try:
        for chunk in log:
            assert time.monotonic() < end
            if not chunk:
                time.sleep(0.05)
    except InspectionNotFound:
        pass
    return True


# -- controlled -------------------------------------------------------------------------------------------------------


def test_two_controllers_at_once_do_no_harm(desk: Desk) -> None:
    with desk.controlled():
        made = [desk.submit(script=TOKEN, batch_size=2, parallelism=2) for _ in range(2)]
        observations = [desk.end(inspection_id, "succeeded", timeout=90) for inspection_id in made]
    printed = [desk.output(name, item) for name in made for item in (0, 1)]
    assert [text.count("token") for text in printed] == [1] * 4
    assert len(set(printed)) == 4
    assert [desk.report(name, item)["stdout_text"] for name in made for item in (0, 1)] == printed
    assert {item.attempt for observation in observations for item in observation.items} == {1}
    assert [len(tokens(desk.build_log(name))) for name in made] == [1, 1]


def test_a_controller_takes_over_from_one_that_left(idle: Desk) -> None:
    made = idle.submit(slow(2), script=TOKEN)
    with idle.controlled():
        idle.wait(lambda: "to go" in idle.build_log(made))
    with idle.controlled():
        observation = idle.end(made, "succeeded")
    assert observation.items[0].attempt == 1
    assert len(tokens(idle.build_log(made))) == 1
    assert idle.output(made).count("token") == 1
