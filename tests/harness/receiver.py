"""A receiver of notices on real HTTP: it verifies by itself, and fails as it is told."""

import asyncio
import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field

from aiohttp import web

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()


@dataclass
class Received:
    """One request that was let in."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self):
        return json.loads(self.body)

    def genuine(self, secret=SECRET):
        """Whether its signature is right, by Standard Webhooks as written down there."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        return wanted in self.headers.get("webhook-signature", "").split()


@dataclass
class Receiver:
    """Answers with the statuses of ``answers`` in turn, the last of them for ever."""

    answers: list[int] = field(default_factory=lambda: [204])
    headers: dict[str, str] = field(default_factory=dict)
    slow: asyncio.Event | None = None
    """Nothing is answered before it is set."""
    received: list[Received] = field(default_factory=list)

    async def start(self, port=0):
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, reuse_address=True).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def stop(self):
        await self._runner.cleanup()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self):
        return [one.headers["webhook-id"] for one in self.received]

    async def _take(self, request):
        self.received.append(Received(dict(request.headers), await request.read()))
        if self.slow is not None:
            await self.slow.wait()
        status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, headers=self.headers)
