#!/usr/bin/env python3
# Takes from the first process of its container the right to open files, to take memory, to live; prints what it took.
import os
import resource

taken = []
for process in {1, os.getppid()}:
    for name in ("RLIMIT_NOFILE", "RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NPROC"):
        try:
            resource.prlimit(process, getattr(resource, name), (0, 0))
        except OSError:
            continue
        taken.append(name)
print(taken)
