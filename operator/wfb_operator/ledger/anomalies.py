"""Watches what each workflow spends for what is not usual: learns from whole hours, looks every minute, tells what it saw.

Learning reads one hour of usage at a time, and of the past a few each look, so that no report waits for it. What was
learned is in memory alone: a ledger that starts anew reads the hours again.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from wfb_core.anomaly import SPIKE, Baseline, Sums, Verdict, judge, learn
from wfb_core.anomaly.baseline import HOUR, WEEK, WEEKS
from wfb_core.anomaly.judge import QUARTER
from wfb_core.money import format_usd
from wfb_operator.ledger.store.port import Store, StoreError

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
HOURS_A_LOOK = 30
"""Hours of the past that are read in one look: five weeks in half an hour."""

LESSONS_A_LOOK = 50
"""Workflows that are learned anew in one look; each takes some milliseconds."""

WORKFLOWS_MOST = 2000
"""The dearest that are watched."""

FAILED = ("error", "cut", "disconnected", "interrupted")
"""Outcomes of calls that came to nothing."""

BY = ("namespace", "workflow", "served_model", "outcome")

Key = tuple[str, str]
"""Namespace and workflow."""


class AnomalyWatch:
    """The workflows of one ledger; ``run`` it beside the service."""

    def __init__(self, store: Store, now: Callable[[], float], told: Callable[[Mapping[Key, float]], None]) -> None:
        """``now`` is the ledger's clock; ``told`` hears the ratio of every workflow that was judged."""
        self._store, self._now, self._told = store, now, told
        self._hours: dict[Key, dict[int, Sums]] = defaultdict(dict)
        self._baselines: dict[Key, tuple[int, Baseline | None]] = {}
        self._verdicts: dict[Key, Verdict] = {}
        self._read: set[int] = set()

    async def run(self) -> None:
        """Looks, until cancelled; what fails is said and tried again."""
        while True:
            try:
                await self.look()
            except StoreError as error:
                log.warning("spend is not watched for anomalies for now: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """One look at everything; raises StoreError."""
        now = self._now()
        complete = await self._read_hours(int(now // HOUR))
        recent = await self._recent(now)
        self._learn(now, recent, complete=complete)
        verdicts = {}
        for key in recent.keys() | {k for k, v in self._verdicts.items() if v.state == SPIKE}:
            lesson = self._baselines.get(key)
            verdicts[key] = judge(lesson[1] if lesson else None, recent.get(key, Sums()), now, self._verdicts.get(key))
        self._verdicts = verdicts
        self._told({key: verdict.ratio for key, verdict in verdicts.items()})

    def shown(self, namespace: str = "") -> list[dict[str, Any]]:
        """What the last look found, spikes first; of one namespace where it is named."""
        found = [
            {
                "namespace": key[0],
                "workflow": key[1],
                "state": verdict.state,
                "ratio": round(verdict.ratio, 2),
                "usd": format_usd(verdict.nanos),
                "usual_usd": format_usd(int(verdict.usual)),
                "since": verdict.since,
                "message": verdict.message,
            }
            for key, verdict in self._verdicts.items()
            if namespace in ("", key[0])
        ]
        return sorted(found, key=lambda row: (row["state"] != SPIKE, -row["ratio"], row["namespace"], row["workflow"]))

    async def _read_hours(self, this: int) -> bool:
        """Some whole hours that were not read yet, the newest first, and whether that was all of them.

        Those that no longer count are dropped.
        """
        first = this - WEEKS * WEEK
        wanted = [hour for hour in range(this - 1, first - 1, -1) if hour not in self._read]
        for hour in wanted[:HOURS_A_LOOK]:
            for key, sums in (await self._sums(hour * HOUR, (hour + 1) * HOUR)).items():
                if key in self._hours or len(self._hours) < WORKFLOWS_MOST:
                    self._hours[key][hour] = sums
            self._read.add(hour)
        self._read = {hour for hour in self._read if hour >= first}
        for hours in self._hours.values():
            for hour in [h for h in hours if h < first]:
                del hours[hour]
        return len(wanted) <= HOURS_A_LOOK

    async def _recent(self, now: float) -> dict[Key, Sums]:
        """The last quarter of an hour, in whole minutes: the one under way is not over."""
        until = int(now // 60) * 60
        return await self._sums(until - QUARTER, until)

    async def _sums(self, since: int, until: int) -> dict[Key, Sums]:
        found: dict[Key, Sums] = defaultdict(Sums)
        usage = await self._store.usage(BY, since // 60, until // 60, 10 * WORKFLOWS_MOST)
        for row in usage.rows:
            tokens = row["input_tokens"] + row["cache_read_tokens"] + row["cache_write_tokens"] + row["output_tokens"]
            found[row["namespace"], row["workflow"]] += Sums(
                row["nanos"],
                row["calls"],
                row["refused"],
                row["calls"] if row["outcome"] in FAILED else 0,
                tokens,
                {row["served_model"]: row["nanos"]} if row["nanos"] else {},
            )
        return found

    def _learn(self, now: float, recent: Mapping[Key, Sums], *, complete: bool) -> None:
        """Anew for those at work whose lesson is of another hour, or of a part of the past; some in each look."""
        this = int(now // HOUR) if complete else -1
        stale = [key for key in recent if not 0 <= self._baselines.get(key, (-1, None))[0] == this]
        for key in stale[:LESSONS_A_LOOK]:
            self._baselines[key] = this, learn(self._hours.get(key, {}), now)
        for key in [k for k, (hour, _) in self._baselines.items() if 0 <= hour < this - WEEK]:
            del self._baselines[key]
