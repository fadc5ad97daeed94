"""The sidecar's root in five languages: each takes a provider's chain, and each refuses a name outside the constraint."""

import contextlib
import datetime
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import threading

import pytest

from wfb_sidecar.authority import create
from wfb_sidecar.config import parse_config
from wfb_sidecar.providers import constraint_names, provider_hosts

PROVIDERS = ("api.openai.com", "api.anthropic.com")
NOBODYS = ("github.com", "api.openai.com.evil.test")
SOURCES = pathlib.Path(__file__).parent / "trust"
CLIENTS = {
    "python": (sys.executable, "client.py"),
    "node": ("node", "client.mjs"),
    "go": ("go", "run", "client.go"),
    "java": ("java", "Client.java"),
    "curl": ("sh", "client.sh"),
}
"""How a client in a language is run: with an address, the name it means, and a PEM file of roots."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(an authority of a sidecar, a folder with its root)."""
    document = {"ledger_url": "u", "token_file": "t", "state_dir": "s"}
    authority = create(constraint_names(provider_hosts(parse_config(document))), _now())
    folder = tmp_path_factory.mktemp("trust")
    (folder / "root.pem").write_bytes(authority.root_pem)
    return authority, folder


@pytest.mark.parametrize("language", CLIENTS)
def test_providers_are_trusted_and_nobody_else(world, language):
    """The key of a sidecar's root opens connections to providers and to nobody else, whatever a pod is written in."""
    command = CLIENTS[language]
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    met = {host: _meet(world, command, host) for host in (*PROVIDERS, *NOBODYS)}
    assert {host: met[host][0] for host in PROVIDERS} == dict.fromkeys(PROVIDERS, 0), met
    for host in NOBODYS:
        status, said = met[host]
        assert status, host
        # Each names the constraint in words of its own; another failure would prove nothing.
        assert any(word in said.lower() for word in ("subtree", "constrain", "not permitted")), said


def _meet(world, command, host):
    authority, folder = world
    chain, key = authority.leaf(host, _now())
    (folder / "chain.pem").write_bytes(chain)
    (folder / "key.pem").write_bytes(key)
    with _serving(folder) as port:
        done = subprocess.run(
            [*command, str(port), host, str(folder / "root.pem")],
            cwd=SOURCES,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    return done.returncode, done.stdout + done.stderr


@contextlib.contextmanager
def _serving(folder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    raw, _ = listening.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as one:
                        one.recv(1000)
                        one.sendall(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def _now():
    return datetime.datetime.now(datetime.UTC)
