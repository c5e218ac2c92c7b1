#!/usr/bin/env python3
# Knocks at the service's port by every address that may lead to its machine; prints where the service answered.
import socket

addresses = ["127.0.0.1", "localhost", "::1", "0.0.0.0", "10.0.2.2", "10.0.2.3", "169.254.1.1", "169.254.169.254"]
with open("/etc/hosts") as hosts:
    addresses += [line.split()[0] for line in hosts if line.strip()]
with open("/proc/net/route") as routes:
    for line in list(routes)[1:]:
        number = int(line.split()[2], 16)
        addresses.append(".".join(str(number >> shift & 255) for shift in (0, 8, 16, 24)))
answered = []
for address in sorted(set(addresses)):
    try:
        with socket.create_connection((address, int("@PORT@")), timeout=0.5) as connection:
            connection.sendall(b"GET /liveness HTTP/1.0\r\n\r\n")
            if b"amun" in connection.recv(4096).lower():
                answered.append(address)
    except OSError:
        continue
with open("/proc/net/unix") as sockets:
    answered += [line.split()[-1] for line in sockets if "amun" in line]
print(answered)
