"""Environments on a cluster: their contexts, and the Builds that make images of them.

Each generation of an environment has objects of one name: the ConfigMap that says that it is there, which the API makes
when it accepts the first inspection that needs it, and which owns the rest; the Secrets of its build context, made just
before; the ImageStream and the BuildConfig, which the controller makes when the build's turn has come. The first
generation serves until its build has failed, or somebody asks for a fresh one; then comes the next. Of many who want to
make the same one the first succeeds, the others join. Contexts of an earlier version are in ConfigMaps, the first of
which owns the rest.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from cachetools import TTLCache

from amun.engines import pod_manifests
from amun.engines.kubernetes import kinds, logs, names, records
from amun.engines.kubernetes.api_client import SEEN_WITHIN, AlreadyThere, Cluster, Refused
from amun.engines.kubernetes.nodes import Placement
from amun.engines.kubernetes.records import LARGEST, Record
from amun.environments import dockerfile
from amun.environments.allowance import Allowance, largest
from amun.environments.masking import Mask
from amun.errors import RequestTooLarge
from amun.model import timestamps
from amun.model.inspection import Inspection
from amun.model.login import Login
from amun.telemetry.logs import logger

from . import build_states
from .image_streams import Images
from .logins import Logins

FAILED = "failed"

DOCKERFILE = "dockerfile.amun"
"""The key of the Dockerfile as it was declared; what is called ``Dockerfile`` is built."""

JUST_NOW = 2.0
"""Seconds within which a watch shows what was made."""

LOG_KEPT = 4 * 1024**2
"""Bytes that are kept of the log of a Build that is stopped, the last ones; less where they do not pack well."""

MOST_GENERATIONS = 1000

_COUNTED = re.compile(r"the LastVersion\((?P<number>\d+)\) on build config")
"""The words in which the API server says how many Builds it has counted (pkg/build/apiserver/buildgenerator)."""


class Claim(NamedTuple):
    """The environment that an inspection is to use, whether its image was there, or on its way, already, and whether
    it was declared for this inspection."""

    name: str
    uid: str
    cached: bool
    declared: bool = False


class Environments:
    """Makes environments' objects; keeps nothing that it could not find again."""

    def __init__(self, cluster: Cluster, placement: Placement, images: Images, logins: Logins, disk: int) -> None:
        """`disk` is what a build may write, in bytes."""
        self._cluster = cluster
        self._disk = disk
        self._images = images
        self._logins = logins
        self._placement = placement
        self._asked: TTLCache[str, bool] = TTLCache(math.inf, SEEN_WITHIN)
        self._just_asked: TTLCache[str, bool] = TTLCache(math.inf, JUST_NOW)
        self._counted: TTLCache[str, int] = TTLCache(math.inf, SEEN_WITHIN)

    # -- asked by the API ---------------------------------------------------------------------------------------

    def exists(self, digest: str) -> bool:
        """Whether an environment of this digest is built or being built."""
        current = self._current(self._generations(digest))
        return current is not None and self._has_image(current["metadata"]["name"])

    def _has_image(self, name: str) -> bool:
        """Whether the image of an environment is there, as far as can be told, or on its way."""
        last = build_states.newest(self._cluster.list(kinds.BUILDS, f"{names.BUILD_CONFIG}={name}"))
        image = None if last is None else build_states.image(last)
        return image is None or self.keeps(name, image)

    def keeps(self, name: str, image: str) -> bool:
        """Whether the ImageStream of an environment still has an image, which is named by its digest."""
        try:
            stream = self._cluster.find(kinds.IMAGE_STREAMS, name)
        except Refused:
            return True  # it cannot be told; the runs will say
        digest = image.partition("@")[2]
        tags = ((stream or {}).get("status") or {}).get("tags") or ()
        return any(item.get("image") == digest for tag in tags for item in tag.get("items") or ())

    def claim(self, inspection: Inspection, context: Mapping[str, bytes], asked_with: Sequence[Login] = ()) -> Claim:
        """Find the environment of an inspection, or declare it. Raises `RequestTooLarge`.

        Where the image is gone whose build was given passwords, it can only be built again as another one.
        """
        there = self._generations(inspection.environment)
        current = self._current(there) if inspection.specification.build.cache else None
        if current is not None:
            name = current["metadata"]["name"]
            cached = self._has_image(name)
            if cached or not asked_with:
                return Claim(name, current["metadata"]["uid"], cached)
        newest = max((names.generation(one["metadata"]["name"]) for one in there), default=0)
        for generation in range(newest + 1, newest + MOST_GENERATIONS):
            name = names.environment(inspection.environment, generation)
            try:
                uid = self._declare(name, inspection, context, asked_with)
                return Claim(name, uid, cached=False, declared=True)
            except AlreadyThere:
                if inspection.specification.build.cache:  # somebody else was first: so it is there now
                    made = self._cluster.get(kinds.CONFIG_MAPS, name)
                    return Claim(name, made["metadata"]["uid"], cached=True)
        raise AlreadyThere(f"There are too many generations of {names.environment(inspection.environment)}.")

    def withdraw(self, claim: Claim) -> None:
        """Take back an environment that was declared for an inspection which then could not be."""
        if claim.declared:
            self._cluster.delete(kinds.CONFIG_MAPS, claim.name)

    def _generations(self, digest: str) -> list[dict[str, Any]]:
        wanted = {names.KIND: names.CONTEXT, names.ENVIRONMENT: names.short(digest)}
        found = self._cluster.list(kinds.CONFIG_MAPS, names.selector(**wanted), metadata=True)
        return [one for one in found if names.generation(one["metadata"]["name"])]

    @staticmethod
    def _current(generations: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """The newest, unless its build has failed."""
        newest = max(generations, key=lambda one: names.generation(one["metadata"]["name"]), default=None)
        if newest is None or newest["metadata"]["labels"].get(names.OUTCOME) == FAILED:
            return None
        return newest

    @staticmethod
    def check(context: Mapping[str, bytes]) -> None:
        """Raise `RequestTooLarge` for what no build on a cluster can be given."""
        parts(context)

    def _declare(
        self, name: str, inspection: Inspection, context: Mapping[str, bytes], asked_with: Sequence[Login]
    ) -> str:
        """Keep a build context: the object that says that it is there comes last. Returns its uid."""
        labels = names.labels(names.CONTEXT, **{names.ENVIRONMENT: names.short(inspection.environment)})
        secrets = parts(context)
        for number, part in enumerate(secrets):
            with contextlib.suppress(AlreadyThere):  # by somebody who wants the same; or what a crash left of it
                document = records.secret(names.part(name, number), {**labels, names.KIND: names.PART}, part)
                self._cluster.create(kinds.SECRETS, document)
        annotations = {names.CREATED: inspection.created, names.SECRETS: str(len(secrets))}
        if asked_with:
            annotations[names.ASKED_WITH] = self._logins.keep(name, inspection, asked_with)
        metadata = {"name": name, "labels": labels, "annotations": annotations}
        uid: str = self._cluster.create(kinds.CONFIG_MAPS, {"metadata": metadata, "immutable": True})["metadata"]["uid"]
        return uid

    # -- asked by the controller --------------------------------------------------------------------------------

    def build(
        self, record: Record, there: Sequence[Mapping[str, Any]], attempts: int, allowed: Sequence[Allowance]
    ) -> None:
        """See to it that a Build goes on; `there` are those that there are.

        Raises `Refused`, as by a quota, `Unusable` for its base image, and `NotYet` while that is looked up.

        `allowed` is what those allow who wait for it: the next Build has the most of it if a limit has ended the last.
        """
        last = build_states.newest(there)
        more = last is not None and build_states.goes_on(last, record.inspection)
        anew = build_states.replaceable(there, record.inspection)
        attempts = build_states.tries(there, attempts)
        if last is not None and not more and not anew and not build_states.begin_again(last, attempts):
            return
        number = 0 if last is None else build_states.number(last)
        following = f"{record.environment}-{number + 1}"
        if following in self._asked or following in self._just_asked:
            return
        if last is None or anew:
            self._make(record)
        if more:
            self._allow(record.environment, largest([Allowance.of(record.inspection.specification.build), *allowed]))
        self._just_asked[following] = True
        try:
            if self._instantiate(record.environment, number):
                self._asked[following] = True
        except Refused:
            del self._just_asked[following]
            raise

    def _make(self, record: Record) -> None:
        """The ImageStream and the BuildConfig."""
        name, specification = record.environment, record.inspection.specification
        owner = records.reference("ConfigMap", name, record.environment_uid)
        labels = names.labels("environment", **{names.ENVIRONMENT: names.short(record.inspection.environment)})
        context = self._cluster.get(kinds.CONFIG_MAPS, name)
        recipe = self._recipe(context)
        base = self._images.pin_soon(dockerfile.base(recipe))
        if base is None:
            logger.warning("base image cannot be looked up, its triggers run", environment=name)
        sources, secret = self._sources(context, recipe, base)
        documents = {
            kinds.IMAGE_STREAMS: pod_manifests.image_stream(name, labels, owner),
            kinds.BUILD_CONFIGS: pod_manifests.build_config(
                name,
                labels,
                owner,
                dockerfile=(f"FROM {dockerfile.base(recipe)}\n".encode() if secret else recipe).decode(),
                base=base,
                arguments=dockerfile.build_arguments({"Dockerfile": recipe}),
                sources=sources,
                secret=secret,
                asked_with=self._logins.adopt(context),
                build=specification.build,
                node_selector=self._placement.selector(specification.build.requests.hardware),
                devices=self._placement.devices(specification.build.requests.hardware),
                disk=self._disk,
            ),
        }
        for kind, document in documents.items():
            try:
                self._cluster.create(kind, document)
            except AlreadyThere:
                continue

    def _recipe(self, context: Mapping[str, Any]) -> bytes:
        """The Dockerfile of a build context; the Secret that has it becomes the environment's own."""
        kept = context.get("binaryData")  # of an earlier version
        if kept is None:
            kept = self._adopt_part(context, 0)["data"]
        return base64.b64decode(kept[DOCKERFILE])

    def _adopt_part(self, context: Mapping[str, Any], number: int) -> dict[str, Any]:
        name, uid = context["metadata"]["name"], context["metadata"]["uid"]
        return self._cluster.patch(kinds.SECRETS, names.part(name, number), records.owned(name, uid))

    def _sources(self, context: Mapping[str, Any], recipe: bytes, base: str | None) -> tuple[list[str], bool]:
        """The objects that the builder is to have a build context from, and whether these are Secrets.

        The builder copies them into the directory of the context, over the ``Dockerfile`` that it wrote there: that of
        the BuildConfig (openshift/builder, pkg/build/builder/docker.go, dockerBuild). So one more Secret has the
        Dockerfile that is built, on `base` where that is known. All go with the environment.
        """
        name: str = context["metadata"]["name"]
        if "binaryData" in context:  # of an earlier version
            return [name, *(names.part(name, n) for n in range(1, names.number(context, names.PARTS) + 1))], False
        sources = [names.part(name, number) for number in range(names.number(context, names.SECRETS))]
        for number in range(1, len(sources)):  # the first is its own already (`_recipe`)
            self._adopt_part(context, number)
        built = recipe if base is None else dockerfile.rebased(recipe, base)
        own = names.part(name, len(sources))
        document = records.secret(own, names.labels(names.PART), {"Dockerfile": built})
        document["metadata"] |= records.owned(name, context["metadata"]["uid"])["metadata"]
        with contextlib.suppress(AlreadyThere):
            self._cluster.create(kinds.SECRETS, document)
        return [*sources, own], True

    def _allow(self, name: str, allowance: Allowance) -> None:
        """Give the next Builds of an environment these limits."""
        amounts = {"cpu": allowance.cpu, "memory": allowance.memory}
        spec = {"resources": {"limits": amounts, "requests": amounts}, "completionDeadlineSeconds": allowance.timeout}
        self._cluster.patch(kinds.BUILD_CONFIGS, name, {"spec": spec})
        logger.info("build has larger limits", environment=name, **amounts, timeout=allowance.timeout)

    def _instantiate(self, name: str, number: int) -> bool:
        """Start the Build after `number`; whether it is on its way, be it by another controller.

        The API server counts a Build that it then refuses, as for a quota: the next is asked for with the number that
        it names. Another controller's may be on its way at that moment, so that is not believed the first time.
        """
        expected = self._counted.get(name, number)
        request = {"apiVersion": "build.openshift.io/v1", "kind": "BuildRequest", "metadata": {"name": name}}
        try:
            self._cluster.post(kinds.BUILD_CONFIGS, name, "instantiate", {**request, "lastVersion": expected})
            logger.info("build started", environment=name, number=expected + 1)
        except Refused as exc:
            counted = _COUNTED.search(str(exc))
            if counted is None:
                raise
            last = build_states.newest(self._cluster.list(kinds.BUILDS, f"{names.BUILD_CONFIG}={name}"))
            if last is not None and build_states.number(last) > number:
                logger.debug("build was started by another", environment=name, number=build_states.number(last))
                return True
            self._counted[name] = int(counted["number"])
            return False
        return True

    def asked(self) -> int:
        """Builds that were asked for a moment ago; they may not be seen yet."""
        return len(self._just_asked)

    def failed(self, name: str) -> None:
        """Let nobody join this one any more."""
        self._cluster.patch(kinds.CONFIG_MAPS, name, {"metadata": {"labels": {names.OUTCOME: FAILED}}})

    def lost_image(self, build: Mapping[str, Any]) -> None:
        """Note that the image of a Build cannot be had any more."""
        noted = {"metadata": {"annotations": {names.GONE: timestamps.now()}}}
        self._cluster.patch(kinds.BUILDS, build["metadata"]["name"], noted)

    def stop(self, build: Mapping[str, Any], reason: str, message: str) -> None:
        """End a Build, and note why. Its pod goes with it: what it has logged is kept first."""
        self.keep_log(build, self._logins.words(build["metadata"]["labels"][names.BUILD_CONFIG]) or ())
        noted = {"annotations": {names.STOPPED: f"{reason}: {message}"}}
        self._cluster.patch(kinds.BUILDS, build["metadata"]["name"], {"metadata": noted, "status": {"cancelled": True}})

    def keep_log(self, build: Mapping[str, Any], words: Iterable[str], *, even_empty: bool = False) -> None:
        """Keep the log of a Build without these words."""
        name = build["metadata"]["name"]
        log = b"".join(logs.read(lambda _following: self.open_log(name)))
        if log or even_empty:
            self._keep(build, Mask(words).of(log)[-LOG_KEPT:])

    def keep_no_log(self, build: Mapping[str, Any]) -> None:
        """Keep that the log of a Build cannot be had."""
        self._keep(build, b"")

    def mask(self, build: Mapping[str, Any], words: Iterable[str]) -> None:
        """Hide these words in the last lines that a failed Build says itself."""
        said = (build.get("status") or {}).get("logSnippet") or ""
        masked = Mask(words).of(said.encode()).decode()
        if masked != said:
            self._cluster.patch(kinds.BUILDS, build["metadata"]["name"], {"status": {"logSnippet": masked}})

    def _keep(self, build: Mapping[str, Any], log: bytes) -> None:
        """Keep as much of the end of a log as a Secret has room for."""
        while len(packed := gzip.compress(log)) > LARGEST:
            log = log[len(log) // 4 :]
        name = build["metadata"]["name"]
        document = records.secret(f"{name}-log", names.labels("log"), {"log": packed})
        document["metadata"]["ownerReferences"] = [
            records.reference("Build", name, build["metadata"]["uid"], "build.openshift.io/v1")
        ]
        with contextlib.suppress(AlreadyThere):
            self._cluster.create(kinds.SECRETS, document)

    def kept_log(self, build: str) -> bytes | None:
        """What was kept of the log of a Build that was stopped, or that had passwords; None where nothing was."""
        name = f"{build}-log"
        kept = self._cluster.find(kinds.SECRETS, name)
        if kept is not None:
            return gzip.decompress(base64.b64decode(kept["data"]["log"]))
        kept = self._cluster.find(kinds.CONFIG_MAPS, name)  # of an earlier version
        return None if kept is None else gzip.decompress(base64.b64decode(kept["binaryData"]["log"]))

    def open_log(self, build: str, **query: str) -> logs.Answer | None:
        """The log of a Build, None while there is none."""
        query = {"nowait": "true", **query}
        return logs.unless_waiting(lambda: self._cluster.open(kinds.BUILDS, build, "log", idle=logs.SILENCE, **query))


def parts(context: Mapping[str, bytes]) -> list[dict[str, bytes]]:
    """The files of a context in as many Secrets as they need. Raises `RequestTooLarge` where one file needs more.

    The Dockerfile has the key `DOCKERFILE` among them: it is not yet the one that is built.
    """
    filled: list[dict[str, bytes]] = [{}]
    size = 0
    for name, content in context.items():
        needed = len(name) + len(content)
        if needed > LARGEST:
            raise RequestTooLarge(f"{name} of the build context has {len(content)} bytes; a cluster keeps {LARGEST}.")
        if size + needed > LARGEST:
            filled.append({})
            size = 0
        filled[-1][DOCKERFILE if name == "Dockerfile" else name] = content
        size += needed
    return filled
