"""Holding money for a call: how much, for how long it waits, how far its cap is lowered, and why it was refused."""

import asyncio
import time
from math import ceil
from typing import Any

from wfb_core import bounds, reasons
from wfb_core.budget import IGNORE, REPORT
from wfb_core.decide import Refusal
from wfb_core.dialects.refusal import LONGEST, SHORTEST
from wfb_core.expectation import Expectations
from wfb_core.grants import BUSY, EXHAUSTED, GRANTED, PACED, STUCK, THROTTLED, TIMED_OUT
from wfb_core.model_names import same_form
from wfb_core.money import format_usd
from wfb_core.price import ModelPrice
from wfb_core.selectors import model_allowed
from wfb_sidecar.books import Books
from wfb_sidecar.call import Call
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.evidence import evidence_of
from wfb_sidecar.named_runs import NamedRuns
from wfb_sidecar.scope import OpenWindow, Scope, unlimited
from wfb_sidecar.shadow import Shadows
from wfb_sidecar.sizing import UNKNOWN, lowered, sizes_of, smaller, unbounded
from wfb_sidecar.terms import Terms
from wfb_sidecar.till import Till

ATTEMPTS = 4
"""How often a call's cap is lowered to what is left before it is refused: each time the ledger has just said what is."""

REPORT_SECONDS = 5.0
"""How long a call waits for a ledger where every budget only reports: it goes in any case."""

TURNS = {
    PACED: (reasons.PACED, "it is in stage Slow, and this call's turn has not come; wait, or raise the limit"),
    THROTTLED: (
        reasons.THROTTLED,
        "it is exhausted, and its trickle (onExhausted.usdPerHour) does not pay this call yet; wait, or raise the limit",
    ),
}
"""Reason and text where a window lets calls through one after the other."""


class Holding:
    """Asks the till for calls."""

    def __init__(
        self,
        clock: LedgerClock,
        till: Till,
        books: Books,
        expectations: Expectations,
        terms: Terms,
        runs: NamedRuns,
    ) -> None:
        self._clock = clock
        self._till = till
        self._books = books
        self._expectations = expectations
        self._terms = terms
        self.shadows = Shadows(clock, till, books, expectations, runs, self._by_answer)

    async def hold(self, scope: Scope, call: Call, price: ModelPrice, document: dict[str, Any]) -> Refusal | bool:
        """Holds money for the call, its cap lowered where need be; True when the document was changed."""
        facts, till = call.facts, self._till
        windows = scope.windows(call.at)
        enforced = tuple(w for w in windows if not unlimited(w.budget))
        deciding = tuple(b for b in scope.budgets if b.enforcement != REPORT)
        sizes = sizes_of(deciding, facts, price, self._expectations)
        if sizes is None:
            return unbounded(deciding[0], facts.model)
        at_most = 0.0 if till.wallet.silent(self._clock.now()) else REPORT_SECONDS
        wait = max((b.wait_seconds for b in deciding), default=at_most)
        call.input_cost = bounds.hold(facts, price, 0) or 0
        changed, hold = False, sizes.floor if sizes.full == UNKNOWN else sizes.full
        if enforced and sizes.clamps:
            hold = lowered(till.wallet, self._clock.now(), sizes, enforced)
        if call.hold_most is not None:
            hold = min(hold, max(sizes.floor, call.hold_most))
        for _ in range(ATTEMPTS):
            if enforced and hold < sizes.full:
                cap = max(bounds.affordable_output(facts, price, hold), 1)
                if call.dialect.clamp(document, facts, cap):
                    changed, call.cap = True, cap
                elif sizes.full == UNKNOWN:
                    return unbounded(deciding[0], facts.model)  # nothing may be written into it, and nothing bounds it
                else:
                    hold, sizes = sizes.full, sizes.strict()
            call.hold = hold
            expected = self._expectations.expected(facts, price, hold)
            call.waiter, asked = asyncio.current_task(), time.perf_counter()
            try:
                answer = await till.ask(call.id, hold, expected, scope.ids, wait, scope.delay)
            finally:
                call.waiter = None
                call.waited += time.perf_counter() - asked
            less = smaller(till.wallet, self._clock.now(), answer, sizes, enforced)
            if less is None or less >= hold:
                break
            hold = less
        if answer == GRANTED:
            call.at = self._clock.now()
            self.shadows.begin(scope, call, price)
            return changed
        if not deciding and till.wallet.overdraw(
            self._clock.now(), call.id, call.hold, call.hold, scope.ids(self._clock.now())
        ):
            return changed
        if answer == TIMED_OUT and till.wallet.silent(self._clock.now()):
            if all(b.failure_policy == IGNORE for b in deciding) and till.wallet.overdraw(
                self._clock.now(), call.id, call.hold, call.hold, scope.ids(self._clock.now())
            ):
                return changed
            return self._money_refusal(
                call, enforced, reasons.LEDGER_UNREACHABLE, 429, "no ledger answers and the money at hand is gone", 5
            )
        return self._by_answer(call, enforced, answer, sizes.floor)

    def evidence(self, scope: Scope, call: Call, refusal: Refusal) -> str:
        """What a decision on the call was made from, as JSON."""
        return evidence_of(self._till, scope, call, refusal)

    def _by_answer(self, call: Call, windows: tuple[OpenWindow, ...], answer: str, floor: int) -> Refusal:
        if answer == EXHAUSTED:
            return self._money_refusal(
                call, windows, reasons.BUDGET_EXHAUSTED, None, f"this call needs ${format_usd(floor)} at least", None
            )
        obstacle = self._till.wallet.obstacle(call.id)
        if answer in {TIMED_OUT, BUSY} and obstacle is not None and obstacle.way in TURNS:
            reason, text = TURNS[obstacle.way]
            after = min(max(SHORTEST, ceil(obstacle.turn)), LONGEST)
            return self._money_refusal(call, windows, reason, 429, text, after)
        reason, text, after = {
            TIMED_OUT: (reasons.MONEY_IN_FLIGHT, "the money left is held by calls in flight", 2),
            BUSY: (reasons.QUEUE_FULL, "too many calls wait for the money left", 5),
            STUCK: (reasons.HOLDERS_LOST, "the money left is held by sidecars that have gone silent", 60),
        }[answer]
        return self._money_refusal(call, windows, reason, 429, text, after)

    def _decisive(self, call: Call, windows: tuple[OpenWindow, ...]) -> OpenWindow | None:
        """The window that decided, as the ledger says; the one with the least left where it did not say."""
        obstacle = self._till.wallet.obstacle(call.id)
        if obstacle is not None and (named := next((w for w in windows if w.id == obstacle.window), None)):
            return named
        known = [(left, w) for w in windows if (left := self._till.wallet.left(w.id)) is not None]
        return min(known, key=lambda one: one[0])[1] if known else None

    def _money_refusal(
        self,
        call: Call,
        windows: tuple[OpenWindow, ...],
        reason: str,
        status: int | None,
        text: str,
        retry_after: int | None,
    ) -> Refusal:
        tightest = self._decisive(call, windows)
        left = None if tightest is None else self._till.wallet.left(tightest.id)
        if tightest is None or left is None:
            budget = tightest.budget if tightest else windows[0].budget if windows else None
            return Refusal(reason, text, status or 402, budget.key if budget else "", retry_after=retry_after)
        limit = tightest.limit.nanos
        name = f"{tightest.budget.key} ({tightest.limit.window} limit ${format_usd(limit)})"
        spent = self._till.wallet.spent(tightest.id)
        spent = limit - left if spent is None else spent
        return Refusal(
            reason,
            f"budget {name} has ${format_usd(max(0, left))} left: {text}",
            status or tightest.budget.refusal_status,
            tightest.budget.key,
            tightest.limit.window,
            limit,
            spent,
            tightest.end if tightest.end != float("inf") else None,
            retry_after,
            self._suggest(call, windows, left),
        )

    def _suggest(self, call: Call, windows: tuple[OpenWindow, ...], left: int) -> str | None:
        """A cheaper model of the same provider that would be let through, and that the money left would still pay."""
        prices, facts = self._terms.prices, call.facts
        if prices is None:
            return None
        for model in prices.cheaper(call.provider, facts.model, call.at):
            if not same_form(facts.dialect, facts.model, model):
                continue
            if not all(model_allowed(w.budget, model) for w in windows):
                continue
            price = prices.find(call.provider, model, call.at)
            # Where a signature forbids to lower its cap a call needs all that it can cost.
            needs = bounds.most if facts.signed else bounds.minimum
            least = None if price is None else needs(facts, price)
            if least is not None and least <= left:
                return model
        return None
