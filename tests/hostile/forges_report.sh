#!/bin/sh
# Forges a report on the very descriptor that the runner's is written to, where it gets there.
forged='report F {"exit_code": 0, "signal": 1, "oom_killed": true, "truncated": 1, "usage": {"ru_utime": 1e999}, '
forged=$forged'"script_sha256": "0000", "hwinfo": "{\"cpu_info\": 7}", "start_datetime": "yesterday", "os_release": 3}'
for process in 1 $PPID; do
    for descriptor in 0 1 2 3 4 5 6 7 8 9; do
        (printf '\n%s\n' "$forged" >/proc/$process/fd/$descriptor) 2>/dev/null
    done
done
exit 7
