"""``amun show``, ``amun compare``, ``amun open``: what happened, what was measured, and whether it really differs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text
from typer import Exit as Leave

from amun.client import Client, ClientError, Document

from . import exit_codes
from .console import errors_reported, exit_of, report, say, show_error, show_json
from .console import show as print_
from .options import InspectionId, Json, Token, Url, connect
from .sanitize import plain
from .views import headline

UNLIKE = 422
NAMED = 6  # Packages that are named where it is said what was asked.
Clean = Annotated[bool, typer.Option("--clean", help="Leave out items that the machine disturbed.")]
Confidence = Annotated[
    float | None, typer.Option("--confidence", min=0.5, max=0.999, help="Of the intervals; 0.95 unless given.")
]


def show(
    context: typer.Context,
    inspection_id: InspectionId,
    clean: Clean = False,
    confidence: Confidence = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show where the time of an inspection went, and every metric of its items."""
    with errors_reported(as_json):
        client = connect(context, url, token)
        detail = client.detail(inspection_id)
        summary = _summary(client, inspection_id, clean, confidence)
    phase = str(detail["status"]["phase"])
    if as_json:
        show_json({"inspection_id": inspection_id, "phase": phase, "timeline": detail["timeline"], "summary": summary})
    else:
        print_(_view(detail, summary))
    raise Leave(exit_codes.of_phase(phase))


def compare(
    context: typer.Context,
    inspections: Annotated[list[str], typer.Argument(metavar="A B…", help="Ids of 2 to 10 inspections.")],
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", metavar="PATH", help="Only this metric; may be repeated.")
    ] = None,
    confidence: Confidence = None,
    allow_unlike: Annotated[bool, typer.Option("--allow-unlike", help="Compare what ran on unlike hardware.")] = False,
    clean: Clean = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Say whether inspections differ, by how much, and how sure that is. Exit code 0 if they could be compared."""
    if len(inspections) < 2:
        raise typer.BadParameter("There is nothing to compare: name two inspections at least.")
    with errors_reported(as_json), _unlike_explained(as_json):
        client = connect(context, url, token)
        document = client.compare(inspections, metrics or [], confidence, allow_unlike, clean)
    if as_json:
        show_json(document)
        return
    from .comparison_view import comparison_view

    print_(comparison_view(document))


def open_(
    context: typer.Context,
    inspection_id: InspectionId,
    browser: Annotated[bool, typer.Option("--browser", help="Open it in a browser, too.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Print the address of an inspection's page."""
    page = connect(context, url, token).page(inspection_id)
    sys.stdout.write(page + "\n")
    if browser:
        import webbrowser

        if not webbrowser.open(page):
            say("There is no browser here that could be opened.", "red")
            raise Leave(exit_codes.Exit.FAILED)


def _summary(client: Client, inspection_id: str, clean: bool, confidence: float | None) -> Document | None:
    """None where there can be none: without a script nothing is measured."""
    try:
        return client.summary(inspection_id, clean, confidence)
    except ClientError as error:
        if error.status == 404:
            return None
        raise


def _view(detail: Document, summary: Document | None) -> RenderableType:
    from .summary_view import summary_view
    from .timeline_view import timeline_view

    parts: list[RenderableType] = [headline(detail["status"]), _asked(detail["specification"]), timeline_view(detail)]
    if summary is not None and (summary.get("runs") or summary.get("metrics")):
        parts += [Text(""), summary_view(summary)]
    return Group(*parts)


def _asked(specification: Document) -> Text:
    """The base, and what is installed on it, in a line."""
    packages = [*(specification.get("python_packages") or []), *(specification.get("packages") or [])]
    locked = ((specification.get("python") or {}).get("requirements_locked") or {}).get("default") or {}
    packages += [f"{name}{package.get('version', '')}" for name, package in locked.items()]
    words = plain(specification.get("base")) + (" with " if packages else "")
    named = ", ".join(map(plain, packages[:NAMED])) + (f" and {len(packages) - NAMED} more" if packages[NAMED:] else "")
    return Text(words + named, "dim")


@contextmanager
def _unlike_explained(as_json: bool) -> Iterator[None]:
    """A refusal of unlike hardware as a table of what differs, and how to compare all the same."""
    try:
        yield
    except ClientError as error:
        if error.status != UNLIKE or as_json:
            raise
        from .comparison_view import unlike_view

        report(ClientError(error.status, error.error))
        show_error(unlike_view([(problem.path, problem.message) for problem in error.details]))
        say("With --allow-unlike they are compared all the same.")
        raise Leave(exit_of(error)) from None
