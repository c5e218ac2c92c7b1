#!/bin/sh
# Stops the service of this state directory, then whatever of its builds and runs is still there.
set -eu

cd "$(dirname "$0")/.."
. scripts/service.sh

stop_service
if [ -x .venv/bin/python ] && [ -d "$AMUN_STATE_DIR/inspections" ]; then
    .venv/bin/python -m amun.engines.podman.cleanup
fi
echo "Nothing of $AMUN_STATE_DIR runs any more."
