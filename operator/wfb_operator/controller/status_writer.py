"""Statuses on their way to the API server: a few at a time, at the pace that it bears, and none in vain."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from wfb_operator.controller.api_server import ApiServer, sentence
from wfb_operator.controller.cluster import Cluster, ClusterError
from wfb_operator.controller.events import trouble_event
from wfb_operator.controller.metrics import Metrics
from wfb_operator.controller.pace import Pace

WRITERS = 8

ROUND_SECONDS = 1.0
"""How long one round begins writes: what is new meanwhile, a stage above all, is not to wait for a long queue of cents."""

Document = Mapping[str, Any]


class StatusWriter:
    """Writes what changed, and remembers what was written."""

    def __init__(
        self,
        cluster: Cluster,
        api: ApiServer,
        metrics: Metrics,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._cluster, self._api, self._metrics = cluster, api, metrics
        self._wall, self._monotonic = wall, monotonic
        self._pace, self._writers = Pace(), asyncio.Semaphore(WRITERS)
        self._silent = False
        """Whether the API server did not answer a write of this round."""
        self._unwritten: dict[str, int] = {}
        """Of budgets whose status is forbidden to us, the generation that an Event told it of."""

    async def write(self, statuses: Mapping[str, tuple[Document, dict[str, Any]]], now: float) -> None:
        """Write those that are due, of all budgets there are: {key: (document, status)}; ``now`` is monotonic."""
        self._pace.forget(set(statuses))
        due = self._pace.due({key: status for key, (_, status) in statuses.items()}, now)
        self._silent = False
        until = self._monotonic() + ROUND_SECONDS
        await asyncio.gather(*(self._write(key, *statuses[key], until) for key in due))

    async def _write(self, key: str, document: Document, status: dict[str, Any], until: float) -> None:
        async with self._writers:
            if self._silent or self._monotonic() > until:
                self._pace.spare()
                return  # one write that finds nobody is enough, and so is a second: the others wait for the next round
            try:
                await asyncio.to_thread(self._cluster.apply_status, document, status)
            except ClusterError as error:
                if error.status not in (404, 409):  # deleted, or made anew, since it was read
                    self._silent = error.away
                    self._api.failed("status", error)
                if error.status == 403:
                    await self._tell_unwritten(key, document, error)
                return
        self._api.granted("status")
        self._pace.wrote(key, status, self._monotonic())
        self._metrics.status_writes.inc()

    async def _tell_unwritten(self, key: str, document: Document, error: ClusterError) -> None:
        """Where the status cannot say it, an Event of the budget does."""
        generation = int(document["metadata"].get("generation", 0))
        if self._unwritten.get(key) == generation:
            return
        try:
            message = f"The status is not written: {sentence(error)}."
            event = trouble_event(document, "StatusNotWritten", message, f"unwritten|{generation}", self._wall())
            await asyncio.to_thread(self._cluster.create_event, event)
        except ClusterError as also:
            self._api.failed("event", also)
            return
        self._unwritten[key] = generation
