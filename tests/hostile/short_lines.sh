#!/bin/sh
# Many lines with nothing on them, within the limit, and one that counts.
yes '' | head -n 40000
echo last
