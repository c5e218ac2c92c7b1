"""``amun doctor``: what this machine can do, what Amun chose and why, and the command that mends what is amiss."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from amun import archive, composition
from amun.auth import configuration
from amun.engines.podman.builds import environment as buildenvironment
from amun.engines.podman.host import base_image as baseimage
from amun.engines.podman.host import checks, holes, images, trials
from amun.engines.podman.host.facts import gather
from amun.engines.podman.host.machine import Check, Machine, for_settings
from amun.engines.podman.podman_cli import Podman
from amun.errors import ArchiveUnavailable, EngineUnavailable
from amun.settings import Settings


def main(as_json: bool = False) -> int:
    """Look at everything afresh and print it; returns 0 if the engine of these settings can work, else 1."""
    settings = Settings()
    with Console(stderr=True).status("Trying what works here …"):
        found, verdict = _look(settings)
    usable = all(check.ok or not check.needed for check in found)
    if as_json:
        print(json.dumps({"usable": usable, "checks": [asdict(check) for check in found]}, indent=2))
    else:
        _show(Console(highlight=False), found, verdict)
    return 0 if usable else 1


def _look(settings: Settings) -> tuple[Sequence[Check], Text]:
    """At what the engine of these settings is on."""
    if settings.engine not in ("auto", *composition.ENGINES):
        why = f"There are: auto, {', '.join(composition.ENGINES)}."
        unknown = Check("engine", False, settings.engine, why, "set AMUN_ENGINE", lasting=True)
        return [unknown], Text("There is no such engine.", style="bold red")
    return _cluster(settings) if settings.on_cluster else _machine(settings)


def _cluster(settings: Settings) -> tuple[Sequence[Check], Text]:
    composition.check_extras(settings)
    from amun.auth.token_review import NEEDED  # with the libraries of clusters
    from amun.engines.openshift import checks as cluster_checks

    reviews = NEEDED if _by_token(settings) else ()
    found = [*cluster_checks.look(settings, reviews), *_index(), *archive_checks(settings)]
    if any(check.needed and not check.ok for check in found):
        return found, Text("The cluster cannot be used yet: mend what is marked ✗.", style="bold red")
    return found, Text("The cluster can be used.", style="bold green")


def _by_token(settings: Settings) -> bool:
    try:
        return configuration.mode(settings) == "token"
    except configuration.Undecided:
        return False


def _index() -> Sequence[Check]:
    """A password that Amun would have to hand to a cluster's builds, where every package's code could read it."""
    found = buildenvironment.find()
    if not buildenvironment.has_password(found):
        return ()
    why = "It asks for a password, and builds on a cluster are not given this machine's: what is built could read it."
    remedy = "run an index proxy that adds the password and asks for none, and let specifications name that"
    return [Check("package index", False, found.summary(), why, remedy, needed=False)]


def _machine(settings: Settings) -> tuple[Sequence[Check], Text]:
    try:
        machine = for_settings(settings, fresh=True)
    except EngineUnavailable as exc:
        lost = Check("state directory", False, str(settings.state_dir), str(exc), "set AMUN_STATE_DIR")
        return [lost], _verdict(None)
    found = [*machine.checks, *_exposed(machine, settings), *_images(machine), *archive_checks(settings)]
    return found, _verdict(machine)


def _exposed(machine: Machine, settings: Settings) -> Sequence[Check]:
    """What strangers' code could do to this machine if it found a hole, and which holes are known."""
    facts = gather(machine.environment)
    if not machine.usable:
        return holes.look(machine, facts, settings.state_dir)
    refusal = None
    if facts.root:
        refusal = trials.build_in_user_namespace(Podman(machine.podman, machine.environment), machine)
    return [checks.user_of_builds(facts, refusal), *holes.look(machine, facts, settings.state_dir)]


def _images(machine: Machine) -> Sequence[Check]:
    """Where images may come from: to know, not to fail by."""
    refusal = baseimage.registry_answers()
    why = "It answers." if refusal is None else f"It does not answer: {refusal}. Only images that are here can be used."
    registry = Check("registry", refusal is None, "docker.io", why, needed=False)
    podman = Podman(machine.podman, machine.environment)
    present = machine.usable and baseimage.present(podman)
    base = checks.base_image(gather(machine.environment), present, refusal is None)
    try:
        half = checks.whole_images(images.half_written(podman))
    except EngineUnavailable as exc:
        half = Check("images", False, "unknown", str(exc), needed=False)
    return registry, base, half


def archive_checks(settings: Settings) -> Sequence[Check]:
    """Whether what is over can be kept: nothing is lost while it cannot, but nothing is closed either."""
    kept = archive.load(settings)
    if kept is None:
        return ()
    try:
        kept.check()
    except ArchiveUnavailable as exc:
        remedy = "make the directory" if "://" not in settings.archive else "look at AMUN_ARCHIVE… and the credentials"
        return [Check("archive", False, settings.archive, exc.detail, remedy, needed=False)]
    return [Check("archive", True, settings.archive, "It can be written, and nothing in it is written over.")]


def _show(console: Console, found: Sequence[Check], verdict: Text) -> None:
    width = max(len(check.name) for check in found)
    for check in found:
        sign, style = ("✓", "green") if check.ok else ("✗", "bold red") if check.needed else ("!", "yellow")
        console.print(Text.assemble((sign, style), f" {check.name:{width}}  ", (check.chosen, "bold")))
        console.print(Padding(Text(check.why, style="dim"), (0, 0, 0, width + 4)))
        if check.remedy and not check.ok:
            console.print(Padding(Text(f"→ {check.remedy}", style="cyan"), (0, 0, 0, width + 4)))
    console.print(verdict)


def _verdict(machine: Machine | None) -> Text:
    if machine is None or not machine.usable:
        return Text("Podman cannot be used on this machine yet: mend what is marked ✗.", style="bold red")
    runs = f"{machine.runtime}, runs on {machine.run_network}, builds on {machine.build_network}"
    return Text(f"Podman {machine.version} can be used on this machine: {runs}.", style="bold green")
