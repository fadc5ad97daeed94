"""Changing a request: as little as possible, and never into one that the provider refuses."""

import copy
import json

import pytest

from wfb_core.dialects import DIALECTS, serialise

WITH_SDK = ("openai-chat", "openai-responses", "anthropic-messages")
"""The dialects whose samples and SDKs this file knows; the others have files of their own."""

CHAT, RESPONSES, MESSAGES = "openai-chat", "openai-responses", "anthropic-messages"
LEAST = {
    CHAT: {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    RESPONSES: {"model": "m", "input": "hi"},
    MESSAGES: {"model": "m", "max_tokens": 5000, "messages": [{"role": "user", "content": "hi"}]},
}


def read(dialect, fields):
    """(dialect, facts, document) of the least request and some more fields; a field of None is left out."""
    document = {k: v for k, v in {**LEAST[dialect], **fields}.items() if v is not None}
    facts, document = DIALECTS[dialect].read_request("POST", "/", {}, json.dumps(document).encode())
    return DIALECTS[dialect], facts, document


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        ({"stream": True}, {"include_usage": True}),
        ({"stream": True, "stream_options": {}}, {"include_usage": True}),
        ({"stream": True, "stream_options": {"include_usage": False}}, {"include_usage": True}),
        (
            {"stream": True, "stream_options": {"include_obfuscation": False}},
            {"include_obfuscation": False, "include_usage": True},
        ),
    ],
)
def test_a_chat_stream_is_asked_for_its_usage(fields, options):
    """Where the caller did not ask we do, and nothing else changes."""
    dialect, facts, document = read(CHAT, fields)
    before = copy.deepcopy(document)

    assert dialect.prepare(document, facts)
    assert not facts.wants_usage_chunk
    assert document == {**before, "stream_options": options}


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        (CHAT, {}),
        (CHAT, {"stream": False}),
        (CHAT, {"stream": True, "stream_options": {"include_usage": True}}),
        (RESPONSES, {"stream": True}),
        (MESSAGES, {"stream": True}),
    ],
)
def test_nothing_else_is_prepared(name, fields):
    """No stream, a caller who asked, or a dialect that tells usage unasked: the body goes as it came."""
    dialect, facts, document = read(name, fields)
    before = copy.deepcopy(document)

    assert not dialect.prepare(document, facts)
    assert document == before
    assert facts.wants_usage_chunk


THINKING = {"type": "enabled", "budget_tokens": 2000}
CLAMPS = [
    (CHAT, {}, 300, {"max_completion_tokens": 300}),
    (CHAT, {"max_completion_tokens": 1000}, 300, {"max_completion_tokens": 300}),
    (CHAT, {"max_tokens": 1000}, 300, {"max_tokens": 300}),
    (CHAT, {"max_tokens": 200}, 300, {"max_tokens": 200}),
    (CHAT, {"max_tokens": 0}, 300, {"max_tokens": 0}),
    (CHAT, {"max_tokens": 1000, "max_completion_tokens": 200}, 300, {"max_tokens": 300, "max_completion_tokens": 200}),
    (RESPONSES, {}, 300, {"max_output_tokens": 300}),
    (RESPONSES, {"max_output_tokens": 100}, 300, {"max_output_tokens": 100}),
    (RESPONSES, {"max_output_tokens": 1000}, 300, {"max_output_tokens": 300}),
    (MESSAGES, {}, 300, {"max_tokens": 300}),
    (MESSAGES, {"max_tokens": 100}, 300, {"max_tokens": 100}),
    (MESSAGES, {"max_tokens": None}, 300, {"max_tokens": 300}),
    (MESSAGES, {"thinking": THINKING}, 2001, {"max_tokens": 2001}),
    (MESSAGES, {"thinking": {"type": "adaptive"}}, 300, {"max_tokens": 300}),
    (MESSAGES, {"thinking": {**THINKING, "budget_tokens": 9000}}, 300, {"max_tokens": 300}),  # interleaved
]


@pytest.mark.parametrize(("name", "fields", "cap", "changed"), CLAMPS)
def test_clamp_lowers_the_cap_in_the_field_that_is_used(name, fields, cap, changed):
    """A lower cap stays, another field never appears, and nothing else changes."""
    dialect, facts, document = read(name, fields)
    before = copy.deepcopy(document)

    assert dialect.clamp(document, facts, cap)
    assert document == {**before, **changed}
    again, _ = dialect.read_request("POST", "/", {}, serialise(document))
    assert again.cap <= max(cap, facts.cap or 0)


@pytest.mark.parametrize("cap", [300, 1999, 2000])
def test_a_clamp_below_the_thinking_budget_is_declined(cap):
    """Anthropic refuses max_tokens that is not above budget_tokens: the document stays and the caller is told."""
    dialect, facts, document = read(MESSAGES, {"thinking": THINKING})
    before = copy.deepcopy(document)

    assert not dialect.clamp(document, facts, cap)
    assert document == before


@pytest.mark.parametrize("name", WITH_SDK)
def test_another_model_changes_the_model_alone(name):
    """A downgrade leaves the rest of the request to the caller."""
    dialect, _, document = read(name, {})
    before = copy.deepcopy(document)

    assert dialect.with_model(document, "/v1/any", "smaller") == "/v1/any"

    assert document == {**before, "model": "smaller"}


@pytest.mark.parametrize("text", ["Grüße 你好 🎉", "\ud800 alone", 'quote " back \\ nul \x00'])
def test_a_changed_body_says_the_same(text):
    """Compact UTF-8; unpaired surrogates, which exist only as escapes, stay escapes."""
    document = {"model": "m", "messages": [{"content": text}], "temperature": 0.1}

    body = serialise(document)

    assert json.loads(body) == document
    assert b", " not in body.replace(text.encode("utf-8", "surrogatepass"), b"")
