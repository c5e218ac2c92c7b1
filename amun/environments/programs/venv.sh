#!/bin/sh
# Makes the virtual environment that Python packages are installed into, with a pip of its own.
# Usage: venv.sh [--join] [--upgrade-pip] [--python VERSION]
#
# --join            also see the Python packages that the base image has
# --python VERSION  use this Python (3, 3.6, 3.6.8), and fail where the image has another one only

if [ -r /run/amun/environment ]; then . /run/amun/environment; fi
set -eu
umask 022

venv=/opt/amun/venv
helpers=/opt/amun/build
export XDG_CACHE_HOME=$helpers/cache

fail() {
    echo "ERROR: $1" >&2
    exit 1
}

# A builder forgets after a step what it wrote into a volume of the base image (proc_pid_mountinfo(5)).
while read -r _ _ _ _ mounted _; do
    case $venv/ in
        "${mounted%/}"/*) [ "$mounted" = / ] || fail "$mounted is a volume of the base image, in which nothing is kept" ;;
    esac
done </proc/self/mountinfo

join=false
upgrade=false
version=
while [ $# -gt 0 ]; do
    case $1 in
        --join) join=true ;;
        --upgrade-pip) upgrade=true ;;
        --python)
            version=$2
            shift
            ;;
    esac
    shift
done

# python3.6 may be there beside a python3 that is newer.
for python in ${version:+"python$version" "python${version%.*}"} none; do
    if [ "$python" = none ] || "$python" -c '' >/dev/null 2>&1; then break; fi
done
if [ "$python" = none ]; then
    /bin/sh $helpers/python.sh $helpers/python.found -c 'print("works")'
    if ! read -r python <$helpers/python.found; then
        remedy="add python3 to \`packages\` or choose another base"
        if ! command -v python3 >/dev/null 2>&1; then
            fail "the base image has no python3, which Python packages need: $remedy"
        fi
        fail "the python3 of the base image ($(command -v python3)) does not start, and Python packages need it: $remedy"
    fi
fi
found=$("$python" -c 'import platform; print(platform.python_version())')
case $found. in
    "$version".*) ;;
    *) if [ -n "$version" ]; then
        fail "the lock is for Python $version and the image has Python $found: choose another base or lock again"
    fi ;;
esac

if ! "$python" -c 'import venv' 2>/dev/null; then
    fail "python3 of the base image has no venv module: add the native package that has it (python3-venv) to \`packages\`"
fi
echo "Making a virtual environment of Python $found"
pip=--with-pip
if ! "$python" -m ensurepip --version >/dev/null 2>&1; then pip=--without-pip; fi
set -- "$venv"
if $join; then set -- --system-site-packages "$@"; fi
if [ $pip = --without-pip ]; then set -- --without-pip "$@"; fi
"$python" -m venv "$@"

if $join; then
    # Where python3 is itself that of a virtual environment, its packages are not the system's.
    "$python" -c 'import sys, sysconfig
if sys.prefix != sys.base_prefix: print(sysconfig.get_path("purelib"))' >$helpers/base.pth
    cp $helpers/base.pth "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/base.pth"
fi
if [ $pip = --without-pip ]; then "$venv/bin/python" $helpers/get_pip.py; fi
settings=$("$venv/bin/python" $helpers/settings.py)
eval "$settings"
if $upgrade; then "$venv/bin/python" -m pip install --upgrade pip; fi
rm -rf $helpers/cache
