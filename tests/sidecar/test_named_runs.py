"""`x-wfb-run` through a real sidecar and ledger: reported, stripped, limited below another limit, and never shared."""

import threading

import pytest

from harness.processes import budget

URL = "https://api.openai.com/v1/chat/completions"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello there"}], "max_tokens": 100}
LIMITS = [{"window": "Total", "usd": "10.00"}, {"window": "Run", "usd": "0.003"}]


def ask(http, run="", tokens=100, timeout=20.0, **more):
    headers = {"x-sim-output-tokens": str(tokens)} | ({"x-wfb-run": run} if run else {}) | more
    return http.post(URL, json=CHAT, headers=headers, timeout=timeout)


def usage_by_run(bench):
    return {row["run"]: row["calls"] for row in bench.ask("GET", "/v1/usage?by=run")["usage"] if row["calls"]}


def test_a_named_run_is_stopped_at_its_limit_and_others_go_on(make_bench, client):
    """About three calls fit into one run; the fourth is refused with the run's figures, and another run is untouched."""
    bench = make_bench(limits=LIMITS)
    http = client(bench.sidecar())
    answers = [ask(http, "one") for _ in range(6)]
    paid = [a.status_code for a in answers].count(200)

    assert 2 <= paid < 6
    refused = answers[-1]
    assert refused.status_code == 402
    told = refused.json()["error"]["budget"]
    assert (told["scope"], told["limit"], told["reason"]) == ("Run", "0.003", "BudgetExhausted")
    assert "run one has $" in refused.text
    assert ask(http, "two").status_code == 200
    assert ask(http).status_code == 200
    bench.settled(paid + 2)
    assert usage_by_run(bench) == {"one": paid, "two": 1, "": 1}
    assert {d["run"] for d in bench.decisions()} == {"one"}


def test_the_calls_of_one_run_share_its_money_at_once(make_bench, client):
    """Ten at the same time cost no more than the run may, and what is free again goes to those that waited."""
    bench = make_bench(limits=LIMITS, waitSeconds=5)
    sidecar = bench.sidecar()
    codes = []

    def one():
        codes.append(ask(client(sidecar), "one", tokens=60, **{"x-sim-latency-ms": "100"}).status_code)

    threads = [threading.Thread(target=one) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    bench.settled()
    assert bench.bill() <= 3_000_000
    assert codes.count(200) >= 3
    assert set(codes) <= {200, 402, 429}


NOT_LIMITED = {
    "a budget whose only limit is Run": {"limits": [{"window": "Run", "usd": "0.003"}]},
    "a budget that reports": {"limits": LIMITS, "enforcement": "Report"},
}


@pytest.mark.parametrize("spec", NOT_LIMITED.values(), ids=NOT_LIMITED)
def test_a_header_is_trusted_only_below_another_limit(make_bench, client, spec):
    """There the run is reported all the same."""
    bench = make_bench(**spec)
    http = client(bench.sidecar())

    assert [ask(http, "one").status_code for _ in range(5)] == [200] * 5

    bench.settled(5)
    assert usage_by_run(bench) == {"one": 5}


def test_a_header_that_names_no_run_is_left_aside_and_counted(make_bench, client):
    """The call goes on without a run; a cut or cleaned name could be another's."""
    bench = make_bench(limits=LIMITS)
    sidecar = bench.sidecar()
    http = client(sidecar)

    assert [ask(http, bad).status_code for bad in ("two words", "x" * 200, "(other)")] == [200] * 3

    assert sidecar.metric("run_headers_ignored_total") == 3
    bench.settled(3)
    assert usage_by_run(bench) == {"": 3}


def test_beyond_a_pods_share_of_names_calls_count_in_one_run(make_bench, client):
    """Who mints a run for each call finds that they are one, with one limit; the ledger keeps no more names either."""
    bench = make_bench(limits=LIMITS)
    sidecar = bench.sidecar()
    sidecar.call(lambda: setattr(sidecar.parts.calls.admission._runs.runs, "most", 2))
    http = client(sidecar)

    codes = [ask(http, f"run-{n}").status_code for n in range(9)]

    assert codes[:4] == [200] * 4
    assert codes[-1] == 402
    bench.settled(codes.count(200))
    assert set(usage_by_run(bench)) == {"run-0", "run-1", "(other)"}
    assert sidecar.metric("calls_in_other_run_total") == 7


def test_a_call_that_fails_costs_its_run_nothing(make_bench, client):
    """What was reserved for a call that the provider turned down is there for the next."""
    bench = make_bench(limits=LIMITS)
    http = client(bench.sidecar())

    assert [ask(http, "one", **{"x-sim-fault": "500"}).status_code for _ in range(10)] == [500] * 10
    assert ask(http, "one").status_code == 200


def test_a_call_without_a_price_reserves_nothing_in_its_run(make_bench, client):
    """Nothing of it is settled in money: whatever tiers callers make up, no reservation is left behind."""
    bench = make_bench(limits=LIMITS, enforcement="Report", unpricedModels={"action": "Allow"})
    sidecar = bench.sidecar()
    http = client(sidecar)
    for tier in ("made-up", "none"):
        assert http.post(URL, json=CHAT | {"service_tier": tier}, headers={"x-wfb-run": "one"}).status_code == 200
    bench.settled(2)
    assert bench.books().calls(outcome="unpriced") == 2
    assert sidecar.call(lambda: sidecar.parts.calls.admission._runs.runs.in_flight) == 0


def test_a_budget_that_reports_changes_nothing_of_how_a_run_is_held(make_bench, client):
    """Its Strict does not keep the cap of a call from being lowered where the budget in force says Clamp."""
    bench = make_bench()
    reporting = budget("watching", "10.00", enforcement="Report", outputBound="Strict")
    bench.put_budgets(budget("tight", "10.00", limits=run_limit()), reporting)
    http = client(bench.sidecar())
    answer = http.post(URL, json=CHAT | {"max_tokens": 4000}, headers={"x-wfb-run": "one", "x-sim-output-tokens": "50"})
    assert answer.status_code == 200, answer.text


def run_limit(**more):
    """A Day with plenty, and a limit for Run with more fields."""
    return [{"window": "Day", "usd": "10.00", "ladder": []}, {"window": "Run", "usd": "0.02", **more}]


def test_a_named_run_is_downgraded_on_its_own_ladder(make_bench, client):
    """The run that has spent its part is asked of the cheaper model and told so; another run keeps its model."""
    models = [{"from": "gpt-4o", "to": "gpt-4o-mini"}]
    bench = make_bench(limits=run_limit(ladder=[{"atPercent": 5, "action": "Downgrade", "models": models}]))
    http = client(bench.sidecar())
    first, later, other = (ask(http, run) for run in ("one", "one", "two"))

    assert "x-wfb-model-served" not in first.headers
    assert later.headers["x-wfb-model-served"] == "gpt-4o-mini"
    assert (later.headers["x-wfb-budget-window"], later.headers["x-wfb-budget-stage"]) == ("Run", "Downgrade")
    assert "x-wfb-model-served" not in other.headers


def test_a_named_run_is_slowed_down_on_its_own_ladder(make_bench, client):
    """Past its step the run keeps to its rate: what is not due in time is told when, and another run is not held back."""
    ladder = [{"atPercent": 1, "action": "Slow", "usdPerHour": "0.036"}]  # a thousandth of a cent a second
    bench = make_bench(limits=run_limit(ladder=ladder), maxDelaySeconds=1)
    http = client(bench.sidecar())
    answers = [ask(http, "one") for _ in range(3)]

    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert answers[-1].headers["x-wfb-reason"] == "Paced"
    assert 2 <= int(answers[-1].headers["retry-after"]) <= 59
    assert "run one has $" in answers[-1].text
    assert ask(http, "two").status_code == 200


def test_a_named_run_has_a_trickle_past_its_limit(make_bench, client):
    """Spent, it goes on as slowly as the budget agrees to, where Refuse would have stopped it for good."""
    limits = [{"window": "Day", "usd": "10.00"}, {"window": "Run", "usd": "0.0025"}]
    throttle = {"action": "Throttle", "usdPerHour": "3.60"}  # a tenth of a cent a second
    bench = make_bench(limits=limits, onExhausted=throttle, maxDelaySeconds=20)
    http = client(bench.sidecar())
    assert [ask(http, "one", timeout=30.0).status_code for _ in range(4)] == [200] * 4

    bench.settled(4)
    assert bench.bill() > 2_500_000


def test_a_named_run_whose_trickle_comes_too_late_is_told_when(make_bench, client):
    """429 with the reason and the seconds, as a window's trickle tells it."""
    limits = [{"window": "Day", "usd": "10.00"}, {"window": "Run", "usd": "0.0015"}]
    throttle = {"action": "Throttle", "usdPerHour": "0.036"}
    bench = make_bench(limits=limits, onExhausted=throttle, maxDelaySeconds=1)
    http = client(bench.sidecar())
    answers = [ask(http, "one") for _ in range(3)]

    assert answers[0].status_code == 200
    assert (answers[-1].status_code, answers[-1].headers["x-wfb-reason"]) == (429, "Throttled")
