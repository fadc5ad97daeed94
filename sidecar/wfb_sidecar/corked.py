"""A writer that sends in one piece what mitmproxy writes in several while it handles one event."""

import asyncio
from typing import Any

_MOST = 256 * 1024
"""Bytes held; a large body is not copied into one piece."""


class CorkedWriter:
    """Holds what is written until `flush`; the rest is the stream writer's own."""

    def __init__(self, writer: asyncio.StreamWriter, corked: "list[CorkedWriter]") -> None:
        """`corked` is the list in which it enters itself when it holds something."""
        self._writer = writer
        self._corked = corked
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Holds bytes, or sends them with what is held where they are many."""
        if not self._held:
            self._corked.append(self)
        self._held.append(data)
        self._size += len(data)
        if self._size > _MOST:
            self.flush()

    def flush(self) -> None:
        """Sends what is held."""
        held, self._held, self._size = self._held, [], 0
        if held and not self._writer.is_closing():
            self._writer.write(held[0] if len(held) == 1 else b"".join(held))

    def write_eof(self) -> None:
        """Half-closes, after what is held."""
        self.flush()
        self._writer.write_eof()

    def close(self) -> None:
        """Closes, after what is held."""
        self.flush()
        self._writer.close()

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._writer.is_closing()

    async def drain(self) -> None:
        """Waits until the socket takes more."""
        await self._writer.drain()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport knows."""
        return self._writer.get_extra_info(name, default)
