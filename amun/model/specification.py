"""The question a caller asks: one JSON document, as values with every default filled in.

`openapi/openapi.yaml` (schema `InspectionSpecification`) describes the document; `validation.problems` says what is
wrong with one. Here it becomes a :class:`Specification`, and a document again. Everything below the API works with
the values, nothing with the document.

Clients generated from the original's description send ``null`` for an absent optional field, at every level, and
``batch_size`` as a numeric string; forms send an empty identifier or script. All of that is understood. The same
clients refuse to read a ``hardware`` or ``python`` that is not complete, so the former is left out where it says
nothing and the latter always has both its halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .file_path import absolute_path

__all__ = [
    "Build",
    "Defaults",
    "File",
    "Gpu",
    "Hardware",
    "Metric",
    "Python",
    "Requests",
    "Run",
    "Specification",
    "Variable",
]

EXTRAS = ("runtime_environment", "constraints", "send_messages", "force_sync")
"""Fields that callers of the original send; they have no effect here and are given back as they came."""


@dataclass(frozen=True)
class Defaults:
    """What a deployment may set: resources (Kubernetes quantities) and deadlines (seconds) of those who say nothing."""

    cpu: str = "500m"
    memory: str = "256Mi"
    build_timeout: int = 3600
    run_timeout: int = 3600


@dataclass(frozen=True)
class Gpu:
    """Devices: `vendor` is the extended resource that a node's device plugin offers, such as ``nvidia.com/gpu``."""

    vendor: str = "nvidia.com/gpu"
    count: int = 1
    product: str | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> Gpu | None:
        """Return None where nothing is given: an empty object asks for no device."""
        given = _given(document)
        return cls(**given) if given else None

    def to_document(self) -> dict[str, Any]:
        return _given({"vendor": self.vendor, "count": self.count, "product": self.product})


@dataclass(frozen=True)
class Hardware:
    """The kind of node that a build or run must be placed on; None is "any"."""

    cpu_family: int | None = None
    cpu_model: int | None = None
    physical_cpus: int | None = None
    processor: str | None = None
    architecture: str | None = None
    gpu: Gpu | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> Hardware | None:
        """Return None also where all that is given is null or empty: it asks for nothing."""
        given = _given(document)
        given["gpu"] = Gpu.from_document(given.get("gpu"))
        hardware = cls(**given)
        return None if hardware == cls() else hardware

    def to_document(self) -> dict[str, Any]:
        document = _given({**vars(self), "gpu": self.gpu and self.gpu.to_document()})
        if not self.node_selector:
            del document["node_selector"]
        return document


@dataclass(frozen=True)
class Requests:
    """CPU and memory (Kubernetes quantities) and the hardware that one of the two steps asks for."""

    cpu: str
    memory: str
    hardware: Hardware | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None, defaults: Defaults) -> Requests:
        given = _given(document)
        return cls(
            cpu=given.get("cpu", defaults.cpu),
            memory=given.get("memory", defaults.memory),
            hardware=Hardware.from_document(given.get("hardware")),
        )

    def to_document(self) -> dict[str, Any]:
        return _given(
            {"cpu": self.cpu, "memory": self.memory, "hardware": self.hardware and self.hardware.to_document()}
        )


@dataclass(frozen=True)
class Build:
    """How the environment is made; without `cache` it is built afresh. `timeout` is in seconds."""

    requests: Requests
    cache: bool = True
    timeout: int = 3600

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None, defaults: Defaults) -> Build:
        given = _given(document)
        return cls(
            requests=Requests.from_document(given.get("requests"), defaults),
            cache=given.get("cache", True),
            timeout=given.get("timeout", defaults.build_timeout),
        )

    def to_document(self) -> dict[str, Any]:
        return {"requests": self.requests.to_document(), "cache": self.cache, "timeout": self.timeout}


@dataclass(frozen=True)
class Run:
    """How each item runs; `timeout` is in seconds, waiting for a place not counted."""

    requests: Requests
    timeout: int = 3600

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None, defaults: Defaults) -> Run:
        given = _given(document)
        return cls(
            requests=Requests.from_document(given.get("requests"), defaults),
            timeout=given.get("timeout", defaults.run_timeout),
        )

    def to_document(self) -> dict[str, Any]:
        return {"requests": self.requests.to_document(), "timeout": self.timeout}


@dataclass(frozen=True)
class File:
    """A text file of the environment: absolute, normal POSIX path and its exact content."""

    path: str
    content: str


@dataclass(frozen=True)
class Variable:
    """An environment variable of the image, its value verbatim."""

    name: str
    value: str


@dataclass(frozen=True)
class Metric:
    """A number in the reports of the items, by its path: what it is measured in, and which way is better, if told."""

    path: str
    unit: str | None = None
    better: Literal["lower", "higher"] | None = None

    def to_document(self) -> dict[str, Any]:
        return _given(vars(self))


@dataclass(frozen=True)
class Python:
    """A Pipfile and its Pipfile.lock as JSON; both empty is "no locked stack"."""

    requirements: Mapping[str, Any] = field(default_factory=dict)
    requirements_locked: Mapping[str, Any] = field(default_factory=dict)

    @property
    def locked(self) -> bool:
        return bool(self.requirements_locked)

    @classmethod
    def from_document(cls, document: Mapping[str, Any] | None) -> Python:
        return cls(**_without_nulls(document or {}))

    def to_document(self) -> dict[str, Any]:
        return {"requirements": self.requirements, "requirements_locked": self.requirements_locked}


@dataclass(frozen=True)
class Specification:
    """One question, complete. `script` is as posted: the text itself, or the URL it is at; None is "only build"."""

    base: str
    build: Build
    run: Run
    identifier: str | None = None
    update: bool = False
    packages: tuple[str, ...] = ()
    python_packages: tuple[str, ...] = ()
    python: Python = field(default_factory=Python)
    package_manager: str = "micropipenv"
    upgrade_pip: bool = False
    files: tuple[File, ...] = ()
    environment: tuple[Variable, ...] = ()
    script: str | None = None
    batch_size: int = 1
    warmup: int = 0
    metrics: tuple[Metric, ...] = ()
    parallelism: int = 1
    allowed_failures: int = 0
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def items(self) -> int:
        """How many items a job of it has; the first `warmup` of them are not counted."""
        return self.warmup + self.batch_size

    @classmethod
    def from_document(cls, document: Mapping[str, Any], defaults: Defaults | None = None) -> Specification:
        """Read a document that was found valid (`amun.validation.problems`), and fill in every default."""
        defaults = defaults or Defaults()
        given = {name: value for name, value in _given(document).items() if name != "@created"}
        extras = {name: given.pop(name) for name in EXTRAS if name in given}
        return cls(
            **given
            | {
                "build": Build.from_document(given.get("build"), defaults),
                "run": Run.from_document(given.get("run"), defaults),
                "packages": tuple(given.get("packages", ())),
                "python_packages": tuple(given.get("python_packages", ())),
                "python": Python.from_document(given.get("python")),
                "files": tuple(File(absolute_path(file["path"]), file["content"]) for file in given.get("files", ())),
                "environment": tuple(Variable(item["name"], item["value"]) for item in given.get("environment", ())),
                "identifier": given.get("identifier") or None,
                "script": given.get("script") or None,
                "batch_size": int(given.get("batch_size", 1)),
                "warmup": int(given.get("warmup", 0)),
                "metrics": tuple(Metric(**_given(metric)) for metric in given.get("metrics", ())),
                "extras": extras,
            }
        )

    def to_document(self) -> dict[str, Any]:
        """Return what was posted plus all defaults; `from_document` makes the same specification of it.

        `warmup` and `metrics` are left out where they say nothing: parts of an earlier version, which there are while a
        deployment is being upgraded, know neither.
        """
        plain = {name: value for name, value in vars(self).items() if name != "extras"}
        return _given(
            plain
            | {
                "build": self.build.to_document(),
                "run": self.run.to_document(),
                "packages": list(self.packages),
                "python_packages": list(self.python_packages),
                "python": self.python.to_document(),
                "files": [dict(vars(file)) for file in self.files],
                "environment": [dict(vars(variable)) for variable in self.environment],
                "warmup": self.warmup or None,
                "metrics": [metric.to_document() for metric in self.metrics] or None,
            }
            | dict(self.extras)
        )


def _given(document: Mapping[str, Any] | None) -> dict[str, Any]:
    """Drop what is null: generated clients write that for "not given"."""
    return {name: value for name, value in (document or {}).items() if value is not None}


def _without_nulls(value: Any) -> Any:
    """Drop what is null at every level of a Pipfile or its lock."""
    if isinstance(value, Mapping):
        return {name: _without_nulls(item) for name, item in _given(value).items()}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
