"""The build context of an environment: a Dockerfile and the files it copies, as a pure function of the specification.

The same specification gives the same bytes, from which the environment's digest is computed. Steps are ordered so that
what changes often (files, variables) comes after what takes long (packages), for the builder's layer cache.

How values of the specification get past each of the languages here:

* ``RUN`` and ``COPY`` are in exec form, JSON lists: no shell reads them, and the helper programs of `amun/build` take
  what they are given as arguments, in quotes.
* ``ENV`` values are in double quotes, in which ``\\``, ``"`` and ``$`` are escaped. A Dockerfile has no way to write a
  line end into a value: it comes as the build argument `AMUN_NEWLINE`, see `build_arguments`.
* Contents of files are files of the context, and no language at all.

All names in the context are flat and made of ``[A-Za-z0-9._-]``, so that they can be keys of a ConfigMap. Neither
heredocs nor ``RUN --mount`` nor ``COPY --chmod`` are used: builders that are still about do not know them.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path, PurePosixPath

from amun.errors import Problem
from amun.model import image_names
from amun.model.file_path import HOME
from amun.model.specification import Specification, Variable
from amun.runs import programs as runner

from . import pipfile_lock as lock

VENV = "/opt/amun/venv"
HELPERS = "/opt/amun/build"
USER = "10001:0"

NEWLINE = "AMUN_NEWLINE"
"""Name of the build argument that must be a line end, in Dockerfiles that name it."""

PURPOSES = {
    "native.sh": "Installing native packages",
    "venv.sh": "Making the Python virtual environment",
    "locked.sh": "Installing the locked Python packages",
    "loose.sh": "Installing Python packages",
    "finish.sh": "Making the home and placing files",
}
"""What each helper program that a step runs is there for."""

_OF_PYTHON = ("get_pip.py", "settings.py", "installed.py")

_PYTHON = {"python.sh": runner.programs()["python.sh"]}
"""What finds a python3 that works, in a build as in a run."""

_LINE_MAX = 8000
# Builders read a Dockerfile by lines of at most 64 KiB, and buildah 1.28 takes a longer one for the end of the file.

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Step:
    """Some lines of a Dockerfile, what they are for, and the files of the context that they copy first."""

    comment: str
    instructions: tuple[str, ...]
    files: Mapping[str, bytes] = field(default_factory=dict)

    def __str__(self) -> str:
        copy = (_exec("COPY", *self.files, f"{HELPERS}/"),) if self.files else ()
        return "\n".join((f"# {self.comment}", *copy, *self.instructions, ""))


def context(specification: Specification, base: str | None = None, private: str | None = None) -> dict[str, bytes]:
    """Return the files of the build context by their names, ``Dockerfile`` first.

    `base` is the complete reference of the specification's base image, as the engine has it. `private` says whose the
    environment is where indexes are asked with a password (`amun.environments.logins.owner_digest`): no layer of it is
    another's.
    """
    steps = [
        Step(
            "The base image, whoever its user is",
            (f"FROM {base or image_names.complete(specification.base, {})}", "USER 0"),
        ),
        *_native(specification),
        *_venv(specification),
        *_locked(specification, private),
        *_loose(specification, private),
        _files(specification),
        *_variables(specification.environment),
        Step("Whatever user a cluster gives a run, its group is 0", (f"USER {USER}",)),
    ]
    files = {name: content for step in steps for name, content in step.files.items()}
    return {"Dockerfile": "\n".join(map(str, steps)).encode(), **files}


def base(recipe: bytes) -> str:
    """Return the base image of a Dockerfile that `context` has made."""
    return next(line[5:].decode() for line in recipe.splitlines() if line.startswith(b"FROM "))


def rebased(recipe: bytes, other: str) -> bytes:
    """Return a Dockerfile that `context` has made with another base image."""
    return recipe.replace(f"FROM {base(recipe)}\n".encode(), f"FROM {other}\n".encode(), 1)


def lost(specification: Specification, volumes: Sequence[str]) -> Iterator[Problem]:
    """What a build would put into volumes of the base image, in which builders keep nothing; one problem a field."""
    for place in (HOME, "/opt/amun"):
        if volume := _volume_of(place, volumes):
            yield Problem("base", f"must not have {volume} as a volume: nothing is kept there, and {place} has to be")
    for index, file in enumerate(specification.files):
        if volume := _volume_of(file.path, volumes):
            message = f"must not be in {volume}, a volume of the base image: nothing that a build puts there is kept"
            yield Problem(f"files[{index}].path", message)


def _volume_of(path: str, volumes: Sequence[str]) -> str | None:
    return next((volume for volume in volumes if PurePosixPath(path).is_relative_to(volume)), None)


def build_arguments(context: Mapping[str, bytes]) -> dict[str, str]:
    """Return the build arguments (``--build-arg``) that this context must be built with; most need none."""
    return {NEWLINE: "\n"} if f"ARG {NEWLINE}\n".encode() in context["Dockerfile"] else {}


def _native(specification: Specification) -> Iterator[Step]:
    if specification.update or specification.packages:
        arguments = ("--update",) * specification.update + specification.packages
        yield _helper("native.sh", *arguments)


def _venv(specification: Specification) -> Iterator[Step]:
    """One environment for all: of a locked stack it holds nothing else, of loose packages what the base has besides."""
    if not (specification.python.locked or specification.python_packages or specification.upgrade_pip):
        return
    arguments = [] if specification.python.locked else ["--join"]
    if specification.upgrade_pip:
        arguments.append("--upgrade-pip")
    if version := lock.python_version(specification.python.requirements_locked):
        arguments += ["--python", version]
    step = _helper("venv.sh", *arguments, files={name: _program(name) for name in _OF_PYTHON} | _PYTHON)
    path = f'ENV PATH="{VENV}/bin:${{PATH:-{_DEFAULT_PATH}}}"'
    yield Step(step.comment, (*step.instructions, path), step.files)


def _private(private: str | None) -> tuple[str, ...]:
    return () if private is None else ("--private", private)


def _private_files(private: str | None) -> dict[str, bytes]:
    return {} if private is None else {name: _program(name) for name in ("private.sh", "git-credential.sh")}


def _locked(specification: Specification, private: str | None) -> Iterator[Step]:
    if specification.python.locked:
        manager = specification.package_manager
        locked = specification.python.requirements_locked
        hosts = lock.unverified_hosts(locked) if manager == "uv" else []
        files = {"requested.txt": lock.requested(locked).encode()}
        if repositories := lock.repositories(locked):
            files["repositories.txt"] = repositories.encode()
        files = _stack(manager, locked) | files | _private_files(private)
        yield _helper("locked.sh", *_private(private), manager, *hosts, files=files)


def _stack(manager: str, locked: lock.Lock) -> dict[str, bytes]:
    """Return what a package manager needs beside it to install the stack, itself included where it is small."""
    if manager == "uv":
        files = {f"requirements-{index}.txt": text for index, text in enumerate(lock.requirements(locked))}
        return {"uv.txt": _program("uv.txt")} | {name: text.encode() for name, text in files.items()}
    pipfile_lock = {"Pipfile.lock": lock.pipfile_lock(locked)}
    if manager == "pipenv":
        return {name: _program(name) for name in ("pipenv.txt", "Pipfile")} | pipfile_lock
    return {"micropipenv.py": _micropipenv()} | pipfile_lock


def _loose(specification: Specification, private: str | None) -> Iterator[Step]:
    if specification.python_packages:
        arguments = (*_private(private), *specification.python_packages)
        yield _helper("loose.sh", *arguments, files=_private_files(private))


def _files(specification: Specification) -> Step:
    contents = {f"file-{index}": file.content.encode() for index, file in enumerate(specification.files)}
    programs = {"packages.sh": _program("packages.sh"), **_PYTHON}
    step = _helper("finish.sh", *(file.path for file in specification.files), files=programs | contents)
    return Step(step.comment, (*step.instructions, f"ENV HOME={HOME}", f"WORKDIR {HOME}"), step.files)


def _variables(variables: tuple[Variable, ...]) -> Iterator[Step]:
    if any("\n" in variable.value for variable in variables):
        yield Step(f"A line end, for the values below: --build-arg {NEWLINE}=$'\\n'", (f"ARG {NEWLINE}",))
    if variables:
        # All in one instruction: each costs a builder half a second.
        yield Step("Variables, verbatim", ("ENV " + " \\\n    ".join(map(_env, variables)),))


def _env(variable: Variable) -> str:
    """Write one variable. Adjacent quoted pieces are one value, so a long one can go over several lines."""
    value = variable.value
    pieces = [value[start : start + _LINE_MAX] for start in range(0, len(value), _LINE_MAX)] or [""]
    return f"{variable.name}=" + "\\\n".join(f'"{_escape(piece)}"' for piece in pieces)


def _escape(value: str) -> str:
    for special in ("\\", '"', "$"):
        value = value.replace(special, f"\\{special}")
    return value.replace("\n", f"${{{NEWLINE}}}")


def _helper(name: str, *arguments: str, files: Mapping[str, bytes] | None = None) -> Step:
    """Return the step that copies one of the helper programs, and what it needs, and runs it."""
    run = _exec("RUN", "/bin/sh", f"{HELPERS}/{name}", *arguments)
    return Step(PURPOSES[name], (run,), {name: _program(name), **(files or {})})


def _exec(instruction: str, *words: str) -> str:
    """Write an instruction in exec form, over several lines where one would be long."""
    quoted = [json.dumps(word, ensure_ascii=False) for word in words]
    line = f"{instruction} [{', '.join(quoted)}]"
    return line if len(line) <= 120 else f"{instruction} [" + ", \\\n    ".join(quoted) + "]"


@functools.cache
def _program(name: str) -> bytes:
    return resources.files(__package__).joinpath("programs", name).read_bytes()


@functools.cache
def _micropipenv() -> bytes:
    """Return micropipenv as it is installed here: one file, which also runs where nothing can be installed."""
    return Path(str(importlib.metadata.distribution("micropipenv").locate_file("micropipenv.py"))).read_bytes()
