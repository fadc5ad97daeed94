"""Taking a content-encoding off a recorded body: most recorders have done it already and kept the header."""

import zlib

from wfb_core.dialects.aws_event_stream import PRELUDE, whole_length
from wfb_core.dialects.framing import BLANK, is_plain

LARGEST = 256 * 1024 * 1024
"""Bytes that a body may decode to."""

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_INFLATED = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Encodings that zlib reads, and its window bits for them."""
_OTHERS = frozenset({"br", "zstd"})


class EncodingNotReadError(ValueError):
    """The body is in an encoding that is not read, or not in the one that it claims."""


def plain(body: bytes, claimed: str) -> bytes:
    """The body without its encoding; raises EncodingNotReadError.

    Text, and an AWS event stream, is taken as it is, whatever its header claims; what begins like gzip or zstd is read
    so. A gzip or deflate body that breaks off is read as far as it goes. Brotli and zstd need mitmproxy.
    """
    if body.startswith(_GZIP):
        return _decoded(body, "gzip")
    if body.startswith(_ZSTD):
        return _decoded(body, "zstd")
    names = [name.strip().lower() for name in claimed.split(",") if name.strip().lower() not in {"", "identity"}]
    if not body or not names or _is_event_stream(body) or _is_text(body):
        return body
    for name in reversed(names):
        body = _decoded(body, name)
    return body


def mended(body: bytes) -> bytes:
    """JSON or server-sent events as UTF-8: recorders write some in Latin-1, and cut characters where a file broke off.

    Its text is not read, so what is no UTF-8 is replaced, not guessed; other bodies stay as they are.
    """
    start = body[:64].lstrip(BLANK)
    if len(start) < 2 or not is_plain(start) or _is_text(body):
        return body
    return body.decode("utf-8", "replace").encode()


def _decoded(body: bytes, name: str) -> bytes:
    if name in _INFLATED:
        return _inflated(body, name)
    if name not in _OTHERS:
        raise EncodingNotReadError(f"content-encoding {name[:32]!r} is not known")
    try:
        from mitmproxy.net import encoding  # noqa: PLC0415 — an extra, and slow to load
    except ImportError as e:
        raise EncodingNotReadError(f"{name} needs mitmproxy: install workflow-budget-operator[sidecar]") from e
    try:
        decoded = encoding.decode(body, name)
    except ValueError as e:
        raise EncodingNotReadError(f"the body is not {name}") from e
    if not isinstance(decoded, bytes):
        raise EncodingNotReadError(f"the body is not {name}")
    return decoded


def _inflated(body: bytes, name: str) -> bytes:
    for bits in (_INFLATED[name], -15) if name == "deflate" else (_INFLATED[name],):
        try:
            return zlib.decompressobj(bits).decompress(body, LARGEST)
        except zlib.error:
            continue
    raise EncodingNotReadError(f"the body is not {name}")


def _is_event_stream(body: bytes) -> bool:
    return len(body) >= PRELUDE and whole_length(body[:PRELUDE]) > 0


def _is_text(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
