"""A contract's price is what is charged, and the list's is written down beside it, with where each came from."""

import json

import pytest

from wfb_core.money import parse_usd
from wfb_operator.prices.compile import compile_snapshot
from wfb_operator.prices.overlay import load_overlay

CHAT = {"messages": [{"role": "user", "content": "hello there"}], "max_tokens": 200, "model": "gpt-4o-mini"}
TOLD = {"x-sim-input-tokens": "1000", "x-sim-output-tokens": "500", "authorization": "Bearer fake"}
CONTRACT = 'prices:\n  - {provider: openai, multiplier: "0.80"}\n'


def rows(bench):
    """The usage, with the version of its prices."""
    return bench.ask("GET", "/v1/usage?by=provider,model,prices,outcome")["usage"]


@pytest.fixture
def contract(tmp_path):
    """A snapshot in which a contract takes a fifth off everything of one provider."""
    (tmp_path / "contract.yaml").write_text(CONTRACT)
    return compile_snapshot("now", None, overlay=load_overlay(tmp_path / "contract.yaml"))


def test_both_prices_are_written_down(make_bench, client, contract):
    """The ledger holds the budget to the contract's price, and keeps the list's; the bill, by the list, agrees with it."""
    bench = make_bench(usd="10.00")
    bench.ask("PUT", "/v1/prices", data=contract.data)
    sidecar = bench.sidecar()
    assert (
        client(sidecar).post("https://api.openai.com/v1/chat/completions", json=CHAT, headers=TOLD).status_code == 200
    )
    books = bench.settled(1)
    (row,) = rows(bench)
    assert parse_usd(row["list_usd"]) == bench.bill() > 0
    assert parse_usd(row["usd"]) * 10 == parse_usd(row["list_usd"]) * 8
    assert books.spent == parse_usd(row["usd"])


def test_a_row_leads_to_the_source_of_its_price(make_bench, client, contract):
    """A row names its snapshot, the ledger keeps every snapshot, and a snapshot says whose prices it holds."""
    bench = make_bench(usd="10.00")
    sha256 = bench.ask("PUT", "/v1/prices", data=contract.data)["prices"]
    sidecar = bench.sidecar()
    client(sidecar).post("https://api.openai.com/v1/chat/completions", json=CHAT, headers=TOLD)
    bench.settled(1)
    (row,) = rows(bench)
    assert row["prices"] == sha256[:12]
    source = json.loads(contract.data.partition(b"\n")[0])["source"]
    assert source.startswith("genai-prices 0.2")
    assert "contract.yaml" in source


def test_a_cost_that_the_provider_states_is_marked_so(make_bench, client):
    """Where the provider said what a call cost there is no other price: both amounts are its, and so is the source."""
    bench = make_bench(usd="10.00")
    sidecar = bench.sidecar()
    said = {**CHAT, "model": "openai/gpt-4o-mini"}
    client(sidecar).post("https://openrouter.ai/api/v1/chat/completions", json=said, headers=TOLD)
    bench.settled(1)
    (row,) = rows(bench)
    assert (row["prices"], row["usd"]) == ("provider", row["list_usd"])


def test_a_price_that_a_budget_states_is_marked_so(make_bench, client):
    """A model that nobody prices is charged as the budget says, and the row says that it was the budget."""
    price = {"action": "PriceAs", "usdPerMillionInput": "5", "usdPerMillionOutput": "25"}
    bench = make_bench(usd="10.00", unpricedModels=price)
    sidecar = bench.sidecar()
    client(sidecar).post(
        "https://api.openai.com/v1/chat/completions", json={**CHAT, "model": "my-own-model"}, headers=TOLD
    )
    bench.settled(1)
    (row,) = rows(bench)
    assert (row["prices"], row["usd"]) == ("budget", row["list_usd"])


def test_a_regional_host_costs_its_uplift(make_bench, client):
    """The same call to a regional host is booked a tenth dearer, as its provider bills it."""
    bench = make_bench(usd="10.00")
    sidecar = bench.sidecar()
    said = {"model": "gpt-5.4-mini", "messages": CHAT["messages"], "max_completion_tokens": 600}
    spent = []
    for host in ("api.openai.com", "eu.api.openai.com"):
        answer = client(sidecar).post(f"https://{host}/v1/chat/completions", json=said, headers=TOLD)
        assert answer.status_code == 200, answer.text
        spent.append(bench.settled(len(spent) + 1).spent)
    plain, regional = spent[0], spent[1] - spent[0]
    assert plain > 0
    assert regional * 10 == plain * 11
