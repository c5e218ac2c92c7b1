"""What the forwarder lets builds ask for, and what it adds; its upstreams are real servers of this process."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.engines.podman.builds import forwarder
from amun.engines.podman.builds.doors import Door
from amun.engines.podman.builds.forwarder import Forwarder
from tests.support import proxy_and_index

HERE = ("127.0.0.1", 0)
PUBLIC = "203.0.113.7"


def said(door: Door, *requests: str, names: tuple[str, ...] = ()) -> list[str]:
    """What the forwarder answers to requests at a door, each on a connection of its own."""

    async def converse() -> list[str]:
        listening = socket.create_server(HERE)
        servers = await Forwarder(names).serve(door, [listening])
        answers = [await _ask(listening.getsockname(), request) for request in requests]
        for server in servers:
            server.close()
        return answers

    return asyncio.run(converse())


async def _ask(address: tuple[str, int], request: str) -> str:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request.encode())
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    return answer.decode(errors="replace")


def get(target: str, host: str = "x", *more: str) -> str:
    return "\r\n".join([f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close", *more, "", ""])


def connect(target: str) -> str:
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"


def at(upstream: str, kind: str) -> Door:
    return Door(kind, (("127.0.0.1", 49100),), upstream, own=True)


@pytest.fixture
def proxy() -> Iterator[proxy_and_index.Server]:
    with proxy_and_index.proxy() as server:
        server.alone = True
        yield server


@pytest.fixture
def index() -> Iterator[proxy_and_index.Server]:
    with proxy_and_index.index() as server:
        yield server


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes `rebound.example` resolve to one address after the other."""
    known = socket.getaddrinfo
    answers: list[list[str]] = []

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **more: Any) -> list[Any]:
        if host != "rebound.example":
            return known(host, port, *arguments, **more)
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return lambda *given: answers.extend(given)


class TestForbidden:
    @pytest.mark.parametrize(
        "address", ["127.0.0.1", "127.255.0.3", "0.0.0.0", "0.1.2.3", "169.254.169.254", "::1", "::"]
    )
    def test_this_machine_and_its_link(self, address: str) -> None:
        assert forwarder.forbidden(address)

    @pytest.mark.parametrize("address", ["fe80::1%lo", "fd00:ec2::254", "168.63.129.16", "100.100.100.200", "ff02::1"])
    def test_the_platform(self, address: str) -> None:
        assert forwarder.forbidden(address)

    @pytest.mark.parametrize("address", ["8.8.8.8", "10.1.2.3", "2606:4700::1", "fd12:3456::1"])
    def test_the_networks_around_are_let_be(self, address: str) -> None:
        assert not forwarder.forbidden(address)

    @given(st.ip_addresses(v=4, network="127.0.0.0/8") | st.ip_addresses(v=4, network="169.254.0.0/16"))
    def test_no_way_to_write_one_into_ipv6_hides_it(self, address: ipaddress.IPv4Address) -> None:
        number = int(address)
        mapped, compatible, translated = 0xFFFF << 32, 0, 0x64FF9B << 96
        for prefix in (mapped, compatible, translated):
            assert forwarder.forbidden(str(ipaddress.IPv6Address(prefix | number)))
        assert forwarder.forbidden(str(ipaddress.IPv6Address((0x2002 << 112) | (number << 80))))


class TestProxy:
    def test_it_is_told_its_password(self, proxy: proxy_and_index.Server, index: proxy_and_index.Server) -> None:
        door = at(proxy.with_password, "proxy")
        host = f"pypi.org:{index.server_address[1]}"
        said(door, connect(host), get(f"http://{host}/"), names=("pypi.org",))
        assert proxy.asked == [("CONNECT", host), ("GET", f"http://{host}/")]

    def test_a_password_of_the_build_s_takes_no_place_of_it(self, proxy: proxy_and_index.Server) -> None:
        (answer,) = said(
            at(proxy.origin, "proxy"), get(f"http://{PUBLIC}/", "x", f"Proxy-Authorization: {proxy_and_index.BASIC}")
        )
        assert "407" in answer

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:7f00:1]"])
    def test_it_leads_to_nothing_here(self, proxy: proxy_and_index.Server, host: str) -> None:
        port = proxy.server_address[1]
        answers = said(at(proxy.with_password, "proxy"), connect(f"{host}:{port}"), get(f"http://{host}:{port}/"))
        assert all(answer.startswith("HTTP/1.1 403") for answer in answers)
        assert proxy.asked == []

    def test_it_is_told_the_address_that_was_looked_at(
        self, proxy: proxy_and_index.Server, resolved: Callable[..., None]
    ) -> None:
        resolved([PUBLIC], ["127.0.0.1"])
        said(at(proxy.with_password, "proxy"), connect("rebound.example:9"))
        assert proxy.asked == [("CONNECT", f"{PUBLIC}:9")]

    def test_one_address_here_among_others_is_enough_to_refuse(
        self, proxy: proxy_and_index.Server, resolved: Callable[..., None]
    ) -> None:
        resolved([PUBLIC, "127.0.0.1"])
        (answer,) = said(at(proxy.with_password, "proxy"), connect("rebound.example:9"))
        assert answer.startswith("HTTP/1.1 403")
        assert proxy.asked == []

    def test_one_that_is_elsewhere_is_told_names_that_do_not_lead_here(
        self, proxy: proxy_and_index.Server, resolved: Callable[..., None]
    ) -> None:
        resolved([PUBLIC])
        door = replace(at(proxy.with_password, "proxy"), own=False)
        said(door, connect("rebound.example:9"), connect("unknown.invalid:9"), connect("localhost:9"))
        assert proxy.asked == [("CONNECT", "rebound.example:9"), ("CONNECT", "unknown.invalid:9")]

    @pytest.mark.parametrize(
        "request_",
        [
            get("/", "127.0.0.1"),
            get("https://pypi.org/"),
            get("http:///x"),
            get("http://pypi.org:x/"),
            connect("pypi.org"),
            connect("pypi.org:443/x"),
            connect("pypi.org@127.0.0.1:443"),
            get("http://pypi.org\\@127.0.0.1/"),
            get("http://pypi.org/", "x", "Content-Length: 1", "Transfer-Encoding: chunked") + "0\r\n\r\n",
            "\x00\x01\r\n\r\n",
        ],
    )
    def test_what_could_be_read_in_two_ways_is_refused(self, proxy: proxy_and_index.Server, request_: str) -> None:
        (answer,) = said(at(proxy.with_password, "proxy"), request_, names=("pypi.org",))
        assert answer.split()[1] in ("400", "403", "501")
        assert proxy.asked == []

    def test_nothing_comes_behind_a_request(self, proxy: proxy_and_index.Server) -> None:
        port = proxy.server_address[1]
        behind = get(f"http://pypi.org:{port}/") + get("http://127.0.0.1/")
        said(at(proxy.with_password, "proxy"), behind, names=("pypi.org",))
        assert proxy.asked == [("GET", f"http://pypi.org:{port}/")]

    def test_without_an_upstream_it_goes_where_it_may_itself(
        self, index: proxy_and_index.Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refused = get(f"{index.origin}/x")
        assert said(at("", "proxy"), refused)[0].startswith("HTTP/1.1 403")
        monkeypatch.setattr(forwarder, "forbidden", lambda address: False)
        assert said(at("", "proxy"), refused)[0].startswith("HTTP/1.1 401")
        assert index.asked == [("GET", "/x")]


class TestIndex:
    def test_a_file_that_a_page_links_to_is_had_by_its_password(self, index: proxy_and_index.Server) -> None:
        index.files["six-1.tar.gz"] = b"the content"
        door = at(f"{index.with_password}/team/simple/", "index")
        page, file = said(door, get("/team/simple/six/"), get("/files/six-1.tar.gz"))
        assert "http://127.0.0.1:49100/files/six-1.tar.gz" in page
        assert index.origin not in page
        assert file.endswith("the content")

    @pytest.mark.parametrize(
        "target",
        [
            "/files/six-1.tar.gz",
            "/admin",
            "/team/simple/%2e%2e/admin",
            "/team/simple/%252e./admin",
            "/team/simple/..%5cadmin",
            "/team/simple/../admin",
            "/team/other",
            "/team/simpler/six/",
        ],
    )
    def test_nothing_else_is(self, index: proxy_and_index.Server, target: str) -> None:
        index.files["six-1.tar.gz"] = b"the content"
        (answer,) = said(at(f"{index.with_password}/team/simple/", "index"), get(target))
        assert answer.startswith("HTTP/1.1 401")
        assert "www-authenticate" not in answer.lower()

    def test_what_its_pages_and_redirections_lead_to_is(self, index: proxy_and_index.Server) -> None:
        index.files["six-1+cpu.whl"] = b"the content"
        index.files["six-1+cpu.whl.metadata"] = b"the metadata"
        index.moved = "/elsewhere/six/"
        door = at(f"{index.with_password}/team/simple", "index")
        moved, page, file, metadata = said(
            door,
            get("/team/simple/moved/"),
            get("/elsewhere/six/"),
            get("/files/six-1%2Bcpu.whl"),
            get("/files/six-1+cpu.whl.metadata"),
        )
        assert "location: http://127.0.0.1:49100/elsewhere/six/" in moved.lower()
        assert "six-1+cpu.whl" in page
        assert file.endswith("the content")
        assert metadata.endswith("the metadata")

    @pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH"])
    def test_it_is_only_read(self, index: proxy_and_index.Server, method: str) -> None:
        request = get("/team/simple/six/").replace("GET", method, 1)
        (answer,) = said(at(f"{index.with_password}/team/simple/", "index"), request)
        assert answer.startswith("HTTP/1.1 405")
        assert index.asked == []

    @pytest.mark.parametrize("target", ["http://127.0.0.1/", "//127.0.0.1/", "127.0.0.1:80", "*"])
    def test_it_is_asked_for_paths_alone(self, index: proxy_and_index.Server, target: str) -> None:
        (answer,) = said(at(f"{index.with_password}/team/simple/", "index"), get(target))
        assert answer.startswith("HTTP/1.1 400")
        assert index.asked == []

    def test_one_connection_serves_many_requests(self, index: proxy_and_index.Server) -> None:
        index.files["six-1.tar.gz"] = bytes(1 << 20)
        requests = get("/team/simple/six/").replace("Connection: close", "Accept: */*") * 2
        head = get("/team/simple/six/").replace("GET", "HEAD", 1)
        (answer,) = said(at(f"{index.with_password}/team/simple/", "index"), requests + head)
        assert answer.count("HTTP/1.1 200") == 3

    def test_an_index_that_is_away_is_said(self, index: proxy_and_index.Server) -> None:
        with contextlib.closing(socket.create_server(HERE)) as free:
            port = free.getsockname()[1]
        (answer,) = said(at(f"http://127.0.0.1:{port}/simple", "index"), get("/simple/"))
        assert answer.startswith("HTTP/1.1 502")


def test_what_is_encrypted_to_the_end_is_passed_on_unread() -> None:
    async def converse() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.read(100))[::-1])
            writer.close()

        upstream = await asyncio.start_server(echo, *HERE)
        port = upstream.sockets[0].getsockname()[1]
        listening = socket.create_server(HERE)
        await Forwarder().serve(at(f"https://127.0.0.1:{port}", "relay"), [listening])
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        writer.write(b"\x16\x03CONNECT")
        return await asyncio.wait_for(reader.read(), 30)

    assert asyncio.run(converse()) == b"TCENNOC\x03\x16"
