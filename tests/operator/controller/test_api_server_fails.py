"""An API server that is away, or that does not grant what the controller asks: said in a sentence, and mended by itself."""

import json
import urllib.request
from urllib.parse import urlsplit

import pytest

from harness.gate import Gate
from harness.plane import BILLING, Plane, budget, pod, until
from wfb_operator.controller.api_server import AWAY, BACK

RULES = {
    "budgets": {
        "apiGroups": ["aifinops.dev"],
        "resources": ["workflowbudgets", "clusterworkflowbudgets"],
        "verbs": ["get", "list", "watch"],
    },
    "status": {
        "apiGroups": ["aifinops.dev"],
        "resources": ["workflowbudgets/status", "clusterworkflowbudgets/status"],
        "verbs": ["patch"],
    },
    "pods": {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    "namespaces": {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]},
    "events": {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
    "secrets": {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch"]},
    "kinds": {
        "apiGroups": ["apiextensions.k8s.io"],
        "resources": ["customresourcedefinitions"],
        "verbs": ["get", "list", "watch"],
    },
}
"""What a controller needs here."""


@pytest.fixture(scope="module")
def gate(api_server):
    """The way of controller and ledger to the API server; the test's own way is another."""
    gate = Gate(urlsplit(api_server.url).port).open()
    yield gate
    gate.shut()


@pytest.fixture(scope="module")
def plane(api_server, gate, tmp_path_factory):
    """A ledger and a controller at work behind the gate."""
    from cluster.api_server import free_ports

    folder = tmp_path_factory.mktemp("plane")
    document = json.loads(api_server.kubeconfig.read_text())
    document["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{gate.port}"
    through = folder / "through-the-gate.kubeconfig"
    through.write_text(json.dumps(document))
    found = Plane(api_server, folder, *free_ports(1), kubeconfig=through).start()
    yield found
    found.stop()


def test_an_api_server_that_is_away_stops_nobody_and_is_said_once(plane, gate):
    """Money is granted and counted all the while; the log and a metric say what waits; afterwards the status is true by itself."""
    plane.api.apply([budget("steady"), pod("steady-1", "steady")])
    plane.becomes("Ready", "InForce", "steady")
    token = plane.token("steady", BILLING, "default", pod="steady-1")
    uid = plane.api.get("pod", "steady-1", "-n", BILLING)["metadata"]["uid"]
    assert plane.spend(token, uid, "1.00", "steady")[0] == 200
    until(lambda: plane.status("steady").get("spentUSD") == "1.00", "the money in the status")

    gate.shut()
    assert plane.spend(token, uid, "6.00", "steady")[0] == 200
    until(lambda: AWAY in plane.controller_says(), "the sentence in the log")
    assert plane.metric("wfb_controller_api_server_answers") == 0.0
    rounds = plane.metric("wfb_controller_rounds_total")
    until(lambda: plane.metric("wfb_controller_rounds_total") >= rounds + 5, "rounds that go on")
    with urllib.request.urlopen(f"{plane.controller.ready['url']}/healthz", timeout=10) as answer:
        assert answer.status == 200
    assert plane.spend(token, uid, "7.00", "steady")[0] == 200
    assert plane.controller_says().count(AWAY) == 1

    gate.open()
    until(lambda: plane.status("steady").get("spentUSD") == "7.00", "the money of meanwhile in the status")
    reached = ("events", "-n", BILLING, "--field-selector=reason=StageWarn,involvedObject.name=steady")
    until(lambda: len(plane.api.get(*reached)["items"]) == 1, "the Event of meanwhile")
    assert plane.metric("wfb_controller_api_server_answers") == 1.0
    assert plane.controller_says().count(BACK) == 1
    plane.api.apply(budget("afterwards"))
    plane.becomes("Ready", "InForce", "afterwards")


def test_a_controller_that_may_not_see_pods_says_so_in_the_condition_about_them(plane):
    """Budgets are in force all the same; PodsCovered names the missing right and who grants it, until it is there."""
    controller_as(plane, "blind", without="pods")
    plane.api.apply([budget("unseen"), pod("unseen-1", "unseen")])
    plane.becomes("Ready", "InForce", "unseen")
    message = plane.becomes("PodsCovered", "MayNotSee", "unseen")
    assert 'cannot list resource "pods"' in message, message
    assert "ClusterRole wfb-controller grants it: bring it back with helm upgrade" in message
    grant(plane, "blind", RULES)
    plane.becomes("PodsCovered", "AllCovered", "unseen")


def test_a_controller_that_may_not_write_a_status_says_so_in_an_event(plane):
    """Who looks why a budget shows nothing finds one Event that names the missing right; with the right it heals."""
    controller_as(plane, "mute", without="status")
    plane.api.apply(budget("mute"))
    reached = ("events", "-n", BILLING, "--field-selector=reason=StatusNotWritten,involvedObject.name=mute")
    (event,) = until(lambda: plane.api.get(*reached)["items"], "the Event")
    assert "The status is not written: the controller lacks a right" in event["message"]
    assert "bring it back with helm upgrade" in event["message"]
    assert plane.status("mute") == {}
    grant(plane, "mute", RULES)
    plane.becomes("Ready", "InForce", "mute")
    assert len(plane.api.get(*reached)["items"]) == 1


def controller_as(plane, name, without):
    """The controller anew, as an account that lacks one right."""
    grant(plane, name, {key: rule for key, rule in RULES.items() if key != without})
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    }
    plane.api.apply(binding)
    plane.controller.stop()
    plane.start_controller(plane.api.user(name))


def grant(plane, name, rules):
    """The account's role has exactly these rules from now on."""
    meta = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}}
    plane.api.apply({**meta, "rules": list(rules.values())})
