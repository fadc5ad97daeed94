"""Kubeconfig files: whole in themselves, so that one can be copied and handed on."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster.certificates import Pair


def write(path: Path, server: str, root: Path, user: Pair) -> Path:
    """A kubeconfig for one user of one server, certificates inside."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": _text(root)}}],
        "users": [
            {
                "name": "u",
                "user": {
                    "client-certificate-data": _text(user.certificate),
                    "client-key-data": _text(user.key),
                },
            }
        ],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=1))  # JSON is YAML
    return path


@dataclass(frozen=True)
class Server:
    """What the current context of a kubeconfig points at."""

    url: str
    root: bytes
    """PEM; empty where the system's roots are meant."""


def read(path: Path) -> Server:
    """The server of the current context; raises ValueError where the file names none."""
    document = yaml.safe_load(path.read_text()) or {}
    try:
        named = {c["name"]: c["context"] for c in document["contexts"]}[document["current-context"]]["cluster"]
        cluster = {c["name"]: c["cluster"] for c in document["clusters"]}[named]
        url = cluster["server"]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: no current context with a server; choose one with kubectl config use-context"
        ) from error
    if data := cluster.get("certificate-authority-data"):
        return Server(url, base64.b64decode(data))
    if file := cluster.get("certificate-authority"):
        return Server(url, (path.parent / file).read_bytes())
    return Server(url, b"")


def _text(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
