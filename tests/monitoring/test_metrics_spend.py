"""The counters of spend: exact, bounded, and not moved by restarts, kills and failed transactions."""

import random
import sqlite3

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness import processes
from harness.ledger_under_test import DAY, USD, LedgerUnderTest, batch, dispatch, document, usage
from harness.monitoring_parts import total
from wfb_core.wire import encode_dispatch
from wfb_operator.ledger.store.tiers import Horizon
from wfb_operator.prices.compile import compile_snapshot


@pytest.fixture
async def ledger(tmp_path):
    """A ledger with one budget of 10 dollars a day and one sidecar of the workflow triage, team billing."""
    under_test = await LedgerUnderTest(str(tmp_path)).start()
    await under_test.put_budgets(document())
    await under_test.put_identity()
    yield under_test
    await under_test.stop()


async def samples(ledger):
    """{(name, labels): value} of what the ledger exports."""
    text = (await ledger.get("/metrics", token="")).decode()
    return {
        (s.name, tuple(sorted((k, v) for k, v in s.labels.items() if v))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def spent(found, **labels):
    """The sum of wfb_spend_usd_total over series with these labels."""
    return total(found, "wfb_spend_usd_total", **labels)


async def test_tokens_are_in_one_class_each_and_calls_in_one_outcome(ledger):
    """A call with cached input and hidden output: the classes add up to the provider's totals."""
    row = usage(
        input_tokens=100, cache_read_tokens=60, cache_write_tokens=10, output_tokens=50, reasoning_tokens=20, nanos=USD
    )
    await ledger.report(dispatch(1, batches=[batch(1, row, usage(outcome="refused", calls=0, refused=2, nanos=0))]))
    found = await samples(ledger)
    tokens = {dict(k[1])["class"]: v for k, v in found.items() if k[0] == "wfb_tokens_total"}
    # The second row bears tokens of its own: 10 in and 5 out.
    assert tokens == {"input": 40.0, "cache_read": 60.0, "cache_write": 10.0, "output": 35.0, "reasoning": 20.0}
    assert total(found, "wfb_calls_total", outcome="ok") == 1
    assert total(found, "wfb_calls_total", outcome="refused", team="billing") == 2
    assert spent(found, team="billing", workflow="triage", provider="openai", model="gpt-5") == 1.0


async def test_what_caches_saved_is_counted_at_list_rates(ledger):
    """A million tokens read from Anthropic's cache save nine tenths of their price; writing costs a quarter more."""
    answer = await ledger.ask("PUT", "/v1/prices", data=compile_snapshot("test").data)
    assert answer.status == 200
    row = usage(
        provider="anthropic",
        model="claude-sonnet-4-5",
        input_tokens=2_000_000,
        cache_read_tokens=1_000_000,
        cache_write_tokens=1_000_000,
    )
    await ledger.report(dispatch(1, batches=[batch(1, row)]))
    found = await samples(ledger)
    # https://docs.claude.com/en/docs/about-claude/pricing: $3 input, $0.30 cache hits, $3.75 five-minute writes.
    assert total(found, "wfb_cache_saved_usd_total") == pytest.approx(2.70)
    assert total(found, "wfb_cache_extra_usd_total") == pytest.approx(0.75)
    assert (await samples(await ledger.again()))[
        "wfb_cache_saved_usd_total", (("namespace", "default"), ("workflow", "triage"))
    ] == pytest.approx(2.70)


async def test_made_up_models_crowd_nobody_out(tmp_path):
    """A caller who invents ten thousand names gets one series, and the next real model has its own."""
    under_test = LedgerUnderTest(str(tmp_path))
    await under_test.start()
    await under_test.put_budgets(document())
    await under_test.put_identity()
    rows = [usage(model=f"<script>{n}\n\u202e", outcome="refused", calls=0, refused=1, nanos=0) for n in range(2000)]
    rows += [usage(model=f"nobody-{n}", outcome="unpriced", nanos=0) for n in range(2000)]
    await under_test.report(dispatch(1, batches=[batch(1, *rows)]))
    await under_test.report(dispatch(2, batches=[batch(2, usage(model="gpt-5", nanos=3))]))
    for _ in range(2):
        found = await samples(under_test)
        assert total(found, "wfb_calls_total", outcome="refused") == 2000
        unpriced = {dict(k[1])["model"]: v for k, v in found.items() if k[0] == "wfb_unpriced_calls_total"}
        assert (len(unpriced), sum(unpriced.values())) == (51, 2000)
        models = {dict(k[1])["model"] for k in found if k[0] == "wfb_spend_usd_total"}
        assert models == {"gpt-5"}
        await under_test.again()
    with sqlite3.connect(tmp_path / "ledger.db") as database:
        assert database.execute("SELECT count(*) FROM usage_totals").fetchone()[0] == 53
    await under_test.stop()


async def test_counters_go_on_after_a_restart(ledger):
    """Random traffic, restarted at random: no series ever falls, none is lost, and the sum is the books' own."""
    rng, before, nanos = random.Random(7), {}, 0
    for seq in range(1, 7):
        rows = [usage(model=rng.choice("abc"), nanos=rng.randrange(1, USD)) for _ in range(5)]
        nanos += sum(row.nanos for row in rows)
        await ledger.report(dispatch(seq, batches=[batch(seq, *rows)]))
        if rng.random() < 0.5:
            await ledger.again()
        found = {k: v for k, v in (await samples(ledger)).items() if k[0].startswith("wfb_spend_usd")}
        assert all(found[key] >= value for key, value in before.items())
        before = found
    assert spent(before) == pytest.approx(nanos / USD)


async def test_a_transaction_that_fails_counts_nothing(ledger):
    """What is told again after it is counted once."""
    sent = dispatch(1, batches=[batch(1, usage(nanos=2 * USD))])
    write, ledger.store._write = ledger.store._write, _fails
    assert (await ledger.post(sent)).status == 503
    assert spent(await samples(ledger)) == 0
    ledger.store._write = write
    await ledger.report(sent)
    await ledger.report(sent)
    assert spent(await samples(ledger)) == 2.0


def _fails(_):
    raise sqlite3.OperationalError("disk I/O error")


async def test_old_usage_that_is_forgotten_stays_counted(ledger):
    """Tidying away the minute rows moves no counter, not even over a restart."""
    await ledger.report(dispatch(1, batches=[batch(1, usage(nanos=2 * USD))]))
    before = ledger.clock.wall + 3 * 86_400
    while await ledger.store.roll_up(before):
        pass
    while await ledger.store.tidy(Horizon(before, before, before, before)):
        pass
    with sqlite3.connect(f"{ledger.directory}/ledger.db") as database:
        assert database.execute("SELECT count(*) FROM usage_minute").fetchone() == (0,)
    await ledger.again()
    assert spent(await samples(ledger)) == 2.0


async def test_fewer_values_than_before_fold_into_other(tmp_path):
    """After a restart with a smaller number the sums are the same, and the first to come have kept their names."""
    under_test = await LedgerUnderTest(str(tmp_path)).start()
    await under_test.put_budgets(document())
    await under_test.put_identity()
    await under_test.report(dispatch(1, batches=[batch(1, *(usage(model=m, nanos=USD) for m in "abc"))]))
    await under_test.stop()
    under_test.metrics_most = {"model": 2}
    await under_test.start()
    for _ in range(2):
        found = await samples(under_test)
        assert {m: spent(found, model=m) for m in ("a", "b", "other")} == {"a": 1.0, "b": 1.0, "other": 1.0}
        await under_test.again()
    await under_test.stop()


def test_kill_nine_loses_and_doubles_nothing(tmp_path):
    """A real process, killed between reports and while one is under way: its counters go on where the books are."""
    ledger = processes.start_ledger(tmp_path, [processes.budget("triage", "100.00")], compile_snapshot("t").data)
    token = ledger.admit("pod-a/", {"aifinops.dev/workflow": "triage"}).read_text()
    last = 0.0
    for seq in range(1, 5):
        body = encode_dispatch(dispatch(seq, batches=[batch(seq, usage(nanos=USD))]))
        answer = ledger.call("POST", "/v1/report", body, token)
        assert answer["applied"] == seq
        ledger.process.kill()
        ledger.restart()
        # The sidecar heard nothing of it and says it again.
        ledger.call("POST", "/v1/report", body, token)
        found = {}
        for family in text_string_to_metric_families(_text(ledger.url)):
            for s in family.samples:
                found[s.name, tuple(sorted((k, v) for k, v in s.labels.items() if v))] = s.value
        assert spent(found) == last + 1.0
        last = spent(found)
    ledger.process.stop()


def _text(url):
    import urllib.request

    with urllib.request.urlopen(url + "/metrics", timeout=10) as answer:
        return answer.read().decode()


async def test_budgets_past_the_number_are_one(tmp_path):
    """Their amounts are summed and the highest stage shown."""
    under_test = LedgerUnderTest(str(tmp_path), metrics_most={"budget": 1})
    await under_test.start()
    await under_test.put_budgets(*(document(name, usd="10.00") for name in ("triage", "b", "c")))
    await under_test.put_identity()
    await under_test.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, USD, (DAY,))]))
    found = await samples(under_test)
    assert found["wfb_budget_limit_usd", (("budget", "default/triage"), ("window", "Day"))] == 10.0
    assert found["wfb_budget_limit_usd", (("budget", "other"), ("window", "Day"))] == 20.0
    assert found["wfb_budget_exhaustion_timestamp_seconds", (("budget", "other"), ("window", "Day"))] == float("inf")
    assert total(found, "wfb_holds_answered_total", answer="granted") == 1
    await under_test.stop()
