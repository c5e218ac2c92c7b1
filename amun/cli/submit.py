"""``amun submit``: post a specification, and follow what becomes of it."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.text import Text

from ..client import Client, Document
from . import exits
from .console import errors_reported, say, show, show_json
from .exits import Exit
from .follow import Follower
from .options import Json, Token, Url, connect
from .results import gather
from .tables import result_view
from .terminal import plain


def submit(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The specification, a JSON document; - reads stdin.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show phases and logs until it is over.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check it and say what would happen.")] = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Submit a specification. Prints the id; with --follow the logs and the result too."""
    if follow and dry_run:
        raise typer.BadParameter("There is nothing to follow in a dry run.")
    document = _read(file)
    with errors_reported(as_json):
        client = connect(context, url, token)
        answer = client.submit(document, dry_run)
        if dry_run:
            raise typer.Exit(_show_dry_run(answer, as_json))
        if follow:
            raise typer.Exit(_follow(client, answer, as_json))
    _show_accepted(answer, as_json)


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


def _show_accepted(answer: Document, as_json: bool) -> None:
    if as_json:
        show_json(answer)
        return
    inspection_id = plain(answer["inspection_id"])
    sys.stdout.write(inspection_id + "\n")
    if sys.stderr.isatty():
        say(f"Follow it with: amun logs -f {inspection_id}; see how it stands with: amun status {inspection_id}", "dim")


def _follow(client: Client, answer: Document, as_json: bool) -> Exit:
    """Follow to the end and show the result; with `as_json` all but that goes to stderr."""
    inspection_id = str(answer["inspection_id"])
    follower = Follower(client, inspection_id, logs=sys.stderr if as_json else sys.stdout)
    try:
        say(f"{inspection_id}: submitted")
        follower.follow()
        result = gather(client, inspection_id)
    except KeyboardInterrupt:
        say("")
        say(
            f"No longer following; the inspection goes on. See it with: amun status {inspection_id}, "
            f"amun logs -f {inspection_id}; stop it with: amun cancel {inspection_id}"
        )
        return Exit.INTERRUPTED
    if as_json:
        show_json(result.to_document())
    else:
        show(result_view(result))
    return exits.of_phase(result.phase)
