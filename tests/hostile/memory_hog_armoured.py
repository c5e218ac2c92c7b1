#!/usr/bin/env python3
# Makes itself as dear to the kernel as its runner is, as far as it may, and takes memory in many children.
import os
import time

with open("/proc/self/oom_score_adj", "w") as file:
    file.write("0")
children = []
for _ in range(6):
    child = os.fork()
    if not child:
        taken = b"x" * (20 << 20)
        time.sleep(2)
        os._exit(0)
    children.append(child)
killed = [os.WIFSIGNALED(os.waitpid(child, 0)[1]) for child in children]
print(any(killed))
