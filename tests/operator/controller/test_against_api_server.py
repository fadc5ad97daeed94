"""Controller and ledger as processes beside a real API server: budgets, tokens, certificates, status and Events."""

import json
import os
import subprocess
import sys
import time

import pytest

from harness.loop_thread import LoopThread
from harness.plane import BILLING, USD, Plane, budget, pod, until
from harness.receiver import SECRET, Receiver
from wfb_core.reasons import DOWNGRADE_REFUSED, LOOP_REFUSED, LOOP_SLOWED, RUN_STAGE_REACHED
from wfb_core.wire import DecisionRecord


@pytest.fixture(scope="module")
def plane(api_server, tmp_path_factory):
    """A ledger and a controller at work."""
    from cluster.api_server import free_ports

    loop = LoopThread()
    receiver = loop.run(Receiver([500, 204]).start())
    allowed = ("--notify-allow", f"http://127.0.0.1:{receiver.port}")
    found = Plane(api_server, tmp_path_factory.mktemp("plane"), *free_ports(1), controller=allowed)
    found.receiver = receiver
    yield found.start()
    found.stop()
    loop.run(receiver.stop())
    loop.close()


def test_a_budget_is_in_force_soon_after_it_is_applied(plane):
    """Status says so in its own words, and the printer's columns show the money."""
    plane.api.apply([budget(), pod("triage-1", "triage")])
    plane.becomes("Ready", "InForce")
    plane.becomes("PodsCovered", "AllCovered")
    shown = plane.api.kubectl("get", "wfb", "triage", "-n", BILLING)
    assert "10.00" in shown, shown


def test_a_pods_own_token_spends_and_status_follows(plane):
    """A token bound to a pod, reviewed by the API server, is that pod; its dollars reach the status and make an Event."""
    plane.api.apply([budget("spender"), pod("spender-1", "spender")])
    plane.becomes("Ready", "InForce", "spender")
    token = plane.token("spender", BILLING, "default", pod="spender-1")
    uid = plane.api.get("pod", "spender-1", "-n", BILLING)["metadata"]["uid"]
    assert plane.spend(token, uid, "6.00", "spender")[0] == 200
    until(lambda: plane.status("spender").get("spentUSD") == "6.00", "the money in the status")
    assert plane.status("spender")["stage"] == "Warn"
    reached = ("events", "-n", BILLING, "--field-selector=reason=StageWarn,involvedObject.name=spender")
    events = until(lambda: plane.api.get(*reached)["items"], "an Event")
    assert [e["message"] for e in events] == ["Total: 6.00 of 10.00 USD are spent, stage Warn (50 %) begins."]
    assert plane.spend(token, uid, "10.00", "spender")[0] == 200
    message = plane.becomes("WithinBudget", "Exhausted", "spender")
    assert message == "Total: 10.00 of 10.00 USD are spent, until the limit is raised."


def test_a_rung_is_told_signed_and_what_fails_is_an_event(plane):
    """A receiver that fails at first gets one signed CloudEvent; an address that notices may not go to is an Event."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "hook", "namespace": BILLING},
        "stringData": {"signing-key": SECRET},
    }
    targets = [
        {"url": plane.receiver.url, "secretRef": {"name": "hook"}},
        {"url": "https://169.254.169.254/latest/meta-data"},
    ]
    ladder = [{"atPercent": 50, "action": "Warn", "notify": targets}]
    plane.api.apply([secret, budget("teller", ladder=ladder), pod("teller-1", "teller")])
    plane.becomes("Ready", "InForce", "teller")
    token = plane.token("teller", BILLING, "default", pod="teller-1")
    uid = plane.api.get("pod", "teller-1", "-n", BILLING)["metadata"]["uid"]
    for usd in ("4.00", "6.00", "6.50", "7.00"):
        assert plane.spend(token, uid, usd, "teller")[0] == 200
    until(lambda: len(plane.receiver.received) == 2, "the notice and its second attempt")
    assert len(set(plane.receiver.ids)) == 1
    assert all(one.genuine() for one in plane.receiver.received)
    assert plane.receiver.received[0].event["data"]["spentUSD"] == "6.00"

    def failures():
        """The sentences of Events about notices."""
        found = plane.api.get("events", "-n", BILLING, "--field-selector=reason=NotifyFailed")["items"]
        return sorted(e["message"] for e in found)

    until(lambda: len(failures()) == 2, "Events of both failures")
    assert "answered 500; tried again for a day." in failures()[0]
    assert "https://169.254.169.254 is the address" in failures()[1]


def test_a_pod_is_explained_with_the_users_own_rights(plane):
    """The budgets that are for it, with their spend from the status, and why another is not; a pod that is not there is said."""
    plane.api.apply([budget("told"), budget("untold"), pod("told-1", "told")])
    plane.becomes("Ready", "InForce", "told")
    until(lambda: plane.status("told").get("windows"), "windows in the status")

    def explain(*arguments):
        """The command, as a user of this kubeconfig."""
        command = [sys.executable, "-m", "wfb_operator.cli.main", "explain", *arguments, "-n", BILLING]
        env = {**os.environ, **plane.api.environment()}
        where = ("--kubeconfig", str(plane.api.kubeconfig))
        return subprocess.run([*command, *where], check=False, capture_output=True, text=True, timeout=60, env=env)

    done = explain("pod/told-1", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    by_name = {b["budget"]: b for b in found["budgets"]}
    assert by_name[f"{BILLING}/told"]["windows"][0]["limit"] == "10.00"
    assert by_name[f"{BILLING}/untold"]["whyNot"] == "it asks for aifinops.dev/workflow=untold, which is told"
    assert found["decided"] == {"budget": f"{BILLING}/told", "window": "Total"}
    missing = explain("pod/nobody")
    assert (missing.returncode, missing.stderr) == (2, f"wfb: there is no pod nobody in {BILLING}\n")


def test_a_loop_makes_one_event_for_a_run_and_stage(plane):
    """What a pod's guard saw is on the budget, with its figures; told again and again, it is still one Event."""
    plane.api.apply([budget("circles", loops={"action": "Refuse"}), pod("circles-1", "circles")])
    plane.becomes("Ready", "InForce", "circles")
    token = plane.token("circles", BILLING, "default", pod="circles-1")
    uid = plane.api.get("pod", "circles-1", "-n", BILLING)["metadata"]["uid"]
    said = "this run has cost $4.10, 12.3 x the median of 48 runs ($0.33)"
    for n, reason in enumerate((LOOP_SLOWED, LOOP_REFUSED, LOOP_REFUSED, LOOP_REFUSED)):
        seen = DecisionRecord(f"d-{n}", time.time(), "finding", reason, said, budget=f"{BILLING}/circles")
        assert plane.report(token, uid, {}, decisions=[seen])[0] == 200

    def events():
        """What is told of the budget's loops."""
        found = plane.api.get("events", "-n", BILLING, "--field-selector=involvedObject.name=circles")["items"]
        return sorted((e["reason"], e["message"]) for e in found if e["reason"].startswith("Loop"))

    until(lambda: len(events()) >= 2, "an Event for each stage")
    assert [reason for reason, _ in events()] == [LOOP_REFUSED, LOOP_SLOWED]
    assert all(message.endswith(said) and message.startswith("circles, ") for _, message in events())


def test_a_named_run_makes_one_event_for_a_step_and_a_pod(plane):
    """Two pods use one name, and one comes to two steps in one report: each Event says whose run it is, however often it is told."""
    limits = [{"window": "Total", "usd": "100.00"}, {"window": "Run", "usd": "10.00"}]
    ladder = [{"atPercent": percent, "action": "Warn"} for percent in (50, 70)]
    plane.api.apply(
        [budget("runner", limits=limits, ladder=ladder), pod("runner-1", "runner"), pod("runner-2", "runner")]
    )
    plane.becomes("Ready", "InForce", "runner")
    uids = {}
    for name in ("runner-1", "runner-2"):
        token = plane.token(name, BILLING, "default", pod=name)
        uids[name] = uid = plane.api.get("pod", name, "-n", BILLING)["metadata"]["uid"]
        steps = [(5 * USD, 5 * USD), (7 * USD, 2 * USD)] if name == "runner-1" else [(6 * USD, 6 * USD)]
        for _ in range(3):
            said = [
                DecisionRecord(
                    "r-1",
                    time.time(),
                    "finding",
                    RUN_STAGE_REACHED,
                    budget=f"{BILLING}/runner",
                    run="invoice-4711",
                    spent=spent,
                    cost=cost,
                )
                for spent, cost in steps
            ]
            assert plane.report(token, uid, {}, decisions=said)[0] == 200

    def events():
        """What is told of runs."""
        found = plane.api.get("events", "-n", BILLING, "--field-selector=involvedObject.name=runner")["items"]
        return sorted(e["message"] for e in found if e["reason"] == "StageWarn")

    told = sorted(
        f"Run invoice-4711 of pod {uids[name]}: {usd} of 10.00 USD are spent, stage Warn ({percent} %) begins."
        for name, usd, percent in (("runner-1", "5.00", 50), ("runner-1", "7.00", 70), ("runner-2", "6.00", 50))
    )
    until(lambda: len(events()) >= len(told), f"an Event for each step: {events()}")
    rounds = plane.metric("wfb_controller_rounds_total")
    until(lambda: plane.metric("wfb_controller_rounds_total") >= rounds + 3, "rounds that tell nothing again")
    assert events() == told


def test_a_refused_downgrade_makes_one_event_for_a_pair(plane):
    """What a pod's sidecar met is on the budget; told again after its rest, it is still one Event."""
    steps = [{"from": "gpt-4o", "to": "gpt-4o-mini"}, {"from": "gpt-4.1-mini", "to": "gpt-4.1"}]
    rung = {"atPercent": 80, "action": "Downgrade", "models": steps}
    plane.api.apply([budget("steps", ladder=[rung]), pod("steps-1", "steps")])
    plane.becomes("Ready", "StepsUseless", "steps")
    token = plane.token("steps", BILLING, "default", pod="steps-1")
    uid = plane.api.get("pod", "steps-1", "-n", BILLING)["metadata"]["uid"]
    said = "'gpt-4o-mini' refused a request for 'gpt-4o' with 404"
    for n in range(3):
        seen = DecisionRecord(f"s-{n}", time.time(), "finding", DOWNGRADE_REFUSED, said, budget=f"{BILLING}/steps")
        assert plane.report(token, uid, {}, decisions=[seen])[0] == 200

    def events():
        """What is told of the budget's refused steps."""
        found = plane.api.get("events", "-n", BILLING, "--field-selector=involvedObject.name=steps")["items"]
        return [e["message"] for e in found if e["reason"] == DOWNGRADE_REFUSED]

    until(events, "an Event for the pair")
    (told,) = events()
    assert told == f"steps, pod {uid}: {said}"


def test_who_is_nobody_is_told_so(plane):
    """No token, another audience's, one of no pod, one of a pod that is gone, and another pod's name: each is refused."""
    plane.api.apply([pod("gone-1", "gone"), pod("here-1", "here")])
    gone = plane.token("gone", BILLING, "default", pod="gone-1")
    here = plane.token("here", BILLING, "default", pod="here-1")
    other = plane.token("other", BILLING, "default", pod="here-1", audience="other")
    unbound = plane.token("unbound", BILLING, "default")
    plane.api.kubectl("delete", "pod", "gone-1", "-n", BILLING, "--force", "--grace-period=0")
    for token in ("", "guess", gone, other, unbound):
        assert plane.ask("GET", "/v1/scope", token)[0] == 401
    assert plane.report(here, "uid-of-another", {})[0] == 403
    assert plane.ask("GET", "/v1/summary", here)[0] == 403
    assert plane.ask("PUT", "/v1/budgets", here, b"{}")[0] == 403


def test_a_broken_edit_is_said_and_changes_nothing(plane):
    """What the schema lets through and makes no sense all the same shows in Ready; what was in force stays in force."""
    plane.api.apply(budget("edited"))
    plane.becomes("Ready", "InForce", "edited")
    circle = [{"from": "a", "to": "b"}, {"from": "b", "to": "a"}]
    ladder = [{"atPercent": 50, "action": "Downgrade", "models": circle}]
    plane.api.apply(budget("edited", usd="99.00", ladder=ladder))
    assert "what was in force before stays in force" in plane.becomes("Ready", "InvalidSpec", "edited")
    assert plane.status("edited")["limitUSD"] == "10.00"


def test_a_typo_in_a_label_is_pointed_at(plane):
    """A budget that matches no pod names the pod that it almost matches."""
    plane.api.apply([budget("invoices"), pod("invoices-1", "invoicse")])
    hint = "aifinops.dev/workflow=invoicse, the budget selects aifinops.dev/workflow=invoices"
    until(lambda: hint in (plane.condition("PodsCovered", "invoices") or ("", "", ""))[2], hint)


def test_budgets_that_share_a_pod_name_each_other(plane):
    """A pod within two budgets is said in both: a call needs room in each."""
    both = {"matchLabels": {"aifinops.dev/workflow": "shared"}}
    plane.api.apply([budget("one", selector=both), budget("another", selector=both), pod("shared-1", "shared")])
    for name, other in (("one", "another"), ("another", "one")):
        said = f"Its pods are also within {BILLING}/{other}: a call needs room in every one."
        until(lambda name=name, said=said: said in (plane.condition("Ready", name) or ("", "", ""))[2], said)


def test_a_controller_that_was_killed_goes_on_where_it_was(plane):
    """Killed without a word, and started anew: budgets of meanwhile are in force, no Event comes twice, no finalizer holds."""
    plane.controller.kill()
    plane.api.apply([budget("meanwhile"), pod("meanwhile-1", "meanwhile", version="")])
    plane.api.kubectl("delete", "wfb", "edited", "-n", BILLING, "--timeout=10s")
    before = len(plane.api.get("events", "-n", BILLING)["items"])
    plane.start_controller()
    plane.becomes("Ready", "InForce", "meanwhile")
    plane.becomes("PodsCovered", "Uncovered", "meanwhile")
    assert len(plane.api.get("events", "-n", BILLING)["items"]) == before
    for item in plane.api.get("wfb", "-n", BILLING)["items"]:
        assert "finalizers" not in item["metadata"]
        assert "annotations" not in item["metadata"]


@pytest.mark.parametrize("rounds", [0, 1, 3])
def test_killed_at_any_moment_it_comes_to_the_same_end(plane, rounds):
    """Budgets come, change and go while the controller is killed before, in and after its first rounds; the next one makes all true."""
    name, gone = f"edited-{rounds}", f"gone-{rounds}"
    plane.api.apply([budget(name), budget(gone)])
    until(lambda: (plane.metric("wfb_controller_rounds_total") or 0) >= rounds, "rounds")
    plane.api.apply(budget(name, usd="20.00"))
    plane.controller.kill()
    plane.api.apply(budget(name, usd=f"{30 + rounds}.00"))
    plane.api.kubectl("delete", "wfb", gone, "-n", BILLING, "--timeout=10s")
    plane.start_controller()
    until(lambda: plane.status(name).get("limitUSD") == f"{30 + rounds}.00", "the last edit in the status")
    token = (plane.folder / "controller.token").read_text()
    _, told = plane.ask("GET", "/v1/budgets", token)
    limits = {b["metadata"]["name"]: b["spec"]["limits"][0]["usd"] for b in told["budgets"]}
    assert limits[name] == f"{30 + rounds}.00"
    assert gone not in limits


def test_a_ledger_that_is_away_is_said_and_its_return_needs_nobody(plane):
    """Numbers stay as they were, conditions say that they are old; the ledger comes back and all is as before."""
    plane.ledger.stop()
    plane.becomes("Ready", "LedgerAway", "spender")
    assert plane.status("spender")["spentUSD"] == "10.00"
    plane.start_ledger()
    plane.becomes("Ready", "InForce", "spender")
    plane.becomes("WithinBudget", "Exhausted", "spender")
