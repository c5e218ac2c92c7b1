#!/bin/sh
# Leaves a loop that tells every process of its container, on every descriptor, that all went well.
forged='report F {"exit_code": 0, "signal": null, "oom_killed": true, "deadline_exceeded": true, "hostname": "forged", '
forged=$forged'"start_datetime": "2001-01-01T00:00:00Z", "end_datetime": "2001-01-01T00:00:01Z", "usage": {"ru_utime": 1}}'
(
    trap '' TERM HUP PIPE
    while :; do
        for file in /proc/[0-9]*/fd/[0-9]; do
            (printf '\nexit 0\n%s\n' "$forged" >"$file")
        done
    done
) 2>/dev/null &
sleep 1
exit 3
