"""What is made of a Pipfile.lock for those who cannot read one, and for those who can."""

import json
from typing import Any

import pytest

from amun import lock

PYPI = {"name": "pypi", "url": "https://pypi.org/simple", "verify_ssl": True}
OWN = {"name": "own", "url": "https://index.example.org:8443/simple", "verify_ssl": False}
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


def test_constraints_hold_the_versions_where_they_apply() -> None:
    constraints = lock.constraints(
        locked(PYPI, a={"version": "==1", "extras": ["x"]}, b={"version": "==2", "markers": "python_version < '3'"})
    )
    assert constraints == "a==1\nb==2 ; python_version < '3'\n"


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
    assert lock.constraints(empty) == ""
    assert lock.unverified_hosts(empty) == []
