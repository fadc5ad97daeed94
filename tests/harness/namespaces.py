"""Whether this machine lets tests have network namespaces with rules of their own; what is missing, else."""

import os
import shutil
import subprocess

PROGRAMS = ("unshare", "nsenter", "setpriv", "mount", "ip", "iptables", "ip6tables")
PROBES = (
    "ip link add name near type veth peer name far",
    "iptables -t nat -S OUTPUT",
    "iptables -A OUTPUT -p udp --dport 9 -j REJECT",
    "ip6tables -t nat -S OUTPUT",
    "mount --bind /etc/hostname /etc/hostname",
)


def missing() -> str:
    """Why namespaces cannot be used here; empty where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if absent := [name for name in PROGRAMS if shutil.which(name) is None]:
        return f"{', '.join(absent)} not installed: run scripts/cluster-packages.sh"
    for probe in PROBES:
        done = subprocess.run(
            ["unshare", "--net", "--mount", "--", *probe.split()],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        if done.returncode:
            return f"{probe!r} does not work in a namespace here: {done.stderr.strip()[:200]}"
    return ""
