"""What runs inside the inspected image, mounted at /amun: nothing here is imported by the service.

`hwinfo.sh` describes the node, in an init container, where `python.sh` finds a python3 that works. `runner.sh` hands
over to `runner.py`, or does the work itself where there is none. See `amun.runs.log_frames` for what they print.
"""

from importlib.resources import files

PROGRAMS = ("runner.sh", "runner.py", "hwinfo.sh", "python.sh")


def programs() -> dict[str, bytes]:
    """Return the programs by the names that they must have beside the script in /amun."""
    return {name: files(__name__).joinpath(name).read_bytes() for name in PROGRAMS}
