"""Reading an answer as it passes: the bytes go on, what they say about usage stays.

A reader is a Meter (what a dialect learns from frames or from one body) inside one of three shells: a stream handed on
as it comes, a stream of which one frame must be taken out, a body. No shell ever raises: a fault of ours becomes a
finding, and the bytes go on.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from wfb_core.dialects.inflate import READABLE, Inflater
from wfb_core.dialects.request import header
from wfb_core.dialects.sse import Fragment, FrameScanner, fields
from wfb_core.usage import Usage

Event = dict[str, Any]
"""A parsed event or body."""

LARGEST_BODY = 32 * 1024 * 1024
"""Bytes of a body that are kept to be read; a longer one is handed on unread."""

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
    finding: str | None = None

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
        """(type, data) of one frame: the data's own type, else the event's name; None where it holds no object."""
        name, data = fields(raw)
        if not data:
            return name, None
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            event = None
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
        """Frames that end the stream as if its cap were reached; empty where its end has come."""


def open_reader(meter: Meter, stream: bool, strip: bool, headers: Mapping[str, str]) -> AnswerReader:
    """The reader for an answer with these headers; `stream` says what was asked for where they name no type."""
    kind, encoding = header(headers, "content-type"), header(headers, "content-encoding")
    if kind:
        stream = kind.startswith("text/event-stream")
    if encoding in {"", "identity"}:
        if not stream:
            return BodyReader(meter)
        return StrippingReader(meter) if strip else StreamReader(meter)
    if encoding not in READABLE:
        return UnreadReader(meter, f"{ENCODING_NOT_READ}: {encoding[:32]}")
    if not stream:
        return EncodedReader(BodyReader(meter), encoding)
    return EncodedReader(StreamReader(meter), encoding, NOT_STRIPPED if strip else None)


class StreamReader:
    """A stream that is handed on as it comes."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._scanner = FrameScanner()
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
        if finding is None and self._too_large:
            finding = FRAME_TOO_LARGE
        return told(self._meter.found, finding)

    def finish_early(self) -> bytes | None:
        """The ending at once at a frame's boundary, else with the frame that has begun."""
        if self._ended or self._failed is not None:
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
        super().__init__(meter)
        self._scanner = FrameScanner(self.HELD_BACK)

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
    """An answer in one body."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._pieces: list[bytes] = []
        self._size = 0
        self._answer: Answer | None = None

    def feed(self, chunk: bytes) -> bytes:
        """The chunk, unchanged."""
        self._size += len(chunk)
        if self._size <= LARGEST_BODY:
            self._pieces.append(chunk)
        else:
            self._pieces.clear()
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
        found = self._meter.found
        found.output_bytes = self._size
        if self._size > LARGEST_BODY:
            return told(found, BODY_TOO_LARGE)
        try:
            document = json.loads(b"".join(self._pieces))
        except (ValueError, RecursionError):
            return told(found, BODY_BROKEN)
        finally:
            self._pieces.clear()
        try:
            found.output_bytes = 0
            self._meter.document(document)
            found.finished = True
        except Exception as e:
            return told(found, f"{READER_FAILED}: {type(e).__name__}")
        return told(found, None)


class EncodedReader:
    """A compressed answer: its bytes go on untouched, a decoded copy is read."""

    def __init__(self, inner: StreamReader | BodyReader, encoding: str, finding: str | None = None) -> None:
        self._inner = inner
        self._inflater = Inflater(encoding)
        self._encoding = encoding
        self._finding = finding
        self._broken = False

    def feed(self, chunk: bytes) -> bytes:
        """The chunk, unchanged."""
        if not self._broken:
            try:
                for piece in self._inflater.feed(chunk):
                    self._inner.feed(piece)
            except zlib.error:
                self._broken = True
        return chunk

    def end(self) -> Answer:
        """What the decoded copy said."""
        answer = self._inner.end()
        if self._broken and answer.usage is None:
            return _with_finding(answer, f"{ENCODING_NOT_READ}: broken {self._encoding}")
        return answer if answer.finding or not self._finding else _with_finding(answer, self._finding)

    def finish_early(self) -> bytes | None:
        """None: plain frames cannot follow compressed ones."""
        return None


class UnreadReader:
    """An answer in an encoding that is not read: counted in bytes."""

    def __init__(self, meter: Meter, finding: str) -> None:
        self._meter = meter
        self._finding = finding

    def feed(self, chunk: bytes) -> bytes:
        """The chunk, unchanged."""
        self._meter.found.output_bytes += len(chunk)
        return chunk

    def end(self) -> Answer:
        """Nothing but its size."""
        return told(self._meter.found, self._finding)

    def finish_early(self) -> bytes | None:
        """None: what is not read cannot be ended."""
        return None


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
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is {'missing' if value is None else 'no whole number'}")
    if not 0 <= value <= MOST_TOKENS:
        raise ValueError(f"{name} is out of range")
    return value


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
