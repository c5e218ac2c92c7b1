"""What every measurement is given."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from amun.client import Document
from amun.engines.podman.host import base_image

from .service import Service

BASE = base_image.BASE.name


@dataclass(frozen=True)
class Plan:
    """The service to measure, where files may be put, and how much is to be done.

    Attributes:
        rounds: how often what is compared is repeated; None leaves it to the measurement.
        inspections: how many are queued at once.
    """

    service: Service
    directory: Path
    rounds: int | None = None
    inspections: int = 200
    salt: str = field(default_factory=lambda: secrets.token_hex(4))

    def specification(self, script: str | None, **more: object) -> Document:
        """A specification whose environment is this run's own, so that an earlier run's layers are of no help."""
        document = {"base": BASE, "environment": [{"name": "BENCH", "value": self.salt}], **more}
        return document if script is None else {**document, "script": script}
