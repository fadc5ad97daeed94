"""Google's Interactions API: requests, streams, results that come later, and what ends a stream early."""

import json
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.call import CallFacts
from wfb_core.dialects import PENDING_RESULT
from wfb_core.dialects.gemini_interactions import GeminiInteractions, interaction_usage
from wfb_core.dialects.request import NotUnderstood
from wfb_core.usage import Usage

SAMPLES = pathlib.Path(__file__).parent / "samples/gemini-interactions"
SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
INTERACTIONS = GeminiInteractions()
FULL = Usage(
    input_tokens=230,
    cache_read_tokens=10,
    output_tokens=52,
    reasoning_tokens=40,
    audio_input_tokens=10,
    units=(("web_searches", 3),),
)
BEFORE_3 = Usage(
    input_tokens=230,
    cache_read_tokens=10,
    output_tokens=52,
    reasoning_tokens=40,
    audio_input_tokens=10,
    units=(("web_searches", 1),),
)


def answer(body, stream, size=10**9):
    """The Answer that a body in chunks of a size makes."""
    facts = CallFacts("gemini-interactions", "google", "interactions", "asked", stream, None)
    reader = INTERACTIONS.reader(facts, False, SSE if stream else JSON)
    out = b"".join(reader.feed(body[i : i + size]) for i in range(0, len(body), size)) + reader.feed(b"")
    assert out == body
    return reader.end()


def read(body):
    """(facts, document) of a request."""
    return INTERACTIONS.read_request("POST", "/v1beta/interactions", {}, json.dumps(body).encode())


@pytest.mark.parametrize("size", [10**9, 1])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("stream.sse", (FULL, None, "gemini-3-flash-preview", "int-1", "flex", None)),
        (
            "stream_cut.sse",
            (None, Usage(input_tokens=30, output_tokens=2), "gemini-3-flash-preview", "int-1", None, "usage missing"),
        ),
        ("unary.json", (BEFORE_3, None, "gemini-2.5-flash", "int-2", "default", None)),
        ("unary_background.json", (None, None, "deep-research-preview", "int-3", None, PENDING_RESULT)),
    ],
)
def test_an_interaction_tells_its_usage_at_its_end(name, told, size):
    """Totals, partial totals, model, id and tier of every sample, down to single bytes."""
    found = answer((SAMPLES / name).read_bytes(), name.endswith(".sse"), size)

    assert (found.usage, found.partial, found.served_model, found.response_id, found.tier, found.finding) == told
    assert found.finished == ("cut" not in name)


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"total_input_tokens": 5, "total_output_tokens": 3}, (5, 3, 0)),
        (
            {"total_input_tokens": 5, "total_output_tokens": 3, "total_reasoning_tokens": 2, "total_tokens": 8},
            (5, 3, 2),
        ),
        ({"total_input_tokens": 5, "total_output_tokens": None, "total_tokens": 9}, (5, 4, 0)),
        ({}, (0, 0, 0)),
    ],
)
def test_the_total_says_what_stands_inside_another(counts, usage):
    """Nulls, older names, and thoughts inside the output."""
    told = interaction_usage(counts, "gemini-3-pro")

    assert (told.input_tokens, told.output_tokens, told.reasoning_tokens) == usage


@pytest.mark.parametrize("status", ["failed", "cancelled", "requires_action", "incomplete"])
def test_whatever_ended_it_its_usage_counts(status):
    """Interactions that ended otherwise than completed are billed for what they used."""
    document = {"id": "i", "status": status, "usage": {"total_input_tokens": 5, "total_output_tokens": 1}}

    found = answer(json.dumps(document).encode(), False)

    assert (found.usage, found.failed) == (Usage(input_tokens=5, output_tokens=1), status == "failed")


def test_what_a_request_asks_for():
    """Caps, tier, media, hidden and unbounded parts."""
    told, document = read(
        {
            "model": "models/gemini-3-pro",
            "input": [
                {"type": "text", "text": "What is this?"},
                {"type": "image", "data": "a" * 4000},
                {"type": "document", "uri": "https://x"},
            ],
            "tools": [{"type": "function", "name": "f"}, {"type": "google_search"}, {"type": "odd"}],
            "previous_interaction_id": "i-0",
            "background": True,
            "stream": True,
            "service_tier": "priority",
            "generation_config": {"max_output_tokens": 99},
        }
    )

    assert (told.model, told.cap, told.tier, told.stream) == ("gemini-3-pro", 99, "priority", True)
    assert told.media == (("image", 3000), ("document", 0))
    assert told.hidden_input == ("document_url", "previous_interaction_id")
    assert told.unbounded == ("google_search", "unknown_tool", "background")
    assert INTERACTIONS.clamp(document, told, 10)
    assert document["generation_config"] == {"max_output_tokens": 10}
    assert INTERACTIONS.with_model(document, "/p", "small") == "/p"
    assert document["model"] == "small"


def test_an_agent_is_bounded_by_nothing():
    """An agent's cap would not hold, and no other model can be asked for."""
    told, document = read({"agent": "deep-research", "input": "Why?"})

    assert (told.model, told.unbounded) == ("deep-research", ("agent",))
    assert not INTERACTIONS.clamp(document, told, 10)
    INTERACTIONS.with_model(document, "/p", "small")
    assert "model" not in document


def test_a_get_asks_after_an_earlier_answer():
    """The id in the path is what it polls."""
    told, _ = INTERACTIONS.read_request("GET", "/v1beta/interactions/int%2D3?stream=true", {}, b"")

    assert (told.polls, told.stream) == ("int-3", True)


def test_a_request_without_a_model_is_not_understood():
    """Neither model nor agent is an error that says so."""
    with pytest.raises(NotUnderstood, match="model and agent are missing"):
        read({"input": "x"})


def test_a_stream_ends_early_as_incomplete():
    """The ending is the event that the SDK waits for."""
    facts = CallFacts("gemini-interactions", "google", "interactions", "asked", True, None)
    reader = INTERACTIONS.reader(facts, False, SSE)
    reader.feed((SAMPLES / "stream_cut.sse").read_bytes())

    event = json.loads(reader.finish_early().partition(b"data: ")[2])

    assert (event["event_type"], event["interaction"]["status"]) == ("interaction.completed", "incomplete")
    assert event["interaction"]["usage"]["total_tokens"] == 32


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_make_a_reader_fail(body, stream):
    """Arbitrary bytes, alone and after a good beginning, never raise."""
    for prefix in (b"", (SAMPLES / "stream_cut.sse").read_bytes()):
        assert not (answer(prefix + body, stream).finding or "").startswith("reader failed")
