"""The client against real connections that break, and against answers of every kind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests_mock

from amun.client import Client, ClientError

ID = "inspection-test-0123456789abcdef"
URL = "http://amun.test"
API = f"{URL}/api/v1"


class Handler(BaseHTTPRequestHandler):
    """Hands each request to the test's `answer`; silent."""

    protocol_version = "HTTP/1.1"
    answer: Callable[[Handler], None]

    def do_GET(self) -> None:
        type(self).answer(self)

    do_POST = do_GET

    def log_message(self, *arguments: object) -> None:
        pass

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}

    def begin(self, content_type: str = "text/plain") -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def cut(self) -> None:
        """Leave in the middle of the answer."""
        self.wfile.flush()
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves early is what some tests are about."""


@contextmanager
def serving(answer: Callable[[Handler], None]) -> Iterator[str]:
    """A real server on a free port; `answer` is called for every request."""
    handler = type("TestHandler", (Handler,), {"answer": staticmethod(answer)})
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_log_that_is_cut_goes_on_where_it_was_cut() -> None:
    log = b"".join(b"line %d\n" % number for number in range(100))
    offsets = []

    def answer(request: Handler) -> None:
        offset = int(request.query.get("offset", 0))
        offsets.append(offset)
        request.begin()
        request.chunk(log[offset : offset + 300])
        if offset + 300 < len(log):
            request.cut()
        else:
            request.chunk(b"")

    with serving(answer) as url:
        assert b"".join(Client(url).build_log(ID, follow=True)) == log
    assert offsets == [0, 300, 600]


def test_a_silent_log_is_followed_on() -> None:
    asked = []

    def answer(request: Handler) -> None:
        asked.append(request)
        request.begin()
        if len(asked) == 1:
            request.chunk(b"before ")
            threading.Event().wait(1)
            request.cut()
        else:
            request.chunk(f"after {request.query['offset']}".encode())
            request.chunk(b"")

    with serving(answer) as url:
        log = b"".join(Client(url, timeout=(1, 0.2)).item_log(ID, follow=True))
    assert log == b"before after 7"


def test_lines_arrive_when_they_are_printed_and_not_at_the_end() -> None:
    seen = threading.Event()

    def answer(request: Handler) -> None:
        request.begin()
        request.chunk(b"first\n")
        request.chunk(b"second\n" if seen.wait(10) else b"nobody saw the first\n")
        request.chunk(b"")

    with serving(answer) as url:
        lines = Client(url).item_log(ID, follow=True)
        assert next(lines) == b"first\n"
        seen.set()
        assert next(lines) == b"second\n"


def test_a_log_that_stays_cut_is_given_up() -> None:
    def answer(request: Handler) -> None:
        request.begin()
        request.cut()

    with serving(answer) as url, pytest.raises(ClientError) as raised:
        list(Client(url, patience=0.1).build_log(ID, follow=True))
    assert raised.value.unavailable


def test_a_log_asks_for_the_stream_and_times_that_were_wanted() -> None:
    queries = []

    def answer(request: Handler) -> None:
        queries.append((urlsplit(request.path).path, request.query, request.headers["Accept"]))
        request.begin()
        request.chunk(b"")

    with serving(answer) as url:
        list(Client(url).item_log(ID, 3, stream="stderr", timestamps=True))
    assert queries == [(f"/api/v1/inspect/{ID}/job/3/log", {"stream": "stderr", "timestamps": "true"}, "text/plain")]


def test_a_submission_sent_again_carries_the_same_key_so_that_it_is_not_made_twice() -> None:
    keys = []

    def answer(request: Handler) -> None:
        request.rfile.read(int(request.headers["Content-Length"]))
        keys.append(request.headers["Idempotency-Key"])
        if len(keys) == 1:
            request.cut()
            return
        request.send_response(202)
        body = b'{"inspection_id": "inspection-1"}'
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    with serving(answer) as url:
        client = Client(url)
        assert client.submit({"base": "b"})["inspection_id"] == "inspection-1"
        client.submit({"base": "b"})
    assert keys[0] == keys[1]
    assert keys[0]
    assert keys[2] != keys[0]


@pytest.mark.parametrize(("after", "times"), [("1", 2), ("3600", 1)])
def test_who_has_asked_too_much_waits_once_and_not_for_hours(after: str, times: int) -> None:
    asked = []

    def answer(request: Handler) -> None:
        asked.append(request.path)
        body = b"{}"
        request.send_response(429 if len(asked) == 1 else 200)
        request.send_header("Retry-After", after)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    with serving(answer) as url:
        if times == 2:
            assert Client(url).hardware() == {}
        else:
            with pytest.raises(ClientError):
                Client(url).hardware()
    assert len(asked) == times


def test_cancelling_is_not_repeated_behind_the_callers_back() -> None:
    requests = []

    def answer(request: Handler) -> None:
        requests.append(request.command)
        request.cut()

    with serving(answer) as url, pytest.raises(ClientError) as raised:
        Client(url).cancel(ID)
    assert raised.value.status is None
    assert len(requests) == 1


def test_a_refused_specification_names_every_field() -> None:
    answer = {
        "error": "The specification is not valid.",
        "parameters": {},
        "details": [{"path": "packages[2]", "message": "is no package name"}, {"path": "base", "message": "missing"}],
    }
    with requests_mock.Mocker() as mock:
        mock.post(f"{API}/inspect", status_code=400, json=answer)
        with pytest.raises(ClientError) as raised:
            Client(URL).submit({})
    assert raised.value.status == 400
    assert raised.value.error == "The specification is not valid."
    assert [(problem.path, problem.message) for problem in raised.value.details] == [
        ("packages[2]", "is no package name"),
        ("base", "missing"),
    ]


def test_a_report_that_is_not_there_yet_is_told_from_one_that_never_will_be() -> None:
    with requests_mock.Mocker() as mock:
        mock.get(f"{API}/inspect/{ID}/job/0/result", status_code=202, json={"error": "not yet", "parameters": {}})
        mock.get(f"{API}/inspect/{ID}/job/9/result", status_code=404, json={"error": "no item 9", "parameters": {}})
        with pytest.raises(ClientError) as early:
            Client(URL).result(ID, 0)
        with pytest.raises(ClientError) as never:
            Client(URL).result(ID, 9)
    assert early.value.not_ready
    assert not never.value.not_ready
    assert not never.value.unavailable


@pytest.mark.parametrize("status", [200, 404, 502])
def test_something_else_at_the_address_is_said_to_be_so(status: int) -> None:
    with requests_mock.Mocker() as mock:
        mock.get(f"{API}/version", status_code=status, text="<html>hello</html>")
        with pytest.raises(ClientError) as raised:
            Client(URL).version()
    assert raised.value.status == status
    assert "hello" not in raised.value.error


def test_a_service_that_is_not_there_is_named_with_the_reason() -> None:
    with serving(lambda request: None) as url:
        pass
    with pytest.raises(ClientError, match=f"{url}.*Connection refused") as raised:
        Client(url).version()
    assert raised.value.unavailable


@pytest.mark.parametrize(
    "url", ["http://amun.test", "http://amun.test/", "http://amun.test/api/v1", "http://amun.test/api/v1/", "amun.test"]
)
def test_the_address_may_be_written_as_people_write_it(url: str) -> None:
    with requests_mock.Mocker() as mock:
        mock.get(f"{API}/version", json={"version": "1.0.0", "service_version": "1.0.0"})
        assert Client(url).version()["version"] == "1.0.0"


def test_the_token_is_sent_whatever_netrc_says(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = f"{tmp_path}/netrc"
    with open(netrc, "w") as file:
        file.write("machine amun.test login someone password else\n")
    monkeypatch.setenv("NETRC", netrc)
    with requests_mock.Mocker() as mock:
        mock.get(f"{API}/hardware", json={"hardware": []})
        Client(URL, token="secret").hardware()
        assert mock.last_request.headers["Authorization"] == "Bearer secret"


def test_an_id_cannot_lead_to_another_path() -> None:
    with requests_mock.Mocker() as mock:
        mock.get(requests_mock.ANY, json={})
        Client(URL).status("../hardware?x=")
        assert mock.last_request.path == "/api/v1/inspect/..%2fhardware%3fx%3d/status"


def test_an_inspection_is_waited_for_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amun.client.client.time.sleep", lambda seconds: None)
    answers = [
        {"json": {"phase": "queued"}},
        {"status_code": 503, "json": {"error": "away"}},
        {"json": {"phase": "failed"}},
    ]
    with requests_mock.Mocker() as service:
        service.get(f"{API}/inspect/{ID}/status", answers)
        assert Client(URL).wait(ID) == {"phase": "failed"}


def test_waiting_ends_when_the_time_is_over() -> None:
    with requests_mock.Mocker() as service:
        service.get(f"{API}/inspect/{ID}/status", json={"phase": "running"})
        with pytest.raises(TimeoutError, match=f"{ID} is not over after 0.3 s"):
            Client(URL).wait(ID, timeout=0.3)


def test_a_service_that_does_not_come_back_and_an_unknown_id_end_the_wait() -> None:
    with requests_mock.Mocker() as service:
        service.get(f"{API}/inspect/{ID}/status", status_code=503, json={"error": "away"})
        with pytest.raises(ClientError, match="away"):
            Client(URL, patience=0).wait(ID)
        service.get(f"{API}/inspect/{ID}/status", status_code=404, json={"error": "unknown"})
        with pytest.raises(ClientError, match="unknown"):
            Client(URL).wait(ID)
