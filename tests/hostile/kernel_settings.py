#!/usr/bin/env python3
# Writes to whatever the kernel lets be set; prints what it could write. Its own score for running out of memory it may.
import os

found = []
for root in ("/proc/sys", "/sys"):
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            try:
                os.close(os.open(path, os.O_WRONLY))
            except OSError:
                continue
            found.append(path)
for path in (
    "/proc/sysrq-trigger",
    "/proc/1/oom_score_adj",
    "/proc/kcore",
    "/dev/mem",
    "/dev/kmsg",
    "/dev/sda",
    "/dev/vda",
):
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError:
        continue
    found.append(path)
print(found)
