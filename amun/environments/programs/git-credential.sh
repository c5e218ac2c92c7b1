#!/bin/sh
# A credential helper (gitcredentials(7)): of the netrc file, which git itself looks for at home only, the user and the
# password of a host. They are the same for all its ports, which git's own store would not take.

[ "$1" = get ] || exit 0
host=
while IFS='=' read -r key value; do
    if [ "$key" = host ]; then host=$value; fi
done
case $host in
    *]) ;;
    *) host=${host%:*} ;;
esac
host=${host#[}
host=${host%]}
while read -r _ machine _ user _ password; do
    if [ "$machine" = "$host" ]; then
        printf 'username=%s\npassword=%s\n' "$user" "$password"
        exit
    fi
done <"$NETRC"
