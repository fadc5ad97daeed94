"""Events: one for each stage that a window reaches, told in one sentence."""

import pytest

from harness.cluster_objects import NOON, budget
from wfb_operator.controller.events import downgrade_event, loop_event, stage_event


def change(to="Slow", *, at=NOON, window="billing/triage|Day|2027-01-15T00:00:00+00:00", spent="171.2"):
    """A stage change as the ledger tells it."""
    return {
        "window": window,
        "budget": "billing/triage",
        "kind": "Day",
        "from_stage": "Warn",
        "to_stage": to,
        "at": at,
        "spent_usd": spent,
        "limit_usd": "200",
    }


TOLD = {
    "a rung": (change(), "Warning", "StageSlow", "Day: 171.20 of 200.00 USD are spent, stage Slow begins."),
    "the end": (
        change("Exhausted", spent="200"),
        "Warning",
        "StageExhausted",
        "Day: 200.00 of 200.00 USD are spent, calls",
    ),
    "a raised limit": (change("Open", spent="1"), "Normal", "BelowEveryRung", "Day: 1.00 of 200.00 USD, below every"),
    "a run": (change(window="billing/triage|Run|r1"), "Warning", "StageSlow", "Run r1: 171.20 of 200.00"),
    "a run that a caller named": (
        change(window="billing/triage|Run|uid-1|invoice/4711"),
        "Warning",
        "StageSlow",
        "Run invoice/4711 of pod uid-1: 171.20 of 200.00",
    ),
}


@pytest.mark.parametrize(("told", "kind", "reason", "words"), TOLD.values(), ids=TOLD)
def test_what_an_event_says(told, kind, reason, words):
    """Type, reason and a sentence with the figures, on the budget itself."""
    found = stage_event(told, budget())
    assert (found["type"], found["reason"]) == (kind, reason)
    assert found["message"].startswith(words)
    assert found["involvedObject"]["uid"] == "uid-triage"


def test_one_change_has_one_name():
    """Told twice, by this process or the next, it is the same object; another change is another."""
    name = stage_event(change(), budget())["metadata"]["name"]
    assert stage_event(change(), budget())["metadata"]["name"] == name
    others = [
        change("Exhausted"),
        change(at=NOON + 1),
        change(window="billing/triage|Day|2027-01-16T00:00:00+00:00"),
        change() | {"at_percent": 90},  # a step of the same name, told in the same report
    ]
    assert name not in [stage_event(other, budget())["metadata"]["name"] for other in others]


def sighting(stage="Refuse", *, unit="run/r1", at=NOON):
    """A loop as the ledger tells of it."""
    return {
        "namespace": "billing",
        "workflow": "triage",
        "unit": unit,
        "budget": "billing/triage",
        "stage": stage,
        "reason": "LoopRecovered" if stage == "Recovered" else "LoopRefused",
        "message": "this run has cost $4.10, 12.3 x the median of 48 runs ($0.33)",
        "at": at,
        "spent_usd": "4.1",
        "limit_usd": "3.3",
        "holder": "pod-a/1",
    }


LOOPS_TOLD = {
    "a run": (sighting(), "Warning", "LoopRefused", "triage, run r1: this run has cost $4.10, 12.3 x the median"),
    "a pod's hour": (sighting(unit="hour/490000/uid-1/"), "Warning", "LoopRefused", "triage, pod uid-1: this run"),
    "one that goes on": (sighting("Recovered"), "Normal", "LoopRecovered", "triage, run r1: "),
}


@pytest.mark.parametrize(("told", "kind", "reason", "words"), LOOPS_TOLD.values(), ids=LOOPS_TOLD)
def test_what_an_event_says_of_a_loop(told, kind, reason, words):
    """On the budget whose guard it was: what was seen, with its figures."""
    found = loop_event(told, budget())
    assert (found["type"], found["reason"]) == (kind, reason)
    assert found["message"].startswith(words)
    assert found["involvedObject"]["uid"] == "uid-triage"


def refused(pair="'gpt-4o-mini' refused a request for 'gpt-4o'", *, holder="uid-1/7", at=NOON):
    """A downgrade that a model refused, as the ledger tells of it."""
    return {
        "id": f"d-{at}",
        "at": at,
        "reason": "DowngradeRefused",
        "message": f"{pair} with 404; the step rests",
        "provider": "openai",
        "holder": holder,
        "workflow": "triage",
    }


def test_what_an_event_says_of_a_model_that_refused():
    """Who asked whom and what rests, as a warning on the budget whose step it is."""
    found = downgrade_event(refused(), budget())
    assert (found["type"], found["reason"]) == ("Warning", "DowngradeRefused")
    assert found["message"].startswith("triage, pod uid-1: 'gpt-4o-mini' refused a request for 'gpt-4o' with 404")


def test_a_refused_pair_has_one_event_for_a_pod():
    """Refused again after its rest, it is the same Event; another pair or pod has its own."""
    name = downgrade_event(refused(), budget())["metadata"]["name"]
    assert downgrade_event(refused(at=NOON + 600), budget())["metadata"]["name"] == name
    others = [refused("'a' refused a request for 'b'"), refused(holder="uid-2/7")]
    assert name not in [downgrade_event(other, budget())["metadata"]["name"] for other in others]


def test_a_loop_has_one_event_for_a_stage():
    """Seen again at another time, it is the same Event; another run or stage has its own."""
    name = loop_event(sighting(), budget())["metadata"]["name"]
    assert loop_event(sighting(at=NOON + 60), budget())["metadata"]["name"] == name
    assert name not in [
        loop_event(s, budget())["metadata"]["name"] for s in (sighting("Slow"), sighting(unit="run/r2"))
    ]
