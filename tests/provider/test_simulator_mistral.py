"""Mistral as its own SDK sees it: chat, fill-in-the-middle, embeddings."""

import asyncio
from decimal import Decimal

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import SDKError

from simulator.usage import Usage

SAID = {"x-sim-input-tokens": "1000", "x-sim-cached-tokens": "300", "x-sim-output-tokens": "50"}
MESSAGES = [{"role": "user", "content": "How much is left?"}]


@pytest.fixture
def client(urls):
    """The SDK's client."""
    with Mistral(api_key="fake", server_url=urls.at("api.mistral.ai")) as sdk:
        yield sdk


def told(used):
    """The usage in the bill's words; the SDK keeps details it does not name."""
    assert used.total_tokens == used.prompt_tokens + used.completion_tokens
    cached = used.model_extra["prompt_tokens_details"]["cached_tokens"]
    return Usage(used.prompt_tokens, cached, 0, 0, used.completion_tokens, 0)


async def test_chat(provider, client):
    """The alias is answered by its dated model."""
    got = await asyncio.to_thread(
        client.chat.complete, model="mistral-small-latest", messages=MESSAGES, http_headers=SAID
    )
    (line,) = provider.bill.lines
    assert told(got.usage) == Usage(1000, 300, 0, 0, 50, 0) == line.usage
    assert len(got.choices[0].message.content) == 50 * 4
    assert got.model == "mistral-small-2603" == line.served_model
    assert line.usd == Decimal("0.0001395")  # 700 at 0.15, 300 at 0.015, 50 at 0.60 dollars a million


async def test_chat_streams_its_usage_at_the_end(provider, client):
    """The chunk that ends the text has the usage, unasked."""

    def run():
        """The stream in a thread of its own."""
        with client.chat.stream(model="mistral-small-latest", messages=MESSAGES, http_headers=SAID) as events:
            return [event.data for event in events]

    got = await asyncio.to_thread(run)
    assert [bool(chunk.usage) for chunk in got] == [False] * (len(got) - 1) + [True]
    assert told(got[-1].usage) == provider.bill.lines[0].usage
    assert sum(len(chunk.choices[0].delta.content or "") for chunk in got) == 50 * 4


async def test_fill_in_the_middle(provider, client):
    """Prompt and suffix are the input, and the answer is a chat's."""
    got = await asyncio.to_thread(client.fim.complete, model="codestral-latest", prompt="def f(", suffix="return x")
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (4, 32)
    assert provider.bill.lines[0].usage == Usage(4, 0, 0, 0, 32, 0)


async def test_embeddings(provider, client):
    """Embeddings cost their input."""
    got = await asyncio.to_thread(
        client.embeddings.create, model="mistral-embed", inputs=["one", "two"], http_headers=SAID
    )
    assert (got.usage.prompt_tokens, got.usage.total_tokens, len(got.data)) == (1000, 1000, 2)
    assert provider.bill.lines[0].usd == Decimal("0.0001")


async def test_errors(provider, client):
    """The SDK raises its error with the status."""
    with pytest.raises(SDKError) as raised:
        await asyncio.to_thread(
            client.chat.complete, model="mistral-small-latest", messages=MESSAGES, http_headers={"x-sim-fault": "429"}
        )
    assert raised.value.status_code == 429
    assert provider.bill.lines == []
