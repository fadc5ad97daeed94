"""gRPC: messages in any pieces, Protocol Buffers without their schema, and what xAI's and Google's services count."""

import gzip
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.call import CallFacts
from wfb_core.dialects import protobuf
from wfb_core.dialects.grpc_messages import PrefixScanner
from wfb_core.dialects.grpc_vertex import GrpcVertex
from wfb_core.dialects.grpc_xai import GrpcXai
from wfb_core.dialects.request import NotUnderstood
from wfb_core.dialects.sse import Fragment
from wfb_core.usage import Usage

XAI, VERTEX = GrpcXai(), GrpcVertex()
GRPC = {"content-type": "application/grpc"}
UNARY, STREAMED = "/xai_api.Chat/GetCompletion", "/xai_api.Chat/GetCompletionChunk"
PREDICT = "/google.cloud.aiplatform.v1beta1.PredictionService/StreamGenerateContent"
GENERATE = "/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent"


def varint(value):
    """A number as the wire has it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def wire(*fields):
    """A message of (number, value): whole numbers as varints, text and bytes with their length."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(data)) + data
    return out


def frame(message, flag=0):
    """A message with its prefix."""
    return bytes([flag]) + struct.pack(">I", len(message)) + message


def read(dialect, path, body, headers=GRPC, size=10**9, end=True):
    """The Answer of a body that comes in chunks of this size."""
    operation = path.lstrip("/")
    facts = CallFacts(dialect.name, dialect.provider, operation, "asked", "Stream" in path or "Chunk" in path, None)
    reader = dialect.reader(facts, headers=headers)
    out = b"".join(reader.feed(body[at : at + size]) for at in range(0, len(body), size))
    assert out == body
    assert reader.finish_early() is None
    assert not end or reader.feed(b"") == b""
    return reader.end()


def sampling(**counts):
    """A SamplingUsage of xAI."""
    numbers = {"completion": 1, "prompt": 2, "total": 3, "text": 4, "image": 5, "reasoning": 6, "cached": 7, "tools": 9}
    return wire(*(({**numbers, "ticks": 11}[name], value) for name, value in counts.items()))


XAI_COUNTS = {
    "plain": (sampling(completion=17, prompt=356, total=373, text=356, cached=128), Usage(356, 128, output_tokens=17)),
    "reasoning beside": (
        sampling(completion=57, prompt=453, total=692, reasoning=182),
        Usage(453, output_tokens=239, reasoning_tokens=182),
    ),
    "reasoning inside by the total": (
        sampling(completion=57, prompt=453, total=510, reasoning=50),
        Usage(453, output_tokens=57, reasoning_tokens=50),
    ),
    "cache beyond the prompt": (
        sampling(completion=63, prompt=676, total=739, text=420, image=256, cached=960),
        Usage(676, 676, output_tokens=63, image_input_tokens=256),
    ),
    "searches": (
        sampling(completion=1, prompt=2, total=3, tools=b"\x01\x02\x03"),
        Usage(2, output_tokens=1, units=(("web_searches", 2),)),
    ),
}


@pytest.mark.parametrize("name", XAI_COUNTS)
def test_xais_counts(name):
    """A whole answer and a stream, whose counts are running totals, have the same usage and model."""
    counts, usage = XAI_COUNTS[name]
    output = wire((1, 3), (3, wire((1, "Paris"))))
    whole = frame(wire((1, "id-1"), (2, output), (6, "grok-4.3"), (9, counts)))
    text = wire((1, wire((1, "Par"))))
    stream = b"".join(
        [
            frame(wire((1, "id-1"), (2, text), (4, "grok-4.3"), (6, sampling(completion=1, prompt=1, total=2)))),
            frame(wire((1, "id-1"), (2, text), (4, "grok-4.3"), (6, counts))),
            frame(wire((1, "id-1"), (2, wire((3, 3))), (4, "grok-4.3"), (6, b""))),
        ]
    )
    for path, body in ((UNARY, whole), (STREAMED, stream)):
        for size in (10**9, 1, 7):
            answer = read(XAI, path, body, size=size)
            assert (answer.usage, answer.served_model, answer.response_id) == (usage, "grok-4.3", "id-1")
            assert (answer.finished, answer.failed, answer.finding) == (True, False, None)


def test_xai_says_what_a_call_cost():
    """Ticks of a ten-thousand-millionth of a dollar become nano-dollars, rounded up."""
    counts = sampling(completion=1, prompt=2, total=3, ticks=1043501)
    assert read(XAI, UNARY, frame(wire((9, counts)))).reported_nanos == 104351


def test_a_stream_that_breaks_off_is_only_partly_counted():
    """Running totals of a stream without its end are partial, and those of a stream that ended are its usage."""
    body = frame(wire((4, "grok"), (6, sampling(completion=5, prompt=9, total=14))))
    answer = read(XAI, STREAMED, body, end=False)
    assert (answer.usage, answer.partial) == (None, Usage(9, output_tokens=5))
    answer = read(XAI, STREAMED, body + b"\0\0")
    assert (answer.usage, answer.partial) == (None, Usage(9, output_tokens=5))
    assert read(XAI, STREAMED, body).usage == Usage(9, output_tokens=5)


def test_deferred_answers_are_read_inside_their_envelope():
    """A deferred completion's usage comes with the poll that finds it done, which names what it polls."""
    inside = wire((1, "id-1"), (6, "grok-4.3"), (9, XAI_COUNTS["plain"][0]))
    answer = read(XAI, "/xai_api.Chat/GetDeferredCompletion", frame(wire((2, 1), (1, inside))))
    assert (answer.usage, answer.served_model) == (XAI_COUNTS["plain"][1], "grok-4.3")
    facts, _ = XAI.read_request("POST", "/xai_api.Chat/GetDeferredCompletion", GRPC, frame(wire((1, "r-9"))))
    assert (facts.polls, facts.model) == ("r-9", "")
    assert read(XAI, "/xai_api.Chat/GetDeferredCompletion", frame(wire((2, 3)))).usage is None


def test_an_xai_request_is_measured():
    """Model, cap, choices, text, media and hosted tools are told; the document is empty and nothing is rewritten."""
    url = "data:image/png;base64," + "A" * 4000
    message = wire(
        (1, wire((1, "x" * 500))), (1, wire((2, wire((1, url))))), (1, wire((3, wire((1, "file-1"))))), (2, 1)
    )
    body = wire((1, message), (2, "grok-4-1-fast-non-reasoning"), (7, 99), (8, 2), (22, "resp-1"))
    facts, document = XAI.read_request("POST", UNARY, GRPC, frame(body))
    assert (facts.model, facts.cap, facts.choices, facts.stream) == ("grok-4-1-fast-non-reasoning", 99, 2, False)
    assert (facts.media, 500 < facts.input_bytes < 600) == ((("image", 3000),), True)
    assert set(facts.hidden_input) == {"file_id", "previous_response_id"}
    assert (document, XAI.prepare(document, facts), facts.signed) == ({}, False, True)
    assert XAI.clamp(document, facts, 100)
    assert not XAI.clamp(document, facts, 98)
    tools = wire((17, wire((1, wire((1, "f"))))), (17, wire((3, b""))), (17, wire((7, wire((3, "https://x"))))))
    facts, _ = XAI.read_request("POST", STREAMED, GRPC, frame(wire((2, "grok-4.3"), (7, 5)) + tools))
    assert (facts.stream, facts.tools, facts.unbounded) == (True, 3, ("web_search", "mcp"))
    assert facts.cap is None  # it bounds neither reasoning nor calls of tools


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0\0\0\x01", frame(b"\x0a\xff"), frame(b"\x07"), frame(b"") * 2, frame(b"", 1), frame(wire((7, 1)))],
)
def test_a_request_that_is_no_message_is_not_understood(body):
    """Cut, doubled, compressed without a name or without a model: one error, without content."""
    for dialect, path in ((XAI, UNARY), (VERTEX, PREDICT)):
        with pytest.raises(NotUnderstood, match=r"mess|model|compress|grpc-encoding"):
            dialect.read_request("POST", path, GRPC, body)
    with pytest.raises(NotUnderstood, match="no method"):
        XAI.read_request("POST", "/xai_api.Models/ListLanguageModels", GRPC, frame(b""))


def test_compressed_messages_are_read_where_gzip_made_them():
    """Messages in gzip count, those of another encoding give a finding."""
    message = wire((6, "grok"), (9, XAI_COUNTS["plain"][0]))
    packed = frame(gzip.compress(message), 1)
    assert read(XAI, UNARY, packed, {**GRPC, "grpc-encoding": "gzip"}).usage == XAI_COUNTS["plain"][1]
    answer = read(XAI, UNARY, packed, {**GRPC, "grpc-encoding": "snappy"})
    assert (answer.usage, answer.finding) == (None, "content-encoding not read: snappy")
    assert read(XAI, UNARY, frame(message), {**GRPC, "grpc-encoding": "snappy"}).usage == XAI_COUNTS["plain"][1]
    body = frame(gzip.compress(wire((2, "grok-4.3"))), 1)
    assert XAI.read_request("POST", UNARY, {**GRPC, "grpc-encoding": "gzip"}, body)[0].model == "grok-4.3"


def test_an_error_is_told_in_headers_or_in_trailers_of_the_web():
    """A status that is not zero marks the answer as failed."""
    assert read(XAI, UNARY, b"", {**GRPC, "grpc-status": "8"}).failed
    body = frame(wire((6, sampling(completion=5, prompt=9, total=14))))
    assert read(XAI, STREAMED, body + frame(b"grpc-status: 13\r\n", 128)).failed
    answer = read(XAI, STREAMED, body + frame(b"grpc-status:0\r\n", 128), end=False)
    assert (answer.failed, answer.usage) == (False, Usage(9, output_tokens=5))


def modality(kind, count):
    """A ModalityTokenCount."""
    return wire((1, kind), (2, count))


VERTEX_COUNTS = {
    "plain": (wire((1, 9), (2, 4), (3, 13)), Usage(9, output_tokens=4)),
    "thoughts and tools beside": (
        wire((1, 100), (2, 10), (14, 30), (13, 7), (3, 147), (5, 60), (8, 4)),
        Usage(107, 60, output_tokens=40, reasoning_tokens=30),
    ),
    "tools only in their details": (wire((1, 100), (2, 10), (12, modality(1, 7))), Usage(107, output_tokens=10)),
    "tools only in the total": (wire((1, 100), (2, 10), (3, 117)), Usage(107, output_tokens=10)),
    "thoughts inside by the total": (
        wire((1, 100), (2, 40), (14, 30), (3, 140)),
        Usage(100, output_tokens=40, reasoning_tokens=30),
    ),
    "modalities": (
        wire(
            (1, 100),
            (2, 50),
            (3, 150),
            (9, modality(2, 40)),
            (9, modality(4, 20)),
            (9, modality(3, 5)),
            (11, modality(4, 50)),
        ),
        Usage(100, output_tokens=50, audio_input_tokens=20, image_input_tokens=45, audio_output_tokens=50),
    ),
    "a cache beyond the prompt": (wire((1, 10), (2, 5), (5, 99)), Usage(10, 10, output_tokens=5)),
}


@pytest.mark.parametrize("name", VERTEX_COUNTS)
def test_googles_counts(name):
    """Running totals of a stream: the last wins; model and tier are the answer's."""
    counts, usage = VERTEX_COUNTS[name]
    part = wire((2, wire((2, wire((1, "Hi"))))))
    body = frame(wire((2, part), (11, "gemini-2.5-flash"), (4, wire((1, 9), (2, 1), (3, 10)))))
    body += frame(wire((2, part + wire((3, 1))), (11, "gemini-2.5-flash"), (13, "r1"), (4, counts)))
    for size in (10**9, 1):
        answer = read(VERTEX, PREDICT, body, size=size)
        assert (answer.usage, answer.served_model, answer.response_id) == (usage, "gemini-2.5-flash", "r1")
        assert (answer.finished, answer.finding) == (True, None)
    assert answer.tier == ("flex" if name == "thoughts and tools beside" else None)


def test_geminis_own_service_has_other_numbers():
    """The Gemini API's message keeps the same counts under its own numbers."""
    counts = wire((1, 100), (2, 10), (10, 30), (8, 7), (3, 147), (4, 60), (5, modality(4, 20)))
    body = frame(wire((1, wire((2, 1))), (4, "gemini-2.5-pro"), (5, "r2"), (3, counts)))
    answer = read(VERTEX, GENERATE, body)
    assert answer.usage == Usage(107, 60, output_tokens=40, reasoning_tokens=30, audio_input_tokens=20)
    assert (answer.served_model, answer.response_id) == ("gemini-2.5-pro", "r2")


def test_a_google_request_is_measured():
    """Model, cap, media and hosted tools are told; an endpoint's name hides its model."""
    blob = wire((1, "image/png"), (2, b"\xff" * 3000))
    file = wire((1, "video/mp4"), (2, "gs://b/v"))
    content = wire((1, "user"), (2, wire((1, "x" * 500))), (2, wire((2, blob))), (2, wire((3, file))))
    tools = wire((6, wire((1, b""))), (6, wire((7, b""))))
    name = "projects/p/locations/l/publishers/google/models/gemini-2.5-flash"
    body = wire((5, name), (2, content), (4, wire((5, 64), (4, 2))), (9, "cached/1")) + tools
    facts, _ = VERTEX.read_request("POST", PREDICT, GRPC, frame(body))
    assert (facts.model, facts.cap, facts.choices, facts.stream) == ("gemini-2.5-flash", 64, 2, True)
    assert (facts.media, facts.tools, facts.unbounded) == ((("image", 3000), ("video", 0)), 2, ("hosted_tool",))
    assert set(facts.hidden_input) == {"file_uri", "cached_content"}
    assert facts.input_bytes >= 500
    assert not facts.deployment
    tuned = wire((5, "projects/p/locations/l/endpoints/123"), (2, content))
    assert VERTEX.read_request("POST", PREDICT, GRPC, frame(tuned))[0].deployment
    facts, _ = VERTEX.read_request("POST", GENERATE, GRPC, frame(wire((1, "models/gemini-2.5-pro"), (4, wire((4, 8))))))
    assert (facts.model, facts.cap) == ("gemini-2.5-pro", 8)


@given(st.binary(max_size=200), st.sampled_from([(XAI, UNARY), (XAI, STREAMED), (VERTEX, PREDICT), (VERTEX, GENERATE)]))
def test_no_bytes_break_the_readers(data, which):
    """Arbitrary bytes, bare and as a message, are handed on without an error; as a request they are understood or not."""
    dialect, path = which
    for body in (data, frame(data), frame(data, 1)):
        read(dialect, path, body)
        try:
            dialect.read_request("POST", path, GRPC, body)
        except NotUnderstood:
            continue


def test_a_count_that_is_none_is_malformed():
    """A negative number, as ten bytes, and text where a number should be are no counts."""
    for bad in (b"\x10" + b"\xff" * 9 + b"\x01", wire((2, "nine"))):
        answer = read(XAI, UNARY, frame(wire((9, bad))))
        assert answer.usage is None
        assert answer.finding.startswith("usage malformed")


@given(st.lists(st.binary(max_size=30), max_size=6), st.integers(1, 40))
def test_messages_come_out_whole_whatever_the_chunks(messages, size):
    """Frames put together are the stream again, and each is one message."""
    body = b"".join(map(frame, messages))
    scanner = PrefixScanner()
    frames = [raw for at in range(0, len(body), size) for raw in scanner.feed(body[at : at + size])]
    assert frames == [frame(message) for message in messages]
    assert scanner.at_boundary
    assert scanner.flush() == b""


@given(st.integers(1, 60))
def test_a_message_that_is_too_long_comes_in_fragments(size):
    """A message beyond the bound is handed on unread, and what follows is read again."""
    body = frame(b"x" * 100) + frame(b"y")
    scanner = PrefixScanner(largest=50)
    frames = [raw for at in range(0, len(body), size) for raw in scanner.feed(body[at : at + size])]
    assert b"".join(frames) == body
    assert [raw for raw in frames if not isinstance(raw, Fragment)] == [frame(b"y")]


@given(st.lists(st.tuples(st.integers(1, 2**29 - 1), st.integers(0, 2**64 - 1) | st.binary(max_size=20)), max_size=8))
def test_fields_are_read_as_they_were_written(fields):
    """Numbers and bytes come back in their order."""
    assert list(protobuf.fields(wire(*fields))) == fields


@pytest.mark.parametrize(
    "message", [b"\x08", b"\x08\xff", b"\x0a\x05abc", b"\x0b", b"\x00\x01", b"\x08" + b"\xff" * 11, b"\x0d\0"]
)
def test_what_is_no_message_is_said_so(message):
    """Cut values, wire types that are not used and the number 0 raise ValueError."""
    with pytest.raises(ValueError, match=r"cut|used|number"):
        list(protobuf.fields(message))


def test_fixed_and_repeated_fields():
    """Eight and four bytes are passed over whole, and repeated numbers are read packed or not."""
    message = b"\x09" + b"\1" * 8 + b"\x15" + b"\2" * 4 + wire((3, 300), (3, b"\x01\xac\x02"))
    found = protobuf.gathered(message)
    assert (found[1], found[2]) == ([b"\1" * 8], [b"\2" * 4])
    assert protobuf.numbers(found, 3) == [300, 1, 300]


@pytest.mark.parametrize(
    ("status", "retry_after", "code"), [(402, None, "9"), (429, 3, "14"), (403, None, "7"), (500, None, "13")]
)
def test_refusals_are_statuses(status, retry_after, code):
    """An answer of headers alone: a code that is not tried again but for pacing, the message percent-encoded."""
    told, headers, body = XAI.refusal("BudgetExhausted", "50% of é\n", status, {"budget": "b"}, retry_after)
    assert (told, body, headers["content-type"]) == (200, b"", "application/grpc")
    assert (headers["grpc-status"], headers["grpc-message"]) == (code, "50%25 of %C3%A9%0A")
    assert headers.get("grpc-retry-pushback-ms") == ("3000" if retry_after else None)
    assert VERTEX.refusal("BudgetExhausted", "m", 402, {})[1]["x-wfb-reason"] == "BudgetExhausted"
