#!/usr/bin/env python3
# Symbolic links to everywhere and names that end lines, at home and where hwinfo lies.
import os

for place in ("/home/amun", "/home/amun/hwinfo"):
    os.symlink("/", f"{place}/root")
    os.symlink("/proc/1", f"{place}/first")
    os.symlink(f"{place}/loop", f"{place}/loop")
    os.symlink("/etc/shadow", f"{place}/report.json")
    os.mkfifo(f"{place}/pipe")
    os.mkdir(f"{place}/-rf\n0\t..")
    os.mkdir(f"{place}/closed")
    open(f"{place}/closed/in\x01side", "w").close()
    os.chmod(f"{place}/closed", 0)
