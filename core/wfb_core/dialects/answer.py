"""Reading an answer as it passes: the bytes go on, what they say about usage stays.

A reader is a Meter (what a dialect learns from frames or from one body) inside one of three shells: a stream handed on
as it comes, a stream of which one frame must be taken out, a body. What kind of stream it is, its content-type and its
first bytes say (`framing`). No shell ever raises: a fault of ours becomes a finding, and the bytes go on.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from wfb_core.dialects import aws_event_stream, framing
from wfb_core.dialects.framing import ARRAY, BODY, LINES, MESSAGES, OPAQUE, SSE
from wfb_core.dialects.inflate import decoder
from wfb_core.dialects.json_array import ElementScanner, element
from wfb_core.dialects.ndjson import LineScanner
from wfb_core.dialects.request import header
from wfb_core.dialects.sse import Fragment, FrameScanner, fields
from wfb_core.usage import Usage

Event = dict[str, Any]
"""A parsed event or body."""

LARGEST_BODY = 32 * 1024 * 1024
"""Bytes of a body that are kept to be read; a longer one is handed on unread."""

PENDING_RESULT = "result pending"
"""The answer only promises a result, which a poll will read."""

USAGE_MISSING = "usage missing"
USAGE_MALFORMED = "usage malformed"
FRAME_BROKEN = "frame broken"
FRAME_TOO_LARGE = "frame too large"
BODY_BROKEN = "body broken"
BODY_TOO_LARGE = "body too large"
ENCODING_NOT_READ = "content-encoding not read"
NOT_STRIPPED = "usage chunk not stripped"
READER_FAILED = "reader failed"

DEFAULT_TIER = "default"
"""An answer's tier where it says that it was served at the standard one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer said about itself."""

    usage: Usage | None
    """Totals as the provider counted them; None where it did not say, or said nonsense."""
    parts: tuple[tuple[str | None, Usage], ...] = ()
    """The same by model: (model, usage). More than one where other models helped; each is priced by its own."""
    partial: Usage | None = None
    """Counts that came before the stream broke off: the input is real, the output only begun."""
    served_model: str | None = None
    response_id: str | None = None
    tier: str | None = None
    """The service tier in the provider's word, "default" for the standard one; None where the answer does not say."""
    finished: bool = False
    """Whether its own end was seen: the terminal event, or a whole body."""
    failed: bool = False
    """Whether the provider put an error into it."""
    output_bytes_seen: int = 0
    """Text and tool arguments that passed, in bytes as escaped in JSON: more than decoded, never less."""
    frames: int = 0
    """Events of a stream."""
    extras: Mapping[str, int] = field(default_factory=dict)
    """What is billed beside tokens or at other rates: web_search_requests, audio_output_tokens …"""
    reported_nanos: int | None = None
    """What the provider itself says the call cost, in nano-USD; it wins over every price list."""
    finding: str | None = None
    """Why usage is missing or bad, or what else went wrong; one of this module's words, perhaps with ``: detail``."""


class AnswerReader(Protocol):
    """Takes an answer's bytes in any chunks."""

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to hand on; an empty chunk says that the answer has ended. Never raises."""

    def end(self) -> Answer:
        """What was learned, once the answer is over or is given up; the same when asked again."""

    def finish_early(self) -> bytes | None:
        """Ends a stream as if its output cap were reached: the bytes to hand on, after which nothing more goes on.

        Empty where a frame has only begun: its rest, and then the ending, come from the next `feed`. None where the
        answer cannot be ended so (a body, a compressed stream).
        """


@dataclass(slots=True)
class Found:
    """What a Meter has learned so far."""

    usage: Usage | None = None
    parts: list[tuple[str | None, Usage]] = field(default_factory=list)
    partial: Usage | None = None
    served_model: str | None = None
    response_id: str | None = None
    tier: str | None = None
    finished: bool = False
    failed: bool = False
    output_bytes: int = 0
    frames: int = 0
    extras: dict[str, int] = field(default_factory=dict)
    reported_nanos: int | None = None
    finding: str | None = None
    framing: str = SSE
    """How the answer comes, once its reader knows: one of `framing`'s words. A Meter's ending is shaped by it."""

    def count_usage(self, usage: Usage, parts: list[tuple[str | None, Usage]] | None = None) -> None:
        """Takes a later count in place of an earlier one."""
        self.usage = usage
        self.parts = parts or []
        self.finding = None

    def malformed(self, why: object) -> None:
        """Notes counts that cannot be priced; an earlier good count no longer holds."""
        self.usage, self.parts = None, []
        self.finding = f"{USAGE_MALFORMED}: {why}"

    def broken(self) -> None:
        """Notes a frame that could not be read, unless something better is known."""
        if self.usage is None and self.finding is None:
            self.finding = FRAME_BROKEN

    def event(self, raw: bytes) -> tuple[str, Event | None]:
        """(type, data) of one frame of any framing; None where it holds no object.

        The type is the data's own, else the event's name: of server-sent events their `event`, of AWS messages the
        header `:event-type` or `:exception-type`, else empty. ``data: [DONE]`` is the end.
        """
        first = raw[0] if raw else 0
        name, data = "", b""
        if first in b"deir:" and self.framing != MESSAGES:
            name, data = fields(raw)
        elif (first or not raw) and self.framing != MESSAGES:
            data = element(raw)
            if data[:1] != b"{" and b"data:" in raw:
                name, data = fields(raw)
        else:
            try:
                headers, data = aws_event_stream.message(raw)
            except ValueError:
                self.broken()
                return "", None
            name = headers.get(":event-type") or headers.get(":exception-type") or ""
        if not data:
            return name, None
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            event = None
            if data.strip() == b"[DONE]":
                self.finished = True
                return name, None
        if not isinstance(event, dict):
            self.broken()
            return name, None
        own = event.get("type")
        return own if isinstance(own, str) else name, event


class Meter(Protocol):
    """What a dialect learns from one answer."""

    found: Found

    def frame(self, raw: bytes) -> bool:
        """Reads one frame; True where it is the one that only we asked for."""

    def document(self, document: Any) -> None:
        """Reads a whole body, parsed."""

    def ending(self) -> bytes:
        """Frames that end the stream as if its cap were reached, in the framing that `found.framing` names.

        Empty where its end has come, and where the dialect knows no such ending: then, but for server-sent events, the
        stream is not ended early. Asking changes nothing.
        """


class OpaqueMeter(Meter, Protocol):
    """A Meter of answers that need not be JSON: audio, a transcript."""

    def opaque(self, size: int) -> None:
        """Reads a whole body of `size` bytes that are no JSON, or that are not kept."""


class Scanner(Protocol):
    """Cuts bytes into frames, whatever their chunks; frames and `flush` put together are the bytes again."""

    in_fragment: bool
    """Whether a frame that is not read is under way: it comes in Fragments."""
    finding: str | None
    """Why nothing is read any more."""

    @property
    def pending(self) -> int:
        """Bytes held: the part of a frame that has come."""

    @property
    def at_boundary(self) -> bool:
        """Whether the bytes so far end with the end of a frame."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames that the chunk completes, in order."""

    def flush(self) -> bytes:
        """What is held when the bytes end."""


SCANNERS: Mapping[str, type[FrameScanner | LineScanner | ElementScanner | aws_event_stream.MessageScanner]] = {
    SSE: FrameScanner,
    LINES: LineScanner,
    ARRAY: ElementScanner,
    MESSAGES: aws_event_stream.MessageScanner,
}
"""Who cuts a stream of each framing."""


def open_reader(meter: Meter, stream: bool, strip: bool, headers: Mapping[str, str]) -> AnswerReader:
    """The reader for an answer with these headers; `stream` says what was asked for where they name no type."""
    kind, encoding = header(headers, "content-type"), header(headers, "content-encoding")
    if encoding in {"", "identity"}:
        return FirstLook(meter, stream, strip, kind)
    return EncodedReader(FirstLook(meter, stream, False, kind), meter, encoding, strip)


class FirstLook:
    """An answer whose first bytes say how it comes: what its headers say may be missing, or wrong.

    The blanks before them are handed on, and are no part of what is read.
    """

    def __init__(self, meter: Meter, stream: bool, strip: bool, kind: str) -> None:
        self._meter = meter
        self._stream = stream
        self._strip = strip
        self._kind = kind
        self._held = b""
        self._inner: AnswerReader | None = None

    def feed(self, chunk: bytes) -> bytes:
        """What the reader for its framing hands on."""
        if self._inner is not None:
            return self._inner.feed(chunk)
        if self._held:
            new, self._held = b"", self._held + chunk
        else:
            self._held = chunk.lstrip(framing.BLANK)
            new = chunk[: len(chunk) - len(self._held)]
        name = framing.of(self._held, self._kind, self._stream, whole=not chunk)
        if name is None:
            return new if self._strip else chunk
        self._inner = inner = self._open(name)
        if self._strip:
            # What was held is not yet handed on: a frame may have to be taken out.
            out = new + inner.feed(self._held) if self._held else new
            return out if chunk else out + inner.feed(b"")
        if self._held:
            inner.feed(self._held)
        return chunk or inner.feed(b"")

    def end(self) -> Answer:
        """What was learned."""
        if self._inner is None:
            self.feed(b"")
        assert self._inner is not None
        return self._inner.end()

    def finish_early(self) -> bytes | None:
        """As the reader for its framing, which so far is the likeliest."""
        if self._inner is None:
            name = framing.of(self._held, self._kind, self._stream, whole=True)
            if name in {None, BODY, OPAQUE}:
                return None
            self._inner = self._open(name)
            if self._held:
                self._inner.feed(self._held)
        return self._inner.finish_early()

    def _open(self, name: str) -> AnswerReader:
        self._meter.found.framing = name
        if name == BODY:
            return BodyReader(self._meter)
        if name == OPAQUE:
            return BodyReader(self._meter, largest=0)
        if self._strip and name == SSE:
            return StrippingReader(self._meter)
        return StreamReader(self._meter, SCANNERS[name]())


class StreamReader:
    """A stream that is handed on as it comes."""

    def __init__(self, meter: Meter, scanner: Scanner | None = None) -> None:
        self._meter = meter
        self._scanner: Scanner = FrameScanner() if scanner is None else scanner
        self._failed: str | None = None
        self._too_large = False
        self._ending = self._ended = False

    def feed(self, chunk: bytes) -> bytes:
        """The chunk, unchanged."""
        if self._ended:
            return b""
        if self._failed is not None:
            return chunk
        try:
            return self._end_after(chunk) if self._ending else self._pass(chunk)
        except Exception as e:
            self._failed = type(e).__name__
            return chunk

    def end(self) -> Answer:
        """What was learned, the last frame's blank line having come or not."""
        self._flush()
        finding = f"{READER_FAILED}: {self._failed}" if self._failed else None
        if finding is None and (self._too_large or self._scanner.finding):
            finding = self._scanner.finding or FRAME_TOO_LARGE
        return told(self._meter.found, finding)

    def finish_early(self) -> bytes | None:
        """The ending at once at a frame's boundary, else with the frame that has begun."""
        if self._ended or self._failed is not None or self._scanner.finding is not None:
            return None
        found = self._meter.found
        if found.framing != SSE and not found.finished and not self._meter.ending():
            return None
        self._ending = True
        return self._finish() if self._scanner.at_boundary else b""

    def _pass(self, chunk: bytes) -> bytes:
        if not chunk:
            self._flush()
        for raw in self._scanner.feed(chunk):
            self._read(raw)
        return chunk

    def _end_after(self, chunk: bytes) -> bytes:
        """The rest of the frame that has begun, then the ending; frames after it no longer count."""
        if not chunk:
            self._flush()
            return self._finish()
        length = -self._scanner.pending
        for raw in self._scanner.feed(chunk):
            length += len(raw)
            self._read(raw)
            if not isinstance(raw, Fragment) or raw.last:
                return chunk[:length] + self._finish()
        return chunk

    def _finish(self) -> bytes:
        self._ended = True
        return self._meter.ending()

    def _read(self, raw: bytes) -> bool:
        if isinstance(raw, Fragment):
            self._too_large = True
            return False
        return self._meter.frame(raw)

    def _flush(self) -> bytes:
        """Reads a last frame without its blank line; returns what of it is still to be handed on."""
        rest = self._scanner.flush()
        if self._scanner.in_fragment:
            return rest
        try:
            return b"" if rest and self._meter.frame(rest) else rest
        except Exception as e:
            self._failed = type(e).__name__
            return rest


class StrippingReader(StreamReader):
    """A stream without the frame that only we asked for: whole frames are handed on, a begun one is held back."""

    HELD_BACK = 1024 * 1024
    """No usage frame is longer; of a longer one nothing is held back."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter, FrameScanner(self.HELD_BACK))

    def feed(self, chunk: bytes) -> bytes:
        """The frames that the chunk completes, but for the one; at the end what is held back."""
        if self._ended:
            return b""
        if self._failed is not None:
            return chunk
        out: list[bytes] = []
        try:
            if not chunk:
                out.append(self._flush())
            frames = iter(self._scanner.feed(chunk))
        except Exception as e:
            self._failed = type(e).__name__
            return self._scanner.flush() + chunk
        for raw in frames:
            try:
                taken = self._failed is None and self._read(raw)
            except Exception as e:
                self._failed = type(e).__name__
                taken = False
            if not taken:
                out.append(raw)
        if self._failed is not None:
            out.append(self._scanner.flush())
        return b"".join(out)

    def finish_early(self) -> bytes | None:
        """The ending at once: of a frame that has begun nothing was handed on, unless it is too long to hold."""
        if self._ended or self._failed is not None or self._scanner.in_fragment:
            return None
        self._scanner.flush()
        return self._finish()


class BodyReader:
    """An answer in one body; of one longer than `largest` bytes only its size is known."""

    def __init__(self, meter: Meter, largest: int | None = None) -> None:
        self._meter = meter
        self._largest = LARGEST_BODY if largest is None else largest
        self._kept = bytearray()
        self._size = 0
        self._answer: Answer | None = None

    def feed(self, chunk: bytes) -> bytes:
        """The chunk, unchanged."""
        self._size += len(chunk)
        if self._size <= self._largest:
            self._kept += chunk
        else:
            self._kept.clear()
        return chunk

    def end(self) -> Answer:
        """What the body says; an incomplete one counts its bytes."""
        if self._answer is None:
            self._answer = self._read()
        return self._answer

    def finish_early(self) -> bytes | None:
        """None: half a body cannot end well."""
        return None

    def _read(self) -> Answer:
        self._meter.found.output_bytes = self._size
        body = bytes(self._kept)
        self._kept.clear()
        try:
            return told(self._meter.found, self._learn(body))
        except Exception as e:
            return told(self._meter.found, f"{READER_FAILED}: {type(e).__name__}")

    def _learn(self, body: bytes) -> str | None:
        """Reads what was kept: one document, lines of JSON under a wrong name, or bytes that are neither."""
        found, opaque = self._meter.found, getattr(self._meter, "opaque", None)
        finding = None
        if len(body) < self._size:
            finding = BODY_TOO_LARGE
        else:
            try:
                document = json.loads(body)
            except (ValueError, RecursionError):
                finding = BODY_BROKEN
        if finding and framing.has_lines(body):
            return self._lines(body)
        if opaque is not None and (finding or not isinstance(document, dict | list)):
            opaque(self._size)
        elif finding:
            return finding
        else:
            found.output_bytes = 0
            self._meter.document(document)
        found.finished = True
        return None

    def _lines(self, body: bytes) -> str | None:
        found, scanner = self._meter.found, LineScanner()
        found.output_bytes, found.framing = 0, LINES
        for raw in scanner.feed(body):
            self._meter.frame(raw)
        if rest := scanner.flush():
            self._meter.frame(rest)
        return None


class EncodedReader:
    """A compressed answer: its bytes go on untouched, a decoded copy is read; one that cannot be is counted in bytes.

    Recordings keep the header of an answer that they hold decoded, so one that begins as plain text is read as such.
    """

    def __init__(self, inner: AnswerReader, meter: Meter, encoding: str, strip: bool) -> None:
        self._inner = inner
        self._meter = meter
        self._encoding = encoding
        self._decode = decoder(encoding)
        self._strip = strip
        self._start: bytes | None = None if encoding == "deflate" else b""  # raw deflate can begin as text does
        self._broken = False

    def feed(self, chunk: bytes) -> bytes:
        """The chunk, unchanged."""
        if not self._broken:
            try:
                for piece in self._decoded(chunk):
                    self._inner.feed(piece)
            except Exception:
                self._broken = True
        return chunk

    def end(self) -> Answer:
        """What the decoded copy said."""
        if self._start:
            self._meter.found.output_bytes += len(self._start)
            self._start = None
        if self._decode is None:
            return told(self._meter.found, f"{ENCODING_NOT_READ}: {self._encoding[:32]}")
        answer = self._inner.end()
        if self._broken and answer.usage is None:
            return _with_finding(answer, f"{ENCODING_NOT_READ}: broken {self._encoding}")
        if self._strip and not answer.finding and self._meter.found.framing == SSE:
            return _with_finding(answer, NOT_STRIPPED)
        return answer

    def finish_early(self) -> bytes | None:
        """None: plain frames cannot follow compressed ones."""
        return None

    def _decoded(self, chunk: bytes) -> Iterable[bytes]:
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < 2:
                self._start = chunk
                return ()
            self._start = None
            if framing.is_plain(chunk):
                self._decode = _as_it_is
        if self._decode is None:
            self._meter.found.output_bytes += len(chunk)
            return ()
        return self._decode(chunk)


def _as_it_is(chunk: bytes) -> Iterator[bytes]:
    yield chunk


def told(found: Found, finding: str | None) -> Answer:
    """The answer so far; the reader's own finding counts only where it explains a missing usage."""
    usage = found.usage
    finding = None if usage is not None else found.finding or finding or USAGE_MISSING
    return Answer(
        usage=usage,
        parts=tuple(found.parts) or (((found.served_model, usage),) if usage is not None else ()),
        partial=found.partial,
        served_model=found.served_model,
        response_id=found.response_id,
        tier=found.tier,
        finished=found.finished,
        failed=found.failed,
        output_bytes_seen=found.output_bytes,
        frames=found.frames,
        extras=dict(found.extras),
        reported_nanos=found.reported_nanos,
        finding=finding,
    )


def _with_finding(answer: Answer, finding: str) -> Answer:
    return replace(answer, finding=finding)


MOST_TOKENS = 10**12
"""A count beyond this is no count of tokens."""


def tokens(counts: Mapping[str, Any], name: str, *, required: bool = False) -> int:
    """A count out of a provider's usage object; 0 where it is missing or null and not `required`.

    Raises ValueError, without the value's content, where it is no whole number from 0 to a million million.
    """
    value = counts.get(name)
    if value is None and not required:
        return 0
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # some providers declare their counts as numbers
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is {'missing' if value is None else 'no whole number'}")
    if not 0 <= value <= MOST_TOKENS:
        raise ValueError(f"{name} is out of range")
    return value


def counted(
    units: Mapping[str, int] | None = None,
    *,
    input_tokens: int = 0,
    cache_read_tokens: int = 0,
    cache_write_tokens: int = 0,
    cache_write_1h_tokens: int = 0,
    output_tokens: int = 0,
    reasoning_tokens: int = 0,
    audio_input_tokens: int = 0,
    image_input_tokens: int = 0,
    audio_cache_read_tokens: int = 0,
    image_cache_read_tokens: int = 0,
    audio_output_tokens: int = 0,
    image_output_tokens: int = 0,
) -> Usage:
    """The Usage of a provider's counts, each part cut to what is left of its total; `units` by name, zeros left out.

    Providers send parts that exceed their whole; the totals are what they bill, so they stay. Raises ValueError where
    a count is negative or a unit is not known.
    """
    read = min(cache_read_tokens, input_tokens)
    written = min(cache_write_tokens, input_tokens)
    audio = min(audio_input_tokens, input_tokens)
    image = min(image_input_tokens, input_tokens - audio)
    audio_read = min(audio_cache_read_tokens, audio, read)
    audio_out = min(audio_output_tokens, output_tokens)
    return Usage(
        input_tokens=input_tokens,
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=min(cache_write_1h_tokens, written),
        output_tokens=output_tokens,
        reasoning_tokens=min(reasoning_tokens, output_tokens),
        audio_input_tokens=audio,
        image_input_tokens=image,
        audio_cache_read_tokens=audio_read,
        image_cache_read_tokens=min(image_cache_read_tokens, image, read - audio_read),
        audio_output_tokens=audio_out,
        image_output_tokens=min(image_output_tokens, output_tokens - audio_out),
        units=tuple(sorted((name, count) for name, count in (units or {}).items() if count)),
    )


def inner(counts: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """An object inside a usage object; empty where it is missing or null; raises ValueError where it is none."""
    value = counts.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no object")
    return value


def strings(value: Any) -> Iterator[str]:
    """Every string in a part of a parsed answer, without recursion."""
    stack = [value]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
