"""Scripts at URLs: what is fetched, what is refused, and that nobody can keep the service busy with it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from amun.application import public_addresses, script_source
from amun.errors import InvalidSpecification
from amun.settings import Settings

SCRIPT = b"#!/bin/sh\nprintf '%s\\t$HOME\\n' \"\\\\\"\n\xff\x00"


class Handler(BaseHTTPRequestHandler):
    """Each path is a way in which a server can behave."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        name, _, argument = self.path.strip("/").partition("/")
        getattr(self, f"answer_{name}")(argument)

    def answer_script(self, _argument: str) -> None:
        self._send(200, SCRIPT)

    def answer_status(self, code: str) -> None:
        self._send(int(code), b"no")

    def answer_size(self, size: str) -> None:
        self._send(200, b"x" * int(size))

    def answer_endless(self, _argument: str) -> None:
        """Megabytes without end, and no length given."""
        self.close_connection = True
        self._start(200)
        for _ in range(10_000):
            self.wfile.write(b"x" * 65536)

    def answer_drip(self, _argument: str) -> None:
        """A byte now and then, as if it were not the last one."""
        self.close_connection = True
        self._start(200)
        for _ in range(100):
            self.wfile.write(b"x")
            time.sleep(0.1)

    def answer_drip_headers(self, _argument: str) -> None:
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(100):
            self.wfile.write(b"X-%d: y\r\n" % number)
            time.sleep(0.1)

    def answer_silent(self, _argument: str) -> None:
        self.close_connection = True
        time.sleep(3)

    def answer_to(self, target: str) -> None:
        """Redirect to any URL."""
        self._start(302, ("Location", target), ("Content-Length", "0"))

    def answer_hops(self, count: str) -> None:
        target = f"/hops/{int(count) - 1}" if int(count) > 0 else "/script"
        self._start(302, ("Location", target), ("Content-Length", "0"))

    def _send(self, code: int, content: bytes) -> None:
        self._start(code, ("Content-Length", str(len(content))))
        self.wfile.write(content)

    def _start(self, code: int, *headers: tuple[str, str]) -> None:
        self.send_response(code)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("0.0.0.0", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []

    def handle_error(self, *_arguments: object) -> None:
        """Clients that hang up are what these tests are about."""

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}/{path}"


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def server(running: Server) -> Server:
    running.asked.clear()
    return running


OPEN = Settings(script_private_hosts=True, script_limit=100_000, script_timeout=0.5)
"""Takes scripts from this machine."""

CLOSED = Settings(script_timeout=0.5)


def refusal(text: str, settings: Settings) -> str:
    """What a caller is told of a script that is refused."""
    with pytest.raises(InvalidSpecification) as caught:
        script_source.read(text, settings)
    (problem,) = caught.value.details
    assert problem.path == "script"
    return problem.message


@pytest.mark.parametrize(
    "text",
    ["echo http://example.org/", "#!/bin/sh\nhttp://example.org/x\n", "http: //x", "", "true", "a\r\nb\té$HOME\\"],
)
def test_a_script_that_is_no_url_is_what_runs(text: str) -> None:
    assert script_source.read(text, CLOSED) == text.encode()


def test_a_script_at_a_url_runs_byte_for_byte(server: Server) -> None:
    assert script_source.read(server.url("script"), OPEN) == SCRIPT
    assert script_source.read(f"  {server.url('script')}\n", OPEN) == SCRIPT


def test_redirects_are_followed_a_few_times(server: Server) -> None:
    assert script_source.read(server.url("hops/4"), OPEN) == SCRIPT
    assert "5 redirects" in refusal(server.url("hops/5"), OPEN)


@pytest.mark.parametrize("text", ["file:///etc/passwd", "ftp://example.org/x", "gopher://x/_", "FILE://x", "data://x"])
def test_other_schemes_than_http_are_refused(text: str) -> None:
    assert "http or https" in refusal(text, OPEN)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_a_redirect_to_another_scheme_is_refused(server: Server, target: str) -> None:
    assert "http or https" in refusal(server.url(f"to/{target}"), OPEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0", "[::ffff:127.0.0.1]"])
def test_this_machine_is_not_asked_for_scripts_unless_that_is_allowed(server: Server, host: str) -> None:
    assert refusal(server.url("script", host), CLOSED) == "cannot be fetched: its host is not public"
    assert server.asked == []
    assert script_source.read(server.url("script", host), OPEN) == SCRIPT


@pytest.mark.parametrize(
    "text",
    [
        "true",
        "ftp://example.org/x",
        "http://127.0.0.1:{port}/script",
        "http://[::1]:{port}/script",
        "http://localhost:{port}/script",
        "http://2130706433:{port}/script",
        "http://10.0.0.1/x",
        "http://169.254.169.254/latest/meta-data",
        "http://does-not-exist.invalid/",
        "http://",
        "http://x:99999999/",
        "https://[::1/x",
        "http://" + "a" * 300 + ".example.org/",
        "http://xn--/",
    ],
)
def test_who_asks_whether_a_script_would_be_taken_hears_what_is_said_of_it(server: Server, text: str) -> None:
    def told(ask: Callable[[str, Settings], object], settings: Settings) -> str | None:
        try:
            ask(text.format(port=server.server_port), settings)
        except InvalidSpecification as exc:
            return exc.details[0].message
        return None

    assert told(script_source.check, CLOSED) == told(script_source.read, CLOSED)
    server.asked.clear()
    if "{port}" in text and "[::1]" not in text:
        assert told(script_source.check, OPEN) is None
    assert server.asked == []


def test_a_redirect_to_a_private_address_is_refused_before_anything_is_asked_there(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script_source, "is_public", lambda host: host == "127.0.0.1")  # as if this one were
    assert script_source.read(server.url("script"), CLOSED) == SCRIPT
    inner = server.url("script", "127.0.0.2")
    assert "not public" in refusal(server.url(f"to/{inner}"), CLOSED)
    assert [headers["Host"] for _, headers in server.asked] == [f"127.0.0.1:{server.server_port}"] * 2


@pytest.mark.parametrize(
    ("host", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("127.0.0.53", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::93.184.216.34", True),
        ("64:ff9b::10.0.0.1", False),
        ("64:ff9b::169.254.169.254", False),
        ("64:ff9b:1::93.184.216.34", False),
        ("::127.0.0.1", False),
        ("::ffff:0:127.0.0.1", False),
        ("2002:7f00:1::1", False),
        ("2001:0:7f00:1::", False),
        ("2001:db8::1", False),
        ("3fff::1", False),
        ("5f00::1", False),
        ("fec0::1", False),
        ("fd00:ec2::254", False),
        ("192.0.0.192", False),
        ("168.63.129.16", False),
        ("168.63.129.17", True),
        ("192.88.99.1", False),
        ("198.18.0.1", False),
        ("203.0.113.1", False),
        ("240.0.0.1", False),
    ],
)
def test_only_addresses_of_the_internet_are_public(host: str, public: bool) -> None:
    assert public_addresses.is_public(host) is public


def test_nobody_learns_what_listens_on_an_address_that_is_not_public(server: Server) -> None:
    """Not even by whether there is a connection: none is made."""
    with socket.socket() as listening, socket.socket() as unused:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        listening.setblocking(False)
        unused.bind(("127.0.0.1", 0))
        told = {refusal(f"http://127.0.0.1:{each.getsockname()[1]}/", CLOSED) for each in (listening, unused)}
        assert told == {"cannot be fetched: its host is not public"}
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_the_address_that_was_looked_at_is_the_one_that_is_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when it is looked at, and this machine when it is looked up again."""
    answers = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1"])
    asked: list[object] = []
    getaddrinfo = socket.getaddrinfo

    def resolve(host: str, port: int, *more: Any, **options: Any) -> Any:
        if host != "rebinding.example.org":
            return getaddrinfo(host, port, *more, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    def connect(_socket: socket.socket, address: object) -> None:
        asked.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    monkeypatch.setattr("socket.socket.connect", connect)
    assert (
        refusal(server.url("script", "rebinding.example.org"), CLOSED) == "cannot be fetched: its host does not answer"
    )
    assert asked == [("93.184.216.34", server.server_port)]


def test_of_several_addresses_only_the_public_ones_are_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    getaddrinfo = socket.getaddrinfo

    def resolve(host: str, port: int, *more: Any, **options: Any) -> Any:
        if host != "several.example.org":
            return getaddrinfo(host, port, *more, **options)
        hosts = ("10.0.0.1", "127.0.0.2", "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in hosts]

    monkeypatch.setattr("socket.getaddrinfo", resolve)
    monkeypatch.setattr(script_source, "is_public", lambda host: host == "127.0.0.1")
    assert script_source.read(server.url("script", "several.example.org"), CLOSED) == SCRIPT


@pytest.mark.parametrize("code", [401, 403, 404, 500])
def test_an_answer_that_is_an_error_is_named(server: Server, code: int) -> None:
    assert refusal(server.url(f"status/{code}"), OPEN) == f"cannot be fetched: the answer was {code}"


def test_a_script_may_be_as_large_as_the_limit_and_no_larger(server: Server) -> None:
    assert len(script_source.read(server.url("size/100000"), OPEN)) == 100_000
    assert "more than 100000 bytes" in refusal(server.url("size/100001"), OPEN)


def test_a_server_that_never_stops_sending_is_left(server: Server) -> None:
    assert "more than 100000 bytes" in refusal(server.url("endless"), OPEN)


@pytest.mark.parametrize("path", ["silent", "drip", "drip_headers"])
def test_a_slow_server_is_left_when_the_time_is_over(server: Server, path: str) -> None:
    started = time.monotonic()
    assert "took" in refusal(server.url(path), OPEN)
    assert time.monotonic() - started < 2


def test_a_host_that_does_not_answer_is_said_to_be_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        assert refusal(url, OPEN) == "cannot be fetched: its host does not answer"


@pytest.mark.parametrize("url", ["http://", "http:///x", "http://a b/", "https://[::1/x", "http://x:99999999/"])
def test_a_url_that_is_none_is_refused_or_taken_as_a_script(url: str) -> None:
    try:
        assert script_source.read(url, OPEN) == url.encode()
    except InvalidSpecification as refused:
        (problem,) = refused.details
        assert problem.path == "script"
        assert "Error" not in problem.message


def test_what_is_refused_says_nothing_of_addresses_inside(server: Server) -> None:
    told = refusal(server.url("script", "localhost"), CLOSED)
    assert "127.0.0.1" not in told
    assert str(server.server_port) not in told


def test_passwords_of_the_machine_are_not_sent_along(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    script_source.read(server.url("script"), OPEN)
    (_, headers), *_ = server.asked
    assert "Authorization" not in headers
