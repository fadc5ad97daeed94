"""An explanation says which budgets are for a call and why others are not, how they stood and stand, and what would help."""

import json

import pytest

from wfb_core.document import parse_budget
from wfb_core.reasons import SENTENCES
from wfb_core.remedies import WAYS_OUT, ways_out
from wfb_core.selectors import mismatch
from wfb_operator.explain.answer import explain_decision, explain_now
from wfb_operator.explain.subject import Subject, SubjectError, read_subject

WORKFLOW, TEAM = "aifinops.dev/workflow", "aifinops.dev/team"


def budget(name="triage", labels=None, namespace="billing", cluster=False, **spec):
    """A parsed budget of ten dollars a day."""
    return parse_budget(
        {
            "apiVersion": "aifinops.dev/v1alpha1",
            "kind": "ClusterWorkflowBudget" if cluster else "WorkflowBudget",
            "metadata": {"name": name} | ({} if cluster else {"namespace": namespace}),
            "spec": {
                "selector": {"matchLabels": labels or {WORKFLOW: "triage"}},
                "limits": [{"window": "Day", "usd": "10.00"}],
                **spec,
            },
        }
    )


NOT_FOR_IT = {
    "another value": (budget(labels={WORKFLOW: "other"}), f"it asks for {WORKFLOW}=other, which is triage"),
    "a label that is missing": (budget(labels={TEAM: "x"}), f"it asks for {TEAM}=x, which is missing"),
    "another namespace": (budget(namespace="other"), "it is for namespace other, and this is billing"),
    "a rule": (
        budget(selector={"matchExpressions": [{"key": WORKFLOW, "operator": "NotIn", "values": ["triage"]}]}),
        f"it asks for {WORKFLOW} NotIn triage, which is triage",
    ),
    "the namespace's own label": (
        budget(cluster=True, namespaceSelector={"matchLabels": {"tier": "gold"}}),
        "it asks for the namespace's tier=gold, which is missing",
    ),
    "nothing": (budget(), ""),
    "the cluster's": (budget(cluster=True), ""),
}


@pytest.mark.parametrize(("given", "why"), NOT_FOR_IT.values(), ids=NOT_FOR_IT)
def test_why_a_budget_is_not_for_a_pod(given, why):
    """The first thing that does not fit, with what it is instead; and it agrees with whether the budget matches."""
    assert mismatch(given, {WORKFLOW: "triage"}, "billing", {}) == why


def test_every_reason_has_a_way_out():
    """Each names something to do; without figures the sentences that need them are left out."""
    assert set(WAYS_OUT) <= set(SENTENCES)
    for reason in WAYS_OUT:
        full = ways_out(
            reason,
            dict.fromkeys(("budget", "window", "enough", "resets", "suggested", "need", "left", "retry", "model"), "x"),
        )
        assert len(full) == len(WAYS_OUT[reason])
        assert all("{" not in sentence for sentence in ways_out(reason, {}))


def line(key, kind="Day", spent="9.50", percent=95, stage="Warn", **more):
    """A window of the summary."""
    return {
        "budget": key,
        "window": f"{key}|{kind}|2027-01-15T00:00:00+00:00",
        "kind": kind,
        "limit_usd": "10.00",
        "spent_usd": spent,
        "reserved_usd": "0.00",
        "percent_used": percent,
        "stage": stage,
        "end": 1_800_057_600.0,
        **more,
    }


def record(**more):
    """A refusal as the ledger keeps it."""
    details = {
        "labels": {WORKFLOW: "triage", TEAM: "billing"},
        "budgets": ["billing/triage", "/all"],
        "requested": {"model": "gpt-4o", "cap": 500, "stream": False, "tier": ""},
        "price": {"input": "2.50", "output": "10.00", "from": "list"},
        "bound": {"least": "0.75", "full": "5.00", "input": "0.01", "hold": "0.75", "cap": None},
        "suggestedModel": "gpt-4o-mini",
        "retryAfter": None,
        "windows": [
            {"window": line("billing/triage")["window"], "budget": "billing/triage", "kind": "Day", "limit": "10.00",
             "spent": "9.50", "reserved": "0.00", "stage": "Warn", "end": 1_800_057_600.0, "enforcement": "Enforce"},
        ],
    }  # fmt: skip
    return {
        "id": "d-0123456789ab",
        "at": 1_800_000_000.0,
        "kind": "refusal",
        "reason": "BudgetExhausted",
        "message": "budget billing/triage (Day limit $10.00) has $0.50 left: this call needs $0.75 at least",
        "status": 402,
        "provider": "openai",
        "model": "gpt-4o",
        "budget": "billing/triage",
        "window": "Day",
        "hold_usd": "0.75",
        "cost_usd": "0.00",
        "limit_usd": "10.00",
        "spent_usd": "9.50",
        "namespace": "billing",
        "workflow": "triage",
        "run": "",
        "details": json.dumps(details),
    } | more


def test_a_decision():
    """What decided, as it stood then and stands now; the others and why not; and ways out with the call's own figures."""
    budgets = [budget(), budget("all", cluster=True), budget("later"), budget("team", labels={TEAM: "x"})]
    found = explain_decision(record(), budgets, [line("billing/triage", spent="9.90"), line("/all", spent="1.00")])
    assert found["decided"] == {"budget": "billing/triage", "window": "Day"}
    by_name = {b["budget"]: b for b in found["budgets"]}
    (window,) = by_name["billing/triage"]["windows"]
    assert (window["spent"], window["then"]["spent"]) == ("9.90", "9.50")
    assert by_name["/all"]["matches"]
    assert by_name["billing/team"]["whyNot"] == f"it asks for {TEAM}=x, which is billing"
    assert "came later" in by_name["billing/later"]["whyNot"]
    assert found["waysOut"] == [
        "raise spec.limits (Day) of budget billing/triage to at least $10.25",
        "wait until the window begins anew at 2027-01-16 00:00 UTC",
        "use gpt-4o-mini, which the money left would pay",
        "send a smaller request: its input and a short answer need $0.75 at least, and $0.50 is left",
    ]


def test_what_holds_calls_back_now():
    """The pace of a window and the calls that wait there are told, and nothing of one that holds nobody back."""
    paced = line("billing/triage", stage="Slow", pacing="Slow", paced_usd_per_hour="0.36", queued=3)
    free = line("/all", pacing="", paced_usd_per_hour=None, queued=0)
    found = explain_decision(record(), [budget(), budget("all", cluster=True)], [paced, free])
    mine, other = (one["windows"][0] for one in found["budgets"])
    assert (mine["pacedBy"], mine["pacedUSDPerHour"], mine["queued"]) == ("Slow", "0.36", 3)
    assert not {"pacedBy", "pacedUSDPerHour", "queued"} & other.keys()


def test_a_decision_of_an_older_sidecar():
    """Without details there is what the record says, and nothing is made up."""
    found = explain_decision(record(details=""), [budget()], [line("billing/triage")])
    assert found["budgets"][0]["matches"]
    assert found["waysOut"] == []


def test_the_decisive_one_of_a_hierarchy():
    """Of workflow, team and cluster budgets the one that stands highest decides; one that reports never does."""
    budgets = [
        budget(),
        budget("team", labels={TEAM: "billing"}),
        budget("all", cluster=True),
        budget("trial", enforcement="Report"),
    ]
    subject = Subject("workflow", "triage", "billing", {WORKFLOW: "triage", TEAM: "billing"})
    lines = [
        line("billing/triage", spent="1.00", percent=10, stage="Open"),
        line("billing/team", spent="10.00", percent=100, stage="Exhausted"),
        line("/all", spent="9.00", percent=90, stage="Slow"),
        line("billing/trial", spent="99.00", percent=990, stage="Exhausted", would_spend_usd="9.99"),
    ]
    found = explain_now(subject, budgets, lines, [])
    assert found["decided"] == {"budget": "billing/team", "window": "Day"}
    assert found["sentence"].startswith("The tightest is budget billing/team (Day limit $10.00): nothing is left")
    assert found["waysOut"][0] == "raise spec.limits (Day) of budget billing/team above $10.00"
    assert found["budgets"][3]["windows"][0]["wouldSpend"] == "9.99"


NOW = {
    "nothing matches": ([budget(labels={WORKFLOW: "x"})], "No budget is for it"),
    "suspended": ([budget(suspend=True)], "Every call is refused: budget billing/triage is suspended."),
    "only reports": ([budget(enforcement="Report")], "Only budgets that report are for it"),
    "room": ([budget()], "Calls go: the tightest is budget billing/triage (Day limit $10.00), $0.50 are left"),
}


@pytest.mark.parametrize(("budgets", "words"), NOW.values(), ids=NOW)
def test_what_a_call_would_meet_now(budgets, words):
    """One sentence for where a workflow stands."""
    subject = Subject("workflow", "triage", "billing", {WORKFLOW: "triage"})
    found = explain_now(subject, budgets, [line("billing/triage", stage="Open")], [])
    assert found["sentence"].startswith(words)


SUBJECTS = {
    "d-0123456789ab": ("decision", "d-0123456789ab"),
    "pod/triage-1": ("pod", "triage-1"),
    "po/triage-1": ("pod", "triage-1"),
    "workflow/triage": ("workflow", "triage"),
    "triage": ("workflow", "triage"),
    "d-day": ("workflow", "d-day"),
}


@pytest.mark.parametrize(("text", "found"), SUBJECTS.items())
def test_what_is_asked_about(text, found):
    """A decision by its id, a pod or workflow by kind and name, a bare name as a workflow."""
    assert read_subject(text) == found


def test_whose_a_decision_is():
    """A pod's decisions are known by its UID, since the next pod may have its name; a workflow's by its name."""
    decision = {"holder": "0b2f-77/1", "workflow": "triage"}
    assert Subject("pod", "triage-0", uid="0b2f-77").made(decision)
    assert not Subject("pod", "triage-0", uid="0b2f").made(decision)
    assert not Subject("pod", "triage-0").made(decision)
    assert Subject("workflow", "triage").made(decision)
    assert not Subject("workflow", "reports").made(decision)


@pytest.mark.parametrize("text", ["", "pod/", "budget/x", "d-0123456789AB"])
def test_what_cannot_be_asked_about(text):
    """One sentence says what to give."""
    with pytest.raises(SubjectError, match=r"give a decision|is not a decision's id"):
        read_subject(text)
