"""What holds for every dialect and every framing: chunks make no difference, a cut counts less, and nothing raises."""

import gzip
import json
import pathlib
import zlib
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.call import CallFacts
from wfb_core.dialects import DIALECTS, framing, inflate
from wfb_core.dialects.answer import Found, counted, open_reader
from wfb_core.dialects.aws_event_stream import build
from wfb_core.dialects.ollama import Ollama
from wfb_core.dialects.openai_chat import OpenAIChat
from wfb_core.usage import UNITS, Usage

SAMPLES = pathlib.Path(__file__).parent / "samples"
KINDS = {
    ".sse": "text/event-stream; charset=utf-8",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/jsonl",
    ".eventstream": "application/vnd.amazon.eventstream",
    ".json": "application/json",
}
TABLE = {Ollama.name: Ollama(), **DIALECTS}
NAMES = sorted(
    f"{p.parent.name}/{p.name}"
    for p in SAMPLES.glob("*/*")
    if p.parent.name in TABLE and p.suffix in KINDS and not p.name.startswith("request")
)
STREAMS = [name for name in NAMES if "/stream" in name]


def sample(name):
    """(dialect, bytes, whether it is a stream, content-type) of a sample."""
    path = SAMPLES / name
    return path.parent.name, path.read_bytes(), path.name.startswith("stream"), KINDS[path.suffix]


def read(dialect, chunks, stream, kind, encoding=""):
    """(what was handed on, the Answer) of an answer in these chunks."""
    facts = CallFacts(dialect, TABLE[dialect].provider, "", "asked", stream, None)
    headers = {"content-type": kind} if kind else {}
    reader = TABLE[dialect].reader(facts, False, headers | ({"content-encoding": encoding} if encoding else {}))
    out = b"".join(reader.feed(chunk) for chunk in chunks if chunk)
    return out + reader.feed(b""), reader.end()


def cut(stream, places):
    """The stream in chunks cut at these places."""
    places = sorted(place % (len(stream) + 1) for place in places)
    return [stream[a:b] for a, b in zip([0, *places], [*places, len(stream)], strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_one_byte_at_a_time_gives_the_same_answer(name):
    """The finest chunks there are: the bytes go on, and the Answer is that of the whole."""
    dialect, body, stream, kind = sample(name)

    out, answer = read(dialect, [body[i : i + 1] for i in range(len(body))], stream, kind)

    assert out == body
    assert answer == read(dialect, [body], stream, kind)[1]


@pytest.mark.parametrize("name", NAMES)
@given(
    places=st.lists(st.integers(0, 10**6), max_size=20), lead=st.sampled_from([b"", b"\n", b"\xef\xbb\xbf", b" \r\n"])
)
@settings(max_examples=15, deadline=None)
def test_chunks_blanks_and_wrong_types_make_no_difference(name, places, lead):
    """In any chunks, after any blanks, under no type: the same Answer as whole under its own type."""
    dialect, body, stream, kind = sample(name)
    kinds = ["", "application/octet-stream", "text/plain"] if kind != KINDS[".eventstream"] or not lead else []
    expected = read(dialect, [body], stream, kind)[1]
    for declared in [kind, *kinds]:
        out, answer = read(dialect, cut(lead + body, places), stream, declared)

        assert out == lead + body
        assert answer == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_answer_is_read(name, encoding):
    """Its bytes go on untouched, one at a time, and the Answer is that of the plain one."""
    dialect, body, stream, kind = sample(name)
    packed = gzip.compress(body) if encoding == "gzip" else zlib.compress(body)

    out, answer = read(dialect, [packed[i : i + 1] for i in range(len(packed))], stream, kind, encoding)

    assert out == packed
    assert answer == read(dialect, [body], stream, kind)[1]


CORRECTED = {"gemini-generate/stream_cut.sse"}
"""Streams in which a provider takes back what it counted: their later chunks say less than the earlier ones."""


@pytest.mark.parametrize("name", sorted(set(STREAMS) - CORRECTED))
def test_a_stream_cut_anywhere_never_counts_more_than_the_whole(name):
    """Counts that a stream repeats or adds to are counted once, wherever it breaks off."""
    dialect, body, stream, kind = sample(name)
    whole = read(dialect, [body], stream, kind)[1]
    total = whole.usage or whole.partial or Usage()
    step = max(1, len(body) // 400)
    for end in {*range(0, len(body), step), *(i + 1 for i, c in enumerate(body) if c == 10)}:
        answer = read(dialect, [body[:end]], stream, kind)[1]

        for usage in (answer.usage, answer.partial):
            if usage is not None:
                assert usage.input_tokens <= total.input_tokens
                assert usage.output_tokens <= total.output_tokens
                assert usage.reasoning_tokens <= total.output_tokens


@given(
    st.sampled_from(NAMES),
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=4), st.integers(0, 6)), max_size=6),
    st.sampled_from(["", *KINDS.values(), "audio/mpeg", "text/plain"]),
    st.lists(st.integers(0, 10**6), max_size=5),
    st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_broken_answers_never_raise(name, wounds, kind, places, stream):
    """Bytes changed, lost and put in, under any type: they go on, chunks make no difference, no reader fails."""
    dialect, body, _, own = sample(name)
    for place, put_in, lost in wounds:
        at = place % (len(body) + 1)
        body = body[:at] + put_in + body[at + lost :]

    out, answer = read(dialect, cut(body, places), stream, kind or own)

    assert out == body
    assert answer == read(dialect, [body], stream, kind or own)[1]
    assert not (answer.finding or "").startswith("reader failed")
    assert answer.usage is not None or answer.finding is not None


CHAT = b'{"id":"c","model":"served","choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":4}}'
MESSAGE = build({":message-type": "event"}, CHAT)


@pytest.mark.parametrize(
    ("start", "kind", "stream", "name"),
    [
        (b"data: {}", "text/event-stream", True, framing.SSE),
        (b"data: {}", "text/event-stream", False, framing.SSE),
        (b": wait", "", True, framing.SSE),
        (b"event: x", "application/json", True, framing.SSE),
        (b"id: 1", "text/plain", False, framing.SSE),
        (b"retry: 1", "application/octet-stream", True, framing.SSE),
        (b"x", "text/event-stream", True, framing.SSE),
        (b"x", "", True, framing.SSE),
        (b"", "", True, framing.SSE),
        (b"", "", False, framing.BODY),
        (b"{", "text/event-stream", True, framing.BODY),
        (b"{", "application/json", True, framing.BODY),
        (b"{", "", True, framing.BODY),
        (b"[", "application/json", True, framing.ARRAY),
        (b"[", "application/json; charset=UTF-8", False, framing.BODY),
        (b"{", "application/x-ndjson", True, framing.LINES),
        (b"{", "application/stream+json", True, framing.LINES),
        (b"data: {}", "application/jsonl", True, framing.SSE),
        (MESSAGE, "application/vnd.amazon.eventstream", True, framing.MESSAGES),
        (MESSAGE, "application/octet-stream", True, framing.MESSAGES),
        (b"\x00" * 20, "application/octet-stream", True, framing.BODY),
        (b"{", "application/vnd.amazon.eventstream", True, framing.BODY),
        (b"ID3", "audio/mpeg", False, framing.OPAQUE),
        (b"{", "audio/mpeg", False, framing.BODY),
        (b"evening", "text/plain", False, framing.BODY),
        (b"dat", "text/plain", False, framing.BODY),
    ],
)
def test_the_first_bytes_say_how_an_answer_comes(start, kind, stream, name):
    """They win over a type that is missing or wrong, however few of them have come at first."""
    assert framing.of(start, kind, stream, whole=True) == name
    if name is not framing.BODY:
        seen = [framing.of(start[:i], kind, stream) for i in range(len(start) + 1)]
        assert set(seen) <= {None, name}


class Learner:
    """A Meter that notes everything it is given."""

    def __init__(self):
        self.found = Found()
        self.frames, self.documents, self.sizes = [], [], []

    def frame(self, raw):
        """Notes what the frame holds."""
        name, event = self.found.event(raw)
        if event is not None:
            self.frames.append((name, event))
        return False

    def document(self, document):
        """Notes the document."""
        self.documents.append(document)

    def ending(self):
        """No ending is known."""
        return b""


class Listener(Learner):
    """One that also takes what is no JSON."""

    def opaque(self, size):
        """Notes the size."""
        self.sizes.append(size)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/event-stream", b'event: n\ndata: {"a":1}\n\ndata: {"type":"t"}\n\ndata: [DONE]\n\n'),
        ("application/x-ndjson", b'{"a":1}\n\n{"type":"t"}'),
        ("application/json", b'[{"a":1}\n,\r\n{"type":"t"}]\n'),
        (
            "application/vnd.amazon.eventstream",
            build({":event-type": "n"}, b'{"a":1}') + build({":exception-type": "n"}, b'{"type":"t"}'),
        ),
        ("text/event-stream", b'{"a":1}\n{"type":"t"}\n'),
        ("text/event-stream", b'data: {"a":1}\n\n{"type":"t"}\n\n'),
    ],
)
def test_an_event_is_the_same_in_every_framing(kind, body):
    """A Meter reads (type, object) whatever carries them; the object's own type wins over the event's."""
    meter = Learner()
    reader = open_reader(meter, True, False, {"content-type": kind})
    assert reader.feed(body) == body
    reader.end()

    assert [event for _, event in meter.frames] == [{"a": 1}, {"type": "t"}]
    assert [name for name, _ in meter.frames] in (["n", "t"], ["", "t"])
    assert meter.found.finding is None
    assert meter.found.finished == (b"[DONE]" in body)


@pytest.mark.parametrize(
    ("kind", "body", "documents", "sizes"),
    [
        ("audio/mpeg", b"\xff\xfb" * 50, [], [100]),
        ("text/plain", b"data is what I said", [], [19]),
        ("text/plain", b"42", [], [2]),
        ("text/vtt", b"WEBVTT\n\n", [], [8]),
        ("audio/mpeg", b'{"error":{}}', [{"error": {}}], []),
        ("application/json", b'{"text":"x"}', [{"text": "x"}], []),
        ("application/json", b"", [], [0]),
    ],
)
def test_a_body_that_is_no_json_is_given_by_its_size(kind, body, documents, sizes):
    """Only to a Meter that takes it; any other reports a broken body."""
    meter = Listener()
    reader = open_reader(meter, False, False, {"content-type": kind})
    out = b"".join(reader.feed(body[i : i + 7]) for i in range(0, len(body), 7)) + reader.feed(b"")

    assert out == body
    assert reader.end().finished
    assert (meter.documents, meter.sizes) == (documents, sizes)
    if sizes and kind != "text/plain":
        reader = open_reader(Learner(), False, False, {"content-type": kind})
        assert reader.feed(body) == body
        assert reader.end().finding in {"body broken", "body too large"}


def test_audio_is_never_kept():
    """However long, a body of a media type costs no memory."""
    meter = Listener()
    reader = open_reader(meter, False, False, {"content-type": "audio/mpeg"})
    for _ in range(100):
        reader.feed(b"\xff" * 10_000)

    assert not reader._inner._kept
    reader.end()
    assert meter.sizes == [1_000_000]


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/vnd.amazon.eventstream", "application/json"])
def test_a_stream_without_a_known_ending_is_not_ended_early(kind):
    """None, and the stream goes on as it was."""
    meter = Learner()
    reader = open_reader(meter, True, False, {"content-type": kind})
    start = {"application/x-ndjson": b'{"a":1}\n{', "application/json": b'[{"a":1},'}.get(kind, MESSAGE)
    reader.feed(start)

    assert reader.finish_early() is None
    assert reader.feed(b"more") == b"more"


def test_a_broken_message_is_a_finding_and_the_stream_goes_on():
    """What was counted before it stays; without counts the finding says what broke."""
    bad = MESSAGE[:-1] + bytes([MESSAGE[-1] ^ 1])
    for body, counted_events in ((bad + MESSAGE, 0), (MESSAGE + bad, 1), (MESSAGE + MESSAGE[:-1], 1)):
        meter = Learner()
        reader = open_reader(meter, True, False, {"content-type": "application/vnd.amazon.eventstream"})
        out = b"".join(reader.feed(body[i : i + 9]) for i in range(0, len(body), 9)) + reader.feed(b"")

        assert out == body
        assert len(meter.frames) == counted_events
        assert reader.end().finding.startswith("frame broken: ")


def test_encodings_that_this_python_cannot_decode_are_a_finding():
    """Brotli always, zstd before Python 3.14; the bytes go on and are counted."""
    for encoding in ("br", "zstd", "gzip, br", "nonsense"):
        if inflate.decoder(encoding) is None:
            reader = open_reader(Learner(), False, False, {"content-encoding": encoding})
            assert reader.feed(b"\x00" * 50) == b"\x00" * 50
            assert reader.end().finding == f"content-encoding not read: {encoding}"
            assert reader.end().output_bytes_seen == 50


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_an_answer_that_is_not_compressed_as_it_says_is_read(name, encoding):
    """Recordings keep the header of an answer that they hold decoded: text begins as no compressed bytes do."""
    dialect, body, stream, kind = sample(name)
    if kind != KINDS[".eventstream"]:
        out, answer = read(dialect, [body[i : i + 1] for i in range(len(body))], stream, kind, encoding)

        assert out == body
        assert answer == read(dialect, [body], stream, kind)[1]


def test_only_the_usage_chunk_of_server_sent_events_is_taken_out():
    """In a body or in lines nothing is stripped, for their syntax is the caller's."""
    usage = b'{"choices":[],"usage":{"prompt_tokens":4}}'
    for body in (usage, b'{"choices":[{}]}\n' + usage + b"\n"):
        reader = OpenAIChat().reader(CallFacts("openai-chat", "openai", "", "m", True, None), True, {})
        assert reader.feed(body) + reader.feed(b"") == body
        assert reader.end().usage == Usage(input_tokens=4)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_blanks_before_a_stripped_stream_are_handed_on(size):
    """What keeps a connection open is not held back, nor lost where a frame is taken out."""
    start, usage = b'\n\n data: {"choices":[{}]}\n\n', b'data: {"choices":[],"usage":{"prompt_tokens":4}}\n\n'
    reader = OpenAIChat().reader(CallFacts("openai-chat", "openai", "", "m", True, None), True, {})
    body = start + usage

    out = [reader.feed(body[i : i + size]) for i in range(0, len(body), size)]

    assert b"".join(out) + reader.feed(b"") == start
    if size == 1:
        assert out[:3] == [b"\n", b"\n", b" "]


COUNTS = {field.name: st.integers(0, 50) for field in fields(Usage) if field.name != "units"}


@given(st.fixed_dictionaries({}, optional=COUNTS), st.dictionaries(st.sampled_from(sorted(UNITS)), st.integers(0, 3)))
def test_counted_cuts_every_part_to_its_whole(counts, units):
    """Totals stay, parts fit and together fit, parts that fitted stay, and units without a count are left out."""
    usage = counted(units, **counts)

    assert usage.input_tokens == counts.get("input_tokens", 0)
    assert usage.output_tokens == counts.get("output_tokens", 0)
    assert max(usage.cache_read_tokens, usage.cache_write_tokens) <= usage.input_tokens
    assert usage.audio_input_tokens + usage.image_input_tokens <= usage.input_tokens
    assert usage.audio_cache_read_tokens + usage.image_cache_read_tokens <= usage.cache_read_tokens
    assert usage.audio_output_tokens + usage.image_output_tokens <= usage.output_tokens
    assert usage.units == tuple(sorted((name, count) for name, count in units.items() if count))
    assert counted(units, **{name: getattr(usage, name) for name in COUNTS}) == usage
    assert json.dumps(usage.units)


def test_counted_refuses_what_is_no_count():
    """A negative count or a unit that nobody knows is an error, never a price."""
    with pytest.raises(ValueError, match="input_tokens"):
        counted(input_tokens=-1)
    with pytest.raises(ValueError, match="furlongs"):
        counted({"furlongs": 1})
