"""Serves the page on this machine alone: its files, and the books of whoever started it.

Whoever can reach a port of the loopback is not yet that person: another user of the machine can, and so can a page of
the internet in a browser here. So every request needs a secret that only the printed address has, and the names in
its Host header are the loopback's own (DNS rebinding: https://owasp.org/www-community/attacks/DNS_Rebinding).
"""

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from wfb_operator.page import files

COOKIE = "wfb-page"
RESOURCES = ("summaries", "usage", "decisions", "stages", "runs", "anomalies", "loops")
"""What the page reads."""

Read = Callable[[str, Mapping[str, str]], tuple[int, Mapping[str, Any]]]
"""A resource and its query to a status and a JSON object; blocks."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class PageServer:
    """One person's page; ``start`` it, and ``stop`` it."""

    def __init__(self, read: Read, scope: str, port: int = 0) -> None:
        """``scope`` says in words whose books these are."""
        self._read, self._scope, self._port = read, scope, port
        self._secret = secrets.token_urlsafe(24)
        self._names: frozenset[str] = frozenset()
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Begins to listen; returns the address to open. Raises OSError for a port that is taken."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/", self._file),
                web.get("/{name}", self._file),
                web.get("/api/about", self._about),
                web.get("/api/{resource}", self._books),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        port = self._runner.addresses[0][1]
        self._names = frozenset(f"{name}:{port}" for name in ("127.0.0.1", "localhost"))
        return f"http://127.0.0.1:{port}/?secret={self._secret}"

    async def stop(self) -> None:
        """Ends it."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host not in self._names:
            return web.Response(status=421, text="this page is only for the loopback of the machine it runs on\n")
        if self._is_secret(request.query.get("secret", "")) and request.path == "/":
            answer = web.Response(status=303, headers={"location": "/"})
            answer.set_cookie(COOKIE, self._secret, httponly=True, samesite="Strict", path="/")
            return answer
        if not self._is_secret(request.cookies.get(COOKIE, "")):
            return web.Response(status=403, text="open the address that `wfb ui` printed: it holds the secret\n")
        return await handler(request)

    def _is_secret(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._secret.encode())

    async def _file(self, request: web.Request) -> web.StreamResponse:
        file = files.file(request.match_info.get("name", "index.html"))
        if file is None:
            return web.Response(status=404, text="the page has no such file\n")
        return web.Response(body=file.body, headers=file.headers)

    async def _about(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"scope": self._scope})

    async def _books(self, request: web.Request) -> web.StreamResponse:
        resource = request.match_info["resource"]
        if resource not in RESOURCES:
            return web.json_response({"message": f"{resource[:80]!r} is none of {', '.join(RESOURCES)}"}, status=404)
        query = {name: value for name, value in request.query.items() if name != "secret"}
        status, body = await asyncio.to_thread(self._read, resource, query)
        return web.json_response(body, status=status, headers={"cache-control": "no-store"})
