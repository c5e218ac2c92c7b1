#!/bin/sh
# Finds a python3 that works: python.sh FILE ARGUMENT...
#
# FILE gets the path of the first one that prints `works`, and nothing else, when it is called with the arguments; it is
# empty where there is none. What is called python3 in an image may be a shim that fails or hangs, a Python 2, or a
# program for another machine. Only what every POSIX shell has built in is needed.

seconds=10
most=5 # as hanging ones are waited for

# Kills process $1 when its time is over. An image may have no sleep, or a false one: then this looks at the clock without
# a pause, rather than wait for ever for what hangs. Without a clock nothing is done.
kill_late() {
    read -r now _ </proc/uptime || return
    late=$((${now%.*} + seconds))
    while [ "${now%.*}" -lt $late ]; do
        sleep 1
        read -r now _ </proc/uptime
    done
    kill -9 "$1"
}

# works PYTHON ARGUMENT...
works() {
    "$@" >"$file" &
    tried=$!
    kill_late $tried &
    late=$!
    wait $tried
    code=$?
    kill -9 $late
    { [ $code -eq 0 ] && read -r said && [ "$said" = works ] && ! read -r said; } <"$file"
}

# try PYTHON ARGUMENT...
try() {
    case $seen in *":$1:"*) return 1 ;; esac
    [ -f "$1" ] && [ -x "$1" ] && [ $most -gt 0 ] || return 1
    seen=$seen:$1: most=$((most - 1))
    works "$@" && printf '%s\n' "$1" >"$file"
}

exec </dev/null >/dev/null 2>&1
file=$1 seen=''
shift
set -f
IFS=:
for directory in $PATH /usr/bin /usr/local/bin; do
    unset IFS
    if try "$directory/python3" "$@"; then exit; fi
done
try /usr/libexec/platform-python "$@" || : >"$file"
