"""Google's Live API: turns over a socket, each answered once with its own counts."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.dialects.gemini_live import GeminiLive
from wfb_core.usage import Usage

SETUP = {
    "setup": {
        "model": "models/gemini-live-2.5-flash",
        "generationConfig": {"maxOutputTokens": 500, "responseModalities": ["AUDIO"]},
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"functionDeclarations": [{"name": "f"}]}, {"googleSearch": {}}],
    }
}
TALK = {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm", "data": "aaaa"}}]}}}
TEXT = {"serverContent": {"outputTranscription": {"text": "Hello"}}}
DONE = {"serverContent": {"turnComplete": True}}
COUNTS = {
    "usageMetadata": {
        "promptTokenCount": 100,
        "responseTokenCount": 40,
        "totalTokenCount": 150,
        "thoughtsTokenCount": 10,
        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 90}, {"modality": "TEXT", "tokenCount": 10}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}],
    }
}
EARLIER = {"usageMetadata": {"promptTokenCount": 100, "responseTokenCount": 5, "totalTokenCount": 105}}
TURN = Usage(input_tokens=100, output_tokens=50, reasoning_tokens=10, audio_input_tokens=90, audio_output_tokens=40)


def opened():
    """A meter of a socket whose setup has passed."""
    meter = GeminiLive().open("/ws/x", {}, "google")
    assert meter.facts() is None
    meter.sent(json.dumps(SETUP).encode())
    return meter


def received(meter, *messages):
    """The answers of messages of the server."""
    return [answer for message in messages for answer in meter.received(json.dumps(message).encode())]


@pytest.mark.parametrize(
    "turn",
    [
        [TALK, TEXT, {**DONE, **COUNTS}],
        [TALK, TEXT, DONE, COUNTS],
        [TALK, EARLIER, TEXT, {**DONE, **COUNTS}],
        [TALK, TEXT, COUNTS, DONE],
        [EARLIER, TALK, TEXT, COUNTS, DONE],
        [TALK, TEXT, {"toolCall": {"functionCalls": []}, **COUNTS}],
    ],
)
def test_a_turn_is_answered_once_with_its_last_counts(turn):
    """Wherever the counts stand, each of two turns makes one answer."""
    meter = opened()
    for _ in range(2):
        (answer,) = received(meter, {"setupComplete": {}}, *turn)

        assert (answer.usage, answer.served_model, answer.finished) == (TURN, "gemini-live-2.5-flash", True)
        assert answer.output_bytes_seen == 5
    assert meter.end() is None


def test_what_the_next_turn_may_cost():
    """The setup's caps and tools, and what was sent since; the session itself is hidden."""
    meter = opened()
    meter.sent(json.dumps({"realtimeInput": {"audio": {"mimeType": "audio/pcm;rate=16000", "data": "aaaa"}}}).encode())
    meter.sent(json.dumps({"realtime_input": {"media_chunks": [{"mime_type": "audio/pcm", "data": "aaaa"}]}}).encode())
    meter.sent(json.dumps({"clientContent": {"turns": [{"parts": [{"text": "Hello there"}]}]}}).encode())
    facts = meter.facts()

    assert (facts.model, facts.cap, facts.stream) == ("gemini-live-2.5-flash", 500, True)
    assert facts.media == (("audio", 6),)
    assert (facts.hidden_input, facts.unbounded) == (("session",), ("google_search",))
    assert (facts.messages, facts.tools) == (2, 2)
    assert facts.input_bytes > 20


def test_a_turn_that_was_under_way_is_told_at_the_end():
    """A socket that closes in a turn leaves what it had, with or without counts."""
    meter = opened()
    received(meter, TALK, EARLIER)
    answer = meter.end()
    assert (answer.usage, answer.finished) == (Usage(input_tokens=100, output_tokens=5), False)

    received(meter, TALK)
    answer = meter.end()
    assert (answer.usage, answer.finding, answer.frames) == (None, "usage missing", 1)


def test_counts_that_are_none_are_a_finding():
    """Nonsense is told once and takes no turn's counts with it."""
    meter = opened()

    (bad,) = received(meter, TALK, {**DONE, "usageMetadata": {"promptTokenCount": "many"}})
    (good,) = received(meter, TALK, {**DONE, **COUNTS})

    assert bad.finding == "usage malformed: promptTokenCount is no whole number"
    assert good.usage == TURN


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=6))
def test_no_messages_make_a_meter_fail(messages):
    """Arbitrary bytes of both sides never raise."""
    meter = opened()
    for client, message in messages:
        if client:
            meter.sent(message)
        else:
            assert meter.received(message) == ()
    assert meter.facts() is not None
