"""Indexes and repositories that ask who comes: each installer gets in, and nothing of it is left or to be read."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import ssl
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from amun.engines.podman.builds.environment import BUNDLE_VARIABLES
from amun.engines.podman.host.machine import for_settings
from amun.engines.podman.podman_cli import Podman
from amun.settings import Settings
from tests.conftest import Service, wait_until
from tests.support import standin_base

from .conftest import Make

pytestmark = [pytest.mark.podman, pytest.mark.slow]

USER, PASSWORD = "builder", "s3cret-Pass0rd~%"
PROGRAM = "import amun_private; print('{\"found\": ' + str(amun_private.FOUND) + '}')"


def wheel(version: str) -> tuple[str, bytes]:
    """A package of one module; the setting tells versions apart."""
    info = f"amun_private-{version}.dist-info"
    files = {
        "amun_private.py": f"FOUND = {version[0]}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: amun-private\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return f"amun_private-{version}-py3-none-any.whl", made.getvalue()


NAME, WHEEL = wheel("1.0")
DIGEST = f"sha256:{hashlib.sha256(WHEEL).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    """A simple index (PEP 503) and Git repositories for one user."""

    repositories = Path("/nowhere")

    def do_GET(self) -> None:
        if not self._is_known():
            return
        if self.path.startswith("/git/"):
            self._git(b"")
            return
        listed = f'<!DOCTYPE html><html><body><a href="/files/{NAME}#{DIGEST.replace(":", "=")}">{NAME}</a></body>'
        content = {"/simple/amun-private/": listed.encode(), f"/files/{NAME}": WHEEL}.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
        self.end_headers()
        self.wfile.write(content or b"")

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self._is_known():
            self._git(sent)

    def _is_known(self) -> bool:
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") == f"Basic {expected}":
            return True
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="private"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def _git(self, sent: bytes) -> None:
        """Answer by git-http-backend(1), a program of CGI (RFC 3875)."""
        path, _, query = self.path.removeprefix("/git").partition("?")
        asked = {"PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command}
        content = {"CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(sent))}
        encoding = {"HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", "")}
        served = {"GIT_PROJECT_ROOT": str(self.repositories), "GIT_HTTP_EXPORT_ALL": "1", "PATH": os.environ["PATH"]}
        protocol = {"GIT_PROTOCOL": self.headers.get("Git-Protocol", "")}
        answer = subprocess.run(
            ["git", "http-backend"],
            input=sent,
            capture_output=True,
            env={**asked, **content, **encoding, **served, **protocol},
            check=True,
        ).stdout
        head, _, body = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def index() -> Iterator[str]:
    """Host and port of the index."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory, base: str) -> Iterator[Service]:
    """A service whose builds reach this machine, where the index is."""
    place = tmp_path_factory.mktemp("private")
    (place / "archive").mkdir()
    settings = {"workers": 1, "grace": 1, "build_network": "host", "deployment": "test", "archive": place / "archive"}
    running = Service(place / "state", **settings)
    try:
        yield running.start()
    finally:
        running.finish()


def stack(base: str, index: str, manager: str, password: str = PASSWORD) -> dict[str, Any]:
    sources = [{"name": "own", "url": f"http://{USER}:{quote(password, safe='')}@{index}/simple", "verify_ssl": False}]
    package = {"version": "==1.0", "hashes": [DIGEST], "index": "own"}
    return {
        "base": base,
        "package_manager": manager,
        "python": {
            "requirements": {"source": sources, "packages": {"amun-private": "*"}},
            "requirements_locked": {"_meta": {"sources": sources}, "default": {"amun-private": package}},
        },
        "environment": [{"name": "TOLD", "value": "value-of-a-variable"}],
        "build": {"requests": {"memory": "1Gi"}},
        "script": f"#!/usr/bin/env python\n{PROGRAM}\n",
    }


def everything(service: Service) -> bytes:
    """All that is kept, in the state directory and in the archive."""
    places = (service.state_dir, service.state_dir.with_name("archive"))
    return b"".join(path.read_bytes() for place in places for path in place.rglob("*") if path.is_file())


def archived(service: Service, inspection_id: str, name: str) -> bytes:
    """A file of an inspection in the archive, when it is there."""
    path = service.state_dir.with_name("archive") / "test" / "inspections" / inspection_id / name
    wait_until(path.exists)
    return path.read_bytes()


@pytest.mark.parametrize("manager", ["micropipenv", "pipenv", "uv"])
def test_a_locked_stack_comes_from_an_index_with_a_password(
    private: Service, base: str, index: str, manager: str
) -> None:
    inspection_id = private.submit(stack(base, index, manager))
    status = private.wait(inspection_id, timeout=300)
    log = built(private, inspection_id)
    assert status["phase"] == "succeeded", log
    assert private.client.result(inspection_id)["result"]["stdout"] == {"found": 1}
    assert PASSWORD not in log
    assert "value-of-a-variable" not in log
    assert PASSWORD.encode() not in everything(private)
    assert list(private.state_dir.glob("builds/*/logins")) == []
    assert PASSWORD not in image_history(status["build"]["image"])
    assert PASSWORD not in private.log.read_text()
    recipe = archived(private, inspection_id, "build/Dockerfile")
    assert recipe in [path.read_bytes() for path in private.state_dir.glob("builds/*/context/Dockerfile")]
    assert b'"--private"' in recipe


def built(service: Service, inspection_id: str) -> str:
    return b"".join(service.client.build_log(inspection_id)).decode()


def image_history(image: str) -> str:
    found = for_settings(Settings())
    command = [found.podman, "image", "inspect", image]
    inspected = subprocess.run(command, env=found.environment, capture_output=True, text=True, check=True).stdout
    files = "find / -xdev -path /proc -prune -o -name netrc -print"
    command = [found.podman, "run", "--rm", "--network=none", image, "sh", "-c", files]
    left = subprocess.run(command, env=found.environment, capture_output=True, text=True, check=False).stdout
    assert "logins" not in left
    return inspected + left


def test_a_requirement_at_a_url_with_a_password_is_installed(private: Service, base: str, index: str) -> None:
    document = stack(base, index, "uv")
    del document["python"]
    url = f"https://{USER}:{quote(PASSWORD, safe='')}@{index}/files/{NAME}"
    document["python_packages"] = [f"amun-private @ {url}"]
    inspection_id = private.submit(document)  # this index knows no TLS: what matters is what is said of it
    status = private.wait(inspection_id, timeout=300)
    assert status["phase"] == "build_failed"
    assert PASSWORD not in json.dumps(status) + built(private, inspection_id)
    assert list(private.state_dir.glob("builds/*/logins")) == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """That of the host that speaks TLS, with its key; nobody else's, so it has to be trusted itself."""
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl on this machine")
    path = tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-subj", "/CN=127.0.0.1", "-days", "2"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(tmp_path / "key.pem"), "-out", str(path)]
    subprocess.run(made, check=True, capture_output=True)
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[str]:
    """Host and port of the index and the repositories, by TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_pip_installs_a_package_from_a_host_with_a_password(
    own_service: Callable[..., Service], base: str, secure: str, certificate: Path
) -> None:
    archive = certificate.with_name("archive")
    archive.mkdir()
    service = own_service(build_network="host", deployment="test", archive=archive)
    service.environment |= dict.fromkeys(BUNDLE_VARIABLES, str(certificate))  # the machine trusts the host
    service.start()
    url = f"https://{USER}:{quote(PASSWORD, safe='')}@{secure}/files/{NAME}"
    document = {"base": base, "python_packages": [f"amun-private @ {url}"], "build": {"requests": {"memory": "1Gi"}}}
    found, told = installed(service, {**document, "script": f"#!/usr/bin/env python\n{PROGRAM}\n"})
    assert found == {"found": 1}
    for form in (PASSWORD, quote(PASSWORD, safe="")):
        assert form not in told
        assert form.encode() not in everything(service)


def installed(service: Service, document: dict[str, Any]) -> tuple[Any, str]:
    """What the script has found, and all that is told of an inspection that succeeds."""
    inspection_id = service.submit(document)
    status = service.wait(inspection_id, timeout=300)
    log = built(service, inspection_id)
    assert status["phase"] == "succeeded", log
    page = requests.get(f"{service.url}/inspections/{inspection_id}", timeout=30).text
    assert b'"--private"' in archived(service, inspection_id, "build/Dockerfile")
    told = log + page + image_history(status["build"]["image"]) + service.log.read_text()
    return service.client.result(inspection_id)["result"]["stdout"], told


@pytest.fixture
def repository(tmp_path: Path, secure: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where a repository is that holds a package, without the scheme: its host speaks TLS."""
    if not shutil.which("git"):
        pytest.skip("there is no git on this machine")
    if subprocess.run(["git", "http-backend"], capture_output=True, check=False).returncode == 1:
        pytest.skip("there is no git-http-backend on this machine")
    place = tmp_path / "py"
    place.mkdir()
    (place / "amun_private.py").write_text("FOUND = 2\n")
    (place / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='amun-private', version='2', py_modules=['amun_private'])\n"
    )
    git = ["git", "-C", str(place), "-c", "user.name=a", "-c", "user.email=b", "-c", "safe.directory=*"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "1"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(Handler, "repositories", tmp_path)
    return f"{secure}/git/py/.git"


def test_a_package_comes_from_a_repository_with_a_password(private: Service, make: Make, repository: str) -> None:
    base = make("RUN printf '[http]\\n\\tsslVerify = false\\n' >/etc/gitconfig")  # its certificate is nobody's
    url = f"git+https://{USER}:{quote(PASSWORD, safe='')}@{repository}"
    found, told = installed(
        private,
        {
            "base": base,
            "packages": ["git"],
            "python_packages": [f"amun-private @ {url}"],
            "build": {"requests": {"memory": "1Gi"}},
            "script": f"#!/usr/bin/env python\n{PROGRAM}\n",
        },
    )
    assert found == {"found": 2}
    for form in (PASSWORD, quote(PASSWORD, safe="")):
        assert form not in told
        assert form.encode() not in everything(private)


def test_a_wrong_password_fails_the_build_and_is_forgotten(private: Service, base: str, index: str) -> None:
    document = stack(base, index, "micropipenv", password="wrong-Pass0rd")
    document["build"]["cache"] = False  # or it is the environment that this owner has already
    inspection_id = private.submit(document)
    status = private.wait(inspection_id, timeout=300)
    assert status["phase"] == "build_failed"
    assert "wrong-Pass0rd" not in json.dumps(status) + built(private, inspection_id)
    assert b"wrong-Pass0rd" not in everything(private)


def test_an_image_that_is_lost_is_not_built_again_without_its_password_and_that_is_said(
    own_service: Callable[..., Service], base: str, index: str, podman: Podman
) -> None:
    service = own_service(max_runs=1, build_network="host").start()
    blocker = service.submit({"base": base, "script": "echo started; sleep 300"})
    service.wait(blocker, "running")
    made = service.submit(stack(base, index, "uv"))
    wait_until(lambda: service.client.status(made)["build"]["state"] == "terminated", timeout=300)
    podman.call("rmi", "--force", service.client.status(made)["build"]["image"])
    service.client.cancel(blocker)
    status = service.wait(made)
    assert (status["phase"], status["reason"]) == ("error", "ImageGone")
    assert "post the specification again, password included" in status["message"]
    again = service.submit(stack(base, index, "uv"))
    assert service.wait(again, timeout=300)["phase"] == "succeeded"


def logins(service: Service) -> list[str]:
    return [path.parent.name for path in service.state_dir.glob("builds/*/logins")]


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_a_build_that_never_begins_leaves_no_password(
    own_service: Callable[..., Service], base: str, index: str, end: str
) -> None:
    service = own_service(max_builds=1).start()
    first = service.submit(
        {"base": standin_base.make(for_settings(Settings()), base), "packages": [standin_base.slow(60)]}
    )
    service.wait(first, "building")
    waiting = service.submit(stack(base, index, "uv", password="never-0Used"))
    assert len(logins(service)) == 1
    getattr(service.client, end)(waiting)
    wait_until(lambda: not logins(service))
    assert b"never-0Used" not in everything(service)
    service.client.delete(first)


def test_a_killed_service_goes_on_with_the_password_and_then_forgets_it(
    own_service: Callable[..., Service], base: str, index: str
) -> None:
    service = own_service(build_network="host", max_builds=1)
    service.start()
    document = stack(base, index, "micropipenv")
    document["packages"] = [standin_base.slow(4)]  # so that it is killed before the password is of use
    document["base"] = standin_base.make(for_settings(Settings()), base)
    inspection_id = service.submit(document)
    service.wait(inspection_id, "building")
    service.kill()
    assert len(logins(service)) == 1
    service.start()
    assert service.wait(inspection_id, timeout=300)["phase"] == "succeeded"
    wait_until(lambda: not logins(service))
    assert PASSWORD.encode() not in everything(service)


def test_the_state_of_a_service_that_ran_is_its_owners_alone(private: Service, base: str, index: str) -> None:
    private.wait(private.submit(stack(base, index, "uv")), timeout=300)
    mounted = {"mount", "build-environment"}
    paths = [path for path in private.state_dir.rglob("*") if mounted.isdisjoint(path.parts) and not path.is_symlink()]
    assert [path for path in (private.state_dir, *paths) if path.stat().st_mode & 0o077] == []
