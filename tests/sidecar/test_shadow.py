"""A budget that only reports writes down what Enforce would have done: the same traffic through both, call by call."""

import random

import pytest

from harness.processes import budget
from harness.refused_calls import refused_calls
from harness.until import until
from wfb_core.money import parse_usd

URL = "https://api.openai.com/v1/chat/completions"
STRICT = {"outputBound": "Strict", "waitSeconds": 2}


def traffic(seed, calls):
    """(most tokens of the answer, tokens of the answer, model) of each call: holds from once to forty times the cost."""
    dice = random.Random(seed)
    drawn = []
    for _ in range(calls):
        said = dice.randint(20, 400)
        drawn.append((said * dice.randint(1, 40), said, dice.choice(["gpt-4o", "gpt-4o-mini"])))
    return drawn


def through(bench, http, calls):
    """The numbers of the calls that were refused, or would have been."""

    def send(most, said, model):
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": min(most, 16_000)}
        return http.post(URL, json=body, headers={"x-sim-output-tokens": str(said)}).status_code

    return refused_calls(bench, send, calls)


@pytest.mark.parametrize("seed", [1, 2])
def test_report_names_the_calls_that_enforce_refuses(make_bench, client, seed):
    """One after the other the two sets are equal, money follows only what would have gone, and every call went."""
    calls = traffic(seed, 30)
    enforced = make_bench(usd="0.03", **STRICT)
    wanted = through(enforced, client(enforced.sidecar()), calls)
    reporting = make_bench(usd="0.03", enforcement="Report", **STRICT)
    found = through(reporting, client(reporting.sidecar()), calls)
    assert found == wanted
    assert 3 < len(found) < 27
    told = [d for d in reporting.decisions() if d["message"].startswith("would be refused under Enforce: budget")]
    assert {d["reason"] for d in told} == {"BudgetExhausted"}
    assert len(told) == len(found)
    (line,) = reporting.ask("GET", "/v1/summary")["budgets"]
    (other,) = enforced.ask("GET", "/v1/summary")["budgets"]
    assert line["would_spend_usd"] == other["spent_usd"]
    assert reporting.books().refused() == 0
    assert reporting.books().calls() == 30
    assert reporting.books().spent == reporting.bill() > parse_usd(line["would_spend_usd"])


def test_small_calls_after_a_big_one_are_judged_as_they_would_have_been(make_bench, client):
    """A call too dear for the limit does not use it up: what would have been refused costs the shadow nothing."""
    bench = make_bench(usd="0.01", enforcement="Report", **STRICT)
    http = client(bench.sidecar())
    big, small = (16_000, 3000, "gpt-4o"), (50, 20, "gpt-4o")
    assert through(bench, http, [big, small, small, big, small]) == [0, 3]


def test_a_budget_that_reports_weakens_no_other(make_bench, client):
    """Beside one that enforces, the refusal is the enforcing one's, and the other's shadow is not charged for it."""
    bench = make_bench()
    bench.put_budgets(budget("tight", "0.002", **STRICT), budget("loose", "0.0001", enforcement="Report"))
    http = client(bench.sidecar())
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 150}
    answers = [http.post(URL, json=body, headers={"x-sim-output-tokens": "100"}) for _ in range(4)]
    bench.settled()
    assert [a.status_code for a in answers] == [200, 402, 402, 402]
    assert answers[1].json()["error"]["budget"]["budget"] == "test/tight"
    reasons = {(d["kind"], d["budget"]) for d in bench.decisions()}
    assert reasons == {("refusal", "test/tight"), ("finding", "test/loose")}
    assert len([d for d in bench.decisions() if d["kind"] == "finding"]) == 1


def test_a_reporting_budget_never_stops_a_call(make_bench, client):
    """Not by Strict, not for a ledger that is away: only budgets that enforce have a say."""
    bench = make_bench(usd="0.0001", enforcement="Report", outputBound="Strict", failurePolicy="Fail")
    http = client(bench.sidecar())
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
    assert http.post(URL, json=body).status_code == 200
    bench.settled()
    bench.ledger_away()
    assert http.post(URL, json=body).status_code == 200
    bench.ledger_back()
    bench.settled(2)


def test_slow_is_a_finding(make_bench, client):
    """Past the rung the shadow is paced: calls go at once, and what would have waited or been refused is written down."""
    ladder = [{"atPercent": 1, "action": "Slow"}]
    limits = [{"window": "Year", "usd": "0.01"}]
    bench = make_bench(limits=limits, enforcement="Report", ladder=ladder, waitSeconds=2, maxDelaySeconds=2)
    sidecar = bench.sidecar()
    http = client(sidecar)
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 150}
    for _ in range(6):
        assert http.post(URL, json=body, headers={"x-sim-output-tokens": "100"}).status_code == 200
    until(lambda: [d for d in bench.decisions() if d["reason"] == "Paced"], "a finding of pacing")
    assert {d["kind"] for d in bench.decisions()} == {"finding"}


TO_MINI = [{"atPercent": 20, "action": "Downgrade", "models": [{"from": "gpt-4o", "to": "gpt-4o-mini"}]}]


def test_report_follows_what_a_cheaper_model_would_have_cost(make_bench, client):
    """Past the rung the shadow is charged at the other model's price, and stands on its ladder by that: as Enforce does."""
    calls = [(100, 100, "gpt-4o")] * 12
    spec = {"usd": "0.006", "ladder": TO_MINI, **STRICT}
    enforced = make_bench(**spec)
    wanted = through(enforced, client(enforced.sidecar()), calls)
    reporting = make_bench(enforcement="Report", **spec)
    found = through(reporting, client(reporting.sidecar()), calls)
    assert found == wanted == []
    changed = [len([d for d in bench.decisions() if d["reason"] == "Downgraded"]) for bench in (enforced, reporting)]
    assert changed[0] == changed[1] > 5
    (line,) = reporting.ask("GET", "/v1/summary")["budgets"]
    (other,) = enforced.ask("GET", "/v1/summary")["budgets"]
    assert line["would_spend_usd"] == other["spent_usd"]
    assert parse_usd(line["spent_usd"]) > 2 * parse_usd(other["spent_usd"])


def test_a_trickle_is_a_finding(make_bench, client):
    """Past the limit calls go at once; that a trickle would have held them back is written down, with its own reason."""
    spec = {"onExhausted": {"action": "Throttle", "usdPerHour": "1.80"}, "maxDelaySeconds": 20}
    bench = make_bench(usd="0.002", enforcement="Report", outputBound="Strict", **spec)
    http = client(bench.sidecar())
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 100}
    for _ in range(3):
        assert http.post(URL, json=body, headers={"x-sim-output-tokens": "100"}).status_code == 200
        bench.settled()
    until(lambda: [d for d in bench.decisions() if d["reason"] == "Throttled"], "a finding of a trickle", 30.0)
    told = [d["message"] for d in bench.decisions() if d["reason"] == "Throttled"]
    assert all(message.startswith("would have waited") for message in told)
    assert all("it is exhausted, and its trickle" in message for message in told)
    assert bench.books().refused() == 0


def test_adaptive_lowers_its_shadow_as_clamp_does(make_bench, client):
    """A call whose cap is far above what is left would have been cut short, not refused."""
    bench = make_bench(usd="0.02", enforcement="Report", outputBound="Adaptive", waitSeconds=2)
    calls = [(16_000, 300, "gpt-4o")] * 3
    assert through(bench, client(bench.sidecar()), calls) == []


def test_what_nothing_bounds_would_have_been_refused(make_bench, client):
    """Without a cap in the request or a bound in the prices, Strict refuses, and Report says so."""
    bench = make_bench(enforcement="Report", outputBound="Strict")
    body = {"model": "gpt-image-2", "prompt": "a cat"}
    answer = client(bench.sidecar()).post("https://api.openai.com/v1/images/generations", json=body)
    assert answer.status_code != 402
    assert [d["reason"] for d in bench.decisions()] == ["Unbounded"]
