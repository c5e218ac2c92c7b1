"""What OpenShift's admission adds to pods: the security context constraint that it chose, and what that demands."""

from __future__ import annotations

from typing import Any

from tests.cluster.rules.podrules import containers

Document = dict[str, Any]

UID = 1000140000
LEVEL = "s0:c12,c4"
PULL_SECRET = "default-dockercfg-xt75b"


def restrict(pod: Document) -> Document:
    """Apply restricted-v2: an arbitrary user, no capabilities, no way to get more."""
    annotations = pod["metadata"].setdefault("annotations", {})
    annotations["openshift.io/scc"] = "restricted-v2"
    annotations["seccomp.security.alpha.kubernetes.io/pod"] = "runtime/default"
    spec = pod["spec"]
    own = spec.get("securityContext") or {}
    spec["securityContext"] = {
        "seLinuxOptions": {"level": LEVEL},
        "fsGroup": UID,
        "seccompProfile": {"type": "RuntimeDefault"},
        **own,
    }
    for container in containers(spec):
        given = container.get("securityContext") or {}
        demanded = {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        container["securityContext"] = {**demanded, **({} if "runAsUser" in own else {"runAsUser": UID}), **given}
    spec.setdefault("imagePullSecrets", [{"name": PULL_SECRET}])
    return pod
