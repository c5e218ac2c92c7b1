"""What the tests of the API share: a caller, and a few inspections that many tests only look at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from amun import __version__
from tests.conftest import Service, specification

SCRIPT = """#!/bin/sh
echo "this goes to stderr of item $AMUN_ITEM" >&2
sleep 0.1
printf '{"item": %s,\\n "batch_size": %s}\\n' "$AMUN_ITEM" "$AMUN_BATCH_SIZE"
"""
"""Prints one JSON object over two lines, and something on the other stream before it."""

SLEEPER = "echo awake; exec sleep 600"

UNKNOWN = "inspection-0123456789abcdef"
"""An id that could exist and does not."""


class Api:
    """A caller with no library between it and the service. Every answer has to carry the version."""

    def __init__(self, url: str) -> None:
        self.root = url
        self.url = f"{url}/api/v1"
        self._session = requests.Session()

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """`path` is one of the API, or a whole URL."""
        url = path if path.startswith("http") else self.url + path
        options = {"timeout": 30, "allow_redirects": False, **options}
        response = self._session.request(method, url, **options)
        assert response.headers["X-Amun-Version"] == __version__
        if response.status_code >= 400:
            assert_error(response)
        return response

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.ask("GET", path, **options)

    def post(self, path: str, document: object = None, **options: Any) -> requests.Response:
        return self.ask("POST", path, json=document, **options)

    def json(self, path: str, status: int = 200, **query: Any) -> dict[str, Any]:
        """The document at a path."""
        response = self.get(path, params=query)
        assert response.status_code == status, response.text
        assert response.headers["Content-Type"] == "application/json"
        document: dict[str, Any] = response.json()
        return document

    def text(self, path: str, **query: Any) -> str:
        """The plain text at a path, to its end."""
        response = self.get(path, params=query, headers={"Accept": "text/plain"})
        assert response.status_code == 200, response.text
        assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
        return response.content.decode()

    @contextlib.contextmanager
    def follow(self, path: str, **query: Any) -> Iterator[Iterator[bytes]]:
        """The lines of a log as they come."""
        options: dict[str, Any] = {"params": {"follow": "true", **query}, "stream": True}
        with requests.get(self.url + path, timeout=30, **options) as response:
            assert response.status_code == 200, response.text
            yield response.iter_lines(chunk_size=1)


def assert_error(response: requests.Response) -> dict[str, Any]:
    """Check that a refusal has the one shape of all of them."""
    assert response.headers["Content-Type"] == "application/json"
    if response.request.method == "HEAD":
        return {}
    document: dict[str, Any] = response.json()
    assert set(document) - {"details"} == {"error", "parameters"}
    assert isinstance(document["parameters"], dict)
    assert isinstance(document["error"], str)
    assert document["error"].endswith(".")
    for word in ("Traceback", "Exception", "connexion", "flask", "amun.", ".py"):
        assert word not in document["error"]
    return document


@pytest.fixture(scope="session")
def api(service: Service) -> Api:
    return Api(service.url)


@pytest.fixture(scope="session")
def done(service: Service, base: str) -> str:
    """An inspection of two items that succeeded."""
    inspection_id = service.submit(specification(base, SCRIPT, identifier="done", batch_size=2, parallelism=2))
    assert service.wait(inspection_id)["phase"] == "succeeded"
    return inspection_id


@pytest.fixture(scope="session")
def build_only(service: Service, base: str) -> str:
    """An inspection without a script."""
    inspection_id = service.submit(specification(base, None, identifier="build-only"))
    assert service.wait(inspection_id)["phase"] == "succeeded"
    return inspection_id


@pytest.fixture(scope="session")
def build_failed(service: Service, base: str) -> str:
    """An inspection whose build failed, for a file below another one."""
    files = [{"path": "/etc/passwd/below", "content": "x"}]
    document = specification(base, "true", identifier="broken", files=files)
    inspection_id = service.submit(document)
    assert service.wait(inspection_id)["phase"] == "build_failed"
    return inspection_id


@pytest.fixture(scope="module")
def running(service: Service, base: str) -> Iterator[str]:
    """An inspection of two items of which one runs until the module's tests are over."""
    document = specification(base, SLEEPER, identifier="running", batch_size=2)
    inspection_id = service.submit(document)
    service.wait(inspection_id, "running")
    yield inspection_id
    service.client.delete(inspection_id)
