"""A budget's status is a pure picture of what the ledger counted and what the cluster shows."""

import pytest

from harness.cluster_objects import NOON, budget, line
from harness.stack import SNAPSHOT
from wfb_core.price import PriceBook
from wfb_operator.controller.conditions import TYPES
from wfb_operator.controller.coverage import Coverage
from wfb_operator.controller.documents import plan
from wfb_operator.controller.events import spend_event
from wfb_operator.controller.ladders import Ladders
from wfb_operator.controller.status import Counted, Seen, meaningful, status_of


def status(document=None, *lines, counted=True, coverage=None, models=(), features=(), unpriced=(), refused=None):
    """The status of one budget at noon."""
    document = document or budget()
    standing = plan({"billing/triage": document}, {}).standings["billing/triage"]
    found = Counted(lines, models, features, unpriced, refused) if counted else None
    return status_of(Seen(document, standing, coverage or Coverage(1), found), NOON)


def condition(found, kind):
    """(status, reason, message) of one condition."""
    (one,) = [c for c in found["conditions"] if c["type"] == kind]
    return one["status"], one["reason"], one["message"]


def test_the_numbers_that_people_read():
    """Spent, limit, percent, stage, reset and the forecast come from the tightest window; amounts have cents at least."""
    found = status(None, line("171.2", stage="Slow"), line("300", "3000", kind="Total"))
    scalars = {k: found[k] for k in ("stage", "tightestWindow", "spentUSD", "limitUSD", "percentUsed", "resetsAt")}
    assert scalars == {
        "stage": "Slow",
        "tightestWindow": "Day",
        "spentUSD": "171.20",
        "limitUSD": "200.00",
        "percentUsed": 85,
        "resetsAt": "2027-01-16T00:00:00Z",
    }
    day, total = found["windows"]
    assert (day["estimatedUSD"], day["reservedUSD"]) == ("0.000000001", "0.50")
    assert (day["usdPerHour"], day["exhaustedAt"]) == ("14.27", "2027-01-15T14:01:07Z")
    assert "start" not in total


def test_the_strictest_stage_is_tighter_than_the_higher_percentage():
    """A window in Slow at 85 % is shown before one in Open at 90 %."""
    found = status(None, line("170", stage="Slow"), line("90", "100", kind="Total"))
    assert found["tightestWindow"] == "Day"


def test_runs_are_counted_and_the_worst_are_named():
    """Run windows make no list of windows: at most five are shown, the costliest first."""
    runs = [line(str(n), "50", kind="Run", run=f"r{n}") for n in range(1, 9)]
    found = status(None, line("1"), *runs)
    assert found["runs"]["active"] == 8
    assert [r["run"] for r in found["runs"]["worst"]] == ["r8", "r7", "r6", "r5", "r4"]
    assert [w["window"] for w in found["windows"]] == ["Day"]


def refusal(*, reason="BudgetExhausted", ago=30.0, window="2027-01-15T00:00:00+00:00", hold="0.75"):
    """The last refusal of the ledger's summary."""
    return {
        "budget": "billing/triage",
        "window": f"billing/triage|Day|{window}",
        "id": "d-1",
        "at": NOON - ago,
        "reason": reason,
        "message": "The rest does not pay this call.",
        "model": "gpt-5",
        "hold_usd": hold,
        "limit_usd": "200.00",
        "spent_usd": "199.50",
    }


def test_the_last_refusal_is_shown_until_another_takes_its_place():
    """What the caller was told stands in the status, with the decision's id; it stays while the ledger is away."""
    told = status(None, line("199.5"), refused=refusal())["lastRefusal"]
    assert told == {
        "at": "2027-01-15T11:59:30Z",
        "reason": "BudgetExhausted",
        "message": "The rest does not pay this call.",
        "window": "Day",
        "model": "gpt-5",
        "decision": "d-1",
    }
    assert status(budget(status={"lastRefusal": told}), counted=False)["lastRefusal"] == told


def test_a_refusal_names_its_window_as_the_sidecar_does():
    """A sidecar tells the kind of a window alone: the status shows it, and the condition finds the window's figures."""
    found = status(None, line("199.5", stage="Warn"), refused={**refusal(), "window": "Day"})
    assert found["lastRefusal"]["window"] == "Day"
    assert condition(found, "WithinBudget")[:2] == ("False", "CallsDoNotFit")


def test_a_storm_of_refusals_is_written_once_a_minute():
    """Two refusals of one minute that differ in nothing else are no reason to write; the next minute's is."""
    first, second, later = (meaningful(status(None, line("1"), refused=refusal(ago=n))) for n in (30, 20, -30))
    assert first == second
    assert first != later


DOES_NOT_FIT = (
    "Day: 199.50 of 200.00 USD are spent, and a call to gpt-5 of up to 0.75 USD was refused because it does not fit into"
    " the rest: ask for a shorter answer or a cheaper model, or raise the limit."
)

CONDITIONS = {
    "a call that did not fit": (
        (budget(), line("199.5", stage="Warn")),
        {"refused": refusal()},
        "WithinBudget",
        "False",
        "CallsDoNotFit",
        DOES_NOT_FIT,
    ),
    "a call that did not fit long ago": (
        (budget(), line("199.5")),
        {"refused": refusal(ago=601.0)},
        "WithinBudget",
        "True",
        "RoomLeft",
        "money left",
    ),
    "a call that did not fit yesterday": (
        (budget(), line("1")),
        {"refused": refusal(window="2027-01-14T00:00:00+00:00")},
        "WithinBudget",
        "True",
        "RoomLeft",
        "money left",
    ),
    "a call that was refused for another reason": (
        (budget(), line("1")),
        {"refused": refusal(reason="ModelNotAllowed")},
        "WithinBudget",
        "True",
        "RoomLeft",
        "money left",
    ),
    "spent counts before what did not fit": (
        (budget(), line("200", stage="Exhausted")),
        {"refused": refusal()},
        "WithinBudget",
        "False",
        "Exhausted",
        "are spent",
    ),
    "in force": ((budget(), line()), {}, "Ready", "True", "InForce", "holds calls"),
    "shared pods are said": (
        (budget(), line()),
        {"coverage": Coverage(2, shared=("billing/team",))},
        "Ready",
        "True",
        "InForce",
        "also within billing/team",
    ),
    "a mistake": (
        (budget(limits=[{"window": "Day", "usd": "-3"}]),),
        {},
        "Ready",
        "False",
        "InvalidSpec",
        "spec.limits[0].usd",
    ),
    "the ledger away": ((budget(),), {"counted": False}, "Ready", "Unknown", "LedgerAway", "granted"),
    "report only": ((budget(enforcement="Report"), line()), {}, "Enforced", "False", "ReportOnly", "let through"),
    "suspended": ((budget(suspend=True), line()), {}, "Enforced", "True", "Suspended", "refused"),
    "room left": ((budget(), line("150", stage="Warn")), {}, "WithinBudget", "True", "RoomLeft", "stage Warn"),
    "exhausted": (
        (budget(), line("200", stage="Exhausted")),
        {},
        "WithinBudget",
        "False",
        "Exhausted",
        "Day: 200.00 of 200.00 USD are spent, new money at 2027-01-16T00:00:00Z.",
    ),
    "runs exhausted": (
        (budget(), line(), line("5", "5", kind="Run", stage="Exhausted", run="a")),
        {},
        "WithinBudget",
        "False",
        "Exhausted",
        "1 run has spent what one run may.",
    ),
    "unpriced": (
        (budget(), line()),
        {"unpriced": ("my-model",)},
        "PricesKnown",
        "False",
        "UnpricedModels",
        "The price of my-model is not known",
    ),
}


@pytest.mark.parametrize(("given", "more", "kind", "expected", "reason", "words"), CONDITIONS.values(), ids=CONDITIONS)
def test_each_state_says_itself_in_one_condition(given, more, kind, expected, reason, words):
    """Every state that a user can meet shows in a condition with a reason and a sentence that names the way out."""
    found = condition(status(*given, **more), kind)
    assert found[:2] == (expected, reason)
    assert words in found[2]


@pytest.mark.parametrize("spec", [{}, {"suspend": True}, {"enforcement": "Report"}], ids=str)
def test_an_installation_that_only_reports_says_so_in_every_budget(spec):
    """The reason is the installation's setting, whatever the budget itself says."""
    document = budget(**spec)
    standing = plan({"billing/triage": document}, {}, only_report=True).standings["billing/triage"]
    found = condition(status_of(Seen(document, standing, Coverage(1), Counted((line(),))), NOON), "Enforced")
    assert found[:2] == ("False", "ReportOnly")
    assert "whole installation" in found[2]


def ladder(*pairs):
    """A budget that downgrades at 80 %."""
    models = [{"from": asked, "to": instead} for asked, instead in pairs]
    return budget(ladder=[{"atPercent": 80, "action": "Downgrade", "models": models}])


def ready(document, prices):
    """The condition Ready of a budget in force, as the prices have it."""
    standing = plan({"b": document}, {}).standings["b"]
    useless = Ladders(prices).look({"b": standing.budget}, NOON).get("b", ())
    return condition(
        status_of(Seen(document, standing, Coverage(1), Counted((line(),)), useless=useless), NOON), "Ready"
    )


USELESS = {
    "dearer": (("gpt-4o-mini", "gpt-4o"), "gpt-4o costs $2.50 in and $10.00 out per million tokens"),
    "unpriced": (("gpt-4o", "gpt-unheard-of"), "no price is known for gpt-unheard-of"),
    "another provider's": (("command-r*", "mistral-ocr-latest"), "a call keeps its provider"),
}


@pytest.mark.parametrize(("pair", "words"), USELESS.values(), ids=USELESS)
def test_a_step_that_no_call_can_follow_is_said_with_figures(pair, words):
    """The budget is in force all the same; the sentence has the step, the prices and the way out."""
    found = ready(ladder(("claude-opus-*", "claude-haiku-4-5"), pair), PriceBook.from_snapshot(SNAPSHOT.data))
    assert found[:2] == ("True", "StepsUseless")
    assert f"at 80 %, {pair[0]} -> {pair[1]}: " in found[2]
    assert words in found[2]
    assert "claude" not in found[2]
    assert found[2].endswith("Name a cheaper model of the same provider whose price is known: wfb prices lists them.")


def test_of_many_steps_that_no_call_can_follow_three_are_named():
    """A status stays readable whatever is written in a ladder."""
    pairs = [(f"gpt-4o-{n}", "gpt-unheard-of") for n in range(5)]
    found = ready(ladder(*pairs), PriceBook.from_snapshot(SNAPSHOT.data))
    assert found[2].count("no price is known") == 3
    assert "; and 2 more." in found[2]


def test_without_prices_and_with_sound_ladders_nothing_is_said():
    """Before prices are known no step is called useless, and a sound one never is."""
    assert ready(ladder(("gpt-4o", "gpt-unheard-of")), None)[1] == "InForce"
    assert ready(ladder(("gpt-4o", "gpt-4o-mini")), PriceBook.from_snapshot(SNAPSHOT.data))[1] == "InForce"


def test_every_condition_is_written_from_the_first_visit_on():
    """A client may wait for any condition without knowing whether it was ever written."""
    found = status(counted=False)
    assert [c["type"] for c in found["conditions"]] == list(TYPES)
    assert {c["observedGeneration"] for c in found["conditions"]} == {3}


def test_a_condition_keeps_its_time_until_it_turns():
    """The time of a condition moves with the status of a condition and with nothing else."""
    before = {
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2027-01-01T00:00:00Z", "reason": "InForce"},
            {"type": "WithinBudget", "status": "True", "lastTransitionTime": "2027-01-01T00:00:00Z"},
        ]
    }
    found = status(budget(status=before), line("200", stage="Exhausted"))
    times = {c["type"]: c["lastTransitionTime"] for c in found["conditions"]}
    assert times["Ready"] == "2027-01-01T00:00:00Z"
    assert times["WithinBudget"] == "2027-01-15T12:00:00Z"


def test_what_was_counted_stays_while_the_ledger_is_away():
    """A ledger that does not answer takes no number from the status; the conditions say that they are old."""
    known = status(None, line("171.2", stage="Slow"))
    away = status(budget(status=known), counted=False)
    assert (away["spentUSD"], away["windows"]) == (known["spentUSD"], known["windows"])
    assert condition(away, "WithinBudget")[:2] == ("Unknown", "LedgerAway")


def test_time_alone_is_no_reason_to_write():
    """A forecast that moves with the clock makes no difference that has to be written; a cent spent does."""
    one = status(None, line("10"))
    later = status_of(
        Seen(budget(), plan({"b": budget()}, {}).standings["b"], Coverage(1), Counted([line("10")])), NOON + 60
    )
    spent = status(None, line("10.01"))
    assert one != later
    assert meaningful(one) == meaningful(later)
    assert meaningful(one) != meaningful(spent)


def judged(state, message="3.1 times the usual spend"):
    """A workflow as the ledger judged it."""
    return {"namespace": "billing", "workflow": "triage", "state": state, "since": NOON - 900, "message": message}


NORMAL = {
    "nothing was judged": ((), ("Unknown", "NotSeen"), "Three days"),
    "too little was seen": ([judged("Unknown")], ("Unknown", "NotSeen"), "Three days"),
    "as usual": ([judged("Normal"), judged("Unknown")], ("True", "AsUsual"), "as it usually is"),
    "a spike": (
        [judged("Spike"), judged("Normal")],
        ("False", "Unusual"),
        "triage since 2027-01-15T11:45:00Z: 3.1 times the usual spend",
    ),
}


@pytest.mark.parametrize(("rows", "expected", "words"), NORMAL.values(), ids=NORMAL)
def test_whether_spending_is_normal(rows, expected, words):
    """SpendNormal follows the ledger's judgement of the budget's workflows, in its words."""
    seen = Seen(budget(), plan({"b": budget()}, {}).standings["b"], Coverage(1), Counted((line("1"),), judged=rows))
    state, reason, message = condition(status_of(seen, NOON), "SpendNormal")
    assert ((state, reason), words in message) == (expected, True), message


def test_an_unusual_spend_is_one_event_of_each_budget_it_is_within():
    """The Event has the workflow, the factor and the cause, and a name that is the same however often it is told."""
    spike = {**judged("Spike", "3.1 times the usual spend; calls 3.0 times usual"), "budget": "k", "at": NOON - 900}
    found = spend_event(spike, budget())
    assert found["metadata"]["name"] == spend_event(dict(spike), budget())["metadata"]["name"]
    assert (found["type"], found["reason"]) == ("Warning", "SpendUnusual")
    assert found["message"] == "triage: 3.1 times the usual spend; calls 3.0 times usual"
    assert found["metadata"]["name"] != spend_event({**spike, "at": NOON}, budget())["metadata"]["name"]
