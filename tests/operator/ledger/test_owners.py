"""Who stands above a pod, as the ledger asks a real API server: Jobs, CronJobs, and Argo's Workflows where they are installed."""

import pytest

from wfb_core.attribution import attribute
from wfb_operator.ledger.kubernetes_api import KubernetesApi

ARGO = "argoproj.io"


def kind(plural, name):
    """A CustomResourceDefinition with the names of one of Argo's, and nothing in its schema."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{ARGO}"},
        "spec": {
            "group": ARGO,
            "scope": "Namespaced",
            "names": {"plural": plural, "singular": plural[:-1], "kind": name, "listKind": f"{name}List"},
            "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


@pytest.fixture(scope="module")
def place(api_server):
    """A namespace with a CronWorkflow's Workflow in it."""
    api_server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "argo"}})
    api_server.apply([kind("workflows", "Workflow"), kind("cronworkflows", "CronWorkflow")])
    api_server.wait_established(f"workflows.{ARGO}", f"cronworkflows.{ARGO}")
    made(api_server, f"{ARGO}/v1alpha1", "CronWorkflow", "nightly")
    above = api_server.get("cronworkflow", "nightly", "-n", "argo")
    made(api_server, f"{ARGO}/v1alpha1", "Workflow", "nightly-1800014400", above)
    return api_server


def made(api, version, what, name, above=None):
    """Creates an object of which nothing but its owner counts."""
    metadata = {"name": name, "namespace": "argo", **({"ownerReferences": [reference(above)]} if above else {})}
    api.apply({"apiVersion": version, "kind": what, "metadata": metadata, "spec": {}})


def reference(above):
    """How an object names its controller."""
    named = {"apiVersion": above["apiVersion"], "kind": above["kind"], "name": above["metadata"]["name"]}
    return {**named, "uid": above["metadata"]["uid"], "controller": True}


def pod(api):
    """A pod of the Workflow, as the API server gives it."""
    above = api.get("workflow", "nightly-1800014400", "-n", "argo")
    metadata = {"name": "nightly-1800014400-step", "namespace": "argo", "ownerReferences": [reference(above)]}
    return {"metadata": metadata}, above["metadata"]["uid"]


def test_a_scheduled_workflows_pod_is_a_run_of_the_cronworkflow(place):
    """The run is the Workflow's UID, and the workflow what scheduled it, not the name with the second in it."""
    step, uid = pod(place)
    owners = KubernetesApi(str(place.kubeconfig)).owners(step)
    assert [(o.kind, o.name) for o in owners] == [("Workflow", "nightly-1800014400"), ("CronWorkflow", "nightly")]
    found = attribute(step, {}, owners)
    assert (found.run, found.labels["aifinops.dev/workflow"]) == (uid, "nightly")


def test_a_ledger_that_may_not_read_workflows_still_knows_the_run(place, caplog):
    """Without that right the nearer name counts, which the log says; no call of the pod fails for it."""
    step, uid = pod(place)
    owners = KubernetesApi(str(place.user("nobody"))).owners(step)
    found = attribute(step, {}, owners)
    assert (found.run, found.labels["aifinops.dev/workflow"]) == (uid, "nightly-1800014400")
    assert "the chart's ClusterRole wfb-ledger grants it" in caplog.text
