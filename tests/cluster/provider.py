"""The provider simulator as a Service of the cluster, and its bill as the API server's proxy gives it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from harness.certificates import PROVIDER_NAMES, Authority

from cluster.api import Api
from cluster.images import AGENTS

NAMESPACE = "providers"
HOSTS = ("api.openai.com", "api.anthropic.com")
ROOTS = "provider-roots"
"""The ConfigMap, in each namespace of agents, with the root that signed the simulator's certificate."""


@dataclass
class Provider:
    """OpenAI and Anthropic by their real names, for pods that carry `aliases`."""

    api: Api
    root: str
    """PEM."""
    address: str

    @property
    def aliases(self) -> list[dict[str, Any]]:
        """What a pod's hostAliases say."""
        return [{"ip": self.address, "hostnames": list(HOSTS)}]

    def roots(self, namespace: str) -> dict[str, Any]:
        """The ConfigMap of its root for a namespace."""
        metadata = {"name": ROOTS, "namespace": namespace}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"ca.crt": self.root}}

    def lines(self, label: str = "") -> list[dict[str, Any]]:
        """The bill's lines, those of a label where one is given."""
        text = self.api.kubectl("get", "--raw", self._path("/sim/bill?wait=1" + (f"&label={label}" if label else "")))
        return [json.loads(line) for line in text.splitlines() if line]

    def usd(self, label: str = "") -> Decimal:
        """What it charged."""
        return sum((Decimal(str(line["usd"])) for line in self.lines(label)), Decimal())

    def _path(self, path: str) -> str:
        return f"/api/v1/namespaces/{NAMESPACE}/services/http:simulator:80/proxy{path}"


def start(api: Api, folder: Path, behaviour: Mapping[str, Any] | None = None) -> Provider:
    """The simulator, answering; ``behaviour`` of answers that do not ask for another, such as ``{"latency-ms": 50}``."""
    authority = Authority.make(folder / "provider-pki", "Provider Root")
    pair = authority.server("provider", PROVIDER_NAMES)
    labels = {"app": "simulator"}
    container = {
        "name": "simulator",
        "image": AGENTS,
        "imagePullPolicy": "Never",
        "command": ["python3", "-m", "simulator", "--host=0.0.0.0", "--port=8080", "--tls-port=8443"],
        "args": ["--cert=/tls/tls.crt", "--key=/tls/tls.key", f"--defaults={json.dumps(behaviour or {})}"],
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
        "readinessProbe": {"httpGet": {"path": "/sim/bill/summary", "port": 8080}, "periodSeconds": 1},
    }
    pod = {
        # Another certificate is another pod: the simulator reads its own once.
        "metadata": {"labels": labels, "annotations": {"root": str(hash(authority.root.read_text()))}},
        "spec": {"containers": [container], "volumes": [{"name": "tls", "secret": {"secretName": "provider-tls"}}]},
    }
    secret = {"tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text()}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "https", "port": 443, "targetPort": 8443}]
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    api.apply(
        [
            _named("v1", "Secret", "provider-tls", type="kubernetes.io/tls", stringData=secret),
            _named("v1", "Service", "simulator", spec={"selector": labels, "ports": ports}),
            _named("apps/v1", "Deployment", "simulator", spec={"selector": {"matchLabels": labels}, "template": pod}),
        ]
    )
    api.kubectl("rollout", "status", "deployment/simulator", "-n", NAMESPACE, "--timeout=120s", timeout=150)
    address = api.get("service", "simulator", "-n", NAMESPACE)["spec"]["clusterIP"]
    return Provider(api, authority.root.read_text(), address)


def _named(version: str, kind: str, name: str, **rest: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, **rest}
