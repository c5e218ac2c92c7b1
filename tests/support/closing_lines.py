"""The closing lines of `make test`: what failed once, what this machine could not do, and how many tests there were.

Reads the JUnit files LANE.TRY.xml of a directory: one for each lane of tests, and another where those that failed were
tried again.
"""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree


class Outcome(NamedTuple):
    """How a test ended ("passed", "failed" or "skipped"), and its failure in full or why it was skipped."""

    ending: str
    text: str = ""


def closing(directory: Path) -> str:
    """The closing lines for the lanes whose reports lie in `directory`."""
    first, again = _outcomes(directory, "1"), _outcomes(directory, "2")
    last = first | again
    endings = Counter(outcome.ending for outcome in last.values())
    reasons = Counter(outcome.text for outcome in last.values() if outcome.ending == "skipped")
    lines = [f"Skipped, {count} times: {reason}" for reason, count in reasons.most_common()]
    lines += [f"Failed: {name}" for name, outcome in last.items() if outcome.ending == "failed"]
    for name, outcome in again.items():
        if outcome.ending == "passed":
            lines.append(f"Flaky, failed once and passed when tried again: {name}")
            lines.append(textwrap.indent(first[name].text, "    "))
    lines.append(", ".join(f"{endings[ending]} {ending}" for ending in ("passed", "failed", "skipped")))
    return "\n".join(lines)


def _outcomes(directory: Path, number: str) -> dict[str, Outcome]:
    reports = sorted(directory.glob(f"*.{number}.xml"))
    cases = [case for report in reports for case in ElementTree.parse(report).iter("testcase")]
    return {f"{case.get('classname')}::{case.get('name')}": _outcome(case) for case in cases}


def _outcome(case: ElementTree.Element) -> Outcome:
    for kind in ("failure", "error"):
        if (failed := case.find(kind)) is not None:
            return Outcome("failed", failed.text or "")
    if (skipped := case.find("skipped")) is not None:
        return Outcome("skipped", skipped.get("message", ""))
    return Outcome("passed")


if __name__ == "__main__":
    print(closing(Path(sys.argv[1])))
