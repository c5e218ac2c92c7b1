#!/bin/sh
# Measures what the service costs: on the one that runs, or on one started for it.
set -eu

cd "$(dirname "$0")/.."
. scripts/service.sh

was_running=$(service_pid || true)
start_service
wait_until_ready
status=0
.venv/bin/python scripts/bench.py "$url" || status=$?
if [ -z "$was_running" ]; then stop_service; fi
exit $status
