"""Listening sockets around a provider."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from simulator.provider import Provider
from simulator.wire import Connection


class Urls(NamedTuple):
    """Where a provider listens."""

    plain: str
    tls: str | None
    """None without a certificate."""

    def at(self, host: str) -> str:
        """The base URL for a client that means a provider by its host, over plain HTTP."""
        return f"{self.plain}/at/{host}"


@asynccontextmanager
async def running(
    provider: Provider,
    *,
    port: int = 0,
    tls_port: int = 0,
    certificate: Path | str | None = None,
    key: Path | str | None = None,
    host: str = "127.0.0.1",
) -> AsyncIterator[Urls]:
    """The provider, listening; port 0 takes a free one, TLS needs a certificate chain and its key (PEM paths).

    At the end the connections are closed and calls still open are billed.
    """
    loop = asyncio.get_running_loop()
    alive: set[Connection] = set()

    def connect() -> Connection:
        """A connection for every client."""
        return Connection(provider.answer, provider.swallows, alive)

    servers = [await loop.create_server(connect, host, port, backlog=1024)]
    urls = Urls(f"http://{host}:{_port(servers[0])}", None)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["http/1.1"])
        servers.append(await loop.create_server(connect, host, tls_port, backlog=1024, ssl=context))
        urls = urls._replace(tls=f"https://{host}:{_port(servers[1])}")
    try:
        yield urls
    finally:
        for server in servers:
            server.close()
        tasks = [connection.task for connection in alive if connection.task is not None]
        for connection in tuple(alive):
            connection.abort()
        await asyncio.gather(*tasks, return_exceptions=True)


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port
