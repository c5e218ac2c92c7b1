"""Makes `schemas.json.gz` and `recorded/` of what was taken from a real cluster.

    python -m tests.cluster.reduce DIRECTORY

`DIRECTORY` has the OpenAPI v3 documents of the servers in ``schemas/`` and what they answered in ``recorded/``.
Of the schemas stays what says which fields there are, and of the kinds that are in use; of the objects all but what
only `kubectl apply` and server-side apply wrote for themselves.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
REFERENCE = "#/components/schemas/"
CORE, META = "io.k8s.api.core.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1."
LISTED = {
    CORE: "ConfigMap Pod Event Node Namespace Secret ServiceAccount Service ResourceQuota LimitRange "
    "PersistentVolumeClaim",
    "io.k8s.api.apps.v1.": "Deployment",
    "io.k8s.api.batch.v1.": "Job",
    "com.github.openshift.api.build.v1.": "BuildConfig Build",
    "com.github.openshift.api.image.v1.": "Image ImageStream ImageStreamTag",
}
SINGLE = {
    "com.github.openshift.api.build.v1.": "BuildRequest",
    "com.github.openshift.api.image.v1.": "ImageStreamImport",
    "io.k8s.api.authorization.v1.": "SelfSubjectAccessReview SubjectAccessReview",
    META: "Status DeleteOptions",
}
KEPT = ("type", "format", "oneOf", "enum", "x-kubernetes-patch-merge-key", "x-kubernetes-patch-strategy")
LEFT_OUT = ("watch-pods.jsonl",)
OWN_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"


def main(source: Path) -> None:
    schemas = _reduced(source / "schemas")
    packed = gzip.compress(json.dumps(schemas, separators=(",", ":"), sort_keys=True).encode(), mtime=0)
    (HERE / "rules" / "schemas.json.gz").write_bytes(packed)
    target = HERE / "recorded"
    target.mkdir(exist_ok=True)
    for file in sorted((source / "recorded").iterdir()):
        if file.name not in LEFT_OUT:
            (target / file.name).write_text(_cleaned(file))


def _reduced(directory: Path) -> dict[str, Any]:
    """The schemas of the kinds in use and of what they refer to, by name; ``kinds`` says whose is whose."""
    found: dict[str, Any] = {}
    for file in sorted(directory.glob("*.json")):
        found.update(json.loads(file.read_text())["components"]["schemas"])
    kinds = {}
    for prefix, names in [*LISTED.items(), *SINGLE.items()]:
        group = (
            found[prefix + names.split()[0]]["x-kubernetes-group-version-kind"][-1]["group"] if prefix != META else ""
        )
        for name in names.split():
            kinds[f"{group}/v1/{name}".lstrip("/")] = prefix + name
            if prefix in LISTED:
                kinds[f"{group}/v1/{name}List".lstrip("/")] = f"{prefix}{name}List"
    reduced: dict[str, Any] = {}
    wanted = [name for name in kinds.values() if name in found]
    while wanted:
        name = wanted.pop()
        if name not in reduced:
            reduced[name] = _schema(found[name])
            wanted += _references(reduced[name])
    return {"kinds": {kind: name for kind, name in kinds.items() if name in found}, "schemas": reduced}


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema or "allOf" in schema:
        reference = schema.get("$ref") or schema["allOf"][0]["$ref"]
        return {"ref": reference.removeprefix(REFERENCE), **{key: schema[key] for key in KEPT if key in schema}}
    kept = {key: schema[key] for key in KEPT if key in schema}
    if "properties" in schema:
        kept["properties"] = {key: _schema(value) for key, value in schema["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            kept[key] = _schema(schema[key])
    return kept


def _references(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        nested = [name for key, value in schema.items() if key != "ref" for name in _references(value)]
        return nested + ([schema["ref"]] if isinstance(schema.get("ref"), str) else [])
    return []


def _cleaned(file: Path) -> str:
    text = file.read_text()
    if file.suffix == ".json":
        return json.dumps(_without(json.loads(text)), indent=1) + "\n"
    if file.suffix == ".jsonl":
        events = map(json.loads, text.splitlines())
        return "".join(json.dumps(_without(event)) + "\n" for event in events if event["type"] != "ERROR")
    return text


def _without(value: Any) -> Any:
    """The same without what was written for `apply`."""
    if isinstance(value, dict):
        cleaned = {k: _without(v) for k, v in value.items() if k not in ("managedFields", OWN_ANNOTATION)}
        if cleaned.get("annotations") == {} and value.get("annotations"):
            del cleaned["annotations"]
        return cleaned
    return [_without(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main(Path(sys.argv[1]))
