#!/bin/sh
# All tests, in lanes beside each other: most wait more than they compute. LANES names some of them. Options are passed
# on to every lane. What comes of all lanes but the first is printed when the first is over. In CI what failed is tried
# once more, alone: real containers on a shared machine may miss a moment that a test waits for. What fails twice fails.
# The closing lines name what failed once, with what it said, and count what this machine could not do.
set -u

cd "$(dirname "$0")/.."
pods=tests/engine/test_runner_in_pods.py machine=tests/engine/test_machine_podman.py # The lanes take equally long.
results=$(mktemp -d)
.venv/bin/python -m tests.support.remove_leftovers --note "$results"
trap '.venv/bin/python -m tests.support.remove_leftovers "$results"; rm -rf "$results"' EXIT

# lane NAME TRY OPTION…
lane() {
    name=$1 try=$2 && shift 2
    case $name in
    podman) set -- -m podman tests/engine --ignore "$pods" --ignore "$machine" "$@" ;;
    contract) set -- -m podman tests/contract "$pods" "$machine" "$@" ;; # part of the next
    api) set -- -m podman tests/contract tests/api tests/pages "$pods" "$machine" "$@" ;;
    rest) set -- -m "not podman" --ignore tests/api/test_schemathesis.py "$@" ;;
    esac
    .venv/bin/python -m pytest -o cache_dir=".pytest_cache/$name" --basetemp "$(mktemp -d "$results/XXXXXX")" \
        --junitxml "$results/$name.$try.xml" --durations=10 "$@"
    code=$?
    [ $code -eq 5 ] && code=0 # Options left nothing to be done.
    [ $code -eq 0 ] || touch "$results/$name.$try.failed"
    return $code
}

set -f # Options may have wildcards.
lanes=${LANES:-podman api rest}
first=${lanes%% *} others=
[ "$first" = "$lanes" ] || others=${lanes#* }
for name in $others; do
    lane "$name" 1 "$@" >"$results/$name.log" 2>&1 &
done
lane "$first" 1 "$@"
wait
for name in $others; do cat "$results/$name.log"; done

code=0
for name in $lanes; do
    [ -e "$results/$name.1.failed" ] || continue
    if [ -z "${CI:-}" ] || ! lane "$name" 2 --last-failed "$@"; then code=1; fi
done
.venv/bin/python -m tests.support.closing_lines "$results"
exit $code
