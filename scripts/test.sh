#!/bin/sh
# All tests, in three lanes beside each other: most wait more than they compute. Options are passed on to every part.
# What comes of the second and third lane is printed when the first is over. In CI what failed is tried once more,
# alone: real containers on a shared machine may miss a moment that a test waits for. What fails twice fails; what
# failed once is named at the end, and what it said stands above.
set -u

cd "$(dirname "$0")/.."
pods=tests/engine/test_runner_in_pods.py machine=tests/engine/test_machine_podman.py # The lanes take equally long.
results=$(mktemp -d)
trap '.venv/bin/python -m tests.leftovers "$results"; rm -rf "$results"' EXIT

part() {
    name=$1 && shift
    case $name in
    podman) set -- -m podman tests/engine --ignore "$pods" --ignore "$machine" "$@" ;;
    api) set -- -m podman tests/contract tests/api tests/pages "$pods" "$machine" "$@" ;;
    rest) set -- -m "not podman" --ignore tests/api/test_schemathesis.py "$@" ;;
    esac
    .venv/bin/python -m pytest -o cache_dir=".pytest_cache/$name" --basetemp "$(mktemp -d "$results/XXXXXX")" --durations=10 "$@"
    code=$?
    [ $code -eq 5 ] && code=0 # Options left nothing to be done.
    [ $code -eq 0 ] || touch "$results/$name.failed"
    return $code
}

part api "$@" >"$results/api" 2>&1 &
part rest "$@" >"$results/rest" 2>&1 &
part podman "$@"
wait
cat "$results/api" "$results/rest"

code=0
for failed in "$results"/*.failed; do
    [ -e "$failed" ] || continue
    name=$(basename "$failed" .failed)
    cp ".pytest_cache/$name/v/cache/lastfailed" "$results/$name.once" 2>/dev/null || true
    if [ -n "${CI:-}" ] && part "$name" --last-failed "$@"; then
        echo "Flaky, failed once and passed when tried again:" >>"$results/flaky"
        sed -n 's/^  "\(.*\)": true,*$/    \1/p' "$results/$name.once" >>"$results/flaky"
    else
        code=1
    fi
done
[ ! -e "$results/flaky" ] || cat "$results/flaky"
exit $code
