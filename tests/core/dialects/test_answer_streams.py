"""Streams in any chunks: the same bytes go on, the same is learned, and one frame can be taken out."""

import json
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.call import CallFacts
from wfb_core.dialects import DIALECTS

SAMPLES = pathlib.Path(__file__).parent / "samples"
SSE = {"content-type": "text/event-stream"}
STREAMS = sorted(f"{p.parent.name}/{p.name}" for p in SAMPLES.glob("*/*.sse") if p.parent.name in DIALECTS)
CHAT_STREAMS = [name for name in STREAMS if name.startswith("openai-chat")]
LINE_ENDS = [b"\n", b"\r\n", b"\r"]


def run(dialect, chunks, strip=False):
    """(what was handed on, the Answer) of a stream in these chunks."""
    facts = CallFacts(dialect, DIALECTS[dialect].provider, "", "asked", True, None)
    reader = DIALECTS[dialect].reader(facts, strip, SSE)
    out = b"".join(reader.feed(chunk) for chunk in chunks if chunk)
    return out + reader.feed(b""), reader.end()


def cut(stream, places):
    """The stream in chunks cut at these places."""
    places = sorted(place % (len(stream) + 1) for place in places)
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


def without_usage_chunk(stream, line_end):
    """The stream, its frames told apart by its own blank lines, without those of empty choices and a usage."""
    frames = stream.split(line_end * 2)
    kept = []
    for frame in frames:
        data = frame.partition(b"data:")[2].strip()
        try:
            chunk = json.loads(data)
        except ValueError:
            chunk = {}
        if chunk.get("choices") or not chunk.get("usage"):
            kept.append(frame)
    return (line_end * 2).join(kept)


@pytest.mark.parametrize("name", STREAMS)
@given(places=st.lists(st.integers(0, 10**6), max_size=30), line_end=st.sampled_from(LINE_ENDS), strip=st.booleans())
@settings(max_examples=40, deadline=None)
def test_chunks_make_no_difference(name, places, line_end, strip):
    """Any chunking, with any line ends: the same output and the same Answer, the stream untouched unless stripped."""
    dialect = name.partition("/")[0]
    stream = (SAMPLES / name).read_bytes().replace(b"\n", line_end)

    out, answer = run(dialect, cut(stream, places), strip)

    assert (out, answer) == run(dialect, [stream], strip)
    if not strip or dialect not in {"openai-chat", "openai-completions"}:
        assert out == stream


@pytest.mark.parametrize("name", CHAT_STREAMS)
@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_byte_by_byte_the_stripped_stream_lacks_that_frame_alone(name, line_end):
    """What goes on is the stream without the usage chunk, and the Answer is that of the whole stream."""
    stream = (SAMPLES / name).read_bytes().replace(b"\n", line_end)

    out, answer = run("openai-chat", [stream[i : i + 1] for i in range(len(stream))], strip=True)

    assert out == without_usage_chunk(stream, line_end)
    assert answer == run("openai-chat", [stream])[1]


@pytest.mark.parametrize(
    ("frame", "taken"),
    [
        (b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n', True),
        (b'data:{"usage" : {"prompt_tokens":1,"completion_tokens":1} , "choices" : [ ]}\r\n\r\n', True),
        (b': note\nid: 7\ndata: {"choices":[],\ndata: "usage":{"prompt_tokens":1}}\n\n', True),
        (b'data: {"usage":{"prompt_tokens":1}}\n\n', True),
        (b'data: {"choices":[],"usage":{"prompt_tokens":"bad"}}\n\n', True),
        (b'data: {"choices":[],"usage":{"prompt_tokens":1}}', True),  # the blank line never came
        (b'data: {"choices":[],"usage":null}\n\n', False),
        (b'data: {"choices":[],"prompt_filter_results":[]}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1}}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"\\"usage\\":{}"}}],"usage":null}\n\n', False),
        (b": keep-alive\n\n", False),
        (b"data: [DONE]\n\n", False),
        (b"data: not json\n\n", False),
    ],
)
def test_only_a_usage_without_choices_is_taken(frame, taken):
    """Frames that carry anything for the caller stay."""
    first = b'data: {"id":"c","choices":[{"delta":{"content":"a"}}]}\n\n'

    out, _ = run("openai-chat", [first, frame], strip=True)

    assert out == (first if taken else first + frame)


def test_whole_frames_are_never_held_back():
    """Stripping delays no frame that has come whole."""
    stream = (SAMPLES / "openai-chat/stream_without_usage.sse").read_bytes()
    facts = CallFacts("openai-chat", "openai", "", "asked", True, None)
    reader = DIALECTS["openai-chat"].reader(facts, True, SSE)

    for frame in stream.split(b"\n\n")[:-1]:
        assert reader.feed(frame + b"\n\n") == frame + b"\n\n"


NOISE = st.lists(
    st.sampled_from(
        [
            b"data: ",
            b"data:",
            b"event: message_start",
            b"event: content_block_delta",
            b"event: response.completed",
            b"event: response.output_text.delta",
            b"\n",
            b"\n\n",
            b"\r\n",
            b"\r",
            b'{"usage":',
            b'"usage":',
            b'{"type":"message_delta","usage":',
            b'{"type":"message_start","message":',
            b'{"type":"response.completed","response":',
            b'{"choices":[],"usage":{"prompt_tokens":4}}',
            b'{"choices":[{"index":"x","finish_reason":"stop"}],"error":1}',
            b'{"type":"content_block_start","index":[]}',
            b'{"type":"content_block_stop","index":{}}',
            b"{}",
            b"[]",
            b"4",
            b"null",
            b'"',
            b"}",
            b"[DONE]",
            b"\xff\xfe",
        ]
    )
    | st.binary(max_size=5),
    max_size=40,
)


@given(st.sampled_from(sorted(DIALECTS)), NOISE, st.booleans(), st.booleans(), st.lists(st.integers(0, 10**6)))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_a_reader_raise(dialect, pieces, strip, stream, places):
    """Arbitrary bytes pass; nothing is added, and without stripping nothing is lost."""
    body = b"".join(pieces)
    facts = CallFacts(dialect, "p", "", "asked", stream, None)
    reader = DIALECTS[dialect].reader(facts, strip, {})

    out = b"".join(reader.feed(chunk) for chunk in cut(body, places) if chunk) + reader.feed(b"")
    answer = reader.end()

    assert answer == reader.end()
    assert not (answer.finding or "").startswith("reader failed")
    assert len(out) <= len(body)
    if not strip or dialect not in {"openai-chat", "openai-completions"}:
        assert out == body
    assert answer.usage is not None or answer.finding
    assert isinstance(reader.finish_early(), bytes | None)
