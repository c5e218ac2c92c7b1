"""The commands that run parts of Amun on this machine. What they need is imported when they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from amun.extras import needing

from .options import Json

if TYPE_CHECKING:
    from amun.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; else AMUN_HOST.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on; else AMUN_PORT.")] = None,
) -> None:
    """Run the API and the controller in the foreground; SIGTERM or Ctrl-C stops both."""
    settings = _settings(host=host, port=port)
    with needing("server"):
        from amun import composition
        from amun.auth.configuration import Undecided, check
        from amun.processes.supervisor import serve as run

    composition.check_extras(settings)
    try:
        check(settings)
    except Undecided as error:
        raise typer.BadParameter(str(error)) from None
    raise typer.Exit(run(settings))


def controller() -> None:
    """Run the controller alone, in the foreground."""
    settings = _settings()
    with needing("server"):
        from amun import composition
        from amun.processes.supervisor import control

    composition.check_extras(settings)
    raise typer.Exit(control(settings))


def doctor(as_json: Json = False) -> None:
    """Find out what this machine can do, what Amun chose and why, and what to mend."""
    with needing("server"):
        from amun.processes.doctor import main

    raise typer.Exit(main(as_json))


def _settings(**given: Any) -> Settings:
    """Settings from the environment, options first; a bad one is a usage error."""
    with needing("server"):
        from pydantic import ValidationError

        from amun.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = (f"AMUN_{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in error.errors())
        raise typer.BadParameter("; ".join(problems)) from None
