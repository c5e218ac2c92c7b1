#!/usr/bin/env python3
# Disk filler whose file has neither a name nor a descriptor, and is written through memory.
import mmap
import os
import time

SIZE = 1 << 20
maps = []
for _ in range(2000):
    file = os.open("/tmp/mapped", os.O_CREAT | os.O_RDWR)
    os.unlink("/tmp/mapped")
    os.truncate(file, SIZE)
    maps.append(mmap.mmap(file, SIZE))
    os.close(file)
    maps[-1].write(bytes(range(1, 256)) * (SIZE // 255))
time.sleep(60)
