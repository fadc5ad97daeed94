"""Completions of the time before chat, and Mistral's fill in the middle."""

import json
import pathlib

import pytest

from wfb_core.call import CallFacts
from wfb_core.dialects.openai_completions import OpenAICompletions
from wfb_core.usage import Usage

DIALECT = OpenAICompletions()
SAMPLES = pathlib.Path(__file__).parent / "samples" / DIALECT.name
FIM = "/v1/fim/completions"


def asked(request, provider="openai", path="/v1/completions"):
    """(facts, document) of a request."""
    return DIALECT.read_request("POST", path, {}, json.dumps(request).encode(), provider)


def facts_of(stream, operation="completions", choices=1):
    """Facts of a call."""
    return CallFacts(DIALECT.name, "openai", operation, "asked", stream, 16, choices)


def read(body, stream, step=None, **facts):
    """The Answer of these bytes, whole or in chunks of `step`."""
    kind = "text/event-stream" if stream else "application/json"
    reader = DIALECT.reader(facts_of(stream, **facts), headers={"content-type": kind})
    size = step or len(body)
    for start in range(0, len(body), size):
        reader.feed(body[start : start + size])
    reader.feed(b"")
    return reader.end()


@pytest.mark.parametrize(
    ("name", "usage", "response_id", "text"),
    [
        ("unary.json", Usage(11, output_tokens=8), "cmpl-7", "\n\nGrüße aus Köln."),
        ("stream.sse", Usage(4, output_tokens=3), "cmpl-8", "one two"),
    ],
)
def test_an_answer_tells_its_usage_and_its_text_is_measured(name, usage, response_id, text):
    """In a body and in a stream, whatever its chunks."""
    body = (SAMPLES / name).read_bytes()

    for step in (None, 1, 13):
        told = read(body, name.endswith(".sse"), step)

        assert (told.usage, told.response_id) == (usage, response_id)
        assert told.served_model == "gpt-3.5-turbo-instruct:20230824-v2"
        assert told.finished
        assert len(text.encode()) <= told.output_bytes_seen <= len(text.encode()) + 20


def test_a_stream_of_text_is_measured_without_its_end():
    """Chunks that are only looked at count their text."""
    piece = b'data: {"id":"c","choices":[{"text":"%s","index":0,"finish_reason":null}],"model":"m"}\n\n' % (b"x" * 40)

    assert 400 <= read(piece * 10, True).output_bytes_seen <= 500


def test_a_stream_that_is_cut_ends_in_its_own_shape():
    """As a text completion that reached its cap; every choice that is open is closed."""
    reader = DIALECT.reader(facts_of(True, choices=2), headers={"content-type": "text/event-stream"})
    reader.feed(
        b'data: {"id":"c","created":5,"model":"m","choices":[{"text":"x","index":0,"finish_reason":"stop"}]}\n\n'
    )

    last, end, rest = reader.finish_early().split(b"\n\n")

    assert (end, rest) == (b"data: [DONE]", b"")
    assert json.loads(last.removeprefix(b"data: ")) == {
        "id": "c",
        "object": "text_completion",
        "created": 5,
        "model": "m",
        "choices": [{"index": 1, "text": "", "logprobs": None, "finish_reason": "length"}],
    }


def test_a_fill_in_the_middle_answers_as_chat_does():
    """Its text stands in a delta, its end is a chat's; Mistral is not asked for usage that it tells unasked."""
    facts, document = asked(
        {"model": "codestral", "prompt": "def f", "suffix": "return", "stream": True}, "mistral", FIM
    )
    assert (facts.operation, facts.cap, facts.wants_usage_chunk) == ("fim.completions", None, True)
    assert not DIALECT.prepare(document, facts)
    assert facts.input_bytes >= len("def freturn")

    reader = DIALECT.reader(facts, headers={"content-type": "text/event-stream"})
    reader.feed(
        b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}\n\n'
    )

    assert b'"delta":{}' in reader.finish_early()


CAPS = [
    ("openai", {}, 16, 1),
    ("azure", {}, 16, 1),
    ("together", {}, None, 1),
    ("openai", {"max_tokens": 50, "n": 2, "best_of": 3}, 50, 3),
    ("openai", {"prompt": ["a", "b"], "n": 2}, 16, 4),
    ("openai", {"prompt": [1, 2, 3]}, 16, 1),
    ("openai", {"prompt": [[1, 2], [3]]}, 16, 2),
]


@pytest.mark.parametrize(("provider", "more", "cap", "choices"), CAPS)
def test_every_prompt_is_answered_as_often_as_asked(provider, more, cap, choices):
    """The cap holds for each; OpenAI's own default is small."""
    facts, _ = asked({"model": "m", "prompt": "x", **more}, provider)

    assert (facts.cap, facts.choices) == (cap, choices)


def test_the_cap_is_lowered_and_never_raised():
    """In the one field that completions know; a signed body stays."""
    facts, document = asked({"model": "m", "prompt": "x", "max_tokens": 50})
    assert DIALECT.clamp(document, facts, 90)
    assert document["max_tokens"] == 50
    assert DIALECT.clamp(document, facts, 20)
    assert document["max_tokens"] == 20

    signed = CallFacts(DIALECT.name, "aws", "completions", "m", False, None, signed=True)
    assert not DIALECT.clamp(document, signed, 5)
    assert document["max_tokens"] == 20


def test_a_deployment_is_changed_in_the_path():
    """And only there where the body names none."""
    path = "/openai/deployments/old/completions?api-version=1"
    facts, document = asked({"prompt": "x"}, "azure", path)

    assert (facts.model, facts.deployment, DIALECT.model_in(path)) == ("old", True, "old")
    assert DIALECT.with_model(document, path, "new") == "/openai/deployments/new/completions?api-version=1"
    assert document == {"prompt": "x"}
