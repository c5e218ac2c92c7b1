"""The directive ``settings``: the variables that are named in its content, each with its default, from the code."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.rst import escape

from amun.auth.configuration import USUAL
from amun.settings import Settings

COMPUTED = {
    "max_runs": "the number of processors",
    "request_rate": f"{USUAL.requests}; no limit on loopback without authentication",
    "submission_rate": f"{USUAL.submissions}; no limit on loopback without authentication",
    "open_limit": f"{USUAL.open}; no limit on loopback without authentication",
}
"""Defaults that depend on the machine or on other settings, in words."""


def as_markup(text: str) -> str:
    """A description as reStructuredText: what stands in single backticks is code."""
    parts = re.split(r"`([^`]+)`", text)
    return "".join(f"``{part}``" if index % 2 else escape(part) for index, part in enumerate(parts))


def default(name: str, field: FieldInfo) -> str:
    """A setting's default, as one writes it in the environment."""
    if name in COMPUTED:
        return COMPUTED[name]
    if field.default in (None, ""):
        return "not set"
    value = str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
    return f"``{value}``"


def entry(name: str) -> str:
    """One setting as reStructuredText."""
    field = Settings.model_fields[name]
    meaning = as_markup(field.description or "")
    return f".. envvar:: AMUN_{name.upper()}\n\n   {meaning}\n\n   Default: {default(name, field)}.\n\n"


class SettingsDirective(SphinxDirective):
    """``.. settings::`` with a variable in each line of its content."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(Path(sys.modules[Settings.__module__].__file__ or "")))
        names = [line.strip().removeprefix("AMUN_").lower() for line in self.content if line.strip()]
        unknown = [name for name in names if name not in Settings.model_fields]
        if unknown:
            raise self.error(f"no such setting: {', '.join(unknown)}")
        return self.parse_text_to_nodes("".join(map(entry, names)))


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("settings", SettingsDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
