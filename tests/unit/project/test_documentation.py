"""The documentation says what there is: settings, operations, fields, examples, commands and modules."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import links
import openapi_reference
import pytest
import settings_reference
import typer.main
import yaml
from sphinx.application import Sphinx

from amun.cli import app
from amun.settings import Settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.rst").read_text()
PAGES = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.rst"))}
EVERYTHING = "\n".join([README, *PAGES.values()])
DOCUMENT = yaml.safe_load((ROOT / "openapi/openapi.yaml").read_text())


class Text(HTMLParser):
    """A page as a reader sees it, and the places in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.places: set[str] = set()
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.places |= {value for name, value in attrs if name == "id" and value}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation as `make docs` builds it."""
    directory = tmp_path_factory.mktemp("site")
    sphinx = Sphinx(
        srcdir=ROOT / "docs",
        confdir=ROOT / "docs",
        outdir=directory / "html",
        doctreedir=directory / "doctrees",
        buildername="html",
        confoverrides={"nitpicky": True},
        warningiserror=True,
        status=None,
    )
    sphinx.build()
    assert sphinx.statuscode == 0
    return directory / "html"


# -- the built pages --------------------------------------------------------------------------------------------------


def read(site: Path, name: str) -> Text:
    return Text((site / f"{name}.html").read_text())


@pytest.mark.slow
def test_the_settings_page_has_every_setting_with_default_and_meaning_from_the_code(site: Path) -> None:
    page = read(site, "settings")
    for name, field in Settings.model_fields.items():
        assert f"envvar-AMUN_{name.upper()}" in page.places
        assert field.description is not None
        meaning = " ".join(field.description.replace("`", "").split())
        default = settings_reference.default(name, field).replace("`", "")
        assert re.search(rf"AMUN_{name.upper()}\W* {re.escape(meaning)} Default: {re.escape(default)}\.", page.text)


@pytest.mark.slow
def test_the_api_page_has_every_operation(site: Path) -> None:
    page = read(site, "api")
    for path, item in DOCUMENT["paths"].items():
        for method in set(item) - {"parameters"}:
            assert f"{method.upper()} /api/v1{path} " in page.text
            assert item[method]["summary"] in page.text.replace("\u2019", "'")
            for each in item[method].get("parameters", ()):
                assert openapi_reference.resolve(DOCUMENT, each)["name"] in page.text


@pytest.mark.slow
def test_every_schema_has_one_place_and_names_its_fields(site: Path) -> None:
    pages = [read(site, "api"), read(site, "specification")]
    for name, schema in DOCUMENT["components"]["schemas"].items():
        (page,) = [page for page in pages if f"schema-{name}".lower() in page.places]
        for field in schema.get("properties", {}):
            assert field in page.text


# -- what the pages are made of ---------------------------------------------------------------------------------------


def test_the_settings_page_lists_every_setting_once() -> None:
    listed = re.findall(r"^   (AMUN_[A-Z_]+)$", PAGES["settings.rst"], re.MULTILINE)
    assert sorted(listed) == sorted(f"AMUN_{name.upper()}" for name in Settings.model_fields)


def test_the_documentation_names_no_setting_that_is_not_there() -> None:
    known = {f"AMUN_{name.upper()}" for name in Settings.model_fields}
    told_to_scripts = {"AMUN_INSPECTION_ID", "AMUN_ITEM", "AMUN_BATCH_SIZE", "AMUN_WARMUP"}
    of_the_client = {"AMUN_URL", "AMUN_TOKEN", "AMUN_TOKEN_FILE", "AMUN_BASE"}
    assert set(re.findall(r"AMUN_[A-Z_]+[A-Z]", EVERYTHING)) <= known | told_to_scripts | of_the_client


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("port", "``8080``"),
        ("metrics_auth", "``false``"),
        ("state_dir", "``~/.local/share/amun``"),
        ("archive", "not set"),
        ("api_keys", "not set"),
        ("max_runs", "the number of processors"),
        ("request_rate", "6000; no limit on loopback without authentication"),
    ],
)
def test_a_default_is_told_as_one_writes_it(name: str, default: str) -> None:
    assert settings_reference.default(name, Settings.model_fields[name]) == default


def test_a_default_that_is_computed_is_told_in_words() -> None:
    computed = {name for name, field in Settings.model_fields.items() if field.default_factory is not None}
    assert computed <= set(settings_reference.COMPUTED)


def test_what_a_schema_says_is_said() -> None:
    schema = {
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "default": 2,
        "nullable": True,
        "description": "As `x*` is.",
    }
    assert openapi_reference.entry("``n``", schema, required=False) == (
        "``n``\n   integer; may be null; 1 to 9; default ``2``\n\n   As ``x*`` is.\n\n"
    )


@pytest.mark.parametrize(
    ("page", "broken"),
    [
        ('<a href="other.html#there">', []),
        ('<a href="https://example.org/nothing"><a href="#here"><p id="here">', []),
        ('<a href="none.html">', ["none.html"]),
        ('<a href="other.html#nowhere"><img src="none.png">', ["none.png", "other.html#nowhere"]),
        ('<a href="#nowhere">', ["#nowhere"]),
    ],
)
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, page: str, broken: list[str]) -> None:
    (tmp_path / "page.html").write_text(page)
    (tmp_path / "other.html").write_text('<p id="there">')
    assert links.broken(tmp_path) == [("page.html", link) for link in broken]


# -- README, examples, commands, modules ------------------------------------------------------------------------------


def test_every_page_is_in_the_readme_and_the_readme_links_to_what_is_there() -> None:
    linked = set(re.findall(r"`[^`<]+ <([^>:]+)>`_", README))
    assert all((ROOT / path).is_file() for path in linked)
    entered_otherwise = {"index.rst", "architecture.rst", "changelog.rst"}
    assert {f"docs/{name}" for name in PAGES if name not in entered_otherwise} <= linked


def test_every_example_is_documented() -> None:
    for example in (ROOT / "examples").glob("*.json"):
        assert f"``examples/{example.name}``" in PAGES["specification.rst"]


def test_every_command_is_documented() -> None:
    table = PAGES["tutorial.rst"].partition(".. commands")[2].partition(".. _client-variables")[0]
    for command in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert re.search(rf"^``amun {command}\b", table, re.MULTILINE), command


def test_every_module_is_on_the_map() -> None:
    architecture = (ROOT / "ARCHITECTURE.rst").read_text()
    inside = "programs", "static"  # what travels into images, and files
    for module in (ROOT / "amun").rglob("*.py"):
        if not module.name.startswith("__") and module.parent.name not in inside:
            stem = rf"\b{module.stem}\b"
            assert re.search(stem, architecture), module.relative_to(ROOT)
