"""What a person would type instead: podman run, kube play and build, limited as the service limits runs and builds."""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

from amun.client import Document
from amun.engines.podman.builds.namespace import build_command
from amun.engines.podman.host import cgroups
from amun.engines.podman.runs import pods
from amun.environments import dockerfile
from amun.model import quantity
from amun.model.specification import Requests, Specification
from amun.validation.problems import validated

from .service import PATIENCE, Service


def run(service: Service, document: Document, image: str, network: str | None) -> float:
    """Seconds that `podman run` takes for the script of a specification; without `network`, in Podman's default one."""
    settings, machine = service.settings, service.machine
    specification = _read(service, document)
    arguments = ["run", "--rm", "--pull=never", "--user", f"{settings.run_uid}:0"]
    arguments += ["--cap-drop=all", "--security-opt=no-new-privileges"]
    arguments += _limits(machine.limits, specification.run.requests)
    arguments += ["--pids-limit", str(settings.pids_limit)] if "pids" in machine.limits else []
    arguments += ["--network", network] if network else []
    with tempfile.TemporaryDirectory() as directory:
        script = Path(directory, "script")
        script.write_text(specification.script or "")
        script.chmod(0o755)
        # Amun's hook is how pods get a limit of processes; a person has --pids-limit.
        hooks = Path(directory, "no-hooks")
        arguments = ["--hooks-dir", str(hooks), *arguments, "--volume", f"{script}:/amun/script:ro"]
        return _timed(service, *arguments, image, "/amun/script")


def play(service: Service, inspection_id: str) -> float:
    """Seconds from ``podman kube play`` of an inspection's own pod until its script's container has ended."""
    podman, name = service.podman, f"by-hand-{secrets.token_hex(4)}"
    kept = service.settings.state_dir / "inspections" / inspection_id / "items" / "0" / "pod.json"
    pod = json.loads(kept.read_text())
    pod["metadata"]["name"] = name
    begun = time.perf_counter()
    podman.call(
        "kube", "play", "--quiet", "--network", service.machine.run_network, "-", stdin=json.dumps(pod).encode()
    )
    podman.call("wait", "--interval", "10ms", pods.script_container(name))
    seconds = time.perf_counter() - begun
    podman.remove_pods([name])
    return seconds


def build(service: Service, document: Document) -> float:
    """Seconds that `podman build --no-cache` takes for the environment of a specification."""
    machine, specification = service.machine, _read(service, document)
    arguments = ["--no-cache"]
    arguments += _limits(machine.build_limits, specification.build.requests)
    for volume in machine.build_volumes:
        arguments += ["--volume", volume]
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory, "context")
        context.mkdir()
        for name, content in dockerfile.context(specification).items():
            (context / name).write_bytes(content)
        image = Path(directory, "image")
        begun = time.perf_counter()
        service.podman.run(build_command(machine, *arguments, "--iidfile", str(image), str(context)), timeout=PATIENCE)
        seconds = time.perf_counter() - begun
        service.podman.call("image", "rm", "--force", image.read_text().strip())
    return seconds


def _read(service: Service, document: Document) -> Specification:
    return validated(document, service.settings.defaults)


def _limits(limits: Collection[str], requests: Requests) -> list[str]:
    """What it may use, as far as this machine can limit it."""
    cpu, memory = quantity.parse(requests.cpu), int(quantity.parse(requests.memory))
    return cgroups.options(limits, cpu, memory)


def _timed(service: Service, *arguments: str) -> float:
    begun = time.perf_counter()
    service.podman.call(*arguments, timeout=PATIENCE)
    return time.perf_counter() - begun
