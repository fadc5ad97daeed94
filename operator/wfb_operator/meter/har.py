"""Reading HAR 1.2: http://www.softwareishard.com/blog/har-12-spec/, and what recorders make of it."""

import base64
import binascii
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from wfb_core.dialects.aws_event_stream import MessageScanner
from wfb_operator.meter import reasons
from wfb_operator.meter.encodings import EncodingNotReadError, mended, plain
from wfb_operator.meter.exchange import Exchange, NotReadableError, known_time

EVENT_STREAM = "application/vnd.amazon.eventstream"
"""The content-type of bodies whose checksums tell whether they were recorded whole."""
_BINARY = (EVENT_STREAM, "application/grpc")
_MULTIPART = "multipart/form-data"
_ENCODED = ("eyJ", "ewo", "eyA", "LS0", "LS1")
"""How base64 of a JSON object or of a form begins: a posted body has no field that says so in HAR."""
_BLANKS = str.maketrans("", "", " \t\r\n")


# -- the file


def entries_of(data: bytes) -> list[Any]:
    """The entries of a HAR, of its `log` alone, of a list of them, of one alone or of one a line.

    Of a file that breaks off, those before the break, and one that is none; of lines, every one that is no entry is one
    that is none. Raises NotReadableError where nothing can be read. The whole file is held, so it should fit into memory.
    """
    text = data.decode(json.detect_encoding(data), "replace")
    if not text.strip():
        raise NotReadableError("it is empty; record some traffic first")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _rest(text)
    if isinstance(document, dict) and "request" in document:
        return [document]
    for key in ("log", "entries"):
        if isinstance(document, dict) and key in document:
            document = document[key]
    if not isinstance(document, list):
        raise NotReadableError("it is JSON, but no HAR: log.entries is no list")
    return document


def _rest(text: str) -> list[Any]:
    """The entries of a text that is no JSON as a whole."""
    found = _broken_off(text) or [_entry_in(line) for line in text.splitlines() if line.strip()]
    if not any(isinstance(entry, dict) for entry in found):
        raise NotReadableError("it is neither a HAR (JSON with log.entries) nor a mitmproxy flow file")
    return found


_ENTRIES = re.compile(r'"entries"\s*:\s*\[|\A\s*\[')
_BETWEEN = re.compile(r"[\s,]*")


def _broken_off(text: str) -> list[Any]:
    """The entries before the place where a HAR breaks off, and None for the rest; empty where it is no HAR."""
    start = _ENTRIES.search(text)
    if start is None:
        return []
    found: list[Any] = []
    read, at = json.JSONDecoder().raw_decode, start.end()
    while True:
        space = _BETWEEN.match(text, at)
        try:
            entry, at = read(text, space.end() if space else at)
        except (ValueError, RecursionError):
            return [*found, None] if found else []
        found.append(entry)


def _entry_in(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


# -- an entry


def exchanges(entries: list[Any]) -> Iterator[Exchange]:
    """One exchange an entry, in order; an entry that is none still makes one, with its damage."""
    for entry in entries:
        try:
            yield _exchange(entry)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError):
            name = entry.get("_id") if isinstance(entry, dict) else None
            yield Exchange(id=name, damage=reasons.ENTRY_DAMAGED)


def _exchange(entry: dict[str, Any]) -> Exchange:
    request = entry["request"]
    response = entry.get("response") or {}
    if not isinstance(request["url"], str):
        raise TypeError("the URL is no text")
    headers = _headers(response.get("headers"))
    content = response.get("content") or {}
    if "content-type" not in headers and isinstance(content.get("mimeType"), str) and content["mimeType"]:
        headers["content-type"] = content["mimeType"]
    request_headers = _headers(request.get("headers"))
    body, damage = _body(content, headers)
    return Exchange(
        id=entry.get("_id"),
        at=_time(entry.get("startedDateTime")),
        method=str(request.get("method") or "GET").upper(),
        url=request["url"],
        request_headers=request_headers,
        request_body=_posted(request.get("postData"), request_headers),
        status=max(0, int(response.get("status") or 0)),
        headers=headers,
        body=body,
        messages=_messages(entry.get("_webSocketMessages")),
        damage=damage,
    )


def _headers(listed: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for header in listed if isinstance(listed, list) else ():
        if isinstance(header, dict) and isinstance(header.get("name"), str):
            name, value = header["name"].lower(), str(header.get("value") or "")
            found[name] = f"{found[name]}, {value}" if name in found else value
    return found


# -- its bodies


def _posted(posted: Any, headers: dict[str, str]) -> bytes:
    """What the request sent, decoded; empty where the recording has none of it. Completes the headers' content-type."""
    if not isinstance(posted, dict):
        return b""
    if isinstance(posted.get("mimeType"), str) and posted["mimeType"]:
        headers.setdefault("content-type", posted["mimeType"])
    text = posted.get("text")
    if not text:
        return _form(posted.get("params"), headers)
    if not isinstance(text, str):
        return json.dumps(text).encode()  # some recorders put the parsed document here
    try:
        if posted.get("encoding") == "base64" or text.startswith(_ENCODED):
            body = base64.b64decode(text.translate(_BLANKS), validate=True)
        elif headers.get("content-type", "").startswith(_BINARY):
            body = _binary(text)
        else:
            body = _bytes(text)
        return plain(body, headers.get("content-encoding", ""))
    except (binascii.Error, EncodingNotReadError):
        return b""


def _form(listed: Any, headers: dict[str, str]) -> bytes:
    """The body of a form that the recording holds by its fields."""
    pairs = [
        (str(field.get("name")), str(field.get("value") or ""))
        for field in (listed if isinstance(listed, list) else ())
        if isinstance(field, dict)
    ]
    kind = headers.get("content-type", "")
    if not pairs or not kind.lower().startswith(_MULTIPART):
        return urlencode(pairs).encode()
    boundary = kind.partition("boundary=")[2].partition(";")[0].strip('" ')
    if not boundary:
        boundary = "----fields"
        headers["content-type"] = f"{_MULTIPART}; boundary={boundary}"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in pairs
    ]
    return _bytes(f"{''.join(parts)}--{boundary}--\r\n")


def _body(content: dict[str, Any], headers: dict[str, str]) -> tuple[bytes, str | None]:
    """(what was answered, decoded; why it could not be read)."""
    text = content.get("text")
    if text is None or text == "":
        return b"", reasons.BODY_MISSING
    if not isinstance(text, str):
        return json.dumps(text).encode(), None  # some recorders put the parsed document here
    if str(content.get("encoding") or "").lower() == "base64":
        try:
            body = base64.b64decode(text.translate(_BLANKS), validate=True)
        except (binascii.Error, ValueError):
            return b"", reasons.BODY_DAMAGED
    elif headers.get("content-type", "").startswith(_BINARY):
        if "\ufffd" in text and headers["content-type"].startswith(EVENT_STREAM):
            return b"", reasons.BODY_DAMAGED
        body = _binary(text)
    else:
        body = _bytes(text)
    try:
        return mended(plain(body, headers.get("content-encoding", ""))), None
    except EncodingNotReadError:
        return b"", reasons.ENCODING_NOT_READ


def _bytes(text: str) -> bytes:
    if text.startswith(("\x1f\x8b", "(\xb5/\xfd")):
        return _binary(text)
    return text.encode("utf-8", "surrogatepass")


def _binary(text: str) -> bytes:
    """Bytes that a recorder wrote as text: one character a byte, unless only their reading as UTF-8 is whole."""
    as_text = text.encode("utf-8", "surrogatepass")
    try:
        body = text.encode("latin-1")
    except UnicodeEncodeError:
        return as_text
    return as_text if body != as_text and _is_event_stream(as_text) else body


def _is_event_stream(body: bytes) -> bool:
    scanner = MessageScanner()
    scanner.feed(body)
    return scanner.finding is None and scanner.at_boundary


def _time(text: Any) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return known_time((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def _messages(listed: Any) -> tuple[tuple[bool, bytes], ...] | None:
    """Chrome's record of a WebSocket: {"type": "send" | "receive", "opcode": 1 | 2, "data"}, binary data in base64."""
    if not isinstance(listed, list):
        return None
    found = []
    for message in listed:
        if not isinstance(message, dict) or not isinstance(message.get("data"), str):
            continue
        data = _bytes(message["data"])
        if message.get("opcode") == 2:
            try:
                data = base64.b64decode(message["data"], validate=True)
            except (binascii.Error, ValueError):
                continue
        found.append((message.get("type") == "send", data))
    return tuple(found)
