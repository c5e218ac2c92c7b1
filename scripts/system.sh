#!/bin/sh
# Installs what Amun needs of the system and what is missing; says what to do where it may not.
# Does nothing, quickly, where everything is there.
set -eu

PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

program() { command -v "$1" >/dev/null 2>&1; }

helper() {
    program "$1" && return
    for directory in /usr/libexec/podman /usr/lib/podman /usr/local/libexec/podman /usr/local/lib/podman; do
        if [ -x "$directory/$1" ]; then return; fi
    done
    return 1
}

certificates() { [ -s /etc/ssl/certs/ca-certificates.crt ] || [ -s /etc/pki/tls/certs/ca-bundle.crt ]; }

python_venv() { "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null; }

# Prints the packages that are missing, by this distribution's names: those without which nothing works, then the rest.
needed() {
    program podman || echo podman
    program runc || program crun || echo runc
    helper catatonit || echo catatonit
    certificates || echo ca-certificates
    python_venv || echo "$venv"
    if [ "$(id -u)" != 0 ]; then program newuidmap || echo "$uidmap"; fi
}

helpful() {
    program runc || echo runc
    program slirp4netns || echo slirp4netns
    program fuse-overlayfs || echo fuse-overlayfs
    program iptables || program nft || echo iptables
    helper netavark || echo netavark
    helper aardvark-dns || echo aardvark-dns
    [ "$family" != debian ] || program mmdebstrap || echo mmdebstrap
    [ "$family" != debian ] || [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
}

if program apt-get; then family=debian venv=python3-venv uidmap=uidmap
elif program dnf; then family=fedora venv=python3 uidmap=shadow-utils
else family=other venv='python3 with venv and ensurepip' uidmap='newuidmap and newgidmap'
fi

needed=$(needed | sort -u) missing=$({ needed; helpful; } | sort -u)
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then as_root=
elif program sudo && sudo -n true 2>/dev/null; then as_root='sudo -n'
else as_root=no
fi

# Words are split on purpose: these are lists of package names.
# shellcheck disable=SC2086
install_debian() {
    $as_root apt-get update -qq || true
    known=
    for package in $missing; do
        if apt-cache show "$package" >/dev/null 2>&1; then known="$known $package"; fi
    done
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $known >&2
}

# shellcheck disable=SC2086
install_fedora() { $as_root dnf install -y -q --setopt=strict=False $missing >&2; }

list=$(echo $missing)
if [ "$as_root" != no ] && [ "$family" != other ]; then
    echo "Installing: $list" >&2
    "install_$family" || true
    still=$(needed | sort -u)
    [ -n "$still" ] || exit 0
    echo "These could not be installed, and Amun needs them: $(echo $still)" >&2
    exit 1
fi
case $family in
    debian) command="sudo apt-get install -y $list" ;;
    fedora) command="sudo dnf install -y $list" ;;
    *) command="this system's package manager" ;;
esac
echo "Missing here: $list. Install with: $command" >&2
[ -z "$needed" ]
