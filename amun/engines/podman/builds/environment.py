"""What builds need to know of this machine's network: certificates, package index, proxies.

A directory that is mounted at /run/amun during builds, and is no part of the image:

    environment           shell exports, read before every step
    ca-certificates.crt   the host's bundle: behind a proxy that intercepts TLS no other certificate is good
    apt.conf              apt's words for the same

Index URLs may hold passwords: the file is for the owner (and root inside the build) only, and nothing of it is logged.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from amun.engines.podman.state import files

MOUNT = "/run/amun"
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",
)
BUNDLE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@dataclass(frozen=True)
class BuildEnvironment:
    """What was found: path of the certificate bundle, pip's options by their long names, proxies in lower case."""

    bundle: str | None
    pip: Mapping[str, str]
    proxies: Mapping[str, str]

    def to_shell(self) -> str:
        """The file `environment`."""
        return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.variables().items())

    def variables(self) -> dict[str, str]:
        """Everything a build step finds in its environment."""
        found = _certificates() if self.bundle else {}
        found |= _index(self.pip)
        for name, value in self.proxies.items():
            found |= {name: value, name.upper(): value}
        return found

    def summary(self) -> str:
        """For a person and for logs: no passwords."""
        index = redacted(self.pip.get("index-url", "the default index"))
        proxy = redacted(self.proxies.get("https_proxy", "no proxy"))
        return f"{index}, {proxy}"


def find(environment: Mapping[str, str] = os.environ) -> BuildEnvironment:
    """Look at this machine. Takes half a second, since pip is asked."""
    return BuildEnvironment(
        bundle=find_bundle(environment), pip=pip_options(pip_config_list()), proxies=find_proxies(environment)
    )


def write(found: BuildEnvironment, directory: Path) -> tuple[str, ...]:
    """Write the directory; returns Podman's `--volume` arguments for builds."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)
    certificates = directory / "ca-certificates.crt"
    if found.bundle:
        files.write(certificates, Path(found.bundle).read_bytes(), mode=0o644)
        files.write(directory / "apt.conf", f'Acquire::https::CAInfo "{MOUNT}/{certificates.name}";\n', mode=0o644)
    files.write(directory / "environment", found.to_shell(), mode=0o600)
    return (f"{directory}:{MOUNT}:ro",)


def find_bundle(environment: Mapping[str, str]) -> str | None:
    """The certificates this machine trusts: those named by the usual variables, else the distribution's."""
    named = [environment[name] for name in BUNDLE_VARIABLES if environment.get(name)]
    default = ssl.get_default_verify_paths().openssl_cafile
    return next((path for path in (*named, *BUNDLES, default) if _readable(Path(path))), None)


def find_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Proxy settings, whichever case they are written in."""
    return {
        name: value for name in PROXY_VARIABLES if (value := environment.get(name) or environment.get(name.upper()))
    }


def pip_config_list() -> str:
    """What `pip config list` prints: files and PIP_* variables alike; empty where there is no pip."""
    programs = [[sys.executable, "-m", "pip"], [shutil.which("pip3") or "pip3"]]
    for program in programs:
        try:
            command = [*program, "--disable-pip-version-check", "config", "list"]
            answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        return answer.stdout
    return "".join(
        f":env:.{name[4:].lower().replace('_', '-')}={value!r}\n"
        for name, value in os.environ.items()
        if name.startswith("PIP_")
    )


def pip_options(listing: str) -> dict[str, str]:
    """Options of `pip config list`: `global.index-url='https://…'` a line; variables win over files, as with pip."""
    found: dict[str, dict[str, str]] = {}
    for line in listing.splitlines():
        key, _, literal = line.partition("=")
        section, _, option = key.rpartition(".")
        try:
            found.setdefault(section, {})[option] = str(ast.literal_eval(literal))
        except (ValueError, SyntaxError):
            continue
    options = found.get("global", {}) | found.get("install", {}) | found.get(":env:", {})
    return {name.removeprefix("default-"): value for name, value in options.items()}


def has_password(found: BuildEnvironment) -> bool:
    """Whether there is a password in what builds are told of indexes and proxies."""
    return any(redacted(value) != value for value in found.variables().values())


def redacted(url: str) -> str:
    """A URL without its user and password."""
    return re.sub(r"//[^/@\s]*@", "//", url)


def _index(pip: Mapping[str, str]) -> dict[str, str]:
    """pip's settings, and uv's words for the same. Indexes in directories of the host are not there in a build."""
    index = _remote(pip.get("index-url", ""))
    extra = _remote(pip.get("extra-index-url", ""))
    hosts = " ".join(pip.get("trusted-host", "").split())
    found = {
        "PIP_INDEX_URL": index,
        "UV_DEFAULT_INDEX": index,
        "PIP_EXTRA_INDEX_URL": extra,
        "UV_INDEX": extra,
        "PIP_TRUSTED_HOST": hosts,
        "UV_INSECURE_HOST": hosts,
        "PIP_DEFAULT_TIMEOUT": pip.get("timeout", ""),
        "UV_HTTP_TIMEOUT": pip.get("timeout", ""),
        "PIP_RETRIES": pip.get("retries", ""),
        "PIP_PROXY": pip.get("proxy", ""),
    }
    return {name: value for name, value in found.items() if value}


def _remote(urls: str) -> str:
    return " ".join(url for url in urls.split() if url.startswith(("http://", "https://")))


def _certificates() -> dict[str, str]:
    bundle = f"{MOUNT}/ca-certificates.crt"
    names = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO", "SSL_CA_CERT_FILE")
    return dict.fromkeys(names, bundle) | {"APT_CONFIG": f"{MOUNT}/apt.conf"}


def _readable(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size > 0 and os.access(path, os.R_OK)
    except OSError:
        return False
