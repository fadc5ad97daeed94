"""The figures in a refusal: what is left of the limit that applies now, whatever was last heard of an earlier one."""

URL = "https://api.openai.com/v1/chat/completions"
HELLO = [{"role": "user", "content": "hello there"}]
DEAR = {"model": "gpt-4o", "messages": HELLO, "max_tokens": 16_000, "n": 20}
"""Up to $3.20: more than lies at hand."""


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
