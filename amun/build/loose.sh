#!/bin/sh
# Installs Python packages by their PEP 508 requirements into the virtual environment.
# Usage: loose.sh REQUIREMENT…
#
# Where a locked stack is there, constraints.txt holds its versions, which may not change.

if [ -r /run/amun/environment ]; then . /run/amun/environment; fi
set -eu
umask 022

helpers=/opt/amun/build
export PATH="/opt/amun/venv/bin:$PATH" PIP_DISABLE_PIP_VERSION_CHECK=1 XDG_CACHE_HOME=$helpers/cache
cd $helpers

set -- -- "$@"
if [ -e constraints.txt ]; then set -- --constraint constraints.txt "$@"; fi
echo "Installing Python packages with pip"
python -m pip install "$@"
rm -rf $helpers/cache
