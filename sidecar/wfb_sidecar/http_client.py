"""A small HTTP/1.1 client for one server: kept connections, whole bodies.

A general one would be a seventh of the sidecar's memory, and the ledger needs none of what it can do.
"""

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import h11

_READ = 65_536
_IDLE_MOST = 4


class HttpError(Exception):
    """The server could not be reached, or did not speak HTTP."""


class _Stale(Exception):  # noqa: N818 - no error: the server had closed a kept connection
    """A kept connection ended before the answer began."""


class _Connection:
    """One connection and what was said on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.state = h11.Connection(h11.CLIENT)
        self.kept = False

    async def exchange(self, head: h11.Request, body: bytes) -> tuple[int, bytes]:
        """(status, body); raises _Stale, HttpError, OSError."""
        pieces = [self.state.send(head), self.state.send(h11.Data(data=body)), self.state.send(h11.EndOfMessage())]
        self.writer.write(b"".join(p for p in pieces if p))
        status, answer, begun = 0, [], False
        while True:
            event = self.state.next_event()
            if event is h11.NEED_DATA:
                try:
                    data = await self.reader.read(_READ)
                except ConnectionError:
                    data = b""
                if not data and self.kept and not begun:
                    raise _Stale
                begun = True
                self.state.receive_data(data)
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                answer.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return status, b"".join(answer)
            elif isinstance(event, h11.ConnectionClosed):
                raise HttpError("the connection was closed before an answer")

    def keep(self) -> bool:
        """Whether another request may follow; makes it ready."""
        if self.state.our_state is not h11.DONE or self.state.their_state is not h11.DONE:
            return False
        self.state.start_next_cycle()
        self.kept = True
        return True

    def close(self) -> None:
        """Closes at once."""
        self.writer.transport.abort()


class HttpClient:
    """Requests to one server."""

    def __init__(self, url: str, ca: str | None = None) -> None:
        """`url`: http or https, perhaps with a path before all others; the server's chain and name are verified.

        `ca`: a PEM file's path or the PEM itself; None trusts the system's roots. Raises ValueError for a URL that is
        none, OSError for a file or a PEM that cannot be read.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is not a URL: write http://host:port or https://host:port")
        self._host, self._authority = parts.hostname, parts.netloc.rpartition("@")[2]
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._before = parts.path.rstrip("/")
        self._ssl = _context(ca) if parts.scheme == "https" else None
        self._idle: list[_Connection] = []

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float
    ) -> tuple[int, bytes]:
        """(status, body); raises HttpError, OSError, TimeoutError.

        A request that a kept connection did not even begin to answer is sent once more on another.
        """
        all_headers = {"host": self._authority, "content-length": str(len(body)), **headers}
        try:
            head = h11.Request(method=method, target=self._before + path, headers=list(all_headers.items()))
        except h11.LocalProtocolError:  # its text would quote the header, which may be a token
            raise HttpError("a header or the path holds characters that HTTP does not allow") from None
        async with asyncio.timeout(timeout):
            while True:
                connection = self._idle.pop() if self._idle else await self._connect()
                try:
                    answer = await connection.exchange(head, body)
                except _Stale:
                    connection.close()
                    continue
                except h11.ProtocolError as e:
                    connection.close()
                    raise HttpError(f"the answer is not HTTP: {e}") from e
                except BaseException:
                    connection.close()
                    raise
                if len(self._idle) < _IDLE_MOST and connection.keep():
                    self._idle.append(connection)
                else:
                    connection.close()
                return answer

    async def _connect(self) -> _Connection:
        return _Connection(*await asyncio.open_connection(self._host, self._port, ssl=self._ssl))

    def close(self) -> None:
        """Closes the kept connections."""
        while self._idle:
            self._idle.pop().close()


def _context(ca: str | None) -> ssl.SSLContext:
    if ca is not None and ca.lstrip().startswith("-----BEGIN"):
        return ssl.create_default_context(cadata=ca)
    return ssl.create_default_context(cafile=ca)
