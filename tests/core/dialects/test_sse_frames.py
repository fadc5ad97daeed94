"""Cutting a stream into frames, whatever its chunks and line ends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.dialects.sse import Fragment, FrameScanner, fields


def frames_of(chunks, largest=10**6):
    """All frames of a stream in these chunks, and what is left."""
    scanner = FrameScanner(largest)
    frames = [frame for chunk in chunks for frame in scanner.feed(chunk)]
    return frames, scanner.flush()


@pytest.mark.parametrize(
    ("stream", "frames", "rest"),
    [
        (b"data: a\n\ndata: b\n\n", [b"data: a\n\n", b"data: b\n\n"], b""),
        (b"data: a\r\n\r\ndata: b\r\n\r\nx", [b"data: a\r\n\r\n", b"data: b\r\n\r\n"], b"x"),
        (b"data: a\r\rdata: b\r\rx", [b"data: a\r\r", b"data: b\r\r"], b"x"),
        (b"data: a\r\ndata: b\r\n", [], b"data: a\r\ndata: b\r\n"),
        (b"data: a\n\r\ndata: b\r\n\nx", [b"data: a\n\r\n", b"data: b\r\n\n"], b"x"),
        (b"data: a\r\n\rx", [b"data: a\r\n\r"], b"x"),
        (b"data: a\n\n\n\ndata: b", [b"data: a\n\n", b"\n\n"], b"data: b"),
        (b"data: a\n\r", [], b"data: a\n\r"),
        (b"", [], b""),
    ],
)
def test_frames_end_at_blank_lines_of_any_kind(stream, frames, rest):
    """LF, CR LF and CR end lines, mixed too; one byte at a time gives the same frames."""
    assert frames_of([stream]) == (frames, rest)
    assert frames_of([stream[i : i + 1] for i in range(len(stream))]) == (frames, rest)


PIECES = st.lists(st.sampled_from([b"data: x", b"\n", b"\r", b"\r\n", b"\n\n", b": c", b"data:y", b"event: e"]))


@given(PIECES, st.data())
@settings(deadline=None)
def test_chunks_make_no_difference(pieces, data):
    """Any chunking of any stream gives the same frames, and the frames are the stream."""
    stream = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    frames, rest = frames_of([chunk for chunk in chunks if chunk])

    assert (frames, rest) == frames_of([stream] if stream else [])
    assert b"".join(frames) + rest == stream


@given(st.lists(st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"a", b"\n"))), st.integers(4, 30))
@settings(deadline=None)
def test_frames_beyond_the_bound_pass_in_fragments(chunks, largest):
    """No more than the bound and one chunk is ever held, nothing is lost, and what is read is within the bound."""
    scanner = FrameScanner(largest)
    out = []
    for chunk in chunks:
        for frame in scanner.feed(chunk):
            assert isinstance(frame, Fragment) or len(frame) <= largest
            out.append(bytes(frame))
        assert scanner.pending <= largest + 4
    assert b"".join(out) + scanner.flush() == b"".join(chunks)


def test_a_frame_too_long_ends_with_its_last_fragment():
    """The frame after one that is too long is read again, however the long one came."""
    stream = b"data: " + b"x" * 100 + b"\r\n\r\ndata: b\n\n"
    for size in (1, 7, 50, len(stream)):
        frames, _ = frames_of([stream[i : i + size] for i in range(0, len(stream), size)], largest=20)

        assert frames[-1] == b"data: b\n\n"
        assert not isinstance(frames[-1], Fragment)
        assert [f.last for f in frames[:-1]][-1]
        assert not any(f.last for f in frames[:-2])


@pytest.mark.parametrize(
    ("raw", "event", "data"),
    [
        (b"data: a\n\n", "", b"a"),
        (b"data:a\n\n", "", b"a"),
        (b"data:  a\n\n", "", b" a"),
        (b"event: e\r\ndata: a\r\ndata: b\r\n\r\n", "e", b"a\nb"),
        (b"event:e\rdata\r\r", "e", b""),
        (b": comment\nid: 4\nretry: 5\ndata: a\n\n", "", b"a"),
        (b"\xef\xbb\xbfdata: a\n\n", "", b"a"),
        (b"\n\n", "", b""),
        (b"event: \xff\n\n", "\ufffd", b""),
        (b"database: x\n\n", "", b""),
    ],
)
def test_fields_are_read_by_the_standard(raw, event, data):
    """One space after the colon is none of the value, data lines are joined, comments are nothing."""
    assert fields(raw) == (event, data)
