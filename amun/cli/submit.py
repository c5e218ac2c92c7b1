"""``amun submit``: post a specification, and follow what becomes of it."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.text import Text

from amun.client import Document

from .console import errors_reported, say, show, show_json
from .exit_codes import Exit
from .options import Json, Token, Url, connect
from .outcome import see, show_accepted
from .sanitize import plain


def submit(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The specification, a JSON document; - reads stdin.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show phases and logs until it is over.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="The same as a live view, on a terminal.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and say what would happen.")] = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Submit a specification. Prints the id; with --follow or --watch the logs and the result too."""
    if (follow or watch) and dry_run:
        raise typer.BadParameter("There is nothing to follow in a dry run.")
    document = _read(file)
    with errors_reported(as_json):
        client = connect(context, url, token)
        answer = client.submit(document, dry_run)
        if dry_run:
            raise typer.Exit(_show_dry_run(answer, as_json))
        if follow or watch:
            raise typer.Exit(see(client, answer, as_json, watch))
    show_accepted(answer, as_json)


def _read(file: str) -> Any:
    """The JSON in a file; raises `BadParameter` (exit code 2) where there is none."""
    try:
        if file == "-":
            return json.loads(sys.stdin.buffer.read())
        with open(file, "rb") as opened:
            return json.loads(opened.read())
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{file} is not UTF-8 text.") from None
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{file} is not JSON: {error}.") from None


def _show_dry_run(answer: Document, as_json: bool) -> Exit:
    feasible = answer.get("feasible", True)
    if as_json:
        show_json(answer)
    else:
        built = "is already built" if answer.get("cached") else "would be built"
        show(Text(f"Valid. Environment {plain(answer.get('environment'))} {built}. Nothing was created."))
    if not feasible:
        say(answer.get("message") or "No hardware here can ever serve it.", "red")
    return Exit.SUCCEEDED if feasible else Exit.REFUSED
