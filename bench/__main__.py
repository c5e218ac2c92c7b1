"""``python -m bench``: measure, and print a table. Exits with 0 whatever comes out."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from . import cold_build, drain, follow, host, locked_install, post_to_report, requests_answered
from .figures import Figure, table
from .plan import Plan
from .service import serve

Measurement = Callable[[Plan], Iterable[Figure]]

MEASUREMENTS: dict[str, tuple[str, Measurement]] = {
    "a": ("POST to report", post_to_report.measure),
    "b": ("cold build", cold_build.measure),
    "c": ("locked install", locked_install.measure),
    "d": ("requests answered", requests_answered.measure),
    "e": ("logs followed", follow.measure),
    "f": ("queue drained", drain.measure),
}

OUTPUT_LIMIT = 256 * 1024**2
"""Bytes of output that the measured service keeps of a script, more than (e) prints."""


def main() -> None:
    chosen = _arguments()
    with tempfile.TemporaryDirectory(prefix="amun-bench-") as name:
        directory = Path(name)
        with serve(directory / "state", output_limit=OUTPUT_LIMIT) as service:
            plan = Plan(service, directory, chosen.rounds, chosen.inspections)
            machine = host.describe(service.machine)
            figures = [figure for letter in chosen.only for figure in _measure(letter, plan)]
    print(machine, table(figures), sep="\n\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", type=_letters, default=list(MEASUREMENTS), help="which measurements: a,f")
    parser.add_argument("--inspections", type=int, default=200, metavar="N", help="how many (f) queues at once")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often what is compared is repeated")
    return parser.parse_args()


def _letters(text: str) -> list[str]:
    letters = [letter.strip() for letter in text.split(",")]
    if unknown := set(letters) - set(MEASUREMENTS):
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}, only {', '.join(MEASUREMENTS)}")
    return letters


def _measure(letter: str, plan: Plan) -> list[Figure]:
    """The figures of one measurement under a title; what goes wrong is a figure too, and the others go on."""
    title, measure = MEASUREMENTS[letter]
    figures = [Figure(f"({letter}) {title}", "")]
    print(f"({letter}) {title} …", file=sys.stderr, flush=True)
    begun = time.monotonic()
    try:
        figures.extend(measure(plan))
    except Exception as error:
        figures.append(Figure("not measured", f"{type(error).__name__}: {error}"[:120]))
    print(f"    {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return figures


if __name__ == "__main__":
    main()
