"""gRPC over HTTP/2: messages with a prefix of five bytes, in requests and answers, streamed or not.

The framing is https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: a flag (1: compressed as `grpc-encoding`
says), the length in four bytes big-endian, the message. The status comes in trailers, which are no part of the body;
gRPC-Web puts them into it as a message with the flag 128.
"""

import re
import zlib
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote

from wfb_core.dialects import refusal as refusals
from wfb_core.dialects.answer import ENCODING_NOT_READ, FRAME_TOO_LARGE, READER_FAILED, Answer, Found, told
from wfb_core.dialects.request import LARGEST as LARGEST_REQUEST
from wfb_core.dialects.request import NotUnderstood, header, not_understood
from wfb_core.dialects.sse import LARGEST, Fragment
from wfb_core.reasons import BODY_TOO_LARGE

PREFIX = 5
COMPRESSED, TRAILERS = 1, 128


class PrefixScanner:
    """Cuts a stream of bytes into messages with their prefixes; holds what has no end yet, at most `largest` bytes."""

    __slots__ = ("_buffer", "_largest", "_left", "finding", "in_fragment")

    def __init__(self, largest: int = LARGEST) -> None:
        self._buffer = bytearray()
        self._largest = largest
        self._left = 0  # bytes to come of a message that is too long
        self.in_fragment = False
        """Whether a message that is too long is under way."""
        self.finding: str | None = None
        """Why nothing is read any more; never here."""

    @property
    def pending(self) -> int:
        """Bytes held: the part of a message that has come."""
        return len(self._buffer)

    @property
    def at_boundary(self) -> bool:
        """Whether the stream so far ends with the end of a message."""
        return not self._buffer and not self.in_fragment

    def feed(self, chunk: bytes) -> list[bytes]:
        """The messages that the chunk completes, prefixes included; of one beyond `largest` its Fragments."""
        buffer = self._buffer
        buffer += chunk
        frames = list[bytes]()
        start = 0
        while start < len(buffer):
            if self.in_fragment:
                piece = Fragment(buffer[start : start + self._left])
                self._left -= len(piece)
                piece.last = not self._left
                self.in_fragment = bool(self._left)
                start += len(piece)
                frames.append(piece)
                continue
            if len(buffer) - start < PREFIX:
                break
            length = PREFIX + int.from_bytes(buffer[start + 1 : start + PREFIX], "big")
            if length > self._largest:
                self._left, self.in_fragment = length, True
                continue
            if len(buffer) - start < length:
                break
            frames.append(bytes(buffer[start : start + length]))
            start += length
        del buffer[:start]
        return frames

    def flush(self) -> bytes:
        """What is held when the stream ends: a message without its end, which is never read, or nothing."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest


class MessageMeter(Protocol):
    """What a dialect learns from the messages of one answer."""

    found: Found

    def message(self, message: bytes) -> None:
        """Reads one message, unpacked; raises ValueError where its bytes are none."""

    def settle(self, whole: bool) -> None:
        """Reads the last counts that came: those of the whole answer, or of one that broke off."""


class MessageReader:
    """An answer of gRPC messages: its bytes go on untouched. It cannot be ended early, as its end is in the trailers."""

    def __init__(self, meter: MessageMeter, stream: bool, headers: Mapping[str, str]) -> None:
        self._meter = meter
        self._stream = stream
        self._scanner = PrefixScanner()
        self._encoding = header(headers, "grpc-encoding")
        self._finding: str | None = None
        self._whole = False
        status = header(headers, "grpc-status")
        if status not in {"", "0"}:
            meter.found.failed = True

    def feed(self, chunk: bytes) -> bytes:
        """The chunk, unchanged."""
        try:
            if chunk:
                for raw in self._scanner.feed(chunk):
                    self._read(raw)
            else:
                self._whole = self._scanner.at_boundary
        except Exception as e:
            self._finding = f"{READER_FAILED}: {type(e).__name__}"
        return chunk

    def end(self) -> Answer:
        """What was learned."""
        found = self._meter.found
        try:
            self._meter.settle(found.finished or self._whole)
        except ValueError as e:
            found.malformed(e)
        return told(found, self._finding)

    def finish_early(self) -> bytes | None:
        """None: the status of a call follows its body."""
        return None

    def _read(self, raw: bytes) -> None:
        found = self._meter.found
        if isinstance(raw, Fragment):
            self._finding = FRAME_TOO_LARGE
            return
        if raw[0] & TRAILERS:
            if not re.search(rb"(?i)grpc-status:\s*0\s*(?:\r|\n|\Z)", raw[PREFIX:]):
                found.failed = True
            self._whole = True
            return
        found.frames += 1
        try:
            message = unpacked(raw, self._encoding)
        except NotUnderstood:
            self._finding = f"{ENCODING_NOT_READ}: {self._encoding[:32]}"
            return
        try:
            self._meter.message(message)
        except ValueError:
            found.broken()
            return
        if not self._stream:
            found.finished = True


def unpacked(raw: bytes, encoding: str) -> bytes:
    """The message of a frame, decompressed where its flag says so; raises NotUnderstood where that is not read."""
    if not raw[0] & COMPRESSED or encoding == "identity":
        return raw[PREFIX:]
    if encoding not in {"gzip", "deflate"}:
        raise not_understood("grpc-encoding is not read; send messages as they are, or in gzip")
    decoder = zlib.decompressobj(47)  # gzip or zlib, as the bytes say
    try:
        message = decoder.decompress(raw[PREFIX:], LARGEST_REQUEST)
    except zlib.error as e:
        raise not_understood("the message is not compressed as grpc-encoding says; send it as it is") from e
    if decoder.unconsumed_tail:
        raise NotUnderstood(BODY_TOO_LARGE, f"the message decodes to more than {LARGEST_REQUEST} bytes; send less")
    return message


def request_message(headers: Mapping[str, str], body: bytes) -> bytes:
    """The one message of a request's body; raises NotUnderstood where there is none, or more, or it is cut."""
    scanner = PrefixScanner(LARGEST_REQUEST)
    frames = scanner.feed(body)
    if len(frames) != 1 or isinstance(frames[0], Fragment) or not scanner.at_boundary:
        raise not_understood("the body is not one whole gRPC message; send one with its prefix of five bytes")
    return unpacked(frames[0], header(headers, "grpc-encoding"))


FAILED_PRECONDITION, UNAVAILABLE, PERMISSION_DENIED, INVALID_ARGUMENT, NOT_FOUND, INTERNAL = 9, 14, 7, 3, 5, 13
STATUSES = {400: INVALID_ARGUMENT, 403: PERMISSION_DENIED, 404: NOT_FOUND, 413: INVALID_ARGUMENT}


def grpc_refusal(
    reason: str, message: str, status: int, details: Mapping[str, Any], retry_after: float | None
) -> refusals.Refusal:
    """A refusal as gRPC's answer of headers alone: HTTP 200, the error in `grpc-status` and `grpc-message`.

    An exhausted budget is FAILED_PRECONDITION, which clients do not try again; pacing is UNAVAILABLE, which they do,
    after `grpc-retry-pushback-ms` (https://github.com/grpc/proposal/blob/master/A6-client-retries.md).
    """
    _, headers, _ = refusals.answer(status, reason, details, retry_after, {})
    if retry_after is not None:
        code = UNAVAILABLE
        headers["grpc-retry-pushback-ms"] = headers["retry-after-ms"]
    elif refusals.code(reason, status, retry_after) == "budget_exceeded":
        code = FAILED_PRECONDITION
    else:
        code = STATUSES.get(status, FAILED_PRECONDITION if status < 500 else INTERNAL)
    headers["content-type"] = "application/grpc"
    headers["grpc-status"] = str(code)
    headers["grpc-message"] = quote(message, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return 200, headers, b""
