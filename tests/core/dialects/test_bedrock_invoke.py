"""Bedrock's InvokeModel: every family's own shape, and counts that only headers or metrics know."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.call import CallFacts
from wfb_core.dialects.aws_event_stream import build, message
from wfb_core.dialects.bedrock_converse import event_message
from wfb_core.dialects.bedrock_invoke import BedrockInvoke
from wfb_core.usage import Usage

DIALECT = BedrockInvoke()
STREAM = {"content-type": "application/vnd.amazon.eventstream", "X-Amzn-Bedrock-Content-Type": "application/json"}
METRICS = "amazon-bedrock-invocationMetrics"


def request(model, body, path="invoke", **headers):
    """(facts, document) of a request."""
    return DIALECT.read_request("POST", f"/model/{model}/{path}", headers, json.dumps(body).encode())


def headers_of(**counts):
    """An answer's headers with these counts: input, output, cache_read_input, cache_write_input."""
    names = {f"X-Amzn-Bedrock-{n.replace('_', '-').title()}-Token-Count": str(count) for n, count in counts.items()}
    return {"Content-Type": "application/json", **names}


def read(body, stream=False, headers=None, size=10**9, **more):
    """The Answer of a body that comes in chunks of this size."""
    facts = CallFacts("bedrock-invoke", "aws", "", "asked", stream, None, **more)
    reader = DIALECT.reader(facts, headers=headers or {})
    out = b"".join(reader.feed(body[at : at + size]) for at in range(0, len(body), size)) + reader.feed(b"")
    assert out == body
    return reader.end()


def chunk(event):
    """A chunk as Bedrock wraps it."""
    return event_message("chunk", {"bytes": base64.b64encode(json.dumps(event).encode()).decode(), "p": "abcdefgh"})


CLAUDE = {"id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": []}
CLAUDE_USAGE = {
    "input_tokens": 4,
    "cache_creation_input_tokens": 50,
    "cache_read_input_tokens": 100,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
    "output_tokens": 9,
}
CACHED = Usage(
    input_tokens=154, cache_read_tokens=100, cache_write_tokens=50, cache_write_1h_tokens=30, output_tokens=9
)
CHAT = {"id": "chatcmpl-1", "model": "openai.gpt-oss-20b-1:0", "choices": [{"message": {"content": "hi"}}]}
BODIES = {
    "Claude": ({**CLAUDE, "usage": CLAUDE_USAGE}, headers_of(input=4, output=9), CACHED, "claude-haiku-4-5"),
    "Claude without usage": (
        CLAUDE,
        headers_of(input=4, output=9, cache_read_input=100, cache_write_input=50),
        Usage(input_tokens=154, cache_read_tokens=100, cache_write_tokens=50, output_tokens=9),
        "claude-haiku-4-5",
    ),
    "Claude 2": (
        {"type": "completion", "completion": " Hi"},
        headers_of(input=18, output=87),
        Usage(18, output_tokens=87),
        None,
    ),
    "Nova": (
        {
            "output": {},
            "usage": {"inputTokens": 7, "outputTokens": 53, "totalTokens": 60, "cacheReadInputTokenCount": 0},
        },
        {},
        Usage(7, output_tokens=53),
        None,
    ),
    "Nova with a cache": (
        {"usage": {"inputTokens": 7, "outputTokens": 3, "totalTokens": 110, "cacheReadInputTokenCount": 100}},
        {},
        Usage(107, cache_read_tokens=100, output_tokens=3),
        None,
    ),
    "Nova under a guardrail": (
        {"usage": {"inputTokens": 30}},
        headers_of(input=30, output=51),
        Usage(30, output_tokens=51),
        None,
    ),
    "Titan text": (
        {"inputTextTokenCount": 28.0, "results": [{"tokenCount": 197.0, "outputText": "x"}]},
        {},
        Usage(28, output_tokens=197),
        None,
    ),
    "Titan embeddings": ({"embedding": [0.5], "inputTextTokenCount": 5}, {}, Usage(5), None),
    "Llama": (
        {"generation": "x", "prompt_token_count": 158, "generation_token_count": 128},
        {},
        Usage(158, output_tokens=128),
        None,
    ),
    "Mistral": ({"outputs": [{"text": "x"}]}, headers_of(input=6, output=7), Usage(6, output_tokens=7), None),
    "chat shape": (
        {**CHAT, "usage": {"prompt_tokens": 6, "completion_tokens": 100, "total_tokens": 106}},
        {},
        Usage(6, output_tokens=100),
        "openai.gpt-oss-20b-1:0",
    ),
    "chat shape without usage": (
        {"choices": [{"text": "x"}]},
        headers_of(input=6, output=7),
        Usage(6, output_tokens=7),
        None,
    ),
    "Cohere embeddings": ({"id": "e", "embeddings": [[0.1]]}, headers_of(input=4), Usage(4), None),
    "Cohere Command": (
        {"id": "c", "generations": [{"text": "x"}]},
        headers_of(input=9, output=112),
        Usage(9, output_tokens=112),
        None,
    ),
    "J2": ({"id": 1234, "completions": []}, headers_of(input=26, output=42), Usage(26, output_tokens=42), None),
    "images": ({"images": ["aGk=", "aGk="]}, {}, Usage(units=(("images", 2),)), None),
    "a ranking": ({"results": [{"index": 0, "relevance_score": 0.5}]}, {}, Usage(units=(("search_units", 1),)), None),
    "the model's count wins": (
        {"prompt_token_count": 8, "generation_token_count": 5},
        headers_of(input=9, output=9),
        Usage(8, output_tokens=5),
        None,
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_every_family_is_counted(name):
    """A whole answer's totals and model come from its own counts, else from the headers."""
    body, headers, usage, model = BODIES[name]
    units = (("search_units", 1),) if name == "a ranking" else ()
    answer = read(json.dumps(body).encode(), headers=headers, units=units)
    assert (answer.usage, answer.served_model, answer.finding) == (usage, model, None)
    assert (answer.finished, answer.failed) == (True, False)


LAST = {METRICS: {"inputTokenCount": 16, "outputTokenCount": 21, "invocationLatency": 7, "firstByteLatency": 3}}
STREAMS = {
    "Claude": (
        [
            {"type": "message_start", "message": {**CLAUDE, "usage": {**CLAUDE_USAGE, "output_tokens": 1}}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
            {"type": "message_stop", METRICS: {"inputTokenCount": 4, "outputTokenCount": 9}},
        ],
        CACHED,
        "claude-haiku-4-5",
    ),
    "Claude without its last count": (
        [
            {"type": "message_start", "message": {**CLAUDE, "usage": {"input_tokens": 16, "output_tokens": 1}}},
            {"type": "message_stop", **LAST},
        ],
        Usage(16, output_tokens=21),
        "claude-haiku-4-5",
    ),
    "Claude 2": (
        [{"completion": " Hi"}, {"completion": "", "stop_reason": "stop", **LAST}],
        Usage(16, output_tokens=21),
        None,
    ),
    "Llama": (
        [
            {"generation": "Hel", "prompt_token_count": 8, "generation_token_count": 1, "stop_reason": None},
            {"generation": "lo", "prompt_token_count": None, "generation_token_count": 2, "stop_reason": None},
            {"generation": "", "prompt_token_count": None, "generation_token_count": 3, "stop_reason": "stop", **LAST},
        ],
        Usage(8, output_tokens=3),
        None,
    ),
    "Titan": (
        [
            {"outputText": "Once", "index": 0.0, "inputTextTokenCount": 28.0},
            {"outputText": ".", "index": 0.0, "totalOutputTextTokenCount": 188.0, "completionReason": "FINISH"},
        ],
        Usage(28, output_tokens=188),
        None,
    ),
    "Titan that a guardrail blocked": (
        [{"outputText": "Input blocked", "totalOutputTextTokenCount": 3.0, "inputTextTokenCount": 6.0}],
        Usage(6, output_tokens=3),
        None,
    ),
    "Nova": (
        [
            {"messageStart": {"role": "assistant"}},
            {"contentBlockDelta": {"delta": {"text": "On"}, "contentBlockIndex": 0}},
            {"metadata": {"usage": {"inputTokens": 30, "outputTokens": 55, "cacheReadInputTokenCount": 0}}, **LAST},
        ],
        Usage(30, output_tokens=55),
        None,
    ),
    "Mistral": (
        [{"outputs": [{"text": "Hi", "stop_reason": None}]}, {"outputs": [{"text": ""}], **LAST}],
        Usage(16, output_tokens=21),
        None,
    ),
    "metrics with a cache": (
        [
            {"outputs": []},
            {
                METRICS: {
                    "inputTokenCount": 1,
                    "outputTokenCount": 2,
                    "cacheReadInputTokenCount": 10,
                    "cacheWriteInputTokenCount": 20,
                }
            },
        ],
        Usage(31, cache_read_tokens=10, cache_write_tokens=20, output_tokens=2),
        None,
    ),
    "chat shape": (
        [
            {"id": "c", "model": "qwen.qwen3", "choices": [{"index": 0, "delta": {"content": "hi"}}]},
            {"id": "c", "model": "qwen.qwen3", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **LAST},
        ],
        Usage(16, output_tokens=21),
        "qwen.qwen3",
    ),
    "chat shape with usage": (
        [
            {"id": "c", "model": "qwen.qwen3", "choices": [{"index": 0, "delta": {"content": "hi"}}]},
            {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11}, **LAST},
        ],
        Usage(5, output_tokens=6),
        "qwen.qwen3",
    ),
}


@pytest.mark.parametrize("name", STREAMS)
def test_every_family_is_counted_in_a_stream(name):
    """A stream's totals come from the model's own running counts, else from Bedrock's metrics in its last chunk."""
    events, usage, model = STREAMS[name]
    body = b"".join(map(chunk, events))
    for size in (10**9, 1, 37):
        answer = read(body, True, STREAM, size)
        assert (answer.usage, answer.served_model, answer.finding) == (usage, model, None)
        assert (answer.finished, answer.failed) == (True, False)


@given(st.sampled_from(sorted(STREAMS)), st.integers(0, 3000))
def test_a_cut_stream_never_counts_more(name, at):
    """A stream cut anywhere is billed at most what the whole one is."""
    events, usage, _ = STREAMS[name]
    answer = read(b"".join(map(chunk, events))[:at], True, STREAM)
    for counted in (answer.usage, answer.partial):
        if counted is not None:
            assert counted.input_tokens <= usage.input_tokens
            assert counted.output_tokens <= usage.output_tokens


@pytest.mark.parametrize(("name", "count"), [("Llama", Usage(8, output_tokens=1)), ("Titan", Usage(28))])
def test_the_counts_of_a_stream_without_its_end_are_partial(name, count):
    """The first chunk's running totals are no usage until the last has come."""
    answer = read(chunk(STREAMS[name][0][0]), True, STREAM)
    assert (answer.usage, answer.partial, answer.finding) == (None, count, "usage missing")


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_break_the_reader(data, stream):
    """Arbitrary bytes, bare and inside a chunk, give a finding, never an error."""
    for body in (
        data,
        event_message("chunk", {"bytes": base64.b64encode(data).decode()}),
        build({":event-type": "chunk"}, data),
    ):
        assert read(body, stream).usage is None


def test_an_exception_inside_a_stream_is_a_failure():
    """A message of type exception marks the answer as failed."""
    error = {":exception-type": "modelStreamErrorException", ":message-type": "exception"}
    body = chunk({"outputs": [{"text": "x"}]}) + build(error, b'{"message":"x"}')
    answer = read(body, True, STREAM)
    assert (answer.failed, answer.finished, answer.usage) == (True, False, None)


def test_the_tier_comes_in_headers():
    """The request's and the answer's tier are headers here."""
    facts, _ = request("amazon.nova-pro-v1:0", {}, **{"X-Amzn-Bedrock-Service-Tier": "flex"})
    assert facts.tier == "flex"
    headers = {**headers_of(input=1), "X-Amzn-Bedrock-PerformanceConfig-Latency": "optimized"}
    assert read(b"{}", headers=headers).tier == "optimized"


CAPS = {
    "anthropic.claude-3-haiku": {"max_tokens": 900},
    "anthropic.claude-v2": {"max_tokens_to_sample": 900},
    "us.meta.llama3-70b": {"max_gen_len": 900},
    "amazon.titan-text-express-v1": {"textGenerationConfig": {"maxTokenCount": 900}},
    "us.amazon.nova-lite-v1:0": {"inferenceConfig": {"maxTokens": 900}},
    "ai21.j2-mid": {"maxTokens": 900},
    "openai.gpt-oss-20b": {"max_completion_tokens": 900},
}


@pytest.mark.parametrize("model", CAPS)
def test_each_family_has_its_own_cap(model):
    """The cap is read and lowered where the family keeps it, and set there where it is missing."""
    facts, document = request(model, CAPS[model])
    assert facts.cap == 900
    lowered = json.loads(json.dumps(CAPS[model]).replace("900", "300"))
    assert DIALECT.clamp(document, facts, 300)
    assert document == lowered
    facts, document = request(model, {})
    assert facts.cap is None
    assert DIALECT.clamp(document, facts, 300)
    assert document == lowered


@pytest.mark.parametrize(
    ("model", "body", "headers"),
    [
        ("anthropic.claude-3-haiku", {"max_tokens": 900}, {"authorization": "AWS4-HMAC-SHA256 x"}),
        ("anthropic.claude-3-haiku", {"max_tokens": 900, "thinking": {"type": "enabled", "budget_tokens": 400}}, {}),
        ("someone.unknown", {}, {}),
    ],
)
def test_what_would_break_is_not_clamped(model, body, headers):
    """Signed bodies, thinking budgets and unknown families stay as they are."""
    facts, document = request(model, body, **headers)
    assert not DIALECT.clamp(document, facts, 300)
    assert document == body


def test_a_request_is_measured():
    """Parts of each family's kind are media, the rest is text; rerankers bill searches and embeddings no output."""
    claude = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 10,
        "messages": [
            {"role": "user", "content": [{"type": "image", "source": {"type": "base64", "data": "A" * 400}}]},
            {"role": "user", "content": "x" * 1000},
        ],
        "tools": [{"name": "t"}, {"type": "bash_20250124", "name": "bash"}],
        "thinking": {"type": "enabled", "budget_tokens": 5},
    }
    facts, _ = request("us.anthropic.claude-sonnet-4-5", claude, "invoke-with-response-stream")
    assert (facts.stream, facts.tools, facts.media, facts.reasoning) == (True, 2, (("image", 300),), True)
    assert 3000 < facts.input_bytes < 3600
    nova = {
        "messages": [{"role": "user", "content": [{"image": {"source": {"bytes": "A" * 400}}}, {"text": "x" * 99}]}]
    }
    facts, _ = request("amazon.nova-lite-v1:0", nova)
    assert (facts.media, facts.input_bytes < 250) == ((("image", 300),), True)
    facts, _ = request("cohere.embed-v4:0", {"texts": ["x" * 100], "input_type": "search_query"})
    assert (facts.cap, facts.input_bytes >= 100) == (0, True)
    facts, _ = request("cohere.rerank-v3-5:0", {"query": "q", "documents": ["d"] * 101})
    assert facts.units == (("search_units", 2),)
    facts, _ = request("amazon.titan-image-generator-v2:0", {"imageGenerationConfig": {"numberOfImages": 3}})
    assert facts.units == (("images", 3),)


@pytest.mark.parametrize("kind", ["web_search_20250305", [], {}, 7])
def test_a_tool_of_an_unknown_kind_may_bill_beyond_any_bound(kind):
    """Whatever stands as a tool's type, the request is read, and what is not known has no bound."""
    facts, _ = request("anthropic.claude-3-haiku", {"tools": [{"type": kind, "name": "t"}]})
    assert (facts.tools, facts.unbounded) == (1, ("unknown_tool",))


@pytest.mark.parametrize(
    ("events", "last"),
    [
        (
            [{"generation": "x", "prompt_token_count": 1}],
            {"generation": "", "generation_token_count": 0, "stop_reason": "length"},
        ),
        ([STREAMS["Claude"][0][0], STREAMS["Claude"][0][1]], {"type": "message_stop"}),
        ([{"outputs": [{"text": "x"}]}], {"outputs": [{"text": "", "stop_reason": "length"}]}),
    ],
)
def test_a_stream_that_is_ended_early_ends_in_the_familys_shape(events, last):
    """The last chunk says that the cap was reached, in a message whose checksums hold."""
    facts = CallFacts("bedrock-invoke", "aws", "", "asked", True, None)
    reader = DIALECT.reader(facts, headers=STREAM)
    for event in events:
        reader.feed(chunk(event))
    ending = reader.finish_early()
    while len(ending) > int.from_bytes(ending[:4], "big"):
        ending = ending[int.from_bytes(ending[:4], "big") :]
    headers, payload = message(ending)
    assert headers[":event-type"] == "chunk"
    assert json.loads(base64.b64decode(json.loads(payload)["bytes"])) == last
