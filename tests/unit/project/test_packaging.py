"""What the wheel asks for is what Pipfile pins for deployments."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pinned(name: str, value: Any) -> Requirement:
    """A line of Pipfile as a requirement."""
    extras, version = (value.get("extras", []), value["version"]) if isinstance(value, dict) else ([], value)
    extra = f"[{','.join(extras)}]" if extras else ""
    return Requirement(f"{name}{extra}{version if version != '*' else ''}")


def test_pipfile_and_wheel_ask_for_the_same() -> None:
    listed = itertools.chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    asked = {str(Requirement(line)) for line in listed if not line.startswith("amun-service[")}
    pipfile = tomllib.loads((ROOT / "Pipfile").read_text())
    assert asked == {str(pinned(name, value)) for name, value in pipfile["packages"].items()}
