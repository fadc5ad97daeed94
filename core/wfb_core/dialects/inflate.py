"""A copy of a compressed answer, decoded as it comes, so that it can be read while its bytes go on untouched."""

import zlib
from collections.abc import Iterator

PIECE = 64 * 1024
"""Bytes decoded at a time: what a bomb costs in memory."""
READABLE = frozenset({"gzip", "x-gzip", "deflate"})
"""Content-encodings that the standard library decodes."""


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
        """What the chunk decodes to, in pieces of bounded size; raises zlib.error where it is not of the encoding."""
        if self._decoder is None:
            chunk = self._start + chunk
            if len(chunk) < 2:
                self._start = chunk
                return
            self._decoder = zlib.decompressobj(deflate_bits(chunk))
        while chunk:
            if piece := self._decoder.decompress(chunk, PIECE):
                yield piece
            chunk = self._decoder.unconsumed_tail
            if self._decoder.eof:
                chunk = self._decoder.unused_data
                if not self._gzip:
                    return  # what follows a deflate stream belongs to nobody
                self._decoder = zlib.decompressobj(31)
