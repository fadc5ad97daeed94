"""`kubectl wfb report`, `top`, `whatif` and `explain` of a cluster: a real ledger behind a real API server, as a user runs them."""

import json
import shutil
import sys
import time
from pathlib import Path

import pytest
import yaml

from harness.people_ledger import ADMIN, PeopleLedger, role
from harness.ledger_under_test import USD, batch, dispatch, document, usage
from wfb_core.wire import DecisionRecord
from wfb_core.windows import window_at

CRDS = Path(__file__).resolve().parents[3] / "crds"
WORKFLOW, TEAM = "aifinops.dev/workflow", "aifinops.dev/team"
SPENT = {"billing": 7 * USD, "research": 50 * USD}
DECISIONS = {"billing": "d-000000000001", "research": "d-000000000002"}


def budget(namespace):
    """A Day's budget of a namespace's workflow, which has the namespace's name."""
    found = document(namespace, usd="10.00", labels={WORKFLOW: namespace})
    found["metadata"]["namespace"] = namespace
    return found


@pytest.fixture(scope="module")
def ledger(api_server, tmp_path_factory):
    """Two namespaces with a budget, an hour of spend and a refusal each; anna may view one of them, the-cfo both."""
    api_server.apply([yaml.safe_load(path.read_text()) for path in CRDS.glob("*.yaml")])
    api_server.wait_established("workflowbudgets.aifinops.dev", "clusterworkflowbudgets.aifinops.dev")
    for ns in SPENT:
        api_server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
        api_server.apply(budget(ns))
    found = PeopleLedger(api_server, tmp_path_factory.mktemp("ledger"))
    try:
        found.register(*role("spend-billing", "anna", "billing"), *role("spend-all", "the-cfo"))
        found.send("PUT", "/v1/budgets", ADMIN, {"budgets": [budget(ns) for ns in SPENT]})
        found.pods(**{ns: {WORKFLOW: ns, TEAM: f"team-{ns}"} for ns in SPENT})
        for ns, nanos in SPENT.items():
            spend(found, ns, nanos)
        yield found
    finally:
        found.unregister()
        api_server.try_kubectl("delete", "workflowbudgets", "--all", "--all-namespaces")


def spend(ledger, ns, nanos):
    """A pod asks for its money, and tells of an hour in which it went and of a call that was refused."""
    now = time.time()
    window = window_at(f"{ns}/{ns}", "Day", "UTC", now).id
    granted = min(nanos, 9 * USD)
    ledger.report(ns, dispatch(1, {window: (0, 0, 0)}, [(1, granted, (window,))], holder=f"{ns}/1"))
    rows = [usage(minute=int(now // 60) - m, nanos=nanos // 50) for m in range(2, 52)]
    details = json.dumps({"labels": {WORKFLOW: ns}, "budgets": [f"{ns}/{ns}"]})
    refused = DecisionRecord(
        DECISIONS[ns], now, "refusal", "BudgetExhausted", f"{ns} has nothing left", 402, "openai", "gpt-5",
        f"{ns}/{ns}", "Day", limit=10 * USD, spent=granted, details=details,
    )  # fmt: skip
    told = batch(
        1, *rows, usage(minute=int(now // 60), nanos=0, calls=0, refused=1, outcome="refused"), decisions=[refused]
    )
    ledger.report(ns, dispatch(2, {window: (granted, 0, granted)}, holder=f"{ns}/1", batches=[told]))


@pytest.fixture
def plugin(ledger):
    """``kubectl wfb …`` as a user of the cluster: returns the process that ended."""
    bin_ = Path(sys.executable).parent
    kubectl = ledger.api.program or shutil.which("kubectl")

    def run(user, *arguments):
        env = {"KUBECONFIG": str(ledger.api.user(user)), "PATH": f"{bin_}:/usr/bin:/bin"}
        return ledger.api.run([str(kubectl), "wfb", *map(str, arguments)], check=False, env=env)

    return run


def document_of(ended):
    """The JSON that a command wrote."""
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_a_report_is_kept_to_what_one_may_see(plugin):
    """A namespace's user sees its namespace to the cent, whoever may list all sees all, by the same command."""
    mine = document_of(plugin("anna", "report", "-n", "billing", "--by", "namespace,team", "--json"))
    assert [(r["namespace"], r["team"], r["usd"]) for r in mine["usage"]] == [("billing", "team-billing", "7.00")]
    assert [b["budget"] for b in mine["budgets"]] == ["billing/billing"]
    all_ = document_of(plugin("the-cfo", "report", "-A", "--by", "namespace", "--json"))
    assert [(r["namespace"], r["usd"]) for r in all_["usage"]] == [("research", "50.00"), ("billing", "7.00")]


FORMS = {
    "table": ((), "namespace billing"),
    "csv": (("-o", "csv", "--by", "workflow"), "billing,"),
    "html": (("-o", "html"), "Only namespace <bdi>billing</bdi>"),
    "focus": (("-o", "focus"), "team-billing"),
    "a statement": (("--shared", "even", "--by", "team"), "team-billing"),
}


@pytest.mark.parametrize(("options", "words"), FORMS.values(), ids=FORMS)
def test_a_report_in_every_form(plugin, options, words):
    """What a report can be of this machine it can be of a cluster, and nothing of another namespace is in it."""
    ended = plugin("anna", "report", "-n", "billing", *options)
    assert ended.returncode == 0, ended.stderr
    assert words in ended.stdout
    assert "research" not in ended.stdout


def test_one_look_at_what_goes_on(plugin):
    """``top`` has spend by the minute, budgets and refusals of the namespace, and says whose they are."""
    now = document_of(plugin("anna", "top", "-n", "billing", "--json"))
    assert (now["spent_usd"], now["refused"]) == ("7.00", 1)
    assert [(b["budget"], b["spent_usd"]) for b in now["budgets"]] == [("billing/billing", "7.00")]
    assert now["refusals"] == [{"reason": "BudgetExhausted", "count": 1}]
    assert [n["name"] for n in now["top"]["workflow"]] == ["billing"]
    drawn = plugin("anna", "top", "-n", "billing", "--once")
    assert "namespace billing" in drawn.stdout, drawn.stderr


def test_a_smaller_budget_against_what_a_cluster_recorded(plugin, tmp_path):
    """``whatif`` replays the namespace's own minutes, and says what of a file's budgets these books cannot tell."""
    half = budget("billing")
    half["spec"]["limits"][0]["usd"] = "3.50"
    file = tmp_path / "half.yaml"
    file.write_text(yaml.safe_dump_all([half, budget("research")]))
    ended = plugin("anna", "whatif", "-f", file, "-n", "billing", "--since", "2h", "--json")
    mine, other = document_of(ended)["budgets"]
    assert (mine["totals"]["recordedUSD"], mine["totals"]["refused"]) == ("7.00", 25)
    assert other["totals"]["recordedUSD"] == "0.00"
    assert "budget research/research is for namespace research" in ended.stderr


def test_why_a_call_in_a_cluster_was_refused(plugin):
    """A decision is explained with its budgets as they stand now; one of a namespace that one may not see is not known."""
    found = document_of(plugin("anna", "explain", DECISIONS["billing"], "-n", "billing", "--json"))
    assert found["decision"]["message"] == "billing has nothing left"
    assert [(b["budget"], b["windows"][0]["spent"]) for b in found["budgets"]] == [("billing/billing", "7.00")]
    hidden = plugin("anna", "explain", DECISIONS["research"], "-n", "billing")
    assert hidden.returncode == 2
    assert f"decision {DECISIONS['research']} is not known in namespace billing" in hidden.stderr
    assert "give the --namespace" in hidden.stderr
    assert document_of(plugin("the-cfo", "explain", DECISIONS["research"], "-A", "--json"))["decision"]["status"] == 402


def test_what_a_workflow_of_a_cluster_would_meet(plugin):
    """Its budgets with the ledger's own figures, and its last decisions."""
    found = document_of(plugin("anna", "explain", "billing", "-n", "billing", "--json"))
    assert [(b["budget"], b["matches"], b["windows"][0]["spent"]) for b in found["budgets"]] == [
        ("billing/billing", True, "7.00")
    ]
    assert [d["id"] for d in found["decisions"]] == [DECISIONS["billing"]]


def test_what_a_pod_of_a_cluster_would_meet(plugin, ledger):
    """By its own labels, and with what was decided about it and not about a pod of its name before."""
    container = {"name": "app", "image": "none.invalid/none"}
    metadata = {"name": "worker", "namespace": "billing", "labels": {WORKFLOW: "billing"}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
    ledger.api.apply(pod)
    uid = ledger.api.get("pod", "worker", "-n", "billing")["metadata"]["uid"]
    ledger.pods(billing={WORKFLOW: "billing", TEAM: "team-billing"}, prefixes={"billing": f"{uid}/"})
    said = DecisionRecord("d-00000000000a", time.time(), "refusal", "BudgetExhausted", "of this pod")
    ledger.report("billing", dispatch(1, holder=f"{uid}/1", batches=[batch(1, decisions=[said])]))
    found = document_of(plugin("anna", "explain", "pod/worker", "-n", "billing", "--json"))
    assert (found["subject"]["labels"][WORKFLOW], found["budgets"][0]["matches"]) == ("billing", True)
    assert [d["message"] for d in found["decisions"]] == ["of this pod"]


def test_a_token_counts_as_a_certificate_does(plugin, ledger, tmp_path):
    """A service account's token in a kubeconfig without a current context, which --context names, reads what it may."""
    account = {"name": "reporter", "namespace": "billing"}
    who = role("spend-reporter", "system:serviceaccount:billing:reporter", "billing")
    ledger.api.apply([{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}, *who])
    token = ledger.api.kubectl("create", "token", "reporter", "-n", "billing").strip()
    config = yaml.safe_load(ledger.api.user("anna").read_text())
    config["users"] = [{"name": "u", "user": {"token": token}}]
    config["contexts"] = [{"name": "ours", "context": {"cluster": "c", "user": "u", "namespace": "billing"}}]
    del config["current-context"]
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    options = ("--kubeconfig", file, "--context", "ours", "--by", "namespace", "--json")
    found = document_of(plugin("nobody", "report", *options))
    assert [(r["namespace"], r["usd"]) for r in found["usage"]] == [("billing", "7.00")]
    assert plugin("nobody", "report", *options, "-n", "research").returncode == 125


REFUSED = {
    "another namespace": (("report", "-n", "research"), "you may not read the spend of namespace research"),
    "all of it": (("top", "-A", "--once"), "you may not read the spend of all namespaces"),
    "a namespace's own default": (("report",), "you may not read the spend of namespace default"),
    "other minutes": (("whatif", "-f", "budget", "-n", "research"), "you may not read the spend of namespace research"),
    "another's decision": (
        ("explain", "d-000000000002", "-n", "research"),
        "you may not read the spend of namespace res",
    ),
}


@pytest.mark.parametrize(("arguments", "words"), REFUSED.values(), ids=REFUSED)
def test_what_one_may_not_see_is_said(plugin, tmp_path, arguments, words):
    """One sentence with whom to ask, no trace of an amount, and an exit code that a script sees."""
    file = tmp_path / "budget.yaml"
    file.write_text(yaml.safe_dump(budget("research")))
    ended = plugin("anna", *(str(file) if a == "budget" else a for a in arguments))
    assert (ended.returncode, ended.stdout) == (125, ""), ended.stderr
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


WRONG = {
    "a namespace and all": (("report", "-n", "billing", "-A"), "exclude each other"),
    "a cluster and a state": (("top", "-n", "billing", "--state", "x"), "--state is for runs on this machine"),
    "no such context": (("report", "--context", "moon"), "no cluster to read the books of"),
    "another namespace's rows": (
        ("report", "-n", "billing", "--only", "namespace=research"),
        "--only namespace=research is not in these books",
    ),
    "a pod of all namespaces": (("explain", "pod/x", "-A"), "pod x is of one namespace"),
    "a pod of this machine": (("explain", "pod/x", "--state", "x"), "leave --state out"),
}


@pytest.mark.parametrize(("arguments", "words"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_before_anything_is_read(plugin, arguments, words):
    """Exit code 2, and a way out."""
    ended = plugin("anna", *arguments)
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert words in ended.stderr


def test_a_cluster_without_the_api_says_so(plugin, ledger):
    """Where the chart leaves the aggregated API out, the sentence names its value."""
    name = "v1alpha1.spend.aifinops.dev"
    registered = ledger.api.get("apiservice", name)
    ledger.api.kubectl("delete", "apiservice", name)
    try:
        ended = plugin("anna", "report", "-n", "billing")
    finally:
        kept = {key: registered[key] for key in ("apiVersion", "kind", "spec")}
        ledger.api.apply({**kept, "metadata": {"name": name}})
    assert (ended.returncode, "people.enabled" in ended.stderr) == (125, True), ended.stderr
