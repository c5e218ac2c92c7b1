"""Latency of the API, and what one environment already built costs a caller; prints a table.

Usage: bench.py URL
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import requests

EXAMPLE = Path(__file__).parent.parent / "examples" / "build-only.json"
REQUESTS = 200


def measure(name: str, call: Callable[[], requests.Response], times: int = REQUESTS) -> None:
    """Call it one after the other and print the spread in milliseconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call().raise_for_status()
        taken.append((time.perf_counter() - begun) * 1000)
    tenths = statistics.quantiles(taken, n=10)
    print(f"{name:32} {times:5} times   median {statistics.median(taken):8.2f} ms   90 % within {tenths[-1]:8.2f} ms")


def main() -> None:
    url = sys.argv[1] + "/api/v1"
    document = json.loads(EXAMPLE.read_text())
    session = requests.Session()
    session.trust_env = False
    measure("GET /version", lambda: session.get(f"{url}/version"))
    measure("GET /inspect", lambda: session.get(f"{url}/inspect"))
    measure("POST /inspect?dry_run=true", lambda: session.post(f"{url}/inspect?dry_run=true", json=document), 50)
    measure(
        "POST generate-dockerfile", lambda: session.post(f"{url}/_debug/generate-dockerfile", json=document), times=50
    )


if __name__ == "__main__":
    main()
