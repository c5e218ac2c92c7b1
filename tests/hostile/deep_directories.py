#!/usr/bin/env python3
# Directories one in the other, more than any process may have files open.
import os

os.chdir("/tmp")
for _ in range(22000):
    os.mkdir("d")
    os.chdir("d")
