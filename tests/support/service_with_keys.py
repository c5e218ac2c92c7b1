"""The service in this process, with API keys and the embedded engine at a standstill: no Podman, nothing moves.

What is submitted is declared in a real state directory, and stays queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amun.auth.api_keys import new_key
from amun.auth.callers import Reviewer
from amun.composition import create_app
from amun.engines.podman.engine import PodmanEngine
from amun.settings import Settings

Headers = Iterable[tuple[bytes, bytes]]

DOCUMENT = {"base": "debian:12", "script": "true"}
NAME = "amun.example"
"""What it is called where it is not asked by an address of this machine."""

NAMES = ("alice", "bob", "root")
"""Callers; the last one sees all."""


class StillEngine(PodmanEngine):
    """Declares and reads as ever, and asks Podman nothing."""

    def check(self) -> None:
        pass

    def resolve(self, base: str) -> str | None:
        return None


@dataclass
class Answer:
    """What came back, header names in lower case."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Guarded:
    """A service, its keys, and a caller without a library in between."""

    def __init__(self, directory: Path, reviewer: Reviewer | None = None, **settings: Any) -> None:
        directory.mkdir(exist_ok=True)
        self.file = directory / "keys"
        made = {name: new_key(name, admin=name == "root") for name in NAMES}
        self.keys = {name: key for name, (key, _) in made.items()}
        self.file.write_text("".join(f"{entry}\n" for _, entry in made.values()))
        given = {"auth": "keys", "api_keys": self.file, "log_level": "CRITICAL", "allowed_hosts": NAME, **settings}
        self.settings = Settings(state_dir=directory / "state", engine="podman", **given)
        self.engine = StillEngine(self.settings)
        self.app = create_app(self.settings, self.engine, reviewer)
        self.client = self.app.test_client(base_url="http://localhost", follow_redirects=False)

    def ask(self, who: str | None, method: str, path: str, **options: Any) -> Any:
        """The response to a caller: one of `NAMES`, None for nobody, or another credential."""
        headers = {} if who is None else {"Authorization": f"Bearer {self.keys.get(who, who)}"}
        headers.update(options.pop("headers", {}))
        return self.client.request(method, path, headers=headers, **options)

    def submit(self, who: str | None, key: str | None = None, **fields: Any) -> str:
        headers = {} if key is None else {"Idempotency-Key": key}
        response = self.ask(who, "POST", "/api/v1/inspect", json={**DOCUMENT, **fields}, headers=headers)
        assert response.status_code == 202, response.text
        accepted: str = response.json()["inspection_id"]
        return accepted

    def raw(self, path: str, headers: Headers = (), method: str = "GET", body: bytes = b"", **scope: Any) -> Answer:
        """The answer to a request just as it is given, but for a Host where there is none: nothing is tidied up."""
        answer = Answer()
        given = list(headers)
        if not any(name.lower() == b"host" for name, _ in given):
            given.insert(0, (b"host", NAME.encode()))

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
            answer.body += message.get("body", b"")

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        asked = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b""}
        connection = {"client": ("192.0.2.1", 40000), "server": ("192.0.2.2", 8080), "scheme": "http"}
        whole = {**asked, **connection, "http_version": "1.1", "root_path": "", "headers": given, **scope}
        asyncio.run(self.app(whole, receive, send))
        return answer
