#!/bin/sh
# Installs native packages with the package manager that the image has, whichever it is.
# Usage: native.sh [--update] [NAME…]
#
# Dependencies are installed, recommended extras are not: the environment holds what the specification names. What the
# managers let pass fails here: a name that was not installed after all, a script of a package that failed.

if [ -r /run/amun/environment ]; then . /run/amun/environment; fi
set -eu
umask 022
helpers=/opt/amun/build

# The words of the managers are read below, so they have to be in English; how they encode names is the image's affair.
unset LC_ALL LANGUAGE
export LC_MESSAGES=C

fail() {
    echo "ERROR: $1" >&2
    exit 1
}

# run COMMAND…: runs the manager and passes on what it says. dnf, yum and microdnf end with 0 although a script of a
# package failed (rpm and they say so in one of these ways), apk says which.
run() {
    {
        "$@" 2>&1 && code=0 || code=$?
        echo $code >$helpers/code
    } | tee $helpers/said
    while IFS= read -r line; do
        case $line in
            "Warning: "[Gg]"roup "*" does not exist"*) fail "${line#Warning: }" ;; # yum 3 goes on with the others
            *"%"*"("*") scriptlet failed"*) package=${line#*%*"("} package=${package%%")"*} ;;
            *"scriptlet in rpm package "* | *"scriptlet failure in rpm package "*) package=${line##*rpm package } ;;
            *"rror in "*" scriptlet: "*) package=${line##* scriptlet: } package=${package%% *} ;;
            *": script exited with error "*) package=${line%%: script exited*} package=${package##* } ;;
            *) continue ;;
        esac
        fail "a script of the package $package failed: $line"
    done <$helpers/said
    read -r code <$helpers/code
    return "$code"
}

# there NAME: whether it is installed, as a package or as what an installed one provides. The managers' own ways to
# write a version, an architecture or a repository are known. What is no package (a group, a module, a task) is taken as
# said: the managers fail where there is no such.
there() {
    case $manager:$1 in
        *:@* | apt-get:*^) ;;
        apt-get:*:any | apt-get:*:native | apt-get:*:all) of_dpkg "${1%:*}" ;; # no architectures, to dpkg-query
        apt-get:*:any[=/]* | apt-get:*:native[=/]* | apt-get:*:all[=/]*) of_dpkg "${1%%:*}" ;;
        apt-get:*) of_dpkg "${1%%[=/]*}" || of_dpkg "${1%+}" ;;
        apk:*) apk info --installed "$1" ;;
        zypper:pattern:*) rpm --query --whatprovides "pattern() = ${1#*:}" ;;
        zypper:*=*) if rpm --query "${1%%=*}"; then rpm --query "${1%%=*}-${1#*=}"; else of_rpm "${1%%=*}"; fi ;;
        zypper:*) of_rpm "${1#*:}" ;;
        *:[0-9]:*) of_rpm "${1#?:}" ;; # EPOCH:NAME-VERSION
        *) of_rpm "$1" ;;
    esac >/dev/null 2>&1
}

of_rpm() {
    rpm --query "$1" || rpm --query --whatprovides "$1"
}

of_dpkg() {
    case $(dpkg-query --show --showformat='${Status}' "$1") in *" installed") return 0 ;; esac
    dpkg-query --show --showformat='${Status}, , ${Provides}, \n' | {
        while IFS= read -r line; do
            case $line in *" installed, "*", ${1%:*}, "* | *" installed, "*", ${1%:*} ("*) exit 0 ;; esac
        done
        exit 1
    }
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
        # Without Pattern-Only a name with a dot that no package has is taken for a regular expression (apt 2.0 and later).
        apt='apt-get -y -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold -o Acquire::Retries=3 -o Acquire::Languages=none'
        apt="$apt -o APT::Cmd::Pattern-Only=true"
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
    run $upgrade
fi
if [ $# -gt 0 ]; then
    echo "Installing native packages with $manager: $*"
    run $install "$@"
fi
case $manager in
    apt-get | apk) ;;
    *) if ! command -v rpm >/dev/null 2>&1; then
        echo "There is no rpm in the image by which to see whether all was installed."
        set --
    fi ;;
esac
for name; do
    there "$name" || fail "$manager ended well, but $name is not installed, nor anything that provides it"
done
$clean
if [ "$manager" = apt-get ]; then rm -rf /var/lib/apt/lists/*; fi
