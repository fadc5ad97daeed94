"""The guard against loops at work: shows it every call, waits where it says so, and tells the ledger what it saw."""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from typing import Any

from wfb_core import reasons
from wfb_core.budget import OFF
from wfb_core.decide import Refusal
from wfb_core.expectation import Expectations
from wfb_core.loops import Asked, LoopGuard, Sighting, Usual, sketch_of, unit_of
from wfb_core.wire import RunFigures
from wfb_sidecar.books import Books, Entry
from wfb_sidecar.call import Call
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.metrics import Metrics
from wfb_sidecar.scope import Scope

log = logging.getLogger(__name__)

WITHOUT_BOUND = 1 << 62
"""A hold that bounds no expectation."""


class LoopWatch:
    """One pod's guard, and its key: both live in this process alone."""

    def __init__(
        self, clock: LedgerClock, books: Books, expectations: Expectations, metrics: Metrics, pod: str
    ) -> None:
        """``pod`` is what the holder's name begins with: the ledger names the hours of a pod without a run by it."""
        self.guard = LoopGuard()
        self._clock = clock
        self._books = books
        self._expectations = expectations
        self._metrics = metrics
        self._pod = pod
        self._key = secrets.token_bytes(32)

    def hear(self, figures: RunFigures | None) -> None:
        """What the ledger says of runs like this one, and of this one's other pods."""
        if figures is None:
            return
        if not self.guard.unit:
            self.guard.begin(figures.unit)
        usual = Usual(figures.median, figures.sample, figures.rate) if figures.sample else None
        self.guard.hear(figures.unit, usual, figures.others, figures.own)

    async def judge(self, scope: Scope, call: Call, document: Mapping[str, Any]) -> Refusal | None:
        """Refuses a call, or holds it back, or lets it go on; in the last two cases it counts from now on."""
        if not any(budget.loops.action != OFF for budget in scope.budgets):
            return None
        now = self._clock.now()
        self.guard.begin(unit_of(scope.run, self._pod, now))
        asked = Asked(sketch_of(document, self._key), call.retry, call.facts.input_bytes, self._expected(call))
        verdict = self.guard.judge(now, scope.budgets, scope.workflow, asked)
        self._tell(verdict.sightings, call)
        for reported in verdict.reported:
            self._books.record(reported, Entry(call.provider, call.facts.model), kind="finding")
        if verdict.refusal is not None:
            self._metrics.loop_calls.labels("refused").inc()
            return verdict.refusal
        call.loop = self.guard.enter(now, asked, verdict)
        if verdict.probes:
            self._metrics.loop_calls.labels("tried").inc()
        if verdict.delay:
            self._metrics.loop_calls.labels("slowed").inc()
            call.waiter = asyncio.current_task()
            try:
                await asyncio.sleep(verdict.delay)
            finally:
                call.waiter = None
        return None

    def settled(self, call: Call, cost: int, *, failed: bool = False, made: bool = True) -> None:
        """What a call cost that was let go. Never raises: money is settled whatever becomes of the guard."""
        if call.loop is None:
            return
        try:
            self._tell(self.guard.settle(call.loop, cost, failed=failed, made=made), call)
        except Exception:
            log.exception("the guard against loops failed on a settled call")
            self._metrics.internal_errors.inc()

    def _expected(self, call: Call) -> int:
        if call.price is None:
            return 0
        return self._expectations.expected(call.facts, call.price, WITHOUT_BOUND)

    def _tell(self, sightings: tuple[Sighting, ...], call: Call) -> None:
        for seen in sightings:
            found = Refusal(
                seen.reason, seen.message, 0, budget=seen.budget, limit=min(seen.stops_at, 2**62), spent=seen.spent
            )
            self._books.record(found, Entry(call.provider, call.facts.model), kind="finding")
            if seen.reason == reasons.LOOP_FLAGGED:
                self._metrics.loop_calls.labels("flagged").inc()
