"""HTTP as it comes in by a socket: slow, large and strange requests."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from amun.telemetry import metrics
from amun.web import edge, http_protocol
from tests.conftest import wait_until
from tests.support.service_with_keys import Guarded

LIMIT = 128 * 1024
"""Bytes that a submission may have here."""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a service that asks nobody who they are."""
    guarded = Guarded(tmp_path_factory.mktemp("service"), auth="none", request_limit=LIMIT)
    config = uvicorn.Config(guarded.app, http=http_protocol.Protocol, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number: int = listening.getsockname()[1]
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
        thread.start()
        yield number
        server.should_exit = True
        thread.join()


def answers(port: int, *parts: bytes) -> list[tuple[int, Any]]:
    """All answers on one connection to what is sent, until the service ends it or has answered once."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return list(_read(connection))


def _read(connection: socket.socket) -> Iterator[tuple[int, Any]]:
    stream = connection.makefile("rb")
    while line := stream.readline():
        length = 0
        while (header := stream.readline().strip().lower()) not in (b"", b"\r\n"):
            if header.startswith(b"content-length:"):
                length = int(header.partition(b":")[2])
        yield int(line.split()[1]), json.loads(stream.read(length) or b"null")


def get(path: str, *headers: str, host: str = "localhost") -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", *headers, "", ""]).encode()


def test_an_ordinary_request_is_answered(port: int) -> None:
    ((status, document),) = answers(port, get("/api/v1/version"))
    assert (status, set(document)) == (200, {"version", "service_version"})


def test_a_request_in_small_pieces_is_answered(port: int) -> None:
    assert [status for status, _ in answers(port, *(bytes([each]) for each in get("/api/v1/version")))] == [200]


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [b"GET /api/v1/version"],
        [b"GET /api/v1/version HTTP/1.1\r\nHost: localhost\r\n"],
        [b"\r\n" * 10],
        [b"GET /api/v1/version HTTP/1.1\r\nHost: localhost\r\nX: "],
        [get("/liveness").replace(b"close", b"keep-alive") + b"GET /api"],
        [get("/liveness").replace(b"close", b"keep-alive") + b"\r\n\r\n"],
    ],
)
def test_who_takes_too_long_to_ask_is_left(port: int, monkeypatch: pytest.MonkeyPatch, parts: list[bytes]) -> None:
    monkeypatch.setattr(http_protocol, "PATIENCE", 0.3)
    told = answers(port, *parts)
    if b"keep-alive" in b"".join(parts):
        assert told.pop(0)[0] == 200
    assert [status for status, _ in told] in ([408], [])  # the connection ends, at the latest when nothing more comes
    for _, document in told:
        assert set(document) == {"error", "parameters"}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/api/v1/version", "X: " + "a" * 70_000), 431),
        (get("/api/v1/version", *(f"X-{number}: {'a' * 50}" for number in range(2000))), 431),
        (get("/api/v1/version?" + "a=b&" * 5000), 414),
        (get("/" + "a" * 20_000), 414),
        (get("/api/v1/version", "Y: " + "a" * 30_000), 200),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\x00\r\n\r\n", 400),
        (b"CONNECT evil.example:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", 404),
    ],
)
def test_what_is_too_large_or_no_request_is_refused(port: int, request_: bytes, status: int) -> None:
    told = answers(port, request_)
    assert told[0][0] == status
    if status >= 400:
        assert set(told[0][1]) == {"error", "parameters"}


def test_headers_without_end_are_not_read_to_it(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            _send_without_end(connection)


def _send_without_end(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"a" * 65536)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (get("/api/v1/version", host="evil.example"), 421),
        (get("http://localhost:8080/api/v1/version", host="evil.example"), 200),
        (get("http://evil.example/api/v1/version"), 421),
        (get("http://127.0.0.1/api/v1/version"), 200),
        (get("http://[::1]:8080/api/v1/version"), 200),
        (get("/api/v1/version", "Host: localhost"), 400),
        (get("/api/v1/version", "host: evil.example"), 400),
        (b"GET /api/v1/version HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET /api/v1/version HTTP/1.0\r\n\r\n", 400),
        (get("/liveness", host="10.0.0.1"), 200),
        (get("/api/v1/version", host=""), 400),
    ],
)
def test_a_request_is_for_the_host_that_it_names(port: int, request_: bytes, status: int) -> None:
    assert answers(port, request_)[0][0] == status


def post(body: bytes, *headers: str) -> bytes:
    lines = ["POST /api/v1/inspect HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize("chunked", [False, True])
def test_large_bodies_are_held_in_limited_number_and_small_ones_always(port: int, chunked: bool) -> None:
    part = b" " * (LIMIT - 1)
    sized = post(part, f"Content-Length: {LIMIT}")
    pieces = post(b"%x\r\n%b\r\n" % (len(part), part), "Transfer-Encoding: chunked")
    large = post(b"[" + b" " * (LIMIT - 2) + b"]", f"Content-Length: {LIMIT}", "Connection: close")
    unfinished = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(edge.TOGETHER)]
    try:
        assert {status for status, _ in answers(port, large)} == {400}
        for connection in unfinished:
            connection.sendall(pieces if chunked else sized)
        ((status, said),) = wait_until(lambda: [each for each in answers(port, large) if each[0] != 400])
        assert (status, said["error"]) == (503, "There are too many large requests at once.")
        small = post(b"[]", "Content-Length: 2", "Connection: close")
        assert [
            status
            for status, _ in answers(
                port,
                small,
            )
        ] == [400]
        assert [status for status, _ in answers(port, get("/api/v1/version"))] == [200]
        with socket.create_connection(("127.0.0.1", port), timeout=30) as refused:
            refused.sendall(large)
            assert b"\r\nretry-after: 5\r\n" in refused.recv(4096).lower()
    finally:
        for connection in unfinished:
            connection.close()
    wait_until(lambda: {status for status, _ in answers(port, large)} == {400})


def test_a_client_that_leaves_amid_its_body_is_no_failure(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[Exception] = []
    monkeypatch.setattr("amun.web.error_responses._log", logged.append)
    before = counted()
    for header in ("Transfer-Encoding: chunked", "Content-Length: 1000"):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(post(b'5\r\n{"a":\r\n', header))
    wait_until(lambda: counted() == before + 2)
    assert logged == []


def counted() -> float:
    """How many submissions were answered with 400."""
    found = metrics.RESPONSES.labels("POST", "/api/v1/inspect", 400)
    return float(found._value.get())
