"""The webhook: one route for the API server, and health and metrics for everyone."""

import logging
import time

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from wfb_operator.injector.events import EventWriter, events_for
from wfb_operator.injector.inject import inject
from wfb_operator.injector.namespaces import NamespaceError, Namespaces
from wfb_operator.injector.reviews import ReviewError, answer, failed, read_review
from wfb_operator.injector.settings import Settings

log = logging.getLogger(__name__)

BODY_MOST = 8 * 1024 * 1024
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Webhook:
    """Answers admission reviews."""

    def __init__(self, settings: Settings, namespaces: Namespaces, events: EventWriter) -> None:
        self.settings, self._namespaces, self._events = settings, namespaces, events
        self.registry = CollectorRegistry()
        self._reviews = Counter(
            "wfb_injector_reviews", "Pods by what became of them.", ["outcome", "reason"], registry=self.registry
        )
        self._warnings = Counter(
            "wfb_injector_warnings", "Warnings that owners were given.", ["name"], registry=self.registry
        )
        self._seconds = Histogram(
            "wfb_injector_review_seconds", "From a review to its answer.", buckets=SECONDS, registry=self.registry
        )

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
        with self._seconds.time():
            try:
                uid, namespace_name, pod = read_review(await request.read())
            except ReviewError as error:
                return web.json_response({"error": str(error)}, status=400)
            try:
                namespace = await self._namespaces.get(namespace_name)
                patch, report = inject(pod, namespace, self.settings)
                body = answer(uid, patch, report)
            except NamespaceError as error:
                self._reviews.labels("failed", "NamespaceUnknown").inc()
                return web.json_response(failed(uid, str(error)))
            except Exception:
                log.exception("a pod could not be injected: it is refused")
                self._reviews.labels("failed", "InternalError").inc()
                return web.json_response(failed(uid, "it failed inside; its log says why"))
        self._reviews.labels(report.outcome, report.reason).inc()
        for warned in report.warnings:
            self._warnings.labels(warned.name).inc()
        self._events.tell(events_for(pod, namespace_name, report, time.time()))
        return web.json_response(body)

    async def _fine(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True})

    async def _metrics(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=generate_latest(self.registry), headers={"content-type": "text/plain; version=0.0.4"})
