#!/usr/bin/env python3
# Looks for secrets of the platform and of this machine; prints what it could read.
import glob
import os

PLACES = (
    "/var/run/secrets", "/run/secrets", "/var/run/docker.sock", "/run/podman/podman.sock", "/run/containerd",
    "/root/.ssh", "/root/.kube", "/root/.local", "/etc/shadow", "/etc/gshadow", "/etc/kubernetes",
    "/var/lib/kubelet", "/var/lib/containers", "/run/amun/environment", "@STATE@", "/run/containers",
    "/proc/1/root/etc/shadow", "/proc/1/cwd/..", "/proc/kcore", "/proc/keys", "/proc/1/environ",
)  # fmt: skip
found = []
for place in PLACES:
    try:
        if os.path.isdir(place):
            content = os.listdir(place)
        else:
            with open(place, "rb") as file:
                content = file.read(1)
    except OSError:
        continue
    if content:
        found.append(place)
found += [
    name
    for name in os.environ
    if name.startswith("AMUN_") and name[5:] not in ("INSPECTION_ID", "ITEM", "BATCH_SIZE", "WARMUP")
]
found += [name for name in os.environ if name.startswith("KUBERNETES_") or "PROXY" in name.upper()]
found += glob.glob("/amun/../../inspections/*")
print(found)
