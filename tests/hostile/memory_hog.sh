#!/bin/sh
# Takes memory until the kernel ends it, in a shell.
echo before
x=0123456789abcdef
while :; do x=$x$x; done
