#!/bin/sh
# All tests, in three lanes side by side, for most of them wait a lot. Options are passed on to every part
# (`--last-failed` runs of each what failed of it). What comes of all lanes but the first is printed when that is over.
set -u

cd "$(dirname "$0")/.."

# Exits with 0 also where there was nothing to be done (5).
part() {
    name=$1 marked=$2 && shift 2
    nice -n "$NICE" .venv/bin/python -m pytest -o cache_dir=".pytest_cache/$name" --durations=10 -m "$marked" "$@"
    code=$?
    [ $code -eq 5 ] || return $code
}

# What has containers to wait for goes first.
NICE=0
outputs=$(mktemp -d)
trap 'rm -rf "$outputs"' EXIT
NICE=5 part rest "not podman" --ignore tests/api/test_schemathesis.py "$@" >"$outputs/rest" 2>&1 &
rest=$!
part api podman tests/contract tests/api tests/pages "$@" >"$outputs/api" 2>&1 &
api=$!
part engine podman tests/engine "$@"
worst=$?
for lane in $rest $api; do
    wait "$lane"
    code=$?
    [ $code -le $worst ] || worst=$code
done
cat "$outputs/rest" "$outputs/api"
exit $worst
