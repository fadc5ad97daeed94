"""The health and metrics port."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from wfb_sidecar.config import parse_address
from wfb_sidecar.metrics import Metrics


class Health:
    """`/healthz` (alive), `/readyz` (serving and told its scope once), `/metrics`."""

    def __init__(self, metrics: Metrics, ready: Callable[[], str | None], refresh: Callable[[], None]) -> None:
        """`ready` returns what is still missing, or None; `refresh` brings gauges up to date before a scrape."""
        self._metrics = metrics
        self._ready = ready
        self._refresh = refresh
        self._runner: web.AppRunner | None = None

    async def listen(self, address: str) -> str:
        """Opens the port and returns its URL; raises OSError."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._show_metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        host, port = parse_address(address, "health")
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        bound = self._runner.addresses[0]
        return f"http://{bound[0]}:{bound[1]}"

    async def close(self) -> None:
        """Closes the port."""
        if self._runner:
            await self._runner.cleanup()

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _readyz(self, _request: web.Request) -> web.Response:
        missing = self._ready()
        return web.json_response({"ready": missing is None, "missing": missing}, status=503 if missing else 200)

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        self._refresh()
        return web.Response(body=generate_latest(self._metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})
