"""Events: one for each stage that a window reaches, told in one sentence."""

import pytest

from harness.cluster_objects import NOON, budget
from wfb_operator.controller.events import stage_event


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
    others = [change("Exhausted"), change(at=NOON + 1), change(window="billing/triage|Day|2027-01-16T00:00:00+00:00")]
    assert name not in [stage_event(other, budget())["metadata"]["name"] for other in others]
