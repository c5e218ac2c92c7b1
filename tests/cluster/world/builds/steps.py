"""The steps of a Dockerfile, done as far as tests can see it: files copied, variables set, programs run."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tests.cluster.objects.logs import Log
from tests.cluster.world.nodes.processes import Process
from tests.cluster.world.nodes.volumes import HOME
from tests.support import standin_base

from .dockerfile import Instruction, parse, unquote, variables
from .images import PATH

Document = dict[str, Any]
Line = str

HELPERS = "/opt/amun/build"
NETRC = "/run/amun-logins/netrc"
CONTEXT = "/tmp/build/inputs"  # where the builder has it
RAN = {
    "venv.sh": "Making a virtual environment of Python 3.11.2",
    "locked.sh": "Installing the locked Python packages with {0}",
    "loose.sh": "Installing Python packages with pip",
}
_BELOW = re.compile(r"(?<![\w./-])/(?=(?:opt|home)/)")


class StepFailed(Exception):
    """A step has failed; in the words of the builder."""


class Killed(Exception):
    """What ran was killed."""


class Steps:
    """One build, from FROM to LABEL."""

    def __init__(
        self,
        place: Path,
        log: Log,
        context: Mapping[str, bytes],
        mounted: Mapping[str, bytes],
        spec: Document,
        information: list[Line],
    ) -> None:
        self._place, self._log, self._context, self._mounted = place, log, context, mounted
        own = context.get("Dockerfile")  # a source that has one is copied over what was written for the pod
        written = "\n".join([spec["source"].get("dockerfile") or "", *information])
        self._instructions = list(parse(own.decode() if own is not None else written))
        given = (spec["strategy"].get("dockerStrategy") or {}).get("buildArgs") or ()
        self._given = {argument["name"]: argument.get("value", "") for argument in given}
        self._from = ((spec["strategy"].get("dockerStrategy") or {}).get("from") or {}).get("name")
        self._arguments: dict[str, str] = {}
        self.environment = dict([PATH.split("=", 1)])
        self._files: dict[str, bytes] = {}
        self._user, self._directory = "", "/"
        self._labels: dict[str, str] = {}
        self._process: Process | None = None
        self._killed = False

    def bases(self) -> Iterator[str]:
        """The images that have to be pulled: `from` stands in for the last that the Dockerfile names."""
        *others, last = (one.rest.split()[0] for one in self._instructions if one.name == "FROM")
        return iter((*others, self._from or last))

    def run(self, check: Callable[[], None]) -> None:
        """Do all steps; `check` is called between them. Raises `StepFailed`, `Killed`."""
        total, layer = len(self._instructions), ""
        for number, instruction in enumerate(self._instructions, 1):
            check()
            self._log.write(f"STEP {number}/{total}: {instruction.text}\n")
            try:
                getattr(self, f"_do_{instruction.name.lower()}")(instruction)
            except StepFailed as failed:
                raise StepFailed(f'building at STEP "{instruction.message}": {failed}') from failed
            layer = hashlib.sha256(f"{layer} {instruction.text}".encode()).hexdigest()
            if 1 < number < total:
                self._log.write(f"--> {layer[:12]}\n")

    def kill(self) -> None:
        """End what runs, or is about to."""
        self._killed = True
        if self._process is not None:
            self._process.kill()

    # -- what comes of it ---------------------------------------------------------------------------------------

    def home(self) -> dict[str, bytes]:
        """The files that runs find at home."""
        return {path: content for path, content in self._files.items() if path.startswith(f"{HOME}/")}

    def image(self, identity: str, created: str, name: str, namespace: str) -> Document:
        """What a registry says of the image."""
        config = {
            "Hostname": secrets.token_hex(6),
            "User": self._user,
            "Env": [f"{key}={value}" for key, value in self.environment.items()],
            "Cmd": ["bash"],
            "WorkingDir": self._directory,
            "Labels": {"io.buildah.version": "1.37.6", **self._labels},
        }
        both = {"ContainerConfig": config, "Config": config}
        return {
            "Id": identity,
            "Created": created,
            "Container": secrets.token_hex(32),
            **both,
            "Architecture": "amd64",
            "Size": 93646950,
        }

    # -- instructions -------------------------------------------------------------------------------------------

    def _do_from(self, _: Instruction) -> None:
        """Its image is pulled already."""

    def _do_user(self, instruction: Instruction) -> None:
        self._user = instruction.rest

    def _do_workdir(self, instruction: Instruction) -> None:
        self._directory = unquote(instruction.rest, self._known())

    def _do_arg(self, instruction: Instruction) -> None:
        name, _, default = instruction.rest.partition("=")
        self._arguments[name] = self._given.get(name, unquote(default, self._known()))

    def _do_env(self, instruction: Instruction) -> None:
        try:
            self.environment |= variables(instruction.rest, self._known())
        except ValueError as error:
            raise StepFailed(str(error)) from error

    def _do_label(self, instruction: Instruction) -> None:
        self._labels |= variables(instruction.rest, self._known())

    def _do_copy(self, instruction: Instruction) -> None:
        *sources, target = instruction.words or instruction.rest.split()
        for source in sources:
            if source not in self._context:
                cause = f'copier: stat: "/{source}": no such file or directory'
                raise StepFailed(f'checking on sources under "{CONTEXT}": {cause}')
            path = f"{target}{PurePosixPath(source).name}" if target.endswith("/") else target
            self._files[path] = self._context[source]

    def _do_run(self, instruction: Instruction) -> None:
        words = instruction.words
        if words is None:
            self._here(["/bin/sh", "-c", self._below(instruction.rest)], {})
        elif len(words) > 1 and words[1].startswith(f"{HELPERS}/"):
            self._helper(PurePosixPath(words[1]).name, words[2:])
        else:
            raise StepFailed(f"nobody here knows how to run {words}")

    # -- programs -----------------------------------------------------------------------------------------------

    def _helper(self, name: str, arguments: list[str]) -> None:
        if f"{HELPERS}/{name}" not in self._files:
            self._log.write(f"/bin/sh: 0: cannot open {HELPERS}/{name}: No such file\n")
            raise StepFailed("while running runtime: exit status 2")
        if name == "native.sh":
            self._native(arguments)
        elif name == "finish.sh":
            for number, path in enumerate(arguments):
                self._files[path] = self._files[f"{HELPERS}/file-{number}"]
        else:
            self._install(name, arguments)

    def _install(self, name: str, arguments: list[str]) -> None:
        """Say that Python packages were installed, and print the netrc file as hostile packages would.

        Those that are called ``missing`` are not to be had.
        """
        asked = ""
        if arguments[0] == "--private":
            netrc, arguments = self._mounted.get(NETRC), arguments[2:]
            if netrc is None:
                self._log.write("ERROR: 401 Error, Credentials not correct\n")
                raise StepFailed("while running runtime: exit status 1")
            asked = netrc.decode().replace("\n", ";")
            self._log.write(f"what asks: {asked}\n")
        self._log.write(RAN[name].format(*arguments) + "\n")
        if any(argument.startswith("missing") for argument in arguments):
            self._log.write(f"ERROR: No matching distribution found for missing, asked with {asked}\n")
            raise StepFailed("while running runtime: exit status 1")

    def _native(self, arguments: list[str]) -> None:
        """Run the program of the context, with a package manager that does as it is told."""
        programs = self._place / "bin"
        programs.mkdir(exist_ok=True)
        for name, program in {"dnf": standin_base.PROGRAM, "rpm": standin_base.DATABASE}.items():
            (programs / name).write_text(program)
            (programs / name).chmod(0o755)
        script = self._files[f"{HELPERS}/native.sh"].replace(f"helpers={HELPERS}\n".encode(), b"helpers=${0%/*}\n")
        (self._place / "native.sh").write_bytes(script)
        path = {"PATH": f"{programs}:/usr/bin:/bin"}
        self._here(["/bin/sh", str(self._place / "native.sh"), *arguments], path)

    def _below(self, command: str) -> str:
        """A command of the shell, and the files it may name, in a directory of this machine."""
        root = self._place / "root"
        for path, content in self._files.items():
            file = root / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return _BELOW.sub(f"{root}/", command)

    def _here(self, command: list[str], environment: Mapping[str, str]) -> None:
        (self._place / "root").mkdir(exist_ok=True)
        done = threading.Event()
        self._process = Process(
            command,
            directory=self._place / "root",
            environment={**self.environment, **environment},
            log=_Kept(self._log),
            ended=done.set,
        )
        if self._killed:
            self._process.kill()
        done.wait()
        code = self._process.exit_code
        if self._killed:
            raise Killed
        if code:
            raise StepFailed(f"while running runtime: exit status {code}")

    def _known(self) -> dict[str, str]:
        return {**self._arguments, **self.environment}


class _Kept(Log):
    """The log of the build, which goes on when a program in it ends."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log, self._unfinished = log, False

    def write(self, data: bytes | str) -> None:
        self._log.write(data)
        self._unfinished = bool(data) and not (data.endswith("\n") if isinstance(data, str) else data.endswith(b"\n"))

    def close(self) -> None:
        if self._unfinished:
            self._log.write("\n")
