"""Which pods a budget is for, which spend without being counted, and what almost matched."""

import pytest

from harness.cluster_objects import budget, namespace, pod
from wfb_core.document import parse_budget
from wfb_operator.controller.coverage import survey
from wfb_operator.controller.world import World, pod_seen


def covered(*pods, budgets=None, namespaces=None):
    """The coverage of the first budget, in a world of these objects."""
    world = World()
    for one in namespaces or [namespace()]:
        world.put_namespace(one)
    for one in pods:
        world.put_pod(one)
    parsed = {
        f"{b['metadata'].get('namespace', '')}/{b['metadata']['name']}": parse_budget(b) for b in budgets or [budget()]
    }
    return survey(parsed, world, "0.1.0")[next(iter(parsed))]


CASES = {
    "all have it": ([pod(workflow="triage")], "True", "AllCovered", "All 1 pods"),
    "one has not": (
        [pod(workflow="triage"), pod("q", version="", workflow="triage")],
        "False",
        "Uncovered",
        "1 of 2 pods run without the sidecar, so their calls are not counted (billing/q)",
    ),
    "on the node's network": (
        [pod(version="", host_network=True, workflow="triage")],
        "False",
        "Uncovered",
        "take hostNetwork away",
    ),
    "an older sidecar": ([pod(version="0.0.9", workflow="triage")], "False", "Outdated", "rollout restart"),
    "ended pods do not count": ([pod(version="", phase="Succeeded", workflow="triage")], "Unknown", "NoPods", ""),
    "another namespace's do not count": ([pod(namespace="x", workflow="triage")], "Unknown", "NoPods", ""),
    "a typo in a value": ([pod(workflow="triag")], "Unknown", "NoPods", "aifinops.dev/workflow=triag, the budget"),
    "a typo in a label": (
        [pod(**{"aifinops.dev/worfklow": "triage"})],
        "Unknown",
        "NoPods",
        "has the label aifinops.dev/worfklow, the budget selects",
    ),
    "nothing near": ([pod(workflow="search")], "Unknown", "NoPods", "label the pod template, not the Deployment"),
    "many are counted, few are named": (
        [pod(f"p{n}", version="", workflow="triage") for n in range(9)],
        "False",
        "Uncovered",
        "(billing/p0, billing/p1, billing/p2 and 6 more)",
    ),
}


@pytest.mark.parametrize(("pods", "status", "reason", "words"), CASES.values(), ids=CASES)
def test_the_condition_names_pods_and_the_way_out(pods, status, reason, words):
    """PodsCovered is False exactly where calls go uncounted or a sidecar is old, and says what to do."""
    found = covered(*pods).condition()
    assert (found.status, found.reason) == (status, reason)
    assert words in found.message


def test_labels_of_namespaces_and_owners_count():
    """A pod is within a budget by its namespace's label, or by its Deployment's name, as the ledger sees it too."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "triage-5d4f", "uid": "u"}
    by_owner = pod("a", owner=owner, **{"example.com/pod-template-hash": "5d4f"})
    by_owner["metadata"]["labels"] = {"pod-template-hash": "5d4f"}
    assert pod_seen(by_owner).owners[0].name == "triage"
    assert covered(by_owner).matched == 1
    assert covered(pod("a"), namespaces=[namespace(workflow="triage")]).matched == 1


def test_a_cronjobs_pod_belongs_to_the_cronjob():
    """The minute that Kubernetes puts behind a CronJob's name is no part of the workflow's name."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "triage-29384756", "uid": "u"}
    assert covered(pod(owner=owner)).matched == 1


def test_a_scheduled_argo_workflows_pod_belongs_to_its_cronworkflow():
    """Nor is the second that Argo puts behind a CronWorkflow's name; a Workflow of that name made by hand has no such end."""
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "uid": "u"}
    assert covered(pod(owner={**owner, "name": "triage-1800014400"})).matched == 1
    assert covered(pod(owner={**owner, "name": "triage-x7f2q"})).matched == 0


def test_budgets_that_share_a_pod_know_each_other():
    """Two budgets over one pod are named, since a call needs room in both."""
    wide = budget("team")
    wide["spec"]["selector"]["matchLabels"] = {"aifinops.dev/team": "finance"}
    found = covered(pod(workflow="triage", team="finance"), budgets=[budget(), wide])
    assert found.shared == ("billing/team",)
