"""The directives ``openapi-operations`` and ``openapi-schemas``: the API from ``openapi/openapi.yaml``.

Extensions that exist for this write out the whole schema of a body again at each operation, without limits and
defaults. Here each schema is described once, and all that use it link to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from settings_reference import as_markup
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

DOCUMENT = Path(__file__).parents[2] / "openapi/openapi.yaml"
METHODS = ("get", "post", "delete", "put", "patch")
RANGES = {
    ("minimum", "maximum"): "",
    ("minLength", "maxLength"): " characters",
    ("minItems", "maxItems"): " elements",
    ("minProperties", "maxProperties"): " entries",
}
COMMON = {"401", "403", "421", "429", "500", "503"}
"""Answers that any operation may give."""

Schema = dict[str, Any]


def resolve(document: Schema, value: Schema) -> Schema:
    """What a ``$ref`` points to, else the value itself."""
    while "$ref" in value:
        target: Any = document
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        value = target
    return value


def references(value: Any) -> Iterator[str]:
    """The names of all schemas that a part of the document points to."""
    if isinstance(value, dict):
        if str(value.get("$ref", "")).startswith("#/components/schemas/"):
            yield value["$ref"].rpartition("/")[2]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def reachable(document: Schema, name: str) -> list[str]:
    """A schema and all that it is made of, in the order of the document."""
    schemas = document["components"]["schemas"]
    found, todo = {name}, [name]
    while todo:
        new = set(references(schemas[todo.pop()])) - found
        found |= new
        todo.extend(new)
    return [each for each in schemas if each in found]


def kind(schema: Schema) -> str:
    """The type of a value, with a link where it has a section of its own."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f":ref:`{name} <schema-{name}>`"
    if "anyOf" in schema:
        return " or ".join(kind(each) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"array of {kind(schema['items'])}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {kind(schema['additionalProperties'])}"
    return str(schema.get("type", "any value"))


def ranges(schema: Schema) -> Iterator[str]:
    """The limits of a value."""
    for (least, most), unit in RANGES.items():
        if least in schema and most in schema:
            yield f"{schema[least]} to {schema[most]}{unit}"
        elif most in schema:
            yield f"at most {schema[most]}{unit}"
        elif schema.get(least) == 1 and unit:
            yield "not empty"
        elif least in schema:
            yield f"at least {schema[least]}{unit}"


def facts(schema: Schema, required: bool) -> str:
    """Type, values, limits and default in one line."""
    parts = [kind(schema)]
    if required:
        parts.append("required")
    if schema.get("nullable") and not required:
        parts.append("may be null")
    if "enum" in schema:
        parts.append("one of " + ", ".join(f"``{value}``" for value in schema["enum"] if value is not None))
    parts += ranges(schema)
    if "default" in schema:
        parts.append(f"default ``{json.dumps(schema['default'])}``")
    return "; ".join(parts)


def entry(name: str, schema: Schema, required: bool) -> str:
    """One field or parameter as an item of a definition list."""
    meaning = sentence(schema)
    if "x-message" in schema:
        meaning += f" It {schema['x-message']}."
    paragraphs = [facts(schema, required), *([meaning] if meaning else [])]
    return f"{name}\n   " + "\n\n   ".join(paragraphs) + "\n\n"


def sentence(described: Schema) -> str:
    """A description as reStructuredText, on one line."""
    return as_markup(" ".join(described.get("description", "").split()))


def fields(schema: Schema, before: str = "") -> str:
    """The fields of an object; those of objects without a section of their own by their path."""
    text = ""
    for name, value in schema.get("properties", {}).items():
        path = f"{before}{name}"
        text += entry(f"``{path}``", value, name in schema.get("required", ()))
        while value.get("type") == "array":
            value, path = value["items"], f"{path}[]"
        text += fields(value, f"{path}.")
    return text


def section(title: str, label: str) -> str:
    return f".. _{label}:\n\n{title}\n{'~' * len(title)}\n\n"


def schema_section(document: Schema, name: str) -> str:
    """A schema of the document as a section."""
    schema = document["components"]["schemas"][name]
    text = section(name, f"schema-{name}")
    if "properties" not in schema:
        told = facts(schema, required=False)
        text += f"{told[0].upper()}{told[1:]}.\n\n"
    return f"{text}{sentence(schema)}\n\n{fields(schema)}"


def parameter(document: Schema, value: Schema) -> str:
    given = resolve(document, value)
    place = {"path": "in the path", "query": "in the query", "header": "a header"}[given["in"]]
    described = {**given["schema"], "description": given.get("description", "")}
    return entry(f"``{given['name']}`` ({place})", described, given.get("required", False))


def body(content: Schema) -> str:
    """What a request or an answer carries."""
    return ", or ".join(f"{kind(each['schema'])} as ``{name}``" for name, each in content.items())


def operation(document: Schema, path: str, method: str) -> str:
    """One operation as a section."""
    item = document["paths"][path]
    given = item[method]
    text = section(given["summary"], f"operation-{given['operationId']}")
    text += f"::\n\n   {method.upper()} {document['servers'][0]['url']}{path}\n\n{sentence(given)}\n\n"
    for each in (*item.get("parameters", ()), *given.get("parameters", ())):
        text += parameter(document, each)
    if "requestBody" in given:
        text += f"Body: {body(given['requestBody']['content'])}.\n\n"
    text += "Answers:\n\n"
    for status, each in given["responses"].items():
        if status not in COMMON:
            answer = resolve(document, each)
            carried = f" {body(answer['content'])}." if status < "400" else ""  # all others are an Error
            text += f"* **{status}** {sentence(answer)}{carried}\n"
    return text + "\n"


def operations(document: Schema, tag: str) -> str:
    """All operations with this tag, in the order of the document."""
    return "".join(
        operation(document, path, method)
        for path, item in document["paths"].items()
        for method in item
        if method in METHODS and tag in item[method]["tags"]
    )


def common_answers(document: Schema) -> str:
    """The answers that each operation may give, from one that gives them all."""
    answers = document["paths"]["/inspect"]["post"]["responses"]
    return "".join(f"* **{status}** {sentence(resolve(document, answers[status]))}\n" for status in sorted(COMMON))


class OpenApiDirective(SphinxDirective):
    """Parses what ``text`` makes of the document."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(DOCUMENT))
        text = self.text(yaml.safe_load(DOCUMENT.read_text()))
        return self.parse_text_to_nodes(text, allow_section_headings=True)

    def text(self, document: Schema) -> str:
        raise NotImplementedError


class Operations(OpenApiDirective):
    """``.. openapi-operations:: TAG``"""

    required_arguments = 1

    def text(self, document: Schema) -> str:
        return operations(document, self.arguments[0])


class CommonAnswers(OpenApiDirective):
    """``.. openapi-common-answers::``"""

    def text(self, document: Schema) -> str:
        return common_answers(document)


class Schemas(OpenApiDirective):
    """``.. openapi-schemas:: NAME`` is that schema and what it is made of; without a name, all others."""

    optional_arguments = 1
    ROOT = "InspectionSpecification"

    def text(self, document: Schema) -> str:
        of_the_specification = reachable(document, self.ROOT)
        if self.arguments:
            names = of_the_specification
        else:
            names = [name for name in document["components"]["schemas"] if name not in of_the_specification]
        return "".join(schema_section(document, name) for name in names)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("openapi-operations", Operations)
    app.add_directive("openapi-common-answers", CommonAnswers)
    app.add_directive("openapi-schemas", Schemas)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
