#!/usr/bin/env python3
# A daemon by the book: two forks, a session of its own, deaf, and it has all descriptors open.
import os
import signal
import time

if not os.fork():
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not os.fork():
        while True:
            time.sleep(1)
    os._exit(0)
print("daemon started")
