"""Options that commands share, and the client they make of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from amun.client import DEFAULT_URL, Client, ClientError
from amun.client.transport import read_token

Url = Annotated[str | None, typer.Option("--url", help="Address of the service; else AMUN_URL.")]
Token = Annotated[str | None, typer.Option("--token", help="Token or API key for the service; else AMUN_TOKEN.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]
InspectionId = Annotated[str, typer.Argument(metavar="ID", help="Id of an inspection.")]


@dataclass(frozen=True)
class Service:
    """The service that is talked to unless a command says otherwise."""

    url: str
    token: str | None = None
    token_file: Path | None = None


def connect(context: typer.Context, url: str | None, token: str | None) -> Client:
    """A client of the service that the command's own options name, or else those before the command."""
    service = context.find_object(Service) or Service(DEFAULT_URL)
    token = token or service.token
    try:
        read_token(token, service.token_file)
    except ClientError as error:
        raise typer.BadParameter(error.error) from None
    return Client(url or service.url, token, token_file=service.token_file)
