"""Cutting a JSON array into its elements, whatever their chunks."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.dialects.json_array import NESTED, ElementScanner, element
from wfb_core.dialects.sse import Fragment


def frames_of(chunks, largest=10**6):
    """All frames of a stream in these chunks, and what is left."""
    scanner = ElementScanner(largest)
    frames = [frame for chunk in chunks for frame in scanner.feed(chunk)]
    return frames, scanner.flush()


def cut(stream, places):
    """The stream in chunks cut at these places."""
    places = sorted(place % (len(stream) + 1) for place in places)
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


DEEP = b'{"a":' * (NESTED + 3) + b'"}"' + b"}" * (NESTED + 3)


@pytest.mark.parametrize(
    ("stream", "frames", "rest"),
    [
        (b'[{"a":1}\n,\r\n{"b":[2]}\n]', [b'[{"a":1}', b'\n,\r\n{"b":[2]}', b"\n]"], b""),
        (b'[{"a":"}]\\"{"},{"b":"\\\\"}]\n', [b'[{"a":"}]\\"{"}', b',{"b":"\\\\"}', b"]"], b""),
        (b'[[1,[2]],"a]\\"",3 ,null]', [b"[[1,[2]]", b',"a]\\""', b",3 ", b",null", b"]"], b""),
        (b"[" + DEEP + b"," + DEEP + b"]", [b"[" + DEEP, b"," + DEEP, b"]"], b""),
        (b'[{"a":1},{"b":', [b'[{"a":1}'], b',{"b":'),
        (b' [ ] after {"a":1}', [b" [ ]"], b""),
        (b"[", [], b"["),
        (b"", [], b""),
    ],
)
def test_each_element_is_a_frame(stream, frames, rest):
    """Depth, strings and escapes are minded; one byte at a time gives the same frames."""
    assert frames_of([stream]) == (frames, rest)
    assert frames_of([stream[i : i + 1] for i in range(len(stream))]) == (frames, rest)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\{}[],é', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('k"\\{}', max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 1]), st.lists(st.integers(0, 10**6), max_size=20))
@settings(deadline=None, max_examples=300)
def test_the_elements_are_those_of_the_array(values, indent, places):
    """In any chunks and any layout, each frame parses to one element, in order, and the frames are the stream."""
    stream = json.dumps(values, indent=indent, ensure_ascii=False).encode()

    frames, rest = frames_of(cut(stream, places))

    assert [json.loads(element(frame)) for frame in frames if element(frame)] == values
    assert b"".join(frames) + rest == stream


PIECES = st.lists(st.sampled_from([*(bytes([c]) for c in b'[]{},:"\\ \n1a'), b'{"a":1}', b"[{", b"},{", b'"x"']))


@given(PIECES, st.lists(st.integers(0, 10**6), max_size=20))
@settings(deadline=None, max_examples=500)
def test_chunks_make_no_difference_to_nonsense(pieces, places):
    """What is no array is cut the same way in any chunks, and never loses a byte before the array's end."""
    stream = b"".join(pieces)

    frames, rest = frames_of(cut(stream, places))

    assert (frames, rest) == frames_of([stream])
    assert stream.startswith(b"".join(frames) + rest)


@given(st.lists(VALUES, max_size=6), st.integers(3, 30), st.lists(st.integers(0, 10**6), max_size=20))
@settings(deadline=None)
def test_elements_beyond_the_bound_pass_in_fragments(values, largest, places):
    """No more than the bound is held, nothing is lost, and what is read is within the bound."""
    stream = json.dumps(values).encode()
    scanner, out = ElementScanner(largest), []
    for chunk in cut(stream, places):
        for frame in scanner.feed(chunk):
            assert isinstance(frame, Fragment) or len(frame) <= largest
            out.append(bytes(frame))
        assert scanner.pending <= largest
    assert b"".join(out) + scanner.flush() == stream


def test_a_scalar_too_long_ends_where_its_chunk_did():
    """A scalar of which all has gone on as fragments ends before what comes next: the elements after it are read."""
    frames, _ = frames_of([b"[1234567", b',{"a":1}]'], largest=7)

    assert frames == [b"[1234567", b"", b',{"a":1}', b"]"]
    assert not isinstance(frames[2], Fragment) or len(frames[2]) > 7


def test_an_element_too_long_ends_with_its_last_fragment():
    """The element after one that is too long is read again, however the long one came."""
    stream = b'[{"a":"' + b"x\\\\" * 50 + b'"},{}]'
    for size in (1, 7, 50, len(stream)):
        frames, _ = frames_of([stream[i : i + size] for i in range(0, len(stream), size)], largest=20)

        assert frames[-2:] == [b",{}", b"]"]
        assert not isinstance(frames[-2], Fragment)
        assert [f.last for f in frames[:-2]] == [False] * (len(frames) - 3) + [True]


@pytest.mark.parametrize(
    ("stream", "boundary"),
    [
        (b"", True),
        (b"[", False),
        (b"[{}", True),
        (b"[{}\n", True),
        (b"[{},", False),
        (b"[{},{", False),
        (b"[{}]", True),
    ],
)
def test_between_two_elements_is_a_boundary(stream, boundary):
    """After an element, blanks or not, something may be put in; after a comma or inside one nothing may."""
    scanner = ElementScanner()
    scanner.feed(stream)

    assert scanner.at_boundary is boundary
