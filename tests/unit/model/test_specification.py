"""What callers may ask, what they are told when they may not, and that nothing of it is lost on the way."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amun.errors import InvalidSpecification
from amun.model.specification import Defaults, File, Gpu, Hardware, Metric, Python, Requests, Specification
from amun.validation import rules
from amun.validation.problems import problems, validated

CASES = sorted((Path(__file__).parents[2] / "cases").glob("*.json"))
SHA = "sha256:" + "0" * 64
PYPI = {"name": "pypi", "url": "https://pypi.org/simple", "verify_ssl": True}
MANY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def paths(document: object) -> list[str]:
    return [problem.path for problem in problems(document)]


def messages(document: object) -> dict[str, str]:
    return {problem.path: problem.message for problem in problems(document)}


def locked(package: object = None, name: str = "flask", **meta: object) -> dict[str, Any]:
    """A specification with one locked package."""
    package = {"version": "==3.1.0", "hashes": [SHA]} if package is None else package
    return {
        "base": "fedora:41",
        "python": {
            "requirements": {"packages": {"flask": "*"}},
            "requirements_locked": {"_meta": {"sources": [PYPI]} | meta, "default": {name: package}},
        },
    }


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


# What real callers send


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_what_callers_of_the_original_sent_is_accepted_and_comes_back_the_same(case: Path) -> None:
    document = json.loads(case.read_text())
    specification = validated(document)
    returned = specification.to_document()
    assert validated(returned) == specification
    for name in ("script", "python", "packages", "python_packages", "environment", "base", "identifier"):
        if document.get(name) is not None:
            assert returned[name] == document[name]
    for index, file in enumerate(document.get("files") or []):
        assert returned["files"][index]["content"] == file["content"]


def test_the_cases_are_there() -> None:
    assert len(CASES) >= 6


def test_null_is_the_same_as_leaving_out_at_every_level() -> None:
    nothing = {"base": "fedora:41"}
    requests = {"cpu": None, "memory": None, "hardware": None}
    hardware = dict.fromkeys(
        ["cpu_family", "cpu_model", "physical_cpus", "processor", "architecture", "gpu", "node_selector"]
    )
    optional = [name for name in vars(validated(nothing)) if name not in ("base", "extras")]
    for document in (
        nothing | dict.fromkeys(optional) | {"runtime_environment": None, "@created": None},
        nothing | {"build": {"requests": None, "cache": None, "timeout": None}, "run": {"requests": requests}},
        nothing | {"run": {"requests": requests | {"hardware": hardware}}},
        nothing | {"run": {"requests": {"hardware": {"gpu": {"vendor": None, "count": None, "product": None}}}}},
        nothing | {"python": {"requirements": None, "requirements_locked": None}},
    ):
        assert problems(document) == []
        assert validated(document) == validated(nothing)


@pytest.mark.parametrize(
    "empty",
    [
        {"packages": [], "python_packages": [], "files": [], "environment": []},
        {"python": {}},
        {"python": {"requirements": {}, "requirements_locked": {}}},
        {"build": {}, "run": {}},
        {"build": {"requests": {}}, "run": {"requests": {"hardware": {}}}},
        {"run": {"requests": {"hardware": {"gpu": {}, "node_selector": {}}}}},
        {"identifier": "", "script": ""},
    ],
)
def test_empty_is_the_same_as_leaving_out(empty: dict[str, Any]) -> None:
    nothing = {"base": "fedora:41"}
    assert validated(nothing | empty) == validated(nothing)


@pytest.mark.parametrize(("given", "meant"), [("5", 5), ("1000", 1000), ("007", 7), (12, 12)])
def test_a_batch_size_may_be_a_numeric_string(given: object, meant: int) -> None:
    assert validated({"base": "fedora:41", "batch_size": given}).batch_size == meant


@pytest.mark.parametrize(("given", "meant"), [("0", 0), ("999", 999), ("007", 7), (12, 12), (None, 0)])
def test_a_number_of_warm_ups_may_be_a_numeric_string(given: object, meant: int) -> None:
    specification = validated({"base": "fedora:41", "warmup": given})
    assert (specification.warmup, specification.items) == (meant, meant + 1)


def test_metrics_are_taken_as_they_are_described() -> None:
    described = [
        {"path": "a", "unit": None, "better": "lower"},
        {"path": '["a.b"][0].c d', "unit": "rows/s"},
        {"path": "b"},
    ]
    specification = validated({"base": "fedora:41", "metrics": described})
    assert specification.metrics == (Metric("a", None, "lower"), Metric('["a.b"][0].c d', "rows/s"), Metric("b"))
    assert specification.to_document()["metrics"] == [
        {"path": "a", "better": "lower"},
        {"path": '["a.b"][0].c d', "unit": "rows/s"},
        {"path": "b"},
    ]


def test_what_says_nothing_of_warm_ups_and_metrics_is_as_parts_of_an_earlier_version_know_it() -> None:
    for nothing in ({}, {"warmup": 0, "metrics": []}, {"warmup": "0", "metrics": None}):
        document = validated({"base": "fedora:41", **nothing}).to_document()
        assert document.keys().isdisjoint({"warmup", "metrics"})


def test_a_stored_specification_can_be_sent_back() -> None:
    document = {"base": "fedora:41", "@created": "2020-08-05T14:41:01.756319"}
    assert validated(document) == validated({"base": "fedora:41"})


def test_fields_of_the_original_without_effect_are_given_back() -> None:
    extras = {
        "runtime_environment": {"hardware": {"cpu_family": 6}},
        "constraints": ["a", None, 1.5],
        "send_messages": True,
        "force_sync": False,
    }
    returned = validated({"base": "fedora:41"} | extras).to_document()
    assert {name: returned[name] for name in extras} == extras


def test_requirements_may_be_strings_or_objects() -> None:
    document = locked()
    document["python"]["requirements"]["packages"] = {"flask": "*", "numpy": {"version": "==2.0", "index": "pypi"}}
    assert problems(document) == []


def test_all_defaults_are_filled_in() -> None:
    assert validated({"base": "fedora:41"}).to_document() == {
        "base": "fedora:41",
        "update": False,
        "packages": [],
        "python_packages": [],
        "python": {"requirements": {}, "requirements_locked": {}},
        "package_manager": "micropipenv",
        "upgrade_pip": False,
        "files": [],
        "environment": [],
        "build": {"requests": {"cpu": "500m", "memory": "256Mi"}, "cache": True, "timeout": 3600},
        "run": {"requests": {"cpu": "500m", "memory": "256Mi"}, "timeout": 3600},
        "batch_size": 1,
        "parallelism": 1,
        "allowed_failures": 0,
    }


def test_a_deployment_has_defaults_of_its_own() -> None:
    defaults = Defaults(cpu="2", memory="1Gi", build_timeout=60, run_timeout=30)
    specification = validated({"base": "fedora:41", "run": {"requests": {"cpu": "3"}}}, defaults)
    assert (specification.build.requests, specification.build.timeout) == (Requests("2", "1Gi"), 60)
    assert (specification.run.requests, specification.run.timeout) == (Requests("3", "1Gi"), 30)


def test_build_and_run_ask_for_hardware_each_on_its_own() -> None:
    hardware = {"cpu_family": 6, "gpu": {"count": 2}, "node_selector": {"example.com/disk": "ssd", "empty": ""}}
    specification = validated({"base": "fedora:41", "run": {"requests": {"hardware": hardware}}})
    assert specification.build.requests.hardware is None
    assert specification.run.requests.hardware == Hardware(
        cpu_family=6, gpu=Gpu("nvidia.com/gpu", 2), node_selector={"example.com/disk": "ssd", "empty": ""}
    )
    returned = specification.to_document()["run"]["requests"]["hardware"]
    assert returned == hardware | {"gpu": {"vendor": "nvidia.com/gpu", "count": 2}}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("a", "/a"),
        ("/a", "/a"),
        ("//a//b", "/a/b"),
        ("./a/./b", "/a/b"),
        ("home/amun/x y", "/home/amun/x y"),
        ("~/x", "/home/amun/x"),
        ("~//./x/y", "/home/amun/x/y"),
        ("./~", "/~"),
        ("/a/~", "/a/~"),
        ("/a\\b", "/a\\b"),
        ("c:", "/c:"),
    ],
)
def test_paths_of_files_have_one_form(given: str, path: str) -> None:
    specification = validated({"base": "b", "files": [{"path": given, "content": ""}]})
    assert specification.files == (File(path, ""),)


@pytest.mark.parametrize(
    "package",
    ["gcc=4:12.2.0-3", "python3-numpy", "@development", "g++", "libc6:amd64", "vim/bookworm-backports", "a~=1.0", "x"],
)
def test_names_of_native_packages_are_accepted(package: str) -> None:
    assert paths({"base": "b", "packages": [package]}) == []


@pytest.mark.parametrize(
    "base",
    [
        "fedora",
        "fedora:28",
        "localhost/base:bookworm",
        "localhost:5000/a/b_c/d--e:V1.0_x",
        "[::1]:5000/a",
        f"quay.io/a/b@{SHA}",
        f"Registry.Example.COM/a/b:tag@{SHA}",
    ],
)
def test_image_references_are_accepted(base: str) -> None:
    assert paths({"base": base}) == []


@pytest.mark.parametrize(
    "requirement", ["flask", "micropipenv[toml]", "a>=1,<2; python_version > '3'", "a @ https://example.com/a.whl"]
)
def test_requirements_are_accepted(requirement: str) -> None:
    assert paths({"base": "b", "python_packages": [requirement]}) == []


@pytest.mark.parametrize("value", ["$HOME `id` \"'\\", "a\nb\tc", "", "ünï\u2028cödé 🐍", " x ", "{{ x }}"])
def test_text_keeps_every_character(value: str) -> None:
    document = {
        "base": "b",
        "script": f"#{value}",
        "files": [{"path": "a", "content": value}],
        "environment": [{"name": "A", "value": value}],
    }
    returned = validated(document).to_document()
    assert returned["script"] == f"#{value}"
    assert returned["files"] == [{"path": "/a", "content": value}]
    assert returned["environment"] == [{"name": "A", "value": value}]


def test_variables_may_be_as_large_as_is_said() -> None:
    most = rules.VARIABLE_MAX - len('A=""')
    assert rules.VARIABLES_MAX == 2 * rules.VARIABLE_MAX
    values = ("x" * most, "\n" * (most // 15) + "x" * (most % 15))
    variables = [{"name": name, "value": value} for name, value in zip("AB", values, strict=True)]
    assert paths({"base": "b", "environment": variables}) == []


def test_a_lock_is_known_as_one() -> None:
    assert validated(locked()).python.locked
    assert not Python().locked


# What they are told


REFUSED: list[tuple[dict[str, Any], set[str]]] = [
    ({"batc_size": 1}, {"batc_size"}),
    ({"batch_size": 0}, {"batch_size"}),
    ({"batch_size": 1001}, {"batch_size"}),
    ({"batch_size": "1001"}, {"batch_size"}),
    ({"batch_size": "5\n"}, {"batch_size"}),
    ({"batch_size": "\u0665"}, {"batch_size"}),
    ({"batch_size": True}, {"batch_size"}),
    ({"batch_size": 1.5}, {"batch_size"}),
    ({"parallelism": 0}, {"parallelism"}),
    ({"allowed_failures": -1}, {"allowed_failures"}),
    ({"allowed_failures": 2}, {"allowed_failures"}),
    ({"allowed_failures": 6, "batch_size": "5"}, {"allowed_failures"}),
    ({"warmup": -1}, {"warmup"}),
    ({"warmup": 1000}, {"warmup"}),
    ({"warmup": "1000"}, {"warmup"}),
    ({"warmup": "1\n"}, {"warmup"}),
    ({"warmup": "\u0665"}, {"warmup"}),
    ({"warmup": False}, {"warmup"}),
    ({"warmup": "1", "batch_size": "1000"}, {"warmup"}),
    ({"warmup": 2, "batch_size": 1, "allowed_failures": 4}, {"allowed_failures"}),
    ({"metrics": {"path": "a"}}, {"metrics"}),
    ({"metrics": ["a"]}, {"metrics[0]"}),
    ({"metrics": [{}]}, {"metrics[0].path"}),
    ({"metrics": [{"path": "a"}, {"path": "a", "unit": "s"}, {"path": '["a"]'}]},
     {"metrics[1].path", "metrics[2].path"}),
    ({"metrics": [{"path": path} for path in ("", ".", "a.", ".a", "a..b", "[0]", "a[01]", "a[-1]", "a]", '["a',
                                              "['a']", 'a.["b"]', "a[0]b", 'a["\n"]', "x" * 501, None)]},
     {f"metrics[{i}].path" for i in range(16)}),
    ({"metrics": [{"path": "a", "unit": "", "better": "less"}, {"path": "b", "unit": "a\nb", "better": True}]},
     {f"metrics[{i}].{field}" for i in range(2) for field in ("unit", "better")}),
    ({"metrics": [{"path": f"a{i}"} for i in range(201)]}, {"metrics"}),
    ({"update": "yes"}, {"update"}),
    ({"upgrade_pip": 1}, {"upgrade_pip"}),
    ({"package_manager": "poetry"}, {"package_manager"}),
    ({"identifier": "x" * 28}, {"identifier"}),
    ({"identifier": "Test"}, {"identifier"}),
    ({"identifier": "test\n"}, {"identifier"}),
    ({"script": 1}, {"script"}),
    ({"script": "\0"}, {"script"}),
    ({"script": "\ud800"}, {"script"}),
    ({"script": "ä" * (rules.SCRIPT_MAX // 2 + 1)}, {"script"}),
    ({"packages": "vim"}, {"packages"}),
    ({"packages": ["vim", "-y"]}, {"packages[1]"}),
    ({"packages": ["vim; id"]}, {"packages[0]"}),
    ({"packages": ["vim\n"]}, {"packages[0]"}),
    ({"packages": ["$(id)", "a b", "", "vim-", "../x.deb", "https://example.com/x.rpm", None]},
     {f"packages[{i}]" for i in range(7)}),
    ({"python_packages": ["--index-url=x", "a b", "a @ file:///etc/passwd", "a @ http://x/y", "./a", "a\n-r x"]},
     {f"python_packages[{i}]" for i in range(6)}),
    ({"environment": [{"name": "1A", "value": ""}]}, {"environment[0].name"}),
    ({"environment": [{"name": "A=B", "value": ""}, {"name": "A\n", "value": ""}]},
     {"environment[0].name", "environment[1].name"}),
    ({"environment": [{"name": "AMUN_ITEM", "value": ""}]}, {"environment[0].name"}),
    ({"environment": [{"name": "A", "value": 1}]}, {"environment[0].value"}),
    ({"environment": [{"name": "A"}]}, {"environment[0].value"}),
    ({"environment": [{"name": "A", "value": "a\0"}]}, {"environment[0].value"}),
    ({"environment": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, {"environment[1].name"}),
    ({"environment": [{"name": "A", "value": "x" * (rules.VARIABLE_MAX - 3)}]}, {"environment[0].value"}),
    ({"environment": [{"name": "A", "value": "\n" * (rules.VARIABLE_MAX // 15)}]}, {"environment[0].value"}),
    ({"environment": {"A": "B"}}, {"environment"}),
    ({"files": [{"path": "a"}]}, {"files[0].content"}),
    ({"files": [{"path": "a", "content": "", "mode": 493}]}, {"files[0].mode"}),
    ({"environment": [{"name": f"V{n}", "value": "x" * 100_000} for n in range(3)]}, {"environment"}),
    ({"environment": [{"name": f"V{n}", "value": "$" * 50_000} for n in range(3)]}, {"environment"}),
    ({"environment": [{"name": f"V{n}", "value": "\n" * 8_000} for n in range(3)]}, {"environment"}),
    ({"files": [{"path": "a", "content": "x" * rules.FILES_MAX}, {"path": "b", "content": "x"}]}, {"files"}),
    ({"files": [{"path": "a", "content": ""}, {"path": "/a", "content": ""}]}, {"files[1].path"}),
    ({"files": [{"path": "/a/b", "content": ""}, {"path": "a", "content": ""}]}, {"files[1].path"}),
    ({"build": {"cache": "no"}}, {"build.cache"}),
    ({"build": {"timeout": 0}, "run": {"timeout": 604801}}, {"build.timeout", "run.timeout"}),
    ({"run": {"cache": True}}, {"run.cache"}),
    ({"run": {"requests": {"memory": "1Q"}}}, {"run.requests.memory"}),
    ({"run": {"requests": {"memory": "500m"}}}, {"run.requests.memory"}),
    ({"run": {"requests": {"memory": "256"}}}, {"run.requests.memory"}),
    ({"build": {"requests": {"cpu": "0", "memory": "-1Gi"}}}, {"build.requests.cpu", "build.requests.memory"}),
    ({"build": {"requests": {"cpu": "Infinity", "memory": "1 Gi"}}}, {"build.requests.cpu", "build.requests.memory"}),
    ({"build": {"requests": {"cpu": 1}}}, {"build.requests.cpu"}),
    ({"run": {"requests": {"hardware": {"cpu_family": "6", "gpu": {"count": 0, "vendor": "nvidia"}}}}},
     {f"run.requests.hardware.{field}" for field in ("cpu_family", "gpu.count", "gpu.vendor")}),
    ({"run": {"requests": {"hardware": {"node_selector": {"a b": "c", "d": "e f", "g": 1}}}}},
     {f"run.requests.hardware.node_selector{key}" for key in ('["a b"]', ".d", ".g")}),
    ({"runtime_environment": {"a": float("nan")}}, {"runtime_environment.a"}),
    ({"constraints": {"\0": 1}}, {'constraints["\\u0000"]'}),
    ({"constraints": nested(100)}, {"constraints"}),
    ({"base": None}, {"base"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "expected"), REFUSED, ids=lambda value: str(value)[:60] if isinstance(value, dict) else ""
)
def test_each_offending_field_is_named_and_no_other(wrong: dict[str, Any], expected: set[str]) -> None:
    assert set(paths({"base": "fedora:41"} | wrong)) == expected


@pytest.mark.parametrize(
    "base",
    ["", " fedora", "fedora\n", "fedora:41 AS x", "Fedora", "docker://fedora", "oci-archive:x", "dir:x", "a//b", "a:",
     "$BASE", "a@sha256:12", "-a", "a" * 256],
)  # fmt: skip
def test_what_is_no_image_reference_is_refused(base: str) -> None:
    assert paths({"base": base}) == ["base"]


@pytest.mark.parametrize(
    "path",
    ["", "/", ".", "a/", "a/.", "..", "../a", "a/../b", "a\nb", "a\0", "\ud800", "/proc/1", "/sys/x", "/dev/null",
     "amun/script", "/opt/amun/venv/x", "/run/amun/environment", "/home/amun/hwinfo/info.json", "/home/amun", "home",
     "/opt", "//proc//x", "/etc/hosts", "x" * 256, "/x" * 2048, "~", "~/", "~/.", "~root/x", "~x", "~/hwinfo/x",
     "~/../x", "C:\\x", "c:/x", "C:\\", "\\\\server\\share\\x", "data\\x", "..\\x", ".\\x"],
)  # fmt: skip
def test_a_file_may_not_be_where_it_breaks_the_image_or_the_run(path: str) -> None:
    assert paths({"base": "b", "files": [{"path": path, "content": ""}]}) == ["files[0].path"]


LOCKED: list[tuple[dict[str, Any], set[str]]] = [
    (locked({"version": "==3.1.0"}), {".flask.hashes"}),
    (locked({"version": "==3.1.0", "hashes": []}), {".flask.hashes"}),
    (locked({"version": "==3.1.0", "hashes": ["md5:0"]}), {".flask.hashes[0]"}),
    (locked({"version": "*", "hashes": [SHA]}), {".flask.version"}),
    (locked({"version": ">=3", "hashes": [SHA]}), {".flask.version"}),
    (locked({"version": "==3.*", "hashes": [SHA]}), {".flask.version"}),
    (locked({"version": "==3.1.0\n", "hashes": [SHA]}), {".flask.version"}),
    (locked({"git": "https://example.com/x.git", "ref": "0" * 40}), set()),
    (locked({"git": "https://example.com/x.git", "ref": "0" * 40, "version": "==1", "hashes": [SHA]}), set()),
    (locked({"git": "https://example.com/x.git", "ref": "0" * 40, "subdirectory": "a/b", "editable": True}), set()),
    (locked({"git": "https://example.com/x.git"}), {".flask.ref"}),
    (locked({"git": "https://example.com/x.git", "ref": None}), {".flask.ref"}),
    (locked({"git": "https://example.com/x.git", "ref": "main", "version": "==1", "hashes": [SHA]}), {".flask.ref"}),
    (locked({"git": "https://example.com/x.git", "ref": "0" * 7}), {".flask.ref"}),
    (locked({"ref": "0" * 40}), {".flask.git"}),
    (locked({"git": "git@example.com:x.git", "ref": "0" * 40}), {".flask.git"}),
    (locked({"git": "ssh://git@example.com/x.git", "ref": "0" * 40}), {".flask.git"}),
    (locked({"git": "file:///etc", "ref": "0" * 40}), {".flask.git"}),
    (locked({"git": "https://example.com/x.git ; a", "ref": "0" * 40}), {".flask.git"}),
    (locked({"git": "https://example.com/${HOME}", "ref": "0" * 40}), {".flask.git"}),
    (locked({"git": "https://example.com/x.git@main", "ref": "0" * 40}), {".flask.git"}),
    (locked({"git": "https://example.com/x.git", "ref": "0" * 40, "subdirectory": "../x"}), {".flask.subdirectory"}),
    (locked({"path": ".", "editable": True}), {".flask.path"}),
    (locked({"path": ".", "version": "==1", "hashes": [SHA]}), {".flask.path"}),
    (locked({"file": "https://example.com/x.whl", "version": "==1", "hashes": [SHA]}), {".flask.file"}),
    (locked({"url": "https://example.com/x.whl", "version": "==1", "hashes": [SHA]}), {".flask.url"}),
    (locked({"uri": "https://example.com/x.whl", "version": "==1", "hashes": [SHA]}), {".flask.uri"}),
    (locked({"editable": True, "version": "==1", "hashes": [SHA]}), {".flask.editable"}),
    (locked({"editable": False, "version": "==1", "hashes": [SHA]}), set()),
    (locked({"editable": None, "version": "==1", "hashes": [SHA]}), set()),
    (locked({"hg": "https://example.com/x", "ref": "0" * 40}), {".flask.hg"}),
    (locked({"version": None, "hashes": None}), {".flask.version", ".flask.hashes"}),
    (locked("==3.1.0"), {".flask"}),
    (locked({"version": "==1", "hashes": [SHA], "index": "other"}), {".flask.index"}),
    (locked({"version": "==1", "hashes": [SHA], "markers": "a\n--index-url"}), {".flask.markers"}),
    (locked({"version": "==1", "hashes": [SHA], "extras": ["a,b"]}), {".flask.extras[0]"}),
    (locked(name="flask --pre"), {'["flask --pre"]'}),
    (locked({"version": "==1"}, name="zope.interface"), {'["zope.interface"].hashes'}),
]


@pytest.mark.parametrize(
    ("document", "expected"), LOCKED, ids=lambda value: str(value)[-60:] if "python" in value else ""
)
def test_locked_means_locked(document: dict[str, Any], expected: set[str]) -> None:
    assert set(paths(document)) == {f"python.requirements_locked.default{end}" for end in expected}


def test_no_two_locked_packages_are_the_same() -> None:
    document = locked(name="zope.interface")
    packages = document["python"]["requirements_locked"]["default"]
    packages["Zope_Interface"] = packages["zope.interface"]
    assert messages(document) == {
        "python.requirements_locked.default.Zope_Interface": "must not be the same package as zope.interface"
    }


def test_no_two_indexes_of_a_lock_have_one_name() -> None:
    document = locked(sources=[PYPI, {**PYPI, "url": "https://index.example.org/simple"}, {"url": PYPI["url"]}])
    assert messages(document) == {
        "python.requirements_locked._meta.sources[1].name": "must not be the same name as that of sources[0]"
    }


@pytest.mark.parametrize("url", ["file:///etc", "ftp://example.com", "https://", "", "https://a b", "https://a\n--pre"])
def test_an_index_is_at_an_http_url(url: str) -> None:
    document = locked(sources=[{"name": "pypi", "url": url}])
    assert paths(document) == ["python.requirements_locked._meta.sources[0].url"]


def test_the_python_of_a_lock_is_a_version() -> None:
    document = locked(requires={"python_version": "3.11; id"})
    assert paths(document) == ["python.requirements_locked._meta.requires.python_version"]


@pytest.mark.parametrize(
    ("kept", "missing"), [("requirements", "requirements_locked"), ("requirements_locked", "requirements")]
)
def test_a_pipfile_needs_its_lock_and_the_reverse(kept: str, missing: str) -> None:
    document = locked()
    document["python"][missing] = {}
    assert messages(document) == {f"python.{missing}": f"is required together with python.{kept}"}


def test_all_offending_fields_are_told_at_once() -> None:
    document = {
        "bse": "fedora:41",
        "files": [{"path": "../x", "content": 1}, {"path": "a", "content": ""}, {"path": "a", "content": ""}],
        "run": {"requests": {"memory": "much"}},
        "python": {"requirements_locked": {"default": {"a": {}}}, "extra": 1},
        "allowed_failures": 9,
    }
    assert set(paths(document)) == {
        "base",
        "bse",
        "files[0].path",
        "files[0].content",
        "files[2].path",
        "run.requests.memory",
        "python.requirements",
        "python.requirements_locked.default.a.version",
        "python.requirements_locked.default.a.hashes",
        "python.extra",
        "allowed_failures",
    }


def test_a_misspelt_field_is_told_its_nearest_known_name() -> None:
    told = messages(
        {"base": "b", "batc_size": 1, "run": {"request": {}}, "zzz": 1, "metrics": [{"path": "a", "beter": 1}]}
    )
    assert told["batc_size"] == "unknown field; did you mean `batch_size`?"
    assert told["run.request"] == "unknown field; did you mean `requests`?"
    assert told["zzz"] == "unknown field"
    assert told["metrics[0].beter"] == "unknown field; did you mean `better`?"


def test_an_identifier_that_is_too_long_is_told_the_most_it_may_be() -> None:
    assert "27 characters of a-z, 0-9 and '-'" in messages({"base": "b", "identifier": "x" * 28})["identifier"]


def test_limits_of_the_number_of_items_are_told() -> None:
    told = messages({"base": "b", "warmup": 2, "batch_size": 999, "allowed_failures": 1000})
    assert told == {"warmup": "must be at most 1000 together with batch_size, which is 999"}
    told = messages({"base": "b", "warmup": 2, "batch_size": 3, "allowed_failures": 6})
    assert told == {"allowed_failures": "must be at most warmup + batch_size, which are 5"}
    assert messages({"base": "b", "warmup": 2, "batch_size": 998, "allowed_failures": 1000}) == {}


def test_messages_do_not_repeat_what_was_sent() -> None:
    assert all(len(message) < 250 for message in messages({"base": ["x" * 9999], "script": {"y" * 9999: 1}}).values())


@pytest.mark.parametrize("document", [None, [], "base", 1, True, 1.5])
def test_what_is_no_object_is_refused(document: object) -> None:
    assert messages(document) == {"": "must be an object"}
    with pytest.raises(InvalidSpecification):
        validated(document)


def test_a_refused_specification_names_its_fields() -> None:
    with pytest.raises(InvalidSpecification, match="packages") as caught:
        validated({"packages": [1]})
    assert [problem.path for problem in caught.value.details] == ["base", "packages[0]"]


# Anything at all


NAMES = st.sampled_from(
    [
        *("base", "identifier", "packages", "script", "batch_size", "allowed_failures", "files", "path", "content"),
        *("environment", "name", "value", "build", "run", "requests", "cpu", "memory", "hardware", "gpu"),
        *(
            "warmup",
            "metrics",
            "unit",
            "better",
            "node_selector",
            "python",
            "requirements",
            "requirements_locked",
            "_meta",
            "sources",
            "default",
            "index",
        ),
    ]
)
TEXTS = st.text(st.characters(), max_size=20) | st.sampled_from(["1Gi", "fedora:41", "/a", "A", "==1", SHA, "5"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | TEXTS, inner, max_size=6),
    max_leaves=30,
)


@MANY
@given(JSON | st.dictionaries(NAMES, JSON))
def test_no_json_at_all_breaks_the_validation(document: Any) -> None:
    for problem in problems(document):
        assert problem.message
        problem.path.encode()


def field(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def record(required: Mapping[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        dict(required or {}), optional={name: field(values) for name, values in optional.items()}
    )


PLAIN = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
WORD = st.from_regex(r"x[a-z0-9]{0,8}", fullmatch=True)
HARDWARE = record(
    cpu_family=st.integers(0, 99),
    processor=WORD,
    architecture=WORD,
    gpu=record(vendor=st.just("amd.com/gpu"), count=st.integers(1, 8), product=WORD),
    node_selector=st.dictionaries(WORD, WORD, max_size=3),
)
REQUESTS = record(cpu=st.sampled_from(["1", "500m", ".5"]), memory=st.sampled_from(["1Gi", "2e9"]), hardware=HARDWARE)
PACKAGE = record(
    {"version": st.just("==1.0"), "hashes": st.just([SHA])},
    index=st.just("pypi"),
    extras=st.lists(WORD, max_size=2),
    markers=st.just("os_name == 'nt'"),
)
LOCK = st.fixed_dictionaries(
    {"_meta": record({"sources": st.just([PYPI])}, requires=st.just({"python_version": "3.11"}))},
    optional={"default": field(st.dictionaries(WORD, PACKAGE, max_size=3)), "develop": field(st.just({"x": {}}))},
)
KEY = st.text(st.characters(exclude_characters='\0.[]"', exclude_categories=["Cs"]), min_size=1, max_size=9)
QUOTED = PLAIN.map(lambda key: f"[{json.dumps(key)}]")
METRIC_PATH = st.builds(
    lambda first, rest: first + "".join(rest),
    KEY | QUOTED,
    st.lists(KEY.map(".{}".format) | QUOTED | st.integers(0, 99).map("[{}]".format), max_size=3),
)
DOCUMENTS = record(
    {"base": st.sampled_from(["fedora:41", f"quay.io/a/b@{SHA}"])},
    identifier=WORD,
    update=st.booleans(),
    packages=st.lists(WORD, max_size=3),
    python_packages=st.lists(WORD, max_size=3),
    python=record({"requirements": st.just({"packages": {"a": "*"}, "requires": None}), "requirements_locked": LOCK}),
    package_manager=st.sampled_from(["micropipenv", "pipenv", "uv"]),
    upgrade_pip=st.booleans(),
    files=st.lists(st.fixed_dictionaries({"path": WORD, "content": PLAIN}), max_size=3, unique_by=lambda f: f["path"]),
    environment=st.lists(
        st.fixed_dictionaries({"name": WORD, "value": PLAIN}), max_size=3, unique_by=lambda v: v["name"]
    ),
    script=PLAIN,
    build=record(requests=REQUESTS, cache=st.booleans(), timeout=st.integers(1, 9)),
    run=record(requests=REQUESTS, timeout=st.integers(1, 9)),
    batch_size=st.integers(1, 900) | st.integers(1, 900).map(str),
    warmup=st.integers(0, 100) | st.integers(0, 100).map(str),
    metrics=st.lists(
        record({"path": METRIC_PATH}, unit=WORD, better=st.sampled_from(["lower", "higher"])),
        max_size=3,
        unique_by=lambda metric: metric["path"],
    ),
    parallelism=st.integers(1, 1000),
    allowed_failures=st.integers(0, 1),
    runtime_environment=st.dictionaries(WORD, PLAIN | st.none(), max_size=3),
    force_sync=st.booleans(),
)


@MANY
@given(DOCUMENTS)
def test_what_is_accepted_is_the_same_after_a_round_trip(document: dict[str, Any]) -> None:
    specification = validated(document)
    returned = json.loads(json.dumps(specification.to_document()))
    assert validated(returned) == specification
    assert Specification.from_document(returned) == specification
    assert validated(returned).to_document() == returned
