"""Installs pip into the Python that runs this, from the package index: for images whose Python has no ensurepip.

Standard library only. As pip does, it takes the index from PIP_INDEX_URL (one that asks for no password) and the
certificates from PIP_CERT.
"""
# Runs on the Python of the base image, from 3.6 on.
# ruff: noqa: UP006, UP035, UP045

import hashlib
import os
import re
import ssl
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from typing import List, NamedTuple, Optional, Tuple
from urllib.parse import urldefrag, urljoin
from urllib.request import urlopen

Version = Tuple[int, ...]


class Wheel(NamedTuple):
    """A release of pip: its version, where it is, and its SHA-256 if the index says it."""

    version: Version
    url: str
    sha256: str


class Page(HTMLParser):
    """The page of a project on a simple index (PEP 503, PEP 592): collects its links."""

    def __init__(self) -> None:
        super().__init__()
        self.links = []  # type: list[dict[str, str]]

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        if tag == "a":
            self.links.append({name: value or "" for name, value in attrs})


def newest(html: str, address: str, python: Version) -> Optional[Wheel]:
    """Return the newest release of pip on the page at `address` that runs on this version of Python, if any does."""
    page = Page()
    page.feed(html)
    wheels = []
    for link in page.links:
        url, fragment = urldefrag(urljoin(address, link.get("href", "")))
        name = re.search(r"/pip-(\d+(?:\.\d+)*)-py[0-9.py]*-none-any\.whl$", url)
        if name and "data-yanked" not in link and runs_on(link.get("data-requires-python", ""), python):
            sha256 = fragment[len("sha256=") :] if fragment.startswith("sha256=") else ""
            wheels.append(Wheel(numbers(name.group(1)), url, sha256))
    return max(wheels) if wheels else None


def runs_on(requires: str, python: Version) -> bool:
    """Tell whether the lower bound in Requires-Python allows this Python; pip has never set an upper one."""
    return all(python >= numbers(bound) for bound in re.findall(r">=\s*(\d+(?:\.\d+)*)", requires))


def numbers(version: str) -> Version:
    return tuple(int(number) for number in version.split("."))


def read(url: str) -> bytes:
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
    with urlopen(url, timeout=60, context=context) as response:  # noqa: S310 - the index of the deployment
        return bytes(response.read())


def main() -> None:
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    print(f"Fetching pip from {index}, for the Python of the image has none to give", flush=True)
    wheel = newest(read(index).decode(), index, sys.version_info[:3])
    if wheel is None:
        sys.exit(f"ERROR: no pip for this Python at {index}")
    content = read(wheel.url)
    if wheel.sha256 and hashlib.sha256(content).hexdigest() != wheel.sha256:
        sys.exit(f"ERROR: {wheel.url} has not the hash that the index says")
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, wheel.url.rsplit("/", 1)[1])
        with open(path, "wb") as file:
            file.write(content)
        # Nothing that the base image tells pip may lead it elsewhere.
        options = ["--isolated", "--no-index", "--ignore-installed"]
        alone = {**os.environ, "PIP_CONFIG_FILE": os.devnull, "PYTHONNOUSERSITE": "1"}
        subprocess.check_call([sys.executable, path + "/pip", "install", *options, path], env=alone)


if __name__ == "__main__":
    try:
        main()
    except OSError as exc:
        sys.exit(f"ERROR: pip cannot be fetched ({exc}): add python3-venv to `packages` or choose another base")
