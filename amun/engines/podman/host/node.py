"""The machine itself as the only node: what the hwinfo program, run on it directly, sees."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
from pathlib import Path

from amun.errors import EngineUnavailable
from amun.model.inspection import Node
from amun.runs import programs

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Kernel names of machines whose Kubernetes label differs."""


def this_node() -> Node:
    """Raises `EngineUnavailable` if the hardware cannot be read."""
    with tempfile.TemporaryDirectory() as directory:
        target = Path(directory) / "info.json"
        program = Path(programs.__file__).parent / "hwinfo.sh"
        try:
            subprocess.run(["/bin/sh", str(program), str(target)], check=True, capture_output=True, timeout=30)
            hwinfo = json.loads(target.read_bytes())
        except (OSError, ValueError, subprocess.SubprocessError) as exc:
            raise EngineUnavailable(f"The hardware of this machine cannot be read: {exc}.") from exc
    machine = os.uname().machine
    architecture = ARCHITECTURES.get(machine, machine)
    name = socket.gethostname()
    return Node(
        name=name,
        architecture=architecture,
        cpu=float(len(os.sched_getaffinity(0))),
        memory=hwinfo["memory"]["total_bytes"],
        hwinfo=hwinfo,
        gpus=tuple(hwinfo.get("gpus") or ()),
        labels={"kubernetes.io/arch": architecture, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
    )
