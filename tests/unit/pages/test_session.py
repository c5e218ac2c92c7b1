"""Signing in, and what a cookie is worth: a credential to pages of this service, and to nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from amun.auth.callers import Caller, Reviewer
from amun.auth.rate_limits import FAILURES
from amun.errors import Unauthenticated
from amun.pages import session
from tests.support.service_with_keys import DOCUMENT, Guarded

HOST = {"Host": "amun.example"}
HERE = {**HOST, "Sec-Fetch-Site": "same-origin"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    return Guarded(tmp_path_factory.mktemp("guarded"))


class Nobody(Reviewer):
    """Knows nobody's credential, and has to ask for each of them."""

    def review(self, credential: str) -> Caller:
        raise Unauthenticated("This credential is not known.")

    def check(self) -> None: ...


def cookie(guarded: Guarded, who: str = "alice") -> dict[str, str]:
    return {"Cookie": f"other=1; {session.COOKIE}={guarded.keys.get(who, who)}"}


def sign_in(guarded: Guarded, token: str, headers: dict[str, str] = HERE, **fields: str) -> Any:
    return guarded.ask(None, "POST", "/sign-in", data={"token": token, **fields}, headers=headers)


def test_a_good_token_is_kept_where_no_script_and_no_other_site_gets_at_it(guarded: Guarded) -> None:
    response = sign_in(guarded, f" {guarded.keys['alice']}\n", next="/new?example=c-program")
    assert (response.status_code, response.headers["location"]) == (303, "/new?example=c-program")
    name, _, attributes = response.headers["set-cookie"].partition("=")
    assert name == session.COOKIE
    kept, *rest = [part.strip().lower() for part in attributes.split(";")]
    assert kept == guarded.keys["alice"].lower()
    assert sorted(rest) == ["httponly", "path=/", "samesite=strict"]
    guarded.client.cookies.clear()


def test_by_https_the_cookie_is_for_https_only_and_for_this_host_only(guarded: Guarded) -> None:
    response = sign_in(guarded, guarded.keys["alice"], {**HERE, "X-Forwarded-Proto": "https"})
    kept = response.headers["set-cookie"]
    assert kept.startswith(f"__Host-{session.COOKIE}=")
    assert "; secure" in kept.lower()
    assert "domain" not in kept.lower()
    guarded.client.cookies.clear()
    headers = {**HOST, "Cookie": f"__Host-{session.COOKIE}={guarded.keys['alice']}; {session.COOKIE}=planted"}
    assert guarded.ask(None, "GET", "/api/v1/inspect", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("token", "status", "says"),
    [
        ("amun_0123456789", 401, "not known here"),
        ("", 400, "without spaces"),
        ("two words", 400, "without spaces"),
        ("\u202eeé", 400, "without spaces"),
        ("a\r\nX-API-Key: b", 400, "without spaces"),
        ("x" * 5000, 400, "5000 characters"),
        ('"<script>alert(1)</script>', 401, "not known"),
    ],
)
def test_what_is_no_good_token_is_said_on_the_page_and_kept_nowhere(
    tmp_path: Path, token: str, status: int, says: str
) -> None:
    response = sign_in(Guarded(tmp_path), token)
    assert (response.status_code, says in response.text) == (status, True)
    assert "set-cookie" not in response.headers
    assert "<script>alert" not in response.text


@pytest.mark.parametrize(
    "where",
    ["//evil.example/", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/a\r\nX: y", "", "x", "/ä"],
)
def test_signing_in_leads_to_this_service_only(guarded: Guarded, where: str) -> None:
    assert sign_in(guarded, guarded.keys["alice"], next=where).headers["location"] == "/"
    guarded.client.cookies.clear()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://amun.example:9000"},
    ],
)
def test_nobody_is_signed_in_or_out_by_a_page_from_elsewhere(guarded: Guarded, headers: dict[str, str]) -> None:
    headers = {**HOST, **headers}
    response = sign_in(guarded, guarded.keys["alice"], headers)
    assert (response.status_code, "set-cookie" in response.headers) == (403, False)
    response = guarded.ask(None, "POST", "/sign-out", headers={**headers, **cookie(guarded)})
    assert "set-cookie" not in response.headers


def test_signing_out_takes_the_cookie_away(guarded: Guarded) -> None:
    response = guarded.ask(None, "POST", "/sign-out", headers={**HERE, **cookie(guarded)})
    assert response.status_code == 303
    assert all("Max-Age=0" in each for each in response.headers.get_list("set-cookie"))
    assert len(response.headers.get_list("set-cookie")) == 2


def test_the_cookie_is_a_credential_for_reading(guarded: Guarded) -> None:
    made = guarded.submit("alice")
    for path in ("/", f"/inspections/{made}", f"/api/v1/inspect/{made}", f"/api/v1/inspect/{made}/build/log"):
        assert guarded.ask(None, "GET", path, headers={**HOST, **cookie(guarded)}).status_code == 200
    assert guarded.ask(None, "GET", f"/inspections/{made}", headers=cookie(guarded, "bob")).status_code == 404
    assert guarded.ask(None, "GET", "/", headers=cookie(guarded, "wrong")).status_code == 303


def test_a_header_counts_more_than_the_cookie(guarded: Guarded) -> None:
    made = guarded.submit("alice")
    path = f"/api/v1/inspect/{made}"
    assert guarded.ask("bob", "GET", path, headers=cookie(guarded)).status_code == 404
    assert guarded.ask(None, "GET", path, headers={"X-API-Key": "wrong", **cookie(guarded)}).status_code == 401


SITES = [
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Origin": "http://amun.example"}, True),
    ({"Origin": "https://AMUN.example"}, True),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "http://amun.example"}, True),
    ({}, False),
    ({"Sec-Fetch-Site": "none"}, False),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "http://amun.example"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": "http://amun.example.evil.example"}, False),
    ({"Origin": "http://amun.example:8081"}, False),
    ({"Referer": "http://amun.example/"}, False),
]


@pytest.mark.parametrize(("headers", "good"), SITES)
@pytest.mark.parametrize("method", ["POST", "DELETE", "cancel"])
def test_what_changes_something_is_taken_from_the_cookie_only_if_a_page_of_this_origin_asks(
    guarded: Guarded, headers: dict[str, str], good: bool, method: str
) -> None:
    made = guarded.submit("alice")
    paths = {"POST": "/api/v1/inspect", "DELETE": f"/api/v1/inspect/{made}", "cancel": f"/api/v1/inspect/{made}/cancel"}
    options = {"json": DOCUMENT} if method == "POST" else {}
    sent = {**HOST, **cookie(guarded), **headers}
    asked = method if method == "DELETE" else "POST"
    assert guarded.ask(None, asked, paths[method], headers=sent, **options).status_code == (202 if good else 401)


def test_a_form_of_a_page_from_elsewhere_gets_nothing_done_however_it_is_sent(guarded: Guarded) -> None:
    before = guarded.ask("alice", "GET", "/api/v1/inspect").json()["total"]
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        headers = {**HOST, **cookie(guarded), "Origin": "http://evil.example", "Content-Type": kind}
        body = '{"base": "debian:12", "script": "true"}'
        assert guarded.ask(None, "POST", "/api/v1/inspect", headers=headers, content=body).status_code == 401
    assert guarded.ask("alice", "GET", "/api/v1/inspect").json()["total"] == before


def test_where_nobody_is_asked_there_is_no_signing_in(tmp_path: Path) -> None:
    anybody = Guarded(tmp_path, auth="none")
    response = anybody.ask(None, "GET", "/sign-in?next=/compare")
    assert (response.status_code, response.headers["location"]) == (303, "/compare")
    home = anybody.ask(None, "GET", "/")
    assert home.status_code == 200
    assert "sign" not in home.text.lower()


def test_tokens_that_are_not_good_are_counted_by_the_visitors_address(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, Nobody())
    codes = {sign_in(guarded, f"amun_{number:010}").status_code for number in range(FAILURES)}
    assert codes == {401}
    response = sign_in(guarded, "amun_0123456789")
    assert (response.status_code, "set-cookie" in response.headers) == (429, False)
    headers = [(name.lower().encode(), value.encode()) for name, value in HERE.items()]
    elsewhere = guarded.raw("/sign-in", headers, "POST", b"token=amun_0123456789", client=("198.51.100.7", 1))
    assert elsewhere.status == 401


def test_the_token_is_in_no_page(guarded: Guarded) -> None:
    made = guarded.submit("alice")
    for path in ("/", "/new", "/compare", f"/inspections/{made}", "/nowhere", "/inspections/none"):
        text = guarded.ask(None, "GET", path, headers=cookie(guarded)).text
        assert guarded.keys["alice"] not in text
