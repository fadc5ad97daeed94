"""The listeners: each finds out where a connection wants to go, and one decision relays or splices it.

A provider's host is relayed; everything else is spliced.

An explicit proxy learns the destination from CONNECT, a base-url listener from the path, and a transparent listener from
the socket. There the name in the hello decides, not the address: whoever asks for a provider by its name reaches that
provider, found by the pod's own resolver, whatever address was dialled.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from mitmproxy.proxy.layers.http import HTTPMode
from mitmproxy.proxy.layers.tls import parse_client_hello

from wfb_sidecar.config import parse_address
from wfb_sidecar.house import House
from wfb_sidecar.providers import find
from wfb_sidecar.relay import Relay
from wfb_sidecar.splice import splice_both

log = logging.getLogger(__name__)

HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 30.0
CONNECT_SECONDS = 30.0
HELLO_SECONDS = 10.0
"""How long a client may take to say the first word; a protocol in which the server speaks first is spliced then."""
FULL_SECONDS = 0.1
"""How long nothing is accepted once the process has no descriptor left."""

Serve = Callable[[socket.socket], Coroutine[None, None, None]]
"""What one way in does with a connection."""

_BAD = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_UNREACHABLE = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client's first bytes say."""

    tls: bool
    name: str | None
    """The server name asked for; None without one."""
    data: bytes


class Door:
    """Listens, and serves each connection in a task of its own."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._tasks: set[asyncio.Task[None]] = set()
        self._sockets: list[socket.socket] = []

    async def listen(self, address: str, kind: str) -> str:
        """Opens a listener (`proxy`, `base-url` or `transparent`) and returns the URL it has; raises OSError."""
        host, port = parse_address(address, kind)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            listener.close()
            raise
        listener.listen(1024)
        listener.setblocking(False)
        self._sockets.append(listener)
        ways = {"proxy": self._serve_proxy, "base-url": self._serve_base_url, "transparent": self._serve_transparent}
        serve = ways[kind]
        self._watch(listener, serve)
        bound = listener.getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        return f"http://{shown}:{bound[1]}"

    def shut(self) -> None:
        """Takes no new connections."""
        listeners, self._sockets = self._sockets, []
        for listener in listeners:
            asyncio.get_running_loop().remove_reader(listener)  # before its number can become another socket's
            listener.close()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _watch(self, listener: socket.socket, serve: Serve) -> None:
        if listener in self._sockets:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener, serve)

    def _accept(self, listener: socket.socket, serve: Serve) -> None:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as e:
            log.warning("accept: %s", e)  # out of descriptors: those in use will come back
            loop = asyncio.get_running_loop()
            loop.remove_reader(listener)
            loop.call_later(FULL_SECONDS, self._watch, listener, serve)
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._start(self._guard(client, serve))

    async def _guard(self, client: socket.socket, serve: Serve) -> None:
        try:
            await serve(client)
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client went away while it was being understood
        except Exception:
            self._house.metrics.internal_errors.inc()
            log.exception("a connection could not be served")
        finally:
            client.close()

    # -- the ways in

    async def _serve_base_url(self, client: socket.socket) -> None:
        await self._relay(client, b"", None, client_tls=False)

    async def _serve_proxy(self, client: socket.socket) -> None:
        head, rest = await _read_head(client)
        line = head.partition(b"\r\n")[0]
        method, _, target = line.partition(b" ")
        if method == b"CONNECT":
            try:
                host, port = parse_address(target.partition(b" ")[0].decode("ascii"), "CONNECT")
            except (ValueError, UnicodeDecodeError):
                await asyncio.get_running_loop().sock_sendall(client, _BAD)
                return
            await self._serve_connect(client, host.lower().rstrip("."), port, rest)
        elif target[:7].lower() == b"http://":
            self._house.metrics.intercepted.inc()
            await self._relay(client, head + rest, None, client_tls=False, mode=HTTPMode.regular)
        else:
            await asyncio.get_running_loop().sock_sendall(client, _BAD)

    async def _serve_connect(self, client: socket.socket, host: str, port: int, rest: bytes) -> None:
        loop = asyncio.get_running_loop()
        if find(self._house.hosts, host, port) is None and not (_is_address(host) and port == 443):
            # Nobody's we know, so there is no hello to wait for, and the client hears at once if it is down. An
            # address on 443 may still hide a provider's name.
            await self._splice(client, host, port, rest, "foreign", answer=True)
            return
        await loop.sock_sendall(client, _ESTABLISHED)
        await self._decide(client, host, port, rest)

    async def _serve_transparent(self, client: socket.socket) -> None:
        target = original_destination(client)
        if target is None or target == client.getsockname()[:2]:
            return  # it was not redirected here: there is nowhere to go
        await self._decide(client, *target, b"")

    # -- the decision

    async def _decide(self, client: socket.socket, host: str, port: int, first: bytes) -> None:
        """A provider's host, by its ClientHello or as a plain endpoint, is relayed; anything else is spliced."""
        hello = await _read_hello(client, first)
        if not hello.data:
            await self._wait_for_either(client, host, port)
            return
        await self._decide_by(client, host, port, hello, None)

    async def _wait_for_either(self, client: socket.socket, host: str, port: int) -> None:
        """A client that says nothing may wait for its server to speak first, or may only be slow to say hello.

        So the server is connected, and whoever speaks first decides. A provider's server never does.
        """
        if find(self._house.hosts, host, port) is not None:
            await self._decide_by(client, host, port, await _read_hello(client, b"", patience=None), None)
            return
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                upstream = await self._connect(host, port)
        except (OSError, TimeoutError, UnicodeError):
            return
        theirs, ours = (loop.create_task(loop.sock_recv(s, 16384)) for s in (upstream, client))
        try:
            await asyncio.wait([theirs, ours], return_when=asyncio.FIRST_COMPLETED)
            if ours.done() and not theirs.done():
                await _cancelled(theirs)
                said = ours.result()
                if said:
                    await self._decide_by(client, host, port, await _read_hello(client, said), upstream)
                return
            said = theirs.result()
            await loop.sock_sendall(client, said)
            if not ours.done():
                await _cancelled(ours)
            elif first := ours.result():
                await loop.sock_sendall(upstream, first)
            self._house.metrics.passed.labels("server-first").inc()
            if said:
                self._house.metrics.passed_bytes.inc(await splice_both(client, upstream))
        finally:
            theirs.cancel()
            ours.cancel()
            upstream.close()

    async def _decide_by(
        self, client: socket.socket, host: str, port: int, hello: Hello, upstream: socket.socket | None
    ) -> None:
        """The decision on a client's first words; `upstream` is a connection to the destination, where there is one."""
        if not hello.tls:
            if find(self._house.hosts, host, port) is not None and hello.data:
                self._house.metrics.intercepted.inc()
                await self._relay(client, hello.data, (host, port), client_tls=False)
            else:
                await self._splice(client, host, port, hello.data, "not-tls", upstream=upstream)
            return
        name = (hello.name or "").lower().rstrip(".") or host
        if find(self._house.hosts, name, port) is None:
            kind = "no-name" if hello.name is None and _is_address(host) else "foreign"
            await self._splice(client, host, port, hello.data, kind, upstream=upstream)
            return
        if upstream is not None:
            upstream.close()
        self._house.metrics.intercepted.inc()
        await self._relay(client, hello.data, (name, port), client_tls=True)

    async def _relay(
        self,
        client: socket.socket,
        data: bytes,
        target: tuple[str, int] | None,
        *,
        client_tls: bool,
        mode: HTTPMode = HTTPMode.transparent,
    ) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 18, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        if data:
            reader.feed_data(data)
        # The transport gets a descriptor of its own: `client` is closed by whoever accepted it.
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, client.dup())
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        client.close()
        try:
            await Relay(reader, writer, self._house, target, client_tls=client_tls, mode=mode).handle_client()
        finally:
            transport.close()

    async def _splice(
        self,
        client: socket.socket,
        host: str,
        port: int,
        data: bytes,
        kind: str,
        *,
        answer: bool = False,
        upstream: socket.socket | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._house.metrics.passed.labels(kind).inc()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                upstream = upstream or await self._connect(host, port)
        except (OSError, TimeoutError, UnicodeError):  # a name that cannot be one is not reached either
            if answer:
                await loop.sock_sendall(client, _UNREACHABLE)
            return
        try:
            if answer:
                await loop.sock_sendall(client, _ESTABLISHED)
            if data:
                await loop.sock_sendall(upstream, data)
            self._house.metrics.passed_bytes.inc(await splice_both(client, upstream))
        finally:
            upstream.close()

    async def _connect(self, host: str, port: int) -> socket.socket:
        """A connected socket, through the upstream proxy where there is one; raises OSError."""
        proxy = self._house.upstream_proxy
        target = proxy[1] if proxy else self._house.connect_address((host, port))
        upstream = await _dial(*target)
        if proxy:
            try:
                await _ask_proxy(upstream, host, port)
            except BaseException:
                upstream.close()
                raise
        return upstream


async def _dial(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    last: OSError = OSError(f"{host} has no address")
    for family, kind, proto, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        s = socket.socket(family, kind, proto)
        s.setblocking(False)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await loop.sock_connect(s, address)
        except OSError as e:
            last = e
            s.close()
        except BaseException:
            s.close()
            raise
        else:
            return s
    raise last


async def _ask_proxy(upstream: socket.socket, host: str, port: int) -> None:
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(upstream, f"CONNECT {shown} HTTP/1.1\r\nHost: {shown}\r\n\r\n".encode())
    head, rest = await _read_head(upstream)
    if not head.split(b" ", 2)[1:2] == [b"200"] or rest:
        raise OSError("the upstream proxy refused the connection")


async def _read_head(s: socket.socket) -> tuple[bytes, bytes]:
    """(request head with its blank line, what came behind it); raises OSError, TimeoutError."""
    loop, data = asyncio.get_running_loop(), b""
    async with asyncio.timeout(HEAD_SECONDS):
        while b"\r\n\r\n" not in data:
            chunk = await loop.sock_recv(s, 16384)
            if not chunk or len(data) > HEAD_BYTES:
                raise OSError("no request")
            data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


async def _cancelled(task: "asyncio.Task[bytes]") -> None:
    """Waits until a read that is no longer wanted has let go of its socket."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


_SO_ORIGINAL_DST = 80
"""linux/netfilter_ipv4.h, and IP6T_SO_ORIGINAL_DST of netfilter_ipv6/ip6_tables.h."""


def original_destination(s: socket.socket) -> tuple[str, int] | None:
    """(address, port) that a connection was made to before netfilter redirected it; None where it was not redirected."""
    try:
        if s.family == socket.AF_INET6:
            raw = s.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
            return socket.inet_ntop(socket.AF_INET6, raw[8:24]), int.from_bytes(raw[2:4])
        raw = s.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
    except OSError:
        return None
    return socket.inet_ntop(socket.AF_INET, raw[4:8]), int.from_bytes(raw[2:4])


async def _read_hello(s: socket.socket, data: bytes, patience: float | None = HELLO_SECONDS) -> Hello:
    """The client's first bytes up to a whole ClientHello; not TLS, silent or oversized is told by what came."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience):
            while True:
                if data:
                    if data[0] != 0x16:
                        return Hello(tls=False, name=None, data=data)
                    hello = parse_client_hello(data)
                    if hello is not None:
                        return Hello(tls=True, name=hello.sni, data=data)
                    if len(data) > HEAD_BYTES:
                        return Hello(tls=False, name=None, data=data)
                chunk = await loop.sock_recv(s, 16384)
                if not chunk:
                    raise OSError("closed")
                data += chunk
    except TimeoutError:
        return Hello(tls=False, name=None, data=data)
    except ValueError:
        return Hello(tls=False, name=None, data=data)


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False
