"""The Messages API as others than Anthropic serve it: Vertex AI's paths, imitations' counts, the API before it."""

import json

import pytest

from wfb_core.call import CallFacts
from wfb_core.dialects.anthropic_messages import AnthropicMessages, messages_usage
from wfb_core.usage import Usage

MESSAGES = AnthropicMessages()
VERTEX = "/v1/projects/p/locations/global/publishers/anthropic/models"
SSE = {"content-type": "text/event-stream"}


def events(*pairs):
    """Server-sent events as an imitation writes them."""
    return b"".join(f"event:{name}\ndata:{json.dumps({'type': name, **data})}\n\n".encode() for name, data in pairs)


def answer(body, size=10**9):
    """The Answer that a stream in chunks of a size makes."""
    reader = MESSAGES.reader(CallFacts("anthropic-messages", "x", "messages", "asked", True, 10), False, SSE)
    for i in range(0, len(body), size):
        reader.feed(body[i : i + size])
    reader.feed(b"")
    return reader.end()


def stream(start, *deltas):
    """The Answer of a stream whose start and deltas have these counts."""
    body = events(
        ("message_start", {"message": {"id": "m", "model": "served", "usage": start}}),
        *(("message_delta", {"delta": {}, "usage": delta}) for delta in deltas),
        ("message_stop", {}),
    )
    found = answer(body)
    assert answer(body, 1) == found
    return found


@pytest.mark.parametrize(
    ("start", "deltas", "usage"),
    [
        # zeros first, everything with the end
        (
            {"input_tokens": 0, "output_tokens": 0},
            [{"input_tokens": 20, "cache_read_input_tokens": 80, "output_tokens": 5}],
            Usage(input_tokens=100, cache_read_tokens=80, output_tokens=5),
        ),
        # the end corrects the start up, and down
        ({"input_tokens": 20, "output_tokens": 1}, [{"input_tokens": 900, "output_tokens": 5}], Usage(900, 0, 0, 0, 5)),
        ({"input_tokens": 900, "output_tokens": 9}, [{"input_tokens": 20, "output_tokens": 5}], Usage(20, 0, 0, 0, 5)),
        # what was thought fresh came from the cache
        (
            {"input_tokens": 100, "output_tokens": 1},
            [{"input_tokens": 0, "cache_read_input_tokens": 100, "output_tokens": 5}],
            Usage(input_tokens=100, cache_read_tokens=100, output_tokens=5),
        ),
        # nulls, and zeros that tell of no input at all, keep what was known
        (
            {"input_tokens": 20, "cache_read_input_tokens": 7, "output_tokens": 1},
            [{"input_tokens": None, "cache_read_input_tokens": None, "output_tokens": 5}],
            Usage(input_tokens=27, cache_read_tokens=7, output_tokens=5),
        ),
        (
            {"input_tokens": 20, "cache_read_input_tokens": 7, "output_tokens": 1},
            [{"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 5}],
            Usage(input_tokens=27, cache_read_tokens=7, output_tokens=5),
        ),
        # deltas that repeat are never summed
        ({"input_tokens": 20, "output_tokens": 1}, [{"output_tokens": 5}] * 3, Usage(input_tokens=20, output_tokens=5)),
        # thinking beyond the output is cut to it
        (
            {"input_tokens": 20, "output_tokens": 1},
            [{"output_tokens": 5, "output_tokens_details": {"thinking_tokens": 9}}],
            Usage(input_tokens=20, output_tokens=5, reasoning_tokens=5),
        ),
        (
            {"input_tokens": 20, "output_tokens": 1},
            [{"output_tokens": 5, "server_tool_use": {"web_search_requests": 3}}],
            Usage(input_tokens=20, output_tokens=5, units=(("web_searches", 3),)),
        ),
    ],
)
def test_the_end_of_a_stream_corrects_its_start(start, deltas, usage):
    """Running totals replace each other, whatever an imitation leaves out at first."""
    found = stream(start, *deltas)

    assert (found.usage, found.served_model, found.finished, found.finding) == (usage, "served", True, None)


def test_iterations_are_summed_and_searched_once():
    """Compaction is no part of the top level; an advisor is another model's part; searches belong to the whole."""
    found = stream(
        {"input_tokens": 100, "output_tokens": 1},
        {
            "input_tokens": 220,
            "output_tokens": 8,
            "server_tool_use": {"web_search_requests": 2},
            "iterations": [
                {"type": "compaction", "input_tokens": 100, "cache_read_input_tokens": 5000, "output_tokens": 83},
                {"type": "advisor_message", "model": "other", "input_tokens": 7, "output_tokens": 3},
                {"type": "message", "input_tokens": 220, "output_tokens": 8},
            ],
        },
    )

    searches = (("web_searches", 2),)
    assert found.usage == Usage(input_tokens=5327, cache_read_tokens=5000, output_tokens=94, units=searches)
    assert [model for model, _ in found.parts] == ["served", "other", "served"]
    assert [usage.units for _, usage in found.parts] == [searches, (), ()]


def test_an_answer_of_the_cache_alone_has_an_input():
    """A null beside cached input is no missing count."""
    counts = {"input_tokens": None, "cache_read_input_tokens": 9, "output_tokens": 1}

    assert messages_usage(counts) == Usage(input_tokens=9, cache_read_tokens=9, output_tokens=1)


@pytest.mark.parametrize(("verb", "streams"), [("rawPredict", False), ("streamRawPredict", True)])
@pytest.mark.parametrize("colon", [":", "%3A"])
def test_vertex_ai_names_the_model_in_the_path(verb, streams, colon):
    """The model and the stream come from the path; another model is asked for there."""
    path = f"{VERTEX}/claude-opus-4%40x{colon}{verb}"
    body = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    facts, document = MESSAGES.read_request("POST", path, {}, json.dumps(body).encode())

    assert (facts.model, facts.stream, facts.cap, facts.operation) == ("claude-opus-4@x", streams, 9, "messages")
    assert MESSAGES.model_in(path) == facts.model
    assert MESSAGES.with_model(document, path, "small@1") == f"{VERTEX}/small@1{colon}{verb}"
    assert "model" not in document
    assert MESSAGES.clamp(document, facts, 3)
    assert document["max_tokens"] == 3


def test_the_version_in_the_body_is_no_input():
    """What Vertex AI and Bedrock want in the body is not read by the model."""

    def size(**more):
        body = {"model": "m", "max_tokens": 9, "messages": [], **more}
        return MESSAGES.read_request("POST", "/v1/messages", {}, json.dumps(body).encode())[0].input_bytes

    assert size(anthropic_version="vertex-2023-10-16", anthropic_beta=["a"]) == size()


def test_the_older_api_tells_no_usage():
    """/v1/complete is bounded by its own field, and its answer is a finding."""
    body = {"model": "claude-2.1", "prompt": "Hello there", "max_tokens_to_sample": 99}
    facts, document = MESSAGES.read_request("POST", "/v1/complete", {}, json.dumps(body).encode())
    assert (facts.operation, facts.cap) == ("complete", 99)
    assert facts.input_bytes >= len("Hello there")
    assert MESSAGES.clamp(document, facts, 10)
    assert document["max_tokens_to_sample"] == 10
    assert "max_tokens" not in document

    found = answer(
        events(("completion", {"completion": "Hello", "stop_reason": "stop_sequence", "model": "claude-2.1"}))
    )
    assert (found.usage, found.finding, found.finished) == (None, "usage missing", True)
    assert (found.served_model, found.output_bytes_seen) == ("claude-2.1", 5)


def test_a_signed_request_keeps_its_cap():
    """A signature covers the body: nothing in it is changed."""
    body = {"model": "m", "max_tokens": 99, "messages": []}
    document = dict(body)

    assert not MESSAGES.clamp(
        document, CallFacts("anthropic-messages", "aws", "messages", "m", False, 99, signed=True), 3
    )
    assert document == body
