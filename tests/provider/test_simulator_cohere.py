"""Cohere as its own SDK sees it: v2 chat, embed, rerank; billed units beside tokens."""

import asyncio
from decimal import Decimal

import cohere
import pytest
from cohere.core.api_error import ApiError

from simulator.cohere import TEMPLATE_TOKENS
from simulator.usage import Usage

SAID = {"additional_headers": {"x-sim-input-tokens": "1000", "x-sim-output-tokens": "50"}}
ASKED = {
    "model": "command-a-03-2025",
    "messages": [{"role": "user", "content": "How much is left?"}],
    "request_options": SAID,
}


@pytest.fixture
def client(urls):
    """The SDK's client."""
    return cohere.ClientV2(api_key="fake", base_url=urls.at("api.cohere.com"))


async def test_chat(provider, client):
    """Billed units are billed; tokens have the template's as well."""
    got = await asyncio.to_thread(client.chat, **ASKED)
    (line,) = provider.bill.lines
    assert (got.usage.billed_units.input_tokens, got.usage.billed_units.output_tokens) == (1000, 50)
    assert got.usage.tokens.input_tokens == 1000 + TEMPLATE_TOKENS
    assert line.usage == Usage(1000, 0, 0, 0, 50, 0)
    assert line.usd == Decimal("0.003")  # 1000 at 2.50, 50 at 10 dollars a million
    assert len(got.message.content[0].text) == 50 * 4


async def test_chat_streams_its_usage_with_the_end(provider, client):
    """The event message-end has the usage."""
    got = await asyncio.to_thread(lambda: list(client.chat_stream(**ASKED)))
    assert [event.type for event in got][-2:] == ["content-end", "message-end"]
    units = got[-1].delta.usage.billed_units
    assert (units.input_tokens, units.output_tokens) == (1000, 50)
    assert provider.bill.lines[0].usage == Usage(1000, 0, 0, 0, 50, 0)
    assert sum(len(event.delta.message.content.text) for event in got if event.type == "content-delta") == 50 * 4


async def test_a_cap(provider, client):
    """The cap is a hard stop, and the answer says so."""
    got = await asyncio.to_thread(client.chat, **ASKED, max_tokens=7)
    assert (got.usage.billed_units.output_tokens, got.finish_reason) == (7, "MAX_TOKENS")
    assert provider.bill.lines[0].usage.output == 7


async def test_embed(provider, client):
    """Embeddings cost their input."""
    got = await asyncio.to_thread(
        client.embed,
        model="embed-v4.0",
        input_type="search_query",
        texts=["one", "two"],
        embedding_types=["float"],
        request_options=SAID,
    )
    assert got.meta.billed_units.input_tokens == 1000
    assert len(got.embeddings.float_) == 2
    assert provider.bill.lines[0].usd == Decimal("0.00012")


@pytest.mark.parametrize(("documents", "searches", "usd"), [(1, 1, "0.002"), (100, 1, "0.002"), (101, 2, "0.004")])
async def test_rerank(provider, client, documents, searches, usd):
    """Reranking costs search units, of a hundred documents each, and no tokens."""
    got = await asyncio.to_thread(client.rerank, model="rerank-v3.5", query="q", documents=["d"] * documents)
    assert got.meta.billed_units.search_units == searches
    (line,) = provider.bill.lines
    assert (line.units, line.usd) == ({"searches": searches}, Decimal(usd))
    assert line.as_json()["units"] == {"searches": searches}


async def test_errors(provider, client):
    """The SDK raises its error with Cohere's body."""
    options = {"additional_headers": {"x-sim-fault": "400"}, "max_retries": 0}
    with pytest.raises(ApiError) as raised:
        await asyncio.to_thread(client.chat, **{**ASKED, "request_options": options})
    assert raised.value.status_code == 400
    assert provider.bill.lines == []
