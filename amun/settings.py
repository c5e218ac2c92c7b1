"""Settings: every ``AMUN_…`` environment variable, read once and in one place.

The documentation lists them from this class (docs/settings.rst, docs/extensions/settings_reference.py).
"""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from amun.model.specification import Defaults
from amun.model.thresholds import Thresholds


class Settings(BaseSettings):
    """All settings; each is the environment variable ``AMUN_`` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="AMUN_", env_file=None, frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8080, ge=1, le=65535, description="Port the API listens on.")
    allowed_hosts: str = Field(
        "",
        description="Host names that requests may use, separated by commas. On loopback, the names of loopback are "
        "always allowed. Empty on any other address allows all names.",
    )
    workers: int = Field(2, ge=1, description="API worker processes.")
    controller_port: int = Field(
        0, ge=0, le=65535, description="Port of the controller's own /liveness, /readiness and /metrics; 0 for none."
    )
    controller_stall: float = Field(
        300.0, gt=0, description="Seconds without a finished step after which the controller's liveness probe fails."
    )
    state_dir: Path = Field(
        Path("~/.local/share/amun"), description="Where the embedded engine keeps everything.", validate_default=True
    )
    engine: str = Field("auto", description="`podman`, `openshift`, or `auto`: a cluster if there is one, else Podman.")
    log_format: str = Field("auto", description="`json`, `console`, or `auto` (console on a terminal, else JSON).")
    log_level: str = Field("INFO", description="Lowest severity that is logged.")

    default_cpu: str = Field("500m", description="CPU of a build or run that does not ask for any.")
    default_memory: str = Field("256Mi", description="Memory of a build or run that does not ask for any.")
    build_timeout: int = Field(3600, ge=1, description="Deadline of a build that does not set one, in seconds.")
    run_timeout: int = Field(3600, ge=1, description="Deadline of an item that does not set one, in seconds.")
    grace: int = Field(5, ge=0, description="Seconds between SIGTERM and SIGKILL for what is stopped.")
    max_builds: int = Field(
        0, ge=0, description="Builds that run at the same time; 0 means one on Podman, and no limit on a cluster."
    )
    max_runs: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Items that run at once on the embedded engine."
    )
    attempts: int = Field(
        2, ge=1, description="How often a build or item is started in all, if the platform fails it and not the script."
    )
    output_limit: int = Field(
        10 * 1024**2, ge=1024, description="Bytes kept of each stream of an item; a line counts as at least 16."
    )
    report_limit: int = Field(10 * 1024**2, ge=1024, description="Bytes of each stream that a report contains.")
    storage_limit: int = Field(
        4 * 1024**3, ge=1024**2, description="Bytes that an item may write to disk before it is evicted."
    )
    pids_limit: int = Field(512, ge=16, description="Processes and threads that an item may have.")
    build_storage_limit: int = Field(
        8 * 1024**3,
        ge=1024**2,
        description="Bytes that a step of a build may write to disk; on a cluster, the build and its base image.",
    )
    build_pids_limit: int = Field(
        2048, ge=16, description="Processes and threads that a build may have on the embedded engine."
    )
    build_log_limit: int = Field(
        64 * 1024**2, ge=1024**2, description="Bytes that the log of a build may have on the embedded engine."
    )
    run_uid: int = Field(
        10001,
        ge=1,
        description="User id of scripts on the embedded engine; without control groups, the first of 4096 user ids.",
    )
    run_network: str = Field("auto", description="Network of runs on the embedded engine, as for `podman --network`.")
    run_host_access: str = Field(
        "closed",
        pattern="^(open|closed)$",
        description="`closed`: runs on the embedded engine reach neither this machine's addresses nor those of its "
        "platform. `open`: they reach all but loopback.",
    )
    build_network: str = Field(
        "auto",
        description="Network of builds on the embedded engine: one of its own by `slirp4netns`, `pasta` or "
        "`forwarder` (only a proxy), or `private`, `host` or `none` as for `podman build`. `auto` is the first of "
        "these that works, never `host`.",
    )
    build_proxy_names: str = Field(
        "",
        description="More hosts, separated by commas, that builds may ask a proxy of this machine for by name. Other "
        "names than these and the usual package indexes are resolved first, and the proxy gets the address.",
    )
    request_limit: int = Field(4 * 1024**2, ge=1024, description="Bytes that a submission may have.")

    quality_throttled: float = Field(
        0.05, gt=0, description="Share of its wall time held back by its own CPU limit from which an item is disturbed."
    )
    quality_waiting: float = Field(0.05, gt=0, description="The same for waiting while other programs used the CPUs.")
    quality_steal: float = Field(0.05, gt=0, description="The same for CPUs that the hypervisor took away.")
    quality_memory: float = Field(0.05, gt=0, description="The same for waiting for memory.")
    quality_io: float = Field(0.1, gt=0, description="The same for waiting for disks that other programs used.")
    quality_floor: float = Field(0.005, ge=0, description="Seconds that each of these must cost at least.")
    quality_busy: float = Field(
        0.4, gt=0, description="Share of the machine's CPUs used by other programs from which an item is disturbed."
    )
    quality_frequency: float = Field(
        0.2, gt=0, description="Share of its frequency lost by the CPU from which an item is disturbed."
    )

    auth: str = Field(
        "auto",
        description="How callers authenticate: `token` (the cluster reviews it), `keys` (API keys), `none` (not at "
        "all), or `auto`: `none` on a loopback AMUN_HOST, else `token` on a cluster, else `keys` if AMUN_API_KEYS is "
        "set.",
    )
    api_keys: Path | None = Field(None, description="File of API keys, read again when it changes.")
    auth_access: str = Field(
        "create jobs.batch", description="Right in the inspections' namespace that the owner of a token must have."
    )
    auth_admin_access: str = Field(
        "delete jobs.batch",
        description="Right in that namespace that lets the owner of a token see all inspections; empty for none.",
    )
    auth_admins: str = Field(
        "", description="Names of callers who see all inspections, and of groups as `group:NAME`, separated by commas."
    )
    auth_cache: float = Field(60.0, ge=0, description="Seconds for which the review of a token is cached.")
    metrics_auth: bool = Field(False, description="Require authentication for /metrics too.")
    request_rate: int | None = Field(
        None, ge=0, description="Requests per minute of one caller to one API process; 0 for any number."
    )
    submission_rate: int | None = Field(
        None, ge=0, description="Submissions per minute of one caller to one API process; 0 for any number."
    )
    open_limit: int | None = Field(
        None,
        ge=0,
        description="Inspections of one caller that may be unfinished at the same time; 0 for any number. If not "
        "set: 1000, or any number on loopback without authentication.",
    )

    retention_days: int = Field(30, ge=0, description="Days for which a finished inspection is kept; 0 for ever.")
    failed_retention_days: int = Field(
        90, ge=0, description="Days for which an inspection that did not succeed is kept on a cluster; 0 for ever."
    )
    environment_days: int = Field(30, ge=0, description="Days for which an unused environment is kept; 0 for ever.")

    namespace: str = Field("", description="Namespace of inspections; if not set, the service's or the kubeconfig's.")
    kubeconfig: str = Field(
        "", description="File that says how to reach the cluster. If not set, the service account or KUBECONFIG."
    )
    kube_context: str = Field("", description="Context of the kubeconfig.")
    cluster_ca: str = Field("", description="File of the certificates that verify the API server.")
    cluster_verify_tls: bool = Field(True, description="Verify the API server's certificate.")
    cluster_timeout: float = Field(30.0, gt=0, description="Seconds that a request to the API server may take.")
    start_deadline: int = Field(
        1800,
        ge=1,
        description="Seconds after which Amun gives up on a build's or item's pod that cannot start on a cluster, or "
        "on anything that is refused for good.",
    )
    queue_name: str = Field("", description="Local queue of Kueue for Jobs.")
    run_egress: str = Field(
        "open", pattern="open|closed", description="`closed`: run pods reach nothing (by a NetworkPolicy)."
    )
    label_cpu_family: str = Field(
        "feature.node.kubernetes.io/cpu-model.family", description="Node label with the family of the CPU."
    )
    label_cpu_model: str = Field(
        "feature.node.kubernetes.io/cpu-model.id", description="Node label with the model of the CPU."
    )
    label_physical_cpus: str = Field("", description="Node label with the number of CPUs; none by default.")
    label_processor: str = Field("", description="Node label with the brand of the CPU; none by default.")

    archive: str = Field(
        "", description="Where finished inspections are archived: an existing directory, or `s3://BUCKET/PREFIX`."
    )
    archive_endpoint: str = Field("", description="URL of the store that has the bucket, if it is not Amazon's S3.")
    deployment: str = Field(
        "amun", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of this deployment in the archive."
    )

    script_private_hosts: bool = Field(
        False, description="Fetch scripts from private, loopback and link-local addresses too."
    )
    script_limit: int = Field(1024**2, ge=1, description="Bytes that a script from a URL may have.")
    script_timeout: float = Field(10.0, gt=0, description="Seconds that fetching a script may take.")

    @field_validator("api_keys", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("state_dir", "api_keys")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()

    @field_validator("archive")
    @classmethod
    def _place(cls, value: str) -> str:
        if value.startswith("s3://"):
            if not value.removeprefix("s3://").partition("/")[0]:
                raise ValueError("names no bucket: s3://BUCKET/PREFIX")
            return value
        if "://" in value:
            raise ValueError("must be a directory or s3://BUCKET/PREFIX")
        return str(Path(value).expanduser().absolute()) if value else value

    @field_validator("archive_endpoint")
    @classmethod
    def _url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must be a URL: https://HOST")
        return value

    @property
    def thresholds(self) -> Thresholds:
        """From what on an item counts as disturbed."""
        return Thresholds(**{field.name: getattr(self, f"quality_{field.name}") for field in fields(Thresholds)})

    @property
    def on_cluster(self) -> bool:
        """Whether inspections are on a cluster, as far as it can be told without asking one.

        A kubeconfig that merely lies in the home directory counts for nothing: who tries Amun on a laptop does not
        mean to try it on a cluster at work.
        """
        if self.engine != "auto":
            return self.engine == "openshift"
        named = self.kubeconfig or self.kube_context or os.environ.get("KUBECONFIG")
        return bool(named) or "KUBERNETES_SERVICE_HOST" in os.environ

    @property
    def defaults(self) -> Defaults:
        """What a specification gets for the fields it leaves out."""
        return Defaults(
            cpu=self.default_cpu,
            memory=self.default_memory,
            build_timeout=self.build_timeout,
            run_timeout=self.run_timeout,
        )
