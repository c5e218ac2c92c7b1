#!/bin/sh
# Disk filler: many files in /tmp.
number=0
while dd if=/dev/zero of=/tmp/$number bs=1M count=20 2>/dev/null; do number=$((number + 1)); done
