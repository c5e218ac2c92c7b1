"""Checks that what was requested is where the script will find it, whatever the package manager said.

Usage: installed.py MANAGER REQUIREMENT…
       installed.py MANAGER --file PATH       a requirement a line

Run by the Python of the environment. Prints `NAME==VERSION` of each requirement that applies here; says what is
missing, and fails. What a URL or a repository gives has no version to compare, only a name.
"""
# Runs on the Python of the base image, from 3.6 on.
# ruff: noqa: UP006, UP032, UP035

import sys
from typing import Dict, Iterable, List

from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name


def installed() -> Dict[str, str]:
    """Return name and version of all that this Python finds, by normalized names; of two the first, as it imports."""
    try:
        from importlib.metadata import distributions
    except ImportError:  # before Python 3.8
        from pip._vendor import pkg_resources

        return {canonicalize_name(one.project_name): one.version for one in reversed(list(pkg_resources.working_set))}
    return {
        canonicalize_name(one.metadata["Name"]): one.version
        for one in reversed(list(distributions()))
        if one.metadata["Name"]
    }


def applies(requirement: Requirement) -> bool:
    return requirement.marker is None or bool(requirement.marker.evaluate({"extra": ""}))


def complaint(requirement: Requirement, found: Dict[str, str]) -> str:
    """Return what is wrong, empty if nothing is."""
    version = found.get(canonicalize_name(requirement.name))
    if version is None:
        return "{} is not there".format(requirement.name)
    fits = requirement.specifier.contains(version, prereleases=True)
    return "" if fits else "{} is there in version {}, not {}".format(requirement.name, version, requirement.specifier)


def main(manager: str, lines: Iterable[str]) -> None:
    requirements = [one for one in map(Requirement, lines) if applies(one)]
    found = installed()
    wrong = [text for text in (complaint(one, found) for one in requirements) if text]
    if wrong:
        sys.exit(
            "ERROR: {} says that it has installed everything, but in {} {}: a setting of the base image must have led "
            "it elsewhere".format(manager, sys.prefix, "; ".join(wrong))
        )
    for one in requirements:
        print("{}=={}".format(one.name, found[canonicalize_name(one.name)]))


def read(path: str) -> List[str]:
    with open(path, encoding="utf-8") as file:
        return file.read().splitlines()


if __name__ == "__main__":
    main(sys.argv[1], read(sys.argv[3]) if sys.argv[2] == "--file" else sys.argv[2:])
