"""Whom a pod's calls are for, from what the API server knows."""

import pytest

from wfb_core.attribution import Owner, attribute, controller_of

JOB = Owner("batch", "Job", "triage-29384756", "uid-job")
CRON = Owner("batch", "CronJob", "triage", "uid-cron")
DEPLOYMENT = Owner("apps", "Deployment", "triage-api", "uid-deploy")
ARGO = Owner("argoproj.io", "Workflow", "triage-x7k2p", "uid-argo")

CASES = {
    "the pod's own labels": (
        {"aifinops.dev/workflow": "triage", "aifinops.dev/team": "finance"},
        {"aifinops.dev/team": "platform"},
        [],
        ("triage", "finance", ""),
    ),
    "a label that the pod lacks is its namespace's": (
        {"aifinops.dev/workflow": "triage"},
        {"aifinops.dev/team": "platform"},
        [],
        ("triage", "platform", ""),
    ),
    "a workflow that nobody names is the top owner's name": ({}, {}, [JOB, CRON], ("triage", None, "uid-job")),
    "a Deployment's pods have no run": ({}, {}, [DEPLOYMENT], ("triage-api", None, "")),
    "an Argo Workflow is a run": ({"aifinops.dev/workflow": "w"}, {}, [ARGO], ("w", None, "uid-argo")),
    "the run's label wins over the owner": ({"aifinops.dev/run": "r1"}, {}, [JOB], ("triage-29384756", None, "r1")),
    "a namespace cannot name a run": ({}, {"aifinops.dev/run": "r1"}, [], ("pod-1", None, "")),
    "a pod that stands alone is its own workflow": ({}, {}, [], ("pod-1", None, "")),
    "an empty workflow is none": ({"aifinops.dev/workflow": ""}, {}, [CRON], ("triage", None, "")),
}


@pytest.mark.parametrize(("labels", "above", "owners", "expected"), CASES.values(), ids=CASES)
def test_whom_a_pods_calls_are_for(labels, above, owners, expected):
    """Labels of the pod, then of its namespace, then the owners' names: in this order, and nothing from anywhere else."""
    pod = {"metadata": {"name": "pod-1", "namespace": "billing", "labels": labels}}
    found = attribute(pod, {"metadata": {"labels": above}}, owners)

    seen = found.labels["aifinops.dev/workflow"], found.labels.get("aifinops.dev/team"), found.run
    assert (seen, found.namespace) == (expected, "billing")


def test_only_a_controlling_owner_counts():
    """Of several owner references the one that controls the object is its owner; an object without one has none."""
    references = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "1"},
        {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "2", "controller": True},
    ]
    assert controller_of({"metadata": {"ownerReferences": references}}) == Owner("batch", "Job", "j", "2")
    assert controller_of({"metadata": {"ownerReferences": references[:1]}}) is None
