"""Runs that callers name with a header: what a call of one may cost, and what it did. The book itself is in the core."""

import asyncio
import contextlib
from math import ceil

from wfb_core import bounds, reasons
from wfb_core.budget import RUN, STRICT, Budget, Limit
from wfb_core.decide import Refusal
from wfb_core.dialects.refusal import LONGEST
from wfb_core.expectation import Expectations
from wfb_core.money import format_usd
from wfb_core.price import ModelPrice
from wfb_core.run_pace import Held
from wfb_core.runs import Runs, remembered, run_limit, run_name
from wfb_core.standing import Standing
from wfb_sidecar.call import Call
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.metrics import Metrics
from wfb_sidecar.scope import Scope
from wfb_sidecar.till import Till

TURNS = (reasons.PACED, reasons.THROTTLED)
"""What a call waits for as long as it may be delayed, and not only as long as for money in flight."""

TEXTS = {
    reasons.MONEY_IN_FLIGHT: "the money left is held by its own calls in flight",
    reasons.PACED: "it is in stage Slow, and this call's turn has not come",
    reasons.THROTTLED: "it is exhausted, and its trickle (onExhausted.usdPerHour) does not pay this call yet",
}

RETRY_LEAST = 2
"""Seconds of Retry-After: calls in flight take their time."""


class NamedRuns:
    """All named runs of this sidecar. After a restart each begins anew: they are limited only below another limit."""

    def __init__(self, clock: LedgerClock, till: Till, expectations: Expectations, metrics: Metrics) -> None:
        self._clock = clock
        self._expectations = expectations
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

    def standings(self, call: Call, scope: Scope) -> list[Standing]:
        """How the call's run stands on its own ladder; nothing where no limit holds it."""
        found = self._limit(call, scope)
        return [] if found is None else [Standing(*found, self.runs.used(call.named_run))]

    async def reserve(self, call: Call, scope: Scope, price: ModelPrice) -> Refusal | None:
        """Reserves money within the run's limit, and waits for its turn or for what its calls in flight may give back."""
        found = self._limit(call, scope)
        if found is None:
            return None
        budget, limit = found
        clamps = all(b.output_bound != STRICT for b in scope.budgets) and not call.facts.signed
        floor, full = bounds.minimum(call.facts, price), bounds.most(call.facts, price)
        least = floor if clamps else full
        if floor is None or least is None:
            return None  # nothing bounds it: holding says so
        least = least if full is None else min(least, full)
        began = self._clock.now()
        while (held := self.runs.stands(call.named_run, now := self._clock.now(), budget, limit, least)) is not None:
            turns = held.reason in TURNS
            patience = began + (budget.max_delay_seconds if turns else budget.wait_seconds) - now
            if held.reason == reasons.BUDGET_EXHAUSTED or held.turn > patience:
                return self._refusal(call, budget, limit, least, held)
            if not await self._money_freed(call, held.turn if turns else patience) and not turns:
                return self._refusal(call, budget, limit, least, held)
        room = self.runs.room(call.named_run, limit.nanos) + self.runs.allowance(call.named_run, now, budget.trickle)
        call.hold_most = max(least, room // 8) if clamps else least
        if full is not None:
            call.hold_most = min(full, call.hold_most)
        expected = self._expectations.expected(call.facts, price, call.hold_most)
        self.runs.hold(call.named_run, call.id, call.hold_most, expected)
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

    def _limit(self, call: Call, scope: Scope) -> tuple[Budget, Limit] | None:
        """What the run is held to; a pod with a run of its own is held to that instead."""
        return None if scope.run or not call.named_run else run_limit(scope.budgets)

    def _refusal(self, call: Call, budget: Budget, limit: Limit, least: int, held: Held) -> Refusal:
        used = self.runs.used(call.named_run)
        exhausted = held.reason == reasons.BUDGET_EXHAUSTED
        text = f"this call needs ${format_usd(least)} at least" if exhausted else TEXTS[held.reason]
        left = format_usd(max(0, limit.nanos - used))
        return Refusal(
            held.reason,
            f"run {call.named_run} has ${left} left of the ${format_usd(limit.nanos)} that budget {budget.key}"
            f" gives one run: {text}",
            budget.refusal_status if exhausted else 429,
            budget.key,
            RUN,
            limit.nanos,
            used,
            retry_after=None if exhausted else min(max(RETRY_LEAST, ceil(held.turn)), LONGEST),
        )
