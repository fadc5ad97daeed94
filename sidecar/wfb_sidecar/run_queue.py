"""A book of named runs at work: what a call of a run may hold, how long it waits for its turn, and why it is refused."""

import asyncio
import contextlib
from dataclasses import dataclass
from math import ceil

from wfb_core import bounds, reasons
from wfb_core.budget import RUN, STRICT, Budget, Limit
from wfb_core.call import CallFacts
from wfb_core.decide import Refusal
from wfb_core.dialects.refusal import LONGEST
from wfb_core.expectation import Expectations
from wfb_core.money import format_usd
from wfb_core.price import ModelPrice
from wfb_core.run_pace import Held
from wfb_core.runs import Runs
from wfb_sidecar.clock import LedgerClock

TURNS = (reasons.PACED, reasons.THROTTLED)
"""What a call waits for as long as it may be delayed, and not only as long as for money in flight."""

TEXTS = {
    reasons.MONEY_IN_FLIGHT: "the money left is held by its own calls in flight",
    reasons.PACED: "it is in stage Slow, and this call's turn has not come",
    reasons.THROTTLED: "it is exhausted, and its trickle (onExhausted.usdPerHour) does not pay this call yet",
}

RETRY_LEAST = 2
"""Seconds of Retry-After: calls in flight take their time."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of a run as it asks for room; under its number it is held and settled."""

    run: str
    number: int
    facts: CallFacts
    price: ModelPrice
    deciding: tuple[Budget, ...]
    """Those whose outputBound says whether its cap may be lowered."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a run leaves a call."""

    most: int
    """The largest hold, nano-USD."""
    waited: float = 0.0
    """Seconds."""
    reason: str = ""
    """What it waited for last; empty where it did not wait."""


class RunQueue:
    """The runs of one book, and those of their calls that wait."""

    def __init__(self, clock: LedgerClock, expectations: Expectations) -> None:
        self._clock = clock
        self._expectations = expectations
        self._freed = asyncio.Event()
        self.runs = Runs()

    async def reserve(self, asked: Asked, budget: Budget, limit: Limit) -> Room | Refusal | None:
        """Holds money of the run for a call as soon as it may; None where nothing bounds the call."""
        facts, price, run = asked.facts, asked.price, asked.run
        clamps = all(b.output_bound != STRICT for b in asked.deciding) and not facts.signed
        floor, full = bounds.minimum(facts, price), bounds.most(facts, price)
        least = floor if clamps else full
        if floor is None or least is None:
            return None
        least = least if full is None else min(least, full)
        began, reason = self._clock.now(), ""
        while (held := self.runs.stands(run, now := self._clock.now(), budget, limit, least)) is not None:
            reason, turns = held.reason, held.reason in TURNS
            patience = began + (budget.max_delay_seconds if turns else budget.wait_seconds) - now
            if reason == reasons.BUDGET_EXHAUSTED or held.turn > patience:
                return self._refusal(run, budget, limit, least, held)
            if not await self._money_freed(held.turn if turns else patience) and not turns:
                return self._refusal(run, budget, limit, least, held)
        room = self.runs.room(run, limit.nanos) + self.runs.allowance(run, now, budget.trickle)
        most = max(least, room // 8) if clamps else least
        most = most if full is None else min(full, most)
        self.runs.hold(run, asked.number, most, self._expectations.expected(facts, price, most))
        return Room(most, now - began, reason)

    def settle(self, number: int, cost: int) -> str:
        """A call has cost so much, or was not made; returns its run, empty for one that holds nothing here."""
        run = self.runs.settle(number, cost)
        self._freed.set()
        return run

    async def _money_freed(self, seconds: float) -> bool:
        if seconds <= 0:
            return False
        self._freed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._freed.wait(), seconds)
            return True
        return False

    def _refusal(self, run: str, budget: Budget, limit: Limit, least: int, held: Held) -> Refusal:
        used = self.runs.used(run)
        exhausted = held.reason == reasons.BUDGET_EXHAUSTED
        text = f"this call needs ${format_usd(least)} at least" if exhausted else TEXTS[held.reason]
        left = format_usd(max(0, limit.nanos - used))
        return Refusal(
            held.reason,
            f"run {run} has ${left} left of the ${format_usd(limit.nanos)} that budget {budget.key}"
            f" gives one run: {text}",
            budget.refusal_status if exhausted else 429,
            budget.key,
            RUN,
            limit.nanos,
            used,
            retry_after=None if exhausted else min(max(RETRY_LEAST, ceil(held.turn)), LONGEST),
        )
