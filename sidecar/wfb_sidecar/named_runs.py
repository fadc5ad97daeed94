"""Runs that callers name with a header: what a call of one may cost, and what it did. The book itself is in the core."""

import asyncio
import contextlib

from wfb_core import bounds, reasons
from wfb_core.budget import CLAMP, RUN, Budget, Limit
from wfb_core.decide import Refusal
from wfb_core.money import format_usd
from wfb_core.price import ModelPrice
from wfb_core.runs import Runs, remembered, run_limit, run_name
from wfb_sidecar.call import Call
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.metrics import Metrics
from wfb_sidecar.scope import Scope
from wfb_sidecar.till import Till


class NamedRuns:
    """All named runs of this sidecar. After a restart each begins anew: they are limited only below another limit."""

    def __init__(self, clock: LedgerClock, till: Till, metrics: Metrics) -> None:
        self._clock = clock
        self._metrics = metrics
        self._freed = asyncio.Event()
        self.runs = Runs()
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
        before = self.runs.shared
        call.named_run = self.runs.enter(name, self._clock.now(), remembered(scope.budgets))
        self._metrics.calls_in_other_run.inc(self.runs.shared - before)
        call.run = f"{scope.run}/{call.named_run}" if scope.run else call.named_run

    async def reserve(self, call: Call, scope: Scope, price: ModelPrice) -> Refusal | None:
        """Reserves money within the run's limit, and waits for what its own calls in flight may give back."""
        found = None if scope.run or not call.named_run else run_limit(scope.budgets)
        if found is None:
            return None
        budget, limit = found
        clampable = all(b.output_bound == CLAMP for b in scope.budgets)
        floor = bounds.minimum(call.facts, price)
        output = bounds.output_bound(call.facts, price)
        full = None if output is None else bounds.hold(call.facts, price, output)
        least = floor if clampable else full
        if floor is None or least is None:
            return None  # nothing bounds it: holding says so
        least = least if full is None else min(least, full)
        until = self._clock.now() + budget.wait_seconds
        while (room := self.runs.room(call.named_run, limit.nanos)) < least:
            if limit.nanos - self.runs.used(call.named_run) < least:
                return self._refusal(call, budget, limit, least)
            if not await self._money_freed(call, until - self._clock.now()):
                text = "the money left is held by its own calls in flight"
                return self._refusal(call, budget, limit, least, reasons.MONEY_IN_FLIGHT, text)
        call.hold_most = max(least, room // 8) if clampable else least
        if full is not None:
            call.hold_most = min(full, call.hold_most)
        self.runs.hold(call.named_run, call.id, call.hold_most)
        return None

    def settle(self, call: int, cost: int) -> None:
        """A call has cost so much, or was not made; one that reserved nothing changes nothing."""
        self.runs.settle(call, cost)
        self._freed.set()

    async def _money_freed(self, call: Call, seconds: float) -> bool:
        if seconds <= 0:
            return False
        self._freed.clear()
        call.waiter = asyncio.current_task()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._freed.wait(), seconds)
                return True
            return False
        finally:
            call.waiter = None

    def _refusal(
        self,
        call: Call,
        budget: Budget,
        limit: Limit,
        least: int,
        reason: str = reasons.BUDGET_EXHAUSTED,
        text: str = "",
    ) -> Refusal:
        used = self.runs.used(call.named_run)
        exhausted = reason == reasons.BUDGET_EXHAUSTED
        text = text or f"this call needs ${format_usd(least)} at least"
        left = format_usd(max(0, limit.nanos - used))
        return Refusal(
            reason,
            f"run {call.named_run} has ${left} left of the ${format_usd(limit.nanos)} that budget {budget.key}"
            f" gives one run: {text}",
            budget.refusal_status if exhausted else 429,
            budget.key,
            RUN,
            limit.nanos,
            used,
            retry_after=None if exhausted else 2,
        )
