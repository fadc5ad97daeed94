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


def test_an_installation_that_only_reports_refuses_nothing():
    """Whatever a budget says it is put in force as a reporting one, its limits and ladder as stated."""
    wanted = budget(enforcement="Enforce", suspend=True, onExhausted={"action": "Refuse"})
    found = plan({"billing/triage": wanted}, {}, only_report=True)
    spec = found.documents["billing/triage"]["spec"]
    assert (spec["enforcement"], spec["failurePolicy"]) == ("Report", "Ignore")
    assert {k: v for k, v in spec.items() if k not in ("enforcement", "failurePolicy")} == {
        k: v for k, v in wanted["spec"].items() if k not in ("enforcement", "failurePolicy")
    }
    standing = found.standings["billing/triage"]
    assert (standing.only_reported, standing.budget.enforcement, standing.mistake) == (True, "Report", None)


def test_a_broken_edit_is_kept_as_a_reporting_budget_too():
    """What was in force under enforcement refuses nothing either, once the installation only reports."""
    found = plan({"billing/triage": budget(**BROKEN)}, {"billing/triage": stated(budget())}, only_report=True)
    assert found.documents["billing/triage"]["spec"]["enforcement"] == "Report"
    assert found.standings["billing/triage"].mistake is not None


def test_planning_anew_changes_nothing():
    """What a round put in force is what the next one wants: the ledger is not written every second."""
    for only_report in (False, True):
        first = plan({"billing/triage": budget()}, {}, only_report=only_report)
        assert plan({"billing/triage": budget()}, first.documents, only_report=only_report) == first
