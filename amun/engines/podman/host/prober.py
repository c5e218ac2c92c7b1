"""Making Podman work on this machine: look, try, choose, and say why."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from amun.engines.checks import Check
from amun.engines.podman.builds import doors
from amun.engines.podman.builds import environment as buildenvironment
from amun.engines.podman.builds.doors import Doors
from amun.engines.podman.builds.namespace import DNS, FORWARDER, WAYS
from amun.engines.podman.podman_cli import Podman
from amun.engines.podman.runs import oci_hook, usage
from amun.engines.podman.state import files
from amun.errors import EngineUnavailable

from . import cgroups, checks, configuration, facts, trials
from .facts import Facts
from .outcome import HOST_ACCESS, NETWORK_OF_BUILDS, Machine, Wishes

# What Podman may see of the service's own environment; nothing else in it is Podman's business.
PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "DBUS_SESSION_BUS_ADDRESS",
    "CONTAINERS_CONF", "CONTAINERS_REGISTRIES_CONF", "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "STORAGE_OPTS",
    "REGISTRY_AUTH_FILE", "DOCKER_CONFIG",
)  # fmt: skip
SECCOMP = Path("/usr/share/containers/seccomp.json")
"""Podman's filter of system calls (containers.conf(5), seccomp_profile)."""

SELINUX_LABEL = b"system_u:object_r:container_file_t:s0\0"


def podman_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Those variables that Podman may see: where things are, and how to get out of this network."""
    proxies = {name for proxy in buildenvironment.PROXY_VARIABLES for name in (proxy, proxy.upper())}
    return {name: value for name, value in environment.items() if name in PASSED or name in proxies}


class Prober:
    """One look at the machine: facts, configuration, trials, in this order, each resting on the one before."""

    def __init__(self, place: Path, wishes: Wishes) -> None:
        self.place = place
        self.wishes = wishes
        self.environment = podman_environment()
        self.facts: Facts = facts.gather(self.environment)
        self.inherited = configuration.inherit(configuration.system_files(self.facts.root, self.environment))
        self.found = buildenvironment.find()
        self.host_access = wishes.run_host_access
        self.pids_limit = wishes.pids_limit
        self.checks: list[Check] = []

    def probe(self) -> Machine:
        found = self.found
        self.checks += [checks.podman(self.facts), checks.pods(self.facts), checks.users(self.facts)]
        with files.disk_errors():
            volumes = buildenvironment.write(found, self.place.parent / "build-environment")
            selinux = self._label() if self.facts.selinux else False
            self._write_registries()
        machine = Machine(
            podman=self.facts.podman or "podman",
            version=self.facts.version,
            environment=self.environment,
            runtime="",
            run_network="none",
            build_network="none",
            build_doors=str(self.place / "doors.json"),
            build_volumes=volumes,
            build_group=None,
            build_seccomp=None,
            build_limits=(),
            limits=(),
            selinux=selinux,
            rootless=not self.facts.root,
            checks=(),
            counts_disk=self.facts.storage_driver == "overlay",
        )
        if all(check.ok for check in self.checks):
            machine = self._try(machine)
        self.checks += [*checks.storage(self.facts), *self._check_memory(), checks.short_names(self.facts)]
        self.checks += [*checks.network_of_builds(found), checks.clock()]
        return replace(machine, environment=self.environment, checks=tuple(self.checks))

    def _try(self, machine: Machine) -> Machine:
        runtime = self._choose_runtime(machine)
        if runtime is None:
            return machine
        machine = replace(machine, runtime=runtime)
        podman = Podman(machine.podman, self.environment)
        network, pod = self._choose_network_closed(podman, runtime)
        machine = self._choose_build_network(podman, machine, () if pod is None else pod.limits)
        if pod is None:
            return machine
        self._check_limits(pod)
        self._check_host_access(pod)
        return replace(machine, run_network=network, limits=pod.limits)

    def _check_memory(self) -> Iterator[Check]:
        state, images = self.place.parent, self.facts.storage_root
        follows = "all records, logs and results take memory"
        yield from checks.in_memory(str(state), "AMUN_STATE_DIR", facts.file_system(state), follows)
        if images:
            found, follows = facts.file_system(Path(images)), "what runs write counts as their memory (OOMKilled)"
            yield from checks.in_memory(images, "graphroot in storage.conf", found, follows)

    # -- runtime ------------------------------------------------------------------------------------------------

    def _choose_runtime(self, machine: Machine) -> str | None:
        """The first runtime that starts a container; each is tried with the configuration it would be used with."""
        refusals: list[tuple[str, str]] = []
        for runtime in self._runtimes():
            refusal = self._refusal(machine, runtime, self.wishes.pids_limit)
            # Without any control group to put it in, a container with a limit on processes does not start.
            if refusal is None or self._refusal(machine, runtime, pids_limit=0) is None:
                why = "It starts containers with the configuration of Amun's own."
                why += "".join(f" {name} does not: {said}" for name, said in refusals)
                self.checks += [Check("runtime", True, runtime, why), self._ulimits()]
                return runtime
            refusals.append((runtime, refusal))
        why = " ".join(f"{name} does not start a container: {said}" for name, said in refusals)
        remedy = checks.install(self.facts, "runc" if "runc" not in self.facts.programs else "crun")
        self.checks.append(Check("runtime", False, "none", why or "Neither crun nor runc is installed.", remedy))
        return None

    def _runtimes(self) -> list[str]:
        """Candidates: what the system's configuration names, then those installed, the faster one first."""
        configured = self.inherited.get("engine", {}).get("runtime")
        installed = [name for name in ("crun", "runc") if name in self.facts.programs]
        return list(dict.fromkeys([configured, *installed] if configured else installed))

    def _refusal(self, machine: Machine, runtime: str, pids_limit: int) -> str | None:
        """Why no container starts with this runtime, None if one does; the configuration stays as it was tried."""
        self._configure(runtime, pids_limit)
        podman = Podman(machine.podman, self.environment)
        try:
            trials.make_image(podman, Path(self.facts.programs["catatonit"]))
        except EngineUnavailable as exc:
            return str(exc)
        return trials.start_container(podman)

    def _ulimits(self) -> Check:
        why = "They fit the hard limits of this process; Podman's own defaults may be above them."
        return Check("ulimits", True, ", ".join(configuration.ulimits(self.facts)), why)

    # -- networks -----------------------------------------------------------------------------------------------

    def _choose_network_closed(self, podman: Podman, runtime: str) -> tuple[str, trials.Pod | None]:
        """`_choose_network`; where no pod starts in a network that is closed to this machine, in one that is open."""
        network, pod = self._choose_network(podman)
        if self.host_access == "closed" and self.wishes.run_network != "none" and network == "none":
            refused = self.checks.pop()
            self.host_access = "open"
            self._configure(runtime, self.pids_limit)
            network, pod = self._choose_network(podman)
            if network == "none":
                self.checks[-1], self.host_access = refused, "closed"
                self._configure(runtime, self.pids_limit)
        return network, pod

    def _choose_network(self, podman: Podman) -> tuple[str, trials.Pod | None]:
        """The first network with which a pod starts and has an interface; `none` always comes last."""
        wished = self.wishes.run_network
        candidates = network_candidates(self.facts) if wished == "auto" else [run_network(self.facts, wished)]
        refusals: list[str] = []
        for network in candidates:
            pod, refusal = self._pod(podman, network)
            if pod is not None and (pod.interfaces or network == "none" or wished != "auto"):
                self.checks.append(self._network_check(network, refusals))
                return network, pod
            refusals.append(f"{network}: {refusal or 'the pod has no interface.'}")
        why = f"No pod starts. {' '.join(refusals)}"
        self.checks.append(Check("network of runs", False, "none", why, checks.network_remedy(self.facts)))
        return "none", None

    def _pod(self, podman: Podman, network: str) -> tuple[trials.Pod | None, str | None]:
        """A pod with as many limits as Podman takes: a user may have been given some controllers only."""
        refusal = None
        for asked in (("cpu", "memory"), ("memory",), ()):
            try:
                return trials.start_pod(podman, network, self.facts.cgroups, asked), None
            except EngineUnavailable as exc:
                refusal = refusal or str(exc)
        return None, refusal

    def _network_check(self, network: str, refusals: Sequence[str]) -> Check:
        tried = "".join(f" {refusal}" for refusal in refusals)
        name = "network of runs"
        if self.wishes.run_network != "auto":
            return Check(name, True, network, "The settings say so, and a pod starts with it.", needed=False)
        if network == "none":
            why = f"Scripts have no network: nothing that keeps them from this machine's own services works.{tried}"
            return Check(name, False, network, why, checks.network_remedy(self.facts), needed=False)
        why = f"A pod starts with it, and it does not reach this machine's loopback.{tried}"
        return Check(name, True, network, why)

    def _check_host_access(self, pod: trials.Pod) -> None:
        """Say what of this machine a run reaches."""
        reached = ", ".join(pod.reached)
        if self.wishes.run_host_access == "open":
            why = "The settings say that runs may reach this machine."
            self.checks.append(Check(HOST_ACCESS, True, "open", why, needed=False))
        elif self.host_access == "closed" and not reached:
            why = "A pod reached no address of this machine; those and its platform's are closed to runs."
            self.checks.append(Check(HOST_ACCESS, True, "closed", why, needed=False))
        else:
            why = f"It cannot be closed: scripts reach this machine's services at {reached or 'its addresses'}."
            chosen = self.wishes.run_network == "auto"
            remedy = checks.network_remedy(self.facts) if chosen else "unset AMUN_RUN_NETWORK"
            self.checks.append(Check(HOST_ACCESS, False, "open", why, remedy, needed=False))

    # -- builds -------------------------------------------------------------------------------------------------

    def _choose_build_network(self, podman: Podman, machine: Machine, asked: tuple[str, ...]) -> Machine:
        """The first network in which an image is built, in a control group of our own and with limits if that works."""
        wished = self.wishes.build_network
        candidates = build_network_candidates(self.facts) if wished == "auto" else [wished]
        refusals: list[str] = []
        for network in candidates:
            machine = replace(machine, build_network=network)
            given = self._furnish(machine)
            groups = dict.fromkeys([cgroups.group_for_builds(self.facts.cgroups) if self.facts.root else None, None])
            seccomps, all_asked = dict.fromkeys([self._write_seccomp(), None]), dict.fromkeys([asked, ()])
            for group, seccomp, limits in itertools.product(groups, seccomps, all_asked):
                machine = replace(machine, build_group=group, build_seccomp=seccomp)
                applied, refusal = trials.build(podman, machine, self.facts.cgroups, limits)
                if refusal is None:
                    why = f"An image was built with it. {' '.join(refusals)}".strip()
                    self.checks.append(Check("builds", True, f"network {network}", why))
                    self.checks.append(checks.limits_of_builds(self.facts, applied, seccomp))
                    self._check_build_network(podman, machine, given)
                    return replace(machine, build_limits=applied)
            refusals.append(f"{network}: {refusal}")
        remedy = "AMUN_BUILD_NETWORK=host amun doctor  # what is built then reaches this machine's services"
        self.checks.append(Check("builds", False, f"network {wished}", " ".join(refusals), remedy))
        return machine

    def _write_seccomp(self) -> str | None:
        """Write the filter of system calls for builds: Podman's own, as strict as it is for runs."""
        try:
            profile = json.loads(
                Path(self.inherited.get("containers", {}).get("seccomp_profile") or SECCOMP).read_bytes()
            )
        except (OSError, ValueError):
            return None
        oci_hook.refuse_calls(profile)
        with files.disk_errors():
            files.write(self.place / "seccomp.json", json.dumps(profile))
        return str(self.place / "seccomp.json")

    def _furnish(self, machine: Machine) -> Doors:
        """Write what builds in this network are given, and the doors that lead out of it."""
        found, given = self.found, Doors()
        if machine.build_network in WAYS:
            found, given = doors.arrange(
                self.found, self.wishes.build_proxy_names, only_way=machine.build_network == FORWARDER
            )
        with files.disk_errors():
            buildenvironment.write(found, self.place.parent / "build-environment")
            given.write(Path(machine.build_doors))
        return given

    def _check_build_network(self, podman: Podman, machine: Machine, given: Doors) -> None:
        """Say what of this machine a build reaches."""
        network, problems, remedy = machine.build_network, [], None
        if network in WAYS:
            try:
                reached = ", ".join(trials.reached_by_build(podman, machine))
            except EngineUnavailable as exc:
                reached = f"unknown addresses: {exc}"
            problems = [*given.lost, *([f"Builds reach this machine's services at {reached}."] if reached else [])]
        elif network == "host":
            problems = ["What is built reaches all services of this machine, Amun's own among them."]
            remedy = "unset AMUN_BUILD_NETWORK"
        elif network != "none":
            problems = ["Builds reach this machine's addresses beside loopback, and not its proxies on loopback."]
            chosen = self.wishes.build_network == "auto"
            remedy = checks.install(self.facts, "slirp4netns") if chosen else "unset AMUN_BUILD_NETWORK"
        if problems and network not in WAYS and buildenvironment.has_password(self.found):
            problems.append("What is built can read the passwords of indexes and proxies.")
        why = "Each build has a network of its own, from which no address of this machine was reached."
        why = why if network in WAYS else "Builds have no network."
        if network == FORWARDER:
            why += " It has no way out but a proxy: programs that know none reach nothing."
        forwarded = [f"{door.kind} {buildenvironment.redacted(door.upstream)}" for door in given.doors if door.upstream]
        if forwarded:
            why += f" Forwarded into it: {', '.join(forwarded)}."
        self.checks.append(
            Check(NETWORK_OF_BUILDS, not problems, network, " ".join(problems) or why, remedy, needed=False)
        )

    # -- limits -------------------------------------------------------------------------------------------------

    def _check_limits(self, pod: trials.Pod) -> None:
        missing = [name for name in ("cpu", "memory", "pids") if name not in pod.limits]
        chosen = ", ".join(pod.limits) or "none"
        groups = f"control groups {self.facts.cgroups}"
        if not missing:
            why = f"They were read back from the {groups} of a pod."
            self.checks.append(Check("limits", True, chosen, why))
            return
        absent = f"{', '.join(usage.NAMES[name] for name in missing)} cannot be limited"
        if self.facts.root:
            why, remedy = f"{absent}: this machine's {groups} lack the controllers.", None
        elif self.facts.cgroups == "v1":
            why = f"{absent}: a rootless Podman cannot with control groups v1. Run Amun as root,"
            why, remedy = f"{why} or start this machine with version 2.", checks.unified_groups(self.facts)
        else:
            why, remedy = f"{absent}: this user was not given the controllers.", checks.DELEGATE
        if "memory" in missing:
            why += " Memory is looked at twice a second instead, and what takes too much is ended."
        if "pids" in missing:
            why += " Processes are counted by user id instead, of which each run has its own."
        self.checks.append(Check("limits", False, chosen, why, remedy, needed=False))

    # -- files --------------------------------------------------------------------------------------------------

    def _configure(self, runtime: str, pids_limit: int) -> None:
        """Write containers.conf and the one hook in the directory that it names."""
        self.pids_limit = pids_limit
        hooks, program = self.place / "hooks", Path(oci_hook.__file__).resolve()
        text = configuration.containers_conf(
            self.facts, runtime, hooks=hooks, inherited=self.inherited, pids_limit=pids_limit
        )
        hook = hooks / "precreate.json"
        for earlier in set(hooks.iterdir()) - {hook}:  # by another version of Amun: Podman would run it too
            earlier.unlink()
        files.write(hook, configuration.precreate_hook(sys.executable, program, pids_limit, self.host_access))
        files.write(self.place / "containers.conf", text)
        self.environment["CONTAINERS_CONF"] = str(self.place / "containers.conf")

    def _write_registries(self) -> None:
        if not self.facts.short_names and "CONTAINERS_REGISTRIES_CONF" not in self.environment:
            files.write(self.place / "registries.conf", configuration.registries_conf())
            self.environment["CONTAINERS_REGISTRIES_CONF"] = str(self.place / "registries.conf")

    def _label(self) -> bool:
        """Let containers read the state directory; what is created in it later inherits the label."""
        state = self.place.parent
        try:
            for path in (state, *state.rglob("*")):
                if not path.is_symlink():
                    os.setxattr(path, "security.selinux", SELINUX_LABEL)
        except OSError as exc:
            why = f"SELinux is on, and {state} cannot be labelled for containers: {exc.strerror}."
            remedy = f"sudo chcon -R -t container_file_t {state}"
            self.checks.append(Check("SELinux", False, "no label", why, remedy))
        else:
            why = f"SELinux is on; {state} is labelled, so that containers may read what is mounted from it."
            self.checks.append(Check("SELinux", True, "container_file_t", why))
        return True


def build_network_candidates(found: Facts) -> list[str]:
    """Networks for builds, the best first: those of WAYS keep this machine's addresses closed, and have doors."""
    return [*(name for name in WAYS if name in found.programs), FORWARDER, "private"]


def network_candidates(found: Facts) -> list[str]:
    """Networks that keep a run away from this machine's loopback, the best first.

    slirp4netns and pasta also keep runs away from each other, and need no firewall; a bridge is root's only, for
    rootless Podman would put one inside slirp4netns or pasta anyhow. Podman takes pasta without root only.
    """
    user_mode = ["slirp4netns"] if found.root else ["pasta", "slirp4netns"]
    if not found.root and found.version_numbers < (5, 0):
        user_mode.reverse()
    candidates = [run_network(found, name) for name in user_mode if name in found.programs]
    if found.root:
        candidates.append("bridge")
    return [*candidates, "none"]


def run_network(found: Facts, network: str) -> str:
    """Podman's option for a network of runs. Since Podman 5 its pasta answers for names at a link-local address."""
    return f"pasta:--dns-forward,{DNS}" if network == "pasta" and found.version_numbers >= (5, 0) else network
