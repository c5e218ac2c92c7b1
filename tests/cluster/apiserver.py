"""An API server in threads of this process, on a port of 127.0.0.1.

with ApiServer(Store()) as server:
    server.kubeconfig(path)             # for `admin`, who may do all
    user = server.rights.add("system:serviceaccount:amun-inspection:amun-api", rules, server.store.namespace)
    server.faults.refuse(429, verb="create", resource="jobs", times=2)
    server.requests.count(verb="get|list", agent="amun.*")
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
import traceback
from pathlib import Path
from types import TracebackType

import trustme

from tests.cluster.objects.kinds import Kind
from tests.cluster.objects.store import Store
from tests.cluster.serving.answers import Answer, Stream, json_answer, refusal
from tests.cluster.serving.connections import Connections, Listener
from tests.cluster.serving.faults import Dropped, Faults
from tests.cluster.serving.recording import Recording
from tests.cluster.serving.resources import Resources
from tests.cluster.serving.reviews import REVIEWS, review
from tests.cluster.serving.routes import Request

from . import errors
from .errors import ApiError
from .rules import rights
from .serving import builds, containerlogs, decoding, discovery, watching


class ApiServer:
    """Serves a store; `without` are API groups that this cluster does not have."""

    def __init__(self, store: Store | None = None, tls: bool = False, without: tuple[str, ...] = ()) -> None:
        self.store = store or Store()
        self.without = frozenset(without)
        self.rights = rights.Rights()
        self.admin = self.rights.add("admin", [rights.EVERYTHING])
        self.resources = Resources(self.store)
        self.requests = Recording()
        self.faults = Faults(self)
        self.bookmark_every = 60.0
        self.build_log_patience = 30.0
        self.gone_by_status = False  # whether who watches from too long ago is told so by status, or in the stream
        self.connections = Connections()
        self.crashes: list[str] = []  # tracebacks of what never should have happened
        self._authority = trustme.CA() if tls else None
        self._context = None if self._authority is None else _context(self._authority)
        self._listener: Listener | None = None
        self.port = 0

    # -- up and down --------------------------------------------------------------------------------------------

    def start(self) -> ApiServer:
        """Listen; again on the same port, if it was up before."""
        self._listener = Listener(self, self.port, self._context)
        self.port = self._listener.server_port
        threading.Thread(target=self._listener.serve_forever, args=(0.02,), daemon=True, name="apiserver").start()
        return self

    def stop(self) -> None:
        """Stop listening, and break all connections."""
        if self._listener is not None:
            self._listener.shutdown()
            self._listener.server_close()
            self._listener = None
        self.connections.break_all()

    def cut(self, clean: bool = False) -> int:
        """End all streams; answers how many there were."""
        count = self.connections.cut(clean)
        self.store.ledger.wake()
        return count

    def __enter__(self) -> ApiServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if exc is None and self.crashes:
            raise AssertionError(f"the API server of the tests itself went wrong:\n{self.crashes[0]}")

    def crashed(self) -> ApiError:
        """Note the exception that is being handled; answers what a server says then."""
        self.crashes.append(traceback.format_exc())
        return ApiError(500, "InternalError", f"Internal error occurred: {self.crashes[-1].splitlines()[-1]}")

    # -- getting in ---------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"{'https' if self._authority else 'http'}://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> bytes:
        """The CA's, in PEM; nothing without TLS."""
        return self._authority.cert_pem.bytes() if self._authority else b""

    def kubeconfig(self, path: Path, user: str = "admin", namespace: str | None = None) -> Path:
        """Write a kubeconfig for a user."""
        cluster = {"server": self.url}
        if self._authority:
            cluster["certificate-authority-data"] = base64.b64encode(self.certificate).decode()
        context = {"cluster": "here", "user": user, "namespace": namespace or self.store.namespace}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.rights.users[user].token}}],
            "contexts": [{"name": "here", "context": context}],
            "current-context": "here",
        }
        path.write_text(json.dumps(config, indent=1))
        return path

    def in_cluster(self, directory: Path, user: str = "admin") -> dict[str, str]:
        """Write what a pod finds of its service account; answers the variables that it finds. Needs TLS."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "token").write_text(self.rights.users[user].token)
        (directory / "ca.crt").write_bytes(self.certificate)
        (directory / "namespace").write_text(self.store.namespace)
        return {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.port)}

    # -- serving ------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> Answer | Stream:
        """Who asks, what goes wrong, whether they may, and then what it is."""
        try:
            user = self.rights.who(request)
            request.seen["user"] = user.name
            return self.faults.met(request, lambda: self._served(user, request))
        except ApiError as exc:
            return refusal(exc)
        except Dropped:
            raise
        except Exception:
            return refusal(self.crashed())

    def _served(self, user: rights.User, request: Request) -> Answer | Stream:
        try:
            self.rights.check(user, request)
            if request.kind is None:
                return self._discovered(request)
            if request.kind.group in self.without:
                raise ApiError(404, "NotFound", "the server could not find the requested resource", {})
            return self._resource(user, request.kind, request)
        except ApiError as exc:
            return refusal(exc)

    def _discovered(self, request: Request) -> Answer:
        if request.path in ("/healthz", "/livez", "/readyz"):
            return Answer(200, b"ok", "text/plain")
        document = discovery.document(request.path, self.without)
        return json_answer(document) if document else Answer(404, b"404 page not found\n", "text/plain")

    def _resource(self, user: rights.User, kind: Kind, request: Request) -> Answer | Stream:
        what = request.verb, request.resource
        if kind.name in REVIEWS and request.verb == "create":
            return json_answer(review(self.rights, user, kind.name, decoding.body(request)), 201)
        if request.verb == "watch":
            return self._watch(kind, request)
        match what:
            case "get", "pods/log":
                return containerlogs.of_pod(self.store, request)
            case "get", "builds/log":
                return containerlogs.of_build(self.store, request, self.build_log_patience)
            case "create", "buildconfigs/instantiate":
                body = decoding.body(request)
                return json_answer(builds.instantiate(self.store, request.name, request.namespace, body), 201)
            case "create", "imagestreamimports":
                return json_answer(builds.look_up(self.store, decoding.body(request)), 201)
            case "get", "imagestreamtags":
                return json_answer(builds.tag(self.store, request.name, request.namespace))
            case "delete", "imagestreamtags":
                return json_answer(builds.untag(self.store, request.name, request.namespace))
        return self.resources.answer(kind, request)

    def _watch(self, kind: Kind, request: Request) -> Answer | Stream:
        version = request.number("resourceVersion") or 0
        if version and self.gone_by_status and version < self.store.ledger.histories[kind.name].floor:
            raise errors.expired(f"too old resource version: {version} ({self.store.ledger.version})")
        return Stream(watching.watch(self.store, kind, request, self.bookmark_every))


def _context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context
