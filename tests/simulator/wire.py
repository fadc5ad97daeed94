"""HTTP/1.1 on a socket: one protocol object a connection, one exchange at a time."""

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, cast

_MOST_HEAD = 65_536
_REASONS = {
    101: "Switching Protocols",
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    529: "Overloaded",
}


class Request(NamedTuple):
    """One request, its body read to the end."""

    method: str
    path: str
    """Without the query."""
    query: str
    headers: dict[str, str]
    """Names in lower case; of a repeated one the last."""
    body: bytes
    """Empty where the body was swallowed."""
    body_bytes: int


Handler = Callable[["Connection", Request], Awaitable[None]]


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of an answer."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n{lines}\r\n".encode("latin-1")


def chunk(data: bytes) -> bytes:
    """One piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Connection(asyncio.Protocol):
    """A client's connection: reads requests, hands each to the handler, tells it when the client has left."""

    def __init__(self, handler: Handler, swallows: Callable[[str, str], bool], alive: set["Connection"]) -> None:
        self.gone = False
        """The client has left, or was cut off."""
        self._handler = handler
        self._swallows = swallows
        self._alive = alive
        self._buffer = bytearray()
        self._head: tuple[str, str, str, dict[str, str]] | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._left = 0  # bytes missing of a body with a length, or of the chunk being read
        self._chunked = False
        self._in_chunk = False
        self._swallow = False
        self._close_after = False
        self._full = False
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport

    # what the handler uses

    def send(self, data: bytes) -> None:
        """Bytes to the client; none once it has left."""
        if not self.gone:
            self._transport.write(data)

    def cut(self) -> None:
        """Closes the connection after what was sent."""
        self._close_after = True
        self._transport.close()

    async def pause(self, seconds: float) -> bool:
        """Waits, at most until the client leaves; says whether it is still there."""
        over = False

        def ring() -> None:
            """The time is over."""
            nonlocal over
            over = True
            self._wake()

        timer = asyncio.get_running_loop().call_later(seconds, ring)
        while not (over or self.gone):
            await self._wait()
        timer.cancel()
        return not self.gone

    async def drained(self) -> bool:
        """Waits until the socket takes more; says whether the client is still there."""
        while self._full and not self.gone:
            await self._wait()
        return not self.gone

    async def received(self) -> bytes:
        """Bytes that came after the request, as soon as there are any; none once the client has left."""
        while not (self._buffer or self.gone):
            await self._wait()
        taken = bytes(self._buffer)
        self._buffer.clear()
        return taken

    def abort(self) -> None:
        """Ends the connection at once."""
        self._transport.abort()

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The exchange under way."""
        return self._task

    def _wait(self) -> asyncio.Future[None]:
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases
        self._alive.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, or we closed."""
        self.gone = True
        self._alive.discard(self)
        self._wake()

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self._full = True

    def resume_writing(self) -> None:
        """It caught up."""
        self._full = False
        self._wake()

    def data_received(self, data: bytes) -> None:
        """Bytes came; those of a later request wait until the exchange under way has ended."""
        self._buffer += data
        if self._task is None:
            self._read()
        else:
            self._wake()

    # reading

    def _read(self) -> None:
        try:
            complete = (self._head is not None or self._read_head()) and self._read_body()
        except ValueError as error:
            self.send(head(400, (("content-length", "0"), ("x-sim-error", str(error)), ("connection", "close"))))
            self.cut()
            return
        if complete:
            assert self._head is not None
            request = Request(*self._head, b"".join(self._body), self._body_bytes)
            self._head, self._body, self._body_bytes = None, [], 0
            self._task = asyncio.get_running_loop().create_task(self._exchange(request))

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MOST_HEAD:
                raise ValueError("the head of the request is too long")
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        method, _, rest = first.partition(" ")
        target, _, version = rest.rpartition(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError("this is not HTTP/1.1")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        path, _, query = target.partition("?")
        self._head = method, path, query, headers
        self._swallow = self._swallows(method, path)
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self._in_chunk = False
        self._left = 0 if self._chunked else int(headers.get("content-length") or 0)
        self._close_after = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0"
        if headers.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _read_body(self) -> bool:
        if not self._chunked:
            self._take()
            return not self._left
        while True:
            if self._in_chunk:
                self._take()
                if self._left or len(self._buffer) < 2:
                    return False
                del self._buffer[:2]
                self._in_chunk = False
            end = self._buffer.find(b"\r\n")
            if end < 0:
                return False
            size = int(self._buffer[:end].split(b";")[0], 16)
            if not size:
                last = self._buffer.find(b"\r\n\r\n", end)  # trailers, if any, end with an empty line
                if last < 0:
                    return False
                del self._buffer[: last + 4]
                return True
            del self._buffer[: end + 2]
            self._in_chunk, self._left = True, size

    def _take(self) -> None:
        taken = min(self._left, len(self._buffer))
        if taken:
            if not self._swallow:
                self._body.append(bytes(self._buffer[:taken]))
            del self._buffer[:taken]
            self._left -= taken
            self._body_bytes += taken

    # answering

    async def _exchange(self, request: Request) -> None:
        try:
            await self._handler(self, request)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self._close_after = True
            self.send(head(500, (("content-length", "0"), ("x-sim-error", "see the simulator's own output"))))
        self._task = None
        if self._close_after:
            self._transport.close()
        elif self._buffer and not self.gone:
            self._read()
