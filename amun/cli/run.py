"""``amun run``: try a command in a software stack, without writing a specification."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import errors_reported, show_json
from .options import Json, Token, Url, connect
from .outcome import see, show_accepted
from .specification_from_flags import Stack, Unusable, script_from, script_of, specification

BASE = "localhost/amun/base:bookworm"
"""The image that `make demo` makes."""

STACK, COUNT, LIMITS = "The stack", "How often, and what counts", "Limits"


def run(
    context: typer.Context,
    command: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND…", help="What runs, after all options or after --.")
    ] = None,
    script: Annotated[
        Path | None, typer.Option("--script", metavar="FILE", help="A script that runs, in place of a command.")
    ] = None,
    base: Annotated[str, typer.Option("--base", envvar="AMUN_BASE", help="Base image.", rich_help_panel=STACK)] = BASE,
    packages: Annotated[
        list[str] | None,
        typer.Option("--package", "-p", metavar="NAME", help="Native package; repeatable.", rich_help_panel=STACK),
    ] = None,
    python: Annotated[
        list[str] | None,
        typer.Option(
            "--python", metavar="REQUIREMENT", help="Python package, PEP 508; repeatable.", rich_help_panel=STACK
        ),
    ] = None,
    lock: Annotated[
        Path | None,
        typer.Option("--lock", metavar="DIR", help="Where Pipfile and Pipfile.lock are.", rich_help_panel=STACK),
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            metavar="LOCAL[:PATH]",
            help="File of the environment, by default where the script runs; repeatable.",
            rich_help_panel=STACK,
        ),
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option(
            "--env", metavar="NAME=VALUE", help="Variable of the environment; repeatable.", rich_help_panel=STACK
        ),
    ] = None,
    repeat: Annotated[
        int | None, typer.Option("--repeat", "-n", min=1, help="Items that count.", rich_help_panel=COUNT)
    ] = None,
    warmup: Annotated[
        int | None, typer.Option("--warmup", min=0, help="Items before these, not counted.", rich_help_panel=COUNT)
    ] = None,
    parallelism: Annotated[
        int | None, typer.Option("--parallelism", min=1, help="Items at a time.", rich_help_panel=COUNT)
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="PATH[:lower|higher]",
            help="A number that it prints in a JSON object, and which is better; repeatable.",
            rich_help_panel=COUNT,
        ),
    ] = None,
    cpu: Annotated[
        str | None, typer.Option("--cpu", help="CPUs of the build and of each item.", rich_help_panel=LIMITS)
    ] = None,
    memory: Annotated[
        str | None, typer.Option("--memory", help="Memory of the build and of each item.", rich_help_panel=LIMITS)
    ] = None,
    build_memory: Annotated[
        str | None, typer.Option("--build-memory", help="Memory of the build, if another.", rich_help_panel=LIMITS)
    ] = None,
    timeout: Annotated[
        int | None, typer.Option("--timeout", min=1, help="Seconds an item may take.", rich_help_panel=LIMITS)
    ] = None,
    identifier: Annotated[str | None, typer.Option("--identifier", help="Goes into the id.")] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Print the specification, and submit nothing.")] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the id, and follow nothing.")] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow as a live view, on a terminal.")] = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Run a command in a software stack, once or many times, and follow it to its result.

    For example: amun run --python numpy==2.4.6 --repeat 20 -- python3 -c 'import numpy; …'
    """
    if detach and watch:
        raise typer.BadParameter("--detach follows nothing: there is nothing to watch.")
    fields = {"identifier": identifier, "batch_size": repeat, "warmup": warmup, "parallelism": parallelism}
    stack = Stack(
        base=base,
        packages=packages or [],
        python=python or [],
        lock=lock,
        files=files or [],
        variables=variables or [],
        metrics=metrics or [],
        build={"cpu": cpu, "memory": build_memory or memory},
        run={"cpu": cpu, "memory": memory, "timeout": timeout},
        fields=fields,
    )
    try:
        document = specification(stack, _script(command or [], script))
    except Unusable as error:
        raise typer.BadParameter(str(error)) from None
    if only_print:
        show_json(document)
        return
    with errors_reported(as_json):
        client = connect(context, url, token)
        answer = client.submit(document)
        if not detach:
            raise typer.Exit(see(client, answer, as_json, watch))
    show_accepted(answer, as_json)


def _script(command: list[str], file: Path | None) -> str:
    if bool(command) == (file is not None):
        raise Unusable("What runs is either a COMMAND or a --script.")
    return script_of(command) if file is None else script_from(file)
