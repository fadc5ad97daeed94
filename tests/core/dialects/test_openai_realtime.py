"""OpenAI over WebSockets: the Realtime API and the Responses API."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.dialects.openai_realtime import OpenAIRealtime
from wfb_core.dialects.openai_responses_socket import ResponsesSocket
from wfb_core.usage import Usage

CREATED = {
    "type": "session.created",
    "session": {
        "model": "gpt-realtime-2025-08-28",
        "max_output_tokens": "inf",
        "audio": {"input": {"transcription": {"model": "whisper-1"}}},
    },
}
DONE = {
    "type": "response.done",
    "response": {
        "id": "resp_1",
        "status": "completed",
        "usage": {
            "total_tokens": 253,
            "input_tokens": 132,
            "output_tokens": 121,
            "input_token_details": {
                "text_tokens": 119,
                "audio_tokens": 13,
                "image_tokens": 0,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
        },
    },
}
SPOKEN = Usage(
    input_tokens=132,
    cache_read_tokens=64,
    audio_input_tokens=13,
    audio_cache_read_tokens=4,
    output_tokens=121,
    audio_output_tokens=91,
)
TRANSCRIBED = "conversation.item.input_audio_transcription.completed"


def sent(meter, *messages):
    """Passes messages of the client."""
    for message in messages:
        meter.sent(json.dumps(message).encode())


def received(meter, *messages):
    """The answers of messages of the server."""
    return [answer for message in messages for answer in meter.received(json.dumps(message).encode())]


def test_every_response_is_one_answer():
    """Each `response.done` tells its own counts, by the model of the session."""
    meter = OpenAIRealtime().open("/v1/realtime?model=gpt-realtime", {}, "openai")
    assert received(meter, CREATED, {"type": "response.created"}) == []
    for _ in range(2):
        delta = {"type": "response.output_audio_transcript.delta", "delta": "Hello"}
        (answer,) = received(meter, delta, DONE)
        assert (answer.usage, answer.served_model, answer.response_id) == (SPOKEN, "gpt-realtime-2025-08-28", "resp_1")
        assert (answer.output_bytes_seen, answer.finished) == (5, True)
    assert meter.end() is None


def test_transcriptions_are_answers_of_their_own_model():
    """By time and by tokens, at the transcriber's price; the response under way is untouched."""
    meter = OpenAIRealtime().open("/v1/realtime?model=gpt-realtime", {}, "openai")
    received(meter, CREATED)
    timed, counted = received(
        meter,
        {"type": TRANSCRIBED, "item_id": "item_1", "usage": {"type": "duration", "seconds": 2.5}},
        {
            "type": TRANSCRIBED,
            "item_id": "item_2",
            "usage": {
                "type": "tokens",
                "input_tokens": 9,
                "output_tokens": 3,
                "input_token_details": {"audio_tokens": 9},
            },
        },
    )

    assert (timed.served_model, timed.usage) == ("whisper-1", Usage(units=(("audio_input_ms", 2500),)))
    assert counted.usage == Usage(input_tokens=9, output_tokens=3, audio_input_tokens=9)


def test_what_the_next_response_may_cost():
    """The session's cap holds until a response names its own, and again after it."""
    meter = OpenAIRealtime().open("/v1/realtime", {}, "openai")
    assert meter.facts() is None
    received(meter, CREATED)
    assert meter.facts().cap is None
    sent(
        meter,
        {"type": "session.update", "session": {"max_output_tokens": 400, "instructions": "Be brief"}},
        {"type": "input_audio_buffer.append", "audio": "aaaa"},
        {"type": "input_audio_buffer.append", "audio": "aaaa"},
        {"type": "response.create", "response": {"max_output_tokens": 50}},
    )
    facts = meter.facts()
    assert (facts.model, facts.cap, facts.media) == ("gpt-realtime-2025-08-28", 50, (("audio", 6),))
    assert (facts.operation, facts.hidden_input, facts.stream) == ("realtime", ("conversation",), True)
    assert facts.input_bytes >= len("Be brief")
    received(meter, DONE)
    assert meter.facts().cap == 400


def test_a_response_without_counts_is_told_as_such():
    """A failed response and one that was cut off leave an answer without usage."""
    meter = OpenAIRealtime().open("/v1/realtime?model=gpt-realtime", {}, "openai")
    (failed,) = received(meter, {"type": "response.done", "response": {"status": "failed", "usage": None}})
    received(meter, {"type": "response.created"})
    cut = meter.end()

    assert (failed.usage, failed.failed, failed.finding) == (None, True, "usage missing")
    assert (cut.usage, cut.finished, cut.served_model) == (None, False, "gpt-realtime")


def test_responses_over_a_socket_end_in_their_lanes():
    """Each lane's terminal event is one answer, whatever stands between."""
    meter = ResponsesSocket().open("/v1/responses", {}, "openai")
    assert meter.facts() is None
    sent(
        meter, {"type": "response.create", "stream_id": "a", "model": "gpt-5.4", "input": "Hi", "max_output_tokens": 9}
    )
    facts = meter.facts()
    assert (facts.model, facts.cap, facts.dialect, facts.stream) == ("gpt-5.4", 9, "openai-responses-socket", True)

    counts = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    response = {"id": "resp_a", "model": "gpt-5.4-2026-03-05", "usage": counts}
    answers = received(
        meter,
        {"type": "response.created", "stream_id": "a", "response": {"id": "resp_a"}},
        {"type": "response.created", "stream_id": "b", "response": {"id": "resp_b"}},
        {"type": "response.output_text.delta", "stream_id": "a", "delta": "Hello"},
        {"type": "response.completed", "stream_id": "a", "response": response},
        {"type": "response.failed", "stream_id": "b", "response": {"id": "resp_b", "status": "failed", "usage": None}},
    )

    assert [(answer.response_id, answer.usage, answer.failed) for answer in answers] == [
        ("resp_a", Usage(input_tokens=10, output_tokens=5), False),
        ("resp_b", None, True),
    ]
    assert (answers[0].output_bytes_seen, answers[0].served_model) == (5, "gpt-5.4-2026-03-05")
    assert meter.end() is None


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([OpenAIRealtime(), ResponsesSocket()]),
    st.lists(
        st.binary(max_size=60)
        | st.dictionaries(
            st.sampled_from(["type", "response", "session", "usage", "stream_id", "item_id"]),
            st.sampled_from(
                ["response.done", "response.create", "session.updated", TRANSCRIBED, "error", {}, [1], None]
            ),
        ).map(lambda message: json.dumps(message).encode()),
        max_size=6,
    ),
)
def test_no_messages_make_a_meter_fail(dialect, messages):
    """Arbitrary messages of both sides never raise."""
    meter = dialect.open("/v1/realtime?model=x", {}, "openai")
    for message in messages:
        meter.sent(message)
        meter.received(message)
    meter.facts()
    meter.end()
