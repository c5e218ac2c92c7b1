"""A base image whose package manager does as it is told, so that tests need no network and know how long builds take.

Packages of it are made by name: `slow(4)` takes four seconds to install, `hog(80)` takes 80 MiB of memory,
`chatty(80)` prints 80 bytes and does not end, `missing()` is not to be had. Each name is new, or the builder's layer
cache would do no work at all. Each time the package manager installs anything it prints a token of its own (`tokens`),
by which the times that a build was really worked at can be counted.
"""

from __future__ import annotations

import re
import secrets
import subprocess
import tempfile
from pathlib import Path

from amun.engines.podman.builds.namespace import build_command
from amun.engines.podman.host.machine import Machine

IMAGE = "localhost/amun/test-standin:1"

PROGRAM = """#!/bin/sh
token=$(cat /proc/sys/kernel/random/uuid)
for word; do
    case $word in
        install) echo "installing $token" ;;
        missing-*)
            echo "Error: Unable to find a match: $word" >&2
            exit 1
            ;;
        slow-*)
            left=${word#slow-}
            left=${left%%-*}
            while [ "$left" -gt 0 ]; do
                echo "$word: $left to go"
                sleep 1
                left=$((left - 1))
            done
            echo "$word: installed"
            ;;
        chatty-*)
            size=${word#chatty-}
            yes "$word" | head -c "${size%%-*}"
            sleep 600
            ;;
        hog-*)
            size=${word#hog-}
            python3 -c 'import sys; print(len(b"x" * (int(sys.argv[1]) << 20)))' "${size%%-*}" || exit
            echo "$word: installed"
            ;;
    esac
done
"""

DATABASE = """#!/bin/sh
case $2 in
    slow-* | hog-*) echo "$2" ;;
    *)
        echo "package $2 is not installed"
        exit 1
        ;;
esac
"""
"""``rpm --query NAME``: all that can be installed was."""

DOCKERFILE = "FROM {base}\nUSER 0\nCOPY dnf rpm /usr/bin/\nRUN chmod 755 /usr/bin/dnf /usr/bin/rpm\n"


def make(machine: Machine, base: str) -> str:
    """Make the image on this machine; where it is made already, that takes a moment."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "dnf").write_text(PROGRAM)
        Path(place, "rpm").write_text(DATABASE)
        Path(place, "Dockerfile").write_text(DOCKERFILE.format(base=base))
        command = build_command(machine, "--quiet", "--tag", IMAGE, place)
        subprocess.run(command, env=machine.environment, check=True, capture_output=True, timeout=120)
    return IMAGE


def quick() -> str:
    """A package that takes no time."""
    return slow(0)


def slow(seconds: int) -> str:
    """A package that takes its time."""
    return f"slow-{seconds}-{secrets.token_hex(4)}"


def chatty(size: int) -> str:
    """A package that prints so many bytes, and does not end."""
    return f"chatty-{size}-{secrets.token_hex(4)}"


def hog(mebibytes: int) -> str:
    """A package that takes memory."""
    return f"hog-{mebibytes}-{secrets.token_hex(4)}"


def missing() -> str:
    """A package that is not there."""
    return f"missing-{secrets.token_hex(4)}"


def tokens(log: str) -> list[str]:
    """The tokens in a build's log: one for each time that the package manager was at work."""
    return re.findall(r"^installing (\S+)$", log, re.MULTILINE)
