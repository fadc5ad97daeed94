"""Bedrock's Converse: what its requests say, what its answers are billed as, in AWS's own messages."""

import json

import botocore.eventstream
import botocore.loaders
import botocore.model
import botocore.parsers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.call import CallFacts
from wfb_core.dialects.aws_event_stream import build
from wfb_core.dialects.bedrock_converse import BedrockConverse, event_message
from wfb_core.dialects.request import NotUnderstood
from wfb_core.usage import Usage

DIALECT = BedrockConverse()
STREAM = {"content-type": "application/vnd.amazon.eventstream"}
JSON = {"content-type": "application/json"}
PATH = "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
SERVICE = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2"))


def request(body, path=PATH, **headers):
    """(facts, document) of a request."""
    return DIALECT.read_request("POST", path, headers, json.dumps(body).encode())


def read(body, stream=True, headers=None, size=10**9):
    """The Answer of a body that comes in chunks of this size."""
    facts = CallFacts("bedrock-converse", "aws", "", "asked", stream, None)
    reader = DIALECT.reader(facts, headers=headers or (STREAM if stream else JSON))
    out = b"".join(reader.feed(body[at : at + size]) for at in range(0, len(body), size)) + reader.feed(b"")
    assert out == body
    return reader.end()


def unary(usage, **more):
    """A whole answer with this usage."""
    message = {"role": "assistant", "content": [{"text": "Bonjour"}]}
    body = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 5}}
    return json.dumps({**body, **more}).encode()


def streamed(usage, **more):
    """A stream of text and a tool's arguments with this usage at its end."""
    events = (
        ("messageStart", {"role": "assistant"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": 'caf\u00e9 "metadata"'}, "p": "abc"}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t1", "name": "look"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"a":1}'}}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("messageStop", {"stopReason": "tool_use"}),
        ("metadata", {"usage": usage, "metrics": {"latencyMs": 9}, **more}),
    )
    return b"".join(event_message(name, event) for name, event in events)


COUNTS = {
    "plain": ({"inputTokens": 9, "outputTokens": 4, "totalTokens": 13}, Usage(input_tokens=9, output_tokens=4)),
    "cache beside": (
        {
            "inputTokens": 3,
            "outputTokens": 10,
            "totalTokens": 313,
            "cacheReadInputTokens": 100,
            "cacheWriteInputTokens": 200,
            "cacheReadInputTokenCount": 100,
            "cacheWriteInputTokenCount": 200,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 150}, {"ttl": "5m", "inputTokens": 50}],
            "serverToolUsage": {},
        },
        Usage(
            input_tokens=303,
            cache_read_tokens=100,
            cache_write_tokens=200,
            cache_write_1h_tokens=150,
            output_tokens=10,
        ),
    ),
    "cache inside by the total": (
        {"inputTokens": 300, "outputTokens": 10, "totalTokens": 310, "cacheReadInputTokens": 100},
        Usage(input_tokens=300, cache_read_tokens=100, output_tokens=10),
    ),
    "cache beside without a total": (
        {"inputTokens": 300, "outputTokens": 10, "cacheReadInputTokenCount": 100},
        Usage(input_tokens=400, cache_read_tokens=100, output_tokens=10),
    ),
    "an hour's part that exceeds its whole": (
        {
            "inputTokens": 1,
            "outputTokens": 1,
            "totalTokens": 7,
            "cacheWriteInputTokens": 5,
            "cacheDetails": [{"ttl": "1h", "inputTokens": 9}],
        },
        Usage(input_tokens=6, cache_write_tokens=5, cache_write_1h_tokens=5, output_tokens=1),
    ),
    "numbers with a point": ({"inputTokens": 9.0, "outputTokens": 4.0}, Usage(input_tokens=9, output_tokens=4)),
}


@pytest.mark.parametrize("name", COUNTS)
def test_totals_include_the_cache(name):
    """The input's total holds what the cache read and wrote, in a body and in a stream, and no model is named."""
    counts, usage = COUNTS[name]
    for answer in (read(unary(counts), stream=False), read(streamed(counts))):
        assert (answer.usage, answer.finding, answer.finished, answer.failed) == (usage, None, True, False)
        assert answer.served_model is None


def test_the_samples_are_what_botocore_reads():
    """Parsers of botocore find the same counts in the samples that the readers are tested with."""
    counts = COUNTS["cache beside"][0]
    parser = botocore.parsers.create_parser("rest-json")
    shape = SERVICE.operation_model("Converse").output_shape
    parsed = parser.parse({"status_code": 200, "headers": {}, "body": unary(counts)}, shape)
    assert parsed["usage"]["cacheWriteInputTokens"] == 200
    buffer = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(streamed(counts))
    assert [event.headers[":event-type"] for event in buffer][-1] == "metadata"


@given(st.integers(1, 200))
def test_chunks_do_not_matter(size):
    """A stream gives the same answer whatever the chunks."""
    body = streamed(COUNTS["cache beside"][0])
    assert read(body, size=size) == read(body)


@given(st.integers(0, 2000))
def test_a_cut_stream_counts_all_or_nothing(at):
    """A stream cut anywhere has the usage of its last message or none, never a part of it."""
    body = streamed(COUNTS["plain"][0])[:at]
    answer = read(body)
    assert answer.usage in (None, COUNTS["plain"][1])
    assert answer.usage is not None or answer.finding


@given(st.binary(max_size=300), st.booleans())
def test_no_bytes_break_the_reader(body, stream):
    """Arbitrary bytes are handed on and give a finding, never an error."""
    assert read(body, stream).usage is None


def test_text_is_measured():
    """What passes is counted in bytes as escaped, the text of tools included."""
    assert read(streamed(COUNTS["plain"][0])).output_bytes_seen == len(
        'caf\\u00e9 \\"metadata\\"' + "t1look" + '{\\"a\\":1}'
    )


def test_an_exception_inside_a_stream_is_a_failure():
    """A message of type exception marks the answer as failed; counts that came before it stay."""
    error = {
        ":exception-type": "throttlingException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    broken = build(error, b'{"message":"slow down"}')
    answer = read(event_message("messageStart", {"role": "assistant"}) + broken)
    assert (answer.failed, answer.usage, answer.finished) == (True, None, False)
    answer = read(streamed(COUNTS["plain"][0]) + broken)
    assert (answer.failed, answer.usage) == (True, COUNTS["plain"][1])


@pytest.mark.parametrize(
    ("more", "tier"),
    [
        ({}, None),
        ({"serviceTier": {"type": "default"}}, "default"),
        ({"serviceTier": {"type": "flex"}}, "flex"),
        ({"performanceConfig": {"latency": "optimized"}}, "optimized"),
        ({"performanceConfig": {"latency": "standard"}, "serviceTier": {"type": "priority"}}, "priority"),
    ],
)
def test_the_tier_served_is_told(more, tier):
    """The service tier and the latency's class come from the answer."""
    counts = COUNTS["plain"][0]
    assert read(unary(counts, **more), stream=False).tier == tier
    assert read(streamed(counts, **more)).tier == tier


def test_a_prompt_router_names_the_model():
    """The model behind a router is in the trace."""
    arn = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
    trace = {"promptRouter": {"invokedModelId": arn}}
    assert read(unary(COUNTS["plain"][0], trace=trace), stream=False).served_model == "amazon.nova-lite-v1:0"


@pytest.mark.parametrize("usage", [{}, {"inputTokens": -1}, {"inputTokens": "9"}, {"inputTokens": True}, [], "x"])
def test_bad_counts_are_no_usage(usage):
    """Counts that are no counts give a finding."""
    answer = read(unary(usage), stream=False)
    assert answer.usage is None
    assert answer.finding.startswith("usage malformed")


PATHS = {
    "/model/anthropic.claude-3-haiku-20240307-v1:0/converse": ("anthropic.claude-3-haiku-20240307-v1:0", False),
    "/model/eu.amazon.nova-lite-v1%3A0/converse-stream": ("eu.amazon.nova-lite-v1:0", False),
    "/prefix/model/m/converse?x=1": ("m", False),
    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse": (
        "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0",
        False,
    ),
    "/model/arn:aws:bedrock:us-east-1:1:application-inference-profile/abc/converse": (
        "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
        True,
    ),
    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprovisioned-model%2Fabc/converse": (
        "arn:aws:bedrock:us-east-1:1:provisioned-model/abc",
        True,
    ),
}


@pytest.mark.parametrize("path", PATHS)
def test_the_path_names_the_model(path):
    """The model is the path's, decoded, with its region's prefix; names that hide it are known as such."""
    model, deployment = PATHS[path]
    facts, _ = request({"messages": []}, path)
    assert (facts.model, facts.deployment) == (model, deployment)
    assert DIALECT.model_in(path) == model
    assert facts.stream is ("-stream" in path)


def test_another_model_is_asked_for_in_the_path():
    """The model's name is replaced, encoded, and nothing else of the path."""
    path = DIALECT.with_model({}, "/model/a%3A0/converse-stream?x=%2F", "arn:aws:x/b c")
    assert path == "/model/arn%3Aaws%3Ax%2Fb%20c/converse-stream?x=%2F"
    assert DIALECT.model_in("/v1/other") is None
    with pytest.raises(NotUnderstood, match="names no model"):
        request({}, "/model//converse")


def test_a_request_is_measured():
    """Text, tools, media, caches and what the body does not show are told; payloads are no text."""
    body = {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "x" * 1000},
                    {"image": {"format": "png", "source": {"bytes": "A" * 4000}}},
                    {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://b/v"}}}},
                    {"cachePoint": {"type": "default", "ttl": "1h"}},
                ],
            },
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"json": {"k": "y" * 500}}]}}]},
        ],
        "system": [{"text": "z" * 200}],
        "inferenceConfig": {"maxTokens": 77},
        "toolConfig": {"tools": [{"toolSpec": {"name": "n" * 50}}, {"systemTool": {"name": "nova_grounding"}}]},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 50}},
        "serviceTier": {"type": "priority"},
    }
    facts, _ = request(body, authorization="AWS4-HMAC-SHA256 Credential=x")
    assert 1750 < facts.input_bytes < 2600
    assert facts.media == (("image", 3000), ("video", 0)) or set(facts.media) == {("image", 3000), ("video", 0)}
    assert (facts.cap, facts.tools, facts.tier, facts.reasoning) == (77, 2, "priority", True)
    assert (facts.cache_write, facts.cache_write_1h) == (True, True)
    assert (facts.hidden_input, facts.unbounded, facts.signed) == (("s3_location",), ("system_tool",), True)
    assert not request(body, Authorization="Bearer bedrock-api-key-x")[0].signed


@pytest.mark.parametrize(
    ("body", "headers", "cap", "clamped"),
    [
        ({}, {}, 100, {"inferenceConfig": {"maxTokens": 100}}),
        (
            {"inferenceConfig": {"maxTokens": 500, "topP": 1}},
            {},
            100,
            {"inferenceConfig": {"maxTokens": 100, "topP": 1}},
        ),
        ({"inferenceConfig": {"maxTokens": 50}}, {}, 100, {"inferenceConfig": {"maxTokens": 50}}),
        ({}, {"authorization": "AWS4-HMAC-SHA256 x"}, 100, None),
        ({"additionalModelRequestFields": {"thinking": {"budget_tokens": 100}}}, {}, 100, None),
    ],
)
def test_the_cap_is_lowered_where_nothing_breaks(body, headers, cap, clamped):
    """A signed body and a thinking budget that would not fit are left as they are."""
    facts, document = request(body, **headers)
    assert DIALECT.clamp(document, facts, cap) is (clamped is not None)
    assert document == (body if clamped is None else clamped)


@pytest.mark.parametrize(
    ("status", "retry_after", "wire_status", "code"),
    [
        (402, None, 400, "ServiceQuotaExceededException"),
        (429, None, 400, "ServiceQuotaExceededException"),
        (429, 7, 429, "ThrottlingException"),
        (403, None, 403, "AccessDeniedException"),
        (400, None, 400, "ValidationException"),
        (500, None, 500, "InternalServerException"),
    ],
)
def test_refusals_are_errors_that_botocore_names(status, retry_after, wire_status, code):
    """The parser of botocore reads the error's class and message; pacing is told in milliseconds."""
    told, headers, body = DIALECT.refusal("BudgetExhausted", "no money", status, {"budget": "b"}, retry_after)
    parser = botocore.parsers.create_parser("rest-json")
    response = {"status_code": told, "headers": headers, "body": body}
    parsed = parser.parse(response, SERVICE.operation_model("Converse").output_shape)
    assert (told, parsed["Error"]["Code"], parsed["Error"]["Message"]) == (wire_status, code, "no money")
    assert headers.get("x-amz-retry-after") == ("7000" if retry_after else None)


def test_a_stream_that_is_ended_early_is_whole_for_botocore():
    """The ending closes the open block, stops for the cap and tells a usage, in messages whose checksums hold."""
    facts = CallFacts("bedrock-converse", "aws", "", "asked", True, None)
    reader = DIALECT.reader(facts, headers=STREAM)
    start = event_message("messageStart", {"role": "assistant"})
    start += event_message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hello"}})
    out = reader.feed(start) + reader.finish_early()
    buffer = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(out)
    events = [(event.headers[":event-type"], json.loads(event.payload)) for event in buffer]
    assert [name for name, _ in events[2:]] == ["contentBlockStop", "messageStop", "metadata"]
    assert events[3][1] == {"stopReason": "max_tokens"}
