"""Label and field selectors, as query strings write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.cluster import errors

Labels = Mapping[str, str]
Test = Callable[[Labels], bool]

_SET = re.compile(r"^(?P<key>\S+)\s+(?P<operator>in|notin)\s+\((?P<values>[^()]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^=!\s]+)\s*(?P<operator>==|!=|=)\s*(?P<value>\S*)$")
_EXISTS = re.compile(r"^(?P<absent>!?)\s*(?P<key>[^=!,\s()]+)$")

FIELDS = {
    "": {"metadata.name", "metadata.namespace"},
    "Build": {"status", "podName"},
    "Event": {
        "involvedObject.apiVersion",
        "involvedObject.kind",
        "involvedObject.name",
        "involvedObject.namespace",
        "involvedObject.resourceVersion",
        "involvedObject.uid",
        "reason",
        "reportingComponent",
        "source",
        "type",
    },
    "Job": {"status.successful"},
    "Node": {"spec.unschedulable"},
    "Pod": {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "status.phase"},
    "Secret": {"type"},
}


def labels(selector: str | None) -> Test:
    """A test of labels; raises `ApiError` 400 for a selector that is none."""
    tests = [_requirement(part.strip()) for part in _split(selector or "") if part.strip()]
    return lambda found: all(test(found) for test in tests)


def wanted(selector: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Labels that what is selected must have, each with the values that it may have, of a selector that is one."""
    for part in filter(None, map(str.strip, _split(selector))):
        if (match := _SET.match(part)) and match["operator"] == "in":
            yield match["key"], _values(match)
        elif not match and (match := _EQUAL.match(part)) and match["operator"] != "!=":
            yield match["key"], frozenset([match["value"]])


def _split(selector: str) -> list[str]:
    """At commas that are not within parentheses."""
    return re.split(r",(?![^()]*\))", selector)


def _requirement(text: str) -> Test:
    if match := _SET.match(text):
        return _set(match["key"], match["operator"], _values(match))
    if match := _EXISTS.match(text):
        key, absent = match["key"], bool(match["absent"])
        return lambda found: (key in found) != absent
    if match := _EQUAL.match(text):
        operator = "notin" if match["operator"] == "!=" else "in"
        return _set(match["key"], operator, frozenset([match["value"]]))
    raise errors.bad_request(f"unable to parse requirement: found '{text}', expected: identifier")


def _values(match: re.Match[str]) -> frozenset[str]:
    return frozenset(value.strip() for value in match["values"].split(","))


def _set(key: str, operator: str, values: frozenset[str]) -> Test:
    if operator == "in":
        return lambda found: found.get(key) in values
    return lambda found: found.get(key) not in values


def fields(selector: str | None, kind: str) -> Callable[[Mapping[str, Any]], bool]:
    """A test of an object; raises `ApiError` 400 for a field that cannot be selected by."""
    wanted = []
    for part in filter(None, (selector or "").split(",")):
        match = _EQUAL.match(part.strip())
        if match is None:
            raise errors.bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        if match["key"] not in FIELDS[""] | FIELDS.get(kind, set()):
            message = f'Unable to find "{kind}" that match label selector "", field selector "{selector}"'
            raise errors.bad_request(f"{message}: field label not supported: {match['key']}")
        wanted.append((match["key"], match["value"], match["operator"] != "!="))
    return lambda document: all((_field(document, path) == value) == equal for path, value, equal in wanted)


_ELSEWHERE = {  # selectable by another name than the field's
    "status": "status.phase",
    "podName": "metadata.annotations/openshift.io/build.pod-name",
    "source": "source.component",
    "status.successful": "status.succeeded",
}


def _field(document: Mapping[str, Any], path: str) -> str:
    if path in ("status", "podName") and document.get("kind") != "Build":
        return ""
    value: Any = document
    path, _, last = _ELSEWHERE.get(path, path).partition("/")
    for name in [*path.split("."), *filter(None, [last])]:
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
