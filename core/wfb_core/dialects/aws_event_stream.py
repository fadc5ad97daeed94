"""AWS event streams: binary messages with headers and a payload, two checksums each.

The layout is botocore 1.44's (eventstream.py) and the Smithy specification's
(https://smithy.io/2.0/aws/amazon-eventstream.html): total length, headers' length and their CRC32, each in four bytes
big-endian, headers, payload, CRC32 of all that came before.
"""

import struct
import uuid
import zlib
from collections.abc import Mapping
from functools import lru_cache

from wfb_core.dialects.sse import LARGEST, Fragment

PRELUDE = 12
"""Bytes of the two lengths and their checksum."""
SHORTEST = PRELUDE + 4
"""Bytes of a message without headers and payload."""
BROKEN = "frame broken"

_NUMBERS = {2: ">b", 3: ">h", 4: ">i", 5: ">q", 8: ">q"}
_CUT = "the message's headers are cut"


class MessageScanner:
    """Cuts a stream of bytes into whole messages whose checksums hold; after a broken one nothing is read any more."""

    __slots__ = ("_buffer", "_largest", "_left", "finding", "in_fragment")

    def __init__(self, largest: int = LARGEST) -> None:
        self._buffer = bytearray()
        self._largest = largest
        self._left = 0  # bytes to come of a message that is too long
        self.in_fragment = False
        """Whether a message that is too long is under way, or the stream is no longer read."""
        self.finding: str | None = None
        """Why the stream is no longer read."""

    @property
    def pending(self) -> int:
        """Bytes held: the part of a message that has come."""
        return len(self._buffer)

    @property
    def at_boundary(self) -> bool:
        """Whether the stream so far ends with the end of a message."""
        return not self._buffer and not self.in_fragment

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that the chunk completes, in order; what is too long or broken as Fragments, as it comes."""
        if self.finding is not None:
            return [Fragment(chunk)] if chunk else []
        buffer = self._buffer
        if not buffer and not self.in_fragment and _one_message(chunk) and len(chunk) <= self._largest:
            return [chunk]
        buffer += chunk
        frames = list[bytes]()
        while buffer:
            if self.in_fragment:
                frames.append(self._fragment())
                continue
            if len(buffer) < PRELUDE:
                break
            length = whole_length(buffer)
            if not length:
                return [*frames, self._give_up("prelude")]
            if length > self._largest:
                self._left = length
                self.in_fragment = True
                continue
            if len(buffer) < length:
                break
            raw = bytes(buffer[:length])
            if zlib.crc32(raw[:-4]) != int.from_bytes(raw[-4:], "big"):
                return [*frames, self._give_up("message")]
            del buffer[:length]
            frames.append(raw)
        return frames

    def flush(self) -> bytes:
        """What is held when the stream ends: a message without its end, which is never read, or nothing."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        if rest:
            self.in_fragment = True
            self.finding = f"{BROKEN}: message cut"
        return rest

    def _fragment(self) -> bytes:
        piece = Fragment(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(piece)
        if not self._left:
            piece.last = True
            self.in_fragment = False
        return piece

    def _give_up(self, part: str) -> bytes:
        self.finding = f"{BROKEN}: checksum of the {part}"
        self.in_fragment = True
        piece = Fragment(self._buffer)
        self._buffer.clear()
        return piece


def _one_message(chunk: bytes) -> bool:
    """Whether a chunk is one whole message, as most are."""
    return (
        len(chunk) >= SHORTEST
        and whole_length(chunk) == len(chunk)
        and zlib.crc32(chunk[:-4]) == int.from_bytes(chunk[-4:], "big")
    )


def whole_length(start: bytes | bytearray) -> int:
    """The length of the message that begins so; 0 where its twelve bytes are no prelude."""
    length, headers, checksum = struct.unpack_from(">III", start)
    if zlib.crc32(start[:8]) != checksum or length < SHORTEST + headers:
        return 0
    return int(length)


def message(raw: bytes) -> tuple[dict[str, str], bytes]:
    """(headers, payload) of a whole message; numbers, flags, times and UUIDs among the headers as text, bytes in hex.

    Raises ValueError where the headers are not what their lengths say.
    """
    if len(raw) < SHORTEST:
        raise ValueError("the message is shorter than its prelude and checksum")
    end = PRELUDE + int.from_bytes(raw[4:8], "big")
    if end > len(raw) - 4:
        raise ValueError(_CUT)
    head = raw[PRELUDE:end]
    # All messages of one kind have the same headers.
    headers = _known(head).copy() if len(head) <= _LONGEST_KNOWN else _headers(head)
    return headers, raw[end:-4]


def _headers(head: bytes) -> dict[str, str]:
    headers = dict[str, str]()
    at, end = 0, len(head)
    while at < end:
        name_end = at + 1 + head[at]
        if name_end >= end:
            raise ValueError(_CUT)
        name = head[at + 1 : name_end].decode("utf-8", "replace")
        headers[name], at = _value(head, name_end, end)
    return headers


_LONGEST_KNOWN = 512
_known = lru_cache(64)(_headers)


def build(headers: Mapping[str, str], payload: bytes) -> bytes:
    """A message with these headers, each a string, and this payload."""
    head = b"".join(
        bytes([len(name.encode())]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    lengths = struct.pack(">II", SHORTEST + len(head) + len(payload), len(head))
    text = lengths + zlib.crc32(lengths).to_bytes(4, "big") + head + payload
    return text + zlib.crc32(text).to_bytes(4, "big")


def _value(raw: bytes, at: int, end: int) -> tuple[str, int]:
    """(a header's value as text, where the next header begins) of the value whose type stands at `at`."""
    kind, at = raw[at], at + 1
    if kind in {0, 1}:
        return ("true" if kind == 0 else "false"), at
    if kind in {6, 7}:
        size, at = int.from_bytes(raw[at : at + 2], "big"), at + 2
    elif kind in _NUMBERS:
        size = struct.calcsize(_NUMBERS[kind])
    elif kind == 9:
        size = 16
    else:
        raise ValueError("a header of the message has a type that is not known")
    value = raw[at : at + size]
    at += size
    if at > end:
        raise ValueError(_CUT)
    if kind == 7:
        return value.decode("utf-8", "replace"), at
    if kind == 6:
        return value.hex(), at
    if kind == 9:
        return str(uuid.UUID(bytes=value)), at
    return str(struct.unpack(_NUMBERS[kind], value)[0]), at
