#!/bin/sh
# Installs native packages with the package manager that the image has, whichever it is.
# Usage: native.sh [--update] [NAME…]
#
# Dependencies are installed, recommended extras are not: the environment holds what the specification names.

if [ -r /run/amun/environment ]; then . /run/amun/environment; fi
set -eu
umask 022

fail() {
    echo "ERROR: $1" >&2
    exit 1
}

update=false
if [ "${1-}" = --update ]; then
    update=true
    shift
fi

for name; do
    case $name in
        -*) fail "a package name cannot start with a dash: $name" ;;
    esac
done

managers='dnf microdnf yum apt-get apk zypper'
for manager in $managers none; do
    if command -v "$manager" >/dev/null 2>&1; then break; fi
done

refresh=:
case $manager in
    dnf)
        upgrade='dnf -y upgrade'
        install='dnf -y --setopt=install_weak_deps=False install'
        clean='dnf clean all'
        ;;
    microdnf)
        upgrade='microdnf -y update'
        install='microdnf -y --setopt=install_weak_deps=0 install'
        clean='microdnf clean all'
        ;;
    yum)
        upgrade='yum -y update'
        install='yum -y install'
        clean='yum clean all'
        ;;
    apt-get)
        export DEBIAN_FRONTEND=noninteractive
        apt='apt-get -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold -o Acquire::Retries=3 -o Acquire::Languages=none'
        refresh="$apt update"
        upgrade="$apt upgrade"
        install="$apt --no-install-recommends install"
        clean='apt-get clean'
        ;;
    apk)
        upgrade='apk upgrade --no-cache'
        install='apk add --no-cache'
        clean=:
        ;;
    zypper)
        upgrade='zypper --non-interactive update'
        install='zypper --non-interactive install --no-recommends'
        clean='zypper clean --all'
        ;;
    none)
        fail "the base image has no package manager that is known here (looked for: $managers)"
        ;;
esac

$refresh
if $update; then
    echo "Updating native packages with $manager"
    $upgrade
fi
if [ $# -gt 0 ]; then
    echo "Installing native packages with $manager: $*"
    $install "$@"
fi
$clean
if [ "$manager" = apt-get ]; then rm -rf /var/lib/apt/lists/*; fi
