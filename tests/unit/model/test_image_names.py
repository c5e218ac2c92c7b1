"""What may be a base image, and what its name stands for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.engines.podman.builds import aliases
from amun.model import image_names

DIGEST = "sha256:" + "0123456789abcdef" * 4

COMPLETE = {
    "debian": "docker.io/library/debian:latest",
    "debian:12": "docker.io/library/debian:12",
    "bde": "docker.io/library/bde:latest",
    "0a1b2c": "docker.io/library/0a1b2c:latest",
    "docker:dind": "docker.io/library/docker:dind",
    "docker.io/debian:12": "docker.io/library/debian:12",
    "index.docker.io/library/debian:12": "docker.io/library/debian:12",
    "DOCKER.IO/library/debian:12": "docker.io/library/debian:12",
    "amun/environment": "docker.io/amun/environment:latest",
    "fedora:28": "registry.fedoraproject.org/fedora:28",
    "ubi9/python-311": "docker.io/ubi9/python-311:latest",
    "quay.io/fedora/fedora:41": "quay.io/fedora/fedora:41",
    "registry.example:5000/a/b": "registry.example:5000/a/b:latest",
    f"debian@{DIGEST}": f"docker.io/library/debian@{DIGEST}",
    f"debian:12@{DIGEST}": f"docker.io/library/debian@{DIGEST}",
    "localhost/amun/base:bookworm": "localhost/amun/base:bookworm",
    "localhost/mine": "localhost/mine:latest",
    "LocalHost/mine": "localhost/mine:latest",
    "127.0.0.1:22/x": "127.0.0.1:22/x:latest",
    "[::1]:5000/x": "[::1]:5000/x:latest",
}

REFUSED = {
    "scratch": "scratch is empty",
    "scratch:1": "scratch is empty",
    "0123456789abcdef" * 4: "no id",
    DIGEST: "no id",
    f"x/{DIGEST}@": "image reference",
    "docker://debian": "transport",
    "docker-archive:/etc/passwd": "transport",
    "docker-daemon:debian:12": "transport",
    "containers-storage:debian": "transport",
    "containers-storage:[overlay@/var/lib/containers/storage]debian": "transport",
    "atomic:debian": "transport",
    "oci:/tmp/x:y": "transport",
    "dir:x": "transport",
    "localhost/amun/environment": "environment",
    "localhost/amun/environment:1": "environment",
    f"localhost/amun/environment@{DIGEST}": "environment",
    "LOCALHOST/amun/environment:1": "environment",
    "localhost:80/amun/environment:1": "environment",
    "docker.io/localhost/amun/environment:1": "environment",
    "localhost/amun/untriggered:1": "environment",
    "image-registry.openshift-image-registry.svc:5000/amun-inspection/environment-"
    + "0" * 32
    + ":latest": "environment",
    "registry.apps.example.com/amun-inspection/environment-" + "0" * 32 + "-2@" + DIGEST: "environment",
    "environment-" + "0" * 32: "environment",
    "": "image reference",
    "Debian": "image reference",
    "debian:": "image reference",
    "debian\n": "image reference",
    "debian AS x": "image reference",
    "a/" * 130 + "b": "255 characters",
}


@pytest.mark.parametrize("name", COMPLETE)
def test_names_are_completed(name: str) -> None:
    assert image_names.complete(name, {}) == COMPLETE[name]


@pytest.mark.parametrize("name", REFUSED)
def test_what_names_no_base_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(ValueError, match=REFUSED[name]):
        image_names.check(name)


def test_the_aliases_of_a_machine_come_first(tmp_path: Path) -> None:
    directory = tmp_path / "registries.conf.d"
    directory.mkdir()
    (tmp_path / "registries.conf").write_text(
        '[aliases]\n"fedora" = "mirror.example/fedora"\n"own" = "mirror.example/x"\n'
    )
    (directory / "1.conf").write_text('[aliases]\n"own" = "mirror.example/own"\n')
    (directory / "2.conf").write_text("this is no TOML")
    known = aliases.of_machine({"CONTAINERS_REGISTRIES_CONF": str(tmp_path / "registries.conf")})
    assert image_names.complete("fedora:28", known) == "mirror.example/fedora:28"
    assert image_names.complete("own", known) == "mirror.example/own:latest"
    assert image_names.complete("quay.io/own", known) == "quay.io/own:latest"


NAMES = st.from_regex(
    re.compile(r"([a-zA-Z0-9.:-]{1,9}/)?[a-z0-9._/-]{1,20}(:[a-z0-9]{1,4})?(@sha256:[0-9a-f]{64})?"), fullmatch=True
)


@given(NAMES | st.text(max_size=40))
def test_a_complete_name_has_a_registry_and_stands_for_itself(name: str) -> None:
    try:
        complete = image_names.complete(name, {})
    except ValueError:
        return
    registry, _, rest = complete.partition("/")
    assert registry == "localhost" or "." in registry or ":" in registry
    assert re.search(r"[:@]", rest)
    assert image_names.complete(complete, {}) == complete
