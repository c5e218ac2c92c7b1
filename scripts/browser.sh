#!/bin/sh
# Installs the browser that the page is tested in: the distribution's Chromium. Where it cannot be had, says so and
# goes on: the tests that need it say so as well.
set -u

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" = 0 ]; then as_root=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root='sudo -n'
else
    echo "There is no Chromium here to test the page in; install it with: sudo apt-get install chromium" >&2
    exit 0
fi
echo "Installing: chromium" >&2
if command -v apt-get >/dev/null 2>&1; then
    $as_root apt-get update -qq || true
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >&2
elif command -v dnf >/dev/null 2>&1; then
    $as_root dnf install -y -q chromium >&2
fi || echo "Chromium could not be installed: the page is not tested in a browser." >&2
