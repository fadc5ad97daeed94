"""Whom a pod's calls are for: read from the pod, its namespace and its owners as the API server has them, never from the pod itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wfb_core.selectors import LABEL_PREFIX, SHORT_LABELS

WORKFLOW, RUN = LABEL_PREFIX + "workflow", LABEL_PREFIX + "run"

RUN_KINDS = (("batch", "Job"), ("argoproj.io", "Workflow"))
"""Owners, as (API group, kind), that live for one run of a workflow; their UID names it."""


@dataclass(frozen=True, slots=True)
class Owner:
    """One controlling owner of a pod, the nearest first in a chain."""

    group: str
    kind: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Attribution:
    """Whom the calls of one pod are for."""

    namespace: str
    labels: Mapping[str, str]
    """The pod's own labels, and of ours what its namespace adds; the workflow is always there."""
    run: str
    """The label, else the UID of the owner that lives for one run; empty for pods that have none."""


def controller_of(document: Mapping[str, Any]) -> Owner | None:
    """The owner that controls an object, from ``metadata.ownerReferences``; None for one that stands alone."""
    for reference in document.get("metadata", {}).get("ownerReferences") or ():
        if reference.get("controller"):
            group = str(reference.get("apiVersion", "")).rpartition("/")[0]
            return Owner(group, str(reference.get("kind", "")), str(reference.get("name", "")), str(reference["uid"]))
    return None


def attribute(pod: Mapping[str, Any], namespace: Mapping[str, Any], owners: Sequence[Owner]) -> Attribution:
    """Whom a pod's calls are for.

    ``pod`` and ``namespace`` are objects of the Kubernetes API, ``owners`` the chain from the pod upwards. A label of
    ours that the pod lacks is its namespace's; a workflow that neither names is the top owner's name, or the pod's.
    """
    metadata = pod.get("metadata", {})
    labels = {str(name): str(value) for name, value in (metadata.get("labels") or {}).items()}
    above = namespace.get("metadata", {}).get("labels") or {}
    for short in SHORT_LABELS:
        name = LABEL_PREFIX + short
        if name != RUN and name not in labels and name in above:  # a run of a whole namespace would never end
            labels[name] = str(above[name])
    if not labels.get(WORKFLOW):
        labels[WORKFLOW] = (owners[-1].name if owners else str(metadata.get("name", "")))[:63]
    run = labels.get(RUN, "") or next((o.uid for o in owners if (o.group, o.kind) in RUN_KINDS), "")
    return Attribution(str(metadata.get("namespace", "")), labels, run)
