#!/bin/sh
# Installs a locked Python stack into the virtual environment: exact versions, every hash checked.
# Usage: locked.sh [--private OWNER] micropipenv|pipenv|uv [HOST…]
#
# --private OWNER  hosts are asked with a password; OWNER says whose it is
# HOST             an index whose certificate is not to be verified (uv)
#
# The package manager comes along or is installed aside, and is gone when this is done.

if [ -r /run/amun/environment ]; then . /run/amun/environment; fi
set -eu
umask 022

venv=/opt/amun/venv
helpers=/opt/amun/build
tools=$helpers/tools
export PATH="$venv/bin:$PATH" VIRTUAL_ENV=$venv XDG_CACHE_HOME=$helpers/cache
cd $helpers
settings=$(python settings.py)
eval "$settings"

if [ "$1" = --private ]; then
    . ./private.sh
    shift 2
fi

manager=$1
shift

bring() {
    python -m pip install --quiet --target $tools -r "$1"
}

only_locked_indexes() {
    unset PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_FIND_LINKS PIP_NO_INDEX PIP_CONSTRAINT PIP_BUILD_CONSTRAINT PIP_PRE
}

echo "Installing the locked Python packages with $manager"
case $manager in
    micropipenv)
        only_locked_indexes
        MICROPIPENV_NO_LOCKFILE_PRINT=1 MICROPIPENV_PIP_BIN=$venv/bin/pip \
            python micropipenv.py install --method pipenv
        ;;
    pipenv)
        bring pipenv.txt
        only_locked_indexes
        # Not by PYTHONPATH: the pip that pipenv starts would take pipenv's own packages for installed ones.
        COLUMNS=1000 PIPENV_VERBOSITY=-1 PIPENV_NOSPIN=1 PIPENV_PIPFILE=$helpers/Pipfile python -c '
import runpy, sys
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("pipenv", run_name="__main__", alter_sys=True)' $tools sync
        ;;
    uv)
        bring uv.txt
        only_locked_indexes
        for host; do
            shift
            set -- "$@" --allow-insecure-host "$host"
        done
        for requirements in requirements-*.txt; do
            # Any index may be asked for a package of no particular one: its hashes say which file is meant.
            $tools/bin/uv pip install --no-config --python $venv/bin/python --no-deps --require-hashes \
                --index-strategy unsafe-best-match --link-mode copy --compile-bytecode "$@" -r "$requirements"
        done
        ;;
esac
if [ -e repositories.txt ]; then
    echo "Installing the locked Python packages from version control with pip"
    python -m pip install --no-deps -r repositories.txt
fi
python installed.py "$manager" --file requested.txt >constraints.txt
rm -rf $tools $helpers/cache
