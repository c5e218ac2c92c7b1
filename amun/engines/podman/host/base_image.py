"""A base image for the examples and tests, also where no registry is in reach.

Pulled and completed where a registry answers, else made of the distribution's own packages by mmdebstrap, which takes
three quarters of a minute. Run as a program: ``python -m amun.engines.podman.host.base_image [base|shell]``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from amun.engines.podman.builds import environment as buildenvironment
from amun.engines.podman.podman_cli import Podman, PodmanError
from amun.engines.podman.state import files
from amun.errors import EngineUnavailable
from amun.settings import Settings

from .machine import for_settings
from .outcome import Machine

SUITE = "bookworm"
UPSTREAM = f"docker.io/library/debian:{SUITE}-slim"
REGISTRY = "https://registry-1.docker.io/v2/"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ANSWER = 5.0  # seconds a registry has to answer
MINUTES = 15 * 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Recipe:
    """An image: its name, and the packages it has besides Debian's smallest system."""

    name: str
    packages: tuple[str, ...]


BASE = Recipe(f"localhost/amun/base:{SUITE}", ("ca-certificates", "python3", "python3-pip", "python3-venv"))
SHELL = Recipe(f"localhost/amun/shell:{SUITE}", ("ca-certificates",))


def ensure(machine: Machine, recipe: Recipe = BASE, say: Say = lambda line: None) -> str:
    """See to it that the image is there; returns its name. `say` is told what goes on.

    Raises `EngineUnavailable` if it can neither be pulled nor made.
    """
    podman = Podman(machine.podman, machine.environment)
    if present(podman, recipe):
        return recipe.name
    with files.locked(_lock(machine)):
        if not present(podman, recipe):
            _make(podman, machine, recipe, say)
    return recipe.name


def present(podman: Podman, recipe: Recipe = BASE) -> bool:
    """Whether the image is there."""
    try:
        podman.call("image", "exists", recipe.name)
    except PodmanError:
        return False
    return True


def registry_answers(url: str = REGISTRY, timeout: float = ANSWER) -> str | None:
    """None if a registry answers, else why not. That it asks for a password (401) is an answer."""
    try:
        with urllib.request.urlopen(url, timeout=timeout):  # noqa: S310 - a constant https URL
            return None
    except urllib.error.HTTPError as exc:
        return None if exc.code == 401 else f"it answers {exc.code}"
    except (OSError, ValueError) as exc:
        return str(getattr(exc, "reason", exc))


def _make(podman: Podman, machine: Machine, recipe: Recipe, say: Say) -> None:
    refusal = registry_answers()
    if refusal is None:
        say(f"Pulling {UPSTREAM} for {recipe.name} …")
        try:
            _pull(podman, machine, recipe)
        except EngineUnavailable as exc:
            refusal = str(exc)
        else:
            return
    say(f"No image from the registry ({refusal}).")
    say(f"Making {recipe.name} of Debian's packages with mmdebstrap; this takes about a minute …")
    _bootstrap(podman, recipe, say)


def _pull(podman: Podman, machine: Machine, recipe: Recipe) -> None:
    setup = "if [ -e /run/amun/environment ]; then . /run/amun/environment; fi"
    packages = " ".join(recipe.packages)
    install = f"apt-get update && apt-get install -y --no-install-recommends {packages}"
    dockerfile = f"FROM {UPSTREAM}\nRUN {setup}; {install} && rm -rf /var/lib/apt/lists/*\n"
    mounts = [argument for volume in machine.build_volumes for argument in ("--volume", volume)]
    options = ["--quiet", "--tag", recipe.name, "--network", machine.build_network, *mounts, "--file", "-"]
    with tempfile.TemporaryDirectory() as context:
        podman.call("build", *options, context, stdin=dockerfile.encode(), timeout=MINUTES)


def _bootstrap(podman: Podman, recipe: Recipe, say: Say) -> None:
    """The archive is written whole before it is imported: half a system must not become an image."""
    with tempfile.TemporaryDirectory() as directory:
        archive = Path(directory, "base.tar")
        _run(mmdebstrap(archive, recipe.packages, _apt_sources(), _apt_options()), say)
        say(f"Importing {recipe.name} …")
        podman.call(
            "import", "--quiet", "--change", f"ENV PATH={PATH}", "--change", "CMD /bin/sh",
            str(archive), recipe.name, timeout=MINUTES,
        )  # fmt: skip


def mmdebstrap(
    archive: Path, packages: Sequence[str], sources: Sequence[str], apt_options: Sequence[str] = ()
) -> list[str]:
    """The command that writes a small Debian to `archive`; without sources, from Debian's own server."""
    options = [f"--aptopt={option}" for option in apt_options]
    # What this machine's apt needs on its way out is no part of the image.
    forget = '--customize-hook=rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap'
    chosen = ["--variant=minbase", f"--include={','.join(packages)}", forget]
    return ["mmdebstrap", *chosen, *options, SUITE, str(archive), *sources]


def apt_sources(index_targets: str) -> list[str]:
    """Lines of sources.list(5) for the suite, from lines of URI, release, component and origin; others are left out."""
    found = {}
    for line in index_targets.splitlines():
        uri, release, component, origin = (*line.split(), "", "", "", "")[:4]
        wanted = release in (SUITE, f"{SUITE}-updates", f"{SUITE}-security") and component == "main"
        if wanted and origin in ("", "Debian"):
            found[f"deb {uri} {release} {component}"] = release
    return list(found) if SUITE in found.values() else []


def _apt_sources() -> list[str]:
    """Where this machine gets Debian's packages, so that a network with a mirror of its own works."""
    line = "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"
    return apt_sources(_output("apt-get", "indextargets", "--format", line, "Created-By: Packages"))


def _apt_options() -> list[str]:
    """Proxies and certificates of this machine's apt; mmdebstrap does not look at them by itself."""
    lines = _output("apt-config", "dump").splitlines()
    options = [line for line in lines if line.startswith("Acquire::") and "Proxy" in line.split()[0]]
    bundle = buildenvironment.find_bundle({})
    return [*options, f'Acquire::https::CAInfo "{bundle}";'] if bundle else options


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _run(command: Sequence[str], say: Say) -> None:
    """Run a program, passing on what it says line by line."""
    last = ""
    try:
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
            for line in process.stderr or ():
                last = line.strip()
                say(f"  {last}")
    except FileNotFoundError as exc:
        raise EngineUnavailable("mmdebstrap is not installed. Try: sudo apt-get install -y mmdebstrap") from exc
    if process.returncode != 0:
        raise EngineUnavailable(f"{command[0]} failed: {last}")


def _lock(machine: Machine) -> Path:
    return Path(machine.environment["CONTAINERS_CONF"]).with_name("base-image.lock")


def main(arguments: Sequence[str]) -> int:
    """Make the image named by the first argument, `base` or `shell`."""
    recipe = {"base": BASE, "shell": SHELL}[arguments[0] if arguments else "base"]
    try:
        found = for_settings(Settings())
        if found.problem:
            raise EngineUnavailable(found.problem)
        print(ensure(found, recipe, lambda line: print(line, file=sys.stderr, flush=True)))
    except EngineUnavailable as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
