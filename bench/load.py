"""As many requests as a service answers: by wrk where it is installed, else by threads of this process."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from amun.client import Document

CONNECTIONS = 16


@dataclass(frozen=True)
class Target:
    """A request; one with a body is a POST."""

    url: str
    body: Document | None = None


def tool() -> str:
    """What makes the requests."""
    return "wrk" if shutil.which("wrk") else "Python threads"


def requests_answered(target: Target, seconds: float) -> tuple[int, float]:
    """How many requests were answered, and in how many seconds. Raises RuntimeError if one was refused."""
    return _wrk(target, seconds) if shutil.which("wrk") else _threads(target, seconds)


def _wrk(target: Target, seconds: float) -> tuple[int, float]:
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "request.lua")
        # A JSON string is a Lua string as well, as long as it needs no \u.
        body = json.dumps(json.dumps(target.body, ensure_ascii=False), ensure_ascii=False)
        lines = ['wrk.method = "POST"', f"wrk.body = {body}", 'wrk.headers["Content-Type"] = "application/json"']
        script.write_text("\n".join(lines) if target.body is not None else "")
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "-s", str(script), target.url]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", said)
    if found is None or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk: {said.strip()[-200:]}")
    return int(found[1]), float(found[2]) * {"ms": 0.001, "s": 1, "m": 60}[found[3]]


def _threads(target: Target, seconds: float) -> tuple[int, float]:
    begun = time.monotonic()
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(_ask(target, begun + seconds))) for _ in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(counts) < CONNECTIONS:
        raise RuntimeError("a request was refused")
    return sum(counts), time.monotonic() - begun


def _ask(target: Target, end: float) -> int:
    """Ask again and again on one connection until `end`; how often."""
    url, count = urlsplit(target.url), 0
    connection = http.client.HTTPConnection(url.netloc, timeout=30)
    method, body = ("GET", None) if target.body is None else ("POST", json.dumps(target.body))
    while time.monotonic() < end:
        connection.request(method, url.path, body, {"Content-Type": "application/json"})
        with connection.getresponse() as response:
            response.read()
            if response.status >= 300:
                raise RuntimeError(f"{target.url} answers {response.status}")
        count += 1
    return count
