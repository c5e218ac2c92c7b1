"""What a schema cannot say about a string: the custom `format`s of openapi/openapi.yaml.

Each format is a function of one string that raises ValueError with the sentence for the caller, "must …", and is
quiet about a string that is fine. Whatever passes here may still not reach a shell or a Dockerfile unquoted.
"""

from __future__ import annotations

import posixpath
import re
import urllib.parse
from collections.abc import Callable
from decimal import Decimal

import jsonschema
from packaging.markers import InvalidMarker, Marker
from packaging.requirements import InvalidRequirement, Requirement

from amun.model import identifiers, image_names, quantity
from amun.model import metric_path as paths
from amun.model.file_path import HOME, absolute_path
from amun.model.image_names import HOST_PART

LONGEST = 4096
"""Characters of what has a format; no more are looked at."""

CHECKER = jsonschema.FormatChecker(formats=())
"""The formats below and no other; `problems` in validation.py checks with it."""

ENGINE_PATHS = ("/proc", "/sys", "/dev", "/amun", "/opt/amun", "/run/amun", f"{HOME}/hwinfo")
"""Directories that the kernel, the build or the run fill: a file there would break them, or never be seen."""

ENGINE_FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")
"""Files that every container engine lays over those of the image."""

# Debian policy 5.6.1 and 5.6.12, RPM file naming, apk-tools; dnf groups begin with @, apt takes NAME/RELEASE. A last
# hyphen would tell apt to remove the package.
_PACKAGE = re.compile(r"[A-Za-z0-9@][A-Za-z0-9_.+:=~^@-]*(/[A-Za-z0-9][A-Za-z0-9_.+~-]*)?(?<!-)")

# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_DNS_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}\Z)({HOST_PART.replace('A-Z', '')}\.)*{HOST_PART.replace('A-Z', '')}")


def _format(name: str) -> Callable[[Callable[[str], None]], Callable[[str], None]]:
    """Register a checker; jsonschema asks it about values of every type, and only strings have a format."""

    def register(check: Callable[[str], None]) -> Callable[[str], None]:
        @CHECKER.checks(name, raises=ValueError)
        def checker(instance: object) -> bool:
            if isinstance(instance, str):
                if len(instance) > LONGEST:
                    raise ValueError(f"must have at most {LONGEST} characters")
                check(instance)
            return True

        return check

    return register


@_format("kubernetes-cpu")
def cpu(text: str) -> None:
    if quantity.parse(text) < Decimal("0.001"):
        raise ValueError("must be at least one thousandth of a CPU ('1m')")


@_format("kubernetes-memory")
def memory(text: str) -> None:
    if quantity.parse(text) < 2**20:
        raise ValueError("must be at least one MiB ('1Mi'); a quantity without a unit counts bytes, 'm' thousandths")


@_format("identifier")
def identifier(text: str) -> None:
    if text and not identifiers.is_identifier(text):
        raise ValueError(identifiers.IDENTIFIER_RULE)


@_format("image-reference")
def image_reference(text: str) -> None:
    image_names.check(text)


@_format("native-package")
def native_package(text: str) -> None:
    if len(text) > 255 or not _PACKAGE.fullmatch(text):
        raise ValueError(
            "must be the name of a native package, if need be with its version: letters, digits and . _ + : = ~ ^ @ / -"
            " (not at the end), starting with a letter, a digit or @"
        )


@_format("pep508-requirement")
def pep508_requirement(text: str) -> None:
    one_line(text)
    try:
        requirement = Requirement(text)
    except InvalidRequirement as exc:
        raise ValueError(f"must be a PEP 508 requirement: {str(exc).splitlines()[0][:200]}") from exc
    except RecursionError as exc:
        raise ValueError("must be a PEP 508 requirement, with fewer brackets in brackets") from exc
    if requirement.url and _scheme(requirement.url) not in ("https", "git+https"):
        raise ValueError("must be at an https or git+https URL if it is at a URL")


@_format("environment-variable-name")
def environment_variable_name(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("must be the name of a variable: letters, digits and _, not starting with a digit")
    if text.startswith("AMUN_"):
        raise ValueError("must not start with AMUN_: those are set by the service")


@_format("file-path")
def file_path(text: str) -> None:
    one_line(text)
    if ".." in text.split("/"):
        raise ValueError("must not contain the component '..'")
    if re.match(r"[A-Za-z]:[\\/]", text) or ("\\" in text and not text.startswith(("/", "~/"))):
        raise ValueError("must be a path of Linux, such as 'data/a.txt', and not one of Windows")
    if text.startswith("~") and not text.startswith("~/"):
        raise ValueError(f"must not start with '~', but for '~/', which is {HOME}/; './~' is a name that does")
    if text == "" or posixpath.basename(text) in ("", "."):
        raise ValueError("must name a file, not a directory")
    path = absolute_path(text)
    if len(path.encode()) > 4095 or any(len(part.encode()) > 255 for part in path.split("/")):
        raise ValueError("must have at most 4095 bytes, and 255 between two slashes")
    _outside_engine_paths(path)


@_format("label-key")
def label_key(text: str) -> None:
    prefix, slash, name = text.rpartition("/")
    if not _LABEL_NAME.fullmatch(name) or (slash and not _DNS_SUBDOMAIN.fullmatch(prefix)):
        raise ValueError("must be the key of a node label: [DOMAIN/]NAME, the name of at most 63 characters")


@_format("label-value")
def label_value(text: str) -> None:
    if text and not _LABEL_NAME.fullmatch(text):
        raise ValueError("must be the value of a node label: at most 63 letters, digits and . _ - inside")


@_format("resource-name")
def resource_name(text: str) -> None:
    if "/" not in text:
        raise ValueError("must be an extended resource with its domain, such as 'nvidia.com/gpu'")
    label_key(text)


@_format("one-line")
def one_line(text: str) -> None:
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", text):
        raise ValueError("must not contain control characters or line ends")


@_format("index-url")
def index_url(text: str) -> None:
    one_line(text)
    if _scheme(text) not in ("http", "https") or " " in text:
        raise ValueError("must be an http or https URL")


def _scheme(url: str) -> str | None:
    """The scheme of a URL that names a host, None for any other."""
    try:
        split = urllib.parse.urlsplit(url)
        return split.scheme if split.hostname and split.port != 0 else None
    except ValueError:  # of a port or an address in brackets that is none
        return None


@_format("exact-version")
def exact_version(text: str) -> None:
    if not re.fullmatch(r"={2,3}[A-Za-z0-9][A-Za-z0-9._+!-]*", text):
        raise ValueError("must be one exact version, such as '==1.0.2'")


@_format("python-version")
def python_version(text: str) -> None:
    if not re.fullmatch(r"\d{1,3}(\.\d{1,3}){0,2}", text, re.ASCII):
        raise ValueError("must be a version of Python, such as '3.11'")


@_format("package-hash")
def package_hash(text: str) -> None:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}", text):
        raise ValueError("must be a hash, such as 'sha256:' and 64 hexadecimal digits")


@_format("git-url")
def git_url(text: str) -> None:
    # None of what has a meaning to pip in a requirement: # starts a fragment, ; a marker, ${…} names a variable.
    if not re.fullmatch(r"https://[A-Za-z0-9._~:/%+,=@!()&*\[\]-]+", text) or "@" in urllib.parse.urlsplit(text).path:
        raise ValueError("must be the https URL of a Git repository, without query or fragment")


@_format("git-commit")
def git_commit(text: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text):
        raise ValueError("must be a commit, 40 or 64 hexadecimal digits: branches and tags move")


@_format("subdirectory")
def subdirectory(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9._/+-]+", text) or text.startswith("/") or ".." in text.split("/"):
        raise ValueError("must be a directory inside of the repository: letters, digits and . _ + / -")


@_format("python-package")
def python_package(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", text):
        raise ValueError("must be the name of a Python package")


@_format("pep508-marker")
def pep508_marker(text: str) -> None:
    one_line(text)
    try:
        Marker(text)
    except (InvalidMarker, RecursionError) as exc:
        raise ValueError("must be a PEP 508 environment marker, such as \"python_version < '3.8'\"") from exc


@_format("batch-size")
def batch_size(text: str) -> None:
    if not re.fullmatch(r"0{0,9}([1-9][0-9]{0,2}|1000)", text):
        raise ValueError("must be an integer from 1 to 1000")


@_format("warmup")
def warmup(text: str) -> None:
    if not re.fullmatch(r"0{0,9}[0-9]{1,3}", text, re.ASCII):
        raise ValueError("must be an integer from 0 to 999")


@_format("metric-path")
def metric_path(text: str) -> None:
    """Keys and indices from the object that a script prints down to a number."""
    if paths.read(text) is None:
        raise ValueError(
            "must be a path of keys and indices, such as 'latency.p99', 'runs[0].rate' or '[\"a.key\"].rate'"
        )


def complaint(check: Callable[[str], None], text: str) -> str | None:
    """Return what a format has against a string, None where it has nothing."""
    try:
        check(text)
    except ValueError as exc:
        return str(exc)
    return None


def conforms(check: Callable[[str], None], text: str) -> bool:
    return complaint(check, text) is None


def _outside_engine_paths(path: str) -> None:
    for reserved in ENGINE_PATHS:
        if path == reserved or path.startswith(f"{reserved}/"):
            raise ValueError(f"must not be in {reserved}, which the service needs for itself")
        if reserved.startswith(f"{path.rstrip('/')}/"):
            raise ValueError(f"must not be {path}, which is a directory")
    if path in ENGINE_FILES:
        raise ValueError(f"must not be {path}: engines put a file of their own there when the script runs")
