"""Cutting lines of JSON, whatever their chunks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.dialects.ndjson import LineScanner
from wfb_core.dialects.sse import Fragment


def lines_of(chunks, largest=10**6):
    """All frames of a stream in these chunks, and what is left."""
    scanner = LineScanner(largest)
    frames = [frame for chunk in chunks for frame in scanner.feed(chunk)]
    return frames, scanner.flush()


@pytest.mark.parametrize(
    ("stream", "frames", "rest"),
    [
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}\n', b'{"b":2}\n'], b""),
        (b'{"a":1}\r\n{"b":2}\r\nx', [b'{"a":1}\r\n', b'{"b":2}\r\n'], b"x"),
        (b'{"a":\r1}\n\nrest', [b'{"a":\r1}\n', b"\n"], b"rest"),
        (b'{"a":"\\n\xe2\x80\xa8\x0b\x85"}\n', [b'{"a":"\\n\xe2\x80\xa8\x0b\x85"}\n'], b""),
        (b"\n", [b"\n"], b""),
        (b"", [], b""),
    ],
)
def test_a_line_feed_alone_ends_a_line(stream, frames, rest):
    """Carriage returns and other breaks end none; one byte at a time gives the same lines."""
    assert lines_of([stream]) == (frames, rest)
    assert lines_of([stream[i : i + 1] for i in range(len(stream))]) == (frames, rest)


@given(st.lists(st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"a", b"\n"))), st.integers(1, 30))
@settings(deadline=None)
def test_lines_beyond_the_bound_pass_in_fragments(chunks, largest):
    """No more than the bound is ever held, nothing is lost, and what is read is within the bound."""
    scanner, out = LineScanner(largest), []
    for chunk in chunks:
        for frame in scanner.feed(chunk):
            assert isinstance(frame, Fragment) or len(frame) <= largest
            out.append(bytes(frame))
        assert scanner.pending <= largest
        assert scanner.at_boundary == (not scanner.pending and (not out or out[-1].endswith(b"\n")))
    assert b"".join(out) + scanner.flush() == b"".join(chunks)


def test_a_line_too_long_ends_with_its_last_fragment():
    """The line after one that is too long is read again, however the long one came."""
    stream = b"x" * 100 + b"\n{}\n"
    for size in (1, 7, 50, len(stream)):
        frames, rest = lines_of([stream[i : i + size] for i in range(0, len(stream), size)], largest=20)

        assert (frames[-1], rest) == (b"{}\n", b"")
        assert not isinstance(frames[-1], Fragment)
        assert [f.last for f in frames[:-1]] == [False] * (len(frames) - 2) + [True]
