"""What a cluster lets Amun do, for `amun doctor`: looked at afresh, by the account that this process has there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from amun.engines.checks import Check
from amun.engines.kubernetes import connection, rights
from amun.engines.kubernetes.api_client import BUILDING, Cluster
from amun.engines.kubernetes.rights import Right, Rights
from amun.errors import EngineUnavailable
from amun.settings import Settings

LIMITS = Check(
    "limits",
    False,
    "cpu, memory, disk, time",
    "Processes are limited by the kubelets alone (podPidsLimit): AMUN_PIDS_LIMIT and AMUN_BUILD_PIDS_LIMIT do not hold"
    " here, nor does AMUN_BUILD_LOG_LIMIT. Disk is looked at by the kubelets, every ten seconds or so.",
    "set podPidsLimit in a KubeletConfig; 4096 is OpenShift's default",
    needed=False,
)
"""What no object that Amun may make can limit."""

LOGS = Check(
    "build logs",
    False,
    "masked by Amun alone",
    "What Amun shows hides values of environment variables and passwords in URLs. A build's own log on the cluster (oc"
    " logs, log collections) has those values, and what packages print of passwords. Clusters before OpenShift 4.10 do"
    " not give builds passwords at all.",
    "let only those read logs of pods and Secrets in this namespace who may know what is in them",
    needed=False,
)
"""What Amun cannot hide from whoever may look at the cluster's own objects."""


def look(settings: Settings, reviews: Sequence[Right] = ()) -> list[Check]:
    """All that can be told, most important first; `reviews` are the rights that reviewing callers' tokens needs."""
    try:
        found = connection.find(settings)
        cluster = Cluster(found, settings.cluster_timeout)
        lacks = cluster.lacks()
    except EngineUnavailable as exc:
        return [Check("cluster", False, "none", str(exc), "set AMUN_KUBECONFIG, or look at the network")]
    return [
        Check("cluster", True, str(found.configuration.host), "It answers."),
        Check(
            "builds",
            not lacks,
            ", ".join(BUILDING),
            f"It does not serve {' and '.join(lacks)}." if lacks else "Environments are built by OpenShift's builds.",
            "use an OpenShift",
        ),
        *_of_account(cluster, reviews),
    ]


def _of_account(cluster: Cluster, reviews: Sequence[Right]) -> Iterator[Check]:
    where = f"namespace {cluster.namespace}"
    grant = "apply openshift/base/inspections there, and run as its account"
    yield _rights(cluster, "rights of the API", where, rights.API, grant, needed=True)
    more = [right for right in rights.CONTROLLER if right not in rights.API]
    yield _rights(cluster, "… the controller", where, more, "the API's account needs none of these", needed=False)
    remedy = "apply openshift/base/inspections there: until then builds run the triggers (ONBUILD) of base images"
    yield _rights(cluster, "… to look up base images", where, rights.BASES, remedy, needed=False)
    yield LIMITS
    yield LOGS
    yield _rights(cluster, "… to read nodes", "cluster", rights.NODES, "apply openshift/components/nodes", needed=False)
    if reviews:
        remedy = "apply openshift/components/reviews, or set AMUN_AUTH=keys"
        yield _rights(cluster, "… to review tokens", "cluster", reviews, remedy, needed=False)


def _rights(cluster: Cluster, name: str, where: str, asked: Sequence[Right], remedy: str, *, needed: bool) -> Check:
    try:
        missing = Rights(cluster).missing(asked)
    except EngineUnavailable as exc:
        return Check(name, False, where, str(exc), remedy, needed)
    why = f"This account may not {', '.join(map(str, missing))}." if missing else "This account has them all."
    return Check(name, not missing, where, why, remedy, needed)
