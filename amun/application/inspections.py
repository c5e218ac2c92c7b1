"""What callers can do: the use cases behind the API, with no HTTP in them and no engine named."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from amun.auth.caller_scope import View
from amun.auth.callers import Caller
from amun.auth.rate_limits import NO_LIMITS, Limits
from amun.engines.base import Engine
from amun.environments import digest as environment
from amun.environments import dockerfile, logins
from amun.errors import Conflict, Infeasible, InvalidSpecification, ItemNotFound
from amun.model import identifiers, status, timeline
from amun.model import timestamps as clock
from amun.model.inspection import Accepted, Inspection, Observation, Submission
from amun.model.login import Login
from amun.model.specification import Specification
from amun.runs import log_frames
from amun.settings import Settings
from amun.telemetry.logs import logger
from amun.validation.problems import json_path

from . import feasibility, script_source
from .measurements import Measuring

Stream = Literal["stdout", "stderr"]


class Inspections:
    """The use cases of one caller on one engine: what the caller may not know of is not there.

    There is no default caller. Keeps no state; safe for many threads.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        caller: Caller,
        limits: Limits = NO_LIMITS,
        measuring: Measuring | None = None,
    ) -> None:
        self.engine = View(engine, caller)
        self._measuring = measuring or Measuring(engine)
        self._whole = engine
        self._settings = settings
        self._caller = caller
        self._limits = limits

    # -- submit -------------------------------------------------------------------------------------------------

    def submit(
        self, document: Mapping[str, Any], key: str | None = None, fetched: bytes | None = None
    ) -> tuple[Accepted, Specification]:
        """Accept a posted document: all of it is checked before anything is kept.

        A script at a URL is fetched, unless somebody has done that and gives what was `fetched`.

        Raises `InvalidSpecification`, `Infeasible`, `Conflict` (the key was used for another document),
        `TooManyRequests` and `EngineUnavailable`.
        """
        self._limits.submission(self._caller)
        specification, asked_with = self._read(document)
        feasibility.check(specification, self._whole)
        self._limits.opening(self._caller, self.engine.unfinished)
        content = fetched
        if content is None and specification.script is not None:
            content = script_source.read(document["script"], self._settings)
        context, digest = self._environment(specification, asked_with)
        inspection = Inspection(
            id=identifiers.new_id(specification.identifier),
            specification=specification,
            script_sha256=None if content is None else hashlib.sha256(content).hexdigest(),
            environment=digest,
            created=clock.now(),
            private=bool(asked_with),
        )
        accepted = self.engine.submit(Submission(inspection, content, context, asked_with), key, _fingerprint(document))
        logger.info("inspection accepted", inspection_id=accepted.id, environment=digest, cached=accepted.cached)
        return accepted, specification

    def dry_run(self, document: Mapping[str, Any], *, looked_up: bool = False) -> dict[str, Any]:
        """What `submit` would do, as far as that is known without fetching a script; nothing is created.

        `looked_up` says that somebody has looked already whether a script at a URL may be asked for.
        """
        specification, asked_with = self._read(document)
        if specification.script is not None and not looked_up:
            script_source.check(document["script"], self._settings)
        _, digest = self._environment(specification, asked_with)
        cached = specification.build.cache and self.engine.has_environment(digest)
        answer = {"parameters": specification.to_document(), "environment": digest, "cached": cached}
        try:
            feasibility.check(specification, self._whole)
        except Infeasible as exc:
            return {**answer, "feasible": False, "message": str(exc)}
        refusal = None if cached else self.engine.refusal(self.engine.complete(specification.base))
        return {**answer, "feasible": refusal is None, "message": refusal}

    def build_context(self, document: Mapping[str, Any]) -> tuple[Mapping[str, bytes], Specification]:
        """The build context of a posted document; the Dockerfile is one of its files."""
        specification, asked_with = self._read(document)
        return self._context(specification, asked_with), specification

    def _read(self, document: Mapping[str, Any]) -> tuple[Specification, tuple[Login, ...]]:
        """The specification of a valid document without the passwords in its URLs, and those."""
        kept, asked_with = logins.split(document, json_path)
        return Specification.from_document(kept, self._settings.defaults), asked_with

    def _context(self, specification: Specification, asked_with: tuple[Login, ...]) -> Mapping[str, bytes]:
        private = logins.owner_digest(self._caller.name) if asked_with else None
        return dockerfile.context(specification, self.engine.complete(specification.base), private)

    def _environment(
        self, specification: Specification, asked_with: tuple[Login, ...]
    ) -> tuple[Mapping[str, bytes], str]:
        if lost := list(dockerfile.lost(specification, self.engine.volumes(self.engine.complete(specification.base)))):
            raise InvalidSpecification(lost)
        context = self._context(specification, asked_with)
        digest = self.engine.resolve(self.engine.complete(specification.base))
        return context, environment.environment_digest(context, digest)

    # -- read ---------------------------------------------------------------------------------------------------

    def observe(self, inspection_id: str) -> Observation:
        """Raises `InspectionNotFound`."""
        return self.engine.observe(inspection_id)

    def declared(self, inspection_id: str) -> Inspection:
        """What was declared, with all of its specification. Raises `InspectionNotFound`."""
        return self.engine.whole(self.engine.declared(inspection_id))

    def detail(self, inspection_id: str) -> dict[str, Any]:
        """Everything at once."""
        observation = self.observe(inspection_id)
        document = status.to_document(observation)
        inspection, build = observation.inspection, observation.build
        return {
            "inspection_id": inspection.id,
            "owner": inspection.owner,
            "created": inspection.created,
            "specification": self.engine.whole(inspection).specification.to_document(),
            "status": document,
            "items": document["job"]["pods"] if document["job"] else [],
            "environment": {"digest": inspection.environment, "image": build.image, "cached": build.cached},
            "timeline": timeline.to_document(observation),
        }

    def page(
        self, page: int, limit: int, phase: str | None = None, identifier: str | None = None
    ) -> tuple[list[dict[str, Any]], int]:
        """One page of summaries, newest first, and how many there are in all; `page` counts from 1."""
        phases = dict(self.engine.phases())
        if identifier is not None:
            phases = {one: phases[one] for one in phases if identifiers.identifier_of(one) == identifier}
        observed: dict[str, dict[str, Any]] = {}
        if phase is not None:
            observed = self._summaries([one for one, known in phases.items() if known is None])
            phases |= {one: summary["phase"] for one, summary in observed.items()}
            phases = {one: known for one, known in phases.items() if known == phase}
        shown = list(phases)[(page - 1) * limit : page * limit]
        observed |= self._summaries([one for one in shown if one not in observed])
        return [observed[one] for one in shown if one in observed], len(phases)

    def _summaries(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """What a list says of each of these that is still there, by id."""
        return {one.inspection.id: status.summary(one) for one in self.engine.observations(ids)}

    def report(self, inspection_id: str, item: int) -> dict[str, Any] | None:
        """The report of an item; None while there may still be one.

        Raises `ItemNotFound` if there is no such item, or if it is over and never left a report.
        """
        report = self.engine.report(inspection_id, item)
        if report is None:
            found = status.verdict(self.observe(inspection_id))
            if found.over:
                report = self.engine.report(inspection_id, item)  # it may have ended in between
                if report is None:
                    why = found.message or found.reason or found.phase
                    lost = self.observe(inspection_id).items[item : item + 1]
                    left = "left no result" if lost and lost[0].outcome else "was never run, and never will be"
                    raise ItemNotFound(f"Item {item} {left}: {why}")
        return report

    def summary(self, inspection_id: str, clean: bool, confidence: float) -> dict[str, Any]:
        """What an inspection measured, see `amun.statistics.summary`; `clean` leaves out what was disturbed."""
        return self._measuring.summary(self.engine, inspection_id, clean, confidence)

    def compare(
        self, ids: Sequence[str], paths: Sequence[str] | None, *, clean: bool, confidence: float, allow_unlike: bool
    ) -> dict[str, Any]:
        """Whether inspections differ, see `amun.statistics.comparison`.

        Raises `InspectionNotFound`, `Conflict` for one that has nothing to compare yet, and `Unlike`.
        """
        return self._measuring.compare(self.engine, ids, paths, clean, confidence, allow_unlike)

    # -- logs ---------------------------------------------------------------------------------------------------

    def build_log(self, inspection_id: str, offset: int = 0, follow: bool = False) -> Iterator[bytes]:
        """The log of the build in chunks; with `follow`, as it grows (``b""``: nothing new yet)."""
        return self.engine.build_log(inspection_id, offset, follow)

    def item_output(
        self,
        inspection_id: str,
        item: int,
        *,
        follow: bool = False,
        stream: Stream | None = None,
        timestamps: bool = False,
        offset: int = 0,
    ) -> Iterator[bytes]:
        """What the script of an item printed, in chunks: one stream or both as they came, from byte `offset` on."""
        chunks = self.engine.item_log(inspection_id, item, follow)
        return _skip(_unframe(chunks, stream, timestamps), offset)

    # -- end ----------------------------------------------------------------------------------------------------

    def cancel(self, inspection_id: str) -> None:
        """Stop what runs, keep logs and status. Raises `Conflict` if the inspection is over."""
        observation = self.observe(inspection_id)
        if observation.finished_at is not None or status.verdict(observation).over:
            raise Conflict(f"Inspection {inspection_id!r} is over already.")
        self.engine.cancel(inspection_id)
        logger.info("inspection cancelled", inspection_id=inspection_id)

    def delete(self, inspection_id: str) -> None:
        """Stop what runs and forget the inspection."""
        self.engine.delete(inspection_id)
        logger.info("inspection deleted", inspection_id=inspection_id)


def _fingerprint(document: Mapping[str, Any]) -> str:
    """A digest of a valid document, without the passwords in it: a weak one could be guessed from it."""
    kept, _ = logins.split(document, json_path)
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _unframe(chunks: Iterator[bytes], stream: Stream | None, timestamps: bool) -> Iterator[bytes]:
    """Turn the chunks of a container log into those of what was printed; ``b""`` is passed on."""
    decoder = log_frames.CriDecoder()
    line_open = False
    for chunk in itertools.chain(chunks, [None]):
        if chunk == b"":
            yield b""
            continue
        lines = decoder.close() if chunk is None else decoder.feed(chunk)
        printed = bytearray()
        for time, line in lines:
            frame = log_frames.frame(time, line)
            if frame is None or frame.stream == "report" or stream not in (None, frame.stream):
                continue
            if timestamps and not line_open:
                printed += frame.time.encode() + b" "
            printed += frame.data
            line_open = not frame.data.endswith(b"\n")
        if printed:
            yield bytes(printed)


def _skip(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    """Leave out the first `count` bytes."""
    for chunk in chunks:
        if chunk and count:
            chunk, count = chunk[count:], max(0, count - len(chunk))
            if not chunk:
                continue
        yield chunk
