#!/bin/sh
# All tests, in two lanes, for there are two cores, and both wait a lot. Options are passed on to every part
# (`--last-failed` runs of each what failed of it). What comes of the second lane is printed last.
set -u

cd "$(dirname "$0")/.."

# Exits with 0 also where there was nothing to be done (5).
part() {
    name=$1 marked=$2 && shift 2
    .venv/bin/python -m pytest -o cache_dir=".pytest_cache/$name" --durations=10 -m "$marked" "$@"
    code=$?
    [ $code -eq 5 ] || return $code
}

second_lane() {
    part rest "not podman" --ignore tests/api/test_schemathesis.py "$@"
    rest=$?
    part api podman tests/api tests/pages "$@" && return $rest
}

output=$(mktemp)
trap 'rm -f "$output"' EXIT
second_lane "$@" >"$output" 2>&1 &
second=$!
part podman podman tests/contract tests/engine "$@"
first=$?
wait $second
second=$?
cat "$output"
exit $((first > second ? first : second))
