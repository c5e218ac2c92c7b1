"""Inspections live and die with the rights that the manifests grant, each part by its own account.

The engine is on an API server that refuses what no rule allows; so what is refused is a right that is missing, and
what is never asked for is one too many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from amun import composition
from amun.engines.base import Engine
from amun.engines.kubernetes import kinds, names, retention
from amun.engines.kubernetes.api_client import AlreadyThere, Cluster, RefusedForGood, connect
from amun.errors import EngineUnavailable
from tests.cluster.serving import builds
from tests.contract.sites import Desk, OpenShiftSite
from tests.support import deployment_manifests, standin_base
from tests.support.deployment_manifests import granted_by

pytestmark = pytest.mark.slow

LONG = "#!/bin/sh\nwhile true; do echo going; sleep 0.1; done\n"
ACCOUNTS = ("amun-api", "amun-controller")


class GrantedSite(OpenShiftSite):
    """The API by the one account, the controller by the other."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory = directory
        archive = directory / "archive"
        archive.mkdir()
        self.roles = deployment_manifests.of(deployment_manifests.base(), "Role")
        for name in ACCOUNTS:
            self.server.rights.add(name, self.roles[name]["rules"], self.server.store.namespace)
        self.settings = self.settings.model_copy(update={"archive": str(archive), **self.as_("amun-api")})

    def as_(self, account: str) -> dict[str, str]:
        """The setting by which one is that account."""
        return {"kubeconfig": str(self.server.kubeconfig(self.directory / account, account))}

    def cluster(self) -> Cluster:
        """For what an administrator does."""
        settings = self.settings.model_copy(
            update={"kubeconfig": str(self.server.kubeconfig(self.directory / "admin"))}
        )
        return connect(settings)

    def used(self, account: str) -> set[tuple[str, str]]:
        return {(one.verb, one.resource) for one in self.server.requests if one.user == account and one.status != 403}

    def refused(self, account: str) -> set[tuple[str, str]]:
        """What was refused for want of a right: not by a quota, and not nodes, which are optional."""
        found = (one for one in self.server.requests if one.user == account and one.status == 403)
        granted = {(right.verb, right.resource) for right in granted_by(self.roles[account])}
        return {(one.verb, one.resource) for one in found} - granted - {("list", "nodes")}


class GrantedDesk(Desk):
    site: GrantedSite

    def controlling(self) -> Engine:
        """The engine as a controller has it."""
        return composition.load_engine(self.site.settings.model_copy(update=self.site.as_("amun-controller")))


# -- scenes -----------------------------------------------------------------------------------------------------------


def goes_from_its_document_to_its_report(desk: GrantedDesk) -> None:
    desk.engine.check()
    made = desk.submit(script="#!/bin/sh\necho hello\n", batch_size=2)
    desk.end(made, "succeeded")
    assert desk.output(made, 1) == "hello\n"
    assert desk.inspections.detail(made)["specification"]["script"] == "#!/bin/sh\necho hello\n"
    assert desk.report(made)["exit_code"] == 0
    assert "installing" in desk.build_log(made)
    listed = list(desk.engine.observations(desk.engine.inspections()))
    assert made in [one.inspection.id for one in listed]


def has_a_base_of_an_image_stream_and_one_of_a_registry(desk: GrantedDesk) -> None:
    site = desk.site
    site.server.store.create("ImageStream", {"metadata": {"name": "base"}, "spec": {}})
    repository = builds.push(site.server.store, "base", "1", "sha256:" + "1" * 64).partition("@")[0]
    for base in (f"{repository}:1", site.base):
        document = {"base": base, "packages": [standin_base.quick()]}
        assert desk.inspections.dry_run(document)["feasible"]
        made, _ = desk.inspections.submit(document)
        desk.wait(lambda: desk.engine.observe(made.id).build.outcome is not None)  # noqa: B023 - called at once


def does_not_build(desk: GrantedDesk) -> None:
    desk.end(desk.submit(standin_base.missing(), script="true"), "build_failed")


def is_cancelled_while_it_runs(desk: GrantedDesk) -> None:
    made = desk.submit(script=LONG)
    desk.printed(made, "going")
    assert [one.inspection.id for one in desk.engine.observations([made])] == [made]
    assert desk.controlling().observe(made).items[0].state == "running"  # asked by one that does not watch yet
    desk.inspections.cancel(made)
    desk.end(made, "cancelled")


def is_cancelled_while_it_builds(desk: GrantedDesk) -> None:
    made = desk.submit(standin_base.slow(30), script="true")
    desk.wait(lambda: desk.engine.observe(made).build.state == "running")
    desk.inspections.cancel(made)
    desk.end(made, "cancelled")


def allows_its_build_more_than_another(desk: GrantedDesk) -> None:
    package = standin_base.slow(4)
    small = desk.submit(package, build={"timeout": 2})
    large = desk.submit(package, build={"timeout": 600})
    desk.end(small, "build_failed")
    desk.end(large, "succeeded")


def never_finds_a_node(desk: GrantedDesk) -> None:
    made = desk.submit(script="true", run={"requests": {"cpu": "100"}})
    desk.wait(lambda: desk.engine.observe(made).items[0].reason == "Unschedulable")
    desk.inspections.cancel(made)
    desk.end(made, "cancelled")


def is_followed_before_it_begins(desk: GrantedDesk) -> None:
    desk.site.server.faults.delay(0.5, verb="create", resource="buildconfigs", times=1)
    made = desk.submit(standin_base.quick(), script="#!/bin/sh\necho begun\n")
    assert b"installing" in b"".join(desk.inspections.build_log(made, follow=True))
    assert b"".join(desk.inspections.item_output(made, 0, follow=True)) == b"begun\n"
    desk.site.server.faults.delay(0.5, verb="create", resource="jobs", times=1)
    made = desk.submit(script="#!/bin/sh\necho begun\n")
    assert b"".join(desk.inspections.item_output(made, 0, follow=True)) == b"begun\n"


def is_past_its_time(desk: GrantedDesk) -> None:
    """Retention looks when a controller begins, and then seldom."""
    made = desk.submit(script="true")
    desk.end(made, "succeeded")
    long_ago = {"metadata": {"annotations": {names.FINISHED: "2020-01-01T00:00:00Z"}}}
    desk.site.cluster().patch(kinds.CONFIG_MAPS, made, long_ago)
    with desk.controlled():
        desk.wait(lambda: made not in desk.engine.inspections())


def exceeds_a_quota(desk: GrantedDesk) -> None:
    """Its Job has no pods, and events alone say why."""
    store = desk.site.server.store
    quota = {"metadata": {"name": "pods"}, "spec": {"hard": {"pods": "0"}}}
    store.create("ResourceQuota", {"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    made = desk.submit(script="true")
    desk.wait(lambda: "quota" in (desk.engine.observe(made).items[0].message or ""))
    store.delete("ResourceQuota", "pods")
    desk.end(made, "succeeded")


def has_lost_its_image(desk: GrantedDesk) -> None:
    store = desk.site.server.store
    for stream in store.list("ImageStream"):
        store.delete("ImageStream", stream["metadata"]["name"])
    desk.end(desk.submit(script="true"), "succeeded")


def was_never_whole(desk: GrantedDesk) -> None:
    """The API has made the Secret of a record, and no more."""
    desk.site.server.faults.refuse(500, verb="create", resource="configmaps", times=None)
    with pytest.raises(EngineUnavailable):
        desk.submit(script="true")
    desk.site.server.faults.clear()
    with pytest.MonkeyPatch.context() as patch, desk.controlled():
        patch.setattr(retention, "LEFT_AFTER", -1.0)
        desk.wait(lambda: not any(map(_unowned, desk.site.server.store.list("Secret", "app=amun"))))


def _unowned(secret: dict[str, Any]) -> bool:
    return not secret["metadata"].get("ownerReferences")


SCENES: list[Callable[[GrantedDesk], None]] = [
    goes_from_its_document_to_its_report,
    has_a_base_of_an_image_stream_and_one_of_a_registry,
    does_not_build,
    is_cancelled_while_it_runs,
    is_followed_before_it_begins,
    is_cancelled_while_it_builds,
    allows_its_build_more_than_another,
    never_finds_a_node,
    exceeds_a_quota,
    has_lost_its_image,
    is_past_its_time,
    was_never_whole,
]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrantedSite]:
    """A site where all of that has happened, and all was deleted."""
    site = GrantedSite(tmp_path_factory.mktemp("granted"))
    desk = GrantedDesk(site)
    try:
        with desk.controlled():
            for scene in SCENES:
                scene(desk)
            desk.clear()
            desk.settle()
        yield site
    finally:
        site.close()


@pytest.mark.parametrize("name", ACCOUNTS)
def test_no_right_is_missing(lived: GrantedSite, name: str) -> None:
    assert lived.refused(name) == set()


@pytest.mark.parametrize("name", ACCOUNTS)
def test_no_right_is_too_many(lived: GrantedSite, name: str) -> None:
    role = deployment_manifests.of(deployment_manifests.base(), "Role")[name]
    granted = {(right.verb, right.resource) for right in granted_by(role)}
    assert granted - lived.used(name) == set()


def test_the_api_changes_no_object_that_configures_the_service(lived: GrantedSite) -> None:
    settings = {"metadata": {"name": "amun-settings"}, "data": {"AMUN_AUTH": "dG9rZW4="}}
    lived.server.store.create("Secret", settings)
    api = connect(lived.settings)
    attempts: list[Callable[[], object]] = [
        lambda: api.patch(kinds.SECRETS, "amun-settings", {"data": {"AMUN_AUTH": "bm9uZQ=="}}),
        lambda: api.remove(kinds.SECRETS, "amun-settings"),
        lambda: api.list(kinds.SECRETS),
    ]
    for attempt in attempts:
        with pytest.raises(RefusedForGood, match="secrets"):
            attempt()
    with pytest.raises(AlreadyThere):
        api.create(kinds.SECRETS, settings)
