#!/usr/bin/env python3
# As many threads as it gets, then reports how many.
import threading
import time

started = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(2,), daemon=True).start()
        started += 1
except RuntimeError:
    print(started, flush=True)
