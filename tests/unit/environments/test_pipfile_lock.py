"""What is made of a Pipfile.lock for those who cannot read one, and for those who can."""

import json
from typing import Any

import pytest

from amun.environments import pipfile_lock as lock

PYPI = {"name": "pypi", "url": "https://pypi.org/simple", "verify_ssl": True}
OWN = {"name": "own", "url": "https://index.example.org:8443/simple", "verify_ssl": False}
COMMIT = "0123456789" * 4
GIT = {"git": "https://git.example.org/c.git", "ref": COMMIT}
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def locked(*sources: Any, **default: Any) -> dict[str, Any]:
    return {"_meta": {"sources": list(sources)}, "default": default, "develop": {"pytest": {"version": "==9.0"}}}


def test_each_package_comes_from_its_own_index_with_its_hashes_markers_and_extras() -> None:
    files = lock.requirements(
        locked(
            PYPI,
            OWN,
            six={"version": "==1.16.0", "hashes": [ONE, TWO], "index": "pypi"},
            uvicorn={"version": "==0.30", "hashes": [ONE], "index": "own", "extras": ["standard", "x"]},
            colorama={"version": "==0.4.6", "hashes": [TWO], "index": "pypi", "markers": "sys_platform == 'win32'"},
        )
    )
    assert files == [
        "--index-url https://pypi.org/simple\n"
        f"colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash={TWO}\n"
        f"six==1.16.0 \\\n    --hash={ONE} \\\n    --hash={TWO}\n",
        f"--index-url https://index.example.org:8443/simple\nuvicorn[standard,x]==0.30 \\\n    --hash={ONE}\n",
    ]


def test_a_package_of_no_particular_index_may_come_from_any() -> None:
    files = lock.requirements(locked(PYPI, OWN, six={"version": "==1.16.0", "hashes": [ONE]}))
    assert files == [
        "--index-url https://pypi.org/simple\n--extra-index-url https://index.example.org:8443/simple\n"
        f"six==1.16.0 \\\n    --hash={ONE}\n"
    ]


def test_what_is_requested_is_a_requirement_a_line() -> None:
    requested = lock.requested(
        locked(PYPI, a={"version": "==1", "extras": ["x"]}, b={"version": "==2", "markers": "python_version < '3'"},
               c=GIT)
    )  # fmt: skip
    assert requested == f"a[x]==1\nb==2 ; python_version < '3'\nc @ git+https://git.example.org/c.git@{COMMIT}\n"


def test_what_comes_from_version_control_is_in_a_file_of_its_own_and_no_other() -> None:
    entry = {**GIT, "subdirectory": "py", "extras": ["x"], "markers": "os_name == 'posix'", "editable": True}
    made = locked(PYPI, OWN, a={"version": "==1", "hashes": [ONE]}, c={**entry, "version": "==2", "hashes": [TWO]})
    assert lock.repositories(made) == (
        "--index-url https://pypi.org/simple\n--extra-index-url https://index.example.org:8443/simple\n"
        "--trusted-host index.example.org:8443\n"
        f"c[x] @ git+https://git.example.org/c.git@{COMMIT}#subdirectory=py ; os_name == 'posix'\n"
    )
    assert "c" not in json.loads(lock.pipfile_lock(made))["default"]
    assert "example.org/c" not in "".join(lock.requirements(made))
    assert lock.repositories(locked(PYPI, a={"version": "==1", "hashes": [ONE]})) == ""
    assert lock.repositories({"default": {"c": GIT}}).startswith("c @ git+https://")


def test_indexes_without_a_name_get_one_that_no_other_has() -> None:
    sources = [{"name": "index-1", "url": "https://a"}, {"url": "https://b"}, {"url": "https://c"}]
    named = lock.normalized({"_meta": {"sources": sources}})["_meta"]["sources"]
    assert [source["name"] for source in named] == ["index-1", "index-0", "index-2"]


def test_hosts_whose_certificates_are_not_verified() -> None:
    with_password = {"url": "https://me:secret@other.example.org/simple", "verify_ssl": False}
    assert lock.unverified_hosts(locked(PYPI, OWN, with_password)) == ["index.example.org:8443", "other.example.org"]


def test_nulls_of_generated_clients_are_gone_from_the_file() -> None:
    source = {"name": None, "url": "https://pypi.org/simple", "verify_ssl": None}
    package = {"version": "==1", "hashes": [ONE], "index": None, "markers": None, "extras": None}
    posted = {"_meta": {"sources": [source], "requires": None}, "default": {"six": package}, "develop": None}
    assert json.loads(lock.pipfile_lock(posted)) == {
        "_meta": {
            "hash": {"sha256": ""},
            "pipfile-spec": 6,
            "requires": {},
            "sources": [{"name": "index-0", "url": "https://pypi.org/simple", "verify_ssl": True}],
        },
        "default": {"six": {"version": "==1", "hashes": [ONE]}},
        "develop": {},
    }
    assert lock.requirements(posted) == [f"--index-url https://pypi.org/simple\nsix==1 \\\n    --hash={ONE}\n"]


def test_the_file_does_not_depend_on_the_order_of_what_was_posted() -> None:
    posted = locked(PYPI, a={"version": "==1", "hashes": [ONE]}, b={"version": "==2", "hashes": [TWO]})
    turned = {key: posted[key] for key in reversed(posted)} | {"default": dict(reversed(posted["default"].items()))}
    assert lock.pipfile_lock(turned) == lock.pipfile_lock(posted)
    assert lock.requirements(turned) == lock.requirements(posted)


@pytest.mark.parametrize(
    ("requires", "expected"),
    [
        (None, None),
        ({}, None),
        ({"python_version": "3.11"}, "3.11"),
        ({"python_version": "3.11", "python_full_version": "3.11.4"}, "3.11.4"),
        ({"python_version": "3.11", "python_full_version": None}, "3.11"),
    ],
)
def test_python_that_the_lock_is_for(requires: Any, expected: str | None) -> None:
    assert lock.python_version({"_meta": {"requires": requires}}) == expected


@pytest.mark.parametrize("empty", [{}, {"_meta": None, "default": None}, {"_meta": {"sources": []}}])
def test_empty_lock_installs_nothing(empty: Any) -> None:
    assert lock.requirements(empty) == []
    assert lock.requested(empty) == ""
    assert lock.unverified_hosts(empty) == []
