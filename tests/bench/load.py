"""A load client that costs little beside what it measures: HTTP/1.1 on one kept connection, plain or TLS, direct or by CONNECT.

It understands what the simulator and the proxies answer (a length or chunks) and nothing more; bodies are counted, not kept.
"""

import asyncio
import json
import ssl
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from harness.certificates import Authority
from harness.processes import Ledger, Process, budget, start_ledger, start_sidecar, start_simulator

from wfb_operator.prices.compile import compile_snapshot

PREFIX = "test/bench/"
HOST = "api.openai.com"
OUTPUT_TOKENS = 64
_SLICE = 256 * 1024
_READY_SECONDS = 10.0


class ClosedError(ConnectionError):
    """The other side closed before the answer was whole."""


class Answer(NamedTuple):
    """One answer; times in seconds from the moment the request was handed to the socket."""

    status: int
    first: float
    """Until the first byte of the body."""
    whole: float
    body_bytes: int


class Client(asyncio.Protocol):
    """One connection, one call at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._buffer = bytearray()
        self._waiter: asyncio.Future[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._status = 0
        self._left = -1  # of the body, or of the chunk being read
        self._chunked = False
        self._last = False
        self._whole = False
        self._first = 0.0
        self._bytes = 0

    # what callers use

    async def call(self, request: bytes) -> Answer:
        """Sends a request and reads its answer; raises ClosedError."""
        self._begin()
        self._waiter = asyncio.get_running_loop().create_future()
        if self._closed:
            raise ClosedError("the connection is closed")
        began = time.perf_counter()
        if len(request) <= _SLICE:
            self.transport.write(request)
        else:
            await self._send(request)
        await self._waiter
        return Answer(self._status, self._first - began, time.perf_counter() - began, self._bytes)

    async def _send(self, request: bytes) -> None:
        view = memoryview(request)
        for at in range(0, len(request), _SLICE):
            assert self._waiter is not None
            if self._waiter.done():
                return  # answered, or closed, before the body was wanted
            self.transport.write(view[at : at + _SLICE])
            await self._writable.wait()

    def abort(self) -> None:
        """Hangs up."""
        self.transport.abort()

    async def connect_through(self, target: str) -> None:
        """Asks the proxy on the other side for a tunnel."""
        answer = await self.call(f"CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n\r\n".encode())
        if answer.status != 200:
            raise ClosedError(f"the proxy answered {answer.status} to CONNECT {target}")

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.transport = transport  # type: ignore[assignment]

    def pause_writing(self) -> None:
        """The socket is full."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It takes more."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed, by whomever."""
        self._closed = True
        self._writable.set()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ClosedError(str(exc or "closed")))

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer."""
        self._buffer += data
        if not self._status and not self._read_head():
            return
        if not self._first and self._buffer:
            self._first = time.perf_counter()
        if self._chunked:
            self._read_chunks()
        else:
            taken = len(self._buffer)
            self._bytes += taken
            self._left -= taken
            self._buffer.clear()
            self._whole = self._left <= 0
        if self._whole and self._waiter is not None and not self._waiter.done():
            self._first = self._first or time.perf_counter()
            self._waiter.set_result(None)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[: end + 2]).lower()
        del self._buffer[: end + 4]
        self._status = int(head[9:12])
        self._chunked = b"\r\ntransfer-encoding: chunked\r\n" in head
        at = head.find(b"\r\ncontent-length:")
        if not self._chunked:
            self._left = 0 if at < 0 else int(head[at + 17 : head.index(b"\r\n", at + 2)])
        return True

    def _read_chunks(self) -> None:
        buffer, at, size = self._buffer, 0, len(self._buffer)
        while at < size and not self._whole:
            if self._left < 0:
                end = buffer.find(b"\r\n", at)
                if end < 0:
                    break
                length = int(buffer[at:end], 16)
                self._bytes += length
                self._last = not length
                self._left = length + 2
                at = end + 2
            taken = min(self._left, size - at)
            at += taken
            self._left -= taken
            if not self._left:
                self._whole = self._last
                self._left = -1
        del buffer[:at]


@dataclass(frozen=True)
class Way:
    """How a client reaches the provider: straight, or through a proxy; with TLS or without."""

    address: tuple[str, int]
    """Whom to connect to."""
    tls: ssl.SSLContext | None = None
    tunnel: str = ""
    """`host:port` to ask the proxy for."""

    async def client(self) -> Client:
        """A connection, its handshake done."""
        loop = asyncio.get_running_loop()
        if not self.tunnel:
            _, client = await loop.create_connection(
                Client, *self.address, ssl=self.tls, server_hostname=HOST if self.tls else None
            )
            return client
        transport, client = await loop.create_connection(Client, *self.address)
        await client.connect_through(self.tunnel)
        assert self.tls is not None
        inner = await loop.start_tls(transport, client, self.tls, server_hostname=self.tunnel.rpartition(":")[0])
        assert inner is not None
        client.transport = inner
        return client


def trusting(*roots: Path | str) -> ssl.SSLContext:
    """A client context that trusts these PEM files and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for root in roots:
        context.load_verify_locations(root)
    context.set_alpn_protocols(["http/1.1"])
    return context


def request(target: str, host: str, body: bytes, **headers: object) -> bytes:
    """A POST as bytes; header names with underscores for dashes."""
    said = {
        "host": host,
        "content-type": "application/json",
        "authorization": "Bearer bench",
        "user-agent": "bench",
        "accept": "*/*",
        "content-length": len(body),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return f"POST {target} HTTP/1.1\r\n{''.join(f'{k}: {v}\r\n' for k, v in said.items())}\r\n".encode() + body


def chat(*, stream: bool, text_bytes: int = 1024, max_tokens: int = 256) -> bytes:
    """The body of a chat call with about so many bytes of messages."""
    text = ("Say what is wrong with this invoice, line by line. " * (text_bytes // 50 + 1))[: text_bytes - 60]
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": "You check invoices."}, {"role": "user", "content": text}],
        "max_tokens": max_tokens,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body).encode()


async def one_by_one(client: Client, sent: bytes, count: int) -> list[Answer]:
    """Calls one after another; raises ClosedError for an answer other than 200."""
    answers = []
    for _ in range(count):
        answer = await client.call(sent)
        if answer.status != 200:
            raise ClosedError(f"the answer is {answer.status}")
        answers.append(answer)
    return answers


async def together(
    clients: list[Client], sent: bytes, seconds: float, calls: float = float("inf")
) -> tuple[int, float]:
    """All clients call without a pause for some seconds, or so many calls; returns (calls, seconds they took)."""
    began = time.perf_counter()
    until, done = began + seconds, 0

    async def work(client: Client) -> None:
        nonlocal done
        while time.perf_counter() < until and done < calls:
            done += 1
            if (await client.call(sent)).status != 200:
                raise ClosedError("an answer is not 200")

    await asyncio.gather(*map(work, clients))
    return done, time.perf_counter() - began


@dataclass
class Stand:
    """What every bench stands on: a provider, a ledger with a budget that is never reached, and certificates."""

    folder: Path
    root: Path
    certificate: Path
    key: Path
    simulator: Process
    ledger: Ledger
    token: Path

    @property
    def plain(self) -> str:
        """`host:port` of the provider without TLS."""
        return str(self.simulator.ready["plain"]).removeprefix("http://")

    @property
    def tls(self) -> str:
        """`host:port` of the provider with TLS."""
        return str(self.simulator.ready["tls"]).removeprefix("https://")

    def sidecar(self, name: str) -> Process:
        """A new sidecar that meters both ways to the provider."""
        return start_sidecar(
            self.folder / name,
            self.ledger,
            PREFIX,
            self.token,
            upstream_ca=str(self.root),
            connect_to={f"{HOST}:443": self.tls},
            endpoints=[{"endpoint": self.plain, "provider": "openai"}],
        )

    def stop(self) -> None:
        """Ends the ledger and the provider."""
        self.ledger.process.stop()
        self.simulator.stop()


def make_stand(folder: Path) -> Stand:
    """Starts the provider and the ledger; the answers have OUTPUT_TOKENS tokens and come without delay."""
    authority = Authority.make(folder / "certificates")
    pair = authority.server("good")
    behaviour = json.dumps({"output-tokens": OUTPUT_TOKENS})
    simulator = start_simulator(
        folder, "--cert", str(pair.certificate), "--key", str(pair.key), "--defaults", behaviour
    )
    try:
        ledger = start_ledger(folder / "ledger", [budget("bench", "1000000.00")], compile_snapshot("now").data)
        token = ledger.admit(PREFIX, {"aifinops.dev/workflow": "bench"}, namespace="test")
    except BaseException:
        simulator.stop()
        raise
    return Stand(folder, authority.root, pair.certificate, pair.key, simulator, ledger, token)


def wait_until_told(sidecar: Process) -> None:
    """Returns when the sidecar knows its budgets; raises TimeoutError."""
    until = time.monotonic() + _READY_SECONDS
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(f"{sidecar.ready['health']}/readyz", timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(
        f"the sidecar was not told its budgets in {_READY_SECONDS:g} s: {sidecar.log.read_text()[-2000:]}"
    )


def address(url: str) -> tuple[str, int]:
    """(host, port) of a URL or of `host:port`."""
    host, _, port = url.rpartition("://")[2].rpartition(":")
    return host, int(port)


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used, user and system; resolution 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
