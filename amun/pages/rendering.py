"""HTML from templates: a caller's text is always text, and nothing in it is invisible.

Jinja escapes what is put into a template. Before that, every character that would change how its neighbours are shown
(controls, and those that turn the direction of writing) is replaced by its name: `visible`.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from . import static_files, words

TEMPLATES = Path(__file__).parent / "templates"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""What every answer of these pages carries."""

_DIRECTION = "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
_HIDDEN = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_DIRECTION}]")
_UNSEEN = re.compile(f"[\x7f-\x9f\ud800-\udfff{_DIRECTION}]")


def visible(text: str) -> str:
    """`text` with every control character and every mark of direction written out: ``[U+202E]``."""
    return _HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)


def reference(image: str | None) -> Markup:
    """The name of an image, where it is known; lines end between its parts rather than within one."""
    return Markup("<wbr>").join(re.split(r"(?<=/)|(?<!@sha256)(?=[:@])", visible(image or words.NOTHING)))


def _finalize(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def compact(value: object) -> str:
    """JSON for an attribute or a text field; lone surrogates and all else stay as they were sent."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def indented(value: object) -> str:
    """JSON for a person to read and change: what would not be seen is escaped as JSON does."""
    return _UNSEEN.sub(_escaped, json.dumps(value, ensure_ascii=False, indent=2))


def brief(value: object) -> str:
    """The same in one line."""
    return _UNSEEN.sub(_escaped, json.dumps(value, ensure_ascii=False))


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


@lru_cache(maxsize=1)
def environment() -> jinja2.Environment:
    """The templates, with the words of `amun.pages.words` as filters."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_finalize,
        undefined=jinja2.ChainableUndefined,  # what an engine or an old archive does not tell is left out
        trim_blocks=True,
        lstrip_blocks=True,
    )
    named = (
        words.state,
        words.when,
        words.duration,
        words.size,
        words.number,
        words.percent,
        words.hardware,
        words.system,
        words.weak_limits,
    )
    own = (reference, compact, indented, brief)
    made.filters.update({function.__name__: function for function in (*named, words.plain_list, *own)})
    made.globals.update(static=static_files.url, PHASES=words.PHASES, OVER=words.OVER, between=words.between)
    return made


def page(request: Request, template: str, code: int = 200, /, **context: Any) -> Response:
    """One page; a browser that has it as it is gets told so."""
    text = environment().get_template(template).render(request=request, path=request.url.path, **context)
    content = text.encode("utf-8", "replace")
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:20]}"'
    headers = {"Cache-Control": "private, no-cache", "Vary": "Cookie, Authorization", "ETag": tag}
    if code == 200 and request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return HTMLResponse(content, code, headers)
