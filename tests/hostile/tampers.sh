#!/bin/sh
# Changes what tells of it: the description of the hardware, the runner, its own file. Prints what it could change of /amun.
for file in /amun/script /amun/runner.py /amun/runner.sh /amun/hwinfo.sh; do
    (echo exit 0 >"$file") 2>/dev/null && echo "$file"
    rm -f "$file" 2>/dev/null && echo "$file"
    mv -f "$file" /tmp 2>/dev/null && echo "$file"
    chmod 0 "$file" 2>/dev/null && echo "$file"
done
(echo x >/amun/new) 2>/dev/null && echo new
echo '{"cpu_info": {"brand_raw": "forged"}}' >/home/amun/hwinfo/info.json
echo note >/home/amun/hwinfo/note
sleep 3
exit 8
