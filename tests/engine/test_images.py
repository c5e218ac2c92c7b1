"""Images of which a part is missing, as a build leaves them that was killed or had no room while it wrote one."""

from __future__ import annotations

import base64
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from amun.engines.podman.host import checks
from amun.engines.podman.host.images import Images, half_written
from amun.engines.podman.podman_cli import Podman, PodmanError

pytestmark = pytest.mark.podman

NAME = "localhost/amun/test-half:1"


@pytest.fixture
def podman(own_storage: Podman) -> Podman:
    for name in (NAME, "localhost/amun/test-whole:1"):
        own_storage.call("import", "--quiet", "-", name, stdin=_archive(name))
    return own_storage


def _archive(content: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("file"), io.BytesIO())
        archive.addfile(tarfile.TarInfo(content.replace("/", "-")), io.BytesIO())
    return buffer.getvalue()


def parts(podman: Podman, kind: str) -> list[Path]:
    """Files of the image's manifest, or of its configuration."""
    image = podman.call("image", "inspect", "--format", "{{.Id}}", NAME).strip()
    graph = Path(podman.json("info", "--format", "json")["store"]["graphRoot"])
    found = list((graph / "vfs-images" / image).iterdir())
    named = {
        path: base64.b64decode(path.name[1:]) if path.name.startswith("=") else path.name.encode() for path in found
    }
    chosen = [path for path, name in named.items() if name.startswith({"manifest": b"manifest"}.get(kind, b"sha256:"))]
    assert chosen
    return chosen


@pytest.mark.parametrize("kind", ["manifest", "configuration"])
@pytest.mark.parametrize("breaking", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["missing", "empty"])
def test_a_half_written_image_is_named_with_what_mends_it_and_taken_for_none(
    podman: Podman, kind: str, breaking: Callable[[Path], None]
) -> None:
    broken = podman.call("image", "inspect", "--format", "{{.Id}}", NAME).strip()
    assert half_written(podman) == []
    for path in parts(podman, kind):
        breaking(path)
    try:
        podman.call("image", "ls")
    except PodmanError:
        assert half_written(podman) == [broken]
    else:
        pytest.skip("Podman of this version lists half-written images")
    assert Images(podman).digest(NAME) is None
    remedy = checks.whole_images([broken]).remedy
    assert remedy is not None
    podman.call(*remedy.split()[1:])
    assert half_written(podman) == []
    assert podman.call("image", "ls", "--format", "{{.Repository}}").split() == ["localhost/amun/test-whole"]
