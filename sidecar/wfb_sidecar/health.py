"""The health and metrics port: one GET a connection."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from wfb_sidecar.config import parse_address
from wfb_sidecar.metrics import Metrics

_HEAD_BYTES = 16 * 1024
_PATIENCE = 10.0
"""Seconds in which a request must come and its answer be taken."""
_JSON = "application/json"


class Health:
    """`/healthz` (alive), `/readyz` (serving and told its scope once), `/metrics`."""

    def __init__(self, metrics: Metrics, ready: Callable[[], str | None], refresh: Callable[[], None]) -> None:
        """`ready` returns what is still missing, or None; `refresh` brings gauges up to date before a scrape."""
        self._metrics = metrics
        self._ready = ready
        self._refresh = refresh
        self._server: asyncio.Server | None = None

    async def listen(self, address: str) -> str:
        """Opens the port and returns its URL; raises OSError."""
        host, port = parse_address(address, "health")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._server = await asyncio.start_server(self._serve, host, port, family=family, limit=_HEAD_BYTES)
        bound = self._server.sockets[0].getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        return f"http://{shown}:{bound[1]}"

    async def close(self) -> None:
        """Closes the port."""
        if self._server:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                status, kind, body = self._answer(head.partition(b"\r\n")[0])
                writer.write(
                    f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n"
                    f"connection: close\r\n\r\n".encode()
                )
                writer.write(body)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that said nothing sensible needs no answer
        finally:
            with contextlib.suppress(OSError):
                writer.close()

    def _answer(self, line: bytes) -> tuple[str, str, bytes]:
        """(status line, content type, body) for a request line."""
        method, _, rest = line.partition(b" ")
        if method != b"GET":
            return "405 Method Not Allowed", _JSON, b'{"error": "use GET"}'
        match rest.partition(b" ")[0].partition(b"?")[0]:
            case b"/healthz":
                return "200 OK", _JSON, b'{"ok": true}'
            case b"/readyz":
                missing = self._ready()
                said = json.dumps({"ready": missing is None, "missing": missing}).encode()
                return ("503 Service Unavailable" if missing else "200 OK"), _JSON, said
            case b"/metrics":
                self._refresh()
                return "200 OK", CONTENT_TYPE_LATEST, generate_latest(self._metrics.registry)
        return "404 Not Found", _JSON, b'{"error": "use /healthz, /readyz or /metrics"}'
