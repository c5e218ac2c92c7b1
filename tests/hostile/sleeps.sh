#!/bin/sh
# Sleeps past its deadline.
echo good night
sleep 1000
