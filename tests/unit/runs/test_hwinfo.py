"""The machine is described in the structure that readers of the original know, whatever machine and shell it is."""

import json
import os
import runpy
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

import amun.runs.programs

PROGRAM = Path(amun.runs.programs.__file__).parent / "hwinfo.sh"
SHELLS = {"dash": ["dash"], "busybox": ["busybox", "sh"], "bash": ["bash"]}
FOUND = {name: command for name, command in SHELLS.items() if shutil.which(command[0])}

CPU_INFO = {
    *("arch", "arch_string_raw", "bits", "brand_raw", "count", "cpuinfo_version", "cpuinfo_version_string", "family"),
    *("hz_actual_friendly", "hz_advertised_friendly", "l2_cache_associativity", "l2_cache_line_size", "model"),
    *("stepping", "vendor_id_raw"),
}
CPU_FEATURES = {
    *("flags", "hz_actual", "hz_actual_raw", "hz_advertised", "hz_advertised_raw", "l1_data_cache_size"),
    *("l1_instruction_cache_size", "l2_cache_size", "l3_cache_size"),
}
PLATFORM = {"architecture", "machine", "node", "platform", "processor", "release", "version"}

XEON = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 79
model name\t: Intel(R) Xeon(R) CPU "E5" \\ @ 2.20GHz
stepping\t: 1
cpu MHz\t\t: 2799.031
cpu cores\t: 2
flags\t\t: fpu mmx sse sse2 pni avx
bugs\t\t: * [a]

processor\t: 1
model\t\t: 99
"""
ARM = "processor\t: 0\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd evtstrm\nCPU implementer\t: 0x41\n\nprocessor\t: 1\n"
POWER = "processor\t: 0\ncpu\t\t: POWER9 (architected), altivec supported\nclock\t\t: 2200.000000MHz\n\nmachine\t: x\n"
S390X = "vendor_id       : IBM/S390\n# processors    : 8\nfeatures\t: esan3 zarch stfle\ncpu MHz static  : 5200\n"


@pytest.fixture(params=FOUND)
def describe(request, tmp_path):
    """Run hwinfo.sh with each shell, on the files given for this machine's."""

    def run(files=None):
        root = tmp_path / "root with space"
        for name, text in (files or {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        output = tmp_path / "info.json"
        command = [*FOUND[request.param], str(PROGRAM), str(output)] + [str(root)] * (files is not None)
        done = subprocess.run(command, capture_output=True, check=True, timeout=20)
        assert (done.stdout, done.stderr) == (b"", b"")
        return json.loads(output.read_text())

    return run


def x86(cpuinfo=XEON, **files):
    topology = {
        f"sys/devices/system/cpu/cpu{cpu}/topology/{name}": f"{value}\n"
        for cpu in range(8)
        for name, value in (("physical_package_id", cpu // 4), ("core_id", cpu // 2 % 2))
    }
    return {
        "proc/cpuinfo": cpuinfo,
        "proc/sys/kernel/arch": "x86_64\n",
        "sys/devices/system/cpu/online": "0-3,5,8-10\n",
        **topology,
        **files,
    }


def test_this_machine_is_described(describe):
    found = describe()
    info = found["cpu_info"]
    assert set(info) == CPU_INFO | {"cores", "sockets"}
    assert set(found["cpu_features"]) == CPU_FEATURES
    assert set(found["platform"]) == PLATFORM
    assert info["count"] == os.cpu_count()
    assert info["arch_string_raw"] == os.uname().machine
    assert found["platform"]["release"] == os.uname().release
    assert found["platform"]["node"] == os.uname().nodename
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert found["memory"]["total_bytes"] == total
    assert 0 < found["memory"]["available_bytes"] <= total
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next(line for line in lines if line.lower().startswith(("flags", "features")))
    assert found["cpu_features"]["flags"] == flags.split(":")[1].split()


@pytest.mark.parametrize("shell", FOUND.values(), ids=FOUND)
def test_the_short_description_is_left_where_an_engine_wants_it(tmp_path, shell):
    whole, short = tmp_path / "info.json", tmp_path / "account"
    short.write_text("what was there before " * 1000)
    subprocess.run([*shell, str(PROGRAM), str(whole), "", str(short)], check=True, timeout=20)
    said, known = json.loads(short.read_text()), json.loads(whole.read_text())
    assert said == {name: known[name] for name in ("cpu_info", "gpus")}
    assert short.stat().st_size < 4096


def test_a_xeon_is_described_as_py_cpuinfo_would(describe):
    found = describe(x86())
    info = {name: value for name, value in found["cpu_info"].items() if value is not None}
    assert info == {
        "arch": "X86_64",
        "arch_string_raw": "x86_64",
        "bits": 64,
        "brand_raw": 'Intel(R) Xeon(R) CPU "E5" \\ @ 2.20GHz',
        "cores": 4,
        "count": 8,
        "cpuinfo_version": [7, 0, 0],
        "cpuinfo_version_string": "7.0.0",
        "family": 6,
        "hz_actual_friendly": "2.7990 GHz",
        "hz_advertised_friendly": "2.2000 GHz",
        "model": 79,
        "sockets": 2,
        "stepping": 1,
        "vendor_id_raw": "GenuineIntel",
    }
    assert found["cpu_features"]["hz_actual"] == [2799031000, 0]
    assert found["cpu_features"]["hz_advertised"] == [2200000000, 0]
    assert found["cpu_features"]["flags"] == ["fpu", "mmx", "sse", "sse2", "pni", "avx"]
    kind = found["cpu_type"]
    assert {name for name, value in kind.items() if value is True} == {
        *("has_mmx", "has_sse", "has_sse2", "has_sse3", "is_64bit", "is_Intel", "is_XEON", "is_Xeon", "is_i686"),
    }
    assert (kind["nbits"], kind["ncpus"], kind["is_AMD"], kind["has_ssse3"]) == ("64", 8, False, False)


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "expected"),
    [
        ("aarch64", ARM, {"arch": "ARM_8", "bits": 64, "brand_raw": None, "family": None}),
        (
            "ppc64le",
            POWER,
            {
                "arch": "PPC_64",
                "brand_raw": "POWER9 (architected), altivec supported",
                "hz_actual_friendly": "2.2000 GHz",
            },
        ),
        ("s390x", S390X, {"arch": "S390X", "vendor_id_raw": "IBM/S390", "count": 8, "model": None}),
        ("loongarch64", "", {"arch": None, "bits": None, "arch_string_raw": "loongarch64", "count": None}),
    ],
)
def test_other_architectures_are_described_as_far_as_they_tell(describe, machine, cpuinfo, expected):
    found = describe({"proc/cpuinfo": cpuinfo, "proc/sys/kernel/arch": f"{machine}\n"})
    assert {name: found["cpu_info"][name] for name in expected} == expected
    assert found["cpu_type"].get("is_Intel") is None


def test_a_machine_that_shows_nothing_is_described_by_nulls(describe):
    found = describe({"nothing": ""})
    told = {"arch", "arch_string_raw", "bits", "cpuinfo_version", "cpuinfo_version_string"}  # By uname.
    assert {name for name, value in found["cpu_info"].items() if value is not None} <= told
    assert found["cpu_features"]["flags"] == []
    assert set(found["memory"].values()) == {None}
    assert set(found["cgroup"].values()) == {None}
    assert found["gpus"] == []


def test_gpus_are_listed(describe):
    text = "Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ:   \t\t 129\nGPU UUID: \t GPU-5d5b\nBus Location: \t 0000:00:04.0\n"
    found = describe(x86(**{"proc/driver/nvidia/gpus/0000:00:04.0/information": text}))
    assert found["gpus"] == [
        {
            "vendor": "nvidia.com/gpu",
            "product": "NVIDIA A100-SXM4-40GB",
            "uuid": "GPU-5d5b",
            "bus": "0000:00:04.0",
        }
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"cgroup.controllers": "cpu memory", "cpu.max": "50000 100000\n", "memory.max": "268435456\n"},
            {"version": 2, "cpu_limit": 0.5, "memory_limit_bytes": 268435456, "pids_limit": None},
        ),
        (
            {"cgroup.controllers": "", "cpu.max": "max 100000\n", "memory.max": "max\n", "pids.max": "512\n"},
            {"version": 2, "cpu_limit": None, "memory_limit_bytes": None, "pids_limit": 512},
        ),
        (
            {
                "cpu/cpu.cfs_quota_us": "125000\n",
                "cpu/cpu.cfs_period_us": "100000\n",
                "memory/memory.limit_in_bytes": "1024\n",
            },
            {"version": 1, "cpu_limit": 1.25, "memory_limit_bytes": 1024, "pids_limit": None},
        ),
        (
            {"cpu/cpu.cfs_quota_us": "-1\n", "memory/memory.limit_in_bytes": "9223372036854771712\n"},
            {"version": 1, "cpu_limit": None, "memory_limit_bytes": None, "pids_limit": None},
        ),
    ],
)
def test_limits_are_those_of_the_containers_cgroup(describe, files, expected):
    assert describe({f"sys/fs/cgroup/{name}": text for name, text in files.items()})["cgroup"] == expected


def test_caches_are_in_bytes(describe):
    caches = {0: (1, "Data", "32K"), 1: (1, "Instruction", "48K"), 2: (2, "Unified", "2M"), 3: (3, "Unified", "32768K")}
    files = {
        f"sys/devices/system/cpu/cpu0/cache/index{index}/{name}": f"{value}\n"
        for index, cache in caches.items()
        for name, value in zip(("level", "type", "size"), cache, strict=True)
    }
    found = describe(x86(**files))["cpu_features"]
    sizes = [found[f"{name}_cache_size"] for name in ("l1_data", "l1_instruction", "l2", "l3")]
    assert sizes == [32 << 10, 48 << 10, 2 << 20, 32 << 20]


def test_a_large_machine_is_described_in_no_time(describe):
    many = {f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id": "0" for cpu in range(256)}
    cores = {f"sys/devices/system/cpu/cpu{cpu}/topology/core_id": str(cpu) for cpu in range(256)}
    files = x86(XEON * 256, **many, **cores)
    describe(files)
    start = time.monotonic()
    assert describe(files)["cpu_info"]["cores"] == 256
    # Writing the files is in it, and other work on this machine; reading all of /proc/cpuinfo would take longer.
    assert time.monotonic() - start < 5


def test_nowhere_to_write_fails_nothing(tmp_path):
    done = subprocess.run(["sh", str(PROGRAM), str(tmp_path / "no" / "info.json")], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_reader_finds_all_of_the_file_or_none(tmp_path):
    for _ in range(2):
        subprocess.run(["sh", str(PROGRAM), str(tmp_path / "info.json")], check=True)
    assert {path.name for path in tmp_path.iterdir()} == {"info.json", "python"}


ELSEWHERE = b"\x7fELF" + struct.pack(">BBBxxxxxxxxxHHI", 2, 2, 1, 2, 0x16, 1) + b"\0" * 40
"""The header of a program for s390x (elf(5))."""

SHIMS = {
    "missing": b"#!/bin/sh\necho 'pyenv: python3: command not found' >&2\nexit 127\n",
    "failing": b"#!/bin/sh\nexit 1\n",
    "silent": b"#!/bin/sh\nexit 0\n",
    "traceback": b"#!/bin/sh\necho 'Fatal Python error: init_fs_encoding' >&2\nkill -ABRT $$\n",
    "python 2": b"#!/bin/sh\n[ $1 != -I ] || { echo 'Unknown option: -I' >&2; exit 2; }\necho works\n",
    "too old": b"#!/bin/sh\necho 'too old' >&2; exit 1\n",
    "without module": b'#!/bin/sh\nexec @PYTHON -I -S -c \'import runpy, sys\nsys.modules["resource"] = None\n'
    b'path = sys.argv.pop(1)\nrunpy.run_path(path, run_name="__main__")\' "$4" --try\n',
    "talking": b'#!/bin/sh\necho welcome; exec @PYTHON "$@"\n',
    "talking after": b'#!/bin/sh\n@PYTHON "$@"; echo bye\n',
    "without interpreter": b"#!/nowhere/python2\n",
    "hanging": b"#!/bin/sh\nwhile :; do sleep 30; done\n",
    "hanging and deaf": b"#!/bin/sh\ntrap '' TERM INT HUP\nwhile :; do sleep 30; done\n",
    "wrong architecture": ELSEWHERE,
    "empty": b"",
    "not executable": None,
    "directory": None,
}


@pytest.fixture(params=FOUND)
def search(request, tmp_path):
    """Run hwinfo.sh where PATH leads to false ones first; returns the python3 that it has found."""
    text = PROGRAM.with_name("python.sh").read_text()
    assert "\nseconds=10\n" in text
    (tmp_path / "python.sh").write_text(text.replace("\nseconds=10\n", "\nseconds=1\n"))
    shutil.copy(PROGRAM, tmp_path)
    shutil.copy(PROGRAM.with_name("runner.py"), tmp_path)
    works = tmp_path / "one that works" / "python3"
    works.parent.mkdir()
    works.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    works.chmod(0o755)

    def run(*directories, also=f"{works.parent}:{os.environ['PATH']}"):
        path = ":".join([*map(str, directories), also])
        shell = [shutil.which(FOUND[request.param][0]), *FOUND[request.param][1:]]
        command = [*shell, str(tmp_path / "hwinfo.sh"), str(tmp_path / "info.json")]
        done = subprocess.run(command, capture_output=True, check=True, timeout=60, env={"PATH": path})
        assert (done.stdout, done.stderr) == (b"", b"")
        assert json.loads((tmp_path / "info.json").read_text())["memory"]["total_bytes"]
        return (tmp_path / "python").read_text()

    run.works = f"{works}\n"
    return run


def shim(directory, kind):
    directory.mkdir()
    path = directory / "python3"
    if kind == "directory":
        path.mkdir()
        return
    path.write_bytes((SHIMS[kind] or b"").replace(b"@PYTHON", os.fsencode(sys.executable)))
    path.chmod(0o644 if kind == "not executable" else 0o755)


@pytest.mark.parametrize("kind", SHIMS)
def test_a_python_that_cannot_run_the_runner_is_passed_over(search, tmp_path, kind):
    shim(tmp_path / "shims", kind)
    assert search(tmp_path / "shims") == search.works


def test_several_false_ones_in_a_row_are_passed_over(search, tmp_path):
    for kind in ("missing", "talking", "directory"):
        shim(tmp_path / kind, kind)
    assert search("/nowhere", *(tmp_path / kind for kind in ("missing", "missing", "talking", "directory")), "") == (
        search.works
    )


def test_the_first_that_works_is_taken_as_the_script_would_find_it(search):
    assert search() == search.works


def test_a_hanging_one_is_given_up_where_there_is_no_sleep_either(search, tmp_path):
    shim(tmp_path / "shims", "hanging")
    (tmp_path / "shims" / "python3").write_text("#!/bin/sh\nread -r line </dev/zero\n")
    assert search(tmp_path / "shims", also=search.works.rpartition("/")[0]) == search.works


def test_who_has_very_many_hanging_ones_has_none(search, tmp_path):
    for number in range(12):
        shim(tmp_path / f"shims {number}", "hanging")
    assert search(*(tmp_path / f"shims {number}" for number in range(12))) == ""


def test_a_python_before_3_6_says_that_it_is_too_old(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 5, 10))
    monkeypatch.setattr(sys, "argv", ["runner.py", "--try"])
    with pytest.raises(SystemExit, match="too old"):
        runpy.run_path(str(PROGRAM.with_name("runner.py")), run_name="__main__")
