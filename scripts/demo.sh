#!/bin/sh
# Starts the service unless it runs, submits an example, follows it to its result and says where the UI is.
set -eu

cd "$(dirname "$0")/.."
. scripts/service.sh

start_service
wait_until_ready
.venv/bin/amun submit --url "$url" --follow "${1:-examples/numpy-matmul.json}"
echo
echo "In a browser:  $url/"
echo "The API's UI:  $url/api/v1/ui/"
echo "Stop it:       make demo-stop      (log: $log)"
