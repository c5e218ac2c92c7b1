#!/bin/sh
# Leaves children that hold the pipes of its output.
for number in 1 2 3 4 5; do (trap '' TERM HUP && sleep 1000) & done
echo gone
exit 3
