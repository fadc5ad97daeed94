"""A run's rows are freed once it is over: in memory and in the store, and a pod that comes back late is heard."""

from harness.ledger_under_test import USD, dispatch, document
from wfb_core.grants import GRANTED

RUN = "default/triage|Run|job-1"
OTHER = "default/triage|Run|job-2"


async def with_runs(ledger):
    """A budget whose runs are remembered two hours, and two of them; what the store has of windows."""
    await ledger.put_budgets(document(limits=[{"window": "Run", "usd": "5.00", "maxAge": "2h"}]))
    await ledger.put_identity("token-1", "pod-1/", run="job-1")
    await ledger.put_identity("token-2", "pod-2/", run="job-2")
    for n, run in ((1, RUN), (2, OTHER)):
        answer = await ledger.report(
            dispatch(1, {run: (0, 0, 0)}, [(1, USD, (run,))], holder=f"pod-{n}/1"), f"token-{n}"
        )
        assert answer.reply.answers == {1: GRANTED}
        await ledger.report(dispatch(2, {run: (USD, 0, USD)}, holder=f"pod-{n}/1"), f"token-{n}")


async def stored(ledger):
    return {row["id"] for row in await ledger.store._rows("SELECT id FROM windows", ())}


async def tidied(ledger):
    """What housekeeping does in time: first memory, then the store."""
    ledger.service.memory.let_go(ledger.service.clock.now())
    await ledger.service.forget_runs()


async def test_a_run_that_is_over_leaves_memory_and_store(ledger):
    """Unheard for maxAge it is gone from both, with its rows; one that is still heard stays."""
    await with_runs(ledger)
    ledger.clock.forward(2 * 3600 - 60)
    await ledger.report(dispatch(3, {OTHER: (USD, 0, USD)}, holder="pod-2/1"), "token-2")
    await tidied(ledger)
    assert {RUN, OTHER} <= await stored(ledger)

    ledger.clock.forward(120)
    await tidied(ledger)

    assert RUN not in await stored(ledger)
    assert OTHER in await stored(ledger)
    assert RUN not in ledger.service.memory.grants.windows
    assert not await ledger.store._rows("SELECT * FROM grants WHERE window = ?", (RUN,))


async def test_a_pod_of_a_forgotten_run_is_heard_when_it_comes_back(ledger):
    """What it says it spent counts, as learned; it is not taken for a liar, and its next call is decided."""
    await with_runs(ledger)
    ledger.clock.forward(3 * 3600)
    await tidied(ledger)
    again = dispatch(3, {RUN: (USD, 0, USD)}, [(2, 4 * USD, (RUN,))], holder="pod-1/1")

    answer = await ledger.report(again, "token-1")

    assert answer.reply.answers == {2: GRANTED}
    window = ledger.service.memory.grants.windows[RUN]
    assert (window.used, window.learned) == (USD, USD)
