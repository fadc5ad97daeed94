"""The ledger watches spend on real SQLite: it learns from the hours it has, and tells a loop while it runs."""

import asyncio

import pytest

from harness.ledger_under_test import T0, USD, LedgerUnderTest, batch, dispatch, document, usage

WEEK = 7 * 24 * 60
HOUR = T0 // 3600 * 3600


@pytest.fixture
async def ledger(tmp_path):
    """Four weeks of a workflow that spends twelve cents in each ten minutes, and of one that began yesterday."""
    ledger = LedgerUnderTest(str(tmp_path))
    ledger.clock.wall = HOUR + 20 * 60
    await ledger.start()
    ledger.service._watching.cancel()  # the test looks itself
    await ledger.put_budgets(document())
    now = int(ledger.clock.wall // 60)
    for name, begins in (("steady", 4 * WEEK), ("new", 24 * 60)):
        await ledger.put_identity(name, f"{name}/", labels={"aifinops.dev/workflow": name})
        rows = [usage(minute=m, nanos=USD * 12 // 100, calls=60) for m in range(now - begins, now, 10)]
        await ledger.report(dispatch(1, holder=f"{name}/1", batches=[batch(1, *rows)]), name)
    for _ in range(30):  # five weeks of hours, some at a look
        await ledger.service.anomalies.look()
    yield ledger
    await ledger.stop()


async def spends(ledger, name, number, nanos, calls, outcome="ok"):
    """One minute of a workflow, and the ledger's next look."""
    ledger.clock.forward(60)
    minute = int(ledger.clock.wall // 60) - 1
    row = usage(minute=minute, nanos=nanos, calls=calls, outcome=outcome)
    await ledger.report(dispatch(number, holder=f"{name}/1", batches=[batch(number, row)]), name)
    await ledger.service.anomalies.look()


async def judged(ledger, name="steady"):
    """What the ledger says of a workflow."""
    found = await ledger.get("/v1/anomalies")
    return next(row for row in found["anomalies"] if row["workflow"] == name)


async def test_what_is_usual_is_normal(ledger):
    """A workflow like every week is normal; one that began yesterday is not judged yet."""
    assert (await judged(ledger))["state"] == "Normal"
    assert (await judged(ledger, "new"))["state"] == "Unknown"


async def test_a_loop_is_told_while_it_runs_and_its_end_too(ledger):
    """Within a quarter of an hour, with the likely cause; the metric follows, and calm is told again."""
    for n in range(2, 10):
        await spends(ledger, "steady", n, USD * 9 // 100, 50, outcome="error")
    row = await judged(ledger)
    assert row["state"] == "Spike"
    assert "times the usual spend" in row["message"]
    assert "calls failed or were refused" in row["message"]
    told = row["message"], row["since"]
    await spends(ledger, "steady", 10, USD * 9 // 100, 50, outcome="error")
    assert ((await judged(ledger))["message"], (await judged(ledger))["since"]) == told
    scraped = (await ledger.ask("GET", "/metrics")).body
    assert b'wfb_spend_anomaly_ratio{namespace="default",workflow="steady"}' in scraped
    ledger.clock.forward(1200)
    await ledger.service.anomalies.look()
    assert [r for r in (await ledger.get("/v1/anomalies"))["anomalies"] if r["state"] == "Spike"] == []


async def test_what_was_learned_is_found_again(ledger):
    """A ledger that starts anew reads the hours once more and judges as before."""
    await ledger.again()
    ledger.service._watching.cancel()
    await asyncio.sleep(0)
    for _ in range(30):
        await ledger.service.anomalies.look()
    assert (await judged(ledger))["state"] == "Normal"
