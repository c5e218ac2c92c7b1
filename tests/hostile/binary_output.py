#!/usr/bin/env python3
# Bytes that are no text, and escape sequences that a terminal would obey.
import os

os.write(1, bytes(range(256)) * 4 + b"\n")
os.write(2, b"\x1b]0;title\x07\x1b[2J\xff\xfe\x00\r\n")
