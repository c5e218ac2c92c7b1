#!/bin/sh
# Notes what is installed, makes the home of the script, puts the files where they belong, and removes what served the
# build.
# Usage: finish.sh [PATH…]      the first PATH gets the content of file-0, the next of file-1, …
#
# The script runs as a user that nobody knows yet: all may come to the files and read them, and write in the home.

set -eu
home=/home/amun
helpers=/opt/amun/build

# Worth knowing, and never worth failing for. One line, which the shell runner can quote in no time.
sh $helpers/packages.sh | tr '\n' ';' >/opt/amun/packages || echo "Not all that is installed could be noted."
chmod 0644 /opt/amun/packages

fail() {
    echo "ERROR: $1" >&2
    exit 1
}

# What is mounted for this step: volumes of the base image, and a few files. (proc_pid_mountinfo(5): \040 is a space.)
mounted=$(while read -r _ _ _ _ at _; do printf '%b\n' "$at"; done </proc/self/mountinfo)

# kept PATH: fails where the builder forgets after the step what was written.
kept() {
    while IFS= read -r at; do
        case $1/ in
            "${at%/}"/*) [ "$at" = / ] || fail "$1 cannot be kept in the image: $at is a volume of the base image, or the builder's own" ;;
        esac
    done <<MOUNTED
$mounted
MOUNTED
}

# reachable DIRECTORY: lets every user search it and all above it.
reachable() {
    directory=$1
    while :; do
        case $(ls -ld "$directory/") in
            ?????????[xst]*) ;;
            *) chmod a+x "$directory/" || fail "the script could not look into $directory" ;;
        esac
        if [ -z "$directory" ]; then return; fi
        directory=${directory%/*}
    done
}

# place CONTENT PATH: the file as a whole, so that a library that this shell uses does not change under it.
place() {
    case $2 in
        "$home"/*) umask 000 ;;
        *) umask 022 ;;
    esac
    mkdir -p "${2%/*}/"
    parent=$(cd -P "${2%/*}/" && pwd -P)
    kept "${parent%/}/${2##*/}"
    reachable "${2%/*}"
    reachable "${parent%/}"
    if [ -d "$2" ]; then fail "$2 is a directory in the base image: no file can be there"; fi
    chmod 0644 "$1"
    mv -f "$1" "$2"
    /bin/sh -c : || fail "with the file at $2, /bin/sh does not start, which every run needs: choose another path"
}

for directory in /amun $home/hwinfo; do
    if [ -e $directory ] && [ ! -d $directory ]; then fail "$directory of the base image has to be a directory: each run gets one there"; fi
done
for directory in $home /opt/amun; do
    mkdir -p $directory
    there=$(cd -P $directory && pwd -P)
    kept "$there"
    reachable $directory
    reachable "$there"
done
chmod 0777 $home
for directory in /bin /usr/bin /lib /usr/lib /lib64 /usr/lib64 /lib/*-linux-* /usr/lib/*-linux-*; do # of every shell
    if [ -d "$directory" ]; then
        reachable "$directory"
        reachable "$(cd -P "$directory" && pwd -P)"
    fi
done
number=0
for path; do
    place "$helpers/file-$number" "$path"
    number=$((number + 1))
done
rm -rf $helpers
