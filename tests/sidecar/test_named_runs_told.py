"""What a named run reaches on its ladder is told through a real sidecar and ledger: once for each step, never for each call."""

import pytest

from harness.until import until
from wfb_sidecar import outbox

URL = "https://api.openai.com/v1/chat/completions"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello there"}], "max_tokens": 100}
LIMITS = [{"window": "Day", "usd": "10.00", "ladder": []}, {"window": "Run", "usd": "0.003"}]
LADDER = [{"atPercent": 10, "action": "Warn", "notify": [{"url": "https://hooks.example.org/budgets"}]}]
ONE = "test/tested|Run|pod-a|one"


def ask(http, run):
    """One call of a run that costs about a thousandth of a dollar; its status."""
    headers = {"x-sim-output-tokens": "100", "x-wfb-run": run}
    return http.post(URL, json=CHAT, headers=headers).status_code


def told(bench):
    """(run's window, stage, percentage) of what the ledger has heard, the oldest first."""
    found = bench.ask("GET", "/v1/stages")["stages"]
    return [(c["window"], c["to_stage"], c["at_percent"]) for c in reversed(found)]


def findings(bench):
    """What the ledger was told of runs, the newest first."""
    return [d for d in bench.decisions() if d["reason"] == "RunStageReached"]


def test_a_run_is_told_of_at_each_step_and_not_at_each_call(make_bench, client):
    """Three runs of eight calls: each warns once, however often it is called and refused, and somebody is to be told."""
    bench = make_bench(limits=LIMITS, ladder=LADDER)
    http = client(bench.sidecar())
    statuses = [ask(http, run) for _ in range(8) for run in ("one", "two", "three")]

    assert statuses.count(402) >= 9
    bench.settled(statuses.count(200))
    assert sorted(told(bench)) == sorted(
        (f"test/tested|Run|pod-a|{run}", "Warn", 10) for run in ("one", "two", "three")
    )
    assert {n["window"] for n in bench.ask("GET", "/v1/notices")["notices"]} == {window for window, *_ in told(bench)}
    said = findings(bench)
    assert [d["run"] for d in said] == ["three", "two", "one"]
    assert "gives one run: stage Warn (10 %) begins" in said[0]["message"]


def test_a_spent_run_is_told_of_as_exhausted(make_bench, client):
    """A trickle lets it pass its limit: everything between is told in one go, the limit itself among it."""
    throttle = {"action": "Throttle", "usdPerHour": "36.00"}
    bench = make_bench(limits=[LIMITS[0], {"window": "Run", "usd": "0.001"}], ladder=LADDER, onExhausted=throttle)
    http = client(bench.sidecar())
    assert [ask(http, "one") for _ in range(3)] == [200] * 3

    bench.settled(3)
    assert told(bench) == [(ONE, "Exhausted", 100)]
    assert [n["at_percent"] for n in bench.ask("GET", "/v1/notices")["notices"]] == [10, 100]


@pytest.mark.parametrize(
    "spec", [{"enforcement": "Report"}, {"onExhausted": {"action": "Allow"}}], ids=["Report", "Allow"]
)
def test_a_run_that_nothing_stops_is_told_of_all_the_same(make_bench, client, spec):
    """As windows are: it stands on its ladder by what it spent, past the limit too."""
    bench = make_bench(limits=LIMITS, ladder=LADDER, **spec)
    http = client(bench.sidecar())
    assert [ask(http, "one") for _ in range(6)] == [200] * 6

    bench.settled(6)
    assert told(bench) == [(ONE, "Warn", 10), (ONE, "Exhausted", 100)]


def test_in_a_storm_a_step_is_told_later(make_bench, client, monkeypatch):
    """Where a report has no place for it the next call tells it, a refused one too."""
    bench = make_bench(limits=LIMITS, ladder=LADDER)
    sidecar = bench.sidecar()
    http = client(sidecar)
    monkeypatch.setattr(outbox, "_DECISIONS_KEPT", 0)
    statuses = [ask(http, "one") for _ in range(6)]
    bench.settled(statuses.count(200))
    assert told(bench) == []

    monkeypatch.undo()
    assert ask(http, "one") == 402
    until(lambda: told(bench), "the step to be told")
    assert told(bench) == [(ONE, "Warn", 10)]
