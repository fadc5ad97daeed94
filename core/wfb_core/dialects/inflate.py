"""A copy of a compressed answer, decoded as it comes, so that it can be read while its bytes go on untouched."""

import zlib
from collections.abc import Iterator

PIECE = 64 * 1024
"""Bytes decoded at a time: what a bomb costs in memory."""
READABLE = frozenset({"gzip", "x-gzip", "deflate"})
"""Content-encodings that the standard library decodes."""


class Inflater:
    """Decodes gzip (any number of members) or deflate (with or without its header) piece by piece."""

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding != "deflate"
        self._decoder = zlib.decompressobj(31 if self._gzip else 15)
        self._started = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """What the chunk decodes to, in pieces of bounded size; raises zlib.error where it is not of the encoding."""
        while chunk:
            try:
                piece = self._decoder.decompress(chunk, PIECE)
            except zlib.error:
                if self._gzip or self._started:
                    raise
                self._decoder = zlib.decompressobj(-15)
                piece = self._decoder.decompress(chunk, PIECE)
            self._started = True
            if piece:
                yield piece
            chunk = self._decoder.unconsumed_tail
            if self._decoder.eof:
                chunk = self._decoder.unused_data
                if not self._gzip:
                    return  # what follows a deflate stream belongs to nobody
                self._decoder = zlib.decompressobj(31)
