"""Protocol Buffers on the wire: the fields of a message by number, without its schema.

The encoding is https://protobuf.dev/programming-guides/encoding/: a tag (number and wire type) before each value, where
a value is a varint, four or eight bytes, or a length and so many bytes; an unknown field is skipped by its wire type.
"""

from collections.abc import Iterator

Value = int | bytes
"""A varint as it stands, unsigned; of everything else its bytes."""

VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5
_FIXED = {EIGHT: 8, FOUR: 4}


def fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """(number, value) of each field in the order of the wire.

    Raises ValueError where the bytes are no message: cut, of a wire type that is not used, or with the number 0.
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if not number:
            raise ValueError("a field has the number 0")
        if wire == VARINT:
            value: Value
            value, at = _varint(message, at)
        else:
            if wire == LENGTH:
                size, at = _varint(message, at)
            elif wire in _FIXED:
                size = _FIXED[wire]
            else:
                raise ValueError(f"wire type {wire} is not used")
            if at + size > end:
                raise ValueError("a field is cut")
            value = message[at : at + size]
            at += size
        yield number, value


def gathered(message: bytes) -> dict[int, list[Value]]:
    """Every value of each field by its number; raises ValueError as `fields`."""
    found: dict[int, list[Value]] = {}
    for number, value in fields(message):
        found.setdefault(number, []).append(value)
    return found


def number(message: dict[int, list[Value]], field: int) -> int:
    """A count: the last value of a varint field, 0 where it is missing. Raises ValueError where it is none."""
    value = message[field][-1] if field in message else 0
    if not isinstance(value, int):
        raise ValueError(f"field {field} is no number")
    if value >> 63:
        raise ValueError(f"field {field} is negative")
    return value


def text(message: dict[int, list[Value]], field: int) -> str | None:
    """The last value of a string field; None where it is missing or empty. Raises ValueError where it is none."""
    value = message[field][-1] if field in message else b""
    if not isinstance(value, bytes):
        raise ValueError(f"field {field} is no string")
    return value.decode("utf-8", "replace") or None


def messages(message: dict[int, list[Value]], field: int) -> list[bytes]:
    """Every value of a field that holds messages, strings or bytes; values of another kind are left out."""
    return [value for value in message.get(field, ()) if isinstance(value, bytes)]


def numbers(message: dict[int, list[Value]], field: int) -> list[int]:
    """Every value of a repeated varint field, packed or not; raises ValueError where a packed one is cut."""
    found = list[int]()
    for value in message.get(field, ()):
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            item, at = _varint(value, at)
            found.append(item)
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """(value, where it ends) of the varint at `at`: seven bits a byte, the lowest first, ten bytes at most."""
    value, shift, end = 0, 0, len(message)
    while at < end:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
    raise ValueError("a number is cut")
