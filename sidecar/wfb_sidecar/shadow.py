"""What Enforce would have done in budgets that only report: each call is asked for once more, in windows that follow Enforce.

A shadow window has the budget's real limit and ladder, is shared by all pods like any other, and is charged only with the
calls that it would have let go: a call that would have been refused costs nothing there, so the ones after it are judged
as they would have been. A run that the caller named is asked first, in a book of the same kind. Nothing waits for the
answer; the call itself is on its way. Three things stay apart from Enforce: a call that would have waited is already
running, an answer that would have been cut short runs to its own end (the shadow is charged no more than its hold), and
what a program would have done after a refusal nobody knows.
"""

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

from wfb_core import reasons
from wfb_core.call import CallFacts
from wfb_core.decide import Refusal
from wfb_core.expectation import Expectations
from wfb_core.grants import EXHAUSTED, GRANTED, HELD, PACED, THROTTLED
from wfb_core.money import format_usd
from wfb_core.price import ModelPrice
from wfb_core.rates import total
from wfb_sidecar.books import Books
from wfb_sidecar.call import Call, Instead
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.evidence import evidence_of
from wfb_sidecar.named_runs import NamedRuns
from wfb_sidecar.run_queue import Room
from wfb_sidecar.scope import OpenWindow, Scope
from wfb_sidecar.sizing import UNKNOWN, Sizes, lowered, sizes_of, smaller, unbounded
from wfb_sidecar.till import Till

FIRST_NUMBER = 1 << 40
"""Shadows are numbered above every call of a process."""

MOST_OPEN = 2000
"""Calls whose shadow has no answer yet; past it calls are not shadowed, and that is counted."""

NOTICEABLE_SECONDS = 1.0
"""A shorter wait may be the ledger's answer alone, and is no finding."""

ATTEMPTS = 4
"""As often as a call itself would be lowered to what is left."""

WAITS = {
    PACED: (reasons.PACED, "it is in stage Slow"),
    THROTTLED: (reasons.THROTTLED, "it is exhausted, and its trickle lets calls through one after the other"),
    HELD: (reasons.MONEY_IN_FLIGHT, "the money left was held by calls in flight"),
}
"""Reason and text of a wait, by what stood in the way."""


RUN_WAITS = dict(WAITS.values())
"""Text of a wait for the run that the caller named, by its reason."""


@dataclass(slots=True)
class _Shadow:
    """One call as Enforce would have it."""

    call: Call
    scope: Scope
    windows: tuple[OpenWindow, ...]
    hold: int = 0
    would: Instead | None = None
    """The other model that Enforce would have asked, where it would."""
    granted: bool = False
    cost: int | None = None
    """What the call cost, at the other model's price where there is one; None while it runs."""
    task: "asyncio.Task[None] | None" = None


type Judge = Callable[[Call, tuple[OpenWindow, ...], str, int], Refusal]
"""(call, windows, the ledger's answer, least need) → what the refusal would have said."""


class Shadows:
    """The shadows of all calls."""

    def __init__(
        self,
        clock: LedgerClock,
        till: Till,
        books: Books,
        expectations: Expectations,
        runs: NamedRuns,
        judge: Judge,
    ) -> None:
        self._clock, self._till, self._books = clock, till, books
        self._expectations, self._runs, self._judge = expectations, runs, judge
        self._open: dict[int, _Shadow] = {}
        self.skipped = 0
        till.on_settled = self._settled

    def begin(self, scope: Scope, call: Call, price: ModelPrice) -> None:
        """The call was let go: asks what would have become of it in budgets that only report."""
        windows = scope.shadows(call.at)
        if not windows:
            return
        if len(self._open) >= MOST_OPEN:
            self.skipped += 1
            return
        shadow = self._open[call.id] = _Shadow(call, scope, windows, would=call.would)
        shadow.task = asyncio.get_running_loop().create_task(self._follow(shadow, price), name="shadow")

    async def end(self) -> None:
        """At shutdown: what has no answer yet is let be."""
        tasks = [shadow.task for shadow in self._open.values() if shadow.task and not shadow.task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _settled(self, call: int, cost: int) -> None:
        """The call itself has ended."""
        shadow = self._open.get(call)
        if shadow is None:
            return
        shadow.cost = _elsewhere(shadow, cost)
        if shadow.granted:
            self._close(shadow)

    async def _follow(self, shadow: _Shadow, price: ModelPrice) -> None:
        number = FIRST_NUMBER + shadow.call.id
        facts, price = (shadow.call.facts, price) if shadow.would is None else (shadow.would.facts, shadow.would.price)
        try:
            room = await self._runs.shadowed(shadow.call, shadow.scope, number, facts, price)
            if isinstance(room, Refusal):
                self._would_refuse(shadow, room)
                return
            budgets = [w.budget for w in shadow.windows]
            sizes = sizes_of(budgets, facts, price, self._expectations)
            if sizes is not None and facts.signed:
                sizes = sizes.strict()  # nothing may be written into it
            if sizes is None or (sizes.full == UNKNOWN and not sizes.clamps):
                self._would_refuse(shadow, unbounded(budgets[0], facts.model))
                return
            answer = await self._ask(shadow, number, sizes, facts, price, None if room is None else room.most)
            if answer == GRANTED:
                shadow.granted = True
                if room is not None:
                    self._note_run_wait(shadow, room)
                self._note_wait(shadow, number)
                if shadow.cost is not None:
                    self._close(shadow)
                return
            refusal = self._judge(_numbered(shadow.call, number), shadow.windows, answer, sizes.floor)
            self._would_refuse(shadow, refusal)
        finally:
            if not shadow.granted:
                self._open.pop(shadow.call.id, None)
                self._runs.settle(number, 0)

    async def _ask(
        self, shadow: _Shadow, number: int, sizes: Sizes, facts: CallFacts, price: ModelPrice, most: int | None
    ) -> str:
        """As the call itself would ask under Enforce, its hold lowered to what is left where that may be.

        ``most`` is what its run leaves it, None for one that no run limits.
        """
        wallet, windows = self._till.wallet, shadow.windows
        hold = lowered(wallet, self._clock.now(), sizes, windows) if sizes.clamps else sizes.full
        hold = hold if most is None else min(hold, max(sizes.floor, most))
        wait = max(w.budget.wait_seconds for w in windows)
        answer = EXHAUSTED
        for _ in range(ATTEMPTS):
            shadow.hold = hold
            expected = self._expectations.expected(facts, price, hold)
            answer = await self._till.ask(number, hold, expected, shadow.scope.shadow_ids, wait, shadow.scope.delay)
            less = smaller(wallet, self._clock.now(), answer, sizes, windows)
            if less is None or less >= hold:
                break
            hold = less
        return answer

    def _close(self, shadow: _Shadow) -> None:
        self._open.pop(shadow.call.id, None)
        self._till.settle(FIRST_NUMBER + shadow.call.id, min(shadow.cost or 0, shadow.hold))

    def _note_wait(self, shadow: _Shadow, number: int) -> None:
        wallet = self._till.wallet
        waited, obstacle = wallet.waited(number), wallet.obstacle(number)
        known = [(left, w) for w in shadow.windows if (left := wallet.left(w.id)) is not None]
        if waited < NOTICEABLE_SECONDS or not known:
            return
        named = [one for one in known if obstacle is not None and one[1].id == obstacle.window]
        left, window = min(named or known, key=lambda one: one[0])
        reason, why = WAITS[obstacle.way if obstacle is not None and obstacle.way in WAITS else HELD]
        limit = window.limit.nanos
        name = f"budget {window.budget.key} ({window.limit.window} limit ${format_usd(limit)})"
        text = f"would have waited {waited:.1f} s under Enforce: {name}: {why}"
        spent = wallet.spent(window.id)
        spent = limit - left if spent is None else spent
        self._record(shadow, Refusal(reason, text, 0, window.budget.key, window.limit.window, limit, spent))

    def _note_run_wait(self, shadow: _Shadow, room: Room) -> None:
        found = self._runs.reporting(shadow.call, shadow.scope)
        if room.waited < NOTICEABLE_SECONDS or found is None:
            return
        (budget, limit), run = found, shadow.call.named_run
        name = f"run {run} of budget {budget.key} ({limit.window} limit ${format_usd(limit.nanos)})"
        text = f"would have waited {room.waited:.1f} s under Enforce: {name}: {RUN_WAITS[room.reason]}"
        spent = self._runs.shadow.used(run)
        self._record(shadow, Refusal(room.reason, text, 0, budget.key, limit.window, limit.nanos, spent))

    def _would_refuse(self, shadow: _Shadow, refusal: Refusal) -> None:
        self._record(shadow, replace(refusal, message=f"would be refused under Enforce: {refusal.message}"))

    def _record(self, shadow: _Shadow, finding: Refusal) -> None:
        evidence = evidence_of(self._till, shadow.scope, shadow.call, finding, shadow.windows)
        self._books.record(finding, replace(shadow.call.entry, evidence=evidence), kind="finding")
        self._books.would(shadow.call.provider, finding.reason)


def _elsewhere(shadow: _Shadow, cost: int) -> int:
    """What the same tokens cost where Enforce would have had them made; what they did cost where that is not known."""
    usage = shadow.call.usage
    if shadow.would is None or usage is None:
        return cost
    rates = shadow.would.price.rates_for(usage.input_tokens, shadow.would.facts.tier)
    return cost if rates is None else total(usage, rates)


def _numbered(call: Call, number: int) -> Call:
    """The call under its shadow's number, by which the wallet knows what stood in its way."""
    found = copy.copy(call)
    found.id = number
    return found
