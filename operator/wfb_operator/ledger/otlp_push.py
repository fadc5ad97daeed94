"""Sends the totals to an OpenTelemetry collector now and then; one that is away costs nothing but the figures' age."""

import asyncio
import importlib.metadata
import json
import logging
from collections.abc import Callable

import aiohttp

from wfb_operator.ledger.metrics import Metrics
from wfb_operator.ledger.otlp import request

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds in which a collector must have answered."""


class OtlpPush:
    """One collector, by OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp)."""

    def __init__(self, endpoint: str, seconds: float, metrics: Metrics, now: Callable[[], float]) -> None:
        """``endpoint`` is the collector's address, to which /v1/metrics is added."""
        self._url = f"{endpoint.rstrip('/')}/v1/metrics"
        self._seconds, self._metrics, self._now = seconds, metrics, now
        self._version = importlib.metadata.version("workflow-budget-operator")

    async def run(self) -> None:
        """Sends until it is cancelled, and a last time then; what fails is said once and tried again with the next."""
        said = ""
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                try:
                    await asyncio.sleep(self._seconds)
                finally:
                    problem = await self._send(session)
                    self._metrics.otlp.labels("failed" if problem else "sent").inc()
                    if problem and problem != said:
                        log.warning("the collector at %s does not take the metrics: %s", self._url, problem)
                    said = problem

    async def _send(self, session: aiohttp.ClientSession) -> str:
        """What went wrong, empty for nothing."""
        rows, now = self._metrics.totals.copy(), self._now()
        body = await asyncio.to_thread(lambda: json.dumps(request(rows, now, self._version)).encode())
        try:
            async with session.post(self._url, data=body, headers={"content-type": "application/json"}) as answer:
                return "" if answer.status < 300 else f"it answered {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__
