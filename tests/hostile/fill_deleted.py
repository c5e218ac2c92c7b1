#!/usr/bin/env python3
# Disk filler whose file has no name any more, so that nobody finds it in a directory.
import os

file = os.open("/home/amun/secret", os.O_CREAT | os.O_WRONLY)
os.unlink("/home/amun/secret")
while True:
    os.write(file, bytes(1 << 20))
