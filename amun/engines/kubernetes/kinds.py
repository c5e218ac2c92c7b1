"""The kinds of objects that Amun knows, and where the API server has them: no discovery is needed."""

from __future__ import annotations

from openshift.dynamic import Resource


def _resource(group: str, version: str, kind: str, plural: str, namespaced: bool = True) -> Resource:
    prefix = "apis" if group else "api"
    return Resource(prefix=prefix, group=group, api_version=version, kind=kind, name=plural, namespaced=namespaced)


CONFIG_MAPS = _resource("", "v1", "ConfigMap", "configmaps")
SECRETS = _resource("", "v1", "Secret", "secrets")
PODS = _resource("", "v1", "Pod", "pods")
EVENTS = _resource("", "v1", "Event", "events")
NODES = _resource("", "v1", "Node", "nodes", namespaced=False)
JOBS = _resource("batch", "v1", "Job", "jobs")
BUILD_CONFIGS = _resource("build.openshift.io", "v1", "BuildConfig", "buildconfigs")
BUILDS = _resource("build.openshift.io", "v1", "Build", "builds")
IMAGE_STREAMS = _resource("image.openshift.io", "v1", "ImageStream", "imagestreams")
IMAGE_STREAM_TAGS = _resource("image.openshift.io", "v1", "ImageStreamTag", "imagestreamtags")
IMAGE_STREAM_IMPORTS = _resource("image.openshift.io", "v1", "ImageStreamImport", "imagestreamimports")
ACCESS_REVIEWS = _resource("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", False)
SUBJECT_REVIEWS = _resource("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", False)
TOKEN_REVIEWS = _resource("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", False)
