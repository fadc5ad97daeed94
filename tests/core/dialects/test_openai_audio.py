"""OpenAI's Audio API: what is heard counts by tokens or time, what is spoken by its text."""

import json

import pytest

from wfb_core.dialects.openai_audio import OpenAIAudio
from wfb_core.usage import Usage

AUDIO = OpenAIAudio()
FORM = {"content-type": "multipart/form-data; boundary=b1"}
BODY = (
    b'--b1\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n'
    b'--b1\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--b1--\r\n'
)
BY_TOKENS = {
    "type": "tokens",
    "input_tokens": 14,
    "output_tokens": 45,
    "total_tokens": 59,
    "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
}
HEARD = Usage(input_tokens=14, output_tokens=45, audio_input_tokens=10)


def lasted(ms):
    """The usage of sound that is billed by time."""
    return Usage(units=(("audio_input_ms", ms),))


def heard(body, kind="application/json", facts=None):
    """What an answer to a transcription says, fed byte by byte."""
    facts = facts or AUDIO.read_request("POST", "/v1/audio/transcriptions", FORM, BODY)[0]
    reader = AUDIO.reader(facts, headers={"content-type": kind})
    for byte in body:
        reader.feed(bytes([byte]))
    reader.feed(b"")
    return reader.end()


def test_what_a_transcription_asks_for():
    """A form names the model, and its file is sound."""
    facts, _ = AUDIO.read_request("POST", "/v1/audio/transcriptions", FORM, BODY)

    assert (facts.model, facts.stream, facts.media) == ("whisper-1", False, (("audio", 4),))
    assert (facts.operation, facts.signed) == ("audio.transcriptions", True)


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({"text": "Hi", "usage": BY_TOKENS}, HEARD),
        ({"text": "Hi", "usage": {"type": "duration", "seconds": 9}}, lasted(9000)),
        ({"text": "Hi", "duration": 8.47, "usage": {"type": "duration", "seconds": 9}}, lasted(9000)),
        ({"text": "Hi", "duration": "8.47"}, lasted(8470)),
        ({"text": "Hi", "duration": 2.5, "x_groq": {"id": "req_1"}}, lasted(2500)),
        (
            {
                "model": "voxtral-mini",
                "text": "Hi",
                "usage": {
                    "prompt_audio_seconds": 203,
                    "prompt_tokens": 4,
                    "completion_tokens": 635,
                    "total_tokens": 3264,
                },
            },
            Usage(input_tokens=4, output_tokens=635, units=(("audio_input_ms", 203000),)),
        ),
        ({"text": "Hi"}, None),
        ({"text": "Hi", "usage": {"type": "duration", "seconds": "long"}}, None),
        ({"text": "Hi", "duration": True}, None),
    ],
)
def test_what_a_transcription_used(answer, usage):
    """Tokens, seconds, or the duration of a verbose answer, each provider in its own words."""
    assert heard(json.dumps(answer).encode()).usage == usage


@pytest.mark.parametrize("text", [b"Hello there", b"1\n00:00:00,000 --> 00:00:01,000\nHi\n", b"WEBVTT\n\nHi", b"12"])
def test_a_bare_transcript_tells_nothing(text):
    """Text, SRT and VTT end well, and without usage."""
    answer = heard(text, "text/plain")

    assert (answer.usage, answer.finished, answer.finding) == (None, True, "usage missing")


def test_a_streamed_transcription_tells_its_usage_at_the_end():
    """Deltas are measured; the last event counts."""
    events = [
        {"type": "transcript.text.delta", "delta": "Hel"},
        {"type": "transcript.text.delta", "delta": "lo"},
        {"type": "transcript.text.done", "text": "Hello", "usage": BY_TOKENS},
    ]
    answer = heard(b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events), "text/event-stream")

    assert (answer.usage, answer.finished, answer.output_bytes_seen) == (HEARD, True, 5)


def test_speech_is_counted_by_its_text():
    """The request's characters are its units; sound passes unread."""
    facts, _ = AUDIO.read_request(
        "POST", "/v1/audio/speech", {}, '{"model":"tts-1","input":"Grüße","voice":"x"}'.encode()
    )
    answer = heard(b"ID3\x00\xff", "audio/mpeg", facts)

    assert (facts.units, facts.unbounded) == ((("characters", 5),), ())
    assert (answer.usage, answer.finished, answer.failed) == (None, True, False)


def test_streamed_speech_tells_tokens_of_sound():
    """All that an event stream's last event calls output is sound."""
    body = b'{"model":"gpt-4o-mini-tts","input":"Hi","voice":"x","stream_format":"sse"}'
    facts, _ = AUDIO.read_request("POST", "/v1/audio/speech", {}, body)
    answer = heard(
        b'data: {"type":"speech.audio.delta","audio":"aaaa"}\n\n'
        b'data: {"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":101,"total_tokens":115}}\n\n',
        "text/event-stream",
        facts,
    )

    assert (facts.stream, facts.unbounded) == (True, ("audio_output",))
    assert answer.usage == Usage(input_tokens=14, output_tokens=101, audio_output_tokens=101)
