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
        description="Names by which the service may be asked (the Host of requests), with commas between; those of "
        "loopback may be where it listens there. Empty on any other address allows all.",
    )
    workers: int = Field(2, ge=1, description="API worker processes.")
    controller_port: int = Field(
        0, ge=0, le=65535, description="Port of the controller's own /liveness, /readiness and /metrics; 0 for none."
    )
    controller_stall: float = Field(
        300.0, gt=0, description="Seconds without a finished step after which the controller is no longer alive."
    )
    state_dir: Path = Field(
        Path("~/.local/share/amun"), description="Where the embedded engine keeps everything.", validate_default=True
    )
    engine: str = Field(
        "auto", description="`podman`, `openshift`, or `auto` to choose: a cluster that is there, else Podman."
    )
    log_format: str = Field("auto", description="`json`, `console`, or `auto` (console on a terminal).")
    log_level: str = Field("INFO", description="Least severity that is logged.")

    default_cpu: str = Field("500m", description="CPU of a build or run that asks for none.")
    default_memory: str = Field("256Mi", description="Memory of a build or run that asks for none.")
    build_timeout: int = Field(3600, ge=1, description="Deadline of a build that sets none, in seconds.")
    run_timeout: int = Field(3600, ge=1, description="Deadline of an item that sets none, in seconds.")
    grace: int = Field(5, ge=0, description="Seconds between the polite and the final signal to what is stopped.")
    max_builds: int = Field(0, ge=0, description="Builds at a time; 0 is one on Podman, and no limit on a cluster.")
    max_runs: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Items at a time on the embedded engine."
    )
    attempts: int = Field(
        2, ge=1, description="How often a build or item is started when the platform, not the script, fails it."
    )
    output_limit: int = Field(
        10 * 1024**2, ge=1024, description="Bytes kept of each stream an item prints; a line counts for 16 at least."
    )
    report_limit: int = Field(10 * 1024**2, ge=1024, description="Bytes of each stream that a report carries.")
    storage_limit: int = Field(
        4 * 1024**3, ge=1024**2, description="Bytes an item may write to disk before it is evicted."
    )
    pids_limit: int = Field(512, ge=16, description="Processes and threads an item may have.")
    build_storage_limit: int = Field(
        8 * 1024**3,
        ge=1024**2,
        description="Bytes a step of a build may write to disk; on a cluster all of it, its base image among them.",
    )
    build_pids_limit: int = Field(
        2048, ge=16, description="Processes and threads a build may have on the embedded engine."
    )
    build_log_limit: int = Field(
        64 * 1024**2, ge=1024**2, description="Bytes the log of a build may have on the embedded engine."
    )
    run_uid: int = Field(
        10001,
        ge=1,
        description="User id that scripts run as on the embedded engine; without control groups, the first of 4096.",
    )
    run_network: str = Field("auto", description="Network of runs on the embedded engine, as for `podman --network`.")
    run_host_access: str = Field(
        "closed",
        pattern="^(open|closed)$",
        description="`closed`: runs on the embedded engine reach neither this machine's addresses nor its platform's.",
    )
    build_network: str = Field(
        "auto",
        description="Network of builds on the embedded engine: `slirp4netns`, `pasta` or `forwarder` (a proxy alone), "
        "of its own for each build, `private`, `host`, `none`, or `auto`: the first of these that works, never `host`.",
    )
    build_proxy_names: str = Field(
        "",
        description="Further hosts, with commas between, that builds may ask a proxy of this machine for by name; all "
        "but the usual package indexes are resolved first, and the proxy is told the address.",
    )
    request_limit: int = Field(4 * 1024**2, ge=1024, description="Bytes a submission may have.")

    quality_throttled: float = Field(
        0.05, gt=0, description="Share of its wall time held back by its own CPU limit from which an item is disturbed."
    )
    quality_waiting: float = Field(0.05, gt=0, description="The same for waiting while other programs had the CPUs.")
    quality_steal: float = Field(0.05, gt=0, description="The same for CPUs that the hypervisor took away.")
    quality_memory: float = Field(0.05, gt=0, description="The same for standing still for want of memory.")
    quality_io: float = Field(0.1, gt=0, description="The same for waiting for disks that other programs used.")
    quality_floor: float = Field(0.005, ge=0, description="Seconds that any of these must have cost.")
    quality_busy: float = Field(
        0.4, gt=0, description="Share of the machine's CPUs in use by others from which an item is disturbed."
    )
    quality_frequency: float = Field(
        0.2, gt=0, description="Share of its frequency that the CPU lost from which an item is disturbed."
    )

    auth: str = Field(
        "auto",
        description="How callers are asked who they are: `token` (a cluster reviews it), `keys`, `none` (not at all), "
        "or `auto`: `none` on a loopback AMUN_HOST, elsewhere `token` on a cluster, else `keys` if there is a file.",
    )
    api_keys: Path | None = Field(None, description="File of API keys, read again when it changes.")
    auth_access: str = Field(
        "create jobs.batch", description="Right in the namespace of the inspections without which no token is let in."
    )
    auth_admin_access: str = Field(
        "delete jobs.batch",
        description="Right in that namespace by which the owner of a token sees all inspections; empty for none.",
    )
    auth_admins: str = Field(
        "", description="Names of callers that see all inspections, and of groups as `group:NAME`, with commas between."
    )
    auth_cache: float = Field(60.0, ge=0, description="Seconds for which the review of a token is remembered.")
    metrics_auth: bool = Field(False, description="Ask those who read /metrics who they are, too.")
    request_rate: int | None = Field(
        None, ge=0, description="Requests a minute of one caller to one API process; 0 for any number."
    )
    submission_rate: int | None = Field(
        None, ge=0, description="Submissions a minute of one caller to one API process; 0 for any number."
    )
    open_limit: int | None = Field(
        None, ge=0, description="Inspections of one caller that may be unfinished at a time; 0 for any number."
    )

    retention_days: int = Field(30, ge=0, description="Days a finished inspection is kept; 0 keeps it for ever.")
    failed_retention_days: int = Field(
        90, ge=0, description="Days one that did not succeed is kept on a cluster; 0 keeps it for ever."
    )
    environment_days: int = Field(30, ge=0, description="Days an environment nobody used is kept; 0 keeps it for ever.")

    namespace: str = Field("", description="Namespace of inspections; without, that of the service or kubeconfig.")
    kubeconfig: str = Field("", description="File that names the cluster; without, the service account or KUBECONFIG.")
    kube_context: str = Field("", description="Context of the kubeconfig.")
    cluster_ca: str = Field("", description="File of the certificates the API server is verified by.")
    cluster_verify_tls: bool = Field(True, description="Verify the API server's certificate.")
    cluster_timeout: float = Field(30.0, gt=0, description="Seconds a request to the API server may take.")
    start_deadline: int = Field(
        1800,
        ge=1,
        description="Seconds a build's or item's pod may wait on a cluster, or anything be refused for good, before it "
        "is given up.",
    )
    queue_name: str = Field("", description="Kueue's local queue that Jobs are put in.")
    run_egress: str = Field(
        "open", pattern="open|closed", description="`closed`: run pods reach nothing (NetworkPolicy)."
    )
    label_cpu_family: str = Field(
        "feature.node.kubernetes.io/cpu-model.family", description="Node label that tells the CPU's family."
    )
    label_cpu_model: str = Field(
        "feature.node.kubernetes.io/cpu-model.id", description="Node label that tells the CPU's model."
    )
    label_physical_cpus: str = Field("", description="Node label that tells how many CPUs there are; none by default.")
    label_processor: str = Field("", description="Node label that tells the CPU's brand; none by default.")

    archive: str = Field(
        "", description="Where finished inspections are kept: a directory that is there, or `s3://BUCKET/PREFIX`."
    )
    archive_endpoint: str = Field("", description="URL of the store the bucket is in, where that is not Amazon's S3.")
    deployment: str = Field(
        "amun", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of this deployment in the archive."
    )

    script_private_hosts: bool = Field(
        False, description="Fetch scripts from private, loopback and link-local addresses too."
    )
    script_limit: int = Field(1024**2, ge=1, description="Bytes a script fetched from a URL may have.")
    script_timeout: float = Field(10.0, gt=0, description="Seconds within which a script must have been fetched.")

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
