"""Reading a form in multipart/form-data: its short fields by name, of its files only their sizes.

Format: RFC 7578 and RFC 2046, section 5.1.1. The values that decide what a call costs are read; files are never kept.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from wfb_core.dialects.request import header, not_understood

LONGEST_FIELD = 256 * 1024
"""Bytes of a field that is no file; prompts are far shorter."""
MOST_PARTS = 256
"""Parts of one form."""

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s;]{1,200}))', re.IGNORECASE)
_NAME = re.compile(rb'[;\s]name="([^"]*)"', re.IGNORECASE)
_FILENAME = re.compile(rb"[;\s]filename\*?=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Form:
    """The parts of one body."""

    fields: Mapping[str, str]
    """Texts by their name."""
    files: tuple[tuple[str, int], ...]
    """(name, bytes) of each file, in order."""


def is_form(headers: Mapping[str, str]) -> bool:
    """Whether a body's content-type says that it is a form."""
    return header(headers, "content-type").startswith("multipart/form-data")


def read_form(headers: Mapping[str, str], body: bytes) -> Form:
    """The form in a body.

    Raises NotUnderstood where it is compressed, names no boundary, breaks off, holds a field twice (but for names that
    end in ``[]``) or a text that is too long or no UTF-8.
    """
    if header(headers, "content-encoding") not in {"", "identity"}:
        raise not_understood("the form is compressed; send it as it is")
    mark = b"--" + _boundary(headers)
    texts: dict[str, str] = {}
    files: list[tuple[str, int]] = []
    start = 0 if body.startswith(mark) else body.find(b"\r\n" + mark) + 2
    if start < 2 and not body.startswith(mark):
        raise not_understood("the form does not hold the boundary that its content-type names; send it again")
    start += len(mark)
    for _ in range(MOST_PARTS):
        if body.startswith(b"--", start):
            return Form(texts, tuple(files))
        end = body.find(b"\r\n" + mark, start)
        split = body.find(b"\r\n\r\n", start, end) if end >= 0 else -1
        if split < 0:
            raise not_understood("the form breaks off; send it whole")
        head, size = body[start:split], end - split - 4
        named = _NAME.search(head)
        name = named[1].decode("utf-8", "replace") if named else ""
        if _FILENAME.search(head):
            files.append((name, size))
        else:
            _add(texts, name, body[split + 4 : min(end, split + 5 + LONGEST_FIELD)])
        start = end + 2 + len(mark)
    raise not_understood(f"the form holds more than {MOST_PARTS} parts; send fewer")


def _boundary(headers: Mapping[str, str]) -> bytes:
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "")
    found = _BOUNDARY.search(kind)
    if found is None:
        raise not_understood("the form's content-type names no boundary; send multipart/form-data with one")
    return (found[1] or found[2]).encode("utf-8", "replace")


def _add(texts: dict[str, str], name: str, value: bytes) -> None:
    if len(value) > LONGEST_FIELD:
        raise not_understood(f"a field of the form is longer than {LONGEST_FIELD} bytes; send less")
    if name in texts and not name.endswith("[]"):
        raise not_understood("the form names a field twice; name each field once")
    try:
        texts[name] = value.decode("utf-8")
    except UnicodeDecodeError as e:
        raise not_understood("a field of the form is not UTF-8 text; send it in UTF-8") from e


def flag_in(form: Form, field: str) -> bool:
    """Whether a field says yes as forms do: ``true``, ``True`` or ``1``."""
    return form.fields.get(field, "").strip().lower() in {"true", "1"}


def whole_in(form: Form, field: str, default: int) -> int:
    """A field that is a whole number of at least 1; raises NotUnderstood otherwise."""
    text = form.fields.get(field, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not int(text):
        raise not_understood(f"{field} is no whole number of at least 1; use one")
    return int(text)
