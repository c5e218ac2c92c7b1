"""Getting the base image of a build: a program that sees to the image, and then becomes `podman build`.

What a caller names is built on only if it is on this machine under just that name, or comes from a registry under it:
Podman itself takes any image for ``NAME@sha256:…`` whose content has that digest, be it another caller's environment.

An image may carry triggers (ONBUILD): lines of a Dockerfile that the next build runs with all that Dockerfiles can do.
Of such an image a copy without them is made and built on, once for all builds. OCI images have no triggers, so it is
the copy's format that drops them, with HEALTHCHECK and SHELL, which no run uses.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import amun
from amun import parent_death
from amun.model import image_names

UNTRIGGERED = "localhost/amun/untriggered"
"""Repository of copies without triggers; the tag is the original's id."""

BASE = "AMUN_BASE"
"""Word of the command that stands for the image to build on."""

PAUSES = (0.0, 0.1, 0.3, 1.0, 3.0)
"""Seconds before an image is looked for, the first time and again where Podman fails to look."""

FAILED = 125
"""Podman's own exit code for what it could not even begin."""

ROOT = Path(amun.__file__).resolve().parent.parent
PROGRAM = "import sys; sys.path.insert(0, sys.argv.pop(1)); from amun.engines.podman.builds.bases import main; main()"

PROGRESS = re.compile(r"(?:Trying to pull|Getting image|Copying |Writing manifest|Storing signatures)")
"""Beginnings of the lines that say how a pull gets on."""

REGISTRY_SAID = re.compile(
    r"manifest unknown|name unknown|unauthorized|authentication required|denied|toomanyrequests|not found: manifest"
    r"|no image found in (?:manifest list|image index)|repository .* not found",
    re.IGNORECASE,
)
"""What only a registry says, in whatever client's words: https://distribution.github.io/distribution/spec/api/#errors"""


class NoBase(Exception):
    """There is no image to build on; says why."""


def command(podman: str, reference: str, notes: Path, *build: str) -> list[str]:
    """`build`, a command in which `BASE` stands for the image, once that is on this machine.

    What went wrong with a registry is written to the file `notes`: it is the operator's, not the caller's to know.
    """
    return [sys.executable, "-c", PROGRAM, str(ROOT), podman, reference, str(notes), *build]


def main() -> None:
    """Run as ``PODMAN REFERENCE NOTES COMMAND…``."""
    podman, reference, notes, *build = sys.argv[1:]
    try:
        image = untriggered(podman, get(podman, reference, Path(notes)))
    except NoBase as exc:
        print(f"Error: {exc}", file=sys.stderr, flush=True)
        sys.exit(FAILED)
    build = [image if word == BASE else word for word in build]
    os.execvp(build[0], build)  # noqa: S606 - an argument vector, and no shell


def get(podman: str, reference: str, notes: Path) -> str:
    """The id of the image of a complete reference, pulled if it is not on this machine. Raises `NoBase`."""
    found = find(podman, reference)
    if found is None and image_names.is_local(reference):
        raise NoBase(f"copying system image: there is no image {reference} on this machine")
    if found is None:
        _pull(podman, reference, notes)
        found = find(podman, reference)
    if found is None:
        raise NoBase(f"copying system image: there is no image {reference}")
    return found


def find(podman: str, reference: str) -> str | None:
    """The id of the image that has this very name on this machine."""
    for pause in PAUSES:
        time.sleep(pause)
        inspected = _call(podman, "image", "inspect", reference)
        if inspected or _is_absent(podman, reference):
            break
    return named(inspected, reference)


def _is_absent(podman: str, reference: str) -> bool:
    """Whether Podman says so, by podman-image-exists(1); it may also fail, as while somebody removes images."""
    return _run(podman, "image", "exists", reference).returncode == 1


def named(inspected: str, reference: str) -> str | None:
    """The id in what `podman image inspect` printed, if the image has this very name."""
    for image in json.loads(inspected or "[]"):
        if reference in (*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())):
            return str(image["Id"])
    return None


def _pull(podman: str, reference: str, notes: Path) -> None:
    """Pull an image, with its progress on standard output. Raises `NoBase`."""
    # Named by digest, it may be here under another name: from the registry, then, or not at all.
    process = subprocess.Popen(
        [podman, "pull", reference],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=_end_with_us,
    )
    said = []
    for line in process.stderr or ():
        text = line.decode(errors="replace")
        if PROGRESS.match(text):
            print(text, end="", flush=True)
        else:
            said.append(text)
    if process.wait() != 0:
        notes.write_text("".join(said))
        raise NoBase(f"initializing source docker://{reference}: {_why(said, reference)}")


def _why(said: Sequence[str], reference: str) -> str:
    """A registry's own words; all else is one sentence, lest bases tell what listens where."""
    errors = [line.strip() for line in said if line.startswith("Error:")]
    if errors and REGISTRY_SAID.search(errors[-1]):
        return errors[-1].rpartition(f"{reference}: ")[2].removeprefix("Error: ")
    return f"no registry answers at {image_names.registry(reference)}"


def untriggered(podman: str, image: str) -> str:
    """The image itself, or a copy without its triggers. Raises `NoBase`."""
    configuration = _configuration(podman, image)
    if configuration is not None and not has_triggers(configuration):
        return image
    copy = f"{UNTRIGGERED}:{image}"
    return find(podman, copy) or _copy(podman, image, copy)


def has_triggers(configuration: bytes) -> bool:
    """Whether whoever reads an image's configuration, in whatever way, may find triggers; so too if it is no JSON.

    Buildah takes names in upper and lower case for the same, and puts together what is there twice
    (https://pkg.go.dev/encoding/json#Unmarshal): all members are looked at, wherever they are.
    """
    found: list[Any] = []

    def look(members: list[tuple[str, Any]]) -> None:
        found.extend(value for name, value in members if name.casefold() == "onbuild")

    try:
        json.loads(configuration, object_pairs_hook=look)
    except (ValueError, RecursionError):
        return True
    return any(found)


def _configuration(podman: str, image: str) -> bytes | None:
    """The image's own configuration (`podman image inspect` does not show triggers); None where it cannot be read."""
    store = _store(podman)
    place = Path(store.get("graphRoot", ""), f"{store.get('graphDriverName')}-images", image)
    return next((content for content in _contents(place) if hashlib.sha256(content).hexdigest() == image), None)


def _store(podman: str) -> Mapping[str, Any]:
    """Where Podman keeps images and containers, and with which driver; empty where it does not say."""
    return json.loads(_call(podman, "info", "--format", "json") or "{}").get("store") or {}


def _contents(place: Path) -> Iterator[bytes]:
    """What Podman keeps of an image beside its layers: manifests, configuration."""
    try:
        yield from (path.read_bytes() for path in place.iterdir() if path.is_file())
    except OSError:
        return


def _copy(podman: str, image: str, name: str) -> str:
    """Make a copy without triggers; returns its id. Raises `NoBase`."""
    # Without these options the copy would have the host's proxies among its variables, and more.
    options = ("--http-proxy=false", "--unsetenv", "TERM", "--unsetenv", "container")
    container = _call(podman, "create", *options, image, "true").strip()
    try:
        made = _commit(podman, image, container, name) if container else ""
    finally:
        _call(podman, "rm", "--force", "--ignore", "--volumes", container)
    if not made:
        raise NoBase(f"the triggers of the base image {image} could not be left out")
    return made


def _commit(podman: str, image: str, container: str, name: str) -> str:
    """Make an image of a container, with what the container's image is started and stopped by; returns its id."""
    shown = json.loads(_call(podman, "image", "inspect", image) or "[{}]")[0].get("Config") or {}
    options = ["--quiet", "--format", "oci", *_changes(shown)]
    with _storage_configuration(podman) as environment:
        return _call(podman, "commit", *options, container, name, environment=environment).strip()


def _changes(configuration: Mapping[str, Any]) -> Iterator[str]:
    """Options of `podman commit`, which puts the container's command in; Podman 5 loses the entry point with that, too.

    An ENTRYPOINT takes the command before it away in some versions, so that is said once more.
    """
    command = ("--change", f"CMD {json.dumps(configuration.get('Cmd') or [], ensure_ascii=False)}")
    yield from command
    if entrypoint := configuration.get("Entrypoint"):
        yield from ("--change", f"ENTRYPOINT {json.dumps(entrypoint, ensure_ascii=False)}")
        if configuration.get("Cmd"):
            yield from command
    if signal_name := configuration.get("StopSignal"):
        yield from ("--change", f"STOPSIGNAL {signal_name}")


@contextlib.contextmanager
def _storage_configuration(podman: str) -> Iterator[dict[str, str]]:
    """Variables that name a file with the whole of containers-storage.conf(5) that Podman works with.

    `podman commit` reads the file alone, and fails ("runroot must be set") where it leaves the places to Podman. Of a
    user who is not root, a file named in this way says by ``rootless_storage_path`` where images are.
    """
    store = _store(podman)
    places = {"driver": "graphDriverName", "runroot": "runRoot"}
    places |= dict.fromkeys(("graphroot", "rootless_storage_path"), "graphRoot")
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("[storage]\n")
        file.writelines(f"{name} = {json.dumps(store.get(key, ''))}\n" for name, key in places.items())
        file.flush()
        yield {"CONTAINERS_STORAGE_CONF": file.name}


def _call(podman: str, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """What podman prints, with variables beside those of this process; nothing if it fails."""
    done = _run(podman, *arguments, environment=environment)
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def _run(
    podman: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [podman, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **(environment or {})},
        check=False,
        preexec_fn=_end_with_us,
    )


def _end_with_us() -> None:
    parent_death.end_with_parent(signal.SIGKILL)
