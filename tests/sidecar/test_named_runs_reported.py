"""A budget that only reports writes down what its limit for Run would have done to named runs: call by call as Enforce does."""

import random
from functools import partial

import httpx2
import pytest

from harness.processes import budget
from harness.refused_calls import refused_calls
from harness.until import until
from wfb_core.money import parse_usd

URL = "https://api.openai.com/v1/chat/completions"
STRICT = {"outputBound": "Strict", "waitSeconds": 2}


def limits(usd, **more):
    """A Day with plenty, and a limit for Run with more fields."""
    return [{"window": "Day", "usd": "10.00", "ladder": []}, {"window": "Run", "usd": usd, **more}]


def ask(http, run, most=100, said=100, model="gpt-4o"):
    """One call of a run: its cap, the tokens of its answer, its status."""
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": most}
    headers = {"x-sim-output-tokens": str(said), "x-wfb-run": run}
    return http.post(URL, json=body, headers=headers, timeout=60).status_code


def traffic(seed, calls):
    """(run, most tokens of the answer, tokens of the answer, model) of each call of three runs."""
    dice = random.Random(seed)
    drawn = []
    for _ in range(calls):
        said = dice.randint(20, 400)
        model = dice.choice(["gpt-4o", "gpt-4o-mini"])
        drawn.append((dice.choice(["one", "two", "three"]), said * dice.randint(1, 20), said, model))
    return drawn


def through(bench, http, calls):
    """The numbers of the calls that were refused, or would have been."""
    return refused_calls(bench, partial(ask, http), calls)


@pytest.mark.parametrize("seed", [1, 2])
def test_report_names_the_calls_that_enforce_refuses(make_bench, client, seed):
    """One after the other the two sets are equal, and the Day's shadow is charged with those alone that would have gone."""
    calls = traffic(seed, 30)
    enforced = make_bench(limits=limits("0.008"), **STRICT)
    wanted = through(enforced, client(enforced.sidecar()), calls)
    reporting = make_bench(limits=limits("0.008"), enforcement="Report", **STRICT)
    found = through(reporting, client(reporting.sidecar()), calls)

    assert found == wanted
    assert 3 < len(found) < 27
    told = [d for d in reporting.decisions() if d["message"].startswith("would be refused under Enforce: run ")]
    assert len(told) == len(found)
    assert {(d["kind"], d["reason"], d["window"]) for d in told} == {("finding", "BudgetExhausted", "Run")}
    day, other = (
        next(line for line in bench.ask("GET", "/v1/summary")["budgets"] if line["kind"] == "Day")
        for bench in (reporting, enforced)
    )
    assert day["would_spend_usd"] == other["spent_usd"]
    assert parse_usd(day["spent_usd"]) > parse_usd(day["would_spend_usd"])
    assert (reporting.books().refused(), reporting.books().calls()) == (0, 30)


def test_what_would_have_been_refused_costs_the_run_nothing(make_bench, client):
    """A call too dear for the run does not use it up, nor does one that a window would have refused."""
    bench = make_bench(limits=limits("0.01"), enforcement="Report", **STRICT)
    http = client(bench.sidecar())
    big, small = ("one", 16_000, 3000), ("one", 50, 20)
    assert through(bench, http, [big, small, small, big, small]) == [0, 3]

    tight = [{"window": "Total", "usd": "0.01"}, {"window": "Run", "usd": "0.02"}]
    bench = make_bench(limits=tight, enforcement="Report", **STRICT)
    http = client(bench.sidecar())
    middle = ("one", 1500, 20)
    assert through(bench, http, [middle, middle, ("one", 500, 400), middle, small]) == [0, 1, 3]


def test_slow_is_a_finding(make_bench, client):
    """Past the step calls go at once: what would have waited says how long, and what would not have, that it is refused."""
    slow = {"atPercent": 1, "action": "Slow", "usdPerHour": "1.80"}  # a twentieth of a cent a second
    bench = make_bench(limits=limits("1.00", ladder=[slow]), enforcement="Report", maxDelaySeconds=3)
    http = client(bench.sidecar())
    assert ask(http, "one", 4000, 1000) == 200
    bench.settled(1)
    assert [ask(http, "one", said=100) for _ in range(40)] == [200] * 40

    def paced():
        return [d for d in bench.decisions() if d["reason"] == "Paced" and d["window"] == "Run"]

    until(lambda: len({d["message"].split()[1] for d in paced()}) == 2, "one that waits and one that is refused", 30.0)
    assert {d["kind"] for d in paced()} == {"finding"}
    waited = next(d["message"] for d in paced() if d["message"].startswith("would have waited"))
    assert waited.endswith(" s under Enforce: run one of budget test/tested (Run limit $1.00): it is in stage Slow")
    assert bench.books().refused() == 0


def test_what_waits_for_nothing_is_only_refused(make_bench, client):
    """Its run would have held it back, and then a window refused it: that is one finding, and counted once."""
    slow = {"atPercent": 1, "action": "Slow", "usdPerHour": "1.80"}
    tight = [{"window": "Total", "usd": "0.013"}, {"window": "Run", "usd": "0.50", "ladder": [slow]}]
    bench = make_bench(limits=tight, enforcement="Report", **(STRICT | {"maxDelaySeconds": 20}))
    sidecar = bench.sidecar()
    http = client(sidecar)
    for said in (1000, 200):  # the first brings the run to its step, the second takes the turn of the third
        assert ask(http, "one", said, said) == 200
        bench.settled()
    assert ask(http, "one") == 200
    until(lambda: [d for d in bench.decisions() if d["reason"] == "BudgetExhausted"], "a finding", 30.0)
    told = [d["message"] for d in bench.decisions() if d["reason"] != "RunStageReached"]
    assert [message.split(":")[0] for message in told] == ["would be refused under Enforce"]


def test_a_trickle_is_a_finding(make_bench, client):
    """Past its limit a run goes on at once; that its trickle would have held it back is written down."""
    throttle = {"action": "Throttle", "usdPerHour": "1.80"}
    bench = make_bench(limits=limits("0.002"), enforcement="Report", onExhausted=throttle, **STRICT)
    http = client(bench.sidecar())
    for _ in range(3):
        assert ask(http, "one") == 200
        bench.settled()
    until(lambda: [d for d in bench.decisions() if d["reason"] == "Throttled"], "a finding of a trickle", 30.0)
    told = [d["message"] for d in bench.decisions() if d["reason"] == "Throttled"]
    assert all(message.startswith("would have waited") for message in told)
    assert bench.books().refused() == 0


def test_nothing_stays_reserved_however_a_call_ends(make_bench, client):
    """Whole, failed, left by its client, refused by the run's shadow or by the window's: both books are empty in the end."""
    tight = [{"window": "Total", "usd": "0.05"}, {"window": "Run", "usd": "0.02"}]
    bench = make_bench(limits=tight, enforcement="Report", **STRICT)
    sidecar = bench.sidecar()
    http = client(sidecar)
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}
    sent = {"x-wfb-run": "one", "x-sim-output-tokens": "100"}
    assert http.post(URL, json=body, headers=sent).status_code == 200
    assert http.post(URL, json=body, headers=sent | {"x-sim-fault": "500"}).status_code == 500
    with pytest.raises(httpx2.TimeoutException):
        http.post(URL, json=body, headers=sent | {"x-sim-latency-ms": "1500"}, timeout=0.3)
    for run, most in (("one", 16_000), ("two", 1500), ("three", 1500), ("four", 1500), ("five", 1500)):
        assert ask(http, run, most, min(most, 1500)) == 200

    def reserved():
        """(in flight, in flight in the shadow, shadows without an end)."""
        runs, shadows = sidecar.parts.calls.admission._runs, sidecar.parts.calls.holding.shadows
        return runs.runs.in_flight, runs.shadow.in_flight, len(shadows._open)

    until(lambda: sidecar.call(reserved) == (0, 0, 0), "the end of all calls", 30.0)
    budgets = {d["window"] for d in bench.decisions() if d["message"].startswith("would be refused")}
    assert budgets == {"Run", "Total"}


def test_report_follows_what_a_cheaper_model_would_have_cost_a_run(make_bench, client):
    """Past its step the run's shadow is charged at the other model's price, and the next calls are judged by that."""
    ladder = [{"atPercent": 20, "action": "Downgrade", "models": [{"from": "gpt-4o", "to": "gpt-4o-mini"}]}]
    spec = {"limits": limits("0.006", ladder=ladder), **STRICT}
    calls = [("one", 100, 100)] * 12
    enforced = make_bench(**spec)
    wanted = through(enforced, client(enforced.sidecar()), calls)
    reporting = make_bench(enforcement="Report", **spec)
    found = through(reporting, client(reporting.sidecar()), calls)

    assert found == wanted == []
    changed = [len([d for d in bench.decisions() if d["reason"] == "Downgraded"]) for bench in (enforced, reporting)]
    assert changed[0] == changed[1] > 5


def test_a_budget_that_reports_weakens_no_other(make_bench, client):
    """Beside one that enforces the run is refused by that one, and the other's shadow is not charged for the refused."""
    bench = make_bench()
    enforced = budget("tight", "10.00", limits=limits("0.002"), **STRICT)
    reporting = budget("loose", "10.00", limits=limits("0.0001"), enforcement="Report", **STRICT)
    bench.put_budgets(enforced, reporting)
    http = client(bench.sidecar())
    assert [ask(http, "one", 150) for _ in range(4)] == [200, 402, 402, 402]

    bench.settled(1)
    found = [(d["kind"], d["reason"], d["budget"]) for d in bench.decisions() if d["reason"] != "RunStageReached"]
    assert found.count(("finding", "BudgetExhausted", "test/loose")) == 1
    assert found.count(("refusal", "BudgetExhausted", "test/tight")) == 3
