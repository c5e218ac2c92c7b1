"""What every place for an archive does, and how it fails: a directory, and S3 by the real client."""

from __future__ import annotations

import http.server
import io
import secrets
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from amun.archive import s3
from amun.archive.directory import DirectoryStore
from amun.archive.s3 import S3Store
from amun.archive.store import CHUNK, Store
from amun.errors import ArchiveUnavailable
from tests.support import archive_doubles

HOSTILE = ["", "/", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", ".hidden", "a/.b", "a b", "a\0b", "a\nb", "ä"]


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with archive_doubles.s3_server() as url:
        yield url


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "directory":
        return archive_doubles.directory_store(tmp_path / "archive")
    return archive_doubles.s3_store(request.getfixturevalue("s3_url"), secrets.token_hex(8))


def test_what_is_put_is_there_byte_for_byte(store: Store) -> None:
    content = bytes(range(256)) * 3
    assert store.put_bytes("a/b/c", content)
    assert store.get("a/b/c") == content


def test_an_empty_object_is_there(store: Store) -> None:
    assert store.put_bytes("a/empty", b"")
    assert store.get("a/empty") == b""
    assert list(store.list("a")) == ["a/empty"]


def test_nothing_is_put_over_what_is_there(store: Store) -> None:
    assert store.put_bytes("a/b", b"first")
    assert not store.put_bytes("a/b", b"second")
    assert store.get("a/b") == b"first"


def test_a_file_is_put_from_where_it_stands(store: Store) -> None:
    file = io.BytesIO(b"skipped, kept")
    file.seek(9)
    assert store.put_once("a", file)
    assert store.get("a") == b"kept"


def test_what_is_not_there_is_none(store: Store) -> None:
    store.put_bytes("a/b", b"x")
    for key in ("c", "a/c", "a", "a/b/c"):
        assert store.get(key) is None
        assert store.open(key, 3) is None


@pytest.mark.parametrize("offset", [0, 1, 9, 10, 11, 10**9])
def test_an_object_is_read_from_an_offset(store: Store, offset: int) -> None:
    store.put_bytes("a", b"0123456789")
    found = store.open("a", offset)
    assert found is not None
    assert b"".join(found) == b"0123456789"[offset:]


def test_large_objects_come_in_chunks(store: Store) -> None:
    content = secrets.token_bytes(1 << 20) * 20
    store.put_bytes("large", content)
    chunks = list(store.open("large") or ())
    assert max(map(len, chunks)) <= CHUNK
    assert b"".join(chunks) == content


def test_a_list_is_of_what_is_below_and_of_nothing_beside(store: Store) -> None:
    for key in ("a/b", "a/c/d", "a/c/e", "a/cd", "ab/c"):
        store.put_bytes(key, b"x")
    assert set(store.list("a")) == {"a/b", "a/c/d", "a/c/e", "a/cd"}
    assert set(store.list("a/c")) == {"a/c/d", "a/c/e"}
    assert list(store.list("nothing")) == []


def test_deleting_takes_all_below_and_nothing_beside(store: Store) -> None:
    for key in ("a/b", "a/c/d", "a/c/e", "a/cd"):
        store.put_bytes(key, b"x")
    store.delete("a/c")
    store.delete("a/c")
    assert set(store.list("a")) == {"a/b", "a/cd"}
    store.delete("a/b")
    assert set(store.list("a")) == {"a/cd"}
    assert store.put_bytes("a/b", b"again")
    assert store.get("a/b") == b"again"


def test_more_is_listed_and_deleted_than_one_request_does(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "BATCH", 4)
    for number in range(11):
        store.put_bytes(f"a/{number}", b"x")
    store.delete("a")
    assert list(store.list("a")) == []


@pytest.mark.parametrize("key", HOSTILE)
def test_what_is_no_key_touches_nothing(store: Store, key: str) -> None:
    store.put_bytes("b", b"x")
    uses: list[Callable[[], Any]] = [
        lambda: store.put_bytes(key, b"y"),
        lambda: store.open(key),
        lambda: store.list(key),
        lambda: store.delete(key),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="is no key"):
            use()
    assert store.get("b") == b"x"


def test_an_interrupted_put_leaves_nothing(store: Store) -> None:
    class Interrupted(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            if self.tell():
                raise KeyboardInterrupt
            return super().read(10)

    with pytest.raises(KeyboardInterrupt):
        store.put_once("a/b", Interrupted(bytes(100)))
    assert store.get("a/b") is None
    assert list(store.list("a")) == []


# -- directories -----------------------------------------------------------------------------------------------------


def test_of_many_writers_one_is_first(tmp_path: Path) -> None:
    """Of a directory only: of S3 it is the store that sees to it, and the stand-in does not."""
    store = archive_doubles.directory_store(tmp_path / "archive")
    writers = 16
    barrier = threading.Barrier(writers)

    def write(number: int) -> bool:
        barrier.wait()
        return store.put_bytes("a/b", b"%d" % number * 10_000)

    for _ in range(10):
        with ThreadPoolExecutor(writers) as pool:
            kept = list(pool.map(write, range(writers)))
        assert kept.count(True) == 1
        assert store.get("a/b") == b"%d" % kept.index(True) * 10_000
        store.delete("a/b")


def test_without_hard_links_objects_are_put_once_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    store = archive_doubles.directory_store(tmp_path / "archive")
    assert store.put_bytes("a/b", b"first")
    assert not store.put_bytes("a/b", b"second")
    assert store.get("a/b") == b"first"
    assert [path.name for path in (tmp_path / "archive/a").iterdir()] == ["b"]


def test_a_writer_that_was_killed_leaves_a_draft_that_is_not_seen(tmp_path: Path) -> None:
    program = """
import os, sys, pathlib
from amun.archive.directory import DirectoryStore
class Deadly:
    def __init__(self): self.calls = 0
    def read(self, size):
        self.calls += 1
        if self.calls > 3: os.kill(os.getpid(), 9)
        return bytes(size)
DirectoryStore(pathlib.Path(sys.argv[1])).put_once("a/b", Deadly())
"""
    store = archive_doubles.directory_store(tmp_path / "archive")
    assert subprocess.run([sys.executable, "-c", program, tmp_path / "archive"], check=False).returncode == -9
    assert list((tmp_path / "archive/a").iterdir()) != []
    assert list(store.list("a")) == []
    assert store.put_bytes("a/b", b"whole")
    store.delete("a")
    assert list((tmp_path / "archive").iterdir()) == []


def test_a_directory_that_is_not_there_is_out_of_reach_and_not_made(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "not-mounted")
    for use in _uses(store):
        with pytest.raises(ArchiveUnavailable, match="not there"):
            use()
    assert not (tmp_path / "not-mounted").exists()


def test_a_disk_that_refuses_is_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    store = archive_doubles.directory_store(tmp_path / "archive")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ArchiveUnavailable, match="No space left on device"):
        store.put_bytes("a/b", b"x")
    assert list((tmp_path / "archive/a").iterdir()) == []


# -- S3 --------------------------------------------------------------------------------------------------------------


def test_a_store_that_is_not_there_is_out_of_reach(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    for use in _uses(S3Store(archive_doubles.BUCKET, "", "http://127.0.0.1:1")):
        with pytest.raises(ArchiveUnavailable, match="EndpointConnectionError") as caught:
            use()
        assert "127.0.0.1" in caught.value.detail
        assert "127.0.0.1" not in str(caught.value)  # which callers are shown


def test_a_bucket_that_is_not_there_is_out_of_reach_and_not_empty(s3_url: str) -> None:
    for use in _uses(S3Store("no-such-bucket", "", s3_url)):
        with pytest.raises(ArchiveUnavailable, match="NoSuchBucket"):
            use()


def test_without_credentials_the_store_is_out_of_reach(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(ArchiveUnavailable, match="NoCredentialsError"):
        S3Store(archive_doubles.BUCKET, "", s3_url).get("a")


class _Handler(http.server.BaseHTTPRequestHandler):
    answer = b""

    def do_GET(self) -> None:
        self.wfile.write(self.answer)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _answering(answer: bytes, certificate: trustme.LeafCert | None = None) -> Iterator[str]:
    """A server that has one answer for all who ask."""
    handler = type("Handler", (_Handler,), {"answer": answer})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http{'' if certificate is None else 's'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_object_that_breaks_off_is_not_taken_for_whole(s3_url: str) -> None:
    with _answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this") as url:
        chunks = S3Store(archive_doubles.BUCKET, "", url).open("a")
        assert chunks is not None
        with pytest.raises(ArchiveUnavailable):
            b"".join(chunks)


def test_only_a_store_with_a_good_certificate_is_spoken_to(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "ATTEMPTS", 1)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    body = b"<Error><Code>NoSuchKey</Code></Error>"
    answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with _answering(answer, authority.issue_cert("127.0.0.1")) as url:
        with pytest.raises(ArchiveUnavailable, match="SSLError"):
            S3Store(archive_doubles.BUCKET, "", url).get("a")
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        assert S3Store(archive_doubles.BUCKET, "", url).get("a") is None


def _uses(store: Store) -> list[Callable[[], Any]]:
    return [
        lambda: store.put_bytes("a/b", b"x"),
        lambda: store.get("a/b"),
        lambda: store.list("a"),
        lambda: store.delete("a/b"),
    ]
