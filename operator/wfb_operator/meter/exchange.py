"""One recorded exchange, whatever file it comes from."""

from dataclasses import dataclass, field
from typing import Any


class NotReadableError(ValueError):
    """The file is nothing that can be metered; its message names what was expected."""


_YEAR_10000 = 253_402_300_800


def known_time(at: float) -> float | None:
    """A time in Unix seconds; None where a recorder wrote one that no call was made at, as some do for unknown ones."""
    return at if 0 < at < _YEAR_10000 else None


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, its answer, and what of them was lost in the recording."""

    id: Any = None
    """The recording's own name for it; None where it has none."""
    at: float | None = None
    """When it began, in Unix seconds; None where the recording does not say."""
    method: str = ""
    url: str = ""
    request_headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case; repeated ones joined."""
    request_body: bytes = b""
    status: int = 0
    """Zero where no answer came."""
    headers: dict[str, str] = field(default_factory=dict)
    """The answer's."""
    body: bytes = b""
    """The answer's, without its content-encoding wherever that could be taken off."""
    messages: tuple[tuple[bool, bytes], ...] | None = None
    """Of a WebSocket: (from the client, content); None for other exchanges."""
    damage: str | None = None
    """Why the answer's body could not be read: one of this package's reasons."""
