"""Which documents go to the ledger: every budget that can be read, and the last good form of one that cannot."""

from harness.cluster_objects import budget
from wfb_operator.controller.documents import plan, stated

BROKEN = {"limits": [{"window": "Day", "usd": "-3"}]}


def test_a_broken_edit_leaves_the_former_budget_in_force():
    """A mistake in one budget never opens the tap: what the ledger holds of it stays, and the others are taken."""
    before = stated(budget())
    found = plan({"billing/triage": budget(**BROKEN), "billing/other": budget("other")}, {"billing/triage": before})
    assert found.documents["billing/triage"] == before
    assert found.documents["billing/other"] == stated(budget("other"))
    assert "stays in force" in found.standings["billing/triage"].mistake.message


def test_a_budget_that_was_never_good_is_left_out():
    """There is nothing to hold calls to, and the condition says so."""
    found = plan({"billing/triage": budget(**BROKEN)}, {})
    assert found.documents == {}
    assert "nothing is held to this budget" in found.standings["billing/triage"].mistake.message


def test_a_deleted_budget_goes():
    """What the cluster no longer has is not sent."""
    assert plan({}, {"billing/triage": stated(budget())}).documents == {}


def test_status_and_bookkeeping_are_not_sent():
    """A status write, which changes the resource version, changes nothing for the ledger."""
    noisy = budget(status={"stage": "Slow"})
    noisy["metadata"] |= {"resourceVersion": "7", "managedFields": [{}], "annotations": {"a": "b"}}
    assert stated(noisy) == stated(budget())
