"""A WebSocket on a connection that was HTTP: RFC 6455, without extensions."""

import base64
import hashlib
import struct
from collections.abc import AsyncIterator

from simulator.framing import packed
from simulator.wire import Connection, head

_MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10


class WebSocket:
    """The server's end."""

    def __init__(self, connection: Connection, key: str) -> None:
        accept = base64.b64encode(hashlib.sha1(f"{key}{_MAGIC}".encode()).digest()).decode()
        upgrade = ("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", accept)
        connection.send(head(101, upgrade))
        self._connection = connection
        self._buffer = bytearray()

    @property
    def gone(self) -> bool:
        """Whether the client has left."""
        return self._connection.gone

    def send(self, said: object, *, binary: bool = False) -> None:
        """One message of JSON."""
        self._frame(_BINARY if binary else _TEXT, packed(said).encode())

    def close(self, code: int, reason: str) -> None:
        """Ends the conversation."""
        self._frame(_CLOSE, struct.pack("!H", code) + reason.encode())
        self._connection.cut()

    def _frame(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        short = bytes((0x80 | opcode, size if size < 126 else 126 if size < 65_536 else 127))
        longer = b"" if size < 126 else struct.pack("!H" if size < 65_536 else "!Q", size)
        self._connection.send(short + longer + payload)

    async def messages(self) -> AsyncIterator[bytes]:
        """The client's messages, until it closes or leaves."""
        whole = bytearray()
        while (frame := await self._next()) is not None:
            last, opcode, payload = frame
            if opcode == _CLOSE:
                self._frame(_CLOSE, payload[:2])
                self._connection.cut()
                return
            if opcode == _PING:
                self._frame(_PONG, payload)
            elif opcode != _PONG:
                whole += payload
                if last:
                    yield bytes(whole)
                    whole.clear()

    async def _next(self) -> tuple[bool, int, bytes] | None:
        if not await self._has(2):
            return None
        first, second = self._buffer[:2]
        size, start = second & 0x7F, 2
        if size > 125:
            width = 2 if size == 126 else 8
            if not await self._has(2 + width):
                return None
            size, start = int.from_bytes(self._buffer[2 : 2 + width], "big"), 2 + width
        if not await self._has(start + 4 + size):  # a client always masks
            return None
        mask = self._buffer[start : start + 4]
        masked = self._buffer[start + 4 : start + 4 + size]
        del self._buffer[: start + 4 + size]
        return bool(first & 0x80), first & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked))

    async def _has(self, size: int) -> bool:
        while len(self._buffer) < size:
            more = await self._connection.received()
            if not more:
                return False
            self._buffer += more
        return True
