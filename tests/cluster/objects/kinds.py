"""The kinds of object that are served, and where."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of object, and how the server treats it."""

    name: str
    plural: str
    group: str = ""
    namespaced: bool = True
    status: bool = False  # it has a status subresource: its status is not written with the rest
    generation: bool = False  # changes of its spec are counted
    returns_deleted: bool = False  # what is deleted is answered with, where others get a Status
    version: str = "v1"

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As messages and quotas name it: ``jobs.batch``, ``pods``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified(self) -> str:
        """As messages about what is invalid name it: ``Job.batch``, ``Pod``."""
        return f"{self.name}.{self.group}" if self.group else self.name


BUILDS = "build.openshift.io"
IMAGES = "image.openshift.io"

ALL = (
    Kind("ConfigMap", "configmaps"),
    Kind("Event", "events"),
    Kind("LimitRange", "limitranges"),
    Kind("Namespace", "namespaces", namespaced=False, status=True),
    Kind("Node", "nodes", namespaced=False, status=True),
    Kind("PersistentVolumeClaim", "persistentvolumeclaims", status=True, returns_deleted=True),
    Kind("Pod", "pods", status=True, returns_deleted=True),
    Kind("ResourceQuota", "resourcequotas", status=True, returns_deleted=True),
    Kind("Secret", "secrets"),
    Kind("Service", "services", status=True, returns_deleted=True),
    Kind("ServiceAccount", "serviceaccounts", returns_deleted=True),
    Kind("Deployment", "deployments", "apps", status=True, generation=True),
    Kind("Job", "jobs", "batch", status=True, generation=True),
    Kind("NetworkPolicy", "networkpolicies", "networking.k8s.io", generation=True),
    Kind("Build", "builds", BUILDS, generation=True),
    Kind("BuildConfig", "buildconfigs", BUILDS, generation=True),
    Kind("Image", "images", IMAGES, namespaced=False),
    Kind("ImageStream", "imagestreams", IMAGES, status=True, generation=True),
)
BY_NAME = {kind.name: kind for kind in ALL}
BY_PATH = {(kind.group, kind.plural): kind for kind in ALL}
