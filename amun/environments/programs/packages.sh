#!/bin/sh
# Prints what is installed, a package a line: `native NAME VERSION` by the package manager's own database, then
# `python NAME VERSION` as the script's interpreter finds them. What an image does not have is left out.

if [ -r /var/lib/dpkg/status ] && command -v dpkg-query >/dev/null 2>&1; then
    dpkg-query --show --showformat='native ${Package} ${Version} ${db:Status-Abbrev}\n' | sed -n 's/ ii *$//p'
elif command -v rpm >/dev/null 2>&1; then
    rpm --query --all --queryformat 'native %{NAME} %{VERSION}-%{RELEASE}\n'
elif [ -r /lib/apk/db/installed ]; then
    awk '/^P:/ { name = substr($0, 3) } /^V:/ { print "native", name, substr($0, 3) }' /lib/apk/db/installed
fi

python=/opt/amun/venv/bin/python
if [ ! -e $python ]; then
    found=${0%packages.sh}python.found
    /bin/sh "${0%packages.sh}python.sh" "$found" -c 'print("works")'
    read -r python <"$found" || exit 0
fi
"$python" -c '
try:
    from importlib.metadata import distributions
except ImportError:  # before Python 3.8
    import pkg_resources
    found = [(one.project_name, one.version) for one in pkg_resources.working_set]
else:
    found = [(one.metadata["Name"], one.version) for one in distributions()]
for name, version in found:
    if name and version:
        print("python", name, version)
'
