"""Newline-delimited JSON in pieces: one line is one frame, its line feed included (https://github.com/ndjson/ndjson-spec)."""

from wfb_core.dialects.sse import LARGEST, Fragment


class LineScanner:
    """Cuts a stream of bytes into lines; holds what has no end yet, at most `largest` bytes."""

    __slots__ = ("_buffer", "_largest", "finding", "in_fragment")

    def __init__(self, largest: int = LARGEST) -> None:
        self._buffer = bytearray()
        self._largest = largest
        self.in_fragment = False
        """Whether a line that is too long is under way."""
        self.finding: str | None = None
        """Why the stream is no longer read; never here."""

    @property
    def pending(self) -> int:
        """Bytes held: the part of a line that has come."""
        return len(self._buffer)

    @property
    def at_boundary(self) -> bool:
        """Whether the stream so far ends with the end of a line."""
        return not self._buffer and not self.in_fragment

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that the chunk completes, in order; of a line beyond `largest` its Fragments as they come."""
        buffer = self._buffer
        if not buffer and not self.in_fragment and 0 < chunk.find(b"\n") + 1 == len(chunk) <= self._largest:
            return [chunk]
        lines = chunk.split(b"\n")
        rest = lines.pop()
        frames = [self._whole(line + b"\n") for line in lines]
        buffer += rest
        if len(buffer) > self._largest or (self.in_fragment and buffer):
            frames.append(Fragment(self.flush()))
            self.in_fragment = True
        return frames

    def flush(self) -> bytes:
        """What is held when the stream ends: a line whose line feed never came, or nothing."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _whole(self, end: bytes) -> bytes:
        line = self.flush() + end if self._buffer else end
        if not self.in_fragment and len(line) <= self._largest:
            return line
        self.in_fragment = False
        last = Fragment(line)
        last.last = True
        return last
