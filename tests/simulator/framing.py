"""How a streamed answer is cut into frames.

AWS: https://docs.aws.amazon.com/lexv2/latest/dg/event-stream-encoding.html; NDJSON: one object a line; a JSON array is
what Google streams where ``alt=sse`` is not asked for; SSE: the HTML standard.
"""

import json
import struct
import zlib
from collections.abc import Mapping

SSE = "text/event-stream; charset=utf-8"
NDJSON = "application/x-ndjson"
ARRAY = "application/json; charset=UTF-8"
AWS = "application/vnd.amazon.eventstream"

DONE = b"data: [DONE]\n\n"


def packed(said: object) -> str:
    """JSON without spaces."""
    return json.dumps(said, separators=(",", ":"))


def sse(said: object, event: str = "") -> bytes:
    """One frame of an event stream."""
    return f"{f'event: {event}\n' if event else ''}data: {packed(said)}\n\n".encode()


def line(said: object) -> bytes:
    """One line."""
    return packed(said).encode() + b"\n"


def message(payload: bytes, headers: Mapping[str, str]) -> bytes:
    """One binary message: lengths, their CRC, string headers, the payload, the CRC of all before it."""
    fields = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    front = struct.pack("!II", 16 + len(fields) + len(payload), len(fields))
    whole = front + struct.pack("!I", zlib.crc32(front)) + fields + payload
    return whole + struct.pack("!I", zlib.crc32(whole))


def aws_event(kind: str, said: object, *, exception: bool = False) -> bytes:
    """An event of a Bedrock stream, or the exception that ends it."""
    named = {":exception-type": kind, ":message-type": "exception"} if exception else {":event-type": kind}
    more = {} if exception else {":message-type": "event"}
    return message(packed(said).encode(), {**named, ":content-type": "application/json", **more})


BROKEN = {
    SSE: b'data: {"id":"broken","choices":[{"ind\n\n',
    NDJSON: b'{"model":"broken","mess\n',
    ARRAY: b',\n{"candidates": [{"con\n',
    AWS: aws_event("broken", {"broken": True})[:-1] + b"\x00",
}
"""A frame that no reader can make sense of, by framing."""
