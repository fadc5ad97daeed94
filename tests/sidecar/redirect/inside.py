"""Runs in a network namespace of its own and prints, as JSON, what becomes of connections under the real rules.

Usage: unshare --net python inside.py PYTHON
"""

import ctypes
import json
import socket
import subprocess
import sys
import threading

from wfb_sidecar.door import original_destination

PORT, UID, APP = 64811, 64802, 1000
LINKS = (
    "ip link set lo up",
    "ip link add far type veth peer name near",
    "ip link set near up",
    "ip address add 192.0.2.1/24 dev far",
    "ip -6 address add 2001:db8::1/64 dev far nodad",
    "ip link set far up",
    "ip route add 198.51.100.0/24 dev far",
)


def listen(family, address, seen):
    """Accepts connections and notes where each wanted to go."""
    server = socket.socket(family)
    server.bind((address, PORT))
    server.listen(16)

    def accept():
        while True:
            client, _ = server.accept()
            seen.append(original_destination(client))
            client.close()

    threading.Thread(target=accept, daemon=True).start()


def reach(address, port, *, uid=APP, kind=socket.SOCK_STREAM):
    """What a process of a user meets at an address: connected, refused or nothing."""
    code = f"""
import os, socket
os.setgid({uid}); os.setuid({uid})
s = socket.socket(socket.AF_INET6 if ":" in {address!r} else socket.AF_INET, {int(kind)})
s.settimeout(0.7)
try:
    s.connect(({address!r}, {port}))
    if {int(kind)} == {int(socket.SOCK_DGRAM)}:
        s.send(b"x"); s.recv(1)
    print("connected")
except (ConnectionRefusedError, PermissionError):  # the kernel tells a sender of its own by EPERM
    print("refused")
except (TimeoutError, OSError):
    print("nothing")
"""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def begin_redirect(*more):
    """The init container's program, running."""
    command = [sys.executable, "-m", "wfb_sidecar.redirect.main", "--to-port", str(PORT), "--uid", str(UID), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def redirect(*more):
    """Its status and what it said."""
    program = begin_redirect(*more)
    said, _ = program.communicate()
    return program.returncode, said.strip()


def main():
    """Prints everything that was seen."""
    for line in LINKS:
        subprocess.run(line.split(), check=True)
    with open("/proc/sys/net/ipv4/conf/all/route_localnet", "w") as file:
        file.write("0")  # as the kernel has it: nothing of ours may need more
    seen, found = [], {}
    found["before"] = reach("192.0.2.50", 443)
    found["nobody listens"] = redirect("--wait", "0.1")
    waiting = begin_redirect("--wait", "60")
    listen(socket.AF_INET, "127.0.0.1", seen)
    listen(socket.AF_INET6, "::1", seen)
    found["somebody listens"] = (waiting.wait(), waiting.stdout.read().strip())
    found["first"] = redirect(
        "--exclude-cidr", "198.51.100.0/24", "--port", "443", "--port", "8443", "--exclude-port", "8443"
    )
    found["second"] = redirect(
        "--exclude-cidr", "198.51.100.0/24", "--port", "443", "--port", "8443", "--exclude-port", "8443"
    )
    for name, arguments in {
        "app": ("192.0.2.50", 443),
        "app over v6": ("2001:db8::50", 443),
        "another port": ("192.0.2.50", 5432),
        "an excluded port": ("192.0.2.50", 8443),
        "an excluded network": ("198.51.100.7", 443),
    }.items():
        found[name] = reach(*arguments)
    found["the sidecar"] = reach("192.0.2.50", 443, uid=UID)
    found["udp"] = reach("192.0.2.50", 443, kind=socket.SOCK_DGRAM)
    found["udp over v6"] = reach("2001:db8::50", 443, kind=socket.SOCK_DGRAM)
    found["udp of the sidecar"] = reach("192.0.2.50", 443, uid=UID, kind=socket.SOCK_DGRAM)
    found["udp elsewhere"] = reach("192.0.2.50", 53, kind=socket.SOCK_DGRAM)
    found["loopback"] = reach("127.0.0.1", 443)
    found["destinations"] = seen
    listed = subprocess.run(
        ["iptables", "-t", "nat", "-S", "OUTPUT"], capture_output=True, text=True, check=True
    ).stdout
    found["jumps"] = listed.count("-j WFB_OUTPUT")
    found["without rights"] = without_rights()
    print(json.dumps(found))


def without_rights():
    """What the program says where it may not change tables."""

    def drop():
        """Root without capabilities, as a container that drops them all."""
        libc = ctypes.CDLL(None)
        for capability in range(64):
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP

    command = [sys.executable, "-m", "wfb_sidecar.redirect.main", "--to-port", str(PORT), "--uid", str(UID)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=drop)
    return done.returncode, done.stderr.strip()


if __name__ == "__main__":
    main()
