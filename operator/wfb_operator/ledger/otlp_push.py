"""Sends the totals to an OpenTelemetry collector now and then; one that is away costs nothing but the figures' age."""

import asyncio
import importlib.metadata
import json
import logging
from collections.abc import Callable

import aiohttp

from wfb_operator.ledger.metrics import Metrics
from wfb_operator.ledger.otlp import request
from wfb_operator.ledger.otlp_headers import read_headers

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds in which a collector must have answered."""


class OtlpPush:
    """One collector, by OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp)."""

    def __init__(
        self, endpoint: str, seconds: float, metrics: Metrics, now: Callable[[], float], headers_file: str = ""
    ) -> None:
        """``endpoint`` is the collector's address, to which /v1/metrics is added.

        ``headers_file`` holds headers to send, empty for none; raises OSError and ValueError where it cannot be used.
        """
        self._headers_file = headers_file
        if self._headers():  # at the start as well: a mistake is said before anybody waits for figures
            log.info("headers of %s are sent to the collector", headers_file)
            if endpoint.startswith("http:"):
                log.warning("the headers of %s go to the collector unencrypted: give an https address", headers_file)
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
            headers = {**self._headers(), "content-type": "application/json"}
        except (OSError, ValueError) as error:
            return f"{self._headers_file} cannot be used: {error}"
        try:
            # No redirect is followed: what is in the headers is for this address alone.
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                return "" if answer.status < 300 else f"it answered {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__

    def _headers(self) -> dict[str, str]:
        """Read at each export: a Secret that is replaced counts with the next."""
        return read_headers(self._headers_file) if self._headers_file else {}
