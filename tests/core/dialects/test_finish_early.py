"""Ending a stream that must be stopped: as if its output cap were reached, never in the middle."""

import json
import pathlib

import anthropic
import httpx2
import openai
import pytest

from wfb_core.call import CallFacts
from wfb_core.dialects import DIALECTS

WITH_SDK = ("openai-chat", "openai-responses", "anthropic-messages")
"""The dialects whose samples and SDKs this file knows; the others have files of their own."""

SAMPLES = pathlib.Path(__file__).parent / "samples"
CHAT, RESPONSES, MESSAGES = "openai-chat", "openai-responses", "anthropic-messages"
SSE = {"content-type": "text/event-stream"}


def reader_of(dialect, strip=False, stream=True, choices=1):
    """A reader of the dialect's streams."""
    facts = CallFacts(dialect, DIALECTS[dialect].provider, "", "asked", stream, None, choices)
    return DIALECTS[dialect].reader(facts, strip, SSE if stream else {"content-type": "application/json"})


def events_in(dialect, body):
    """The events that the dialect's own SDK makes of a stream."""

    def answer(request):
        return httpx2.Response(200, headers=SSE, content=body)

    client = httpx2.Client(transport=httpx2.MockTransport(answer))
    if dialect == MESSAGES:
        sdk = anthropic.Anthropic(api_key="x", base_url="http://127.0.0.1:1", http_client=client)
        return list(sdk.messages.create(model="m", max_tokens=5, messages=[], stream=True))
    sdk = openai.OpenAI(api_key="x", base_url="http://127.0.0.1:1/v1", http_client=client)
    if dialect == CHAT:
        return list(sdk.chat.completions.create(model="m", messages=[], stream=True))
    return list(sdk.responses.create(model="m", input="x", stream=True))


def check_ending(dialect, body):
    """What the SDK sees is a whole stream that reached its cap; returns its events."""
    events = events_in(dialect, body)
    if dialect == CHAT:
        assert body.endswith(b"data: [DONE]\n\n")
        assert events[-1].choices[0].finish_reason == "length"
    elif dialect == RESPONSES:
        assert events[-1].type == "response.incomplete"
        assert events[-1].response.status == "incomplete"
        assert events[-1].response.incomplete_details.reason == "max_output_tokens"
    else:
        assert [e.type for e in events[-2:]] == ["message_delta", "message_stop"]
        assert events[-2].delta.stop_reason == "max_tokens"
        opened = [e.index for e in events if e.type == "content_block_start"]
        assert opened == [e.index for e in events if e.type == "content_block_stop"]
        assert events[0].type == "message_start"
    return events


@pytest.mark.parametrize("dialect", WITH_SDK)
@pytest.mark.parametrize("strip", [False, True])
@pytest.mark.parametrize("size", [1, 40, 333, 10**6])
def test_a_stream_ends_whole_wherever_it_is_stopped(dialect, strip, size):
    """After any number of bytes the SDK reads a well-formed stream; what comes after the ending never goes on."""
    stream = (SAMPLES / dialect / "stream_cut.sse").read_bytes()
    stream = stream[: stream.rindex(b"\n\n") + 2]
    stops = {*range(0, len(stream), 97 if size > 1 else 401), stream.index(b"\n\n") + 2, len(stream)}
    for stop in stops:
        reader = reader_of(dialect, strip)
        out = [reader.feed(stream[i : min(i + size, stop)]) for i in range(0, stop, size)]
        ending = reader.finish_early()
        assert ending is not None
        out.append(ending)
        if not ending:  # a frame had begun: its rest is handed on first
            rest = stream[stop:] + b"\n\n: more\n\n"
            out += [reader.feed(rest[i : i + size]) for i in range(0, len(rest), size)]
        out.append(reader.feed(b"data: too late\n\n"))
        out.append(reader.feed(b""))

        body = b"".join(out)

        assert b"too late" not in body
        assert b": more" not in body
        assert body.startswith(stream[: stream[:stop].rfind(b"\n\n") + 2 if b"\n\n" in stream[:stop] else 0])
        check_ending(dialect, body)


def test_every_open_choice_is_closed_once():
    """With n answers in one stream, those that are done are not done again."""
    reader = reader_of(CHAT, choices=3)
    reader.feed(b'data: {"id":"c","created":5,"model":"served","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')
    reader.feed(b'data: {"id":"c","choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}\n\n')

    chunks = [json.loads(frame[6:]) for frame in reader.finish_early().split(b"\n\n")[:-2]]

    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 2]
    assert {(chunk["id"], chunk["model"], chunk["created"]) for chunk in chunks} == {("c", "served", 5)}


def test_a_closed_block_is_not_closed_again():
    """Between two blocks none is open, and of two only the second is."""
    start = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"x"}}\n\n'
    opened = b'event: content_block_start\ndata: {"type":"content_block_start","index":%d,"content_block":{}}\n\n'
    closed = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
    for frames, open_blocks in (
        (start, []),
        (start + opened % 0, [0]),
        (start + opened % 0 + closed % 0, []),
        (start + opened % 0 + closed % 0 + opened % 1, [1]),
    ):
        reader = reader_of(MESSAGES)
        reader.feed(frames)
        events = [json.loads(frame.partition(b"data: ")[2]) for frame in reader.finish_early().split(b"\n\n")[:-1]]

        assert [e["index"] for e in events if e["type"] == "content_block_stop"] == open_blocks


def test_a_stopped_response_keeps_the_items_that_were_finished():
    """The last event carries the response as it was created, and its finished output."""
    stream = (SAMPLES / RESPONSES / "stream.sse").read_bytes()
    reader = reader_of(RESPONSES)
    before = stream[: stream.index(b"event: response.completed")]

    events = check_ending(RESPONSES, reader.feed(before) + reader.finish_early())

    response = events[-1].response
    assert (response.id, response.model) == ("resp_1", "gpt-5.6-2026-06-01")
    assert [item.content[0].text for item in response.output] == ['Grüße "response.completed"']
    assert [e.sequence_number for e in events] == list(range(len(events)))


@pytest.mark.parametrize("dialect", WITH_SDK)
def test_a_stream_that_has_ended_is_not_ended_again(dialect):
    """After the terminal event there is nothing to add."""
    stream = (SAMPLES / dialect / "stream.sse").read_bytes()
    reader = reader_of(dialect)
    reader.feed(stream)

    assert reader.finish_early() == b""
    assert reader.finish_early() is None


@pytest.mark.parametrize("dialect", WITH_SDK)
def test_a_stopped_stream_was_not_finished_by_the_provider(dialect):
    """What was seen stays known, and nothing that we added counts."""
    stream = (SAMPLES / dialect / "stream_cut.sse").read_bytes()
    stream = stream[: stream.rindex(b"\n\n") + 2]
    reader = reader_of(dialect)
    reader.feed(stream)
    seen = reader_of(dialect)
    seen.feed(stream)

    reader.finish_early()
    reader.feed(b'data: {"usage":{"prompt_tokens":1}}\n\n')

    assert reader.end() == seen.end()
    assert not reader.end().finished


@pytest.mark.parametrize("dialect", WITH_SDK)
def test_a_body_cannot_be_ended_early(dialect):
    """Half a JSON text is no answer: the caller is told."""
    reader = reader_of(dialect, stream=False)
    reader.feed(b'{"id":')

    assert reader.finish_early() is None
