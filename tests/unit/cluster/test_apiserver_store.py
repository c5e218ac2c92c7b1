"""What the API server of the tests does to what it keeps: selectors, patches, versions, what goes with what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cluster import examples
from tests.cluster.errors import ApiError
from tests.cluster.objects.store import Store

Document = dict[str, Any]

CONTAINER = {"name": "run", "image": "i@sha256:0", "command": ["true"]}


@pytest.fixture
def store() -> Store:
    return Store()


def config_map(name: str, *owners: Document, **more: Any) -> Document:
    return {"metadata": {"name": name, "ownerReferences": [reference(owner) for owner in owners]}, **more}


def reference(owner: Document) -> Document:
    metadata = owner["metadata"]
    return {"kind": owner["kind"], "apiVersion": owner["apiVersion"], "name": metadata["name"], "uid": metadata["uid"]}


def job(name: str = "job", **spec: Any) -> Document:
    template = {"spec": {"restartPolicy": "Never", "containers": [CONTAINER]}}
    return {"metadata": {"name": name}, "spec": {"template": template, **spec}}


def pod(name: str = "pod", node: str | None = "node", **metadata: Any) -> Document:
    return {"metadata": {"name": name, **metadata}, "spec": {"containers": [CONTAINER], "nodeName": node}}


def refusal(exc: pytest.ExceptionInfo[ApiError]) -> tuple[int, str]:
    return exc.value.code, str(exc.value)


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("", ["a", "b", "c"]),
        ("tier", ["a", "b"]),
        ("!tier", ["c"]),
        ("tier=x", ["a"]),
        ("tier==x", ["a"]),
        ("tier!=x", ["b", "c"]),
        ("tier in (x, y)", ["a", "b"]),
        ("tier notin (x)", ["b", "c"]),
        ("app=amun,tier in (x,y),tier notin (x)", ["b"]),
        ("amun/kind=context", ["c"]),
        ("app=", []),
    ],
)
def test_labels_select(store: Store, selector: str, found: list[str]) -> None:
    for name, labels in {"a": {"tier": "x"}, "b": {"tier": "y"}, "c": {"amun/kind": "context"}}.items():
        store.create("ConfigMap", {"metadata": {"name": name, "labels": {"app": "amun", **labels}}})
    assert [document["metadata"]["name"] for document in store.list("ConfigMap", selector)] == found


def test_a_selector_that_is_none_is_refused(store: Store) -> None:
    for selector in ("a in x", "=", "a b"):
        with pytest.raises(ApiError) as exc:
            store.list("ConfigMap", selector)
        assert exc.value.code == 400


def test_fields_select(store: Store) -> None:
    examples.restore(store, examples.read("events"))
    of_pod = "involvedObject.kind=Pod,involvedObject.name=environment-abc-1-build"
    reasons = {event["reason"] for event in store.list("Event", fields=f"{of_pod},reason!=Pulled")}
    assert {"Scheduled", "FailedMount"} <= reasons
    assert "Pulled" not in reasons
    examples.restore(store, examples.read("pods-unschedulable"))
    examples.restore(store, examples.read("pods-ok"))
    assert len(store.list("Pod", fields="status.phase=Succeeded")) == 1
    assert len(store.list("Pod", fields="spec.nodeName=")) == 1
    with pytest.raises(ApiError, match=r"field label not supported: spec\.image"):
        store.list("Pod", fields="spec.image=x")


def test_who_writes_what_is_not_the_last_is_refused(store: Store) -> None:
    first = store.create("ConfigMap", config_map("a"))
    second = store.patch("ConfigMap", "a", {"data": {"k": "v"}})
    with pytest.raises(ApiError) as exc:
        store.replace("ConfigMap", "a", first)
    why = "the object has been modified; please apply your changes to the latest version and try again"
    assert refusal(exc) == (409, f'Operation cannot be fulfilled on configmaps "a": {why}')
    version = first["metadata"]["resourceVersion"]
    with pytest.raises(ApiError, match="has been modified"):
        store.patch("ConfigMap", "a", {"metadata": {"resourceVersion": version}, "data": {"k": "w"}})
    assert store.replace("ConfigMap", "a", {**second, "data": {"k": "w"}})["data"] == {"k": "w"}
    assert store.replace("ConfigMap", "a", config_map("a"))["metadata"]["uid"] == first["metadata"]["uid"]


def test_status_is_written_apart(store: Store) -> None:
    store.create("Job", job())
    store.patch("Job", "job", {"status": {"active": 1}, "spec": {"suspend": True}})
    assert (store.get("Job", "job")["status"], store.get("Job", "job")["spec"]["suspend"]) == ({}, True)
    store.patch("Job", "job", {"status": {"active": 1}, "spec": {"suspend": False}}, subresource="status")
    assert (store.get("Job", "job")["status"], store.get("Job", "job")["spec"]["suspend"]) == ({"active": 1}, True)
    assert store.get("Job", "job")["metadata"]["generation"] == 2


def test_patches_of_three_forms(store: Store) -> None:
    owner, other = store.create("ConfigMap", config_map("owner")), store.create("ConfigMap", config_map("other"))
    store.create("Pod", pod(finalizers=["a/b"], ownerReferences=[reference(owner)]))
    more = {"metadata": {"ownerReferences": [reference(other)], "finalizers": ["c/d"]}}
    patched = store.patch("Pod", "pod", more, form="strategic")["metadata"]
    assert [ref["name"] for ref in patched["ownerReferences"]] == ["owner", "other"]
    assert patched["finalizers"] == ["a/b", "c/d"]
    less = {"metadata": {"ownerReferences": [{"uid": owner["metadata"]["uid"], "$patch": "delete"}]}}
    less["metadata"]["$deleteFromPrimitiveList/finalizers"] = ["a/b"]
    patched = store.patch("Pod", "pod", less, form="strategic")["metadata"]
    assert [ref["name"] for ref in patched["ownerReferences"]] == ["other"]
    assert patched["finalizers"] == ["c/d"]
    merged = store.patch("Pod", "pod", more, form="merge")["metadata"]
    assert merged["finalizers"] == ["c/d"]
    steps = [
        {"op": "test", "path": "/metadata/finalizers/0", "value": "c/d"},
        {"op": "remove", "path": "/metadata/finalizers/0"},
        {"op": "add", "path": "/metadata/labels", "value": {"x/y": "z"}},
        {"op": "replace", "path": "/metadata/labels/x~1y", "value": "w"},
    ]
    assert store.patch("Pod", "pod", steps, form="json")["metadata"]["labels"] == {"x/y": "w"}
    with pytest.raises(ApiError) as exc:
        store.patch("Pod", "pod", steps, form="json")
    assert exc.value.code == 422


def test_what_is_owned_goes_with_its_last_owner(store: Store) -> None:
    owner, other = store.create("ConfigMap", config_map("owner")), store.create("ConfigMap", config_map("other"))
    owned = store.create("ConfigMap", config_map("owned", owner))
    store.create("ConfigMap", config_map("owned-by-owned", owned))
    store.create("ConfigMap", config_map("shared", owner, other))
    store.delete("ConfigMap", "owner")
    assert [document["metadata"]["name"] for document in store.list("ConfigMap")] == ["other", "shared"]
    assert [ref["name"] for ref in store.get("ConfigMap", "shared")["metadata"]["ownerReferences"]] == ["other"]
    store.create("ConfigMap", config_map("late", owner))
    assert store.find("ConfigMap", "late") is None


def test_orphans_stay(store: Store) -> None:
    owner = store.create("Job", job())
    store.create("Pod", pod(ownerReferences=[reference(owner)]))
    store.delete("Job", "job")  # a job's are orphaned unless one says otherwise
    assert "ownerReferences" not in store.get("Pod", "pod")["metadata"]
    again = store.create("Job", job())
    store.create("Pod", pod("second", node=None, ownerReferences=[reference(again)]))
    store.delete("Job", "job", policy="Foreground")
    assert [document["metadata"]["name"] for document in store.list("Pod")] == ["pod"]


def test_a_pod_on_a_node_ends_as_the_kubelet_says(store: Store) -> None:
    owner = store.create("Job", job())
    tracked = {"finalizers": ["batch.kubernetes.io/job-tracking"], "ownerReferences": [reference(owner)]}
    store.create("Pod", pod(**tracked))
    store.delete("Job", "job", policy="Background")
    going = store.get("Pod", "pod")["metadata"]
    assert going["deletionGracePeriodSeconds"] == 30
    events = store.subscribe("Pod", existing=False)
    store.patch("Pod", "pod", {"metadata": {"finalizers": None}})
    assert store.delete("Pod", "pod", grace=0)[1]
    told = [events.get(timeout=0) for _ in range(3)]
    assert [(event.type, event.object["metadata"]["deletionGracePeriodSeconds"]) for event in told if event] == [
        ("MODIFIED", 30),
        ("MODIFIED", 0),
        ("DELETED", 0),
    ]


def test_a_pod_that_is_nowhere_or_over_goes_at_once(store: Store) -> None:
    store.create("Pod", pod(node=None))
    assert store.delete("Pod", "pod")[1]
    store.create("Pod", pod())
    store.patch("Pod", "pod", {"status": {"phase": "Failed"}}, subresource="status")
    assert store.delete("Pod", "pod")[1]


def test_preconditions_of_deleting(store: Store) -> None:
    store.create("ConfigMap", config_map("a"))
    with pytest.raises(ApiError, match="Precondition failed: UID in precondition: x"):
        store.delete("ConfigMap", "a", preconditions={"uid": "x"})


VALUES = st.sampled_from(["", "x", "y"])
TIERS = st.none() | VALUES
REQUIREMENTS = st.sampled_from(
    ["tier=", "tier=x", "tier==y", "tier!=x", "tier in (x, y)", "tier in ()", "!tier", "tier"]
)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), TIERS)), st.lists(REQUIREMENTS, max_size=2).map(",".join)
)
def test_what_a_selector_finds_is_what_it_matches_whatever_happened(
    changes: list[tuple[str, bool, str | None]], selector: str
) -> None:
    store = Store()
    for name, stays, tier in changes:
        labels = {} if tier is None else {"tier": tier}
        if store.find("ConfigMap", name) is None:
            store.create("ConfigMap", config_map(name))
        store.update("ConfigMap", name, lambda document, labels=labels: document["metadata"].update(labels=labels))
        if not stays:
            store.delete("ConfigMap", name)
    matches = store.matcher("ConfigMap", selector)
    assert store.entries("ConfigMap", selector) == [one for one in store.ledger.all("ConfigMap") if matches(one)]
