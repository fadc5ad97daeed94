"""How an answer comes: as server-sent events, lines, elements of an array, AWS messages, or as one body.

The content-type names it; the first bytes decide where that is missing or says something else than they do, as it does
with servers that stream under ``text/plain`` or answer one JSON body under ``text/event-stream``.
"""

import json
import re

from wfb_core.dialects.aws_event_stream import PRELUDE, whole_length

SSE = "sse"
LINES = "lines"
ARRAY = "array"
MESSAGES = "messages"
BODY = "body"
OPAQUE = "opaque"

DECLARED = {
    "text/event-stream": SSE,
    "application/x-ndjson": LINES,
    "application/ndjson": LINES,
    "application/jsonl": LINES,
    "application/x-jsonl": LINES,
    "application/jsonlines": LINES,
    "application/x-jsonlines": LINES,
    "application/stream+json": LINES,
    "application/vnd.amazon.eventstream": MESSAGES,
}
"""Content-types that name a framing."""

BLANK = b"\xef\xbb\xbf \t\r\n"
"""What may stand before an answer and says nothing: blanks, which some servers send to keep a connection, and a BOM."""

_MEDIA = ("audio/", "image/", "video/")
_FIELD = re.compile(rb"(?:data|event|id|retry)?:")
_FIELDS = (b"data:", b"event:", b"id:", b"retry:")


def of(start: bytes, kind: str, stream: bool, *, whole: bool = False) -> str | None:
    """The framing of an answer of this content-type that starts so, blanks left out; None where more must come.

    `stream` says whether a stream was asked for, `whole` that no more comes.
    """
    declared = DECLARED.get(kind.partition(";")[0].rstrip())
    if not start:
        if not whole:
            return None
        return declared or (SSE if stream and not kind else BODY)
    first = start[0]
    if first == 123:  # {
        return LINES if declared == LINES else BODY
    if first == 91:  # [
        return ARRAY if stream else BODY
    if declared == SSE:
        return SSE
    if first == 0 and declared is None:
        if len(start) < PRELUDE and not whole:
            return None
        if len(start) >= PRELUDE and whole_length(start[:PRELUDE]):
            return MESSAGES
    elif first in b"deir:":
        if _FIELD.match(start):
            return SSE
        if not whole and any(name.startswith(start) for name in _FIELDS):
            return None
    if declared is not None:
        return declared
    if kind.startswith(_MEDIA):
        return OPAQUE
    return SSE if stream and not kind else BODY


def has_lines(body: bytes) -> bool:
    """Whether a body that is no JSON starts with a line that is a JSON object."""
    line, end, _ = body.partition(b"\n")
    if not end or not line.startswith(b"{"):
        return False
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def is_plain(start: bytes) -> bool:
    """Whether an answer's first two bytes begin JSON or server-sent events; no gzip or zstd does, and hardly a brotli."""
    return start[0] in b"{[deir:" and (start[1:2].isascii() and (start[1:2].isspace() or 32 <= start[1] < 127))
