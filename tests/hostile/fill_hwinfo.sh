#!/bin/sh
# Disk filler: one file in the volume that hwinfo lies in, and one at home.
cat /dev/zero >/home/amun/big &
cat /dev/zero >/home/amun/hwinfo/big
