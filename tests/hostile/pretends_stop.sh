#!/bin/sh
# Asks the first process of its container to end, as an engine would.
trap 'exit 7' TERM
kill -TERM 1
while :; do sleep 0.1; done
