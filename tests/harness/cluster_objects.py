"""Objects of the Kubernetes API as its server gives them, short enough to write in a table."""

NOON = 1_800_014_400.0
"""Friday 2027-01-15 12:00:00 UTC."""


def pod(name="p", namespace="billing", *, version="0.1.0", owner=None, host_network=False, phase="Running", **labels):
    """A pod; ``workflow="x"`` is a label of ours, ``version`` the sidecar's, empty for none."""
    annotations = {"aifinops.dev/injected": f'{{"version": "{version}", "mode": "transparent"}}'} if version else {}
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "annotations": annotations}
    metadata["labels"] = {f"aifinops.dev/{k}" if "/" not in k else k: v for k, v in labels.items()}
    if owner:
        metadata["ownerReferences"] = [{**owner, "controller": True}]
    return {"metadata": metadata, "spec": {"hostNetwork": host_network}, "status": {"phase": phase}}


def namespace(name="billing", **labels):
    """A namespace with labels of ours."""
    return {"metadata": {"name": name, "labels": {f"aifinops.dev/{k}": v for k, v in labels.items()}}}


def budget(name="triage", namespace="billing", *, workflow="triage", usd="200.00", status=None, **spec):
    """A WorkflowBudget of one day's limit as the API server gives it."""
    return {
        "apiVersion": "aifinops.dev/v1alpha1",
        "kind": "WorkflowBudget",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 3},
        "spec": {
            "selector": {"matchLabels": {"aifinops.dev/workflow": workflow}},
            "limits": [{"window": "Day", "usd": usd}],
            **spec,
        },
        **({"status": status} if status else {}),
    }


def line(spent="0", limit="200", *, kind="Day", stage="Open", budget="billing/triage", run=""):
    """One window of the ledger's summary."""
    day = kind == "Day"
    label = "2027-01-15T00:00:00+00:00" if day else run
    return {
        "budget": budget,
        "window": f"{budget}|{kind}|{label}",
        "kind": kind,
        "start": NOON - 43_200 if day else None,
        "end": NOON + 43_200 if day else None,
        "limit_usd": limit,
        "spent_usd": spent,
        "reserved_usd": "0.5",
        "lost_usd": "0",
        "overspent_usd": "0",
        "estimated_usd": "0.000000001",
        "percent_used": int(float(spent) * 100 // float(limit)),
        "stage": stage,
        "agreed_usd": "0",
        "pacing": "",
        "paced_usd_per_hour": None,
        "queued": 0,
    }
