#!/usr/bin/env python3
# More busy processes than there are processors.
import os

for _ in range(16):
    if not os.fork():
        break
while True:
    pass
