"""Runs that callers name with a header: what a call of one may cost, and what it did. The books themselves are in the core.

There are two books. One has what runs really spend, and holds them to limits that are enforced. The shadow has what they
would have spent had the budgets that only report been enforced as well: no call waits for it, and what would have been
refused costs nothing there.
"""

import asyncio
import logging

from wfb_core.budget import REPORT, Budget, Limit
from wfb_core.call import CallFacts
from wfb_core.decide import Refusal
from wfb_core.expectation import Expectations
from wfb_core.price import ModelPrice
from wfb_core.runs import Runs, remembered, run_limit, run_limits, run_name
from wfb_core.standing import Standing
from wfb_sidecar.books import Books
from wfb_sidecar.call import Call
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.metrics import Metrics
from wfb_sidecar.run_queue import Asked, Room, RunQueue
from wfb_sidecar.scope import Scope
from wfb_sidecar.terms import Terms
from wfb_sidecar.till import Till

log = logging.getLogger(__name__)


class NamedRuns:
    """All named runs of this sidecar. After a restart each begins anew: they are limited only below another limit."""

    def __init__(
        self, clock: LedgerClock, terms: Terms, till: Till, books: Books, expectations: Expectations, metrics: Metrics
    ) -> None:
        self._clock, self._terms, self._books, self._metrics = clock, terms, books, metrics
        self._queue, self._shadow = RunQueue(clock, expectations), RunQueue(clock, expectations)
        self.runs, self.shadow = self._queue.runs, self._shadow.runs
        till.on_settle = self.settle

    def join(self, call: Call, scope: Scope, header: str) -> None:
        """Puts a call into the run that its header names; a header that names none is left aside and counted."""
        if not header:
            return
        try:
            name = run_name(header)
        except ValueError:
            self._metrics.run_headers_ignored.inc()
            return
        before, now, age = self.runs.shared, self._clock.now(), remembered(scope.budgets)
        call.named_run = self.runs.enter(name, now, age)
        self._metrics.calls_in_other_run.inc(self.runs.shared - before)
        if self.reporting(call, scope) is not None:
            self.shadow.enter(call.named_run, now, age)
        call.run = f"{scope.run}/{call.named_run}" if scope.run else call.named_run

    def limit(self, call: Call, scope: Scope) -> tuple[Budget, Limit] | None:
        """What the call's run is held to; a pod with a run of its own is held to that instead."""
        return None if scope.run or not call.named_run else run_limit(scope.budgets)

    def reporting(self, call: Call, scope: Scope) -> tuple[Budget, Limit] | None:
        """What it would be held to, were the budgets that only report enforced."""
        return None if scope.run or not call.named_run else run_limit(scope.budgets, REPORT)

    def standings(self, call: Call, scope: Scope) -> list[Standing]:
        """How the call's run stands on its own ladders; nothing where no limit holds it."""
        return self._standings(call, scope, self.runs)

    def enforced_standings(self, call: Call, scope: Scope) -> list[Standing]:
        """The same; in a budget that only reports, as it would stand under Enforce."""
        return self._standings(call, scope, self.shadow)

    def _standings(self, call: Call, scope: Scope, reporting: Runs) -> list[Standing]:
        found = (self.limit(call, scope), self.runs), (self.reporting(call, scope), reporting)
        return [Standing(*limit, book.used(call.named_run)) for limit, book in found if limit is not None]

    async def reserve(self, call: Call, scope: Scope, price: ModelPrice) -> Refusal | None:
        """Reserves money within the run's limit, and waits for its turn or for what its calls in flight may give back."""
        found = self.limit(call, scope)
        if found is None:
            if call.named_run and not scope.run:
                self.runs.hold(call.named_run, call.id, 0)  # nothing stops it, and what it spends is told
            return None
        deciding = tuple(b for b in scope.budgets if b.enforcement != REPORT)
        asked = Asked(call.named_run, call.id, call.facts, price, deciding)
        call.waiter = asyncio.current_task()
        try:
            room = await self._queue.reserve(asked, *found)
        finally:
            call.waiter = None
        if isinstance(room, Refusal):
            self._tell(call.named_run)  # where it could not be told when the run came to it
            return room
        if room is not None:
            call.hold_most = room.most
        return None

    async def shadowed(
        self, call: Call, scope: Scope, number: int, facts: CallFacts, price: ModelPrice
    ) -> Room | Refusal | None:
        """The same of the shadow, for a call that is on its way; None where no budget that reports limits its run.

        ``facts`` and ``price`` are of the call as Enforce would have it, ``number`` is what it is settled under.
        """
        found = self.reporting(call, scope)
        if found is None:
            return None
        deciding = tuple(b for b in scope.budgets if b.enforcement == REPORT)
        return await self._shadow.reserve(Asked(call.named_run, number, facts, price, deciding), *found)

    def settle(self, number: int, cost: int) -> None:
        """A call, or the shadow of one, has cost so much, or was not made; one that reserved nothing changes nothing."""
        run = self._queue.settle(number, cost)
        self._shadow.settle(number, cost)
        if run:
            self._tell(run)

    def _tell(self, run: str) -> None:
        """Tells the ledger what the run has reached. Never raises: money is settled whatever becomes of it."""
        scope = self._terms.scope
        if scope is None or scope.run:
            return
        try:
            for budget, limit in run_limits(scope.budgets):
                reached = self.runs.reached(run, budget, limit)
                if reached is not None and self._books.run_reached(run, budget, limit, reached):
                    self.runs.told(run, budget)
        except Exception:
            log.exception("what a named run has reached could not be told")
            self._metrics.internal_errors.inc()
