"""The state directory: where each thing lies, and the records in it.

::

    STATE/index/MICROSECONDS-ID.OWNER      every inspection, in order of creation; OWNER is a digest of whose it is,
                                           left out where it is nobody's
    STATE/active/MICROSECONDS-ID.OWNER     those that the controller has not closed
    STATE/inspections/ID/record.json       the inspection (never changes), mount/ (/amun of its runs), cancelled,
                                           stored, finished, items/N/{pod,started,state,report}.json and items/N/log;
                                           build.json where the build is over for this inspection alone;
                                           lost-images.json where it did not find the image of the build any more
    STATE/builds/BUILD/record.json         a build of an environment, context/, log, started.json, exit, state.json;
                                           limits.json where it has others than the record says; until it has ended,
                                           logins/: what it asks hosts with
    STATE/environments/DIGEST              the build that serves the environment now
    STATE/idempotency/SHA256               Idempotency-Key, its inspection and the body it came with
    STATE/trash/                           what was deleted and may still have to be stopped
    STATE/locks/                           lock files
    STATE/bell/                            the socket that wakes the controller

An inspection appears and disappears by one rename, so there is never half of one. Which file says what is decided
here; how the files are written, in `files`.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from amun.environments import logins
from amun.environments.allowance import Allowance
from amun.errors import InspectionNotFound
from amun.model import codec, timestamps
from amun.model.identifiers import is_valid
from amun.model.inspection import BuildState, Inspection, ItemState
from amun.model.login import Login
from amun.model.specification import Specification
from amun.runs import programs

from . import files
from .files import CorruptState

Value = TypeVar("Value")

UNREADABLE = Specification.from_document({"base": "unknown"})
"""Stands for a specification whose record cannot be read any more."""


@dataclass(frozen=True)
class Declared:
    """An inspection as it is kept: what it is, which build serves it, and whether that build was there before it."""

    inspection: Inspection
    build: str
    cached: bool


@dataclass(frozen=True)
class BuildRecord:
    """One build of an environment: its limits, and the context in the directory beside the record."""

    id: str
    environment: str
    base: str
    cpu: str
    memory: str
    timeout: int
    cache: bool
    created: str

    @property
    def allowance(self) -> Allowance:
        return Allowance(self.cpu, self.memory, self.timeout)


@dataclass(frozen=True)
class LeftBuild:
    """How a build ended for one inspection while it went on for others, and how many bytes its log had by then."""

    state: BuildState
    log: int


@dataclass(frozen=True)
class UsedKey:
    """The inspection that was submitted with an Idempotency-Key, and the digest of its document."""

    id: str
    fingerprint: str


_BUILD = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}")
"""Ids of builds, as `Store.new_build` makes them."""


class Store:
    """All reading and writing of the state directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with files.disk_errors():
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("index", "active", "inspections", "builds", "environments", "idempotency", "trash", "locks"):
                (root / name).mkdir(mode=0o700, exist_ok=True)
            if root.stat().st_mode & 0o077:
                root.chmod(0o700)

    # -- inspections --------------------------------------------------------------------------------------------

    def path(self, inspection_id: str) -> Path:
        """Directory of an inspection; raises `InspectionNotFound`, also for what could not be an id."""
        path = self.root / "inspections" / inspection_id
        if not is_valid(inspection_id) or not path.is_dir():
            raise InspectionNotFound(f"There is no inspection {inspection_id!r}.")
        return path

    def declare(self, declared: Declared, script: bytes | None) -> None:
        """Keep an inspection: all of it, or nothing."""
        inspection = declared.inspection
        order = _entry(inspection)
        draft = self.root / "inspections" / f".{inspection.id}"
        with files.disk_errors():
            try:
                draft.mkdir(exist_ok=True)
                (draft / "items").mkdir(exist_ok=True)
                files.write_json(draft / "record.json", _to_record(declared))
                if script is not None:
                    _prepare_mount(draft / "mount", script)
                for index in ("index", "active"):
                    (self.root / index / order).touch()
                draft.rename(self.root / "inspections" / inspection.id)
                os.utime(self.build_path(declared.build))  # last used, for `unused_builds`
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                for index in ("index", "active"):
                    (self.root / index / order).unlink(missing_ok=True)
                raise

    def declared(self, inspection_id: str) -> Declared:
        """Raises `InspectionNotFound`, `CorruptState`."""
        path = self.path(inspection_id)
        return _read_declared(path, os.stat(path).st_ino)

    def ids(self, owner: str | None = None) -> list[str]:
        """All inspections, or those of one owner, newest first."""
        return list(self._ordered("index", owner, newest_first=True))

    def active(self, owner: str | None = None) -> list[str]:
        """Inspections that are not closed, all or those of one owner, oldest first."""
        return list(self._ordered("active", owner))

    def _ordered(self, index: str, owner: str | None, newest_first: bool = False) -> Iterator[str]:
        wanted = "" if owner is None else _of_owner(owner)
        inspections = f"{self.root}/inspections/"  # a text: there may be ten thousand of them
        for name in sorted(os.listdir(self.root / index), reverse=newest_first):
            if name.endswith(wanted) and os.path.isdir(inspections + _id_of(name)):
                yield _id_of(name)

    def mark(self, inspection_id: str, what: str, at: str | None = None) -> None:
        """Note that something happened to the inspection now, once: `cancelled`, `stored` or `finished`."""
        path = self.path(inspection_id) / what
        if not path.exists():
            files.write(path, at or timestamps.now())

    def marked(self, inspection_id: str, what: str) -> str | None:
        """When it happened, None if it did not."""
        path = self.root / "inspections" / inspection_id / what
        with suppress(FileNotFoundError, NotADirectoryError):
            made = timestamps.timestamp(path.lstat().st_mtime)
            try:
                moment = path.read_text(errors="replace")
            except OSError:  # that it is there says enough, whatever has become of it
                return made
            return moment if timestamps.is_moment(moment) else made
        return None

    def close(self, inspection_id: str, stored: bool = False, at: str | None = None) -> None:
        """Mark as finished and take it from the active ones."""
        if stored:
            self.mark(inspection_id, "stored", at)
        self.mark(inspection_id, "finished", at)
        self._forget(inspection_id, "active")

    def discard(self, inspection_id: str) -> None:
        """From now on the inspection does not exist; its files wait in the trash."""
        with files.disk_errors(), suppress(FileNotFoundError):
            self.path(inspection_id).rename(self.root / "trash" / inspection_id)
        self._forget(inspection_id, "active", "index")

    def _forget(self, inspection_id: str, *indexes: str) -> None:
        for index in indexes:
            for name in os.listdir(self.root / index):
                if _id_of(name) == inspection_id:
                    (self.root / index / name).unlink(missing_ok=True)

    def trash(self) -> list[str]:
        return os.listdir(self.root / "trash")

    def empty_trash(self, name: str) -> None:
        shutil.rmtree(self.root / "trash" / name, ignore_errors=True)

    # -- items --------------------------------------------------------------------------------------------------

    def item_path(self, inspection_id: str, item: int) -> Path:
        return self.root / "inspections" / inspection_id / "items" / str(item)

    def started_items(self, inspection_id: str) -> set[int]:
        """Items that there is anything kept of; raises `CorruptState`."""
        path = self.path(inspection_id) / "items"
        try:
            return {int(name) for name in os.listdir(path) if name.isdecimal()}
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise CorruptState(path) from exc

    def item(self, inspection_id: str, item: int) -> ItemState:
        """State of an item as it is kept; raises `CorruptState`."""
        path = self.item_path(inspection_id, item)
        kept = files.read_json(path / "state.json") or files.read_json(path / "started.json")
        state = ItemState(item=item) if kept is None else _restore(ItemState, kept, path)
        if state.item != item:
            raise CorruptState(path)
        return state

    def keep_item(self, inspection_id: str, state: ItemState, report: Mapping[str, Any] | None = None) -> None:
        """Keep where an item stands; the report of one that is over is written first, so that over means complete."""
        path = self.item_path(inspection_id, state.item)
        with files.disk_errors():
            if not path.parent.is_dir():
                raise InspectionNotFound(f"There is no inspection {inspection_id!r}.")
            path.mkdir(exist_ok=True)
        if report is not None:
            files.write_json(path / "report.json", report)
        files.write_json(path / ("state.json" if state.state == "terminated" else "started.json"), asdict(state))

    def lost_images(self, inspection_id: str) -> list[str]:
        """When the images were built that an inspection did not find any more; raises `InspectionNotFound`."""
        path = self.path(inspection_id) / "lost-images.json"
        with suppress(CorruptState, KeyError, TypeError):
            return list(map(str, (files.read_json(path) or {"built": []})["built"]))
        return []

    def lose_image(self, inspection_id: str, built: str) -> None:
        """Note that an inspection did not find the image that was built at that moment."""
        lost = sorted({*self.lost_images(inspection_id), built})
        files.write_json(self.path(inspection_id) / "lost-images.json", {"built": lost})

    # -- builds -------------------------------------------------------------------------------------------------

    def build_path(self, build: str) -> Path:
        return self.root / "builds" / build

    def environment_lock(self, environment: str) -> AbstractContextManager[None]:
        """Held while it is decided which build serves an environment."""
        return files.locked(self.root / "locks" / _hex(environment))

    def current_build(self, environment: str) -> str | None:
        """The build that serves an environment: complete or on its way; None if there is none, or it failed."""
        served = self.root / "environments" / _hex(environment)
        try:
            build = served.read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            files.set_aside(served)
            return None
        if not _BUILD.fullmatch(build):
            return None
        path = self.build_path(build)
        if not (path / "record.json").exists() or (path / "stop.json").exists():
            return None
        with suppress(CorruptState):
            return None if self.build(build).outcome in ("failed", "error") else build
        return build

    def builds_in_use(self) -> dict[str, list[str]]:
        """Builds that active inspections wait for or run in, each with their ids.

        Those that were cancelled, or left their build, wait for none.
        """
        users: dict[str, list[str]] = {}
        for inspection_id in self.active():
            with suppress(CorruptState, InspectionNotFound):
                if self.marked(inspection_id, "cancelled") is None and self.left_build(inspection_id) is None:
                    users.setdefault(self.declared(inspection_id).build, []).append(inspection_id)
        return users

    def leave_build(self, declared: Declared, state: BuildState) -> None:
        """The build has ended like this for one inspection, though it goes on for others."""
        with suppress(FileNotFoundError, InspectionNotFound):  # the inspection was deleted meanwhile
            log = self.build_path(declared.build) / "log"
            left = {"state": asdict(state), "log": files.size(log)}
            files.write_json(self.path(declared.inspection.id) / "build.json", left)

    def left_build(self, inspection_id: str) -> LeftBuild | None:
        """How the build ended for this inspection alone, None where it did not; raises `CorruptState`."""
        path = self.root / "inspections" / inspection_id / "build.json"
        kept = files.read_json(path)
        if kept is None:
            return None
        return _restore(LeftBuild, kept, path)

    def serve(self, environment: str, build: str) -> None:
        """From now on `build` is the one that serves the environment."""
        files.write(self.root / "environments" / _hex(environment), build)

    def new_build(self, inspection: Inspection, context: Mapping[str, bytes], asked_with: Sequence[Login] = ()) -> str:
        """Keep a build that is to be made, and what it asks hosts with; returns its id."""
        request = inspection.specification.build
        build = f"{_hex(inspection.environment)[:16]}-{secrets.token_hex(4)}"
        record = BuildRecord(
            id=build,
            environment=inspection.environment,
            base=inspection.specification.base,
            cpu=request.requests.cpu,
            memory=request.requests.memory,
            timeout=request.timeout,
            cache=request.cache,
            created=inspection.created,
        )
        path = self.build_path(build)
        with files.disk_errors():
            try:
                for name, content in context.items():
                    (path / "context" / name).parent.mkdir(parents=True, exist_ok=True)
                    (path / "context" / name).write_bytes(content)
                files.write_json(path / "record.json", asdict(record))
                if asked_with:
                    self._keep_logins(self.logins_path(build), asked_with)
            except BaseException:
                shutil.rmtree(path, ignore_errors=True)
                raise
        return build

    def logins_path(self, build: str) -> Path:
        """Directory of what a build asks hosts with: there until the build has ended."""
        return self.build_path(build) / "logins"

    def _keep_logins(self, path: Path, asked_with: Sequence[Login]) -> None:
        path.mkdir(mode=0o700)
        files.write(path / "netrc", logins.netrc(asked_with))
        files.write_json(path / "logins.json", {"logins": [asdict(login) for login in asked_with]})

    def logins(self, build: str) -> list[Login]:
        """What a build asks hosts with; none once it has ended."""
        with suppress(CorruptState, TypeError, KeyError):
            kept = files.read_json(self.logins_path(build) / "logins.json") or {"logins": []}
            return [Login(**login) for login in kept["logins"]]
        return []

    def forget_logins(self, build: str) -> None:
        shutil.rmtree(self.logins_path(build), ignore_errors=True)

    def builds_with_logins(self) -> list[str]:
        return [path.parent.name for path in (self.root / "builds").glob("*/logins")]

    def build_record(self, build: str) -> BuildRecord:
        """Raises `CorruptState`."""
        path = self.build_path(build) / "record.json"
        kept = files.read_json(path)
        with suppress(CorruptState, TypeError):
            return _restore(BuildRecord, {**kept, **(files.read_json(path.with_name("limits.json")) or {})}, path)
        return _restore(BuildRecord, kept, path)

    def limit_build(self, build: str, allowance: Allowance) -> None:
        """Give a build other limits from its next attempt on."""
        files.write_json(self.build_path(build) / "limits.json", asdict(allowance))

    def build(self, build: str) -> BuildState:
        """State of a build as it is kept; raises `CorruptState`."""
        path = self.build_path(build)
        kept = files.read_json(path / "state.json") or files.read_json(path / "started.json")
        state = BuildState() if kept is None else _restore(BuildState, kept, path)
        return replace(state, container=f"build-{build}")

    def keep_build(self, build: str, state: BuildState) -> None:
        name = "state.json" if state.state == "terminated" else "started.json"
        files.write_json(self.build_path(build) / name, asdict(state))

    def builds(self) -> list[str]:
        return os.listdir(self.root / "builds")

    def remove_build(self, build: str) -> None:
        shutil.rmtree(self.build_path(build), ignore_errors=True)

    # -- idempotency --------------------------------------------------------------------------------------------

    def key_lock(self, key: str) -> AbstractContextManager[None]:
        return files.locked(self.root / "locks" / f"key-{_sha256(key)[:16]}")

    def key(self, key: str) -> UsedKey | None:
        """What an Idempotency-Key was used for; raises `CorruptState`."""
        path = self.root / "idempotency" / _sha256(key)
        kept = files.read_json(path)
        used = None if kept is None else _restore(UsedKey, kept, path)
        if used is not None and not is_valid(used.id):
            raise CorruptState(path)
        return used

    def keep_key(self, key: str, inspection_id: str, fingerprint: str) -> None:
        files.write_json(self.root / "idempotency" / _sha256(key), {"id": inspection_id, "fingerprint": fingerprint})

    # -- age ----------------------------------------------------------------------------------------------------

    def expired(self, days: int) -> Iterator[str]:
        """Inspections that were closed more than `days` ago."""
        limit = time.time() - days * 86400
        for inspection_id in self.ids():
            finished = self.marked(inspection_id, "finished")
            if finished is not None and timestamps.seconds(finished) < limit:
                yield inspection_id

    def unused_builds(self, days: int) -> Iterator[str]:
        """Builds that no inspection refers to, and that none was submitted for within `days`."""
        limit = time.time() - days * 86400
        used = set()
        for inspection_id in self.ids():
            with suppress(CorruptState, InspectionNotFound):
                used.add(self.declared(inspection_id).build)
        for build in self.builds():
            if build not in used and self.build_path(build).stat().st_mtime < limit:
                yield build

    def forget_old_keys(self, days: int) -> None:
        """Forget Idempotency-Keys of more than `days` ago, and locks nobody can be waiting for."""
        limit = time.time() - days * 86400
        for folder in ("idempotency", "locks"):
            for entry in os.scandir(self.root / folder):
                if entry.stat().st_mtime < limit:
                    Path(entry.path).unlink(missing_ok=True)


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _entry(inspection: Inspection) -> str:
    """The name of an inspection in the indexes: what they are sorted and searched by, without a look at any record."""
    moment = int(timestamps.seconds(inspection.created) * 1e6)
    owner = "" if inspection.owner is None else _of_owner(inspection.owner)
    return f"{moment:016d}-{inspection.id}{owner}"


def _id_of(entry: str) -> str:
    return entry.partition("-")[2].partition(".")[0]


def _of_owner(owner: str) -> str:
    return f".{_sha256(owner)[:32]}"


def _to_record(declared: Declared) -> dict[str, Any]:
    inspection = declared.inspection
    return {
        "id": inspection.id,
        "specification": inspection.specification.to_document(),
        "script_sha256": inspection.script_sha256,
        "environment": inspection.environment,
        "created": inspection.created,
        "owner": inspection.owner,
        "private": inspection.private,
        "build": declared.build,
        "cached": declared.cached,
    }


@functools.lru_cache(maxsize=1024)
def _read_declared(path: Path, _inode: int) -> Declared:
    """Records never change, so they are read once; the inode tells a directory from a later one of the same name."""
    record = files.read_json(path / "record.json")
    try:
        specification = asdict(Specification.from_document(record["specification"]))
        inspection = codec.restore(Inspection, {**record, "id": path.name, "specification": specification})
        return codec.restore(Declared, {**record, "inspection": inspection})
    except (TypeError, KeyError, ValueError, AttributeError) as exc:
        raise CorruptState(path / "record.json") from exc


def _restore(kind: type[Value], document: Any, path: Path) -> Value:
    try:
        return codec.restore(kind, document)
    except ValueError as exc:
        raise CorruptState(path) from exc


def _prepare_mount(mount: Path, script: bytes) -> None:
    """What a run finds in /amun: readable and executable for any uid, the bytes of the script as they came."""
    mount.mkdir(exist_ok=True, mode=0o755)
    mount.chmod(0o755)
    for name in programs.PROGRAMS:
        shutil.copyfile(Path(programs.__file__).parent / name, mount / name)
        (mount / name).chmod(0o644)
    files.write(mount / "script", script, mode=0o755)
