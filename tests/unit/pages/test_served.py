"""What comes with every page: headers, files cached by what is in them, the plotting library as it was meant."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from amun import __version__
from amun.pages import static_files
from amun.pages.middleware import ROUTES, template
from tests.support.service_with_keys import Guarded

ROOT = Path(__file__).parents[3]
PATHS = [
    "/",
    "/compare",
    "/new",
    "/new?example=numpy-matmul",
    "/inspections/none",
    "/?page=99",
    "/?phase=none",
    "/sign-in?x",
]


@pytest.fixture(scope="module")
def anybody(tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    return Guarded(tmp_path_factory.mktemp("anybody"), auth="none")


@pytest.mark.parametrize("path", PATHS)
def test_every_page_keeps_strangers_programs_out(anybody: Guarded, path: str) -> None:
    response = anybody.ask(None, "GET", path)
    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "same-origin"
    assert response.headers["x-amun-version"] == __version__
    assert not re.search(
        r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:|=.https?://", response.text.partition("By curl")[0]
    )


def test_files_are_cached_for_as_long_as_they_do_not_change(anybody: Guarded) -> None:
    home = anybody.ask(None, "GET", "/").text
    named = set(re.findall(r'"(/static/[^"]+)"', home))
    assert {each.rpartition("/")[2] for each in named} == {"icon.svg", "page.css", "page.js"}
    for url in named:
        response = anybody.ask(None, "GET", url)
        assert response.headers["cache-control"] == static_files.FOR_EVER
        assert response.headers["content-encoding"] == "gzip"
        assert response.content == (static_files.DIRECTORY / url.split("/", 3)[3]).read_bytes()
        plain = anybody.ask(None, "GET", url, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == response.content
    assert anybody.ask(None, "GET", "/static/old/page.css").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["../views.py", "..%2fviews.py", "/etc/passwd", "page.css/", "vendor", "%2e%2e/views.py", "page.css%00"]
)
def test_nothing_but_the_files_is_served(anybody: Guarded, path: str) -> None:
    assert anybody.ask(None, "GET", f"/static/0/{path}").status_code == 404


def test_a_page_that_has_not_changed_is_not_sent_again(anybody: Guarded) -> None:
    first = anybody.ask(None, "GET", "/compare")
    again = anybody.ask(None, "GET", "/compare", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert "private" in first.headers["cache-control"]


def test_the_plotting_library_is_what_its_list_says() -> None:
    vendor = static_files.DIRECTORY / "vendor"
    packages = json.loads((vendor / "packages.json").read_text())
    listed = {file for package in packages.values() for file in package["files"].values()}
    assert {path.name for path in vendor.iterdir()} == listed | {"packages.json"}
    for name, package in packages.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"]), name
        assert len(base64.b64decode(package["integrity"].removeprefix("sha512-"))) == hashlib.sha512().digest_size
        assert any("LICENSE" in file for file in package["files"].values())
        program, licence = ((vendor / file).read_text() for file in package["files"].values())
        assert "permission" in licence.lower()
        assert not re.search(r"\beval\(|new Function\(", program)
    assert packages["chart.js"]["version"] in (vendor / "chart.umd.min.js").read_text()[:200]


def test_pages_are_counted_by_their_route(anybody: Guarded) -> None:
    anybody.ask(None, "GET", "/inspections/inspection-0123456789abcdef")
    counts = anybody.ask(None, "GET", "/metrics").text
    assert 'amun_http_responses_total{method="GET",route="/inspections/{inspection_id}",status="404"}' in counts
    assert {template(path.replace("{item:int}", "3").replace("{path:path}", "a/b")) for path, *_ in ROUTES} == {
        path for path, *_ in ROUTES
    }
    for other in ("/inspections/", "/inspections/a/b", "/new/", "/compare\n", "//", "/static/x", "/api/v1", "/items"):
        assert template(other) is None


def test_the_examples_that_are_offered_are_accepted(anybody: Guarded) -> None:
    offered = re.findall(r'href="/new\?example=([\w-]+)"', anybody.ask(None, "GET", "/new").text)
    assert sorted(offered) == sorted(path.stem for path in (ROOT / "examples").glob("*.json"))
    for name in offered:
        document = json.loads((ROOT / "examples" / f"{name}.json").read_text())
        assert anybody.ask(None, "POST", "/api/v1/inspect?dry_run=true", json=document).status_code == 200


def test_the_page_is_a_client_of_the_public_api_and_of_nothing_else() -> None:
    """Nothing of the service is imported but what says times, ids and sentences, and writes logs."""
    allowed = {"amun.package_data", "amun.errors.INTERNAL", "amun.telemetry.logs.logger"}
    allowed |= {"amun.model.identifiers", "amun.model.timestamps"}
    for module in (ROOT / "amun" / "pages").glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                named = {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.ImportFrom | ast.Import):
                assert getattr(node, "level", 1) == 1, module
                named = {alias.name for alias in node.names}
            else:
                continue
            assert {name for name in named if name.split(".")[0] == "amun"} <= allowed, module


def test_a_page_from_below_a_prefix_is_not_taken_for_another(anybody: Guarded) -> None:
    assert anybody.raw("/", root_path="/new").status != 200
    assert anybody.raw("/new\n").status == 404
