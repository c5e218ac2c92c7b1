#!/bin/sh
# The contract of engines and the demo on a real cluster, and nothing left there in the end. Which one, as whom, where and
# from which base image is said by KUBECONFIG, NAMESPACE and BASE (an image with python3 that the cluster can pull).
set -eu

cd "$(dirname "$0")/.."
for name in KUBECONFIG NAMESPACE BASE; do
    eval "value=\${$name:-}"
    if [ -z "$value" ]; then
        echo "Say which cluster: make test-cluster KUBECONFIG=FILE NAMESPACE=NAME BASE=IMAGE ($name is missing)" >&2
        exit 2
    fi
done

export AMUN_TEST_KUBECONFIG="$KUBECONFIG" AMUN_TEST_NAMESPACE="$NAMESPACE" AMUN_TEST_BASE="$BASE"
export AMUN_ENGINE=openshift AMUN_KUBECONFIG="$KUBECONFIG" AMUN_NAMESPACE="$NAMESPACE"
AMUN_STATE_DIR=$(mktemp -d)
AMUN_PORT=${AMUN_TEST_PORT:-18080}
export AMUN_STATE_DIR AMUN_PORT
trap 'scripts/stop.sh; .venv/bin/python -m tests.contract.real; rm -rf "$AMUN_STATE_DIR"' EXIT

if ! .venv/bin/python -c '
import sys
from amun.engines.kubernetes.api_client import connect
from amun.settings import Settings
sys.exit(1 if connect(Settings()).lacks() else 0)
'; then
    echo "This cluster does not serve OpenShift's builds and image streams: the contract and the demo are skipped, Amun builds by nothing else yet."
    exit 0
fi

.venv/bin/python -m pytest tests/contract -m cluster -v --timeout 3000 "$@"

.venv/bin/python - >"$AMUN_STATE_DIR/demo.json" <<'EOF'
import json, os
with open("examples/numpy-matmul.json") as file:
    print(json.dumps({**json.load(file), "base": os.environ["AMUN_TEST_BASE"]}))
EOF
scripts/demo.sh "$AMUN_STATE_DIR/demo.json"
