"""What is, of one inspection: put together from its record, its Build, its Job and its pods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from amun.engines.kubernetes import jobs, pod_states
from amun.engines.kubernetes.records import Record
from amun.model import timestamps
from amun.model.inspection import BuildState, ItemState, Observation

from . import build_states
from .readers import View


def observe(view: View, inspection_id: str, attempts: int) -> Observation:
    """Raises `InspectionNotFound`. Asks for nothing but the record once the inspection is closed."""
    record = view.record(inspection_id)
    known = Observation(record.inspection, BuildState(), cancelled_at=record.cancelled_at)
    if record.defect is not None:
        return replace(
            known, build=BuildState(state="terminated"), finished_at=record.finished_at, defect=record.defect
        )
    if record.final is not None:
        final = record.final
        return replace(
            known, build=final.build, items=final.items, finished_at=record.finished_at, data_stored=final.stored
        )
    there = view.jobs(inspection_id) if record.inspection.items else ()
    build = replace(_build(view, record, jobs.built(there), attempts), cached=record.cached)
    return replace(known, build=build, items=_items(view, record, there, build, attempts))


def _build(view: View, record: Record, noted: BuildState | None, attempts: int) -> BuildState:
    if noted is not None:
        return noted
    if record.refused is not None:
        return build_states.refused(**vars(record.refused))
    there = view.builds(record.environment)
    last = build_states.decisive(there, record.inspection)
    if last is not None and build_states.late(last, record.inspection, timestamps.now()):
        return build_states.too_late(last, record.inspection)
    if last is not None and build_states.goes_on(last, record.inspection):
        message = "The build came to a limit; it begins again with larger ones."
        return BuildState(reason="Restarting", message=message, container=last["metadata"]["name"])
    if build_states.replaceable(there, record.inspection):
        message = "The image of the environment is gone; it is built again."
        return BuildState(reason="Restarting", message=message, container=last["metadata"]["name"] if last else None)
    pods = view.build_pods(last["metadata"]["name"]) if last and build_states.looks_at_pods(last) else ()
    state = build_states.state(last, pods, build_states.tries(there, attempts), wanted=record.cancelled_at is None)
    if record.inspection.private:
        state = build_states.unquoted(state)
    if record.stopped is not None and state.outcome is None:
        return replace(state, state="terminated", outcome="error", **vars(record.stopped))
    if record.waiting is not None and state.state == "waiting" and not pods:
        return replace(state, reason=record.waiting.reason, message=record.waiting.message)
    return state


def _items(
    view: View, record: Record, there: Sequence[jobs.Document], build: BuildState, attempts: int
) -> tuple[ItemState, ...]:
    if not record.inspection.items or build.outcome != "succeeded":
        return tuple(map(ItemState, record.inspection.items))
    pods = view.pods(record.inspection.id)
    ended = record.cancelled_at is not None or record.stopped is not None  # what is not there, Amun took away itself
    made = {} if ended else record.made
    states = pod_states.states(record.inspection, pods, there, made, record.stopped, attempts)
    if record.waiting is None:
        return states
    reason, message = record.waiting.reason, record.waiting.message
    return tuple(
        replace(one, reason=reason, message=message) if one.container is None and one.outcome is None else one
        for one in states
    )
