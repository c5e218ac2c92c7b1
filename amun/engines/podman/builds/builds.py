"""Builds on this machine: ``podman build``, detached, so that they outlive the controller that began them.

A build is a shell that runs podman, appends what it says to the log and writes its exit code. The shell holds the
build's lock: a free lock without an exit code is a build that something killed, and is begun again.
"""

from __future__ import annotations

import fcntl
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from amun.engines import unexpected
from amun.engines.podman.host import cgroups
from amun.engines.podman.host.machine import Machine
from amun.engines.podman.podman_cli import NO_ROOM, Podman
from amun.engines.podman.runs import usage
from amun.engines.podman.runs.disk_quota import DiskGuard
from amun.engines.podman.runs.usage import UsageGuard
from amun.engines.podman.state import disk_full, files
from amun.engines.podman.state.disk_full import Room
from amun.engines.podman.state.store import BuildRecord, Declared, Store
from amun.engines.unexpected import Refusals, Unexpected
from amun.environments import dockerfile, logins
from amun.environments.allowance import Allowance, largest
from amun.environments.build_log import failed_step
from amun.environments.masking import Mask
from amun.errors import EngineUnavailable
from amun.model import quantity, timestamps
from amun.model.inspection import BuildState
from amun.settings import Settings
from amun.telemetry import metrics
from amun.telemetry.logs import logger

from . import bases
from . import processes as steps
from .namespace import build_command

IMAGE = "localhost/amun/environment"

RETRY_AFTER = 2.0
"""Seconds before what the disk or podman prevented is tried again."""

LAST_LINES, HALF_LINE = 2000, 8192
"""Lines of a log that are looked through for why a build failed, and bytes of both halves of a long one: podman repeats
the whole step in its error, and may have the reason behind it."""

AGAIN = "again"
"""File that says: this attempt is of no use any more, the next one has larger limits."""

NOTES = "pull"
"""File in which is noted what went wrong when the base image was pulled."""

# The arguments: directory, then the command. Standard input is the lock file: the shell holds the lock, and podman,
# whose helpers may stay behind, does not get it.
SHELL = """
directory=$1; shift
"$@" >>"$directory/log" 2>&1 </dev/null &
umask 077
echo "$!" >"$directory/pid"
wait "$!"
echo "$?" >"$directory/exit.new" && mv "$directory/exit.new" "$directory/exit"
"""


class Builds:
    """Starts builds, sees them end, keeps what became of them. Used by one controller at a time."""

    def __init__(
        self, podman: Podman, machine: Machine, store: Store, settings: Settings, *,
        changed: Callable[[], None],
    ) -> None:  # fmt: skip
        self._podman = podman
        self._machine = machine
        self._store = store
        self._settings = settings
        self._limit = settings.max_builds or 1
        self._attempts = settings.attempts
        self._changed = changed
        self._watched: dict[str, threading.Thread] = {}
        self._stopping: dict[str, threading.Thread] = {}
        self._unexpected = Unexpected()
        self._room = Room(settings.state_dir)
        self._refusals = Refusals(settings.start_deadline)
        self._guards: dict[str, tuple[int, DiskGuard]] = {}
        self._usage: dict[str, tuple[int, UsageGuard]] = {}

    def running(self) -> int:
        return len(self._watched)

    def watched(self) -> list[str]:
        """The builds that run."""
        return list(self._watched)

    def advance(self, build: str) -> None:
        """Move a build one step on: begin it where there is place, watch it, keep its result when it has ended."""
        state = self._state(build)
        if state.state == "terminated" or build in self._watched:
            return
        if state.state == "running":
            self._watch(build)
        elif self.running() < self._limit:
            try:
                self._begin(build)
            except files.DiskFull as exc:
                self._without_room(build, exc)
            else:
                self._room.over(build)

    def enforce_deadline(self, declared: Declared) -> None:
        """End a build for an inspection that allows it no more time than it has taken; for others it goes on."""
        build, allowed = declared.build, Allowance.of(declared.inspection.specification.build)
        if build not in self._watched or build in self._stopping:
            return
        state = self._state(build)
        if state.state != "running" or state.started_at is None:
            return
        if time.time() - timestamps.seconds(state.started_at) <= allowed.timeout:
            return
        record = self._store.build_record(build)
        reason, message = "DeadlineExceeded", f"The build took longer than {allowed.timeout} s."
        if allowed.exceeds(replace(record.allowance, timeout=allowed.timeout), reason):
            files.write(self._store.build_path(build) / AGAIN, reason)
            return self._end(build)
        with self._store.environment_lock(declared.inspection.environment):
            if set(self._store.builds_in_use().get(build, ())) <= {declared.inspection.id}:
                return self.stop(build, reason, message)
            left = replace(state, outcome="failed", reason=reason, message=message)
            self._store.leave_build(declared, replace(left, state="terminated", finished_at=timestamps.now()))
        self._changed()

    def enforce_limits(self) -> None:
        """Stop builds that take more than they may: of log and disk, and of what no control group limits."""
        log, disk = self._settings.build_log_limit, self._settings.build_storage_limit
        for build in [one for one in self._watched.copy() if one not in self._stopping]:
            path = self._store.build_path(build)
            if self._room.filled_by(build, path / "log"):
                self._end(build)  # why is noted when there is room
            elif files.size(path / "log") - (_number(path / "begun") or 0) > log:
                self.stop(build, "LogLimitExceeded", f"The build printed more than {log} bytes.")
            elif self._wrote_too_much(build):
                self.stop(build, "StorageLimitExceeded", f"A step of the build wrote more than {disk} bytes to disk.")
            elif (what := self._took_too_much(build)) == "memory":
                self.stop(build, "OutOfMemoryKilled", "A step of the build needed more memory than it had requested.")
            elif what == "processes":
                self.stop(build, "ProcessLimitExceeded", "A step of the build had more processes than it may.")

    def _took_too_much(self, build: str) -> str | None:
        """Which of ``memory`` and ``processes`` a step has too much of, where no control group limits them."""
        weak = self._machine.weak_build_limits
        if not {"memory", "processes"} & weak.keys():
            return None
        process = steps.first(self._store.build_path(build))
        if self._usage.get(build, (0, None))[0] != process:
            # Of each step anew: the build may have begun again with other limits.
            memory = int(quantity.parse(self._store.build_record(build).memory)) if "memory" in weak else None
            processes = self._settings.build_pids_limit if "processes" in weak else None
            self._usage[build] = (process, UsageGuard(self._podman, memory, processes))
        return self._usage[build][1].exceeded(process) if process else None

    def _wrote_too_much(self, build: str) -> bool:
        step = steps.writing(self._store.build_path(build))
        if step is None:
            return False
        process, directory = step
        if self._guards.get(build, (0, None))[0] != process:
            guard = DiskGuard(self._podman, process, [directory], self._settings.build_storage_limit)
            self._guards[build] = (process, guard)
        return self._guards[build][1].exceeded()

    def stop(self, build: str, reason: str, message: str) -> None:
        """Stop a build and keep why. One that has not begun never will."""
        noted = self._store.build_path(build) / "stop.json"
        if self._state(build).outcome is None:
            if not noted.exists():
                files.write_json(noted, {"reason": reason, "message": message})
            self._end(build)

    def _end(self, build: str) -> None:
        if build in self._stopping:
            return
        killing = threading.Thread(target=steps.kill, args=(self._store.build_path(build),), daemon=True)
        self._stopping[build] = killing
        killing.start()
        if build not in self._watched:
            self._watch(build)

    def forget_image(self, build: str) -> None:
        """The image is gone although the build was complete: it has to be built again."""
        path = self._store.build_path(build)
        for name in ("state.json", "started.json", "exit", "attempt"):
            (path / name).unlink(missing_ok=True)
        self._changed()

    def _state(self, build: str) -> BuildState:
        try:
            return self._store.build(build)
        except files.CorruptState as exc:
            files.set_aside(exc.path)
            return self._state(build)

    # -- begin --------------------------------------------------------------------------------------------------

    def _begin(self, build: str) -> None:
        record, path = self._store.build_record(build), self._store.build_path(build)
        with files.disk_errors():
            if (path / AGAIN).exists():
                self._store.limit_build(build, self._most_allowed(record))
                record = self._store.build_record(build)
            for name in ("exit", "image", NOTES, AGAIN):
                (path / name).unlink(missing_ok=True)
            (path / "mark").mkdir(exist_ok=True)
            (path / "lock").touch(mode=0o600)
            files.write(path / "begun", str(files.size(path / "log")))
        if self._machine.build_group is not None:
            cgroups.limit_build(build, self._settings.build_pids_limit)
        state = BuildState(state="running", started_at=timestamps.now(), weak_limits=self._machine.weak_build_limits)
        self._store.keep_build(build, state)
        self._spawn(path, self._arguments(record, path))
        logger.info("build started", build=build, environment=record.environment, attempt=_attempt(path))
        self._watch(build)

    def _most_allowed(self, record: BuildRecord) -> Allowance:
        """The largest limits of the inspections that wait for a build, and no smaller ones than it had."""
        waiting = map(self._store.declared, self._store.builds_in_use().get(record.id, ()))
        allowed = (Allowance.of(one.inspection.specification.build) for one in waiting)
        return largest([record.allowance, *allowed])

    def _arguments(self, record: BuildRecord, path: Path) -> list[str]:
        recipe = path / "context" / "Dockerfile"
        arguments = ["--file", str(recipe), "--tag", f"{IMAGE}:{record.id}", "--iidfile", str(path / "image")]
        arguments += ["--from", bases.BASE, *self._limits(record)]
        for volume in (*self._machine.build_volumes, f"{path / steps.MARK}:/run/amun-build:ro"):
            arguments += ["--volume", volume]
        if (asked_with := self._store.logins_path(record.id)).is_dir():
            arguments += ["--volume", f"{asked_with}:/run/amun-logins:ro"]
        for name, value in dockerfile.build_arguments({"Dockerfile": recipe.read_bytes()}).items():
            arguments += ["--build-arg", f"{name}={value}"]
        if not record.cache:
            arguments.append("--no-cache")
        build = build_command(self._machine, *arguments, str(recipe.parent))
        return bases.command(self._machine.podman, dockerfile.base(recipe.read_bytes()), path / NOTES, *build)

    def _limits(self, record: BuildRecord) -> list[str]:
        """What a build may use, as far as this machine can limit it."""
        cpu, memory = quantity.parse(record.cpu), int(quantity.parse(record.memory))
        arguments = cgroups.options(self._machine.build_limits, cpu, memory)
        if self._machine.build_group is not None:
            arguments += ["--cgroup-parent", cgroups.parent_of_steps(self._machine.build_group, record.id)]
        return [*arguments, *self._fallbacks(record)]

    def _fallbacks(self, record: BuildRecord) -> list[str]:
        """Resource limits in place of those that control groups do not set."""
        weak, settings, arguments = self._machine.weak_build_limits, self._settings, []
        if "memory" in weak:
            arguments.append(usage.ulimit("data", usage.data_limit(int(quantity.parse(record.memory)))))
        if "processes" in weak:
            most = usage.build_processes(settings.build_pids_limit, self._limit, settings.max_runs)
            arguments.append(usage.ulimit("nproc", most))
        return [word for limit in arguments for word in ("--ulimit", limit)]

    def _spawn(self, path: Path, arguments: list[str]) -> None:
        with files.disk_errors(), open(path / "lock", "a+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            process = subprocess.Popen(
                ["/bin/sh", "-c", SHELL, "amun-build", str(path), *arguments],
                env=self._podman.environment,
                stdin=lock,
                start_new_session=True,
            )
        threading.Thread(target=process.wait, daemon=True).start()  # or it would stay a zombie

    # -- end ----------------------------------------------------------------------------------------------------

    def _watch(self, build: str) -> None:
        thread = threading.Thread(target=self._await_end, args=(build,), name=f"build-{build}", daemon=True)
        self._watched[build] = thread
        thread.start()

    def _await_end(self, build: str) -> None:
        try:
            with files.locked(self._store.build_path(build) / "lock"):
                pass
            if build in self._stopping:
                self._stopping[build].join()  # or it would end the next attempt, too
            self._conclude(build)
            self._room.over(build)
            self._refusals.over(build)
        except files.DiskFull as exc:
            self._without_room(build, exc)
            time.sleep(RETRY_AFTER)
        except EngineUnavailable as exc:  # the next step tries again
            logger.warning("build not concluded", build=build, error=str(exc))
            if self._refusals.too_long(build, exc):
                self._give_up(build, unexpected.REFUSED, str(exc))
            time.sleep(RETRY_AFTER)
        except Exception:
            if self._unexpected.too_often(build, "build not concluded"):
                self._give_up(build, unexpected.REASON, unexpected.MESSAGE)
            time.sleep(RETRY_AFTER)
        finally:
            self._stopping.pop(build, None)
            self._guards.pop(build, None)
            self._usage.pop(build, None)
            del self._watched[build]
            self._changed()

    def _without_room(self, build: str, exc: files.DiskFull) -> None:
        """The disk is full: what was to be kept is tried again by the next step, until that is of no use."""
        logger.warning("no room for a build", build=build, error=str(exc))
        if self._room.too_often(build, self._store.build_path(build) / "log"):
            with suppress(files.DiskFull):
                self._give_up(build, disk_full.REASON, disk_full.MESSAGE)
                self._room.over(build)

    def _give_up(self, build: str, reason: str, message: str) -> None:
        given_up = replace(self._state(build), state="terminated", outcome="error", reason=reason, message=message)
        self._store.keep_build(build, replace(given_up, finished_at=timestamps.now()))

    def _conclude(self, build: str) -> None:
        """Keep what became of a build that has ended, or begin it again where something killed it."""
        path = self._store.build_path(build)
        self._mask(build)
        code, log = _number(path / "exit"), _last_words(path / "log", _number(path / "begun") or 0)
        stop = files.read_json(path / "stop.json")
        if stop is not None:
            self._cut_log(path)
            ended = BuildState(outcome="failed", exit_code=code, **stop)
        elif code == 0 and (path / "image").exists():
            ended = BuildState(outcome="succeeded", reason="Completed", exit_code=0, image=self._image(path))
        elif (path / AGAIN).exists():
            return self._put_back_for_more(build)
        elif _said_why(log):
            reason, message = failed_step(log)
            ended = BuildState(outcome="failed", reason=reason, message=message, exit_code=code)
            if NO_ROOM.search(message):
                ended = replace(ended, outcome="error", reason=disk_full.REASON, message=disk_full.MESSAGE)
        elif self._room.by_itself(build):
            steps.kill(path)
            ended = BuildState(outcome="error", reason=disk_full.REASON, message=disk_full.MESSAGE, exit_code=code)
        else:
            steps.kill(path)
            if (attempt := _attempt(path)) < self._attempts:
                return self._put_back(build, attempt + 1, "The build was killed; it begins again.")
            message = f"The build was killed {self._attempts} times before it could end."
            ended = BuildState(outcome="error", reason="BuildKilled", message=message, exit_code=code)
        begun = self._state(build)
        ended = replace(ended, state="terminated", started_at=begun.started_at, finished_at=timestamps.now())
        ended = replace(ended, weak_limits=begun.weak_limits)
        record = self._store.build_record(build)
        with self._store.environment_lock(record.environment):  # nobody joins while it is decided who goes on
            if self._goes_on(record, ended):
                return self._put_back_for_more(build)
            self._store.keep_build(build, ended)
            self._store.forget_logins(build)
        cgroups.remove_build(build)
        logger.info("build ended", build=build, outcome=ended.outcome, reason=ended.reason)
        if (path / NOTES).exists():
            logger.warning("base image not pulled", build=build, error=(path / NOTES).read_text(errors="replace"))
        metrics.build_ended(ended, record.created)

    def _mask(self, build: str) -> None:
        """Hide in the log what is only to be hidden while it is still known."""
        log = self._store.build_path(build) / "log"
        if log.exists():
            with files.disk_errors(), log.open("r+b") as file:
                Mask(logins.secrets(self._store.logins(build))).rewrite(file)

    def forget_logins(self) -> None:
        """Forget what builds ask hosts with that have ended, or that nobody waits for: they were ended half-way."""
        for build in self._store.builds_with_logins():
            with (
                suppress(files.CorruptState),
                self._store.environment_lock(self._store.build_record(build).environment),
            ):
                ended = self._state(build).state == "terminated"
                if ended or (build not in self._watched and build not in self._store.builds_in_use()):
                    self._store.forget_logins(build)

    def _cut_log(self, path: Path) -> None:
        """Keep no more of a log than it may have: a build prints on until it has been stopped."""
        end = (_number(path / "begun") or 0) + self._settings.build_log_limit
        if files.size(path / "log") > end:
            with files.disk_errors(), (path / "log").open("ab") as log:
                log.truncate(end)
                log.write(f"\nThe build printed more than {self._settings.build_log_limit} bytes.\n".encode())

    def _goes_on(self, record: BuildRecord, ended: BuildState) -> bool:
        """Whether inspections that allow more wait for a build that a limit has ended; for all others it is over."""
        waiting = [self._store.declared(one) for one in self._store.builds_in_use().get(record.id, ())]
        more = [
            one
            for one in waiting
            if Allowance.of(one.inspection.specification.build).exceeds(record.allowance, ended.reason)
        ]
        if more:
            for one in waiting:
                if one not in more:
                    self._store.leave_build(one, ended)
        return bool(more)

    def _put_back_for_more(self, build: str) -> None:
        """A limit has ended the build that others allow more: from the next attempt on it has the largest limits."""
        path = self._store.build_path(build)
        files.write(path / AGAIN, "")
        (path / "stop.json").unlink(missing_ok=True)
        self._put_back(build, 1, "The build came to a limit; it begins again with larger ones.")

    def _put_back(self, build: str, attempt: int, why: str) -> None:
        """The build waits for its turn again, which will be that attempt; its log says why."""
        path = self._store.build_path(build)
        with files.disk_errors(), (path / "log").open("a") as log:
            log.write(f"\n{why}\n\n")
        files.write(path / "attempt", str(attempt))
        (path / "started.json").unlink(missing_ok=True)
        logger.warning("build begins again", build=build, why=why)

    def _image(self, path: Path) -> str:
        """Reference by digest of the image that was built."""
        (path / "image").chmod(0o600)  # podman wrote it
        image = (path / "image").read_text().strip()
        digest = self._podman.call("image", "inspect", "--format", "{{.Digest}}", image).strip()
        return f"{IMAGE}@{digest}"


NO_ANSWER = ("signal: killed", "layer not known")
"""Ends of podman's errors that say nothing of the stack: its runtime was killed, and what becomes of the step then
nobody knows; or somebody removed an image, and with it the cached layer that the build was about to go on from."""


def _said_why(log: str) -> bool:
    """Whether podman lived to say why the build failed; a killed one says nothing, and may even exit with 0."""
    return any(line.startswith("Error:") and not line.endswith(NO_ANSWER) for line in log.splitlines()[-5:])


def _attempt(build: Path) -> int:
    """Which attempt the build in this directory is at, from 1 on."""
    return _number(build / "attempt") or 1


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _last_words(path: Path, start: int) -> str:
    """The last lines of a file from byte `start` on, each shortened in its middle; empty if there is none."""
    lines: deque[str] = deque(maxlen=LAST_LINES)
    try:
        with path.open("rb") as file:
            file.seek(start)
            while line := file.readline(HALF_LINE):
                piece, end = line, b""
                while not piece.endswith(b"\n") and (piece := file.readline(HALF_LINE)):
                    end = (end + piece)[-HALF_LINE:]
                lines.append((line + end).decode(errors="replace"))
    except FileNotFoundError:
        return ""
    return "".join(lines)
