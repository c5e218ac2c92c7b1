#!/bin/sh
# Endless output on both streams at once.
yes error >&2 &
yes
