"""The commands that ask the service about inspections, or to stop or forget one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Literal

import typer

from amun import __version__
from amun.client import Client, ClientError

from . import exit_codes
from .console import errors_reported, exit_of, report, say, show, show_json
from .options import InspectionId, Json, Token, Url, connect
from .results import gather
from .sanitize import LogWriter, plain
from .views import hardware_view, list_view, result_view, status_view

Phase = Literal["queued", "building", "build_failed", "pending", "running", "succeeded", "failed", "cancelled", "error"]


def status(
    context: typer.Context, inspection_id: InspectionId, as_json: Json = False, url: Url = None, token: Token = None
) -> None:
    """Say how an inspection stands; the exit code says it too (4: not over yet)."""
    with errors_reported(as_json):
        document = connect(context, url, token).status(inspection_id)
    if as_json:
        show_json(document)
    else:
        show(status_view(document))
    raise typer.Exit(exit_codes.of_phase(document["phase"]))


def logs(
    context: typer.Context,
    inspection_id: InspectionId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it is over.")] = False,
    build: Annotated[bool, typer.Option("--build", help="The log of the build, not of an item.")] = False,
    item: Annotated[int, typer.Option("--item", min=0, help="Which item's log.")] = 0,
    stream: Annotated[Literal["stdout", "stderr"] | None, typer.Option("--stream", help="Only this stream.")] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Begin each line with its time.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Print the log of an item or of the build: as it is to a pipe, without control sequences to a terminal."""
    if build and (item or stream or timestamps):
        raise typer.BadParameter("--item, --stream and --timestamps are of items, not of the build.")
    with errors_reported():
        client = connect(context, url, token)
        if build:
            _copy(client.build_log(inspection_id, follow))
            return
        try:
            _copy(client.item_log(inspection_id, item, follow, stream, timestamps))
        except ClientError as error:
            _explain_missing_log(client, inspection_id, error)
            raise


def result(
    context: typer.Context,
    inspection_id: InspectionId,
    item: Annotated[int | None, typer.Option("--item", min=0, help="Only this item; --json prints its report.")] = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show what came out: exit codes, times, memory, the numbers that were printed, the hardware."""
    with errors_reported(as_json):
        gathered = gather(connect(context, url, token), inspection_id, item)
    if not as_json:
        show(result_view(gathered))
    elif item is None:
        show_json(gathered.to_document())
    else:
        show_json(gathered.items[0].report)
    raise typer.Exit(exit_codes.of_phase(gathered.phase))


def list_(
    context: typer.Context,
    phase: Annotated[Phase | None, typer.Option("--phase", help="Only those in this phase.")] = None,
    identifier: Annotated[str | None, typer.Option("--identifier", help="Only those with this identifier.")] = None,
    page: Annotated[int, typer.Option("--page", min=1)] = 1,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100)] = 25,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List inspections, newest first."""
    with errors_reported(as_json):
        document = connect(context, url, token).list(page, limit, phase, identifier)
    if as_json:
        show_json(document)
    else:
        show(list_view(document))


def cancel(context: typer.Context, inspection_id: InspectionId, url: Url = None, token: Token = None) -> None:
    """Stop what runs of an inspection; its logs and status stay."""
    with errors_reported():
        connect(context, url, token).cancel(inspection_id)
    say(f"{inspection_id}: being cancelled")


def delete(context: typer.Context, inspection_id: InspectionId, url: Url = None, token: Token = None) -> None:
    """Stop an inspection and forget it."""
    with errors_reported():
        connect(context, url, token).delete(inspection_id)
    say(f"{inspection_id}: deleted")


def hardware(context: typer.Context, as_json: Json = False, url: Url = None, token: Token = None) -> None:
    """Show the kinds of node that inspections may be placed on."""
    with errors_reported(as_json):
        document = connect(context, url, token).hardware()
    if as_json:
        show_json(document)
    else:
        show(hardware_view(document))


def version(context: typer.Context, as_json: Json = False, url: Url = None, token: Token = None) -> None:
    """Print the version of this command and of the service."""
    try:
        service = connect(context, url, token).version().get("service_version")
    except ClientError as error:
        _show_versions(None, as_json)
        report(error)
        raise typer.Exit(exit_of(error)) from None
    _show_versions(service, as_json)


def _show_versions(service: object, as_json: bool) -> None:
    if as_json:
        show_json({"version": __version__, "service_version": service})
    else:
        sys.stdout.write(f"amun {__version__}, service {plain(service) if service else 'out of reach'}\n")


def _copy(chunks: Iterator[bytes]) -> None:
    """Write a log to stdout as it comes."""
    writer = LogWriter(sys.stdout)
    try:
        for chunk in chunks:
            writer.write(chunk)
    finally:
        writer.end()


def _explain_missing_log(client: Client, inspection_id: str, error: ClientError) -> None:
    """Point to the build's log where the build is why an item has none."""
    if error.unavailable:
        return
    try:
        stands = client.status(inspection_id)
    except ClientError:
        return
    if stands["phase"] == "build_failed":
        say(f"Its build failed; see: amun logs --build {inspection_id}")
    elif stands.get("job") is None:
        say(f"It has no script, only a build; see: amun logs --build {inspection_id}")
