#!/usr/bin/env python3
# Makes itself as dear to the kernel as its runner is, and has many children smaller than that take the memory.
import os
import time

with open("/proc/self/oom_score_adj", "w") as file:
    file.write("0")
children = []
try:
    while True:
        child = os.fork()
        if not child:
            taken = b"x" * (4 << 20)
            time.sleep(60)
        children.append(child)
except OSError:
    time.sleep(60)
