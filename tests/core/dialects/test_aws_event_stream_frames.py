"""Cutting and reading AWS event streams, with botocore's own parser as the judge."""

import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.dialects.aws_event_stream import MessageScanner, build, message
from wfb_core.dialects.sse import Fragment

HEADERS = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=12), max_size=4)
MESSAGES = st.lists(st.tuples(HEADERS, st.binary(max_size=60)), max_size=5)


def cut(stream, places):
    """The stream in chunks cut at these places."""
    places = sorted(place % (len(stream) + 1) for place in places)
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


@given(MESSAGES, st.lists(st.integers(0, 10**6), max_size=20))
@settings(deadline=None)
def test_messages_are_those_that_botocore_reads(messages, places):
    """In any chunks: the same headers and payloads, and the frames are the stream."""
    stream = b"".join(build(headers, payload) for headers, payload in messages)
    scanner = MessageScanner()

    frames = [frame for chunk in cut(stream, places) for frame in scanner.feed(chunk)]
    judge = EventStreamBuffer()
    judge.add_data(stream)

    assert [message(frame) for frame in frames] == messages == [(m.headers, m.payload) for m in judge]
    assert b"".join(frames) == stream
    assert scanner.at_boundary
    assert scanner.flush() == b""
    assert scanner.finding is None


def raw_message(head, payload=b"{}"):
    """A message with these raw headers, its checksums right."""
    lengths = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    text = lengths + zlib.crc32(lengths).to_bytes(4, "big") + head + payload
    return text + zlib.crc32(text).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"\x00", "true"),
        (b"\x01", "false"),
        (b"\x02\xff", "-1"),
        (b"\x03\x01\x00", "256"),
        (b"\x04\x00\x00\x00\x07", "7"),
        (b"\x05\x00\x00\x00\x00\x00\x00\x00\x08", "8"),
        (b"\x06\x00\x02\xab\xcd", "abcd"),
        (b"\x07\x00\x02\xc3\xa9", "é"),
        (b"\x07\x00\x02\xff\xfe", "\ufffd\ufffd"),
        (b"\x08\x00\x00\x01\x8b\xcf\xe5\x68\x00", "1700000000000"),
        (b"\x09" + bytes(16), "00000000-0000-0000-0000-000000000000"),
    ],
)
def test_every_kind_of_header_is_read_as_text(value, text):
    """Ten types exist; a reader needs none of them but their text, and the header after each is read."""
    raw = raw_message(b"\x01a" + value + b"\x01b\x07\x00\x01z")

    assert message(raw) == ({"a": text, "b": "z"}, b"{}")


@pytest.mark.parametrize(
    "head",
    [b"\x05a", b"\x01a", b"\x01a\x0a", b"\x01a\x07\x00\x09z", b"\x01a\x05\x00", b"\x01a\x07", b"\xff"],
)
def test_broken_headers_are_a_value_error(head):
    """Lengths that lead out of the headers raise one kind of error, whatever they are."""
    with pytest.raises(ValueError, match="header"):
        message(raw_message(head, b""))
    with pytest.raises(ValueError, match=r"short|cut"):
        message(raw_message(head)[:9])


@pytest.mark.parametrize(("at", "part"), [(3, "prelude"), (9, "prelude"), (14, "message"), (-1, "message")])
def test_after_a_broken_message_nothing_is_read(at, part):
    """A wrong checksum is a finding, what came before counts, and all bytes go on as fragments."""
    good = build({":event-type": "a"}, b"{}")
    bad = bytearray(good)
    bad[at] ^= 0x40
    stream = good + bytes(bad) + good
    for size in (1, 5, len(good), len(stream)):
        scanner = MessageScanner()
        frames = [f for i in range(0, len(stream), size) for f in scanner.feed(stream[i : i + size])]

        assert frames[0] == good
        assert all(isinstance(f, Fragment) for f in frames[1:])
        if part == "message" or scanner.finding:
            assert scanner.finding == f"frame broken: checksum of the {part}"
        assert b"".join(frames) + scanner.flush() == stream
        assert not scanner.at_boundary


def test_a_message_too_long_passes_in_fragments():
    """Of a message beyond the bound nothing is held, and the one after it is read."""
    long, short = build({}, b"x" * 100), build({}, b"y")
    stream = long + short
    for size in (1, 30, len(stream)):
        scanner = MessageScanner(50)
        frames = []
        for i in range(0, len(stream), size):
            frames += scanner.feed(stream[i : i + size])
            assert scanner.pending < 50

        assert frames[-1] == short
        assert not isinstance(frames[-1], Fragment)
        assert [f.last for f in frames[:-1]] == [False] * (len(frames) - 2) + [True]
        assert b"".join(frames) == stream


def test_a_cut_message_is_a_finding():
    """A stream that ends inside a message says so, and its rest still goes on."""
    raw = build({"a": "b"}, b"{}")
    scanner = MessageScanner()

    assert scanner.feed(raw + raw[:-1]) == [raw]
    assert scanner.flush() == raw[:-1]
    assert (scanner.finding, scanner.in_fragment) == ("frame broken: message cut", True)


@given(st.lists(st.binary(max_size=30), max_size=10))
@settings(deadline=None)
def test_arbitrary_bytes_pass(chunks):
    """Nothing raises and nothing is lost."""
    scanner = MessageScanner()
    frames = [frame for chunk in chunks for frame in scanner.feed(chunk)]

    assert b"".join(frames) + scanner.flush() == b"".join(chunks)
