"""Reading a request's body: decoded, parsed once, and refused where a provider could read something else than we do."""

import json
import zlib
from collections.abc import Mapping
from typing import Any

from wfb_core.dialects.inflate import READABLE, deflate_bits
from wfb_core.reasons import BODY_NOT_UNDERSTOOD, BODY_TOO_LARGE

Document = dict[str, Any]
"""A parsed body."""

LARGEST = 64 * 1024 * 1024
"""Bytes that a compressed body may decode to."""


LONGEST_MODEL = 512
"""Characters of a model's name: it stands in reports, so it must be no place for content."""


class NotUnderstood(Exception):  # noqa: N818 - it is an answer, not a fault of ours
    """The body could not be read as its dialect says; carries the reason's constant and a sentence without content."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def not_understood(message: str) -> NotUnderstood:
    """The error for a body that is not what its dialect says."""
    return NotUnderstood(BODY_NOT_UNDERSTOOD, message)


def header(headers: Mapping[str, str], name: str) -> str:
    """A header's value in lower case without surrounding space; empty where it is missing, whatever its case."""
    value = headers.get(name)
    if value is None:
        value = next((v for k, v in headers.items() if k.lower() == name), "")
    return value.strip().lower()


def parse(headers: Mapping[str, str], body: bytes) -> Document:
    """The JSON object in a body.

    Raises NotUnderstood where it is compressed in a way that is not read, no UTF-8, no JSON, no object, or names one
    key twice (which of both counts is every parser's own choice).
    """
    encoding = header(headers, "content-encoding")
    if encoding not in {"", "identity"}:
        body = _decoded(encoding, body)
    try:
        document = _DECODER.decode(body.decode("utf-8"))
    except UnicodeDecodeError as e:
        raise not_understood("the body is not UTF-8 text; send JSON in UTF-8") from e
    except RecursionError as e:
        raise not_understood("the body nests too deep; send flatter JSON") from e
    except ValueError as e:  # the error's own text would quote the body
        where = f" at character {e.pos}" if isinstance(e, json.JSONDecodeError) else ""
        raise not_understood(f"the body is not JSON{where}; send one JSON object") from e
    if not isinstance(document, dict):
        raise not_understood(f"the body is {_kind(document)}; send a JSON object")
    return document


def serialise(document: Document) -> bytes:
    """A changed document as a body: compact JSON, never compressed, so a content-encoding header no longer holds."""
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError:  # unpaired surrogates exist only as escapes
        return json.dumps(document, separators=(",", ":")).encode("ascii")


def model_of(document: Document) -> str:
    """The model asked for; raises NotUnderstood where it is missing or no text."""
    model = document.get("model")
    if not isinstance(model, str) or not model.strip():
        raise not_understood("model is missing, empty or no string; name the model in the body")
    if len(model) > LONGEST_MODEL:
        raise not_understood(f"model is longer than {LONGEST_MODEL} characters; name a model")
    return model


def flag(document: Document, field: str) -> bool:
    """A field that is true or false, missing or null; raises NotUnderstood otherwise."""
    value = document.get(field)
    if value is not None and not isinstance(value, bool):
        raise not_understood(f"{field} is {_kind(value)}; use true or false")
    return value is True


def whole(document: Document, field: str, least: int = 0) -> int | None:
    """A field that is a whole number of at least `least`, missing or null; raises NotUnderstood otherwise."""
    value = document.get(field)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise not_understood(f"{field} is {_kind(value)}; use a whole number")
    if value < least:
        raise not_understood(f"{field} is {value}; use a whole number of at least {least}")
    return value


def part_of(document: Document, field: str, kind: type[dict[str, Any]] | type[list[Any]]) -> Any:
    """A field that is an object or a list; empty where it is missing or null; raises NotUnderstood otherwise."""
    value = document.get(field)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        wanted = "an object" if kind is dict else "a list"
        raise not_understood(f"{field} is {_kind(value)}; use {wanted}")
    return value


def named(document: Document, field: str) -> str | None:
    """A field that is a text, missing or null; raises NotUnderstood otherwise."""
    value = document.get(field)
    if value is not None and not isinstance(value, str):
        raise not_understood(f"{field} is {_kind(value)}; use a string")
    return value


_KINDS = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "missing or null"}


def _kind(value: Any) -> str:
    """A value's kind: its content never stands in a message."""
    return _KINDS.get(type(value), "a number")


def _object(pairs: list[tuple[str, Any]]) -> Document:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise not_understood("the body names a key twice in one object; name each key once")
    return document


def _constant(_name: str) -> Any:
    raise not_understood("the body holds NaN or Infinity, which are not JSON; use numbers")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
"""Made once: `json.loads` with a hook makes one for each body."""


def _decoded(encoding: str, body: bytes) -> bytes:
    if encoding not in READABLE:
        raise not_understood("the body's content-encoding is not read; send it as it is, in gzip or in deflate")
    bits = 31 if "gzip" in encoding or len(body) < 2 else deflate_bits(body)
    decoder = zlib.decompressobj(bits)
    try:
        text = decoder.decompress(body, LARGEST)
    except zlib.error as e:
        raise not_understood(f"the body is not {encoding}, as its content-encoding says") from e
    if decoder.unconsumed_tail:
        raise NotUnderstood(BODY_TOO_LARGE, f"the body decodes to more than {LARGEST} bytes; send less")
    if not decoder.eof or decoder.unused_data:
        raise not_understood(f"the body is not one whole {encoding} stream; send it again, or uncompressed")
    return text
