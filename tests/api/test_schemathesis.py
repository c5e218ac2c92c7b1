"""Requests that nobody thought of, made from the contract: no defect shows, and every answer is one that it describes.

The service runs in this process, on the real engine with a state directory of its own and no controller: inspections
are accepted and never built. Those that are read were put there by hand, one in each kind of state.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import positive_data_acceptance

from amun.application.inspections import Inspections
from amun.auth.callers import ANYBODY
from amun.composition import create_app
from amun.engines.podman.engine import PodmanEngine
from amun.engines.podman.state.store import Store
from amun.model import timestamps
from amun.model.inspection import BuildState, ItemState
from amun.runs import report
from amun.runs.report import Outcome
from amun.settings import Settings
from amun.validation import formats, problems
from amun.validation import schema as contract
from amun.validation.rules import RULES
from tests.conftest import BASE

pytestmark = [pytest.mark.podman, pytest.mark.slow]

REPORT = Path(__file__).parent.parent / "cases" / "reports" / "conv2d-batch.json"

FORMATS: dict[str, st.SearchStrategy[str]] = {
    "image-reference": st.sampled_from([BASE, "debian:12", "quay.io/org/name@sha256:" + "0" * 64]),
    "identifier": st.from_regex(r"\A[a-z0-9]([a-z0-9-]{0,25}[a-z0-9])?\Z"),
    "native-package": st.from_regex(r"\A[a-z0-9][a-z0-9+.]{1,20}(=[0-9.]{1,8})?\Z"),
    "pep508-requirement": st.from_regex(r"\A[a-z]{1,9}(\[[a-z]{1,5}\])?(>=[0-9]{1,3}(\.[0-9]{1,3}){0,2})?\Z"),
    "environment-variable-name": st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,20}\Z"),
    "file-path": st.from_regex(r"\A(/|~/)?(srv|opt/x)(/[a-zA-Z0-9 '\"$-]{1,9}){1,3}\Z"),
    "kubernetes-cpu": st.from_regex(r"\A([1-9][0-9]{0,2}m|[1-9]|0\.[1-9])\Z"),
    "kubernetes-memory": st.from_regex(r"\A[1-9][0-9]{0,2}(Mi|Gi)\Z"),
    "batch-size": st.integers(1, 1000).map(str),
    "warmup": st.integers(0, 999).map(str),
    "metric-path": st.from_regex(r"\A[a-z@]{1,9}(\.[a-z0-9]{1,9}|\[[0-9]\]){0,3}\Z"),
    "label-key": st.from_regex(r"\A([a-z]{1,9}\.io/)?[a-zA-Z]{1,9}\Z"),
    "label-value": st.from_regex(r"\A[a-zA-Z0-9]{0,9}\Z"),
    "resource-name": st.sampled_from(["nvidia.com/gpu", "amd.com/gpu"]),
    "one-line": st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=20),
    "index-url": st.sampled_from(["https://pypi.org/simple", "http://localhost:3141/root"]),
    "exact-version": st.from_regex(r"\A==[0-9]{1,2}(\.[0-9]{1,2}){0,3}\Z"),
    "python-version": st.sampled_from(["3", "3.11", "3.11.4"]),
    "package-hash": st.from_regex(r"\Asha256:[0-9a-f]{64}\Z"),
    "git-url": st.sampled_from(["https://git.example.org/a.git", "https://example.org:8443/~a/b"]),
    "git-commit": st.from_regex(r"\A[0-9a-f]{40}\Z"),
    "subdirectory": st.sampled_from(["python", "a/b-c"]),
    "python-package": st.from_regex(r"\A[A-Za-z0-9]([A-Za-z0-9._-]{0,9}[A-Za-z0-9])?\Z"),
    "pep508-marker": st.sampled_from(["python_version < '3.8'", "sys_platform == 'linux' and extra == 'x'"]),
}
"""Strings that conform to each of the contract's own formats."""

for name, strategy in FORMATS.items():
    schemathesis.openapi.format(name, strategy)


@hypothesis.settings(max_examples=100, derandomize=True, database=None)
@hypothesis.given(st.data())
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_the_strings_made_for_a_format_conform_to_it(name: str, data: st.DataObject) -> None:
    assert formats.CHECKER.conforms(data.draw(FORMATS[name]), name)


def test_every_format_of_the_contract_has_strings_made_for_it() -> None:
    assert set(FORMATS) == set(formats.CHECKER.checkers)


class States:
    """Inspections in every kind of state, and new ones to be ended."""

    def __init__(self, settings: Settings, engine: PodmanEngine) -> None:
        self._inspections = Inspections(engine, settings, ANYBODY)
        self._store = Store(settings.state_dir)
        times = dict.fromkeys(["datetime", "start_datetime", "end_datetime"], timestamps.now())
        killed = Outcome(None, "OOMKilled", True, timestamps.now(), timestamps.now(), "node")
        self._reports = [
            {**json.loads(REPORT.read_text()), **times, "stdout_text": ""},
            report.assemble([], killed, "0" * 64, None),
        ]
        self.queued = self.new()
        self.over = [self.succeeded(), self.build_failed(), self.cancelled(), self.built()]

    def new(self, script: str | None = "true") -> str:
        document = {"base": BASE, "script": script, "batch_size": 2, "parallelism": 2, "build": {"cache": False}}
        accepted, _ = self._inspections.submit(document)
        return accepted.id

    def succeeded(self) -> str:
        inspection_id = self.built("true", close=False)
        for item, document in enumerate(self._reports):
            state = ItemState(item, "terminated", "succeeded", "Completed", None, 0, timestamps.now(), timestamps.now())
            self._store.keep_item(inspection_id, state, document)
            log = f"{timestamps.now()} stdout F stdout F line\n{timestamps.now()} stdout F stderr P part\n"
            (self._store.item_path(inspection_id, item) / "log").write_text(log)
        self._store.close(inspection_id)
        return inspection_id

    def built(self, script: str | None = None, *, close: bool = True) -> str:
        inspection_id = self.new(script)
        image = "localhost/amun/environment@sha256:" + "0" * 64
        self._end_build(inspection_id, "succeeded", "Completed", image=image)
        if close:
            self._store.close(inspection_id)
        return inspection_id

    def build_failed(self) -> str:
        inspection_id = self.new()
        self._end_build(inspection_id, "failed", "BuildFailed", message="It failed.")
        self._store.close(inspection_id)
        return inspection_id

    def cancelled(self) -> str:
        inspection_id = self.new()
        self._store.mark(inspection_id, "cancelled")
        self._store.close(inspection_id)
        return inspection_id

    def _end_build(self, inspection_id: str, outcome: Any, reason: str, **more: Any) -> None:
        build = self._store.declared(inspection_id).build
        (self._store.build_path(build) / "log").write_bytes(b"STEP 1/1: FROM x\n\xff\n")
        code = 0 if outcome == "succeeded" else 1
        now = timestamps.now()
        state = BuildState("terminated", outcome, reason, exit_code=code, started_at=now, finished_at=now, **more)
        self._store.keep_build(build, state)


class Application:
    """The service, made when the first request comes: tests are collected on machines without Podman, too."""

    def __init__(self) -> None:
        self._app: Any = None
        self.states: Any = None

    def start(self, state_dir: Path) -> None:
        settings = Settings(state_dir=state_dir, log_level="CRITICAL", allowed_hosts="testserver")
        engine = PodmanEngine(settings)
        self.states = States(settings, engine)
        self._app = create_app(settings, engine)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


application = Application()
met: dict[str, set[int]] = defaultdict(set)
"""Statuses of the answers to each operation."""
made_up: defaultdict[str, dict[str, int]] = defaultdict(dict)
"""Of each operation the ids that were made up for it, in the order of their coming."""
schema = schemathesis.openapi.from_dict(contract.document())
schema.app = application


@pytest.fixture(scope="module")
def fuzzed(base: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    application.start(tmp_path_factory.mktemp("fuzzed") / "state")


@schema.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Put the id of an inspection that is there in place of a made-up one, most of the time."""
    if not path_parameters or not isinstance(path_parameters.get("inspection_id"), str):
        return path_parameters
    states, path, method = application.states, context.operation.path, context.operation.method.upper()
    # Whoever follows what never starts never ends.
    known = states.over if path.endswith("/log") else [*states.over, states.queued]
    # Each in turn, and the same one again for the same made-up id: that a case can be repeated.
    seen = made_up[context.operation.label]
    choice = seen.setdefault(path_parameters["inspection_id"], len(seen)) % (len(known) + 1)
    if choice == len(known):
        return path_parameters
    ending = method == "DELETE" or path.endswith("/cancel")
    path_parameters["inspection_id"] = states.new() if ending else known[choice]
    item = path_parameters.get("item")
    if isinstance(item, int) and item >= 0:
        path_parameters["item"] = item % 3  # there are two
    return path_parameters


@schema.parametrize()
@hypothesis.settings(
    max_examples=30,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@pytest.mark.usefixtures("fuzzed")
def test_every_answer_is_one_that_the_contract_describes(case: schemathesis.Case) -> None:
    response = case.call_and_validate(excluded_checks=[positive_data_acceptance])
    met[case.operation.label].add(response.status_code)
    if response.status_code == 400 and "details" not in response.json():
        assert not case.meta.generation.mode.is_positive  # a parameter is wrong, and was meant to be
    elif response.status_code == 400 and contract.validator("InspectionSpecification").is_valid(case.body):
        broken = {problems.json_path(path) for rule in (*RULES, problems._values) for path, _ in rule(case.body)}
        assert {problem["path"] for problem in response.json()["details"]} <= broken


def test_the_requests_went_further_than_the_first_refusal() -> None:
    """Had every request been refused, or every inspection unknown, the test before would say nothing."""
    if not met:
        pytest.skip("no requests were made")
    for path, operations in contract.document()["paths"].items():
        for method in {"get", "post", "delete"} & set(operations):
            expected = {min(int(status) for status in operations[method]["responses"])}
            if path == "/compare":  # whose ids are all made up; tests/unit/application/test_measurements.py has others
                expected = {404}
            if "{inspection_id}" in path:
                expected.add(404)
            if "requestBody" in operations[method]:
                expected.add(400)
            assert expected <= met[f"{method.upper()} {path}"], (method, path)
