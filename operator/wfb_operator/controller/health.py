"""The controller's port: whether it lives, and its metrics."""

import time

from aiohttp import web

from wfb_operator.controller.metrics import Metrics


async def serve(metrics: Metrics, host: str, port: int) -> tuple[web.AppRunner, str]:
    """Serve ``/healthz`` and ``/metrics``; returns the runner and its URL. Raises OSError."""

    async def healthz(_: web.Request) -> web.StreamResponse:
        """503 once no round was finished for long: the kubelet starts the process anew."""
        problem = metrics.stale(time.time())
        return web.json_response({"ok": not problem, "error": problem}, status=503 if problem else 200)

    async def scrape(_: web.Request) -> web.StreamResponse:
        """For Prometheus."""
        return web.Response(body=metrics.text(), headers={"content-type": "text/plain; version=0.0.4"})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/metrics", scrape)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    at = runner.addresses[0]
    return runner, f"http://{at[0]}:{at[1]}"
