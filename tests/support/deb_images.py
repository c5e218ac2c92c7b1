"""A Debian image with a small repository of its own, each package of which is there for a case of the tests."""

from __future__ import annotations

# Name, further lines of the control file, script after the installation, file in /etc with the package's name in it.
PACKAGES = [
    ("own-needy", "Depends: libmissing (>= 2)", "", ""),
    ("own-bad", "", "exit 3", ""),
    ("own-left", "Conflicts: own-right", "", ""),
    ("own-right", "", "", ""),
    ("own-same-a", "", "", "same"),
    ("own-same-b", "", "", "same"),
    ("own-gone", "", "", ""),
    ("own-broken", "", "", ""),
]

SETUP = """\
set -eu
mkdir -p /srv/repo && cd /srv/setup
for control in *.control; do
    name=${control%.control}
    mkdir -p "$name/DEBIAN" "$name/etc"
    cp "$control" "$name/DEBIAN/control"
    if [ -s "$name.postinst" ]; then install -m 755 "$name.postinst" "$name/DEBIAN/postinst"; fi
    if [ -s "$name.file" ]; then cp "$name.file" "$name/etc/$(cat "$name.file")" && echo "$name" >>"$name/etc/same"; fi
    dpkg-deb --build "$name" "/srv/repo/$name.deb"
    cat "$control"
    echo "Filename: ./$name.deb"
    echo "Size: $(stat --format %s "/srv/repo/$name.deb")"
    echo "SHA256: $(sha256sum "/srv/repo/$name.deb" | cut -d ' ' -f 1)"
    echo
done >/srv/repo/Packages.new
grep -v ^dpkg-deb: /srv/repo/Packages.new >/srv/repo/Packages
rm /srv/repo/own-gone.deb && echo broken >/srv/repo/own-broken.deb
echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list.d/own.list
"""


def context(base: str) -> dict[str, bytes]:
    """Return the build context of the image."""
    dockerfile = f"FROM {base}\nUSER 0\nCOPY . /srv/setup/\nRUN sh /srv/setup/setup.sh && rm -rf /srv/setup\n"
    files = {"Dockerfile": dockerfile, "setup.sh": SETUP}
    for name, more, script, file in PACKAGES:
        control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: a\n"
        files[f"{name}.control"] = control + (f"{more}\n" if more else "")
        files[f"{name}.postinst"] = f"#!/bin/sh\n{script}\n" if script else ""
        files[f"{name}.file"] = f"{file}\n" if file else ""
    return {name: text.encode() for name, text in files.items()}
