"""Documents of the two kinds of budget, for tests that ask both the API server and the core about them."""

import copy

API_VERSION = "aifinops.dev/v1alpha1"
GONE = object()
"""As a field's value: the field is left out."""

MINIMAL = {
    "selector": {"matchLabels": {"aifinops.dev/workflow": "invoice-triage"}},
    "limits": [{"window": "Day", "usd": "200.00"}],
}


def budget(name="b", namespace="default", **spec):
    """A WorkflowBudget with the least it needs, and these fields of its spec changed."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": "WorkflowBudget", "metadata": metadata, "spec": _spec(spec)}


def cluster_budget(name="b", **spec):
    """A ClusterWorkflowBudget for everything, with these fields of its spec changed."""
    spec = {"selector": GONE} | spec
    return {
        "apiVersion": API_VERSION,
        "kind": "ClusterWorkflowBudget",
        "metadata": {"name": name},
        "spec": _spec(spec),
    }


def _spec(changes):
    spec = copy.deepcopy(MINIMAL) | copy.deepcopy({k: v for k, v in changes.items() if v is not GONE})
    return {name: value for name, value in spec.items() if changes.get(name) is not GONE}
