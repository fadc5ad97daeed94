"""A copy of a compressed answer, decoded as it comes, so that it can be read while its bytes go on untouched."""

import importlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any

PIECE = 64 * 1024
"""Bytes decoded at a time: what a bomb costs in memory."""
READABLE = frozenset({"gzip", "x-gzip", "deflate"})
"""Content-encodings that every standard library decodes."""

Decoder = Callable[[bytes], Iterator[bytes]]
"""What a chunk of an encoding decodes to, in pieces of bounded size; raises where it is not of the encoding."""


class UndecodableError(Exception):
    """Bytes that are not of the encoding that they are said to be of."""


def decoder(encoding: str) -> Decoder | None:
    """A fresh decoder for one answer; None for an encoding that this Python cannot decode (brotli; zstd before 3.14)."""
    if encoding in READABLE:
        return Inflater(encoding).feed
    if encoding == "zstd" and (zstd := _zstd()) is not None:
        return ZstdDecoder(zstd).feed
    return None


def _zstd() -> Any:
    """The standard library's zstd module, which Python 3.14 brought; None before it."""
    try:
        return importlib.import_module("compression.zstd")
    except ImportError:
        return None


def deflate_bits(start: bytes) -> int:
    """The zlib window bits for a ``deflate`` that begins with these two bytes.

    The RFC means the zlib format by it, some send a bare stream; RFC 1950 2.2 tells them apart.
    """
    return 15 if start[0] & 15 == 8 and int.from_bytes(start[:2], "big") % 31 == 0 else -15


class Inflater:
    """Decodes gzip (any number of members) or deflate (with or without its header) piece by piece."""

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding != "deflate"
        self._decoder = zlib.decompressobj(31) if self._gzip else None
        self._start = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What the chunk decodes to, in pieces of bounded size; raises UndecodableError where it is not of the encoding."""
        if self._decoder is None:
            chunk = self._start + chunk
            if len(chunk) < 2:
                self._start = chunk
                return
            self._decoder = zlib.decompressobj(deflate_bits(chunk))
        while chunk:
            try:
                piece = self._decoder.decompress(chunk, PIECE)
            except zlib.error as e:
                raise UndecodableError(str(e)) from e
            if piece:
                yield piece
            chunk = self._decoder.unconsumed_tail
            if self._decoder.eof:
                chunk = self._decoder.unused_data
                if not self._gzip:
                    return  # what follows a deflate stream belongs to nobody
                self._decoder = zlib.decompressobj(31)


class ZstdDecoder:
    """Decodes zstd, any number of frames, piece by piece; takes the standard library's module."""

    def __init__(self, zstd: Any) -> None:
        self._zstd = zstd
        self._decoder = zstd.ZstdDecompressor()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What the chunk decodes to, in pieces of bounded size; raises UndecodableError where it is not of the encoding."""
        while True:
            if self._decoder.eof:
                chunk = self._decoder.unused_data or chunk
                if not chunk:
                    return
                self._decoder = self._zstd.ZstdDecompressor()
            try:
                piece = self._decoder.decompress(chunk, PIECE)
            except self._zstd.ZstdError as e:
                raise UndecodableError(str(e)) from e
            if piece:
                yield piece
            chunk = b""
            if not self._decoder.eof and self._decoder.needs_input:
                return
