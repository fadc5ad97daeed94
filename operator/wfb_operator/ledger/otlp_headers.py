"""Headers that a collector asks for, credentials among them: from a file that may be replaced, and never in a log or error."""

import re

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A field's name (RFC 9110, 5.1)."""

_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")

OURS = frozenset({"content-type", "content-length", "content-encoding", "transfer-encoding", "host", "connection"})
"""What the export itself says."""

SIZE_MOST = 64 * 1024


def read_headers(path: str) -> dict[str, str]:
    """The headers of a file, one ``Name: value`` a line; empty lines and those after ``#`` are left out.

    Raises OSError where it cannot be read, ValueError with the line's number, and nothing of its text, where it is wrong.
    """
    with open(path, encoding="ascii", errors="replace") as file:
        text = file.read(SIZE_MOST + 1)
    if len(text) > SIZE_MOST:
        raise ValueError(f"it is longer than {SIZE_MOST // 1024} KiB: write one header a line")
    found: dict[str, str] = {}
    known: set[str] = set()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip(), value.strip()
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ValueError(f"line {number} is not a header: write Name: value in printable ASCII")
        if name.lower() in OURS:
            raise ValueError(f"line {number} names {name.lower()}, which the export says itself: remove it")
        if name.lower() in known:
            raise ValueError(f"line {number} names a header that another line names too: keep one of them")
        known.add(name.lower())
        found[name] = value
    if not found:
        raise ValueError("it holds no header: write one a line, such as Authorization: Bearer …")
    return found
