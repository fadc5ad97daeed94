"""What the aggregated API tells of itself: its group, its version, and what can be read.

Only ``get`` and ``list``: a resource that could be deleted would be deleted with its namespace, and one that could be
watched would be watched by the garbage collector.
"""

from typing import Any

GROUP, VERSION = "spend.aifinops.dev", "v1alpha1"
ROOT = f"/apis/{GROUP}/{VERSION}"

RESOURCES = {
    "summaries": "Budgets' windows now, and usage",
    "usage": "Sums of usage by dimensions",
    "decisions": "Refusals, estimates and findings",
    "stages": "Changes of stages",
    "runs": "Runs and what they cost",
    "anomalies": "Workflows whose spend is judged, spikes first",
    "loops": "Runs that the guard against loops flagged, slowed or refused",
}
"""What can be read of one namespace or of all: plural, and what it is."""

_VERSION = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
_GROUP = {"name": GROUP, "versions": [_VERSION], "preferredVersion": _VERSION}

PAGE = "page"
"""The files of the web view: no namespace, and nothing of anybody's money."""


def groups() -> dict[str, Any]:
    """``/apis``."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_GROUP]}


def group() -> dict[str, Any]:
    """``/apis/spend.aifinops.dev``."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_GROUP}


def resources() -> dict[str, Any]:
    """``/apis/spend.aifinops.dev/v1alpha1``."""
    found = [
        {"name": name, "singularName": "", "namespaced": True, "kind": kind_of(name), "verbs": ["list"]}
        for name in RESOURCES
    ]
    found.append({"name": PAGE, "singularName": "", "namespaced": False, "kind": "Page", "verbs": ["get"]})
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{GROUP}/{VERSION}",
        "resources": found,
    }


def kind_of(resource: str) -> str:
    """The kind of an answer: ``usage`` makes a UsageList."""
    return {"summaries": "Summary"}.get(resource, f"{resource.capitalize()}List")
