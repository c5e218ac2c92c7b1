#!/bin/sh
# All tests: those that need a real Podman, and beside them, on the other core, all the rest, whose output comes last.
# Options are passed on to both (`--last-failed` runs of each what failed of it).
set -u

cd "$(dirname "$0")/.."
pytest() {
    kept=$1 && shift
    .venv/bin/python -m pytest -o cache_dir=".pytest_cache/$kept" --durations=10 "$@"
}

output=$(mktemp)
trap 'rm -f "$output"' EXIT
pytest rest -m "not podman" "$@" >"$output" 2>&1 &
rest=$!
pytest podman -m podman "$@"
code=$?
wait $rest
rest=$?
cat "$output"
# 5: there was nothing to be done.
[ $code -ne 5 ] || code=0
[ $rest -ne 5 ] || rest=0
exit $((code > rest ? code : rest))
