"""Loops through a real sidecar and a real ledger: stopped in time over all pods, said in words, and let go on when over."""

import json
import random
import time

import httpx2
import pytest

from harness.ledger_under_test import batch, dispatch
from harness.loop_rehearsal import KEY
from harness.until import until
from shapes.looping import ping_pong, tool_error
from shapes.turn import Conversation, Words
from wfb_core.loops import sketch_of
from wfb_core.wire import UsageRow, encode_dispatch
from wfb_operator.ledger.identities import token_sha256

CENT = 10_000_000
MEDIAN = 5 * CENT
URL = "https://api.openai.com/v1/chat/completions"
LOOPS = {"action": "Refuse", "costMultiple": 10, "minimumRuns": 5}


def identity(pod, run):
    """One pod of the workflow that the bench's budget is for."""
    return {
        "token_sha256": token_sha256(f"token-{pod}"),
        "role": "sidecar",
        "holder_prefix": f"{pod}/",
        "labels": {"aifinops.dev/workflow": "tested"},
        "run": run,
        "namespace": "test",
    }


def learn(bench, costs):
    """Runs that ended minutes ago, as their pods reported them."""
    minute = int(time.time() // 60) - 10
    for n, cost in enumerate(costs):
        bench.ask("PUT", "/v1/identities", json={"identities": [identity(f"old-{n}", f"old-run-{n}")]})
        row = UsageRow(minute, "openai", "gpt-4o", "", "ok", False, 9, 0, 9, 0, 0, 9, 0, cost, cost)
        body = encode_dispatch(dispatch(1, holder=f"old-{n}/1", batches=[batch(1, row)]))
        bench.ask("POST", "/v1/report", data=body, token=f"token-old-{n}")


@pytest.fixture
def bench(make_bench):
    """A budget with a guard, and six runs to compare with."""
    bench = make_bench(usd="100.00", loops=LOOPS)
    learn(bench, [MEDIAN - CENT, MEDIAN - 1, MEDIAN, MEDIAN, MEDIAN + 1, 9 * MEDIAN])
    return bench


def pod(bench, name, run="r1"):
    """The sidecar of one pod of a run."""
    bench.ask("PUT", "/v1/identities", json={"identities": [identity(name, run)]})
    token = bench.folder / f"token-{name}"
    token.write_text(f"token-{name}")
    return bench.sidecar(name, holder_prefix=f"{name}/", token_file=str(token))


def post(client, body, **headers):
    return client.post(URL, json=body, headers={"authorization": "Bearer sk-x", **headers})


def fresh(n):
    """A conversation that nobody had before, as long as a loop's."""
    rng = random.Random(f"fresh {n}")
    talk = Conversation(rng, Words(rng))
    talk.tool("search", json.dumps({"q": talk.words.text(6)}), talk.words.text(120), said=talk.words.text(20))
    return talk.body()


def looped(client, turns, most=200):
    """Calls until one is refused; returns how many went, and the refusal."""
    for n, turn in enumerate(turns):
        answer = post(client(turn.pod), turn.body, **turn.headers)
        if answer.status_code != 200:
            return n, answer
        assert n < most, "never refused"
    raise AssertionError


def test_a_tool_error_loop_is_stopped_and_said_in_words(bench, client):
    """Within a third of the multiple: 402, once told for each stage, with the figures in the body, the books and metrics."""
    sidecar = pod(bench, "a")
    http = client(sidecar)
    made, refused = looped(lambda _: http, tool_error(random.Random(1)))
    assert 2 * MEDIAN <= bench.bill() < 3.4 * MEDIAN
    assert refused.status_code == 402
    error = refused.json()["error"]
    assert error["budget"]["reason"] == "LoopRefused"
    assert error["budget"]["limit"] == "0.50"
    assert "x the median of 6 runs ($0.05)" in error["message"]
    assert "requests were nearly the same" in error["message"]
    assert error["budget"]["resetsAt"]
    assert refused.headers["x-should-retry"] == "false"
    for _ in range(5):
        assert post(http, fresh(0)).status_code == 402
    bench.settled(made)
    sightings = bench.ask("GET", "/v1/loops")["loops"]
    stages = [seen["stage"] for seen in reversed(sightings)]
    assert stages[-1] == "Refuse"
    assert len(set(stages)) == len(stages)
    assert all("of the last" in seen["message"] for seen in sightings)
    records = [d for d in bench.decisions() if d["kind"] == "refusal"]
    assert {d["reason"] for d in records} == {"LoopRefused"}
    assert len(records) == 6
    text = bench.loop.run(bench.service.metrics.text()).decode()
    assert 'wfb_loops_sightings_total{budget="test/tested",stage="Refuse"} 1.0' in text
    assert sidecar.call(lambda: counted(sidecar, "refused")) == 6


def test_ping_pong_over_two_pods_is_stopped_by_the_run_as_a_whole(bench, client):
    """Two sidecars, one run: each sees half of it, and both are judged by the whole."""
    sidecars = {name: pod(bench, name) for name in ("writer", "reviewer")}
    clients = {name: client(sidecar) for name, sidecar in sidecars.items()}
    _, refused = looped(clients.get, ping_pong(random.Random(2)))
    assert bench.bill() < 10 * MEDIAN
    assert refused.json()["error"]["budget"]["reason"] == "LoopRefused"
    own = [sidecar.call(lambda s=sidecar: s.parts.calls.loops.guard.own) for sidecar in sidecars.values()]
    assert max(own) < 0.8 * bench.bill()


def test_a_run_that_moves_on_after_the_cool_down_goes_on(make_bench, client):
    """Refused, then tried: three requests that are new close the breaker, and the ledger is told."""
    bench = make_bench(usd="100.00", loops=LOOPS | {"cooldown": "2s"})
    learn(bench, [MEDIAN] * 6)
    http = client(pod(bench, "a"))
    looped(lambda _: http, tool_error(random.Random(3)))
    until(lambda: post(http, fresh(1)).status_code == 200, "a call that is let through to try")
    assert [post(http, fresh(n)).status_code for n in range(2, 10)] == [200] * 8
    until(
        lambda: "Recovered" in [s["stage"] for s in bench.ask("GET", "/v1/loops")["loops"]], "the recovery being told"
    )


def test_nothing_is_done_before_enough_runs_were_seen(make_bench, client):
    """Five runs are asked for and four were seen: the same loop goes on."""
    bench = make_bench(usd="100.00", loops=LOOPS)
    learn(bench, [MEDIAN] * 4)
    http = client(pod(bench, "a"))
    turns = tool_error(random.Random(1))
    assert {post(http, next(turns).body).status_code for _ in range(40)} == {200}
    assert bench.ask("GET", "/v1/loops")["loops"] == []


def test_what_was_learned_survives_a_restart_of_the_ledger(bench, client):
    """Another process, the same disk: the median, and what this run has cost."""
    http = client(pod(bench, "a"))
    post(http, fresh(1))
    bench.settled(1)
    before = bench.loop.call(lambda: bench.service.memory.run_costs)
    bench.ledger_away()
    bench.ledger_back()
    after = bench.loop.call(lambda: bench.service.memory.run_costs)
    assert after is not before
    scope = bench.ask("GET", "/v1/scope?after=0", token="token-a")
    assert (scope["loops"]["median"], scope["loops"]["sample"]) == (MEDIAN, 6)
    assert scope["loops"]["own"] == bench.bill()


def test_a_failure_inside_the_guard_refuses(bench, client, monkeypatch):
    """An exception of our own lets no call through: InternalError, counted."""
    sidecar = pod(bench, "a")

    def broken(*_):
        """Fails."""
        raise ZeroDivisionError

    monkeypatch.setattr(sidecar.parts.calls.loops.guard, "judge", broken)
    answer = post(client(sidecar), fresh(1))
    assert answer.status_code == 500
    assert answer.json()["error"]["budget"]["reason"] == "InternalError"
    assert sidecar.metric("internal_errors_total") == 1
    assert bench.bill() == 0


def test_a_failure_of_the_guard_at_settlement_loses_no_money(bench, client, monkeypatch):
    """What a call cost is booked whatever becomes of the guard."""
    sidecar = pod(bench, "a")

    def broken(*_, **__):
        """Fails."""
        raise ZeroDivisionError

    monkeypatch.setattr(sidecar.parts.calls.loops.guard, "settle", broken)
    with bench.balanced():
        assert post(client(sidecar), fresh(1)).status_code == 200
    assert sidecar.metric("internal_errors_total") == 1


def test_nothing_of_a_request_leaves_the_pod(bench, client):
    """No report carries a sketch's mark, nor a word of what was said."""
    sidecar = pod(bench, "a")
    http = client(sidecar)
    looped(lambda _: http, tool_error(random.Random(4)))
    bench.settled()
    key = sidecar.call(lambda: sidecar.parts.calls.loops._key)
    sent = b"".join(bench.loop.call(lambda: list(bench.dispatches))).decode()
    assert key != KEY
    assert not any(str(mark) in sent for mark in sketch_of(fresh(1), key).marks)
    assert "due_date" not in sent


def test_slow_holds_calls_back_and_refuses_none(make_bench, client):
    """Action Slow: the loop goes on, each call waits, and the sidecar counts them."""
    bench = make_bench(usd="100.00", loops=LOOPS | {"action": "Slow"}, maxDelaySeconds=0.05)
    learn(bench, [MEDIAN] * 6)
    sidecar = pod(bench, "a")
    http, turns = client(sidecar), tool_error(random.Random(5))
    assert {post(http, next(turns).body).status_code for _ in range(45)} == {200}
    assert sidecar.call(lambda: counted(sidecar, "slowed")) >= 5
    until(lambda: [s["stage"] for s in bench.ask("GET", "/v1/loops")["loops"]][:1] == ["Slow"], "the stage being told")


def test_a_client_that_leaves_a_slowed_call_leaves_nothing_behind(make_bench, client):
    """Its wait ends, it is not made, and it is no longer expected to cost anything."""
    bench = make_bench(usd="100.00", loops=LOOPS | {"action": "Slow"}, maxDelaySeconds=600)
    learn(bench, [MEDIAN] * 6)
    sidecar = pod(bench, "a")
    http, turns = client(sidecar), tool_error(random.Random(6))
    http.timeout = 8.0
    with pytest.raises(httpx2.ReadTimeout):
        for turn in turns:
            post(http, turn.body)
    made = len(bench.bill_lines())
    until(lambda: sidecar.call(lambda: sidecar.parts.calls.loops.guard._open == 0), "the wait being over")
    bench.settled(made)
    assert len(bench.bill_lines()) == made


def counted(sidecar, what):
    """How many calls the sidecar's guard did something about."""
    return sidecar.parts.metrics.registry.get_sample_value("wfb_loops_calls_total", {"what": what}) or 0
