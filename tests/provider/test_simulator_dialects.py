"""What holds in every dialect alike: lines and counts of Ollama, faults, keys, and who is meant by host or by path."""

import json
from decimal import Decimal

import aiohttp
import pytest

from simulator import Provider, running
from simulator.routes import route, without_host
from simulator.usage import Usage

PARTS = {"contents": [{"parts": [{"text": "hello"}]}]}
MESSAGES = [{"role": "user", "content": "hello"}]
CALLS = {
    "gemini": ("/v1beta/models/gemini-2.5-flash:generateContent", PARTS),
    "gemini events": ("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", PARTS),
    "gemini array": ("/v1beta/models/gemini-2.5-flash:streamGenerateContent", PARTS),
    "converse": ("/model/amazon.nova-lite-v1%3A0/converse", {"messages": MESSAGES}),
    "converse stream": ("/model/amazon.nova-lite-v1%3A0/converse-stream", {"messages": MESSAGES}),
    "invoke": ("/model/amazon.nova-lite-v1%3A0/invoke", {"messages": MESSAGES}),
    "invoke stream": ("/model/amazon.nova-lite-v1%3A0/invoke-with-response-stream", {"messages": MESSAGES}),
    "cohere": ("/v2/chat", {"model": "command-a-03-2025", "messages": MESSAGES}),
    "cohere stream": ("/v2/chat", {"model": "command-a-03-2025", "messages": MESSAGES, "stream": True}),
    "ollama": ("/api/chat", {"model": "llama3.2", "messages": MESSAGES, "stream": False}),
    "ollama stream": ("/api/chat", {"model": "llama3.2", "messages": MESSAGES}),
    "completions": ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "hello", "max_tokens": 99}),
    "groq stream": (
        "/at/api.groq.com/openai/v1/chat/completions",
        {"model": "llama-3.1-8b-instant", "messages": MESSAGES, "stream": True},
    ),
}
STREAMS = [name for name in CALLS if name.split()[-1] in {"stream", "events", "array"}]


@pytest.fixture
async def post(urls):
    """Posts a call, and returns status and body."""
    async with aiohttp.ClientSession(urls.plain) as session:

        async def post(name, **said):
            """One call, behaving as said."""
            path, body = CALLS[name]
            headers = {f"x-sim-{word.replace('_', '-')}": str(value) for word, value in said.items()}
            async with session.post(path, json=body, headers=headers) as answer:
                return answer.status, answer.content_type, await answer.read()

        yield post


@pytest.mark.parametrize("path", ["chat", "generate"])
@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_ollama(provider, urls, path, stream):
    """A line for each piece of text, counts in the last one; it is billed at nothing."""
    said = {"model": "llama3.2", "messages": MESSAGES, "prompt": "hello", "stream": stream}
    headers = {"x-sim-input-tokens": "1000", "x-sim-output-tokens": "50"}
    async with (
        aiohttp.ClientSession(urls.plain) as session,
        session.post(f"/api/{path}", json=said, headers=headers) as answer,
    ):
        assert answer.content_type == ("application/x-ndjson" if stream else "application/json")
        lines = [json.loads(line) for line in (await answer.text()).splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert (lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]) == (1000, 50)
    words = "".join(line["response"] if path == "generate" else line["message"]["content"] for line in lines)
    assert len(words) == 50 * 4
    assert (provider.bill.lines[0].usage, provider.bill.lines[0].usd) == (Usage(1000, 0, 0, 0, 50, 0), Decimal(0))


@pytest.mark.parametrize("name", CALLS)
async def test_usage_withheld_is_billed_and_flagged(provider, post, name):
    """Without usage the body has no count in it, and the bill has the truth."""
    _, _, body = await post(name, fault="no-usage", output_tokens=11, input_tokens=7777)
    assert b"7777" not in body
    (line,) = provider.bill.lines
    assert (line.usage.input, line.usage.output, line.usage_withheld) == (7777, 11, True)


@pytest.mark.parametrize("name", STREAMS)
async def test_a_failure_inside_a_stream(provider, post, name):
    """After half of the text comes an error, in a 200; the call is billed."""
    status, _, body = await post(name, fault="failed")
    assert (status, b"failed to go on" in body) == (200, True)
    assert provider.bill.lines[0].cut


@pytest.mark.parametrize("name", STREAMS)
async def test_a_broken_frame_is_one_more(provider, post, name):
    """A frame that cannot be read stands among the others."""
    _, _, whole = await post(name, fault="repeat-id")
    _, _, broken = await post(name, fault="malformed-frame")
    assert len(broken) > len(whole)
    assert [line.usage.output for line in provider.bill.lines] == [32, 32]


@pytest.mark.parametrize("name", CALLS)
async def test_errors_cost_nothing(provider, post, name):
    """An error has the status asked for, is JSON, and is not billed."""
    status, kind, body = await post(name, fault="429")
    assert (status, kind) == (429, "application/json")
    assert "asked to answer 429" in json.dumps(json.loads(body))
    assert provider.bill.lines == []


@pytest.mark.parametrize("where", ["x-goog-api-key", "api-key", "authorization", "?key="])
async def test_a_key_in_any_of_its_places(where):
    """A required key is found where each provider's SDK puts it."""
    path, body = CALLS["gemini"]
    async with running(Provider(api_key="right")) as urls, aiohttp.ClientSession(urls.plain) as session:
        statuses = []
        for key in ("right", "wrong"):
            headers = {} if where == "?key=" else {where: f"Bearer {key}" if where == "authorization" else key}
            query = {"key": key} if where == "?key=" else {}
            async with session.post(path, json=body, headers=headers, params=query) as answer:
                statuses.append(answer.status)
    assert statuses == [200, 401]


@pytest.mark.parametrize(
    ("host", "path", "provider_id"),
    [
        ("api.openai.com", "/v1/chat/completions", "openai"),
        ("eu.api.openai.com", "/v1/chat/completions", "openai"),
        ("api.mistral.ai", "/v1/chat/completions", "mistral"),
        ("api.deepseek.com", "/chat/completions", "deepseek"),
        ("127.0.0.1", "/v1/chat/completions", "openai"),
        ("127.0.0.1", "/at/api.x.ai/v1/chat/completions", "x-ai"),
        ("127.0.0.1", "/openai/deployments/mine/chat/completions", "azure"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "/model/a%2Fb/converse", "aws"),
        ("us-east5-aiplatform.googleapis.com", "/v1/publishers/google/models/gemini-2.5-pro:generateContent", "google"),
    ],
)
def test_who_is_meant(host, path, provider_id):
    """The host tells the provider; on a host of nobody the path does, or says the host."""
    path, host = without_host(path, host)
    found = route("POST", path, host)
    assert (found.api.provider, found.kind) == (provider_id, "call")
    if provider_id == "aws":
        assert found.names == ("a/b",)


async def test_a_path_its_provider_does_not_have(urls):
    """What one provider has is not found at another."""
    async with (
        aiohttp.ClientSession(urls.plain) as session,
        session.post("/at/api.groq.com/v1/messages", json={}) as answer,
    ):
        assert (answer.status, (await answer.json())["error"]["type"]) == (404, "invalid_request_error")
