"""The command ``amun``: runs the service, and talks to one."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..client import DEFAULT_URL
from . import commands, keys, local, run, show, submit
from .exits import SUMMARY
from .options import Service

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, epilog=SUMMARY)


@app.callback()
def options(
    context: typer.Context,
    url: Annotated[str, typer.Option("--url", envvar="AMUN_URL", help="Address of the service.")] = DEFAULT_URL,
    token: Annotated[
        str | None, typer.Option("--token", envvar="AMUN_TOKEN", help="Token or API key for the service.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", envvar="AMUN_TOKEN_FILE", help="File with it, unless it is given.")
    ] = None,
) -> None:
    """Does this software stack assemble, does it run, and how fast, on that hardware?"""
    context.obj = Service(url or DEFAULT_URL, token, token_file)


app.command()(local.serve)
app.command()(local.controller)
app.command()(local.doctor)
app.command()(keys.key)
app.command(epilog=SUMMARY, context_settings={"allow_interspersed_args": False})(run.run)
app.command(epilog=SUMMARY)(submit.submit)
app.command(epilog=SUMMARY)(commands.status)
app.command(epilog=SUMMARY)(commands.logs)
app.command(epilog=SUMMARY)(commands.result)
app.command(epilog=SUMMARY)(show.show)
app.command()(show.compare)
app.command("open")(show.open_)
app.command("list")(commands.list_)
app.command()(commands.cancel)
app.command()(commands.delete)
app.command()(commands.hardware)
app.command()(commands.version)


def main() -> None:
    """Run the command with the arguments of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal or a locale cannot write is no reason to fail
    app(prog_name="amun")
