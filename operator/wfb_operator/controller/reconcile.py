"""The loop: compare the world with what the ledger has and what was written, and act on the difference."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wfb_core.budget import Budget
from wfb_core.reasons import DOWNGRADE_REFUSED
from wfb_operator.controller.api_server import ApiServer, sentence
from wfb_operator.controller.cluster import Cluster, ClusterError
from wfb_operator.controller.counted import USAGE_BY, counted, spikes
from wfb_operator.controller.coverage import Coverage, survey
from wfb_operator.controller.documents import Plan, plan
from wfb_operator.controller.events import RECENT_SECONDS, downgrade_event, loop_event, spend_event, stage_event
from wfb_operator.controller.ladders import Ladders
from wfb_operator.controller.ledger_client import LedgerAwayError, LedgerClient, LedgerRefusedError
from wfb_operator.controller.metrics import Metrics
from wfb_operator.controller.status import Counted, Seen, Standing, status_of
from wfb_operator.controller.status_writer import StatusWriter
from wfb_operator.controller.world import World, key_of

log = logging.getLogger(__name__)

LOOP_SECONDS = 1.0
JUDGED_SECONDS = 15.0
"""Between two looks at what the ledger judged, which it does every minute."""

USAGE_SECONDS = 15.0
"""Between two looks at usage by model and feature; windows are looked at in every round."""
LIST_SECONDS = 300.0
"""Between two full lists: whatever a watch missed is mended by then."""
BLIND_SECONDS = 20.0
"""Between two lists where one is forbidden."""
SURVEY_SECONDS = 2.0
"""Between two passes over all pods, however often they change."""
USAGE_BACK = 86_400.0


_Told = tuple[str, Callable[[Any, Any], dict[str, Any]], dict[str, Any]]
"""What may become an Event: a name of its own, what makes the Event, and what was seen."""


@dataclass(slots=True)
class _Memory:
    """What one run of the process knows; lost with it, and found again."""

    in_force: dict[str, Mapping[str, Any]] | None = None
    """The ledger's documents by key; None where they have to be asked for."""
    usage: list[dict[str, Any]] | None = None
    usage_at: float = float("-inf")
    judged: list[dict[str, Any]] | None = None
    judged_at: float = float("-inf")
    refused: list[dict[str, Any]] = field(default_factory=list)
    """Downgrades that a model refused; looked at with usage."""
    listed_at: float = float("-inf")
    surveyed_at: float = float("-inf")
    surveyed: tuple[int, tuple[str, ...]] = (-1, ())
    told: frozenset[str] = frozenset()
    coverage: Mapping[str, Coverage] | None = None
    blind: str = ""
    """Why pods or namespaces are not seen; empty where they are."""


class Reconciler:
    """Everything that the controller does beside watching."""

    def __init__(
        self,
        world: World,
        cluster: Cluster,
        ledger: LedgerClient,
        metrics: Metrics,
        *,
        version: str,
        ladders: Ladders | None = None,
        only_report: bool = False,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``version`` is the sidecar's that new pods get; ``only_report`` lets everything through, see ``plan``.

        ``ladders`` knows prices, or will.
        """
        self.world, self._cluster, self._ledger, self._metrics = world, cluster, ledger, metrics
        self._only_report, self._ladders = only_report, ladders or Ladders()
        self._version, self._wall, self._monotonic = version, wall, monotonic
        self._memory, self._api = _Memory(), ApiServer(metrics)
        self._statuses = StatusWriter(cluster, self._api, metrics, wall=wall, monotonic=monotonic)

    async def run(self) -> None:
        """Rounds, until cancelled; a round that fails is counted, said once, and tried again."""
        said = ""
        while True:
            begun = self._monotonic()
            try:
                await self.once()
                said = ""
            except Exception as error:
                self._metrics.rounds_failed.inc()
                text = f"{type(error).__name__}: {error}"
                if text != said:
                    log.warning("a round failed and is tried again: %s", text)
                    said = text
            await asyncio.sleep(max(0.05, LOOP_SECONDS - (self._monotonic() - begun)))

    async def once(self) -> None:
        """One round; raises ClusterError where the first lists cannot be had."""
        await self._list()
        planned = await self._to_ledger()
        figures = await self._from_ledger(planned)
        await self._to_status(planned, figures)
        self._metrics.round_done(self._wall())

    # -- the world
    async def _list(self) -> None:
        """Everything anew, at first and now and then; nothing is sent anywhere before the first lists are in."""
        now = self._monotonic()
        if now - self._memory.listed_at < LIST_SECONDS:
            return
        budgets, pods, namespaces = await asyncio.gather(
            *(self._ask(ask) for ask in (self._cluster.budgets, self._cluster.pods, self._cluster.namespaces))
        )
        failed = [found for found in (budgets, pods, namespaces) if isinstance(found, ClusterError)]
        for error in failed:
            self._api.failed("list", error)
        # Without pods budgets are held all the same: sidecars know theirs from the ledger.
        if isinstance(budgets, ClusterError) or any(error.status != 403 for error in failed):
            if self._memory.listed_at == float("-inf"):
                raise failed[0]
            return
        self._memory.blind = sentence(failed[0]) if failed else ""
        if not failed:
            self._api.granted("list")
        for namespace in namespaces if isinstance(namespaces, list) else ():
            self.world.put_namespace(namespace)
        self.world.replace_budgets(budgets)
        self.world.replace_pods(pods if isinstance(pods, list) else ())
        self._memory.listed_at = now if not failed else now - LIST_SECONDS + BLIND_SECONDS

    async def _ask(self, ask: Callable[[], list[Mapping[str, Any]]]) -> list[Mapping[str, Any]] | ClusterError:
        try:
            return await asyncio.to_thread(ask)
        except ClusterError as error:
            return error

    # -- the ledger
    async def _to_ledger(self) -> Plan:
        """Put the cluster's budgets in force where they are not."""
        memory = self._memory
        try:
            if memory.in_force is None:
                memory.in_force = {key_of(d): d for d in await self._ledger.budgets_in_force()}
            planned = self._plan(memory.in_force)
            if planned.documents != memory.in_force:
                await self._ledger.put_budgets(list(planned.documents.values()))
                memory.in_force = dict(planned.documents)
                self._metrics.pushes.inc()
        except LedgerAwayError as error:
            self._metrics.ledger_answered(answered=False)
            log.debug("the ledger is away: %s", error)
            memory.in_force = None
            return self._plan({})
        except LedgerRefusedError as error:
            # What is parsed here is parsed there by the same code: only another version can disagree.
            log.error("the ledger refused the budgets: %s", error.errors or error)  # noqa: TRY400 — its sentence says it
            return self._plan(memory.in_force or {})
        return planned

    def _plan(self, in_force: Mapping[str, Mapping[str, Any]]) -> Plan:
        return plan(self.world.budgets, in_force, only_report=self._only_report)

    async def _from_ledger(self, planned: Plan) -> Mapping[str, Counted] | None:
        """What the ledger counted, by budget; None where it does not answer. Tells new stages on the way."""
        memory, now, wall = self._memory, self._monotonic(), self._wall()
        try:
            summary = await self._ledger.summary(wall)
            if memory.usage is None or now - memory.usage_at >= USAGE_SECONDS:
                memory.usage, memory.usage_at = await self._ledger.usage(USAGE_BY, wall - USAGE_BACK), now
                memory.refused = await self._ledger.decisions(DOWNGRADE_REFUSED)
            changes, loops = await self._ledger.stages(), await self._ledger.loops()
            if memory.judged is None or now - memory.judged_at >= JUDGED_SECONDS:
                memory.judged, memory.judged_at = await self._ledger.anomalies(), now
        except (LedgerAwayError, LedgerRefusedError) as error:
            self._metrics.ledger_answered(answered=False)
            log.debug("the ledger is away: %s", error)
            memory.in_force = None
            return None
        self._metrics.ledger_answered(answered=True)
        parsed, labels = _parsed(planned.standings), self.world.namespace_labels
        figures = counted(parsed, summary["budgets"], summary["refused"], memory.usage, memory.judged, labels)
        found: list[_Told] = [
            (f"{c['window']}|{c['to_stage']}|{c['at_percent']}|{c['at']}", stage_event, c) for c in changes
        ]
        found += [(f"loop|{s['budget']}|{s['unit']}|{s['stage']}|{s['at']}", loop_event, s) for s in loops]
        found += [(f"downgrade|{d['id']}", downgrade_event, d) for d in memory.refused]
        found += [(f"spend|{u['budget']}|{u['workflow']}|{u['at']}", spend_event, u) for u in spikes(figures)]
        await self._tell(found, wall)
        return figures

    async def _tell(self, found: Sequence[_Told], wall: float) -> None:
        """An Event for whatever is new of what was found: a name of its own, what makes its Event, and what was seen."""
        recent = {name: (make, seen) for name, make, seen in found if wall - seen["at"] < RECENT_SECONDS}
        told = set(self._memory.told & recent.keys())
        for name, (make, seen) in recent.items():
            document = self.world.budgets.get(seen["budget"])
            if name in told or document is None:
                continue
            try:
                await asyncio.to_thread(self._cluster.create_event, make(seen, document))
            except ClusterError as error:
                self._api.failed("event", error)
                if error.away:
                    break
                continue  # its namespace may be on its way out, which is no reason to keep others waiting
            self._api.granted("event")
            told.add(name)
        self._memory.told = frozenset(told)

    # -- status
    async def _to_status(self, planned: Plan, figures: Mapping[str, Counted] | None) -> None:
        """Write what changed."""
        covered = self._survey(planned)
        wall, now = self._wall(), self._monotonic()
        statuses = {}
        unfollowed = await asyncio.to_thread(self._ladders.look, _parsed(planned.standings), wall)
        for key, standing in planned.standings.items():
            mine = figures.get(key, Counted()) if figures is not None else None
            coverage, useless = covered.get(key, Coverage()), unfollowed.get(key, ())
            seen = Seen(self.world.budgets[key], standing, coverage, mine, self._memory.blind, useless)
            statuses[key] = status_of(seen, wall)
        await self._statuses.write({key: (self.world.budgets[key], status) for key, status in statuses.items()}, now)

    def _survey(self, planned: Plan) -> Mapping[str, Coverage]:
        memory, now = self._memory, self._monotonic()
        parsed = _parsed(planned.standings)
        wanted = (self.world.moves, tuple(parsed))
        stale = memory.coverage is None or memory.surveyed != wanted
        if stale and now - memory.surveyed_at >= SURVEY_SECONDS:
            memory.coverage = survey(parsed, self.world, self._version)
            memory.surveyed, memory.surveyed_at = wanted, now
            self._metrics.mistaken.set(sum(s.mistake is not None for s in planned.standings.values()))
            self._metrics.surveyed(memory.coverage, self.world.without_sidecar())
        return memory.coverage or {}


def _parsed(standings: Mapping[str, Standing]) -> dict[str, Budget]:
    return {key: standing.budget for key, standing in standings.items() if standing.budget is not None}
