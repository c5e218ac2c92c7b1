"""The build context: what it says word for word, and that no value of a specification gets out of its quotes."""

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amun.environments.dockerfile import NEWLINE, build_arguments, context
from amun.model.specification import File, Metric, Specification, Variable
from amun.validation import rules
from amun.validation.problems import validated

TESTS = Path(__file__).parents[2]
GOLDEN = sorted(path for path in (TESTS / "golden" / "dockerfiles").iterdir())
PLAIN = validated({"base": "debian:12"})
EVERYTHING = replace(
    PLAIN,
    update=True,
    packages=("vim", "which"),
    python_packages=("six<2", "attrs; python_version < '4'"),
    upgrade_pip=True,
    files=(File("/home/amun/a", "1"), File("/etc/b", "2")),
    environment=(Variable("A", "1"), Variable("B", "two\nlines")),
)

text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))


def instructions(specification: Specification) -> list[tuple[str, str]]:
    """Read the Dockerfile as builders do: comments dropped, continued lines joined; the first word and the rest."""
    lines = context(specification)["Dockerfile"].decode().split("\n")
    joined = re.sub(r"\\[ \t]*\n", "", "\n".join(line for line in lines if not line.startswith("#")))
    found = (line.partition(" ") for line in joined.split("\n") if line)
    return [(instruction, rest) for instruction, _, rest in found]


def commands(specification: Specification) -> list[list[str]]:
    return [json.loads(rest) for instruction, rest in instructions(specification) if instruction == "RUN"]


def variables_of(specification: Specification) -> dict[str, str]:
    """Names of variables, and their values as they are written."""
    pair = r'([A-Za-z_]\w*)=((?:"(?:[^"\\]|\\.)*")+|[^"\s]*)(?: +|\Z)'
    written = [rest for instruction, rest in instructions(specification) if instruction == "ENV"]
    assert all(re.fullmatch(f"(?:{pair})+", rest, re.DOTALL) for rest in written)
    return dict(found for rest in written for found in re.findall(pair, rest, re.DOTALL))


def expand(word: str, variables: dict[str, str]) -> str:
    """Read the value of an ENV as the Dockerfile reference says of double quotes; refuse what is outside of them."""
    assert re.fullmatch(r'("([^"\\]|\\.)*")+', word, re.DOTALL), word
    parts = re.findall(r'\\(.)|\$\{(\w+)\}|(")|([^"\\$])', word, re.DOTALL)
    return "".join(escaped or plain or variables.get(name, "") for escaped, name, _, plain in parts)


def document(case: Path) -> Any:
    """A case has a specification of its own, or is that of the same name among those that callers sent."""
    own = case / "specification.json"
    return json.loads((own if own.exists() else TESTS / "cases" / f"{case.name}.json").read_text())


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case.name)
def test_dockerfile_and_what_is_generated_beside_it_are_these(case: Path) -> None:
    made = context(validated(document(case)))
    for expected in case.iterdir():
        if expected.name != "specification.json":
            assert made[expected.name].decode() == expected.read_text(), expected.name


def test_every_value_counts_and_the_same_ones_give_the_same_bytes() -> None:
    assert context(EVERYTHING) == context(replace(EVERYTHING))
    changes: list[dict[str, Any]] = [
        {"base": "debian:11"},
        {"update": False},
        {"packages": ("which", "vim")},
        {"python_packages": ()},
        {"upgrade_pip": False},
        {"files": EVERYTHING.files[:1]},
        {"environment": ()},
    ]
    contexts = [context(EVERYTHING), *(context(replace(EVERYTHING, **change)) for change in changes)]
    assert all(one != other for one, other in itertools.combinations(contexts, 2))


def test_script_and_placement_are_no_part_of_the_environment() -> None:
    other = replace(EVERYTHING, script="echo", identifier="other", batch_size=7, run=replace(PLAIN.run, timeout=1))
    other = replace(other, warmup=2, metrics=(Metric("rate", "1/s", "higher"),))
    assert context(other) == context(EVERYTHING)


def test_base_can_be_pinned_by_digest() -> None:
    pinned = "docker.io/library/debian@sha256:" + "0" * 64
    assert context(PLAIN, pinned) == context(replace(PLAIN, base=pinned))
    assert f"FROM {pinned}\n".encode() in context(PLAIN, pinned)["Dockerfile"]


def test_image_ends_as_nobody_in_a_home_of_its_own() -> None:
    found = instructions(EVERYTHING)
    assert found[1] == ("USER", "0")
    assert ("WORKDIR", "/home/amun") in found
    assert ("ENV", "HOME=/home/amun") in found
    assert found[-1] == ("USER", "10001:0")


@given(text)
def test_a_variable_takes_as_many_bytes_as_the_door_counts(value: str) -> None:
    recipe = context(replace(PLAIN, environment=(Variable("NAME", value),)))["Dockerfile"]
    line = next(line for line in recipe.split(b"\n") if line.startswith(b"ENV NAME="))
    assert len(line.removeprefix(b"ENV ")) == rules.written("NAME", value)


def test_without_python_packages_no_python_is_asked_for() -> None:
    assert not any("venv" in word for command in commands(replace(PLAIN, packages=("vim",))) for word in command)
    assert all(instruction != "ENV" or "PATH" not in rest for instruction, rest in instructions(PLAIN))


def test_other_files_and_variables_leave_the_steps_before_them_alone() -> None:
    other = replace(EVERYTHING, files=(File("/c", "3"),), environment=(Variable("C", "3"),))
    same = itertools.takewhile(
        lambda pair: pair[0] == pair[1], zip(*map(instructions, (EVERYTHING, other)), strict=False)
    )
    assert any("loose.sh" in rest for (instruction, rest), _ in same if instruction == "RUN")


def test_each_program_is_copied_just_before_it_runs() -> None:
    found = instructions(EVERYTHING)
    runs = [(index, json.loads(rest)[1]) for index, (instruction, rest) in enumerate(found) if instruction == "RUN"]
    for index, program in runs:
        instruction, rest = found[index - 1]
        assert instruction == "COPY"
        assert Path(program).name == json.loads(rest)[0]


def test_names_in_the_context_can_be_keys_of_a_config_map() -> None:
    assert all(re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", name) for case in GOLDEN for name in _context(case))


def test_what_is_copied_is_there_and_what_is_there_is_copied() -> None:
    for case in GOLDEN:
        specification = validated(document(case))
        copied = [json.loads(rest)[:-1] for instruction, rest in instructions(specification) if instruction == "COPY"]
        assert {"Dockerfile"}.union(*copied) == set(context(specification))


@given(st.lists(text))
def test_words_arrive_as_they_are_at_the_programs_of_the_build(words: list[str]) -> None:
    *_, loose, _ = commands(replace(PLAIN, python_packages=("six", *words)))
    assert loose == ["/bin/sh", "/opt/amun/build/loose.sh", "six", *words]


@given(st.lists(text, max_size=40), st.lists(text, max_size=5))
def test_paths_arrive_as_they_are_and_contents_untouched(names: list[str], contents: list[str]) -> None:
    files = tuple(
        File(f"/{name}", content) for name, content in zip(names, itertools.cycle([*contents, ""]), strict=False)
    )
    made = context(replace(PLAIN, files=files))
    assert commands(replace(PLAIN, files=files))[-1][2:] == [file.path for file in files]
    assert [made[f"file-{index}"].decode() for index in range(len(files))] == [file.content for file in files]


@given(st.lists(text))
def test_values_of_variables_arrive_verbatim(values: list[str]) -> None:
    variables = tuple(Variable(f"V{index}", value) for index, value in enumerate(values))
    specification = replace(PLAIN, environment=variables)
    newline = build_arguments(context(specification))
    found = variables_of(specification)
    assert {name: expand(word, newline) for name, word in found.items() if name != "HOME"} == {
        variable.name: variable.value for variable in variables
    }


@pytest.mark.parametrize("value", ["x" * 100_000, "\\" * 50_000, '"$\n' * 20_000, " #" * 50_000])
def test_long_values_go_over_lines_that_builders_can_read(value: str) -> None:
    """buildah 1.28 takes a line of 64 KiB for the end of the Dockerfile, and says that all is well."""
    specification = replace(PLAIN, environment=(Variable("LONG", value),))
    dockerfile = context(specification)["Dockerfile"]
    assert max(map(len, dockerfile.split(b"\n"))) < 2**16
    assert expand(variables_of(specification)["LONG"], {NEWLINE: "\n"}) == value


def test_line_end_is_asked_for_only_where_it_is_needed() -> None:
    assert build_arguments(context(EVERYTHING)) == {NEWLINE: "\n"}
    assert build_arguments(context(replace(PLAIN, environment=(Variable("A", f"ARG {NEWLINE}"),)))) == {}


def _context(case: Path) -> dict[str, bytes]:
    return context(validated(document(case)))
