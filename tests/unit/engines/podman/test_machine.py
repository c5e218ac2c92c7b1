"""Podman's configuration, builds' environment and the checks, computed from the facts of machines we do not have."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.engines.checks import Check
from amun.engines.podman.builds import environment as buildenvironment
from amun.engines.podman.builds.environment import BuildEnvironment
from amun.engines.podman.host import base_image as baseimage
from amun.engines.podman.host import cgroups, checks, configuration, machine, prober, trials
from amun.engines.podman.host.facts import Facts, file_system, free_from
from amun.engines.podman.host.outcome import Machine, Wishes
from amun.engines.podman.runs import oci_hook

DEBIAN = Facts(
    podman="/usr/bin/podman",
    version="4.3.1",
    root=True,
    cgroups="v1",
    nofile=20000,
    nproc=96365,
    pid_max=32768,
    programs={"runc": "/usr/sbin/runc", "catatonit": "/usr/bin/catatonit", "slirp4netns": "/usr/bin/slirp4netns"},
    storage_free=50 << 30,
    distribution="debian",
)
FEDORA = Facts(
    podman="/usr/bin/podman",
    version="5.6.2",
    root=False,
    user="ada",
    cgroups="v2",
    systemd=True,
    nofile=524288,
    nproc=-1,
    selinux=True,
    programs={
        "crun": "/usr/bin/crun",
        "catatonit": "/usr/libexec/catatonit/catatonit",
        "pasta": "/usr/bin/pasta",
        "slirp4netns": "/usr/bin/slirp4netns",
        "newuidmap": "/usr/bin/newuidmap",
    },
    short_names=True,
    storage_free=50 << 30,
    distribution="fedora",
)


def parsed(facts: Facts, runtime: str = "runc", **options: Any) -> dict[str, Any]:
    return tomllib.loads(configuration.containers_conf(facts, runtime, hooks=Path("/state/hooks"), **options))


class TestContainersConf:
    def test_limits_never_exceed_what_this_process_may_set(self) -> None:
        ulimits = parsed(DEBIAN)["containers"]["default_ulimits"]
        assert ulimits == ["nofile=20000:20000", "nproc=32768:32768"]

    def test_unlimited_machines_get_sane_limits(self) -> None:
        facts = replace(FEDORA, nofile=-1, nproc=-1)
        assert parsed(facts)["containers"]["default_ulimits"] == ["nofile=65536:65536", "nproc=1048576:1048576"]

    @given(
        nofile=st.integers(min_value=-1, max_value=1 << 40),
        nproc=st.integers(min_value=-1, max_value=1 << 40),
        pid_max=st.integers(min_value=301, max_value=1 << 22),
    )
    def test_no_limit_is_above_a_hard_limit(self, nofile: int, nproc: int, pid_max: int) -> None:
        limits = configuration.ulimits(replace(DEBIAN, nofile=nofile, nproc=nproc, pid_max=pid_max))
        values = [int(limit.split(":")[1]) for limit in limits]
        assert nofile < 0 or values[0] <= nofile
        assert nproc < 0 or values[1] <= nproc
        assert values[1] <= pid_max

    def test_systemd_makes_the_control_groups_only_where_there_is_one(self) -> None:
        assert parsed(DEBIAN)["engine"]["cgroup_manager"] == "cgroupfs"
        assert parsed(FEDORA)["engine"]["cgroup_manager"] == "systemd"

    def test_the_log_can_be_read_and_cannot_fill_the_disk(self) -> None:
        containers = parsed(FEDORA)["containers"]
        assert containers["log_driver"] == "k8s-file"
        assert containers["log_size_max"] > 0

    def test_processes_are_bounded_and_proxies_kept_from_scripts(self) -> None:
        containers = parsed(DEBIAN, pids_limit=77)["containers"]
        assert containers["pids_limit"] == 77
        assert containers["http_proxy"] is False

    def test_what_the_system_says_is_kept_unless_amun_depends_on_it(self, tmp_path: Path) -> None:
        first, second = tmp_path / "containers.conf", tmp_path / "own.conf"
        first.write_text(
            '[containers]\ndns_servers = ["192.0.2.1"]\ndefault_ulimits = ["core=0:0", "nofile=1:1"]\n'
            '[engine]\nruntime = "kata"\n[engine.runtimes]\nkata = ["/opt/kata"]\n'
        )
        second.write_text('[containers]\ntz = "local"\n[engine.runtimes]\n"a.b" = ["/opt/\\"x\\""]\n')
        merged = parsed(DEBIAN, inherited=configuration.inherit([first, second, tmp_path / "none"]))
        assert merged["containers"]["dns_servers"] == ["192.0.2.1"]
        assert merged["containers"]["tz"] == "local"
        assert merged["containers"]["default_ulimits"][0] == "core=0:0"
        assert "nofile=1:1" not in merged["containers"]["default_ulimits"]
        assert merged["engine"]["runtimes"] == {"kata": ["/opt/kata"], "a.b": ['/opt/"x"']}
        assert merged["engine"]["runtime"] == "runc"

    def test_a_broken_file_of_the_system_is_not_fatal(self, tmp_path: Path) -> None:
        (tmp_path / "containers.conf").write_text("[containers\n")
        assert configuration.inherit([tmp_path / "containers.conf"]) == {}

    def test_hooks_of_the_system_stay(self) -> None:
        hooks = parsed(DEBIAN, inherited={"engine": {"hooks_dir": ["/etc/hooks"]}})["engine"]["hooks_dir"]
        assert hooks == ["/etc/hooks", "/state/hooks"]

    def test_a_file_named_by_the_user_replaces_the_system_s(self, tmp_path: Path) -> None:
        own = tmp_path / "own.conf"
        assert configuration.system_files(True, {"CONTAINERS_CONF": str(own)}) == [own]

    values = st.recursive(
        st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )

    @given(st.dictionaries(st.text(), st.dictionaries(st.text(), values, max_size=4), max_size=3))
    def test_every_value_survives_being_written(self, document: dict[str, dict[str, Any]]) -> None:
        assert tomllib.loads(configuration.to_toml(document)) == document


class TestPrecreateHook:
    @pytest.mark.parametrize(("given_limit", "expected"), [(None, 512), (0, 512), (-1, 512), (9999, 512), (64, 64)])
    def test_a_container_gets_the_limit_unless_it_has_a_lower_one(self, given_limit: int | None, expected: int) -> None:
        pids = {} if given_limit is None else {"pids": {"limit": given_limit}}
        sent = {"ociVersion": "1.0.2", "linux": {"resources": {**pids, "memory": {"limit": 5}}}}
        received = self.answer(sent, 512)
        assert received["linux"]["resources"] == {"pids": {"limit": expected}, "memory": {"limit": 5}}
        assert received["ociVersion"] == "1.0.2"

    @staticmethod
    def answer(sent: dict[str, Any], limit: int = 0) -> dict[str, Any]:
        command = [sys.executable, "-I", "-S", oci_hook.__file__, str(limit), "open"]
        done = subprocess.run(command, input=json.dumps(sent), capture_output=True, text=True, check=True)
        received: dict[str, Any] = json.loads(done.stdout)
        return received

    @pytest.mark.parametrize("linux", [{}, {"seccomp": None}, {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}])
    def test_a_container_without_limit_and_filter_stays_as_it_is(self, linux: dict[str, Any]) -> None:
        assert self.answer({"linux": linux}) == {"linux": linux}

    def test_namespaces_mounts_and_keys_are_refused_to_all_but_administrators(self) -> None:
        calls = [{"names": ["read", "unshare", "clone", "keyctl"], "action": "SCMP_ACT_ALLOW"}]
        sent = {"process": {"capabilities": {"bounding": []}}, "linux": {"seccomp": {"syscalls": calls}}}
        rules = self.answer(sent)["linux"]["seccomp"]["syscalls"]
        allowed = [(rule["names"], bool(rule.get("args"))) for rule in rules if rule["action"] == "SCMP_ACT_ALLOW"]
        assert allowed == [(["read"], False), (["clone"], True), (["prlimit64"], True), (["prlimit64"], True)]
        refused = {name for rule in rules if rule["action"] == "SCMP_ACT_ERRNO" for name in rule["names"]}
        assert refused >= {"unshare", "keyctl", "mount", "setns", "clone3"}
        sent["process"]["capabilities"]["bounding"].append("CAP_SYS_ADMIN")
        assert self.answer(sent) == sent

    def test_what_podman_mounts_in_memory_by_itself_is_left_out(self) -> None:
        kept = [
            {"destination": "/tmp", "type": "bind", "source": "/a/volume"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
        ]
        places = ("/tmp", "/var/tmp", "/run")
        added = [{"destination": place, "type": "tmpfs", "source": "tmpfs"} for place in places]
        assert self.answer({"mounts": [*added, *kept], "linux": {}}) == {"mounts": kept, "linux": {}}

    def test_it_is_run_before_every_container(self) -> None:
        hook = json.loads(configuration.precreate_hook("/usr/bin/python3", Path("/amun/precreate.py"), 99, "closed"))
        assert hook["stages"] == ["precreate"]
        assert hook["when"] == {"always": True}
        assert hook["hook"]["args"][-3:] == ["/amun/precreate.py", "99", "closed"]


def found(pip: dict[str, str] | None = None, proxies: dict[str, str] | None = None) -> BuildEnvironment:
    return BuildEnvironment(bundle="/etc/ssl/certs/ca-certificates.crt", pip=pip or {}, proxies=proxies or {})


class TestBuildEnvironment:
    @given(
        st.text(st.characters(min_codepoint=1, codec="utf-8", exclude_characters="\x00")),
        st.text(st.characters(min_codepoint=33, codec="utf-8")),
    )
    def test_no_value_reaches_the_shell_unquoted(self, proxy: str, host: str) -> None:
        lines = found({"trusted-host": host}, {"https_proxy": proxy} if proxy else {})
        exported = dict(word.split("=", 1) for word in shlex.split(lines.to_shell()) if word != "export")
        assert exported.get("https_proxy", "") == proxy
        assert exported.get("PIP_TRUSTED_HOST", "") == " ".join(host.split())

    def test_a_shell_reads_what_was_written(self, tmp_path: Path) -> None:
        nasty = "http://u:$(touch pwned)`id`'\"@proxy:3128/ \\ é"
        (tmp_path / "environment").write_text(found(proxies={"http_proxy": nasty}).to_shell())
        script = '. ./environment; printf %s "$http_proxy"'
        answer = subprocess.run(["/bin/sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert answer.stdout == nasty
        assert not (tmp_path / "pwned").exists()

    def test_only_indexes_that_a_build_can_reach_are_passed_on(self) -> None:
        pip = {"index-url": "file:///opt/simple", "extra-index-url": "file:///a\nhttps://mirror.example/simple /b"}
        variables = found(pip).variables()
        assert "PIP_INDEX_URL" not in variables
        assert variables["PIP_EXTRA_INDEX_URL"] == variables["UV_INDEX"] == "https://mirror.example/simple"

    def test_pip_s_listing_is_understood_and_variables_win(self) -> None:
        listing = (
            "global.index-url='https://a.example/simple'\n"
            "global.extra-index-url='\\nhttps://b.example\\nhttps://c.example'\n"
            "install.trusted-host='a.example'\n:env:.index-url='https://env.example'\n"
            ":env:.default-timeout='180'\nnonsense\nglobal.broken='\n"
        )
        options = buildenvironment.pip_options(listing)
        assert options["index-url"] == "https://env.example"
        assert options["extra-index-url"].split() == ["https://b.example", "https://c.example"]
        assert options["trusted-host"] == "a.example"
        assert options["timeout"] == "180"

    def test_passwords_stay_out_of_what_people_see(self) -> None:
        pip = {"index-url": "https://ada:secret@index.example/simple"}
        summary = found(pip, {"https_proxy": "http://ada:hunter2@proxy:3128"}).summary()
        assert "secret" not in summary
        assert "hunter2" not in summary
        assert "index.example" in summary

    def test_only_the_owner_may_read_the_passwords(self, tmp_path: Path) -> None:
        (tmp_path / "bundle").write_text("certificates")
        environment = replace(found({"index-url": "https://a:b@c/simple"}), bundle=str(tmp_path / "bundle"))
        (volume,) = buildenvironment.write(environment, tmp_path / "build-environment")
        assert volume == f"{tmp_path / 'build-environment'}:/run/amun:ro"
        assert (tmp_path / "build-environment" / "environment").stat().st_mode & 0o077 == 0
        assert (tmp_path / "build-environment" / "ca-certificates.crt").read_text() == "certificates"
        assert (tmp_path / "build-environment" / "ca-certificates.crt").stat().st_mode & 0o044 == 0o044

    def test_a_bundle_named_by_a_variable_is_preferred(self, tmp_path: Path) -> None:
        own = tmp_path / "own.crt"
        own.write_text("x")
        assert buildenvironment.find_bundle({"SSL_CERT_FILE": "/nowhere", "PIP_CERT": str(own)}) == str(own)

    def test_proxies_are_found_in_either_case(self) -> None:
        assert buildenvironment.find_proxies({"HTTPS_PROXY": "http://p", "no_proxy": "x"}) == {
            "https_proxy": "http://p",
            "no_proxy": "x",
        }


class TestChecks:
    def test_a_machine_without_podman_is_told_how_to_get_it(self) -> None:
        check = checks.podman(replace(DEBIAN, podman=None))
        assert not check.ok
        assert check.remedy == "sudo apt-get install -y podman catatonit"

    def test_an_old_podman_is_refused(self) -> None:
        assert not checks.podman(replace(DEBIAN, version="3.4.4")).ok
        assert checks.podman(replace(DEBIAN, version="4.3.0")).ok
        assert checks.podman(replace(DEBIAN, version="5.0.0-rc1")).ok

    def test_the_command_is_that_of_the_distribution(self) -> None:
        without = replace(FEDORA, programs={})
        assert checks.pods(without).remedy == "sudo dnf install -y catatonit"
        assert checks.users(without).remedy == "sudo dnf install -y shadow-utils"
        assert checks.users(replace(without, distribution="debian")).remedy == "sudo apt-get install -y uidmap"
        assert "package manager" in str(checks.pods(replace(without, distribution="")).remedy)

    def test_a_user_without_subordinate_ids_is_told_the_command(self) -> None:
        check = checks.users(replace(FEDORA, subordinate=False))
        assert not check.ok
        assert check.remedy == (
            "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ada && podman system migrate"
        )
        assert checks.users(replace(DEBIAN, subordinate=False)).ok

    def test_a_full_disk_and_a_slow_driver_are_named(self) -> None:
        slow, full = checks.storage(replace(DEBIAN, storage_driver="vfs", storage_free=1 << 30))
        assert not slow.ok
        assert str(slow.remedy).startswith("podman system reset, which removes all images and containers of root")
        assert "AMUN_STORAGE_LIMIT" in slow.why
        assert 'driver = "overlay"' in str(slow.remedy)
        assert "fuse" not in str(slow.remedy)
        assert not full.ok
        assert full.chosen == "1.0 GiB"

    def test_local_indexes_that_builds_cannot_see_are_named(self) -> None:
        _, index = checks.network_of_builds(found({"extra-index-url": "file:///opt/simple"}))
        assert "file:///opt/simple" in index.why

    @pytest.mark.parametrize("driver", ["btrfs", "zfs", "vfs"])
    def test_a_storage_in_which_runs_are_not_counted_is_named(self, driver: str) -> None:
        storage, _ = checks.storage(replace(DEBIAN, storage_driver=driver, storage_free=50 << 30))
        assert not storage.ok
        assert "AMUN_STORAGE_LIMIT" in storage.why

    def test_directories_in_memory_are_named_with_what_follows(self) -> None:
        (found,) = checks.in_memory("/run/amun", "AMUN_STATE_DIR", "tmpfs", "logs take memory")
        assert not found.ok
        assert "/run/amun" in found.why
        assert "logs take memory" in found.why
        assert "AMUN_STATE_DIR" in str(found.remedy)
        assert not list(checks.in_memory("/var/lib/amun", "AMUN_STATE_DIR", "ext4", "logs take memory"))

    def test_the_file_system_of_a_path_that_is_not_there_yet_is_known(self) -> None:
        shm = Path("/dev/shm")
        if not shm.is_mount():
            pytest.skip("nothing is mounted at /dev/shm here")
        assert file_system(shm / "not" / "there") == "tmpfs"
        assert file_system(Path("/proc/self")) == "proc"

    def test_ids_that_another_user_has_are_given_to_nobody_else(self, tmp_path: Path) -> None:
        (tmp_path / "subuid").write_text("ada:100000:65536\nbob:165536:65536\n\n# a comment\nbroken:1\n")
        assert free_from(tmp_path / "subuid") == 231072
        assert free_from(tmp_path / "none") == 100000
        remedy = checks.users(replace(FEDORA, subordinate=False, subordinate_free=231072)).remedy
        assert "--add-subuids 231072-296607 --add-subgids 231072-296607 ada" in str(remedy)

    def test_every_failed_check_has_a_remedy(self) -> None:
        bad = replace(DEBIAN, podman=None, programs={}, root=False, storage_driver="vfs", storage_free=0)
        nothing = BuildEnvironment(bundle=None, pip={}, proxies={})
        made = [checks.podman(bad), checks.pods(bad), checks.users(bad), *checks.storage(bad)]
        made += [*checks.network_of_builds(nothing), checks.base_image(bad, present=False, registry=False)]
        failed = [check for check in made if not check.ok]
        assert len(failed) == 7
        assert all(check.remedy for check in failed)


class TestNetworks:
    def test_root_gets_slirp4netns_before_a_bridge(self) -> None:
        assert prober.network_candidates(DEBIAN) == ["slirp4netns", "bridge", "none"]

    def test_without_root_the_version_s_own_network_comes_first(self) -> None:
        assert prober.network_candidates(FEDORA) == ["pasta:--dns-forward,10.0.2.3", "slirp4netns", "none"]
        assert prober.network_candidates(replace(FEDORA, version="4.9.4")) == ["slirp4netns", "pasta", "none"]

    def test_interfaces_of_a_process_are_read_without_loopback(self, tmp_path: Path) -> None:
        (tmp_path / "net").mkdir()
        (tmp_path / "net" / "dev").write_text("Inter-|\n face |\n    lo:  1 2\n  tap0: 3 4\n")
        assert trials.interfaces(tmp_path) == ("tap0",)


class TestAppliedLimits:
    def test_unified_control_groups(self, tmp_path: Path) -> None:
        process, group = tmp_path / "proc", tmp_path / "root" / "user" / "pod"
        process.mkdir()
        group.mkdir(parents=True)
        (process / "cgroup").write_text("0::/user/pod\n")
        (group / "memory.max").write_text("67108864\n")
        (group / "cpu.max").write_text("50000 100000\n")
        (group / "pids.max").write_text("max\n")
        assert cgroups.applied(process, "v2", tmp_path / "root") == ("cpu", "memory")

    def test_hybrid_control_groups(self, tmp_path: Path) -> None:
        process, root = tmp_path / "proc", tmp_path / "root"
        process.mkdir()
        (process / "cgroup").write_text("5:pids:/p\n4:memory:/m\n1:cpu,cpuacct:/c\n0::/x\n")
        for place, file, value in (
            ("pids/p", "pids.max", "512"),
            ("memory/m", "memory.limit_in_bytes", "9223372036854771712"),
            ("cpu/c", "cpu.cfs_quota_us", "-1"),
        ):
            (root / place).mkdir(parents=True)
            (root / place / file).write_text(value + "\n")
        assert cgroups.applied(process, "v1", root) == ("pids",)

    @pytest.mark.parametrize(("version", "controllers"), [("v2", ""), ("v1", "pids")])
    def test_processes_are_limited_by_groups_above_as_well(
        self, tmp_path: Path, version: str, controllers: str
    ) -> None:
        (tmp_path / "cgroup").write_text(f"7:{controllers}:/builds/one/step\n")
        root = tmp_path / "root"
        step = root / controllers / "builds" / "one" / "step"
        step.mkdir(parents=True)
        (step / "pids.max").write_text("max\n")
        assert cgroups.most_processes(tmp_path, version, root) is None
        (step.parent / "pids.max").write_text("64\n")
        (step.parents[1] / "pids.max").write_text("4915\n")
        assert cgroups.most_processes(tmp_path, version, root) == 64

    def test_controllers_that_were_not_given_are_missing(self, tmp_path: Path) -> None:
        (tmp_path / "cgroup").write_text("0::/user\n")
        assert cgroups.applied(tmp_path, "v2", tmp_path) == ()


class TestKeptOutcome:
    def make(self, tmp_path: Path, ok: bool = True) -> Machine:
        (tmp_path / "containers.conf").write_text("")
        return Machine(
            podman="/usr/bin/podman",
            version="4.3.1",
            environment={"CONTAINERS_CONF": str(tmp_path / "containers.conf")},
            runtime="runc",
            run_network="none",
            build_network="host",
            build_doors=str(tmp_path / "containers.conf"),
            build_volumes=(f"{tmp_path}:/run/amun:ro",),
            build_group=None,
            build_seccomp=None,
            build_limits=("cpu",),
            limits=("cpu",),
            selinux=False,
            rootless=False,
            checks=(Check("podman", ok, "4.3.1", "It is old.", "sudo dnf install -y podman"),),
        )

    def test_a_disk_that_is_not_counted_is_a_weak_limit_of_builds_and_runs(self, tmp_path: Path) -> None:
        made = self.make(tmp_path)
        assert "disk" not in {**made.weak_limits, **made.weak_build_limits}
        made = replace(made, counts_disk=False)
        assert made.weak_limits["disk"] == made.weak_build_limits["disk"] == "none"

    def test_it_is_the_same_after_being_kept(self, tmp_path: Path) -> None:
        made = replace(self.make(tmp_path), counts_disk=False)
        assert Machine.from_document(json.loads(json.dumps(made.to_document()))) == made

    def test_it_is_not_taken_for_another_machine_or_without_its_files(self, tmp_path: Path) -> None:
        made = self.make(tmp_path)
        (tmp_path / "machine.json").write_text(json.dumps({"key": "k", "machine": made.to_document()}))
        assert machine._kept(tmp_path, "k") == made
        assert machine._kept(tmp_path, "other") is None
        (tmp_path / "containers.conf").unlink()
        assert machine._kept(tmp_path, "k") is None

    @pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "k", "machine": {"podman": 1}}'])
    def test_a_corrupt_file_only_costs_another_look(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "machine.json").write_text(content)
        assert machine._kept(tmp_path, "k") is None

    def test_settings_and_certificates_are_part_of_the_key(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = machine._key(tmp_path, Wishes())
        assert machine._key(tmp_path, Wishes()) == before
        assert machine._key(tmp_path, Wishes(pids_limit=3)) != before
        (tmp_path / "own.crt").write_text("x")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own.crt"))
        assert machine._key(tmp_path, Wishes()) != before

    def test_the_problem_names_the_remedy(self, tmp_path: Path) -> None:
        assert self.make(tmp_path).problem is None
        assert self.make(tmp_path, ok=False).problem == "It is old. Try: sudo dnf install -y podman"


class TestWhatPodmanMaySee:
    def test_secrets_of_the_service_are_not_passed(self) -> None:
        environment = {"PATH": "/bin", "AMUN_TOKEN": "t", "AWS_SECRET_ACCESS_KEY": "s", "HTTPS_PROXY": "http://p"}
        assert prober.podman_environment(environment) == {"PATH": "/bin", "HTTPS_PROXY": "http://p"}


class TestBaseImage:
    LISTING = (
        "http://deb.example/debian/ bookworm main Debian\n"
        "http://deb.example/debian/ bookworm contrib Debian\n"
        "http://deb.example/debian-security/ bookworm-security main Debian\n"
        "http://other.example/debian/ bookworm main Other\n"
        "http://other.example/debian/ bookworm-pgdg main Other\n"
    )

    def test_packages_come_from_where_this_machine_gets_its_own(self) -> None:
        assert baseimage.apt_sources(self.LISTING) == [
            "deb http://deb.example/debian/ bookworm main",
            "deb http://deb.example/debian-security/ bookworm-security main",
        ]

    def test_another_distribution_s_sources_are_left_alone(self) -> None:
        assert baseimage.apt_sources("http://archive.example/ubuntu/ jammy main Ubuntu\n") == []
        assert baseimage.apt_sources("") == []

    def test_proxies_of_this_machine_stay_out_of_the_image(self) -> None:
        option = 'Acquire::http::Proxy "http://ada:secret@proxy";'
        command = baseimage.mmdebstrap(Path("/tmp/x.tar"), ("python3",), (), (option,))
        assert f"--aptopt={option}" in command
        assert any(word.startswith("--customize-hook=rm") and "99mmdebstrap" in word for word in command)
        assert command[-2:] == ["bookworm", "/tmp/x.tar"]

    def test_a_registry_that_is_not_there_is_told_quickly(self) -> None:
        assert baseimage.registry_answers("http://127.0.0.1:9/v2/", timeout=2) is not None


def test_the_trial_image_has_one_program_and_is_always_the_same(tmp_path: Path) -> None:
    (tmp_path / "catatonit").write_bytes(b"program")
    archive = trials._archive(tmp_path / "catatonit")
    assert archive == trials._archive(tmp_path / "catatonit")
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        assert [(entry.name, entry.mode) for entry in opened] == [("catatonit", 0o755)]


@pytest.mark.parametrize(
    ("programs", "subordinate", "remedy"),
    [
        ({}, True, "dnf install -y shadow-utils"),
        ({"newuidmap": "/usr/bin/newuidmap"}, False, "--add-subuids"),
        ({"newuidmap": "/usr/bin/newuidmap"}, True, "podman system migrate"),
    ],
)
def test_a_podman_that_has_no_subordinate_ids_is_remedied_by_what_it_lacks(
    programs: dict[str, str], subordinate: bool, remedy: str
) -> None:
    refusal = "potentially insufficient UIDs or GIDs available in user namespace"
    broken = replace(FEDORA, refusal=refusal, lasting=True, programs=programs, subordinate=subordinate)
    assert remedy in str(checks.podman(broken).remedy)
