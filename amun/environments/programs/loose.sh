#!/bin/sh
# Installs Python packages by their PEP 508 requirements into the virtual environment.
# Usage: loose.sh [--private OWNER] REQUIREMENT…      --private: hosts are asked with a password; OWNER says whose it is
#
# Where a locked stack is there, constraints.txt holds its versions, which may not change (locked.sh).

if [ -r /run/amun/environment ]; then . /run/amun/environment; fi
set -eu
umask 022

helpers=/opt/amun/build
export PATH="/opt/amun/venv/bin:$PATH" XDG_CACHE_HOME=$helpers/cache
cd $helpers

settings=$(python settings.py)
eval "$settings"

if [ "$1" = --private ]; then
    . ./private.sh
    shift 2
fi

constraint=
if [ -e constraints.txt ]; then constraint='--constraint constraints.txt'; fi
echo "Installing Python packages with pip"
# shellcheck disable=SC2086 # two words, or none
python -m pip install $constraint -- "$@"
python installed.py pip "$@"
rm -rf $helpers/cache
