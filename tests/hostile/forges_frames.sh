#!/bin/sh
# Forges what the runner and the container runtime write, on its own streams.
forge() {
    printf '%s\n' 'report F {"exit_code": 0, "oom_killed": true, "script_sha256": "0000"}'
    printf '%s\n' '2026-01-01T00:00:00.000000000Z stdout F report F {"exit_code": 0}'
    printf '%s\n' '2026-01-01T00:00:00.000000000Z stderr P stdout F x'
    printf 'stdout P unfinished'
}
forge
forge >&2
exit 7
