"""Gemini and Vertex as google-genai and anthropic's Vertex client see them: usage they read is the usage billed."""

import asyncio
import json
from decimal import Decimal

import aiohttp
import pytest
from anthropic import AnthropicVertex
from google import genai
from google.genai import errors, types

from simulator.usage import Usage

# google-genai subclasses aiohttp's ClientSession, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

SAID = {
    "x-sim-input-tokens": "1000",
    "x-sim-cached-tokens": "300",
    "x-sim-cache-write-tokens": "200",
    "x-sim-output-tokens": "50",
    "x-sim-reasoning-tokens": "20",
}
TOLD = Usage(1000, 300, 0, 0, 50, 20)


@pytest.fixture(params=["gemini", "vertex"])
def client(request, urls):
    """The SDK's client: of the Gemini API, of Vertex."""
    return _client(request.param, urls)


def _client(kind, urls, **headers):
    options = {"headers": {**SAID, **headers}}
    if kind == "gemini":
        options["base_url"] = urls.at("generativelanguage.googleapis.com")
        return genai.Client(api_key="fake", http_options=types.HttpOptions(**options))
    options["base_url"] = urls.at("us-central1-aiplatform.googleapis.com")
    return genai.Client(vertexai=True, api_key="fake", http_options=types.HttpOptions(**options))


def told(used):
    """The SDK's usage in the bill's words: thoughts beside the candidates, the total as checksum."""
    thought, shown = used.thoughts_token_count or 0, used.candidates_token_count or 0
    assert used.total_token_count == used.prompt_token_count + shown + thought
    return Usage(used.prompt_token_count, used.cached_content_token_count or 0, 0, 0, shown + thought, thought)


async def test_unary(provider, client):
    """Text, usage, served model and the bill agree."""
    got = await asyncio.to_thread(client.models.generate_content, model="gemini-2.5-flash", contents="How much?")
    (line,) = provider.bill.lines
    assert told(got.usage_metadata) == TOLD == line.usage
    assert len(got.text) == 30 * 4
    assert got.model_version == line.served_model == line.model == "gemini-2.5-flash"
    assert line.usd == Decimal("0.000344")  # 700 at 0.30, 300 at 0.03, 50 at 2.50 dollars a million
    assert line.provider == "google"


async def test_stream(provider, client):
    """Every chunk tells running totals, and the last has all."""

    def run():
        """The stream in a thread of its own."""
        return list(client.models.generate_content_stream(model="gemini-2.5-flash", contents="How much?"))

    got = await asyncio.to_thread(run)
    shown = [chunk.usage_metadata.candidates_token_count or 0 for chunk in got]
    assert shown == sorted(shown) == [8, 16, 24, 30, 30]
    assert told(got[-1].usage_metadata) == TOLD == provider.bill.lines[0].usage
    assert sum(len(chunk.text or "") for chunk in got) == 30 * 4


async def test_async_stream(provider, client):
    """The asynchronous client reads the same."""
    stream = await client.aio.models.generate_content_stream(model="gemini-2.5-flash", contents="How much?")
    got = [chunk async for chunk in stream]
    assert told(got[-1].usage_metadata) == TOLD == provider.bill.lines[0].usage
    await client.aio.aclose()


async def test_an_array_streams_the_same_objects(provider, urls):
    """Without alt=sse the same chunks come as one JSON array, in pieces."""
    url = urls.at("generativelanguage.googleapis.com") + "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    body = {"contents": [{"parts": [{"text": "hello"}]}]}
    async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=SAID) as answer:
        assert answer.content_type == "application/json"
        chunks = json.loads(await answer.read())
    used = chunks[-1]["usageMetadata"]
    assert (used["promptTokenCount"], used["candidatesTokenCount"], used["thoughtsTokenCount"]) == (1000, 30, 20)
    assert "".join(chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks).startswith("the sum")
    assert provider.bill.lines[0].usage == TOLD


async def test_a_cap_stops_thoughts_too(provider, urls):
    """The cap holds for candidates and thoughts together."""
    client = _client("gemini", urls)
    config = types.GenerateContentConfig(max_output_tokens=25)
    got = await client.aio.models.generate_content(model="gemini-2.5-pro", contents="How?", config=config)
    assert (told(got.usage_metadata).output, got.candidates[0].finish_reason) == (25, "MAX_TOKENS")
    assert provider.bill.lines[0].usage.output == 25
    await client.aio.aclose()


async def test_beyond_the_cliff_the_whole_call_costs_more(provider, urls):
    """More than 200k of input re-prices all of a Pro call."""
    client = _client("gemini", urls, **{"x-sim-input-tokens": "200001", "x-sim-cached-tokens": "1"})
    await client.aio.models.generate_content(model="gemini-2.5-pro", contents="How?")
    assert provider.bill.lines[0].usd == Decimal("0.50075025")  # 200,000 at 2.50, 1 at 0.25, 50 at 15
    await client.aio.aclose()


@pytest.mark.parametrize("kind", ["gemini", "vertex"])
async def test_embeddings(provider, urls, kind):
    """Embeddings cost their input; Vertex tells each text's tokens, which add up to it."""
    client = _client(kind, urls)
    got = await client.aio.models.embed_content(model="gemini-embedding-001", contents=["one", "two", "three"])
    assert len(got.embeddings) == 3
    if kind == "vertex":
        assert sum(int(vector.statistics.token_count) for vector in got.embeddings) == 1000
    (line,) = provider.bill.lines
    assert (line.usage, line.usd) == (Usage(1000, 0, 0, 0, 0, 0), Decimal("0.00015"))
    await client.aio.aclose()


async def test_counting_and_lists_are_free(provider, client):
    """Token counts and lists of models leave no line in the bill."""
    assert (await client.aio.models.count_tokens(model="gemini-2.5-flash", contents="12345678")).total_tokens == 2
    assert provider.bill.lines == []
    await client.aio.aclose()


@pytest.mark.parametrize(
    ("fault", "kind"), [("400", "INVALID_ARGUMENT"), ("429", "RESOURCE_EXHAUSTED"), ("503", "UNAVAILABLE")]
)
async def test_errors_are_googles(provider, urls, fault, kind):
    """The SDK raises its error with Google's status word."""
    client = _client("gemini", urls, **{"x-sim-fault": fault})
    with pytest.raises(errors.APIError) as raised:
        await client.aio.models.generate_content(model="gemini-2.5-flash", contents="How?")
    assert (raised.value.code, raised.value.status) == (int(fault), kind)
    assert provider.bill.lines == []
    await client.aio.aclose()


async def test_a_failure_inside_a_stream_raises(provider, urls):
    """An error object in the middle of a 200 reaches the SDK; what was made is billed."""
    client = _client("gemini", urls, **{"x-sim-fault": "failed"})
    provider.behave({"bill-cut": "made"})
    with pytest.raises(errors.APIError, match="failed to go on"):
        async for _ in await client.aio.models.generate_content_stream(model="gemini-2.5-flash", contents="How?"):
            pass
    assert (provider.bill.lines[0].usage.output, provider.bill.lines[0].cut) == (20 + 16, True)
    await client.aio.aclose()


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_claude_on_vertex(provider, urls, stream):
    """Anthropic's Vertex client names the model in the path, and reads Anthropic's usage."""
    url = urls.at("us-east5-aiplatform.googleapis.com") + "/v1"
    sdk = AnthropicVertex(region="us-east5", project_id="p", access_token="fake", base_url=url, default_headers=SAID)
    said = {"max_tokens": 100, "messages": [{"role": "user", "content": "How?"}], "model": "claude-haiku-4-5@20251001"}

    def run():
        """The call in a thread of its own."""
        with sdk:
            if not stream:
                return sdk.messages.create(**said)
            with sdk.messages.stream(**said) as events:
                return events.get_final_message()

    used = (await asyncio.to_thread(run)).usage
    (line,) = provider.bill.lines
    assert line.usage == Usage(1000, 300, 200, 0, 50, 20)
    assert (used.input_tokens, used.cache_read_input_tokens, used.cache_creation_input_tokens) == (500, 300, 200)
    assert used.output_tokens == 50
    assert (line.provider, line.model, line.served_model) == (
        "google",
        "claude-haiku-4-5@20251001",
        "claude-haiku-4-5-20251001",
    )


async def test_live(provider, urls):
    """A turn over the Live socket tells its usage with the end of the turn; the SDK's types read it.

    The SDK itself connects to Live over TLS alone, so the socket here is aiohttp's.
    """
    host = urls.at("generativelanguage.googleapis.com")
    url = f"{host}/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=fake"
    got = []
    async with aiohttp.ClientSession() as session, session.ws_connect(url, headers=SAID) as socket:
        await socket.send_json({"setup": {"model": "models/gemini-live-2.5-flash-preview"}})
        await socket.send_json({"clientContent": {"turns": [{"parts": [{"text": "How?"}]}], "turnComplete": True}})
        async for message in socket:
            got.append(types.LiveServerMessage.model_validate_json(message.data))
            if got[-1].usage_metadata:
                break
    used = got[-1].usage_metadata
    assert (used.prompt_token_count, used.response_token_count, used.thoughts_token_count) == (1000, 30, 20)
    assert (used.total_token_count, got[-1].server_content.turn_complete) == (1050, True)
    await provider.bill.idle()
    assert provider.bill.lines[0].usage == Usage(1000, 0, 0, 0, 50, 20)
