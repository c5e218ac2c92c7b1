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
    # What hosts are asked with, see amun/logins.py; it is no part of the image.
    export NETRC=/run/amun-logins/netrc GIT_TERMINAL_PROMPT=0
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=credential.helper
    export GIT_CONFIG_VALUE_0='store --file=/run/amun-logins/git-credentials'
    shift 2
fi

constraint=
if [ -e constraints.txt ]; then constraint='--constraint constraints.txt'; fi
echo "Installing Python packages with pip"
# shellcheck disable=SC2086 # two words, or none
python -m pip install $constraint -- "$@"
python installed.py pip "$@"
rm -rf $helpers/cache
