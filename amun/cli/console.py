"""Where the command writes: results to stdout, messages to stderr, and errors in one shape with the right exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.text import Text
from typer import Exit as Leave

from amun.client import ClientError

from .exit_codes import Exit
from .sanitize import plain

PHASE_STYLE = {
    "succeeded": "bold green",
    "failed": "bold red",
    "build_failed": "bold red",
    "error": "bold red",
    "cancelled": "yellow",
    "running": "cyan",
    "building": "cyan",
}
PIPE_WIDTH = 200  # Tables in a file or a pipe are for `less -S` and `grep`: rows stay whole.


def show(renderable: RenderableType) -> None:
    """Print a table or text to stdout."""
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(width=width, highlight=False).print(renderable)


def show_error(renderable: RenderableType) -> None:
    """Print a table or text to stderr."""
    width = None if sys.stderr.isatty() else PIPE_WIDTH
    Console(stderr=True, width=width, highlight=False).print(renderable)


def show_json(document: object) -> None:
    """Print a document to stdout, for programs."""
    text = json.dumps(document, indent=2, ensure_ascii=not _speaks_unicode())
    if any("\ud800" <= letter <= "\udfff" for letter in text):  # half a letter: JSON knows it, UTF-8 does not
        text = json.dumps(document, indent=2)
    sys.stdout.write(text + "\n")


def say(message: object, style: str = "") -> None:
    """Print one line to stderr; whatever strangers put into it is made harmless."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(plain(message), style=style))


def phase_text(phase: str) -> Text:
    return Text(plain(phase), style=PHASE_STYLE.get(phase, ""))


@contextmanager
def errors_reported(as_json: bool = False) -> Iterator[None]:
    """Say what the service refused or why it is out of reach, and leave with the exit code for it."""
    try:
        yield
    except ClientError as error:
        if as_json:
            show_json(error.to_document())
        report(error)
        raise Leave(exit_of(error)) from None


def report(error: ClientError) -> None:
    """An error on stderr: its sentence, then one line an offending field."""
    say(f"Error: {error.error}", "red")
    for problem in error.details:
        say(f"{problem.path or '(document)'}: {problem.message}")
    if error.status == 401:
        say("A token or API key is given by --token, AMUN_TOKEN, or a file that AMUN_TOKEN_FILE names.")
    if error.status == 403:
        say("Whoever runs the service gives that right, to the owner of the token that was sent.")
    if error.status == 429:
        say("Ask for less at a time, or try again in a while.")
    if error.status is None:
        say("Is the service running (amun serve)? Its address is given by --url or AMUN_URL.")


def exit_of(error: ClientError) -> Exit:
    if error.not_ready:
        return Exit.UNFINISHED
    return Exit.UNREACHABLE if error.unavailable else Exit.REFUSED


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
