"""What a base image may bring along, and which image a name stands for, on a real Podman."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import signal
from pathlib import Path
from typing import Any

import pytest
import requests

from amun.engines.podman.builds import bases
from amun.engines.podman.host.images import Images
from amun.engines.podman.podman_cli import Podman, PodmanError
from tests.conftest import Service, specification

from .conftest import Make

pytestmark = pytest.mark.podman


def configuration(podman: Podman, image: str) -> dict[str, Any]:
    """The image's own configuration."""
    found = bases._configuration(podman.program, image)
    assert found is not None
    return dict(json.loads(found)["config"])


def build_log(service: Service, inspection_id: str) -> str:
    return b"".join(service.client.build_log(inspection_id)).decode()


EVERYTHING = (
    'ENV A="b c" B=\'$x "y"\'',
    "USER 33:44",
    "WORKDIR /srv/x y",
    "EXPOSE 80 53/udp",
    "VOLUME /data /more",
    'LABEL a.b="c d"',
    "STOPSIGNAL SIGINT",
    'ENTRYPOINT ["/bin/sh","-c"]',
    'CMD ["echo \'hi\' \\"$A\\" \\\\ ü", "two"]',
    "HEALTHCHECK CMD true",
    'SHELL ["/bin/sh","-ec"]',
)


@pytest.mark.parametrize("lines", [EVERYTHING, (), ("CMD echo one",), ('ENTRYPOINT ["/bin/true"]', "CMD []")])
def test_a_copy_without_triggers_has_all_else(
    podman: Podman, make: Make, lines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://user:password@proxy.example:3128")
    image = podman.call("image", "inspect", "--format", "{{.Id}}", make(*lines, "ONBUILD RUN false")).strip()
    assert configuration(podman, image)["OnBuild"] == ["RUN false"]
    copy = bases.untriggered(podman.program, image)
    assert copy != image
    assert bases.untriggered(podman.program, image) == copy  # made once
    assert meaning(configuration(podman, copy)) == meaning(configuration(podman, image))
    assert "password" not in podman.call("image", "inspect", copy)
    assert podman.call("ps", "--all", "--quiet", "--filter", f"ancestor={image}").split() == []


def test_a_copy_without_triggers_is_made_wherever_the_storage_is(
    own_storage: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", own_storage.environment["CONTAINERS_STORAGE_CONF"])
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\nONBUILD RUN false\n")
    built = own_storage.call(
        "build", "--quiet", "--format", "docker", "--tag", "localhost/amun-test/own:1", str(tmp_path)
    )
    image = built.strip()
    copy = bases.untriggered(own_storage.program, image)
    assert copy != image
    assert not configuration(own_storage, copy).get("OnBuild")


def meaning(configuration: dict[str, Any]) -> dict[str, Any]:
    """What of an image's configuration has a meaning, but for what OCI images cannot have."""
    left_out = ("OnBuild", "Healthcheck", "Shell", "Hostname", "Image")
    found = {name: value for name, value in configuration.items() if value and name not in left_out}
    found["WorkingDir"] = found.get("WorkingDir", "/")
    if found.get("StopSignal", "").isdecimal():
        found["StopSignal"] = signal.Signals(int(found["StopSignal"])).name  # Podman 4.3 commits the number
    return {**found, "Env": sorted(found.get("Env", ()))}


def test_an_image_without_triggers_is_built_on_itself(podman: Podman, make: Make) -> None:
    for form in ("docker", "oci"):
        image = podman.call("image", "inspect", "--format", "{{.Id}}", make(form=form)).strip()
        assert bases.untriggered(podman.program, image) == image


def test_triggers_of_a_base_do_nothing(service: Service, make: Make) -> None:
    name = make(
        "RUN ln -s / /rootlink",
        "ONBUILD RUN echo triggered > /triggered",
        "ONBUILD COPY --from=localhost/amun/base:bookworm /etc/hostname /copied",
    )
    script = "#!/bin/sh\nls /triggered /copied 2>/dev/null; test -L /rootlink && echo here\n"
    for _ in range(2):  # the second time the environment is there
        made = service.submit(specification(name, script))
        assert service.wait(made)["phase"] == "succeeded"
        assert service.client.result(made)["result"]["stdout_text"] == "here\n"
    log = build_log(service, made)
    assert "triggered" not in log.replace("untriggered", "")


@pytest.mark.parametrize(
    "form",
    [
        '{"config": {"onbuild": TRIGGERS}, REST',
        '{"config": {"\\u004fnBuild": TRIGGERS}, REST',
        '{"config": {"OnBuild": TRIGGERS}, "config": {"OnBuild": []}, "CONFIG": {"ONBUILD": TRIGGERS}, REST',
        '{"config": {"OnBuild": TRIGGERS}, "config": {}, REST',
    ],
)
def test_triggers_are_found_however_they_are_written(
    podman: Podman, make: Make, tmp_path: Path, request: pytest.FixtureRequest, form: str
) -> None:
    podman.call("save", "--format", "docker-dir", "--output", str(tmp_path / "image"), make())
    image = podman.call("pull", "--quiet", f"dir:{rewritten(tmp_path / 'image', form)}").split()[-1]
    request.addfinalizer(lambda: podman.call("rmi", "--force", image))
    recipe = tmp_path / "Dockerfile"
    recipe.write_text("FROM scratch\nRUN test ! -e /triggered")
    build = ("build", "--quiet", "--layers=false", "--network", "none", "--file", str(recipe), "--from")
    with pytest.raises(PodmanError):
        podman.call(*build, image, str(tmp_path))
    built = podman.call(*build, bases.untriggered(podman.program, image), str(tmp_path))
    podman.call("rmi", built.strip())


def rewritten(directory: Path, form: str) -> Path:
    """An image in a directory, its configuration after a `form` in which REST stands for what else is in it."""
    manifest = json.loads((directory / "manifest.json").read_text())
    old = directory / manifest["config"]["digest"].partition(":")[2]
    rest = json.loads(old.read_text())
    rest.pop("config")
    triggers = json.dumps(["RUN touch /triggered"])
    new = form.replace("TRIGGERS", triggers).replace("REST", json.dumps(rest)[1:]).encode()
    digest = hashlib.sha256(new).hexdigest()
    (directory / digest).write_bytes(new)
    manifest["config"] |= {"digest": f"sha256:{digest}", "size": len(new)}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def test_nobody_builds_on_what_somebody_else_has_built(service: Service, base: str, podman: Podman) -> None:
    secret = secrets.token_hex(8)
    files = [{"path": "/home/amun/secret.txt", "content": secret}]
    made = service.submit(specification(base, "true", files=files))
    image = service.wait(made)["build"]["image"]
    identity = podman.call("image", "inspect", "--format", "{{.Id}}", image).strip()
    digest = image.partition("@")[2]
    script = "#!/bin/sh\ncat /home/amun/secret.txt\n"
    names = [identity[:3], identity[:12], f"a.example/x@{digest}", f"localhost/amun/base@{digest}", f"debian@{digest}"]
    for name in names:
        url = f"{service.url}/api/v1/inspect?dry_run=true"
        assert requests.post(url, json=specification(name, script), timeout=60).json()["cached"] is False
        other = service.submit(specification(name, script))
        status = service.wait(other)
        assert (status["phase"], status["reason"]) == ("build_failed", "ErrImagePull")
        assert secret not in build_log(service, other)
    assert Images(podman).digest(f"localhost/amun/base@{digest}") is None


def test_a_local_image_that_is_not_here_is_said_to_be_missing(service: Service) -> None:
    made = service.submit(specification("localhost/there-is-no/such:1", "true"))
    status = service.wait(made)
    assert (status["phase"], status["reason"]) == ("build_failed", "ErrImagePull")
    assert "there is no image localhost/there-is-no/such:1 on this machine" in status["message"]
    assert "127.0.0.1" not in build_log(service, made)


def test_bases_do_not_tell_what_listens_where(service: Service) -> None:
    """A port where the service itself answers, one where nobody does, and a name that nobody has."""
    said = set()
    for registry in (f"127.0.0.1:{service.port}", "127.0.0.1:1", "no-such-host.example:5000"):
        made = service.submit(specification(f"{registry}/x", "true"))
        status = service.wait(made)
        assert (status["phase"], status["reason"]) == ("build_failed", "ErrImagePull")
        told = status["message"] + build_log(service, made)
        said.add(re.sub(re.escape(registry), "REGISTRY", told))
    assert len(said) == 1
    assert "no registry answers at REGISTRY" in said.pop()


def test_an_image_that_podman_fails_to_look_for_is_looked_for_again(podman: Podman, base: str, tmp_path: Path) -> None:
    failing = tmp_path / "podman"
    failing.write_text(f"""#!/bin/sh
[ "$2" = inspect ] || [ -e {tmp_path}/second ] || exit 125
[ -e {tmp_path}/first ] || {{ touch {tmp_path}/first; exit 125; }}
touch {tmp_path}/second
exec {podman.program} "$@"
""")
    failing.chmod(0o755)
    assert bases.find(str(failing), base) == bases.find(podman.program, base) is not None
    assert bases.find(podman.program, "localhost/amun/none:1") is None
