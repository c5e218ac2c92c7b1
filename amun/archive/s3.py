"""An archive in a bucket of S3, or of a store that speaks as S3 does.

Credentials and region are found by boto3: in the environment, in its files, in the role of a pod. An object is put on
the condition that there is none (``If-None-Match: *``), which every store that is worth its name has by now.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator
from typing import IO, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from amun.errors import ArchiveUnavailable

from .store import CHUNK, Store, checked

CONNECT_TIMEOUT = 5
READ_TIMEOUT = 30
"""Seconds without an answer, after which a request is tried again."""

ATTEMPTS = 3
BATCH = 1000
"""Objects that one request may delete."""

CONNECTIONS = 50
"""Connections that are kept: readers of logs hold one each."""


class S3Store(Store):
    """Objects in `bucket`, their keys after `prefix`. With an `endpoint`, of the store that is there."""

    def __init__(self, bucket: str, prefix: str = "", endpoint: str | None = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._made: Any = None

    @property
    def _client(self) -> Any:
        """Made when it is needed first, in the process that needs it; clients may be shared among threads."""
        with self._lock:
            if self._made is None:
                self._made = boto3.session.Session().client("s3", endpoint_url=self._endpoint, config=self._config())
            return self._made

    def _config(self) -> Config:
        return Config(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"mode": "standard", "max_attempts": ATTEMPTS},
            max_pool_connections=CONNECTIONS,
            # Other stores seldom have a host name for each bucket, and do not know all of Amazon's checksums. The
            # signature covers the content in any case.
            s3={"addressing_style": "path" if self._endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )

    def put_once(self, key: str, content: IO[bytes]) -> bool:
        try:
            with _errors():
                self._client.put_object(Bucket=self._bucket, Key=self._key(key), Body=content, IfNoneMatch="*")
        except _Refused as refused:
            if refused.answer == 412:
                return False
            raise
        return True

    def open(self, key: str, offset: int = 0) -> Iterator[bytes] | None:
        part = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            with _errors():
                found = self._client.get_object(Bucket=self._bucket, Key=self._key(key), **part)
        except _Refused as refused:
            if refused.code == "NoSuchKey":
                return None
            if refused.answer == 416:  # the object ends before `offset`
                return iter(())
            raise
        return _chunks(found["Body"])

    def list(self, prefix: str) -> Iterable[str]:
        below = self._key(prefix) + "/"
        with _errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=below)
            found = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return [key.removeprefix(self._prefix) for key in found]

    def delete(self, key: str) -> None:
        keys = [self._key(key), *(self._prefix + below for below in self.list(key))]
        for start in range(0, len(keys), BATCH):
            objects = [{"Key": name} for name in keys[start : start + BATCH]]
            with _errors():
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
            for error in answer.get("Errors", ()):
                raise ArchiveUnavailable(f"The archive is out of reach: {error['Code']}.", str(error))

    def _key(self, key: str) -> str:
        return self._prefix + checked(key)


class _Refused(ArchiveUnavailable):
    """The store answered, and not with what was asked for."""

    def __init__(self, error: ClientError) -> None:
        self.code: str = error.response.get("Error", {}).get("Code", "Unknown")
        self.answer: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        super().__init__(f"The archive is out of reach: {self.code}.", str(error))


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        raise _Refused(exc) from exc
    except BotoCoreError as exc:  # its words name the endpoint, which is not for callers
        raise ArchiveUnavailable(f"The archive is out of reach: {type(exc).__name__}.", str(exc)) from exc


def _chunks(body: Any) -> Iterator[bytes]:
    with contextlib.closing(body), _errors():
        yield from body.iter_chunks(CHUNK)
