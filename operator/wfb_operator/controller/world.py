"""What the cluster looks like now: budgets, pods and namespaces, kept true by watches and by a list now and then."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wfb_core.attribution import Owner, attribute, controller_of
from wfb_core.selectors import LABEL_PREFIX

INJECT = LABEL_PREFIX + "inject"
INJECTED = LABEL_PREFIX + "injected"
"""The annotation in which the injector says what it did: ``{"version": …, "mode": …}``."""

ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class PodSeen:
    """What is kept of a pod: enough to say which budgets it is within and whether it has the sidecar."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    owners: tuple[Owner, ...]
    version: str
    """Of the sidecar; empty where there is none."""
    host_network: bool
    ended: bool


@dataclass(slots=True)
class World:
    """All that the controller acts on. Keys are ``namespace/name``, and ``/name`` for what has no namespace."""

    budgets: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    pods: dict[str, PodSeen] = field(default_factory=dict)
    namespaces: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    moves: int = 0
    """Grows with every change; equal numbers, equal worlds."""

    def put_budget(self, document: Mapping[str, Any]) -> None:
        """Take a budget in as it is now."""
        key, before = key_of(document), self.budgets.get(key_of(document))
        self.budgets[key] = document
        if before is None or before.get("spec") != document.get("spec"):
            self.moves += 1

    def put_pod(self, document: Mapping[str, Any]) -> None:
        """Take a pod in as it is now."""
        key, pod = key_of(document), pod_seen(document)
        if self.pods.get(key) != pod:
            self.pods[key] = pod
            self.moves += 1

    def put_namespace(self, document: Mapping[str, Any]) -> None:
        """Take a namespace in as it is now."""
        name = document["metadata"]["name"]
        kept = {"metadata": {"name": name, "labels": document["metadata"].get("labels") or {}}}
        if self.namespaces.get(name) != kept:
            self.namespaces[name] = kept
            self.moves += 1

    def drop(self, kind: str, document: Mapping[str, Any]) -> None:
        """Take something out; ``kind`` is budgets, pods or namespaces."""
        key = document["metadata"]["name"] if kind == "namespaces" else key_of(document)
        if getattr(self, kind).pop(key, None) is not None:
            self.moves += 1

    def replace_budgets(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Exactly these budgets, from a list."""
        found = {key_of(d): d for d in documents}
        for key in self.budgets.keys() - found.keys():
            del self.budgets[key]
            self.moves += 1
        for document in found.values():
            self.put_budget(document)

    def replace_pods(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Exactly these pods, from a list."""
        found = {key_of(d): d for d in documents}
        for key in self.pods.keys() - found.keys():
            del self.pods[key]
            self.moves += 1
        for document in found.values():
            self.put_pod(document)

    def labels_of(self, pod: PodSeen) -> Mapping[str, str]:
        """A pod's labels with what its namespace and its owners add."""
        document = {"metadata": {"name": pod.name, "namespace": pod.namespace, "labels": pod.labels}}
        return attribute(document, self.namespaces.get(pod.namespace, {}), pod.owners).labels

    def namespace_labels(self, namespace: str) -> Mapping[str, str]:
        """The labels of a namespace; none where it is not known."""
        labels: Mapping[str, str] = self.namespaces.get(namespace, {}).get("metadata", {}).get("labels", {})
        return labels

    def wants_sidecar(self, pod: PodSeen) -> bool:
        """Whether a pod, or else its namespace, asks for the sidecar."""
        own = pod.labels.get(INJECT)
        return (own if own is not None else self.namespace_labels(pod.namespace).get(INJECT)) == "true"

    def without_sidecar(self) -> list[str]:
        """The namespaces of the running pods that ask for the sidecar and have none, one a pod."""
        pods = self.pods.values()
        return [pod.namespace for pod in pods if not pod.ended and not pod.version and self.wants_sidecar(pod)]


def key_of(document: Mapping[str, Any]) -> str:
    """``namespace/name`` of an object; the namespace is empty for what has none."""
    metadata = document["metadata"]
    return f"{metadata.get('namespace', '')}/{metadata['name']}"


def pod_seen(document: Mapping[str, Any]) -> PodSeen:
    """What is kept of a pod of the Kubernetes API."""
    metadata, spec = document["metadata"], document.get("spec") or {}
    labels = dict(metadata.get("labels") or {})
    owner = controller_of(document)
    return PodSeen(
        metadata.get("namespace", ""),
        metadata["name"],
        labels,
        (_top(owner, labels),) if owner else (),
        _version(metadata.get("annotations") or {}),
        bool(spec.get("hostNetwork")),
        (document.get("status") or {}).get("phase") in ENDED or "deletionTimestamp" in metadata,
    )


def _top(owner: Owner, labels: Mapping[str, str]) -> Owner:
    """The owner's own owner by the names that Kubernetes gives: a look at each would be a request for each pod.

    A ReplicaSet of a Deployment ends in the pod's ``pod-template-hash``, a Job of a CronJob in its minute, and an Argo
    Workflow of a CronWorkflow in its second.
    """
    hashed = labels.get("pod-template-hash")
    if owner.kind == "ReplicaSet" and hashed and owner.name.endswith(f"-{hashed}"):
        return Owner("apps", "Deployment", owner.name.removesuffix(f"-{hashed}"), owner.uid)
    name, _, moment = owner.name.rpartition("-")
    if name and moment.isdigit():
        if owner.kind == "Job" and len(moment) == 8:
            return Owner("batch", "CronJob", name, owner.uid)
        if (owner.group, owner.kind) == ("argoproj.io", "Workflow") and len(moment) == 10:
            return Owner("argoproj.io", "CronWorkflow", name, owner.uid)
    return owner


def _version(annotations: Mapping[str, str]) -> str:
    try:
        said = json.loads(annotations.get(INJECTED, "{}"))
    except ValueError:
        return ""
    return str(said.get("version", "")) if isinstance(said, dict) else ""
