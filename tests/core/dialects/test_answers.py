"""What each dialect learns from an answer: samples in the providers' real shapes, and bad ones."""

import gzip
import json
from dataclasses import replace
import pathlib
import zlib

import pytest
from anthropic.types import Message
from anthropic.types.beta import BetaRawMessageStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from wfb_core.call import CallFacts
from wfb_core.dialects import DIALECTS
from wfb_core.dialects import answer as answer_module
from wfb_core.dialects.sse import FrameScanner, fields
from wfb_core.usage import Usage

WITH_SDK = ("openai-chat", "openai-responses", "anthropic-messages")
"""The dialects whose samples and SDKs this file knows; the others have files of their own."""

SAMPLES = pathlib.Path(__file__).parent / "samples"
CHAT, RESPONSES, MESSAGES = "openai-chat", "openai-responses", "anthropic-messages"
SSE = {"content-type": "text/event-stream; charset=utf-8"}
SHAPES = {
    CHAT: (TypeAdapter(ChatCompletionChunk), TypeAdapter(ChatCompletion)),
    RESPONSES: (TypeAdapter(ResponseStreamEvent), TypeAdapter(Response)),
    MESSAGES: (TypeAdapter(BetaRawMessageStreamEvent), TypeAdapter(Message)),
}
ANSWERS = sorted(
    f"{p.parent.name}/{p.name}"
    for p in SAMPLES.glob("*/*")
    if p.parent.name in SHAPES and not p.name.startswith("request")
)


def facts(dialect, stream=True, **more):
    """The facts of a call of this dialect."""
    return CallFacts(dialect, DIALECTS[dialect].provider, "", "asked", stream, None, **more)


def answer(dialect, body, stream=True, headers=None, strip=False):
    """(what was handed on, the Answer) of a body in one chunk."""
    reader = DIALECTS[dialect].reader(facts(dialect, stream), strip, headers or {})
    out = reader.feed(body) + reader.feed(b"")
    return out, reader.end()


def sample(name):
    """(dialect, bytes, whether it is a stream) of a sample."""
    return name.partition("/")[0], (SAMPLES / name).read_bytes(), name.endswith(".sse")


@pytest.mark.parametrize("name", ANSWERS)
def test_samples_have_the_shapes_that_the_sdks_declare(name):
    """Every sample validates against the real SDK's own models, but for pings and errors, which those leave out."""
    dialect, body, stream = sample(name)
    if not stream:
        SHAPES[dialect][1].validate_json(body)
        return
    for raw in FrameScanner().feed(body):
        _, data = fields(raw)
        if data and data != b"[DONE]":
            event = json.loads(data)
            if "error" not in event and event.get("type") != "ping":
                SHAPES[dialect][0].validate_python(event)


CHAT_USAGE = Usage(
    input_tokens=2006, cache_read_tokens=1920, cache_write_tokens=64, output_tokens=300, reasoning_tokens=128
)
RESPONSES_USAGE = Usage(
    input_tokens=1200,
    cache_read_tokens=1024,
    cache_write_tokens=128,
    cache_write_1h_tokens=100,
    output_tokens=90,
    reasoning_tokens=64,
)
START = Usage(
    input_tokens=1325, cache_read_tokens=1000, cache_write_tokens=300, cache_write_1h_tokens=100, output_tokens=1
)
ITERATIONS = (
    ("claude-sonnet-5-5", Usage(input_tokens=5000, output_tokens=600)),
    (
        "claude-sonnet-5-5",
        Usage(input_tokens=130, cache_read_tokens=20, cache_write_tokens=10, cache_write_1h_tokens=6, output_tokens=50),
    ),
    ("claude-opus-5-5", Usage(input_tokens=70, output_tokens=30)),
)
TOLD = {
    "openai-chat/stream.sse": {
        "usage": CHAT_USAGE,
        "served_model": "gpt-4o-2024-08-06",
        "response_id": "chatcmpl-B1",
        "tier": "default",
        "finished": True,
        "failed": False,
        "frames": 6,
        "extras": {},
        "finding": None,
        "partial": None,
        "parts": (("gpt-4o-2024-08-06", CHAT_USAGE),),
    },
    "openai-chat/stream_without_usage.sse": {"usage": None, "finished": True, "finding": "usage missing", "parts": ()},
    "openai-chat/stream_tool_calls.sse": {"usage": Usage(input_tokens=50, output_tokens=12), "finished": True},
    "openai-chat/stream_cut.sse": {"usage": None, "finished": False, "finding": "usage missing"},
    "openai-chat/stream_error.sse": {"usage": None, "failed": True, "finished": False, "finding": "usage missing"},
    "openai-chat/stream_usage_not_last.sse": {"usage": Usage(input_tokens=7, output_tokens=2), "finished": True},
    "openai-chat/stream_continuous_usage.sse": {"usage": Usage(input_tokens=7, output_tokens=2), "finished": True},
    "openai-chat/stream_named_usage.sse": {
        "usage": Usage(input_tokens=7, output_tokens=2),
        "finished": True,
        "finding": None,
    },
    "openai-chat/unary.json": {
        "usage": CHAT_USAGE,
        "served_model": "gpt-4o-2024-08-06",
        "response_id": "chatcmpl-U1",
        "tier": "priority",
        "finished": True,
        "frames": 0,
        "finding": None,
    },
    "openai-chat/unary_audio.json": {
        "usage": Usage(input_tokens=30, output_tokens=40, audio_input_tokens=20, audio_output_tokens=35),
        "extras": {"audio_input_tokens": 20, "audio_output_tokens": 35},
        "tier": None,
    },
    "openai-responses/stream.sse": {
        "usage": replace(RESPONSES_USAGE, units=(("web_searches", 2),)),
        "served_model": "gpt-5.6-2026-06-01",
        "response_id": "resp_1",
        "tier": "default",
        "finished": True,
        "failed": False,
        "frames": 10,
        "extras": {"cache_write_12h_tokens": 100, "web_search_requests": 2},
        "finding": None,
    },
    "openai-responses/stream_incomplete.sse": {
        "usage": Usage(input_tokens=1200, output_tokens=90, reasoning_tokens=64),
        "finished": True,
        "extras": {},
    },
    "openai-responses/stream_failed.sse": {
        "usage": None,
        "finished": True,
        "failed": True,
        "finding": "usage missing",
        "response_id": "resp_1",
    },
    "openai-responses/stream_cut.sse": {"usage": None, "finished": False, "finding": "usage missing", "frames": 6},
    "openai-responses/unary.json": {"usage": RESPONSES_USAGE, "tier": "priority", "finished": True, "failed": False},
    "openai-responses/unary_background.json": {"usage": None, "finding": "result pending", "failed": False},
    "anthropic-messages/stream.sse": {
        "usage": Usage(
            input_tokens=1325,
            cache_read_tokens=1000,
            cache_write_tokens=300,
            cache_write_1h_tokens=100,
            output_tokens=42,
            reasoning_tokens=30,
        ),
        "served_model": "claude-haiku-4-5-20251001",
        "response_id": "msg_01",
        "tier": "default",
        "finished": True,
        "failed": False,
        "frames": 8,
        "extras": {},
        "partial": None,
        "finding": None,
    },
    "anthropic-messages/stream_tools.sse": {
        "usage": Usage(input_tokens=2400, cache_read_tokens=2000, output_tokens=20, units=(("web_searches", 2),)),
        "extras": {"web_search_requests": 2, "web_fetch_requests": 1},
        "finished": True,
    },
    "anthropic-messages/stream_iterations.sse": {
        "parts": ITERATIONS,
        "usage": Usage(
            input_tokens=5200,
            cache_read_tokens=20,
            cache_write_tokens=10,
            cache_write_1h_tokens=6,
            output_tokens=680,
        ),
    },
    "anthropic-messages/stream_cut.sse": {
        "usage": None,
        "partial": START,
        "finished": False,
        "failed": False,
        "finding": "usage missing",
    },
    "anthropic-messages/stream_error.sse": {"usage": None, "partial": START, "failed": True, "finished": False},
    "anthropic-messages/unary.json": {
        "usage": Usage(
            input_tokens=1325,
            cache_read_tokens=1000,
            cache_write_tokens=300,
            cache_write_1h_tokens=100,
            output_tokens=9,
        ),
        "tier": "priority+fast+geo-us",
        "finished": True,
    },
}


def test_every_sample_is_in_the_table():
    """A sample that nothing is expected of proves nothing."""
    assert sorted(TOLD) == ANSWERS


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_tells_what_the_provider_said(name):
    """Totals with their classes inside, the later count of a stream, every model by its own."""
    dialect, body, stream = sample(name)

    out, told = answer(dialect, body, stream)

    assert out == body
    assert {field: getattr(told, field) for field in TOLD[name]} == TOLD[name]


SEEN = [
    ("openai-chat/stream.sse", 'Grüße, "wörld"\n 你好 🎉'),
    ("openai-chat/stream_tool_calls.sse", 'look_up{"city":"Köln"}'),
    ("openai-chat/unary.json", "Hello there"),
    ("openai-responses/stream.sse", 'Grüße "response.completed"'),
    ("openai-responses/unary.json", "Hello there"),
    ("anthropic-messages/stream.sse", 'Grüße "usage": message_stop'),
    ("anthropic-messages/stream_tools.sse", 'look_up{"city":"Köln"}'),
    ("anthropic-messages/unary.json", "Hello there"),
]


@pytest.mark.parametrize(("name", "text"), SEEN)
def test_output_is_counted_never_too_low(name, text):
    """Text and tool arguments that passed, at least at their decoded size and not far above it."""
    dialect, body, stream = sample(name)

    _, told = answer(dialect, body, stream)

    assert len(text.encode()) <= told.output_bytes_seen <= len(text.encode()) + 120


BAD_USAGE = {
    CHAT: ("prompt_tokens", "completion_tokens"),
    RESPONSES: ("input_tokens", "output_tokens"),
    MESSAGES: ("input_tokens", "output_tokens"),
}


@pytest.mark.parametrize("dialect", WITH_SDK)
@pytest.mark.parametrize("bad", ["12", -1, 1.5, True, 10**13, [1], {"a": 1}])
def test_counts_that_are_none_are_never_priced(dialect, bad):
    """A string, a negative or an absurd number makes the whole usage malformed."""
    for field in BAD_USAGE[dialect]:
        usage = {**dict.fromkeys(BAD_USAGE[dialect], 3), field: bad}

        _, told = answer(dialect, json.dumps({"usage": usage}).encode(), stream=False)

        assert told.usage is None
        assert told.parts == ()
        assert told.finding.startswith(f"usage malformed: {field} is ")


@pytest.mark.parametrize(
    ("dialect", "usage"),
    [
        (CHAT, {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": [6]}),
        (CHAT, {"completion_tokens": 1}),
        (CHAT, "12"),
        (CHAT, [1]),
        (RESPONSES, {"input_tokens": 5}),
        (MESSAGES, {"output_tokens": 5}),
        (MESSAGES, {"input_tokens": 5, "output_tokens": 2, "iterations": "x"}),
        (MESSAGES, {"input_tokens": 5, "output_tokens": 2, "iterations": [{"type": "message"}]}),
        (MESSAGES, {"input_tokens": 5, "output_tokens": 2, "iterations": [4]}),
        (MESSAGES, 7),
    ],
)
def test_a_usage_that_lacks_its_totals_is_malformed(dialect, usage):
    """What is no usage is a finding, not a price."""
    _, told = answer(dialect, json.dumps({"usage": usage}).encode(), stream=False)

    assert told.usage is None
    assert told.finding.startswith("usage malformed: ")


@pytest.mark.parametrize(
    ("dialect", "usage", "cut"),
    [
        (
            CHAT,
            {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 6}},
            Usage(input_tokens=5, cache_read_tokens=5, output_tokens=1),
        ),
        (
            RESPONSES,
            {"input_tokens": 5, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 3}},
            Usage(input_tokens=5, output_tokens=2, reasoning_tokens=2),
        ),
        (
            MESSAGES,
            {"input_tokens": 5, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 3}},
            Usage(input_tokens=5, output_tokens=2, reasoning_tokens=2),
        ),
    ],
)
def test_a_part_that_exceeds_its_whole_is_cut_to_it(dialect, usage, cut):
    """The totals are what is billed: they stay, whatever providers say of their parts."""
    assert answer(dialect, json.dumps({"usage": usage}).encode(), stream=False)[1].usage == cut


def test_a_good_count_after_a_bad_one_counts():
    """Cumulative streams: the last word is the provider's."""
    chunk = b'data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":%s,"completion_tokens":1}}\n\n'

    assert answer(CHAT, chunk % b'"x"' + chunk % b"4")[1].usage == Usage(input_tokens=4, output_tokens=1)
    assert answer(CHAT, chunk % b"4" + chunk % b'"x"')[1].usage is None


def test_a_chunk_in_several_data_lines_is_read_whole():
    """The standard lets a server split a chunk between tokens, even between a key and its value."""
    first = b'data: {"id":"c","choices":[{"delta":{"content":"a"}}]}\n\n'
    split = b'data: {"choices":[{"index":0,"delta":{"content":\ndata: "bc"},"finish_reason":\ndata: "stop"}]}\n\n'
    reader = DIALECTS[CHAT].reader(facts(CHAT), False, SSE)
    reader.feed(first + split)

    assert reader.end().output_bytes_seen == 3
    assert b"finish_reason" not in reader.finish_early()  # its only choice was closed


def messages_stream(*events):
    """An Anthropic stream of these events."""
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


DELTAS = [
    # A delta's null keeps the start's count, its number replaces it.
    ({"output_tokens": 5}, Usage(130, 10, 20, 0, 5)),
    ({"output_tokens": 5, "input_tokens": None}, Usage(130, 10, 20, 0, 5)),
    ({"output_tokens": 5, "input_tokens": 200}, Usage(230, 10, 20, 0, 5)),
    ({"output_tokens": 5, "cache_creation_input_tokens": 50}, Usage(160, 10, 50, 0, 5)),
]


@pytest.mark.parametrize(("delta", "usage"), DELTAS)
def test_anthropic_deltas_replace_what_they_name(delta, usage):
    """Running totals, never sums."""
    start = {
        "input_tokens": 100,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 0},
        "output_tokens": 1,
    }
    body = messages_stream(
        {"type": "message_start", "message": {"id": "m", "model": "x", "usage": start}},
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 2}},
        {"type": "message_delta", "delta": {}, "usage": delta},
        {"type": "message_delta", "delta": {}},
        {"type": "message_stop"},
    )

    assert answer(MESSAGES, body)[1].usage == usage


@pytest.mark.parametrize(
    ("counts", "long"),
    [
        ({"cache_creation_input_tokens": 30, "cache_creation": {"ephemeral_1h_input_tokens": 10}}, 30),
        (
            {
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_1h_input_tokens": 10, "ephemeral_5m_input_tokens": 5},
            },
            10,
        ),
        ({"cache_creation_input_tokens": 30, "cache_creation": None}, 0),
        ({"cache_creation": {"ephemeral_1h_input_tokens": 10, "ephemeral_5m_input_tokens": 20}}, 10),
    ],
)
def test_cache_writes_are_split_by_their_life(counts, long):
    """The hour's part is known, or is all of a later total where there was no other."""
    usage = {"input_tokens": 1, "output_tokens": 1, **counts}

    told = answer(MESSAGES, json.dumps({"usage": usage}).encode(), stream=False)[1]

    assert told.usage.cache_write_tokens == 30
    assert told.usage.cache_write_1h_tokens == long
    assert told.usage.input_tokens == 31


BROKEN = [
    (b"", False, "body broken"),
    (b'{"usage":', False, "body broken"),
    (b"[]", False, "frame broken"),
    (b"null", False, "frame broken"),
    (b"{}", False, "usage missing"),
    (b"", True, "usage missing"),
    (b": only a comment\n\n", True, "usage missing"),
    (b"data: {]\n\n", True, "frame broken"),
    (b"data: 4\n\n", True, "frame broken"),
]


@pytest.mark.parametrize("dialect", WITH_SDK)
@pytest.mark.parametrize(("body", "stream", "finding"), BROKEN)
def test_a_broken_answer_is_a_finding(dialect, body, stream, finding):
    """What cannot be read says so, and passes."""
    out, told = answer(dialect, body, stream)

    assert out == body
    assert (told.usage, told.finding) == (None, finding)


def test_the_answers_own_type_decides_how_it_is_read():
    """A server may answer a stream request in one body, and the other way round."""
    unary = (SAMPLES / CHAT / "unary.json").read_bytes()
    stream = (SAMPLES / CHAT / "stream.sse").read_bytes()

    assert answer(CHAT, unary, stream=True, headers={"Content-Type": "application/json"})[1].usage == CHAT_USAGE
    assert answer(CHAT, stream, stream=False, headers=SSE)[1].usage == CHAT_USAGE


ENCODINGS = [
    ("gzip", gzip.compress),
    ("gzip", lambda b: gzip.compress(b[:99]) + gzip.compress(b[99:])),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", lambda b: zlib.compress(b, wbits=-15)),
]


@pytest.mark.parametrize("name", ["openai-chat/stream.sse", "openai-chat/unary.json", "anthropic-messages/stream.sse"])
@pytest.mark.parametrize(("encoding", "encode"), ENCODINGS)
@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_compressed_answers_are_read_while_they_pass_untouched(name, encoding, encode, size):
    """The same is learned as from the plain answer, in any chunks, and the bytes are the provider's."""
    dialect, body, stream = sample(name)
    encoded = encode(body)
    reader = DIALECTS[dialect].reader(facts(dialect, stream), False, {"content-encoding": encoding})

    out = b"".join(reader.feed(encoded[i : i + size]) for i in range(0, len(encoded), size)) + reader.feed(b"")

    assert out == encoded
    assert reader.end() == answer(dialect, body, stream)[1]
    assert reader.finish_early() is None


def test_of_a_compressed_stream_nothing_is_stripped():
    """The usage is read, the chunk stays, and the finding says that it did."""
    encoded = gzip.compress((SAMPLES / CHAT / "stream.sse").read_bytes())

    out, told = answer(CHAT, encoded, headers={**SSE, "content-encoding": "gzip"}, strip=True)

    assert out == encoded
    assert (told.usage, told.finding) == (CHAT_USAGE, "usage chunk not stripped")


@pytest.mark.parametrize(
    ("encoding", "finding"),
    [("br", "content-encoding not read: br"), ("gzip", "content-encoding not read: broken gzip")],
)
def test_an_encoding_that_is_not_read_is_a_finding(encoding, finding):
    """The bytes pass and are counted."""
    out, told = answer(CHAT, b"not of any encoding", headers={**SSE, "content-encoding": encoding})

    assert out == b"not of any encoding"
    assert (told.usage, told.finding) == (None, finding)


def test_a_bomb_is_decoded_in_pieces():
    """Sixteen megabytes of comment in sixteen kilobytes pass without ever being held whole."""
    import tracemalloc

    bomb = gzip.compress((b": " + b"x" * 30_000 + b"\n\n") * 550)
    reader = DIALECTS[CHAT].reader(facts(CHAT), False, {**SSE, "content-encoding": "gzip"})
    tracemalloc.start()
    try:
        for i in range(0, len(bomb), 16_384):
            assert reader.feed(bomb[i : i + 16_384])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert reader.end().finding == "usage missing"
    assert peak < 2_000_000


def test_a_body_beyond_the_bound_is_handed_on_unread(monkeypatch):
    """It passes, its pieces are let go, and the finding says why nothing is known."""
    monkeypatch.setattr(answer_module, "LARGEST_BODY", 1000)
    reader = DIALECTS[CHAT].reader(facts(CHAT, stream=False), False, {})

    out = b"".join(reader.feed(b"x" * 400) for _ in range(5))

    assert out == b"x" * 2000
    assert not reader._inner._kept
    told = reader.end()
    assert (told.finding, told.output_bytes_seen) == ("body too large", 2000)


def test_a_frame_beyond_the_bound_passes_unread():
    """With stripping, too: the frame passes in pieces, and the usage after it is still found."""
    body = b'data: {"choices":[{"delta":{"content":"' + b"x" * 3_000_000 + b'"}}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":1}}\n\n'
    reader = DIALECTS[CHAT].reader(facts(CHAT), True, SSE)
    out, most = [], 0
    for i in range(0, len(body), 50_000):
        out.append(reader.feed(body[i : i + 50_000]))
        most = max(most, reader._inner._scanner.pending)
    out.append(reader.feed(usage) + reader.feed(b""))

    assert b"".join(out) == body
    assert most <= 1_100_000
    assert reader.end().usage == Usage(input_tokens=4, output_tokens=1)
    assert DIALECTS[CHAT].reader(facts(CHAT), True, SSE).end().finding == "usage missing"


def test_a_fault_of_ours_is_a_finding_and_the_bytes_go_on(monkeypatch):
    """Whatever a meter raises, a reader hands on every byte, with what it held back."""
    for dialect, strip in ((CHAT, True), (CHAT, False), (RESPONSES, False), (MESSAGES, False)):
        body = (SAMPLES / dialect / "stream.sse").read_bytes()
        reader = DIALECTS[dialect].reader(facts(dialect), strip, SSE)
        reads = iter(range(10))

        def frame(raw, reads=reads):
            if next(reads) == 2:
                raise KeyError("ours")
            return False

        monkeypatch.setattr(reader._meter, "frame", frame)

        out = b"".join(reader.feed(body[i : i + 100]) for i in range(0, len(body), 100)) + reader.feed(b"")

        assert out == body
        assert reader.end().finding == "reader failed: KeyError"
