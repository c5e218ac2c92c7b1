"""Who is answered what, wherever they knock: every path by every kind of caller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from amun import __version__
from amun.pages.middleware import ROUTES, template
from amun.validation import schema
from tests.api.conftest import assert_error
from tests.support.service_with_keys import DOCUMENT, Guarded

CALLERS = {"nobody": None, "wrong": "amun_0123456789", "other": "bob", "owner": "alice", "admin": "root"}
"""Kinds of caller, and the credential that each comes with. The inspection that is asked for is alice's."""

SENT: dict[str, dict[str, Any]] = {
    "-": {},
    "body": {"json": DOCUMENT},
    "pair": {"json": {"inspections": ["{inspection_id}", "{another_id}"]}},
    "text": {"headers": {"Accept": "text/plain"}},
}

TABLE = """
method  path                                                 sent   nobody wrong  other  owner  admin
GET     /api/v1/version                                      -      401    401    200    200    200
GET     /api/v1/hardware                                     -      401    401    200    200    200
POST    /api/v1/_debug/generate-dockerfile                   body   401    401    200    200    200
POST    /api/v1/inspect                                      body   401    401    202    202    202
POST    /api/v1/inspect?dry_run=true                         body   401    401    200    200    200
GET     /api/v1/inspect                                      -      401    401    200    200    200
GET     /api/v1/inspect/{inspection_id}                      -      401    401    404    200    200
DELETE  /api/v1/inspect/{inspection_id}                      -      401    401    404    202    202
POST    /api/v1/inspect/{inspection_id}/cancel               -      401    401    404    202    202
GET     /api/v1/inspect/{inspection_id}/status               -      401    401    404    200    200
GET     /api/v1/inspect/{inspection_id}/specification        -      401    401    404    200    200
GET     /api/v1/inspect/{inspection_id}/summary              -      401    401    404    200    200
POST    /api/v1/compare                                      pair   401    401    404    409    409
GET     /api/v1/inspect/{inspection_id}/build/log            -      401    401    404    200    200
GET     /api/v1/inspect/{inspection_id}/build/log            text   401    401    404    200    200
GET     /api/v1/inspect/{inspection_id}/job/log              -      401    401    404    202    202
GET     /api/v1/inspect/{inspection_id}/job/log              text   401    401    404    200    200
GET     /api/v1/inspect/{inspection_id}/job/batch-size       -      401    401    404    200    200
GET     /api/v1/inspect/{inspection_id}/job/{item}/log       -      401    401    404    202    202
GET     /api/v1/inspect/{inspection_id}/job/{item}/log       text   401    401    404    200    200
GET     /api/v1/inspect/{inspection_id}/job/{item}/result    -      401    401    404    202    202
GET     /                                                    -      303    303    200    200    200
GET     /inspections/{inspection_id}                         -      303    303    404    200    200
GET     /inspections/{inspection_id}/items/{item}            -      303    303    404    200    200
GET     /compare                                             -      303    303    200    200    200
GET     /new                                                 -      303    303    200    200    200
GET     /sign-in                                             -      200    200    303    303    303
POST    /sign-in                                             -      403    403    403    403    403
POST    /sign-out                                            -      303    303    303    303    303
GET     /static/0/page.css                                   -      200    200    200    200    200
GET     /static/0/none                                       -      404    404    404    404    404
POST    /                                                    -      405    405    405    405    405
GET     /liveness                                            -      200    200    200    200    200
GET     /readiness                                           -      200    200    200    200    200
GET     /metrics                                             -      200    200    200    200    200
GET     /api/v1                                              -      200    200    200    200    200
GET     /api/v1/                                             -      200    200    200    200    200
GET     /api/v1/ui                                           -      307    307    307    307    307
GET     /api/v1/ui/                                          -      200    200    200    200    200
GET     /api/v1/ui/swagger-ui.css                            -      200    200    200    200    200
GET     /api/v1/ui/none                                      -      404    404    404    404    404
POST    /api/v1/ui/                                          -      405    405    405    405    405
GET     /api/v1/openapi.json                                 -      200    200    200    200    200
GET     /api/v1/openapi.yaml                                 -      200    200    200    200    200
POST    /liveness                                            -      405    405    405    405    405
GET     /liveness/                                           -      401    401    404    404    404
GET     /nowhere                                             -      401    401    404    404    404
GET     /api/v1/nowhere                                      -      401    401    404    404    404
PUT     /api/v1/inspect                                      -      401    401    405    405    405
OPTIONS /api/v1/inspect                                      -      401    401    405    405    405
GET     /api/v1//inspect                                     -      401    401    404    404    404
"""

ROWS = [line.split() for line in TABLE.strip().splitlines()[1:]]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    return Guarded(tmp_path_factory.mktemp("guarded"))


def cases() -> Iterator[Any]:
    for method, path, sent, *expected in ROWS:
        for kind, status in zip(CALLERS, expected, strict=True):
            yield pytest.param(method, path, SENT[sent], kind, int(status), id=f"{method}-{path}-{sent}-{kind}")


@pytest.mark.parametrize(("method", "path", "sent", "kind", "status"), list(cases()))
def test_every_path_is_answered_by_who_asks(
    guarded: Guarded, method: str, path: str, sent: dict[str, Any], kind: str, status: int
) -> None:
    inspection_id = guarded.submit("alice") if "{inspection_id}" in path else ""
    where = path.format(inspection_id=inspection_id, item=0)
    if "inspections" in sent.get("json", {}):
        sent = {"json": {"inspections": [guarded.submit("alice"), guarded.submit("alice")]}}
    response = guarded.ask(CALLERS[kind], method, where, **sent)
    assert response.status_code == status, response.text
    assert response.headers["X-Amun-Version"] == __version__
    assert response.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    if status >= 400 and template(path.partition("?")[0]) is None:  # pages say it as pages
        assert_error(response)
    if kind == "other" and inspection_id:
        unknown = guarded.ask(CALLERS[kind], method, where.replace(inspection_id, absent(inspection_id)), **sent)
        assert response.text.replace(inspection_id, absent(inspection_id)) == unknown.text
        assert guarded.ask("alice", "GET", f"/api/v1/inspect/{inspection_id}/status").json()["phase"] == "queued"


def absent(inspection_id: str) -> str:
    """An id that could be, and is not."""
    return inspection_id[:-8] + "00000000"


def test_the_table_has_every_operation_of_the_contract() -> None:
    listed = {(method, path.partition("?")[0]) for method, path, *_ in ROWS}
    described = {
        (method.upper(), f"/api/v1{path}")
        for path, operations in schema.document()["paths"].items()
        for method, operation in operations.items()
        if isinstance(operation, dict)
    }
    assert described <= listed


def test_the_table_has_every_page_for_people() -> None:
    listed = {(method, template(path)) for method, path, *_ in ROWS}
    assert {(method, path) for path, _, methods in ROUTES for method in methods} <= listed


def test_the_table_has_every_page_that_flask_serves_beside_them(guarded: Guarded) -> None:
    rules = {rule.rule for rule in guarded.app.app.url_map.iter_rules() if "<" not in rule.rule}
    listed = {path.rstrip("/") for _, path, *_ in ROWS}
    assert {rule.rstrip("/") for rule in rules if not rule.startswith("/static")} <= {*listed, ""}


@pytest.mark.parametrize(("kind", "status"), list(zip(CALLERS, (401, 401, 200, 200, 200), strict=True)))
def test_metrics_are_for_those_who_say_who_they_are_where_that_is_set(tmp_path: Any, kind: str, status: int) -> None:
    guarded = Guarded(tmp_path, metrics_auth=True)
    assert guarded.ask(CALLERS[kind], "GET", "/metrics").status_code == status


def test_a_refusal_is_counted_by_the_route_it_was_for(guarded: Guarded) -> None:
    def count(route: str) -> float:
        lines = guarded.ask(None, "GET", "/metrics").text.splitlines()
        label = f'amun_http_responses_total{{method="GET",route="{route}",status="401"}} '
        return sum(float(line.removeprefix(label)) for line in lines if line.startswith(label))

    route = "/api/v1/inspect/{inspection_id}/job/{item}/log"
    before, elsewhere = count(route), count("(other)")
    guarded.ask(None, "GET", "/api/v1/inspect/inspection-0123456789abcdef/job/3/log")
    guarded.ask("wrong", "GET", "/some/where")
    assert (count(route), count("(other)")) == (before + 1, elsewhere + 1)


def test_whoever_has_no_credential_learns_nothing_of_an_inspection(guarded: Guarded) -> None:
    there, not_there = guarded.submit("alice"), "inspection-0123456789abcdef"
    answers = [guarded.ask(None, "GET", f"/api/v1/inspect/{each}").text for each in (there, not_there)]
    assert answers[0] == answers[1]


def test_the_description_tells_swagger_ui_how_a_token_is_sent(guarded: Guarded) -> None:
    served = guarded.ask(None, "GET", "/api/v1/openapi.json").json()
    schemes = served["components"]["securitySchemes"]
    assert {name: (scheme["type"], scheme.get("scheme")) for name, scheme in schemes.items()} == {
        "bearer": ("http", "bearer"),
        "apiKey": ("apiKey", None),
    }
    assert served["security"] == [{"bearer": []}, {"apiKey": []}, {}]
    header = {schemes["apiKey"]["name"]: guarded.keys["alice"]}
    assert guarded.ask(None, "GET", "/api/v1/inspect", headers=header).status_code == 200
