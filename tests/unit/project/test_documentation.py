"""What README.rst says of settings and examples is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import typer.main

from amun.cli import app
from amun.settings import Settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.rst").read_text()


def test_every_setting_is_in_the_readme_with_its_meaning() -> None:
    table = README.partition(".. settings")[2].partition("Deploying")[0]
    text = re.sub(r"\s+", " ", table).replace("``", "`")
    for name, field in Settings.model_fields.items():
        assert f"AMUN_{name.upper()} " in text
        assert field.description is not None
        assert re.sub(r"\s+", " ", field.description) in text


def test_the_readme_names_no_setting_that_is_not_there() -> None:
    known = {f"AMUN_{name.upper()}" for name in Settings.model_fields}
    told_to_scripts = {"AMUN_INSPECTION_ID", "AMUN_ITEM", "AMUN_BATCH_SIZE", "AMUN_WARMUP"}
    of_the_client = {"AMUN_URL", "AMUN_TOKEN", "AMUN_TOKEN_FILE", "AMUN_BASE"}
    assert set(re.findall(r"AMUN_[A-Z_]+[A-Z]", README)) <= known | told_to_scripts | of_the_client


def test_every_example_is_in_the_readme() -> None:
    for example in (ROOT / "examples").glob("*.json"):
        assert f"examples/{example.name}" in README


def test_every_command_is_in_the_readme() -> None:
    told = README.partition("A first inspection")[2].partition("The specification by example")[0]
    for command in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        assert re.search(rf"``(amun )?{command}\b", told), command


def test_every_module_is_on_the_map() -> None:
    architecture = (ROOT / "ARCHITECTURE.rst").read_text()
    inside = "programs", "static"  # what travels into images, and files
    for module in (ROOT / "amun").rglob("*.py"):
        if not module.name.startswith("__") and module.parent.name not in inside:
            stem = rf"\b{module.stem}\b"
            assert re.search(stem, architecture), module.relative_to(ROOT)
