"""Cohere's chat, embeddings and rankings: what is billed, in bodies, events and lines."""

import json

import cohere
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.call import CallFacts
from wfb_core.dialects.cohere_chat import CohereChat
from wfb_core.dialects.cohere_embed import CohereEmbed
from wfb_core.dialects.request import NotUnderstood
from wfb_core.usage import Usage

CHAT, EMBED = CohereChat(), CohereEmbed()
EVENTS = {"content-type": "text/event-stream"}
LINES = {"content-type": "application/stream+json"}
JSON = {"content-type": "application/json"}


def request(body, path="/v2/chat", dialect=CHAT):
    """(facts, document) of a request."""
    return dialect.read_request("POST", path, {}, json.dumps(body).encode())


def read(body, stream=False, headers=JSON, size=10**9, dialect=CHAT):
    """The Answer of a body that comes in chunks of this size."""
    facts = CallFacts(dialect.name, "cohere", "", "command-r", stream, None)
    reader = dialect.reader(facts, headers=headers)
    out = b"".join(reader.feed(body[at : at + size]) for at in range(0, len(body), size)) + reader.feed(b"")
    assert out == body
    return reader.end()


def events(end):
    """A stream of version 2 with this delta at its end."""
    frames = (
        {"id": "c9216b71", "type": "message-start", "delta": {"message": {"role": "assistant", "content": []}}},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": 'say "error" [DONE]'}}}},
        {"type": "content-end", "index": 0},
        {"type": "message-end", "delta": end},
    )
    text = "".join(f"event: {frame['type']}\ndata: {json.dumps(frame)}\n\n" for frame in frames)
    return (text + "data: [DONE]\n\n").encode()


def lines(end):
    """A stream of version 1 with this response at its end."""
    frames = (
        {"is_finished": False, "event_type": "stream-start", "generation_id": "g1"},
        {"is_finished": False, "event_type": "text-generation", "text": "Ahoy"},
        {"is_finished": True, "event_type": "stream-end", "response": end, "finish_reason": "COMPLETE"},
    )
    return b"".join(json.dumps(frame, separators=(",", ":")).encode() + b"\n" for frame in frames)


def unary(usage):
    """A whole answer of version 2."""
    message = {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]}
    return json.dumps({"id": "c1", "message": message, "finish_reason": "COMPLETE", "usage": usage}).encode()


COUNTS = {
    "billed, not counted": (
        {
            "billed_units": {"input_tokens": 62, "output_tokens": 28},
            "tokens": {"input_tokens": 968, "output_tokens": 83},
        },
        Usage(62, output_tokens=28),
    ),
    "numbers with a point": (
        {"billed_units": {"input_tokens": 12.0, "output_tokens": 3.0}},
        Usage(12, output_tokens=3),
    ),
    "cache within what is billed": (
        {"billed_units": {"input_tokens": 2406, "output_tokens": 2}, "cached_tokens": 1000},
        Usage(2406, cache_read_tokens=1000, output_tokens=2),
    ),
    "cache beyond what is billed": (
        {
            "billed_units": {"input_tokens": 41, "output_tokens": 25},
            "cached_tokens": 144,
            "tokens": {"input_tokens": 1441},
        },
        Usage(41, cache_read_tokens=41, output_tokens=25),
    ),
    "images inside": (
        {"billed_units": {"input_tokens": 300, "output_tokens": 9, "image_tokens": 259}},
        Usage(300, output_tokens=9, image_input_tokens=259),
    ),
    "images beside": (
        {"billed_units": {"input_tokens": 2, "image_tokens": 259}},
        Usage(261, image_input_tokens=259),
    ),
    "text and images": (
        {"billed_units": {"text_tokens": 2, "image_tokens": 259}},
        Usage(261, image_input_tokens=259),
    ),
    "searches": (
        {"billed_units": {"input_tokens": 5, "output_tokens": 6, "search_units": 1}},
        Usage(5, output_tokens=6, units=(("search_units", 1),)),
    ),
}


@pytest.mark.parametrize("name", COUNTS)
def test_billed_units_are_the_totals(name):
    """Both versions, streamed and not, tell what is billed; no model is named."""
    usage, totals = COUNTS[name]
    first = json.dumps({"response_id": "r1", "generation_id": "g1", "text": "Hi", "meta": usage}).encode()
    for body, stream, headers in (
        (unary(usage), False, JSON),
        (first, False, JSON),
        (events({"finish_reason": "COMPLETE", "usage": usage}), True, EVENTS),
        (lines({"response_id": "r1", "meta": usage}), True, LINES),
        (lines({"response_id": "r1", "meta": usage}), True, {}),
    ):
        for size in (10**9, 1, 11):
            answer = read(body, stream, headers, size)
            assert (answer.usage, answer.served_model, answer.finding) == (totals, None, None)
            assert (answer.finished, answer.failed) == (True, False)
            assert answer.response_id in ("c1", "r1", "c9216b71")


def test_the_samples_are_what_the_sdk_reads():
    """Cohere's own types find the same counts in the samples that the readers are tested with."""
    usage = COUNTS["billed, not counted"][0]
    assert cohere.V2ChatResponse.model_validate_json(unary(usage)).usage.billed_units.input_tokens == 62
    end = {"finish_reason": "COMPLETE", "usage": usage}
    assert cohere.ChatMessageEndEventDelta.model_validate(end).usage.tokens.input_tokens == 968


def test_text_is_measured():
    """What passes is counted in bytes, and a text about an end or an error is neither."""
    body = events({"usage": {}})
    answer = read(body[: body.index(b"event: message-end")], True, EVENTS)
    assert (answer.output_bytes_seen, answer.frames) == (len('say "error" [DONE]'), 4)
    assert (answer.finished, answer.failed) == (False, False)


def test_an_error_inside_an_answer_is_a_failure():
    """A stream that ends in an error bills what its end says, and nothing where that is empty."""
    answer = read(events({"finish_reason": "ERROR", "usage": {}, "error": "invalid tool generation"}), True, EVENTS)
    assert (answer.failed, answer.finished, answer.usage, answer.finding) == (True, True, None, "usage missing")
    answer = read(events({"finish_reason": "ERROR_TOXIC", "usage": COUNTS["billed, not counted"][0]}), True, EVENTS)
    assert (answer.failed, answer.usage) == (True, Usage(62, output_tokens=28))
    assert read(b'{"message":"invalid api token"}').failed


@given(st.integers(0, 700), st.booleans())
def test_a_cut_stream_counts_all_or_nothing(at, first):
    """A stream cut anywhere has the whole usage or none."""
    usage, totals = COUNTS["cache within what is billed"]
    body, headers = (lines({"meta": usage}), LINES) if first else (events({"usage": usage}), EVENTS)
    assert read(body[:at], True, headers).usage in (None, totals)


@given(st.binary(max_size=200), st.sampled_from([EVENTS, LINES, JSON, {}]), st.sampled_from([CHAT, EMBED]))
def test_no_bytes_break_the_readers(body, headers, dialect):
    """Arbitrary bytes give a finding, never an error."""
    assert read(body, True, headers, dialect=dialect).usage is None


@pytest.mark.parametrize(
    "units",
    [{"input_tokens": -1}, {"input_tokens": "7"}, {"input_tokens": 1.5}, {"input_tokens": 10**13}, {"images": []}],
)
def test_bad_counts_are_no_usage(units):
    """Counts that are no counts give a finding."""
    answer = read(unary({"billed_units": units}))
    assert answer.usage is None
    assert answer.finding.startswith("usage malformed")


def test_a_chat_is_measured():
    """Messages of both versions, tools, images, caps and what the body does not show are told."""
    body = {
        "model": "command-a-03-2025",
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400}}],
            },
            {"role": "user", "content": "x" * 500},
        ],
        "documents": ["d" * 100],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "stream": True,
        "max_tokens": 70,
        "thinking": {"type": "enabled", "token_budget": 30},
    }
    facts, document = request(body)
    assert (facts.model, facts.stream, facts.cap, facts.tools, facts.reasoning) == (
        "command-a-03-2025",
        True,
        70,
        1,
        True,
    )
    assert (facts.media, 600 < facts.input_bytes < 900) == ((("image", 300),), True)
    assert not CHAT.clamp(document, facts, 20)
    assert CHAT.clamp(document, facts, 50)
    assert document["max_tokens"] == 50
    old = {"model": "command", "message": "m" * 90, "chat_history": [{"role": "USER", "message": "h" * 90}]}
    facts, document = request({**old, "connectors": [{"id": "web-search"}], "conversation_id": "c"}, "/v1/chat?x=1")
    assert (facts.messages, facts.unbounded, facts.hidden_input) == (2, ("connectors",), ("conversation_id",))
    assert facts.input_bytes >= 180
    assert CHAT.with_model(document, "/v1/chat", "command-r") == "/v1/chat"
    assert document["model"] == "command-r"
    assert request({"message": "m"}, "/v1/chat")[0].model == "command-r-plus-08-2024"
    assert request({"prompt": "p"}, "/v1/generate")[0].operation == "generate"
    with pytest.raises(NotUnderstood, match="model is missing"):
        request({"messages": []})


OTHERS = {
    "embed": ({"input_tokens": 208}, Usage(208)),
    "embed of images": ({"images": 2}, Usage(units=(("images", 2),))),
    "embed of both": ({"input_tokens": 2, "image_tokens": 0}, Usage(2)),
    "rerank": ({"search_units": 3}, Usage(units=(("search_units", 3),))),
    "classify": ({"classifications": 4}, Usage(units=(("requests", 4),))),
}


@pytest.mark.parametrize("name", OTHERS)
def test_embeddings_and_rankings_are_counted(name):
    """Each bills its own unit; vectors are no text."""
    units, usage = OTHERS[name]
    body = {
        "id": "e1",
        "embeddings": [[0.1]],
        "texts": ["x"],
        "meta": {"api_version": {"version": "2"}, "billed_units": units},
    }
    answer = read(json.dumps(body).encode(), dialect=EMBED)
    assert (answer.usage, answer.served_model, answer.output_bytes_seen) == (usage, None, 0)


def test_embeddings_and_rankings_are_measured():
    """What they are asked for tells text, images and searches, and that there is no output."""
    facts, document = request({"model": "embed-v4.0", "texts": ["t" * 100], "images": ["A" * 400]}, "/v2/embed", EMBED)
    assert (facts.operation, facts.cap, facts.media) == ("embed", 0, (("image", 300),))
    assert 100 <= facts.input_bytes < 120
    assert not EMBED.clamp(document, facts, 1)
    facts, _ = request({"query": "q", "documents": ["d"] * 250}, "/v1/rerank", EMBED)
    assert (facts.operation, facts.model, facts.units) == ("rerank", "rerank-english-v2.0", (("search_units", 3),))
    facts, _ = request(
        {"model": "embed-v4.0", "inputs": [{"content": [{"type": "text", "text": "t" * 90}]}]}, "/v2/embed", EMBED
    )
    assert facts.input_bytes >= 90


def test_refusals_have_coheres_shape():
    """The message stands where the SDK's error shows it, and nothing is tried again."""
    status, headers, body = CHAT.refusal("BudgetExhausted", "no money", 402, {"budget": "b", "decision": "d1"})
    assert (status, headers["x-should-retry"], json.loads(body)["message"]) == (402, "false", "no money")
    assert json.loads(body)["budget"] == {"reason": "BudgetExhausted", "budget": "b", "decision": "d1"}
    assert EMBED.refusal("Pacing", "slow", 429, {}, 5)[1]["retry-after"] == "5"


def test_a_stream_that_is_ended_early_is_whole():
    """The ending says that the cap was reached, in events or in a line."""
    for body, headers, last in ((events({}), EVENTS, b"data: [DONE]\n\n"), (lines({}), LINES, b'"MAX_TOKENS"}\n')):
        facts = CallFacts("cohere-chat", "cohere", "", "command-r", True, None)
        reader = CHAT.reader(facts, headers=headers)
        reader.feed(body[: body.index(b"\n" if headers is LINES else b"\n\n") + (1 if headers is LINES else 2)])
        ending = reader.finish_early()
        assert b"MAX_TOKENS" in ending
        assert ending.endswith(last)
