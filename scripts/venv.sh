#!/bin/sh
# Makes .venv with the packages of Pipfile.lock, all hashes checked: `venv.sh` what the service needs, `venv.sh --dev`
# what its tests and checks need too.
set -eu

cd "$(dirname "$0")/.."

# The first Python that is recent enough.
find_python() {
    for candidate in "${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "Amun needs Python 3.11 or later; there is none on PATH (name one by PYTHON=…)." >&2
    return 1
}

sections=--no-dev
if [ "${1:-}" = --dev ]; then sections=; fi

if ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    python=$(find_python)
    "$python" -m venv --clear .venv
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
.venv/bin/python -c 'import micropipenv' 2>/dev/null || .venv/bin/pip install -qq micropipenv

# One call of pip for all packages: `micropipenv install` makes one for each. Which index they come from is left to
# pip's own configuration, so that mirrors work; the hashes are those of the lock wherever a file comes from.
requirements=$(mktemp)
trap 'rm -f "$requirements"' EXIT
PATH="$PWD/.venv/bin:$PATH" VIRTUAL_ENV="$PWD/.venv" \
    .venv/bin/micropipenv requirements --method pipenv --no-indexes --no-comments $sections >"$requirements"
echo "Installing $(grep -c '==' "$requirements") Python packages of Pipfile.lock …" >&2
.venv/bin/pip install -qq --no-deps --require-hashes --requirement "$requirements"

# The project itself, in place.
.venv/bin/pip install -qq --no-deps --editable .
