"""What may be read of the books, by a query of strings: all of it, or what is of one namespace. Amounts are decimal strings."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from wfb_operator.ledger.service import LedgerService
from wfb_operator.ledger.store.port import USAGE_BY, Store
from wfb_operator.ledger.summary import ROWS_MOST, in_dollars, summary

SUMMARY_MINUTES = 31 * 24 * 60
"""How far back a summary's usage reaches unless told otherwise."""

ONLY = ("namespace", "team", "feature", "workflow", "run", "agent", "provider", "model", "served_model", "outcome")
"""What an answer about usage may be kept to, by one value."""

Query = Mapping[str, str]
Reading = Callable[[Query, str], Awaitable[dict[str, Any]]]
"""A query and a namespace, empty for all, make a JSON object; raises ValueError for a query that is wrong."""


class Readings:
    """The books of one ledger, read."""

    def __init__(self, service: LedgerService, store: Store) -> None:
        self._service, self._store = service, store

    async def summary(self, query: Query, namespace: str) -> dict[str, Any]:
        """Every budget's windows now, and usage since ``since`` (Unix seconds)."""
        now = self._service.clock.now()
        since = whole(query, "since", max(0, int(now // 60) - SUMMARY_MINUTES) * 60) // 60
        return await summary(self._service.known_memory(), self._store, now, since, namespace)

    async def usage(self, query: Query, namespace: str) -> dict[str, Any]:
        """Sums of usage ``by`` dimensions between ``since`` and ``until``, and the time that they are exact for.

        ``team=a`` keeps what is of that team, and so for every dimension of ``ONLY``.
        """
        by = tuple(name for name in query.get("by", "workflow,team,provider,model").split(",") if name)
        if unknown := [name for name in by if name not in USAGE_BY]:
            raise ValueError(f"by: {unknown[0][:80]!r} is none of {', '.join(USAGE_BY)}")
        since, until = whole(query, "since", 0), whole(query, "until", 2**53)
        most = min(whole(query, "limit", ROWS_MOST), ROWS_MOST)
        by = tuple(dict.fromkeys(by))
        only = {name: query[name] for name in ONLY if name in query}
        found = await self._store.usage(
            by, since // 60, -(-until // 60), most, namespace=namespace, skip=whole(query, "skip", 0), only=only
        )
        return {"usage": [in_dollars(row) for row in found.rows], "since": found.since * 60, "until": found.until * 60}

    async def decisions(self, query: Query, namespace: str) -> dict[str, Any]:
        """The newest decisions, of a ``kind``, by an ``id``, or for a ``reason``."""
        most = min(whole(query, "limit", 100), ROWS_MOST)
        rows = await self._store.decisions(
            query.get("kind", ""), query.get("id", ""), most, reason=query.get("reason", ""), namespace=namespace
        )
        return {"decisions": [in_dollars(row) for row in rows]}

    async def stages(self, query: Query, namespace: str) -> dict[str, Any]:
        """The newest stage changes."""
        rows = await self._store.stage_changes(min(whole(query, "limit", 1000), ROWS_MOST), namespace=namespace)
        return {"stages": [in_dollars(row) for row in rows]}

    async def notices(self, query: Query, _: str) -> dict[str, Any]:
        """Notices that are still to be sent, the oldest first."""
        rows = await self._store.notices(min(whole(query, "limit", 1000), ROWS_MOST))
        return {"notices": [in_dollars(row) for row in rows]}

    async def runs(self, query: Query, namespace: str) -> dict[str, Any]:
        """The runs seen last."""
        rows = await self._store.runs(min(whole(query, "limit", 100), ROWS_MOST), namespace=namespace)
        return {"runs": [in_dollars(row) for row in rows]}

    async def anomalies(self, _: Query, namespace: str) -> dict[str, Any]:
        """Workflows as the last look judged their spend, spikes first."""
        return {"anomalies": self._service.anomalies.shown(namespace)}

    async def loops(self, query: Query, namespace: str) -> dict[str, Any]:
        """The newest sightings of loops."""
        rows = await self._store.sightings(min(whole(query, "limit", 1000), ROWS_MOST), namespace=namespace)
        return {"loops": [in_dollars(row) for row in rows]}


def whole(query: Query, name: str, default: int) -> int:
    """A whole number of a query; raises ValueError that names it."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 16:
        raise ValueError(f"{name}: {text[:40]!r} is not a whole number, zero or more")
    return int(text)
