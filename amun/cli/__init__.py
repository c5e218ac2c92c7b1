"""The command ``amun``: runs the service, and talks to one."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from amun.client import DEFAULT_URL
from amun.extras import MissingExtra

from . import console, inspection_commands, keys, run, service_commands, show, submit
from .exit_codes import SUMMARY, Exit
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


app.command()(service_commands.serve)
app.command()(service_commands.controller)
app.command()(service_commands.doctor)
app.command()(keys.key)
app.command(epilog=SUMMARY, context_settings={"allow_interspersed_args": False})(run.run)
app.command(epilog=SUMMARY)(submit.submit)
app.command(epilog=SUMMARY)(inspection_commands.status)
app.command(epilog=SUMMARY)(inspection_commands.logs)
app.command(epilog=SUMMARY)(inspection_commands.result)
app.command(epilog=SUMMARY)(show.show)
app.command()(show.compare)
app.command("open")(show.open_)
app.command("list")(inspection_commands.list_)
app.command()(inspection_commands.cancel)
app.command()(inspection_commands.delete)
app.command()(inspection_commands.hardware)
app.command()(inspection_commands.version)


def main() -> None:
    """Run the command with the arguments of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal or a locale cannot write is no reason to fail
    try:
        app(prog_name="amun")
    except MissingExtra as error:
        console.say(error)
        sys.exit(Exit.REFUSED)
