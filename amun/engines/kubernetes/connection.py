"""Where the cluster is, who Amun is there, and the namespace of all that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kubernetes import client as kubernetes
from kubernetes import config

from amun.errors import EngineUnavailable
from amun.settings import Settings

CONNECTIONS = 64
"""Connections that are kept: followed logs and watches hold one each."""


@dataclass(frozen=True)
class Place:
    """Where calls go: a server, what to be known as there, and the namespace of all that Amun makes."""

    configuration: kubernetes.Configuration
    namespace: str


def find(settings: Settings) -> Place:
    """Find the cluster: as the settings say, else by the service account of this pod, else by the kubeconfig.

    Raises `EngineUnavailable` where none of them leads to one.
    """
    configuration = kubernetes.Configuration()
    try:
        namespace = _load(settings, configuration)
    except (config.ConfigException, OSError, ValueError) as exc:
        raise EngineUnavailable(f"There is no way to a cluster: {exc}") from exc
    if settings.cluster_ca:
        configuration.ssl_ca_cert = settings.cluster_ca
    configuration.verify_ssl = settings.cluster_verify_tls
    configuration.connection_pool_maxsize = CONNECTIONS
    configuration.retries = False  # urllib3's; ours know which answers are worth it
    return Place(configuration, settings.namespace or namespace or "default")


def _load(settings: Settings, configuration: kubernetes.Configuration) -> str | None:
    """Fill in a configuration; returns the namespace that goes with it."""
    if not settings.kubeconfig and not settings.kube_context and in_cluster():
        config.load_incluster_config(client_configuration=configuration)
        return _own_namespace()
    file, context = settings.kubeconfig or None, settings.kube_context or None
    config.load_kube_config(file, context=context, client_configuration=configuration)
    contexts, active = config.list_kube_config_contexts(file)
    wanted = context or active["name"]
    namespaces = [one["context"].get("namespace") for one in contexts if one["name"] == wanted]
    return next(iter(namespaces), None)


def in_cluster() -> bool:
    """Whether this process runs in a pod with a service account."""
    loader = config.incluster_config
    return bool(loader.os.environ.get(loader.SERVICE_HOST_ENV_NAME)) and loader.os.path.isfile(
        loader.SERVICE_TOKEN_FILENAME
    )


def _own_namespace() -> str | None:
    file = Path(config.incluster_config.SERVICE_TOKEN_FILENAME).with_name("namespace")
    return file.read_text().strip() if file.is_file() else None
