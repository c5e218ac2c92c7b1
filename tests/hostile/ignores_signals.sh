#!/bin/sh
# Eats every signal that it may.
trap '' TERM INT HUP QUIT ALRM USR1 USR2 PIPE
while :; do sleep 1; done
