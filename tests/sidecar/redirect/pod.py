"""A pod without Kubernetes: a network namespace with the real rules, the sidecar as its own user, and an application.

The world is a second namespace: a provider simulator behind the real name, and servers that are nobody's we know. Prints
what the application met, and what the ledger has in its books, as JSON.

Usage: unshare --net --mount python pod.py FOLDER
"""

import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from harness.certificates import make_certificates
from harness.processes import budget, start, start_ledger
from harness.until import until
from wfb_operator.prices.compile import compile_snapshot

PORT, UID, APP = 64811, 64802, 1000
PROVIDER, BANNER, FOREIGN = "192.0.2.50", "192.0.2.60", "192.0.2.61"
READS_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
"""Python may live in a folder of root's; a container's own image needs nothing of the kind."""


def sh(line, inside=None):
    """Runs a command, in the network of a process where one is given."""
    before = ["nsenter", "-t", str(inside), "-n"] if inside else []
    subprocess.run([*before, *line.split()], check=True)


def as_user(uid, command):
    """A command line as a user, who may still read where Python is."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *READS_ALL, *command]


def wire(world):
    """A cable between the pod and the world."""
    sh("ip link set lo up")
    sh("ip link add near type veth peer name far")
    sh(f"ip link set far netns {world}")
    sh("ip address add 192.0.2.1/24 dev near")
    sh("ip link set near up")
    sh("ip link set lo up", world)
    for address in (PROVIDER, BANNER, FOREIGN):
        sh(f"ip address add {address}/24 dev far", world)
    sh("ip link set far up", world)


SERVERS = """
import socket, ssl, sys, threading
def serve(address, talk):
    s = socket.create_server((address, 443))
    def run():
        while True:
            c, _ = s.accept()
            threading.Thread(target=talk, args=(c,), daemon=True).start()
    threading.Thread(target=run, daemon=True).start()
def banner(c):
    c.sendall(b"220 hello\\r\\n"); c.sendall(b"got " + c.recv(100)); c.close()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[2], sys.argv[3]); context.load_verify_locations(sys.argv[4]); context.verify_mode = ssl.CERT_REQUIRED
def foreign(c):
    t = context.wrap_socket(c, server_side=True)
    t.sendall(dict(x[0] for x in t.getpeercert()["subject"])["commonName"].encode() + b" " + t.recv(100)); t.close()
serve("192.0.2.60", banner); serve("192.0.2.61", foreign)
print('{"ready": true}', flush=True); threading.Event().wait()
"""

CLIENT = """
import json, openai
client = openai.OpenAI(api_key="fake", max_retries=0)
def call():
    try:
        client.chat.completions.create(model="gpt-4o-mini", max_tokens=20, messages=[{"role": "user", "content": "hello"}])
        return "ok"
    except openai.APIStatusError as error:
        return [error.status_code, error.response.headers.get("x-wfb-reason"), type(error).__name__]
met = [call()]
while met[-1] == "ok" and len(met) < 50:
    met.append(call())
print(json.dumps(met))
"""

OTHERS = """
import json, socket, ssl, sys
found = {}
s = socket.create_connection(("192.0.2.60", 443), 30)
found["banner"] = s.recv(100).decode(); s.sendall(b"ehlo"); found["echo"] = s.recv(100).decode(); s.close()
context = ssl.create_default_context(cafile=sys.argv[1]); context.load_cert_chain(sys.argv[2], sys.argv[3])
t = context.wrap_socket(socket.create_connection(("192.0.2.61", 443), 30), server_hostname="localhost")
t.sendall(b"mine"); found["foreign"] = t.recv(100).decode(); t.close()
print(json.dumps(found))
"""


def main(folder):
    """Builds the pod and prints what was seen."""
    folder = pathlib.Path(folder)
    os.chmod(folder, 0o755)
    certificates = make_certificates(folder / "certificates")
    (folder / "hosts").write_text(f"127.0.0.1 localhost\n{PROVIDER} api.openai.com\n")
    sh(f"mount --bind {folder / 'hosts'} /etc/hosts")
    world = subprocess.Popen(["unshare", "--net", "sleep", "300"])
    until(lambda: os.readlink(f"/proc/{world.pid}/ns/net") != os.readlink("/proc/self/ns/net"), "the world")
    started = [world]
    try:
        wire(world.pid)
        inside = ["nsenter", "-t", str(world.pid), "-n"]
        good = certificates.good
        tests = str(pathlib.Path(__file__).resolve().parents[2])
        env = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.startswith("SSL_")}
        simulator = start(
            [
                *(*inside, sys.executable, "-m", "simulator", "--host", PROVIDER, "--tls-port", "443"),
                *("--cert", str(good.certificate), "--key", str(good.key)),
            ],
            folder / "simulator.log",
            {**env, "PYTHONPATH": tests},
        )
        servers = start(
            [*inside, sys.executable, "-c", SERVERS, "x", str(good.certificate), str(good.key), str(certificates.root)],
            folder / "servers.log",
            env,
        )
        ledger = start_ledger(folder / "ledger", [budget("pod", "0.0001")], compile_snapshot("now").data)
        token = ledger.admit("uid/", {"aifinops.dev/workflow": "pod"}, namespace="test")
        state = folder / "state"
        state.mkdir()
        for path in (state, token, folder / "ledger"):
            os.chown(path, UID, UID)
        configuration = {
            "ledger_url": ledger.url,
            "token_file": str(token),
            "holder_prefix": "uid/",
            "state_dir": str(state / "own"),
            "trust_dir": str(state),
            "transparent": f"127.0.0.1:{PORT}",
            "upstream_ca": str(certificates.root),
        }
        os.chmod(state, 0o755)
        command = as_user(UID, [sys.executable, "-m", "wfb_sidecar.main", "--config-env", "WFB_CONFIG"])
        sidecar = start(command, folder / "sidecar.log", {**env, "WFB_CONFIG": json.dumps(configuration)})
        started += [simulator.process, servers.process, ledger.process.process, sidecar.process]
        redirect = [sys.executable, "-m", "wfb_sidecar.redirect.main", "--to-port", str(PORT), "--uid", str(UID)]
        subprocess.run(redirect, check=True, stdout=subprocess.DEVNULL)
        trust = {**env, "SSL_CERT_FILE": str(state / "ca-bundle.pem")}
        print(json.dumps(seen(certificates, ledger, trust)))
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(30)


def seen(certificates, ledger, trust):
    """What the application meets, and what is in the books afterwards."""
    app = as_user(APP, [sys.executable, "-c"])
    paths = [str(certificates.root), str(certificates.client.certificate), str(certificates.client.key)]
    calls = subprocess.run([*app, CLIENT], env=trust, capture_output=True, text=True, check=True, timeout=60)
    others = subprocess.run(
        [*app, OTHERS, *paths], env=trust, stdout=subprocess.PIPE, text=True, check=True, timeout=90
    )

    def booked():
        """The usage once a call is in it."""
        rows = ledger.call("GET", "/v1/usage?by=workflow,provider,model,outcome")["usage"]
        return rows if sum(r["calls"] for r in rows) == met.count("ok") else None

    met = json.loads(calls.stdout)
    rows = until(booked, "the books")
    spent = ledger.call("GET", "/v1/summary")["budgets"][0]["spent_usd"]
    return {"calls": met, **json.loads(others.stdout), "rows": rows, "spent": spent}


if __name__ == "__main__":
    main(sys.argv[1])
