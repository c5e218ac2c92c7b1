"""``amun key``: make an API key."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from amun.extras import needing

from .console import say, show_json
from .options import Json


def key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose it is: inspections are recorded with this name.")],
    admin: Annotated[bool, typer.Option("--admin", help="Its owner sees everybody's inspections.")] = False,
    as_json: Json = False,
) -> None:
    """Make an API key: prints the key, which is kept nowhere, and the line for the file that AMUN_API_KEYS names."""
    with needing("server"):
        from amun.auth.api_keys import new_key

    try:
        made, entry = new_key(name, admin)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if as_json:
        show_json({"name": name, "key": made, "line": str(entry)})
        return
    say("The key, for its owner alone; it cannot be shown again:")
    sys.stdout.write(f"{made}\n")
    sys.stdout.flush()
    say("Its line for the file that AMUN_API_KEYS names, which tells nobody the key:")
    sys.stdout.write(f"{entry}\n")
