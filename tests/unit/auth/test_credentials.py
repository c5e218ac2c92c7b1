"""Headers as they come from a wire: one credential, well formed, or nobody."""

from __future__ import annotations

import asyncio

import pytest

from amun.auth import request_credential
from amun.errors import Unauthenticated
from tests.support.service_with_keys import Guarded

VERSION = "/api/v1/version"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    return Guarded(tmp_path_factory.mktemp("guarded"))


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer KEY")],
        [(b"Authorization", b"Bearer KEY")],
        [(b"AUTHORIZATION", b"bearer KEY")],
        [(b"authorization", b"BEARER   KEY")],
        [(b"authorization", b" \tBearer KEY\t ")],
        [(b"x-api-key", b"KEY")],
        [(b"X-API-Key", b"KEY")],
        [(b"authorization", b"Bearer KEY"), (b"x-authorization", b"Bearer other")],
    ],
)
def test_a_credential_is_found_however_its_header_is_written(
    guarded: Guarded, headers: list[tuple[bytes, bytes]]
) -> None:
    key = guarded.keys["alice"].encode()
    answer = guarded.raw(VERSION, [(name, value.replace(b"KEY", key)) for name, value in headers])
    assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"KEY")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"BearerKEY")],
        [(b"authorization", b"Bearer KEY x")],
        [(b"authorization", b"Bearer KEY, Bearer KEY")],
        [(b"authorization", b"Bearer KEY,")],
        [(b"authorization", b"Bearer\tKEY")],
        [(b"authorization", b"Bearer KEY\r\nx-api-key: KEY")],
        [(b"authorization", b"Bearer KEY\n")],
        [(b"authorization", b"Bearer KEY\0")],
        [(b"authorization", b"Basic KEY")],
        [(b"authorization", b'Bearer "KEY"')],
        [(b"authorization", "Bearer KEYé".encode())],
        [(b"authorization", b"Bearer KEY\xff")],
        [(b"authorization", "Bearer \uff2b\uff25\uff39".encode())],
        [(b"x-api-key", b"")],
        [(b"x-api-key", b"Bearer KEY")],
        [(b"x-api-key", b"KEY KEY")],
        [(b"authorization ", b"Bearer KEY")],
        [(b"proxy-authorization", b"Bearer KEY")],
        [(b"x_api_key", b"KEY")],
        [(b"cookie", b"authorization=Bearer KEY")],
        # More than one: whoever sits in between may have looked at the other.
        [(b"authorization", b"Bearer KEY"), (b"authorization", b"Bearer KEY")],
        [(b"authorization", b"Bearer KEY"), (b"Authorization", b"Bearer wrong")],
        [(b"authorization", b"Bearer wrong"), (b"authorization", b"Bearer KEY")],
        [(b"authorization", b"Bearer KEY"), (b"authorization", b"")],
        [(b"authorization", b"Bearer KEY"), (b"x-api-key", b"KEY")],
        [(b"x-api-key", b"KEY"), (b"X-Api-Key", b"KEY")],
    ],
)
def test_anything_else_is_nobody(guarded: Guarded, headers: list[tuple[bytes, bytes]]) -> None:
    key = guarded.keys["alice"].encode()
    answer = guarded.raw(VERSION, [(name, value.replace(b"KEY", key)) for name, value in headers])
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert key not in answer.body


@pytest.mark.parametrize("size", [request_credential.MAX + 1, 10_000, 1_000_000])
def test_what_is_too_long_for_a_credential_is_not_looked_at(guarded: Guarded, size: int) -> None:
    long = guarded.keys["alice"].encode().ljust(size, b"x")
    for header in ((b"authorization", b"Bearer " + long), (b"x-api-key", long)):
        answer = guarded.raw(VERSION, [header])
        assert (answer.status, b"not well formed" in answer.body) == (401, True)
    with pytest.raises(Unauthenticated):
        request_credential.credential([(b"x-api-key", long)])


def test_as_much_as_a_credential_may_have_is_looked_at() -> None:
    longest = "x" * request_credential.MAX
    assert request_credential.credential([(b"authorization", b"Bearer " + longest.encode())]) == longest


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/ui/../inspect",
        "/api/v1/ui/../../v1/inspect",
        "/api/v1/ui/%2e%2e/inspect",
        "/api/v1/ui//inspect",
        "/api/v1/ui/..\\inspect",
        "/api/v1/ui/../../../../../etc/passwd",
        "/api/v1/ui/swagger-ui.css/../../inspect",
    ],
)
def test_no_path_leads_through_an_open_door_to_another(guarded: Guarded, path: str) -> None:
    answer = guarded.raw(path)
    assert answer.status == 404
    assert b'"inspections"' not in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/metrics/",
        "/liveness/",
        "/readiness/x",
        "//liveness",
        "/liveness\n",
        "/LIVENESS",
        "/api/v1/ui\n",
        "/api/v1/uix",
        "/api/v1/openapi.jsonx",
        "/api/v1/openapi.json/",
        "/api/v1/inspect/../openapi.json",
        "/./liveness",
        "",
    ],
)
def test_what_is_merely_like_an_open_path_is_not_open(guarded: Guarded, path: str) -> None:
    assert guarded.raw(path).status == 401


def test_a_path_below_a_prefix_is_not_taken_for_another(guarded: Guarded) -> None:
    """ASGI servers may be told that all of it lies below a prefix, which is then part of the path."""
    assert guarded.raw("/liveness/api/v1/inspect", root_path="/liveness").status == 401
    assert guarded.raw("/api/v1/ui/api/v1/version", root_path="/api/v1/ui").status == 401


def test_a_web_socket_gets_nothing(guarded: Guarded) -> None:
    sent = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message["type"])

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": VERSION, "headers": [], "query_string": b"", "root_path": ""}
    asyncio.run(guarded.app(scope, receive, send))
    assert sent == ["websocket.close"]
