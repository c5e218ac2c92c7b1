"""Hook of the stage precreate: reads a container's runtime configuration, limits its processes, writes it back.

Run by Podman for every container that Amun starts, as `python -I -S precreate.py LIMIT`; see oci-hooks(5) and
`configuration.pids_hook`. It imports nothing but the standard library, to start in a few milliseconds.
"""

import json
import sys


def main() -> None:
    configuration = json.load(sys.stdin)
    pids = configuration.setdefault("linux", {}).setdefault("resources", {}).setdefault("pids", {})
    limit = int(sys.argv[1])
    if not 0 < pids.get("limit", 0) <= limit:
        pids["limit"] = limit
    json.dump(configuration, sys.stdout)


if __name__ == "__main__":
    main()
