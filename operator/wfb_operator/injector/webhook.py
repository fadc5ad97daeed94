"""The webhook: one route for the API server, and health and metrics for everyone."""

import logging
import time

from aiohttp import web

from wfb_operator.injector.events import EventWriter, events_for
from wfb_operator.injector.inject import inject
from wfb_operator.injector.metrics import Metrics
from wfb_operator.injector.namespaces import NamespaceError, Namespaces
from wfb_operator.injector.reviews import ReviewError, answer, failed, read_review
from wfb_operator.injector.settings import Settings

log = logging.getLogger(__name__)

BODY_MOST = 8 * 1024 * 1024


class Webhook:
    """Answers admission reviews."""

    def __init__(self, settings: Settings, namespaces: Namespaces, events: EventWriter) -> None:
        self.settings, self._namespaces, self._events = settings, namespaces, events
        self.metrics = Metrics()

    def application(self) -> web.Application:
        """All routes."""
        app = web.Application(client_max_size=BODY_MOST)
        app.add_routes(
            [
                web.post("/inject", self._inject),
                web.get("/healthz", self._fine),
                web.get("/readyz", self._fine),
                web.get("/metrics", self._metrics),
            ]
        )
        return app

    async def _inject(self, request: web.Request) -> web.StreamResponse:
        with self.metrics.seconds.time():
            try:
                uid, namespace_name, pod = read_review(await request.read())
            except ReviewError as error:
                return web.json_response({"error": str(error)}, status=400)
            try:
                namespace = await self._namespaces.get(namespace_name)
                patch, report = inject(pod, namespace, self.settings)
                body = answer(uid, patch, report)
            except NamespaceError as error:
                self.metrics.failed("NamespaceUnknown")
                return web.json_response(failed(uid, str(error)))
            except Exception:
                log.exception("a pod could not be injected: it is refused")
                self.metrics.failed("InternalError")
                return web.json_response(failed(uid, "it failed inside; its log says why"))
        self.metrics.reviewed(report)
        self._events.tell(events_for(pod, namespace_name, report, time.time()))
        return web.json_response(body)

    async def _fine(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True})

    async def _metrics(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=self.metrics.text(), headers={"content-type": "text/plain; version=0.0.4"})
