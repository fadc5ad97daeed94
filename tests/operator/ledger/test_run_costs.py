"""What runs cost: learned over all pods, kept over restarts, and not moved by loops that were caught."""

import pytest

from harness.ledger_under_test import T0, LedgerUnderTest, batch, dispatch
from wfb_core import reasons
from wfb_core.wire import DecisionRecord, RunFigures, UsageRow

MINUTE = int(T0 // 60)
GUARDED = {"action": "Refuse", "minimumRuns": 5}


def row(nanos, minute=MINUTE):
    """Calls of one minute that cost so much."""
    return UsageRow(minute, "openai", "gpt-4o", "", "ok", False, 1, 0, 1, 0, 0, 1, 0, nanos, nanos)


def seen(reason, *, at=T0, budget="default/b", message="12 x the median"):
    """What a guard tells of a run."""
    return DecisionRecord("d-1", at, "finding", reason, message, budget=budget, spent=50, limit=100)


def document(**loops):
    """A budget for the pods of this module."""
    return {
        "apiVersion": "aifinops.dev/v1alpha1",
        "kind": "WorkflowBudget",
        "metadata": {"name": "b", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"aifinops.dev/workflow": "triage"}},
            "limits": [{"window": "Day", "usd": "10.00"}],
            "loops": loops or GUARDED,
        },
    }


class Pods:
    """Pods by name, each with its holder and its numbers."""

    def __init__(self, ledger):
        self.ledger, self.sent = ledger, {}

    async def report(self, pod, *rows, run="", decisions=()):
        """One report of a pod; returns what the guard is told."""
        if pod not in self.sent:
            await self.ledger.put_identity(f"token-{pod}", f"{pod}/", run=run)
        number = self.sent[pod] = self.sent.get(pod, 0) + 1
        sent = dispatch(number, holder=f"{pod}/1", batches=[batch(number, *rows, decisions=decisions)])
        return (await self.ledger.report(sent, f"token-{pod}")).loops


@pytest.fixture
async def pods(tmp_path):
    """A ledger with a budget that has a guard."""
    ledger = await LedgerUnderTest(str(tmp_path)).start()
    await ledger.put_budgets(document())
    yield Pods(ledger)
    await ledger.stop()


async def test_finished_runs_are_what_is_usual(pods):
    """The median of runs that have been quiet, over all of their pods; those still at work do not count."""
    for n, cost in enumerate((100, 200, 900)):
        await pods.report(f"a{n}", row(cost, MINUTE - 10), run=f"r{n}")
    await pods.report("a3", row(250, MINUTE - 10), run="r1")
    figures = await pods.report("now", row(7), run="r9")
    assert figures == RunFigures("run/r9", 7, 0, 450, 3, 450)
    pods.ledger.clock.forward(6)
    assert (await pods.report("a0", row(10_000), run="r0")).sample == 2


async def test_a_run_is_told_over_all_of_its_pods(pods):
    """Each pod hears what the others spent, and its own part after a restart of its container."""
    await pods.report("a", row(100), run="r1")
    await pods.report("b", row(30), run="r1")
    await pods.report("c", row(9), run="r2")
    figures = await pods.report("a", row(1), run="r1")
    assert (figures.own, figures.others) == (101, 30)


async def test_a_pod_without_a_run_is_judged_by_the_hour(pods):
    """Its hour ends with the clock's; another pod of the workflow is no part of it, and runs are no hours."""
    await pods.report("job", row(10**6, MINUTE - 10), run="r1")
    first = await pods.report("a", row(100))
    await pods.report("b", row(50))
    assert (first.own, first.others, first.sample) == (100, 0, 0)
    pods.ledger.clock.forward(3600)
    later = await pods.report("a", row(5, MINUTE + 60))
    assert later.unit != first.unit
    assert (later.own, later.others) == (5, 0)
    assert (later.median, later.sample) == (75, 2)


async def test_a_loop_that_was_caught_does_not_become_usual(pods):
    """A night of refused loops leaves the median where it was; one that recovered counts."""
    for n in range(5):
        await pods.report(f"a{n}", row(100, MINUTE - 10), run=f"r{n}")
    for n in range(20):
        caught = seen(reasons.LOOP_REFUSED, at=T0 - 600)
        await pods.report(f"l{n}", row(9000, MINUTE - 10), run=f"loop{n}", decisions=[caught])
    assert (await pods.report("now", row(1), run="r9")).median == 100
    await pods.report("l0", decisions=[seen(reasons.LOOP_RECOVERED, at=T0 - 500)], run="loop0")
    pods.ledger.clock.forward(6)
    figures = await pods.report("now", row(1), run="r9")
    assert (figures.median, figures.sample) == (100, 6)


async def test_a_stage_is_told_once_for_a_run_and_a_budget(pods):
    """However many pods and calls tell of it; another stage, run or budget is another."""
    flagged, refused = seen(reasons.LOOP_FLAGGED), seen(reasons.LOOP_REFUSED)
    await pods.report("a", decisions=[flagged, flagged, refused], run="r1")
    await pods.report("b", decisions=[refused], run="r1")
    await pods.report("c", decisions=[refused, seen(reasons.LOOP_REFUSED, budget="/all")], run="r2")
    told = (await pods.ledger.get("/v1/loops"))["loops"]
    assert [(s["unit"], s["budget"], s["stage"]) for s in reversed(told)] == [
        ("run/r1", "default/b", "Flag"),
        ("run/r1", "default/b", "Refuse"),
        ("run/r2", "default/b", "Refuse"),
        ("run/r2", "/all", "Refuse"),
    ]
    assert (told[0]["message"], told[0]["spent_usd"], told[0]["limit_usd"]) == (
        "12 x the median",
        "0.00000005",
        "0.0000001",
    )
    text = (await pods.ledger.service.metrics.text()).decode()
    assert 'wfb_loops_sightings_total{budget="default/b",stage="Refuse"} 2.0' in text


async def test_nothing_is_lost_over_a_restart(pods):
    """Medians, this run's total, and what was caught are on disk; a stage is still told only once."""
    for n in range(5):
        await pods.report(f"a{n}", row(100, MINUTE - 10), run=f"r{n}")
    await pods.report("l", row(9000, MINUTE - 10), run="loop", decisions=[seen(reasons.LOOP_SLOWED)])
    await pods.report("now", row(7), run="r9")
    await pods.ledger.again()
    figures = await pods.report("now", row(1), run="r9")
    assert figures == RunFigures("run/r9", 8, 0, 100, 5, 100)
    await pods.report("l", decisions=[seen(reasons.LOOP_SLOWED)], run="loop")
    assert len((await pods.ledger.get("/v1/loops"))["loops"]) == 1


async def test_a_repeated_report_counts_once(pods):
    """The batch's number says that it was in: the run costs what it cost."""
    await pods.report("a", row(100), run="r1")
    again = dispatch(1, holder="a/1", batches=[batch(1, row(100))])
    await pods.ledger.report(again, "token-a")
    assert (await pods.report("a", row(1), run="r1")).own == 101


async def test_pods_without_a_guard_are_told_nothing(pods):
    """Off is the default: no figures travel with answers, while runs are learned all the same."""
    await pods.ledger.put_budgets(document(action="Off"))
    assert await pods.report("a", row(100, MINUTE - 10), run="r1") is None
    await pods.ledger.put_budgets(document())
    assert (await pods.report("b", row(1), run="r2")).median == 100
