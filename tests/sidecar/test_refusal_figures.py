"""The figures in a refusal: what is left of the limit that applies now, whatever was last heard of an earlier one."""

import pytest

from harness.until import until
from wfb_core.wire import decode_dispatch

URL = "https://api.openai.com/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello there"}]
DEAR = {"model": "gpt-4", "messages": HELLO, "max_tokens": 8_000, "n": 128}
"""Up to $61: more than four minutes of the first call's holds, which may lie at hand."""


def test_a_limit_cut_behind_the_wallet_s_back(make_bench, client):
    """A lower limit that the ledger told, and then fell silent: the refusal counts by it, and the books still take it."""
    bench = make_bench(usd="1000.00", outputBound="Strict")
    sidecar = bench.sidecar()
    http = client(sidecar)
    assert http.post(URL, json={"model": "gpt-4o", "messages": HELLO}).status_code == 200
    spent = bench.settled(1).spent
    bench.put_budget("0.50", outputBound="Strict", waitSeconds=1)
    bench.ledger_away()
    refused = http.post(URL, json=DEAR)
    bench.ledger_back()
    told = refused.json()["error"]["budget"]
    assert refused.status_code == 429
    assert (told["limit"], float(told["spent"])) == ("0.50", spent / 1e9)
    assert http.post(URL, json={"model": "gpt-4o", "messages": HELLO}).status_code == 200
    assert bench.settled(2).refused() == 1
    assert [d["limit_usd"] for d in bench.decisions()] == ["0.50"]


def test_refused_calls_are_answered_from_memory(make_bench, client):
    """Where money has run out, a storm of calls asks the ledger for nothing more; each one is refused and booked."""
    bench = make_bench(usd="0.000001", outputBound="Strict", waitSeconds=1)
    http = client(bench.sidecar())
    body = {"model": "gpt-4o", "messages": HELLO, "max_tokens": 500}
    first = http.post(URL, json=body)
    assert (first.headers["x-wfb-window"], first.headers["x-wfb-limit-usd"]) == ("Total", "0.000001")
    until(lambda: bench.books().refused() == 1, "the first refusal in the books")
    asked = len(_needs(bench))
    storm = [http.post(URL, json=body) for _ in range(40)]
    until(lambda: bench.books().refused() == 41, "every refusal in the books")
    assert asked >= 1
    assert {answer.status_code for answer in (first, *storm)} == {402}
    assert {answer.json()["error"]["budget"]["limit"] for answer in storm} == {"0.000001"}
    assert len(_needs(bench)) == asked
    assert (len(bench.decisions()), bench.seen()) == (41, [])


def test_a_budget_may_refuse_with_429_and_still_be_asked_once(make_bench, client):
    """refusalStatus: 429 changes the status alone: nothing invites an SDK to come again."""
    bench = make_bench(usd="0.000001", outputBound="Strict", refusalStatus=429)
    refused = client(bench.sidecar()).post(URL, json={"model": "gpt-4o", "messages": HELLO, "max_tokens": 500})
    assert refused.status_code == 429
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    assert refused.json()["error"]["budget"]["reason"] == "BudgetExhausted"


GEMINI = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:generateContent"


@pytest.mark.parametrize(
    ("models", "suggested"),
    [
        ({}, "gemini-3.8-flash"),
        ({"denied": ["gemini-3.8-flash"]}, "gemini-2.5-flash"),
        ({"allowed": ["gemini-2.5-pro"]}, None),
    ],
)
def test_a_suggestion_is_a_model_that_would_be_let_through(make_bench, client, models, suggested):
    """The dearest of the provider's own that the money left pays and the budget allows; none where there is none."""
    bench = make_bench(usd="0.0015", models=models)
    body = {"contents": [{"role": "user", "parts": [{"text": "hello there"}]}]}
    refused = client(bench.sidecar()).post(GEMINI, json=body, headers={"x-goog-api-key": "test"})
    assert refused.status_code == 402
    assert refused.json()["error"]["budget"].get("suggestedModel") == suggested


def _needs(bench):
    """Everything that sidecars asked the ledger for."""
    return [need for body in list(bench.dispatches) for need in decode_dispatch(body).report.needs]
