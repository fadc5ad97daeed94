"""How a notice is signed: the headers of Standard Webhooks (github.com/standard-webhooks, specification 1.0), HMAC-SHA256.

What is signed is ``{id}.{timestamp}.{body}``; the header ``webhook-signature`` holds ``v1,`` and the base64 of it, once for
each key, parted by spaces. Two lines in the Secret are two keys, so that a key is changed without a gap.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "whsec_"
LEAST_BYTES = 16
"""Shorter keys can be guessed; the specification asks for 24 to 64 bytes."""


def signing_keys(content: bytes) -> tuple[bytes, ...]:
    """The keys of a Secret's value, one a line: base64 after ``whsec_``, or the bytes as they are.

    Raises ValueError for a value without a usable key.
    """
    keys = []
    for line in content.splitlines():
        text = line.strip()
        if not text:
            continue
        if text.startswith(PREFIX.encode()):
            try:
                key = base64.b64decode(text.removeprefix(PREFIX.encode()), validate=True)
            except binascii.Error as error:
                raise ValueError(f"what follows {PREFIX} is not base64") from error
        else:
            key = text
        if len(key) < LEAST_BYTES:
            raise ValueError(f"a signing key has {len(key)} bytes: give at least {LEAST_BYTES}, better 32")
        keys.append(key)
    if not keys:
        raise ValueError("the signing key is empty")
    return tuple(keys)


def signed_headers(keys: Sequence[bytes], id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of one attempt; without keys there is no signature, only the id and the time (Unix seconds)."""
    headers = {"webhook-id": id_, "webhook-timestamp": str(timestamp)}
    if keys:
        headers["webhook-signature"] = " ".join(_signature(key, id_, timestamp, body) for key in keys)
    return headers


def _signature(key: bytes, id_: str, timestamp: int, body: bytes) -> str:
    digest = hmac.new(key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"
