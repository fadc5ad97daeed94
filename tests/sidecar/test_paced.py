"""Slow and Throttle through real sidecars and a real ledger: the wait, the answer after it, and a place given up."""

import threading

import httpx2
import pytest

from harness.until import until

URL = "https://api.openai.com/v1/chat/completions"
CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello there"}], "max_tokens": 100}
SLOW = [{"atPercent": 1, "action": "Slow", "usdPerHour": "0.36"}]  # a tenth of a cent in ten seconds
THROTTLE = {"action": "Throttle", "usdPerHour": "0.36"}


def ask(http, seconds=20.0):
    return http.post(URL, json=CHAT, headers={"x-sim-output-tokens": "100"}, timeout=seconds)


def window(bench):
    (line,) = bench.ask("GET", "/v1/summary")["budgets"]
    return line


def slowed(make_bench, client, **spec):
    """A bench in Slow, with a debt that takes seconds to pay."""
    bench = make_bench(limits=[{"window": "Total", "usd": "0.05"}], ladder=SLOW, **spec)
    sidecar = bench.sidecar()
    http = client(sidecar)
    assert ask(http).status_code == 200
    bench.settled(1)
    return bench, sidecar, http


def test_slow_at_a_rate_answers_with_the_time_of_the_turn(make_bench, client):
    """A call that is not due within maxDelaySeconds is told 429 and when to come again, and the summary says why."""
    bench, _, http = slowed(make_bench, client, maxDelaySeconds=1)
    codes = [ask(http).status_code for _ in range(2)]
    answer = ask(http)

    assert 429 in (*codes, answer.status_code)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.headers["x-wfb-reason"] == "Paced"
    assert "stage Slow" in answer.text
    assert (window(bench)["pacing"], window(bench)["paced_usd_per_hour"]) == ("Slow", "0.36")


def exhausted(make_bench, client, **spec):
    """A bench whose limit is spent, with a trickle."""
    bench = make_bench(limits=[{"window": "Total", "usd": "0.0021"}], **{"onExhausted": THROTTLE} | spec)
    sidecar = bench.sidecar()
    http = client(sidecar)
    assert ask(http).status_code == 200
    bench.settled(1)
    return bench, sidecar, http


def test_a_trickle_lets_calls_through_beyond_the_limit_and_never_more(make_bench, client):
    """With patience every call is served; what is spent beyond the limit is shown as agreed, and within the trickle."""
    bench, _, http = exhausted(make_bench, client, maxDelaySeconds=60)
    answers = [ask(http, 70.0).status_code for _ in range(3)]

    assert answers == [200] * 3
    bench.settled(4)
    line = window(bench)
    assert (line["pacing"], line["paced_usd_per_hour"]) == ("Throttle", "0.36")
    assert float(line["agreed_usd"]) == pytest.approx(float(line["spent_usd"]) - 0.0021)
    assert float(line["agreed_usd"]) > 0
    assert float(line["overspent_usd"]) == 0
    since = bench.loop.call(
        lambda: next(w for w in bench.service.memory.grants.windows.values()).exhausted_at  # what the trickle runs from
    )
    assert float(line["agreed_usd"]) <= 0.36 * (bench.service.clock.now() - since) / 3600
    assert bench.bill() / 1e9 == pytest.approx(float(line["spent_usd"]))


def test_a_call_that_the_trickle_will_not_pay_in_time_is_told_when_it_will(make_bench, client):
    """429 at once, with the reason Throttled and the seconds until enough has accrued."""
    slower = THROTTLE | {"usdPerHour": "0.036"}  # a call in a hundred seconds
    _, _, http = exhausted(make_bench, client, maxDelaySeconds=1, onExhausted=slower)
    answer = [ask(http) for _ in range(3)][-1]

    assert answer.status_code == 429
    assert answer.headers["x-wfb-reason"] == "Throttled"
    assert 2 <= int(answer.headers["retry-after"]) <= 60
    assert "onExhausted.usdPerHour" in answer.text


def test_a_client_that_leaves_frees_its_place_in_the_queue(make_bench, client):
    """Whoever hangs up while it waits is gone from the ledger's queue long before its time is over."""
    bench, sidecar, http = slowed(make_bench, client, maxDelaySeconds=600)
    until(lambda: window(bench)["pacing"] == "Slow", "the pace")
    leaving = client(sidecar)

    def hang_up():
        with pytest.raises(httpx2.ReadTimeout):
            for _ in range(10):
                ask(leaving, 2.0)

    thread = threading.Thread(target=hang_up)
    thread.start()
    until(lambda: window(bench)["queued"] == 1, "a call in the queue", 10.0)
    thread.join()

    until(lambda: window(bench)["queued"] == 0, "its place to be free", 2.5)
    assert http.is_closed is False
