#!/usr/bin/env python3
# Takes memory until the kernel ends it.
print("before", flush=True)
taken = []
while True:
    taken.append(b"x" * (1 << 20))
