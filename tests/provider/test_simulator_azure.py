"""Azure as OpenAI's Azure client sees it: deployments in the path, and the newer paths with the deployment in the body."""

import asyncio
from decimal import Decimal

import openai
import pytest

from simulator.usage import Usage

SAID = {
    "x-sim-input-tokens": "1000",
    "x-sim-cached-tokens": "300",
    "x-sim-output-tokens": "50",
    "x-sim-reasoning-tokens": "20",
}
TOLD = Usage(1000, 300, 0, 0, 50, 20)
HOST = "mine.openai.azure.com"
SERVED = {"house-mini": "gpt-4o-mini-2024-07-18", "house-thinker": "gpt-5-mini-2025-08-07"}


@pytest.fixture(params=["deployments", "v1"])
def client(request, urls):
    """The SDK's client in either style."""
    options = {"api_key": "fake", "max_retries": 0, "default_headers": SAID}
    if request.param == "v1":
        sdk = openai.OpenAI(base_url=urls.at(f"{HOST}/openai/v1/"), **options)
    else:
        sdk = openai.AzureOpenAI(azure_endpoint=urls.at(HOST), api_version="2025-04-01-preview", **options)
    with sdk:
        yield sdk


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_chat(provider, client, stream):
    """The deployment is what is asked for, the answer names the model."""
    said = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    messages = [{"role": "user", "content": "How?"}]

    def run():
        """The call in a thread of its own."""
        got = client.chat.completions.create(model="house-mini", messages=messages, **said)
        return list(got) if stream else [got]

    got = await asyncio.to_thread(run)
    used = got[-1].usage
    (line,) = provider.bill.lines
    assert line.usage == TOLD
    assert (used.prompt_tokens, used.prompt_tokens_details.cached_tokens, used.completion_tokens) == (1000, 300, 50)
    assert (line.provider, line.model) == ("azure", "house-mini")
    assert got[-1].model == line.served_model == SERVED["house-mini"]
    assert line.usd == Decimal("0.0001575")  # 700 at 0.15, 300 at 0.075, 50 at 0.60 dollars a million
    if stream:
        assert (got[0].choices, got[0].model) == ([], "")  # the verdict on the prompt comes first


async def test_responses(provider, client):
    """Responses name the deployment in the body in both styles."""
    got = await asyncio.to_thread(client.responses.create, model="house-thinker", input="How?")
    assert (got.usage.input_tokens, got.usage.output_tokens) == (1000, 50)
    assert got.usage.output_tokens_details.reasoning_tokens == 20
    assert (provider.bill.lines[0].model, got.model) == ("house-thinker", SERVED["house-thinker"])


async def test_embeddings(provider, client):
    """Embeddings of a deployment."""
    got = await asyncio.to_thread(client.embeddings.create, model="house-embeddings", input="hello")
    assert (got.usage.prompt_tokens, got.data[0].embedding) == (1000, [0.25, -0.5, 0.75])
    assert provider.bill.lines[0].usd == Decimal("0.00002")


async def test_a_deployment_nobody_has(provider, client):
    """An unknown deployment is not found."""
    with pytest.raises(openai.NotFoundError, match="no-such"):
        await asyncio.to_thread(client.embeddings.create, model="no-such", input="hello")
    assert provider.bill.lines == []
