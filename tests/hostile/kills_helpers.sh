#!/bin/sh
# Leaves a loop that kills whatever else it finds in its container but the first process and the script.
(
    trap '' TERM HUP PIPE
    while :; do
        for process in /proc/[0-9]*; do
            case ${process#/proc/} in 1 | $$) continue ;; esac
            read -r _ _ _ parent _ <"$process/stat"
            [ "$parent" != 1 ] || kill -9 "${process#/proc/}"
        done
    done
) >/dev/null 2>&1 &
sleep 1
exit 3
