"""Server-sent events in pieces: finds where each frame ends, whatever the chunks and line ends, and reads its fields.

A frame is the raw bytes up to and with the blank line that ends it, so frames put together are the stream again
(https://html.spec.whatwg.org/multipage/server-sent-events.html). Most frames are never parsed: a reader looks for the
few bytes that matter to it first.
"""

import re

LARGEST = 32 * 1024 * 1024
"""Bytes kept of one frame; a longer one is handed on in fragments, unread."""

_LINE_END = rb"(?>\r\n|\n|\r)"  # atomic: CR LF is one line's end, never two
_BLANK_LINE = re.compile(_LINE_END + _LINE_END)
_LINES = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class Fragment(bytes):
    """A piece of a frame that is too long to be read."""

    last = False
    """Whether the frame ends with it."""


class FrameScanner:
    """Cuts a stream of bytes into frames; holds what has no end yet, at most `largest` bytes."""

    __slots__ = ("_buffer", "_largest", "finding", "in_fragment")

    def __init__(self, largest: int = LARGEST) -> None:
        self._buffer = bytearray()
        self._largest = largest
        self.in_fragment = False
        """Whether a frame that is too long is under way."""
        self.finding: str | None = None
        """Why the stream is no longer read; never here."""

    @property
    def pending(self) -> int:
        """Bytes held: the part of a frame that has come."""
        return len(self._buffer)

    @property
    def at_boundary(self) -> bool:
        """Whether the stream so far ends with the end of a frame."""
        return not self._buffer and not self.in_fragment

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames that the chunk completes, in order; of a frame beyond `largest` its Fragments as they come."""
        buffer = self._buffer
        if not buffer and not self.in_fragment and len(chunk) <= self._largest:
            returns = chunk.count(b"\r")
            if not returns:
                end = b"\n\n"
            elif returns == chunk.count(b"\r\n") == chunk.count(b"\n"):  # Google's servers
                end = b"\r\n\r\n"
            else:
                return self._search(chunk)
            frames = chunk.split(end)
            buffer += frames.pop()
            return [f + end for f in frames]
        return self._search(chunk)

    def flush(self) -> bytes:
        """What is held when the stream ends: a frame whose blank line never came, or nothing."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _search(self, chunk: bytes) -> list[bytes]:
        buffer, frames = self._buffer, list[bytes]()
        # A blank line is at most four bytes, three of which may have come before.
        start, seen = 0, max(0, len(buffer) - 3)
        buffer += chunk
        while found := _BLANK_LINE.search(buffer, seen):
            end = found.end()
            if end == len(buffer) and buffer[end - 1] == 13:
                break  # its LF may still come
            frames.append(self._frame(bytes(buffer[start:end])))
            start = seen = end
        del buffer[:start]
        if len(buffer) > (3 if self.in_fragment else self._largest):
            frames.append(self._fragment())
        return frames

    def _frame(self, raw: bytes) -> bytes:
        if not self.in_fragment and len(raw) <= self._largest:
            return raw
        self.in_fragment = False
        last = Fragment(raw)
        last.last = True
        return last

    def _fragment(self) -> bytes:
        """The part of a frame that is too long, but for three bytes that may begin its blank line."""
        piece = Fragment(self._buffer[:-3])
        del self._buffer[:-3]
        self.in_fragment = True
        return piece


def fields(raw: bytes) -> tuple[str, bytes]:
    """The event's name and data of one frame: data lines joined by a line feed, comments and other fields left out."""
    event, data = b"", list[bytes]()
    for line in _LINES.split(raw.removeprefix(_BOM)):
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value.removeprefix(b" "))
        elif name == b"event":
            event = value.removeprefix(b" ")
    return event.decode("utf-8", "replace"), b"\n".join(data)
