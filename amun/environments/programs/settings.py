"""Prints shell commands after which pip, uv, pipenv and micropipenv install into our environment, and nowhere else.

Run by the Python of the environment. A base image may tell pip and its like whatever it wants, by variables and by
configuration files. What that says of where packages come from, and which of them are good, holds; what would lead
them elsewhere (PIP_USER, PIP_TARGET, PIP_PREFIX, …), or nowhere (PIP_DRY_RUN, PIP_NO_DEPS), does not.
"""
# Runs on the Python of the base image, from 3.6 on.
# ruff: noqa: UP006, UP032, UP035

import ast
import os
import re
import shlex
import subprocess
import sys
from typing import Dict, Iterable

# https://pip.pypa.io/en/stable/cli/pip_install/#options
PIP = frozenset([
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "cert", "client-cert", "proxy",
    "keyring-provider", "timeout", "default-timeout", "retries", "resume-retries", "constraint", "build-constraint",
    "pre", "prefer-binary", "only-binary", "no-binary", "no-build-isolation", "config-settings", "use-feature",
    "use-deprecated", "disable-pip-version-check", "no-color", "progress-bar",
])  # fmt: skip
# https://docs.astral.sh/uv/reference/environment/
OTHERS = frozenset(["UV_HTTP_TIMEOUT", "UV_HTTP_RETRIES", "UV_INSECURE_HOST", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS"])
OURS = ("PIP_", "UV_", "PIPENV_", "MICROPIPENV_", "PYTHONPATH", "PYTHONUSERBASE")


def options(listing: str) -> Dict[str, str]:
    """Return the options of `pip config list`, ``SECTION.NAME='VALUE'`` a line, as they hold for `pip install`."""
    found = {"global": {}, "install": {}, ":env:": {}}  # type: Dict[str, Dict[str, str]]
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found and name in PIP:
            found[section][name] = ast.literal_eval(value)
    return {**found["global"], **found["install"], **found[":env:"]}


def commands(pip: Dict[str, str], variables: Iterable[str]) -> Iterable[str]:
    """Return lines for a shell that has these variables."""
    for name in sorted(variables):
        if name.startswith(OURS) and name not in OTHERS and re.match(r"[A-Za-z0-9_]+\Z", name):
            yield "unset " + name
    for name, value in sorted(pip.items()):
        yield "export PIP_{}={}".format(name.upper().replace("-", "_"), shlex.quote(value))
    yield "export PIP_CONFIG_FILE={} PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONNOUSERSITE=1".format(os.devnull)


def main() -> None:
    loud = {**os.environ, "PIP_QUIET": "0", "PIP_VERBOSE": "0", "PYTHONNOUSERSITE": "1"}
    loud.pop("PYTHONPATH", None)
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], env=loud, stdout=subprocess.PIPE)
    if listed.returncode != 0:
        said = listed.stdout.decode(errors="replace").strip() or "exit status {}".format(listed.returncode)
        sys.exit("ERROR: pip cannot read what the base image tells it (pip config list): " + said)
    print("\n".join(commands(options(listed.stdout.decode()), os.environ)))


if __name__ == "__main__":
    main()
