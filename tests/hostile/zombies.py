#!/usr/bin/env python3
# Orphans that die at once, more in all than it may have processes.
import os

for _ in range(400):
    child = os.fork()
    if not child:
        if not os.fork():
            os._exit(0)
        os._exit(0)
    os.waitpid(child, 0)
print("all gone")
