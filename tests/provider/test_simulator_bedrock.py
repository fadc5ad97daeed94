"""Bedrock as boto3 sees it: Converse and InvokeModel of several families, unary and as event streams."""

import asyncio
import json
from decimal import Decimal

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from simulator.usage import Usage

CLAUDE = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "amazon.nova-lite-v1:0"
SAID = {
    "x-sim-input-tokens": "1000",
    "x-sim-cached-tokens": "300",
    "x-sim-cache-write-tokens": "200",
    "x-sim-cache-write-1h-tokens": "50",
    "x-sim-output-tokens": "50",
    "x-sim-reasoning-tokens": "20",
}


@pytest.fixture
def client(urls):
    """Makes boto3's client, with headers that say how the call behaves."""

    def make(**more):
        """A client without retries."""
        sdk = boto3.client(
            "bedrock-runtime",
            region_name="us-east-1",
            endpoint_url=urls.at("bedrock-runtime.us-east-1.amazonaws.com"),
            aws_access_key_id="fake",
            aws_secret_access_key="fake",
            config=Config(retries={"max_attempts": 1}, proxies={}),
        )
        said = {**SAID, **more}

        def say(request, **_):
            """Puts the headers on the request before it is signed."""
            for name, value in said.items():
                request.headers[name] = value

        sdk.meta.events.register("before-sign.*.*", say)
        return sdk

    return make


def told(used):
    """Converse's usage in the bill's words: cached input stands beside the rest."""
    read, write = used.get("cacheReadInputTokens", 0), used.get("cacheWriteInputTokens", 0)
    hour = sum(part["inputTokens"] for part in used.get("cacheDetails", ()) if part["ttl"] == "1h")
    whole = used["inputTokens"] + read + write
    assert used["totalTokens"] == whole + used["outputTokens"]
    return Usage(whole, read, write, hour, used["outputTokens"], 0)


MESSAGES = [{"role": "user", "content": [{"text": "How much is left?"}]}]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize(
    ("model", "usage"),
    [
        (CLAUDE, Usage(1000, 300, 200, 50, 50, 0)),
        (NOVA, Usage(1000, 300, 200, 0, 50, 0)),
        ("meta.llama3-1-8b-instruct-v1:0", Usage(1000, 0, 0, 0, 50, 0)),
    ],
)
async def test_converse(provider, client, model, usage, stream):
    """Text and usage as boto3 parses them are those billed; a model without a cache tells none."""

    def run():
        """The call in a thread of its own: usage, text, why it ended."""
        if not stream:
            got = client().converse(modelId=model, messages=MESSAGES)
            return got["usage"], got["output"]["message"]["content"][0]["text"], got["stopReason"]
        events = list(client().converse_stream(modelId=model, messages=MESSAGES)["stream"])
        words = "".join(e["contentBlockDelta"]["delta"]["text"] for e in events if "contentBlockDelta" in e)
        return events[-1]["metadata"]["usage"], words, events[-2]["messageStop"]["stopReason"]

    used, words, reason = await asyncio.to_thread(run)
    (line,) = provider.bill.lines
    assert told(used) == usage == line.usage
    assert (len(words), reason) == (50 * 4, "end_turn")
    assert (line.provider, line.model, line.stream) == ("aws", model, stream)


async def test_a_profile_has_its_own_price(provider, client):
    """A regional profile of a Claude costs a tenth more than the global one."""
    for model in (CLAUDE, CLAUDE.replace("us.", "global.", 1)):
        await asyncio.to_thread(client().converse, modelId=model, messages=MESSAGES)
    regional, everywhere = (line.usd for line in provider.bill.lines)
    assert everywhere == Decimal("0.0010675")  # 500 at 1, 300 at 0.10, 150 at 1.25, 50 at 2, 50 at 5 dollars a million
    assert regional == everywhere * Decimal("1.1")


def _native(model):
    if "claude" in model:
        return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 100, "messages": MESSAGES}
    if "nova" in model:
        return {"messages": MESSAGES, "inferenceConfig": {"maxTokens": 100}}
    return {"inputText": "hello"} if "titan" in model else {"prompt": "hello"}


NATIVE = [
    (CLAUDE, Usage(1000, 300, 200, 50, 50, 20)),
    (NOVA, Usage(1000, 300, 200, 0, 50, 0)),
    ("meta.llama3-1-8b-instruct-v1:0", Usage(1000, 0, 0, 0, 50, 0)),
    ("mistral.mistral-large-2402-v1:0", Usage(1000, 0, 0, 0, 50, 0)),
    ("amazon.titan-embed-text-v2:0", Usage(1000, 0, 0, 0, 0, 0)),
]


@pytest.mark.parametrize(("model", "usage"), NATIVE)
async def test_invoke_tells_counts_in_headers(provider, client, model, usage):
    """Whatever the native body tells, the headers have the counts, cached input beside the rest."""
    got = await asyncio.to_thread(client().invoke_model, modelId=model, body=json.dumps(_native(model)))
    headers = got["ResponseMetadata"]["HTTPHeaders"]
    counts = [
        int(headers.get(f"x-amzn-bedrock-{name}-token-count", 0))
        for name in ("input", "cache-read-input", "cache-write-input", "output")
    ]
    assert counts == [
        usage.input - usage.cache_read - usage.cache_write,
        usage.cache_read,
        usage.cache_write,
        usage.output,
    ]
    assert provider.bill.lines[0].usage == usage
    assert json.loads(got["body"].read())


@pytest.mark.parametrize(("model", "usage"), NATIVE[:4])
async def test_an_invoke_stream_ends_with_the_counts_of_all(provider, client, model, usage):
    """The last native chunk has the invocation's metrics."""

    def run():
        """The stream's native objects."""
        got = client().invoke_model_with_response_stream(modelId=model, body=json.dumps(_native(model)))
        return [json.loads(event["chunk"]["bytes"]) for event in got["body"]]

    chunks = await asyncio.to_thread(run)
    counted = chunks[-1]["amazon-bedrock-invocationMetrics"]
    read, write = counted.get("cacheReadInputTokenCount", 0), counted.get("cacheWriteInputTokenCount", 0)
    assert (counted["inputTokenCount"] + read + write, read, write) == usage[:3]
    assert counted["outputTokenCount"] == usage.output == provider.bill.lines[0].usage.output
    assert not any("amazon-bedrock-invocationMetrics" in chunk for chunk in chunks[:-1])


@pytest.mark.parametrize(
    ("fault", "kind"), [("400", "ValidationException"), ("429", "ThrottlingException"), ("404", "ResourceNotFound")]
)
async def test_errors_are_typed(provider, client, fault, kind):
    """boto3 raises the exception that the header names."""
    with pytest.raises(ClientError, match=kind):
        await asyncio.to_thread(client(**{"x-sim-fault": fault}).converse, modelId=NOVA, messages=MESSAGES)
    assert provider.bill.lines == []


async def test_a_model_nobody_has(provider, client):
    """An unknown model is a ValidationException."""
    with pytest.raises(ClientError, match="model identifier is invalid"):
        await asyncio.to_thread(client().converse, modelId="amazon.nobody-v1:0", messages=MESSAGES)


async def test_an_exception_ends_a_stream(provider, client):
    """An exception message inside the stream raises in boto3; the call is billed."""

    def run():
        """Reads the stream to its end."""
        list(client(**{"x-sim-fault": "failed"}).converse_stream(modelId=NOVA, messages=MESSAGES)["stream"])

    with pytest.raises(EventStreamError, match="failed to go on"):
        await asyncio.to_thread(run)
    assert provider.bill.lines[0].cut


async def test_counting_is_free(provider, client):
    """CountTokens tells and bills nothing."""
    ask = {"converse": {"messages": [{"role": "user", "content": [{"text": "12345678"}]}]}}
    got = await asyncio.to_thread(client().count_tokens, modelId=NOVA, input=ask)
    assert got["inputTokens"] == 2
    assert provider.bill.lines == []
