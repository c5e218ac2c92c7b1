#!/bin/sh
# A file of a terabyte that takes no room.
truncate -s 1T /home/amun/sparse
