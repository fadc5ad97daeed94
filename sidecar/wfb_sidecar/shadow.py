"""What Enforce would have done in budgets that only report: each call is asked for once more, in windows that follow Enforce.

A shadow window has the budget's real limit and ladder, is shared by all pods like any other, and is charged only with the
calls that it would have let go: a call that would have been refused costs nothing there, so the ones after it are judged
as they would have been. Nothing waits for the answer; the call itself is on its way. Three things stay apart from Enforce:
a call that would have waited is already running, an answer that would have been cut short runs to its own end (the shadow
is charged no more than its hold), and what a program would have done after a refusal nobody knows.
"""

import asyncio
import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

from wfb_core import bounds, reasons
from wfb_core.budget import CLAMP, SLOW
from wfb_core.decide import Refusal
from wfb_core.expectation import Expectations
from wfb_core.grants import EXHAUSTED, GRANTED
from wfb_core.money import format_usd
from wfb_core.price import ModelPrice
from wfb_sidecar.books import Books
from wfb_sidecar.call import Call
from wfb_sidecar.evidence import evidence_of
from wfb_sidecar.scope import OpenWindow, Scope
from wfb_sidecar.till import Till

FIRST_NUMBER = 1 << 40
"""Shadows are numbered above every call of a process."""

MOST_OPEN = 2000
"""Calls whose shadow has no answer yet; past it calls are not shadowed, and that is counted."""

NOTICEABLE_SECONDS = 1.0
"""A shorter wait may be the ledger's answer alone, and is no finding."""

ATTEMPTS = 4
"""As often as a call itself would be lowered to what is left."""

UNBOUNDED = 1 << 62
"""Nothing bounds the answer: its cap would be lowered to what the money buys."""


@dataclass(slots=True)
class _Shadow:
    """One call as Enforce would have it."""

    call: Call
    scope: Scope
    windows: tuple[OpenWindow, ...]
    hold: int = 0
    granted: bool = False
    cost: int | None = None
    """What the call itself cost; None while it runs."""
    task: "asyncio.Task[None] | None" = None


type Judge = Callable[[Call, tuple[OpenWindow, ...], str, int], Refusal]
"""(call, windows, the ledger's answer, least need) → what the refusal would have said."""


class Shadows:
    """The shadows of all calls."""

    def __init__(self, till: Till, books: Books, expectations: Expectations, judge: Judge) -> None:
        self._till, self._books, self._expectations, self._judge = till, books, expectations, judge
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
        shadow = self._open[call.id] = _Shadow(call, scope, windows)
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
        shadow.cost = cost
        if shadow.granted:
            self._close(shadow)

    async def _follow(self, shadow: _Shadow, price: ModelPrice) -> None:
        number = FIRST_NUMBER + shadow.call.id
        try:
            floor = bounds.minimum(shadow.call.facts, price) or 0
            answer = await self._ask(shadow, number, floor, price)
            if answer == GRANTED:
                shadow.granted = True
                self._note_wait(shadow, self._till.wallet.waited(number))
                if shadow.cost is not None:
                    self._close(shadow)
                return
            refusal = self._judge(_numbered(shadow.call, number), shadow.windows, answer, floor)
            self._record(shadow, replace(refusal, message=f"would be refused under Enforce: {refusal.message}"))
        finally:
            if not shadow.granted:
                self._open.pop(shadow.call.id, None)

    async def _ask(self, shadow: _Shadow, number: int, floor: int, price: ModelPrice) -> str:
        """As the call itself would ask under Enforce, its hold lowered to what is left where that may be."""
        wallet, facts, budgets = self._till.wallet, shadow.call.facts, [w.budget for w in shadow.windows]
        ids = tuple(w.id for w in shadow.windows)
        limits = {w.id: w.limit.nanos for w in shadow.windows}
        clampable = all(b.output_bound == CLAMP for b in budgets)
        output = bounds.output_bound(facts, price)
        full = None if output is None else bounds.hold(facts, price, output)
        hold = full if full is not None else shadow.call.hold if not clampable else UNBOUNDED
        if clampable:
            hold = wallet.clamp(hold, floor, ids, limits)
        wait = max(b.wait_seconds for b in budgets)
        answer = EXHAUSTED
        for _ in range(ATTEMPTS):
            shadow.hold = hold
            expected = self._expectations.expected(facts, price, hold)
            answer = await self._till.ask(number, hold, expected, shadow.scope.shadow_ids, wait, shadow.scope.delay)
            if answer != EXHAUSTED or not clampable:
                break
            left = min((x for name in ids if (x := wallet.left(name)) is not None), default=None)
            if left is None or left >= hold or left < floor or hold <= floor:
                break
            hold = max(floor, min(left, wallet.clamp(hold, floor, ids, limits)))
        return answer

    def _close(self, shadow: _Shadow) -> None:
        self._open.pop(shadow.call.id, None)
        self._till.settle(FIRST_NUMBER + shadow.call.id, min(shadow.cost or 0, shadow.hold))

    def _note_wait(self, shadow: _Shadow, waited: float) -> None:
        wallet = self._till.wallet
        known = [(left, w) for w in shadow.windows if (left := wallet.left(w.id)) is not None]
        if waited < NOTICEABLE_SECONDS or not known:
            return
        left, tightest = min(known, key=lambda one: one[0])
        limit = tightest.limit.nanos
        slow = [r.at_percent for r in tightest.budget.ladder_of(tightest.limit) if r.action == SLOW]
        paced = bool(slow) and (limit - left) * 100 >= min(slow) * limit
        why = "it is in stage Slow" if paced else "the money left was held by calls in flight"
        text = f"would have waited {waited:.1f} s under Enforce: budget {tightest.budget.key} ({tightest.limit.window} limit ${format_usd(limit)}): {why}"
        reason = reasons.PACED if paced else reasons.MONEY_IN_FLIGHT
        self._record(shadow, Refusal(reason, text, 0, tightest.budget.key, tightest.limit.window, limit, limit - left))

    def _record(self, shadow: _Shadow, finding: Refusal) -> None:
        evidence = evidence_of(self._till, shadow.scope, shadow.call, finding, shadow.windows)
        self._books.record(finding, replace(shadow.call.entry, evidence=evidence), kind="finding")
        self._books.would(shadow.call.provider, finding.reason)


def _numbered(call: Call, number: int) -> Call:
    """The call under its shadow's number, by which the wallet knows what stood in its way."""
    found = copy.copy(call)
    found.id = number
    return found
