"""A JSON array in pieces: each element is one frame, as it comes (Gemini's streams without ``alt=sse``).

A frame is the raw bytes up to the end of an element, with the bracket or comma before it; what closes the array is a
frame of its own. So frames put together are the stream again.
"""

import re

from wfb_core.dialects.sse import LARGEST, Fragment

_STRING = rb'"(?:[^"\\]++|\\.)*+"'
_BLANK = b" \t\r\n"
_REST_OF_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_SCALAR = re.compile(rb"[^,\]\[{}\"]*+")
_SKIP = {
    "{": re.compile(rb'(?:[^"{}]++|%b)*+' % _STRING, re.DOTALL),
    "[": re.compile(rb'(?:[^"\[\]]++|%b)*+' % _STRING, re.DOTALL),
}
"""What stands between the brackets that an element of this opening bracket is counted by, whole strings included."""

NESTED = 12
"""Levels of objects within which one match finds the end of an element that came whole."""


_TEXTS = rb'(?:[^{}"]*+"[^"\\]*+(?:\\.[^"\\]*+)*+")*+[^{}"]*+'
"""All that stands between two braces, strings included."""


def _object(levels: int) -> bytes:
    pattern = rb"\{%b\}" % _TEXTS
    for _ in range(levels):
        pattern = rb"\{%b(?:%b%b)*+\}" % (_TEXTS, pattern, _TEXTS)
    return pattern


_WHOLE = re.compile(rb"[ \t\r\n]*+,?[ \t\r\n]*+" + _object(NESTED), re.DOTALL)
_LONGEST_GAP = 64
"""Bytes between two elements that are put before the next chunk, to be matched with it."""


class ElementScanner:
    """Cuts a JSON array into its elements; holds the one that has no end yet, at most `largest` bytes."""

    __slots__ = (
        "_buffer",
        "_closed",
        "_depth",
        "_in_string",
        "_kind",
        "_largest",
        "_opened",
        "_seen",
        "finding",
        "in_fragment",
    )

    def __init__(self, largest: int = LARGEST) -> None:
        self._buffer = bytearray()
        self._largest = largest
        self._seen = 0  # of the buffer, what was looked at
        self._opened = self._closed = False
        self._kind = ""  # what the element under way is: { [ " or s for a scalar; empty between two
        self._depth = 0
        self._in_string = False
        self.in_fragment = False
        """Whether an element that is too long is under way."""
        self.finding: str | None = None
        """Why the stream is no longer read; never here."""

    @property
    def pending(self) -> int:
        """Bytes held: the part of a frame that has come."""
        return len(self._buffer)

    @property
    def at_boundary(self) -> bool:
        """Whether the stream so far ends with the end of an element, blanks apart."""
        return not self.in_fragment and not self._buffer.strip(_BLANK)

    def feed(self, chunk: bytes) -> list[bytes]:
        """The elements that the chunk completes, in order; of one beyond `largest` its Fragments as they come.

        What follows the array is no element and is not held: nothing comes for it.
        """
        frames = list[bytes]()
        if self._closed:
            return frames
        buffer = self._buffer
        between = self._opened and not self._kind and not self.in_fragment
        if between and len(buffer) <= _LONGEST_GAP and len(buffer) + len(chunk) <= self._largest:
            # Most chunks are whole elements: one match finds each.
            start, size = 0, len(chunk)
            while start < size and (whole := _WHOLE.match(chunk, start)):
                frames.append(self.flush() + whole[0] if buffer else whole[0])
                start = whole.end()
            if start == size:
                return frames
            chunk = chunk[start:]
        buffer += chunk
        while (end := self._end()) is not None:
            frames.append(self._frame(end))
        if self._closed:
            self.flush()
        elif len(buffer) > self._largest or (self.in_fragment and self._seen):
            frames.append(self._fragment())
        return frames

    def flush(self) -> bytes:
        """What is held when the stream ends: an element without its end, or blanks."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._seen = 0
        return rest

    def _end(self) -> int | None:
        """Where the frame that has begun ends in the buffer; None where that has not come yet.

        At its very beginning where the last fragment of a scalar went before what ends it came.
        """
        buffer = self._buffer
        if self._closed:
            return None
        if not self._kind and not self._begin():
            return self._close()
        if self._kind == "s":
            self._seen = _past(_SCALAR, buffer, self._seen)
            return self._seen if self._seen < len(buffer) else None
        skip = _SKIP.get(self._kind)
        while True:
            if self._in_string:
                self._seen = _past(_REST_OF_STRING, buffer, self._seen)
                if self._seen >= len(buffer) or buffer[self._seen] != 34:
                    return None
                self._seen += 1
                self._in_string = False
            if skip is None:  # a string is an element by itself
                return self._seen
            self._seen = _past(skip, buffer, self._seen)
            if self._seen >= len(buffer):
                return None
            byte = buffer[self._seen]
            self._seen += 1
            if byte == 34:
                self._in_string = True
            elif byte in b"{[":
                self._depth += 1
            else:
                self._depth -= 1
                if not self._depth:
                    return self._seen

    def _begin(self) -> bool:
        """Finds the first byte of the next element; False where it has not come, or the array closes."""
        buffer = self._buffer
        while self._seen < len(buffer):
            byte = buffer[self._seen]
            if byte == 93:
                return False
            self._seen += 1
            if byte in b" \t\r\n,":
                continue
            if byte == 91 and not self._opened:
                self._opened = True
            elif byte in b'{["':
                self._kind, self._depth, self._in_string = chr(byte), int(byte != 34), byte == 34
                return True
            else:
                self._kind = "s"
                return True
        return False

    def _close(self) -> int | None:
        """Where the array's closing bracket ends; None where that has not come."""
        if self._seen >= len(self._buffer):
            return None
        self._closed = True
        return self._seen + 1

    def _frame(self, end: int) -> bytes:
        raw = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._seen = 0
        self._kind = ""
        if not self.in_fragment and len(raw) <= self._largest:
            return raw
        self.in_fragment = False
        last = Fragment(raw)
        last.last = True
        return last

    def _fragment(self) -> bytes:
        """The part of an element that is too long, but for a byte that may begin an escape."""
        piece = Fragment(self._buffer[: self._seen])
        del self._buffer[: self._seen]
        self._seen = 0
        self.in_fragment = True
        return piece


def _past(pattern: re.Pattern[bytes], buffer: bytearray, start: int) -> int:
    """Where a pattern that may match nothing stops matching."""
    found = pattern.match(buffer, start)
    return found.end() if found else start


def element(raw: bytes) -> bytes:
    """The JSON of one frame, without what separates it from the others; empty for the frame that closes the array."""
    text = raw.strip(_BLANK)
    if text[:1] in {b"[", b","}:
        text = text[1:].lstrip(_BLANK)
    return b"" if text == b"]" else text
