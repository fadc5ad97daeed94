"""The chart in a cluster, and an auditor pod that reads the ledger's books with a token of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from harness.until import until

from cluster import binaries
from cluster.api import Api
from cluster.images import AGENTS, PREFIX, tag
from cluster.own import Own

SYSTEM = "wfb-system"
AUDIT = "audit"
CHART = Path(__file__).resolve().parents[2] / "helm" / "workflow-budget-operator"
AUDIENCE = "wfb.aifinops.dev"


def values(**more: Any) -> dict[str, Any]:
    """The chart's values in a small cluster without a registry; `more` replaces whole top-level values."""
    image = {"tag": tag()}
    small = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}
    return {
        "images": {
            "operator": {**image, "repository": f"{PREFIX}/operator"},
            "sidecar": {**image, "repository": f"{PREFIX}/sidecar"},
            "pullPolicy": "Never",
        },
        "sidecar": {"resources": small},
        "ledger": {"resources": small, "readers": [f"{AUDIT}:auditor"]},
        "controller": {"resources": small},
        "injector": {"resources": small},
        **more,
    }


@dataclass
class Installed:
    """A release of the chart."""

    api: Api

    def books(self, path: str = "/v1/summary") -> Any:
        """What the ledger answers its auditor."""
        return json.loads(self.ask("GET", path)[1])

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, str]:
        """(status, text) of a request to the ledger, with the auditor's token or another."""
        bearer = token or "$(cat /token/token)"
        data = "" if body is None else f"-d '{json.dumps(body)}' -H 'content-type: application/json'"
        url = f"https://wfb-ledger.{SYSTEM}.svc{path}"
        line = f'curl -sS -m 20 --cacert /ledger/ca.crt -X {method} -H "authorization: Bearer {bearer}" {data}'
        told = self.api.kubectl(
            "exec", "-n", AUDIT, "auditor", "--", "sh", "-c", f"{line} -w '\\n%{{http_code}}' '{url}'"
        )
        text, _, status = told.rpartition("\n")
        return int(status), text

    def usage(self, by: str = "workflow", **chosen: str) -> list[dict[str, Any]]:
        """Rows of usage by dimensions."""
        rows = self.books(f"/v1/usage?by={by}")["usage"]
        return [row for row in rows if all(row[key] == value for key, value in chosen.items())]

    def usd(self, **chosen: str) -> Decimal:
        """Dollars in the books of rows that agree with these dimensions."""
        by = ",".join(chosen) or "workflow"
        return sum((Decimal(row["usd"]) for row in self.usage(by, **chosen)), Decimal())

    def status(self, name: str, namespace: str = "") -> dict[str, Any]:
        """A budget's status: a WorkflowBudget's with a namespace, a ClusterWorkflowBudget's without; empty before the first."""
        kind = ("workflowbudget", name, "-n", namespace) if namespace else ("clusterworkflowbudget", name)
        got: dict[str, Any] = self.api.get(*kind)
        return dict(got.get("status", {}))

    def wait_in_force(self, name: str, namespace: str = "") -> None:
        """Until the controller has judged a budget, which the ledger has then."""
        until(lambda: self.status(name, namespace).get("conditions"), f"{name} in force", 30)

    def wait(self) -> None:
        """Until every workload of the chart is ready."""
        for workload in ("statefulset/wfb-ledger", "deployment/wfb-controller", "deployment/wfb-injector"):
            self.api.kubectl("rollout", "status", workload, "-n", SYSTEM, "--timeout=180s", timeout=200)


def install(api: Api, folder: Path, given: Mapping[str, Any] | None = None) -> Installed:
    """Installs the chart, or upgrades it, and waits until it is ready."""
    if isinstance(api, Own):
        _volume(api)
    upgrade(api, folder, given or values())
    installed = Installed(api)
    installed.wait()
    _auditor(api)
    return installed


def upgrade(api: Api, folder: Path, given: Mapping[str, Any]) -> None:
    """``helm upgrade --install``."""
    file = folder / "values.json"
    file.write_text(json.dumps(given))
    helm(api, "upgrade", "--install", "wfb", str(CHART), "--create-namespace", "-f", str(file))


def helm(api: Api, *arguments: str) -> str:
    """What helm prints, for the chart's namespace."""
    program = binaries.find_or_build(["helm"])["helm"]
    return api.run([str(program), *arguments, "-n", SYSTEM], timeout=300).stdout


def _volume(api: Own) -> None:
    path = api.layout.volumes / "ledger"
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)
    terms = [{"matchExpressions": [{"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}]}]
    spec = {
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteOnce"],
        "local": {"path": str(path)},
        "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
    }
    api.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "ledger"}, "spec": spec})


def _auditor(api: Api) -> None:
    import base64

    root = api.get("secret", "wfb-ledger-tls", "-n", SYSTEM)["data"]["ca.crt"]
    metadata = {"namespace": AUDIT}
    token = {"serviceAccountToken": {"path": "token", "audience": AUDIENCE, "expirationSeconds": 3600}}
    pod = {
        "serviceAccountName": "auditor",
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": "auditor",
                "image": AGENTS,
                "imagePullPolicy": "Never",
                "command": ["sleep", "infinity"],
                "volumeMounts": [{"name": "token", "mountPath": "/token"}, {"name": "ledger", "mountPath": "/ledger"}],
            }
        ],
        "volumes": [
            {"name": "token", "projected": {"sources": [token]}},
            {"name": "ledger", "configMap": {"name": "ledger"}},
        ],
    }
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": AUDIT}})
    api.apply(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**metadata, "name": "auditor"}},
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {**metadata, "name": "ledger"},
                "data": {"ca.crt": base64.b64decode(root).decode()},
            },
            {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "name": "auditor"}, "spec": pod},
        ]
    )
    api.kubectl("wait", "-n", AUDIT, "pod/auditor", "--for=condition=Ready", "--timeout=60s", timeout=90)
