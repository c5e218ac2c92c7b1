"""Static files of the page: read once, compressed once, and cached by browsers for as long as they do not change."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

DIRECTORY = Path(__file__).parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class File:
    """One file as it is sent."""

    content: bytes
    compressed: bytes
    media_type: str
    version: str


@lru_cache(maxsize=1)
def files() -> dict[str, File]:
    """All there are, by their path below the directory; nothing else is served."""
    paths = (path for path in sorted(DIRECTORY.rglob("*")) if path.is_file())
    return {path.relative_to(DIRECTORY).as_posix(): _read(path) for path in paths}


def _read(path: Path) -> File:
    content = path.read_bytes()
    media_type = mimetypes.guess_type(path.name)[0] or "text/plain"
    if media_type == "application/javascript":
        media_type = "text/javascript"
    kind = f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type
    return File(content, gzip.compress(content, 9, mtime=0), kind, hashlib.sha256(content).hexdigest()[:12])


def url(path: str) -> str:
    """Where a file is served, by what is in it. Raises KeyError."""
    return f"/static/{files()[path].version}/{path}"


async def serve(request: Request) -> Response:
    """Answer with a file; one that is asked for by another version's name is not to be kept under it."""
    found = files().get(request.path_params["path"])
    if found is None:
        return Response("There is nothing at this path.\n", 404, media_type="text/plain")
    current = request.path_params["version"] == found.version
    headers = {"Cache-Control": FOR_EVER if current else "no-store", "Vary": "Accept-Encoding"}
    content = found.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"], content = "gzip", found.compressed
    return Response(content, headers=headers, media_type=found.media_type)
