"""Steps that named runs reach: told once for each run and step, of the pod that the token says, and never many at once."""

import pytest

from harness.ledger_under_test import T0, USD, LedgerUnderTest, batch, dispatch, document
from wfb_core.wire import DecisionRecord
from wfb_operator.ledger import named_runs
from wfb_operator.ledger.named_runs import BUDGET_MOST, POD_MOST

LIMITS = [{"window": "Day", "usd": "1000.00"}, {"window": "Run", "usd": "10.00"}]
HOOK = {"url": "https://hooks.example.org/budgets"}
LADDER = [
    {"atPercent": 50, "action": "Warn", "notify": [HOOK]},
    {"atPercent": 70, "action": "Warn"},
    {"atPercent": 80, "action": "Downgrade", "models": [{"from": "a", "to": "b"}], "notify": [HOOK]},
]


def budget(name="triage", **spec):
    """A budget with a limit for Run beside another one."""
    return document(name, **({"limits": LIMITS, "ladder": LADDER} | spec))


def reached(run, spent, since=None, *, budget="default/triage", **fields):
    """What a sidecar says of a run that has spent so many dollars, so many of them since it last said so."""
    nanos = int(spent * USD)
    values = {"cost": nanos if since is None else int(since * USD), "run": run, "spent": nanos, "limit": 10 * USD}
    said = {"kind": "finding", "reason": "RunStageReached", "message": "its own words"} | fields
    return DecisionRecord("d-1", T0, budget=budget, window="Run", **(values | said))


class Pods:
    """Pods by name, each with its token and its numbers."""

    def __init__(self, ledger):
        self.ledger, self.sent = ledger, {}

    async def say(self, *records, pod="pod-a", run="", labels=None):
        """One report of a pod with these records."""
        if pod not in self.sent:
            await self.ledger.put_identity(f"token-{pod}", f"{pod}/", run=run, labels=labels)
        number = self.sent[pod] = self.sent.get(pod, 0) + 1
        sent = dispatch(number, holder=f"{pod}/1", batches=[batch(number, decisions=records)])
        return await self.ledger.report(sent, f"token-{pod}")

    async def stages(self):
        """(window, from, to, percentage) of the changes, the oldest first."""
        found = (await self.ledger.get("/v1/stages"))["stages"]
        return [(c["window"], c["from_stage"], c["to_stage"], c["at_percent"]) for c in reversed(found)]

    async def notices(self):
        """(window, percentage) of what is to be sent."""
        return [(n["window"], n["at_percent"]) for n in (await self.ledger.get("/v1/notices"))["notices"]]

    async def untold(self):
        """The counter of what nobody was told."""
        text = (await self.ledger.ask("GET", "/metrics", "")).body.decode()
        (line,) = [n for n in text.splitlines() if n.startswith("wfb_ledger_run_stages_untold_total ")]
        return float(line.split()[1])


@pytest.fixture
async def pods(tmp_path):
    """A ledger with a budget whose limit for Run has a ladder."""
    ledger = await LedgerUnderTest(str(tmp_path)).start()
    await ledger.put_budgets(budget())
    yield Pods(ledger)
    await ledger.stop()


ONE = "default/triage|Run|pod-a|one"


async def test_each_step_of_a_run_is_told_once(pods):
    """A climb in three parts, with the ledger restarted and the sidecar's memory lost on the way, leaves each step once."""
    await pods.say(reached("one", 5))
    await pods.say(reached("one", 9, 4))
    await pods.ledger.again()
    await pods.say(reached("one", 5.5), reached("one", 9.5))
    await pods.say(reached("one", 10, 1), reached("one", 10, 1))
    assert await pods.stages() == [
        (ONE, "Open", "Warn", 50),
        (ONE, "Warn", "Downgrade", 80),
        (ONE, "Downgrade", "Exhausted", 100),
    ]
    assert await pods.notices() == [(ONE, 50), (ONE, 80), (ONE, 100)]


async def test_a_run_of_that_name_in_another_pod_is_another(pods):
    """Whose run it is, is the token's to say: two pods that use one name are told of apart."""
    await pods.say(reached("one", 5))
    await pods.say(reached("one", 5), pod="pod-b")
    assert [window for window, *_ in await pods.stages()] == [ONE, "default/triage|Run|pod-b|one"]


NOT_ITS_OWN = {
    "another's budget": (reached("one", 5, budget="default/other"), {}),
    "no budget": (reached("one", 5, budget="default/gone"), {}),
    "a budget with a limit for Run alone": (reached("one", 5, budget="default/alone"), {}),
    "a pod that has a run of its own": (reached("one", 5), {"run": "r1"}),
    "a pod outside the budget": (reached("one", 5), {"labels": {"aifinops.dev/workflow": "else"}}),
    "a name that no header can give": (reached("pod-b|one", 5), {}),
    "no name": (reached("", 5), {}),
    "a refusal": (reached("one", 5, kind="refusal"), {}),
    "a step that the budget does not have": (reached("one", 4), {}),
    "nothing since": (reached("one", 5, 0), {}),
}


@pytest.mark.parametrize(("record", "who"), NOT_ITS_OWN.values(), ids=NOT_ITS_OWN)
async def test_what_a_pod_may_not_tell_is_no_step(pods, record, who):
    """It is kept as a decision of that pod, and neither Events nor notices come of it."""
    elsewhere = {"matchLabels": {"aifinops.dev/workflow": "other"}}
    alone = budget("alone", limits=LIMITS[1:])
    await pods.ledger.put_budgets(budget(), budget("other", selector=elsewhere), alone)
    await pods.say(record, **who)
    assert (await pods.stages(), await pods.notices()) == ([], [])
    assert len((await pods.ledger.get("/v1/decisions"))["decisions"]) == 1
    assert await pods.untold() == 0


async def test_a_pod_that_mints_runs_is_heard_so_often_a_minute(pods):
    """The rest counts in a metric; another pod and the next minute are heard, and steps of windows are no part of it."""
    await pods.say(*(reached(f"r{n}", 5) for n in range(100)))
    assert (len(await pods.stages()), await pods.untold()) == (POD_MOST, 100 - POD_MOST)
    await pods.say(reached("one", 5), pod="pod-b")
    assert len(await pods.stages()) == POD_MOST + 1
    pods.ledger.clock.forward(60)
    await pods.say(reached("late", 5))
    assert len(await pods.stages()) == len(await pods.notices()) == POD_MOST + 2


async def test_what_is_told_again_takes_nobodys_place(pods):
    """A sidecar that has restarted tells of all its runs anew: the one that comes to its first step meanwhile is heard."""
    again = [reached(f"r{n}", 5) for n in range(POD_MOST)]
    await pods.say(*again)
    pods.ledger.clock.forward(60)
    await pods.say(*again, *again, reached("new", 5))
    assert (len(await pods.stages()), await pods.untold()) == (POD_MOST + 1, 0)


async def test_what_is_known_to_be_told_is_bounded_and_told_once_all_the_same(pods, monkeypatch):
    """Forgotten here, a step is still known to the store."""
    monkeypatch.setattr(named_runs, "REMEMBERED", 2)
    await pods.say(*(reached(f"r{n}", 5) for n in range(4)))
    assert len(pods.ledger.service.memory.named_runs._told) == 2
    await pods.say(reached("r0", 5))
    assert [window.rpartition("|")[2] for window, *_ in await pods.stages()] == ["r0", "r1", "r2", "r3"]


async def test_many_pods_that_mint_runs_are_heard_so_often_for_a_budget(pods):
    """Its Events stay readable however many pods are in it."""
    for pod in range(BUDGET_MOST // POD_MOST + 2):
        await pods.say(*(reached(f"r{n}", 5) for n in range(POD_MOST)), pod=f"pod-{pod}")
    assert len(await pods.stages()) == BUDGET_MOST


async def test_a_windows_changes_are_told_as_often_as_they_come(pods):
    """Once for each step is a rule for named runs alone: a window that comes to a step again is told of again."""
    day, holder = "default/triage|Day|2027-01-15T00:00:00+00:00", "pod-a/1"
    tight, wide = (budget(limits=[{"window": "Day", "usd": usd}, LIMITS[1]]) for usd in ("10.00", "100.00"))
    await pods.ledger.put_budgets(tight)
    await pods.say()
    await pods.ledger.report(dispatch(2, {day: (0, 0, 0)}, [(1, 6 * USD, (day,))], holder=holder), "token-pod-a")
    await pods.ledger.report(dispatch(3, {day: (6 * USD, 0, 6 * USD)}, holder=holder), "token-pod-a")
    await pods.ledger.put_budgets(wide)
    await pods.ledger.put_budgets(tight)
    assert [to for _, _, to, _ in await pods.stages()] == ["Warn", "Open", "Warn"]
