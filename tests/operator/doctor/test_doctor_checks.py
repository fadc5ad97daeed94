"""What the doctor says of what it sees: every way in which calls go uncounted, found by its cause."""

import pytest

from harness.cluster_objects import budget, namespace, pod
from wfb_operator.cli import doctor
from wfb_operator.doctor.checks import CHECKS, examine
from wfb_operator.doctor.seen import Seen

WEBHOOK = {"webhooks": [{"clientConfig": {"caBundle": "cm9vdA=="}}]}


def injected(**labels):
    """A pod that has the sidecar."""
    found = pod(**labels)
    found["spec"]["initContainers"] = [{"name": "wfb-sidecar"}]
    return found


def workload(kind="Deployment", labels=None, template=None, annotations=None):
    """A workload with labels of its own and of its pods."""
    pods = {"template": {"metadata": {"labels": template or {}, "annotations": annotations or {}}}}
    spec = {"jobTemplate": {"spec": pods}} if kind == "CronJob" else pods
    return {"kind": kind, "metadata": {"name": "w", "namespace": "billing", "labels": labels or {}}, "spec": spec}


def condition(kind, status, message="said so"):
    return {"conditions": [{"type": kind, "status": status, "message": message}]}


CASES = {
    "no webhook": (Seen(), "problem", "there is no MutatingWebhookConfiguration", "install the chart"),
    "no root in the webhook": (
        Seen(webhook={"webhooks": [{"clientConfig": {}}]}),
        "problem",
        "does not know the injector's root",
        "controller's log",
    ),
    "budgets unreadable": (
        Seen(unread={"budgets": "forbidden"}),
        "problem",
        "budgets cannot be read: forbidden",
        "wfb-view",
    ),
    "a label misspelt": (
        Seen(workloads=[workload(template={"aifinops.dev/worfklow": "x"})]),
        "warning",
        "deployment template billing/w: nobody reads aifinops.dev/worfklow",
        "did you mean aifinops.dev/workflow?",
    ),
    "another prefix": (
        Seen(namespaces=[namespace("n") | {"metadata": {"name": "n", "labels": {"aifinop.dev/inject": "true"}}}]),
        "warning",
        "namespace n: nobody reads aifinop.dev/inject",
        "did you mean aifinops.dev/inject?",
    ),
    "inject that means nothing": (
        Seen(namespaces=[namespace(inject="yes")]),
        "warning",
        "namespace billing: aifinops.dev/inject=yes means nothing",
        'write aifinops.dev/inject: "true"',
    ),
    "a label among the annotations": (
        Seen(workloads=[workload(annotations={"aifinops.dev/team": "x"})]),
        "warning",
        "aifinops.dev/team stands under annotations",
        "move it to metadata.labels",
    ),
    "labels on the Deployment alone": (
        Seen(workloads=[workload(labels={"aifinops.dev/workflow": "x"})]),
        "warning",
        "deployment billing/w: aifinops.dev/workflow stands on the Deployment and not on its pods",
        "spec.template.metadata.labels",
    ),
    "labels on the CronJob alone": (
        Seen(workloads=[workload("CronJob", labels={"aifinops.dev/team": "x"})]),
        "warning",
        "cronjob billing/w: aifinops.dev/team stands on the CronJob",
        "spec.template.metadata.labels",
    ),
    "asked for and not there": (
        Seen(pods=[pod()], namespaces=[namespace(inject="true")]),
        "warning",
        "pod billing/p: asks for the sidecar and runs without it",
        "start it anew",
    ),
    "asked for on the node's network": (
        Seen(pods=[pod(host_network=True, inject="true")]),
        "warning",
        "pod billing/p: asks for the sidecar and cannot have it",
        "take hostNetwork away",
    ),
    "named and not asked": (
        Seen(pods=[pod(workflow="x")]),
        "warning",
        "pod billing/p: names its workflow and does not ask",
        "aifinops.dev/inject=true",
    ),
    "a budget that nobody saw": (Seen(budgets=[budget()]), "problem", "wfb billing/triage: has no status", "log"),
    "a budget with a mistake": (
        Seen(budgets=[budget(status=condition("Ready", "False"))]),
        "problem",
        "wfb billing/triage: Ready: said so",
        "",
    ),
    "uncovered pods": (
        Seen(budgets=[budget(status=condition("PodsCovered", "Unknown"))]),
        "warning",
        "wfb billing/triage: PodsCovered: said so",
        "",
    ),
}


@pytest.mark.parametrize(("seen", "level", "words", "way_out"), CASES.values(), ids=CASES)
def test_each_cause_is_found_and_has_a_way_out(seen, level, words, way_out):
    """A finding names the object, the cause, and what to do."""
    told = [(f.level, f"{f.subject}: {f.message}" if f.subject else f.message, f.way_out) for f in examine(seen)]
    assert [t for t in told if t[0] == level and words in t[1] and way_out in t[2]], told


QUIET = {
    "opted out": pod(workflow="x", inject="false"),
    "ended": pod(workflow="x", phase="Succeeded"),
    "nothing of ours": pod(),
    "covered": injected(workflow="x", inject="true"),
}


@pytest.mark.parametrize("one", QUIET.values(), ids=QUIET)
def test_what_is_as_it_should_be_is_not_warned_about(one):
    """No finding worse than a note for a cluster in which nothing is wrong."""
    fine = Seen(pods=[one], webhook=WEBHOOK, budgets=[budget(status=condition("Ready", "True"))])
    assert [f for f in examine(fine) if f.level in ("warning", "problem")] == []


def test_a_check_by_itself():
    """Only what was asked for is told; the command's own names are those of the checks."""
    assert {f.check for f in examine(Seen(pods=[pod(workflow="x")]), ["pods"])} == {"pods"}
    assert set(doctor._CHECKS) == set(CHECKS)
