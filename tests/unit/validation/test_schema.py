"""openapi/openapi.yaml is a valid description, and says for every operation what a caller may meet."""

from collections.abc import Iterator
from typing import Any

import pytest
from connexion.spec import Specification as OpenAPI

from amun.validation import formats
from amun.validation import schema as contract

METHODS = ("get", "post", "delete")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in contract.document()["paths"].items():
        for method in METHODS:
            if method in item:
                yield (
                    path,
                    method,
                    item[method] | {"parameters": item.get("parameters", []) + item[method].get("parameters", [])},
                )


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Return every object in the document."""
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


def test_it_is_valid_openapi_3_by_the_schema_of_the_openapi_initiative() -> None:
    OpenAPI.from_dict(contract.document())


def test_the_yaml_holds_nothing_that_connexion_would_take_for_a_template() -> None:
    text = contract.path().read_text()
    assert not any(mark in text for mark in ("{{", "{%", "{#"))


def test_every_endpoint_of_both_generations_is_there() -> None:
    assert {(method, path): operation["operationId"] for path, method, operation in operations()} == {
        ("get", "/version"): "get_version",
        ("get", "/hardware"): "get_hardware",
        ("post", "/_debug/generate-dockerfile"): "post_generate_dockerfile",
        ("post", "/inspect"): "post_inspection",
        ("get", "/inspect"): "get_inspection",
        ("get", "/inspect/{inspection_id}"): "get_inspection_detail",
        ("delete", "/inspect/{inspection_id}"): "delete_inspection",
        ("post", "/inspect/{inspection_id}/cancel"): "cancel_inspection",
        ("get", "/inspect/{inspection_id}/status"): "get_inspection_status",
        ("get", "/inspect/{inspection_id}/specification"): "get_inspection_specification",
        ("get", "/inspect/{inspection_id}/summary"): "get_inspection_summary",
        ("post", "/compare"): "post_compare",
        ("get", "/inspect/{inspection_id}/build/log"): "get_inspection_build_log",
        ("get", "/inspect/{inspection_id}/job/log"): "get_inspection_job_log",
        ("get", "/inspect/{inspection_id}/job/batch-size"): "get_inspection_job_batch_size",
        ("get", "/inspect/{inspection_id}/job/{item}/log"): "get_inspection_job_item_log",
        ("get", "/inspect/{inspection_id}/job/{item}/result"): "get_inspection_job_result",
    }


@pytest.mark.parametrize(("path", "method", "operation"), list(operations()))
def test_every_operation_names_its_errors_in_the_one_shape(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    assert "500" in responses
    assert ("404" in responses) == ("{inspection_id}" in path or path == "/compare")
    assert ("415" in responses) == ("requestBody" in operation)
    assert {"401", "403", "429", "503"} <= set(responses)
    for status in responses:
        if int(status) >= 400:
            reference = responses[status]["$ref"].removeprefix("#/components/responses/")
            schema = contract.document()["components"]["responses"][reference]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Error"}


@pytest.mark.parametrize(("path", "method", "operation"), list(operations()))
def test_every_parameter_of_a_path_is_described(path: str, method: str, operation: dict[str, Any]) -> None:
    names = [parameter.get("$ref", "").rpartition("/")[2] for parameter in operation["parameters"]]
    assert ("InspectionId" in names) == ("{inspection_id}" in path)
    assert ("Item" in names) == ("{item}" in path)


def test_every_reference_leads_somewhere() -> None:
    components = contract.document()["components"]
    for node in nodes(contract.document()):
        if "$ref" in node:
            kind, _, name = node["$ref"].removeprefix("#/components/").partition("/")
            assert name in components[kind]


def test_every_schema_is_used() -> None:
    used = {node["$ref"] for node in nodes(contract.document()) if "$ref" in node}
    schemas = contract.document()["components"]["schemas"]
    assert {f"#/components/schemas/{name}" for name in schemas} <= used


def test_every_format_that_is_not_openapis_own_is_checked() -> None:
    named = {node["format"] for node in nodes(contract.document()) if isinstance(node.get("format"), str)}
    assert named - {"date-time"} <= set(formats.CHECKER.checkers)


def test_no_object_of_the_specification_takes_unknown_fields_but_the_documents_of_pipenv() -> None:
    schemas = contract.document()["components"]["schemas"]
    for name in (
        "InspectionSpecification",
        "Python",
        "File",
        "Variable",
        "Build",
        "Run",
        "Requests",
        "Hardware",
        "Gpu",
    ):
        assert schemas[name]["additionalProperties"] is False, name


def test_a_nullable_field_may_be_null_and_another_may_not() -> None:
    status = dict.fromkeys(("container", "reason", "exit_code", "started_at", "finished_at"))
    assert contract.validator("BuildStatus").is_valid(status | {"state": "waiting"})
    assert not contract.validator("BuildStatus").is_valid(status | {"state": None})


def test_answers_may_have_more_than_the_contract_says() -> None:
    assert contract.validator("Version").is_valid({"version": "1", "service_version": "1", "more": 1})


def test_a_schema_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        contract.schema("NoSuchSchema")
