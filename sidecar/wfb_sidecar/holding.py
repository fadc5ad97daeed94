"""Holding money for a call: how much, for how long it waits, how far its cap is lowered, and why it was refused."""

import asyncio
import time
from dataclasses import dataclass
from math import ceil
from typing import Any

from wfb_core import bounds, reasons
from wfb_core.budget import ADAPTIVE, IGNORE, REPORT, STRICT, Budget
from wfb_core.call import CallFacts
from wfb_core.decide import Refusal
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
from wfb_sidecar.scope import OpenWindow, Scope, unlimited
from wfb_sidecar.shadow import Shadows
from wfb_sidecar.terms import Terms
from wfb_sidecar.till import Till

ATTEMPTS = 4
"""How often a call's cap is lowered to what is left before it is refused: each time the ledger has just said what is."""

RETRY_MOST = 59
"""The longest Retry-After, in seconds, for a turn that comes later: every SDK obeys up to this."""

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


UNKNOWN = 1 << 62
"""The full hold of a call that only a cap of ours bounds."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What one call may hold, nano-USD."""

    full: int
    """All that it can cost; UNKNOWN where nothing says."""
    floor: int
    """The least worth holding."""
    usual: int | None
    """Adaptive: what 99 of 100 of its model's recent answers stayed within; None before enough are seen."""
    clamps: bool
    """Whether its cap may be lowered."""

    def strict(self) -> "_Sizes":
        """Nothing is lowered: it needs all."""
        return _Sizes(self.full, self.full, None, clamps=False)


class Holding:
    """Asks the till for calls."""

    def __init__(self, clock: LedgerClock, till: Till, books: Books, expectations: Expectations, terms: Terms) -> None:
        self._clock = clock
        self._till = till
        self._books = books
        self._expectations = expectations
        self._terms = terms
        self.shadows = Shadows(till, books, expectations, self._by_answer)

    async def hold(self, scope: Scope, call: Call, price: ModelPrice, document: dict[str, Any]) -> Refusal | bool:
        """Holds money for the call, its cap lowered where need be; True when the document was changed."""
        facts, till = call.facts, self._till
        windows = scope.windows(call.at)
        enforced = tuple(w for w in windows if not unlimited(w.budget))
        deciding = tuple(b for b in scope.budgets if b.enforcement != REPORT)
        sizes = self._sizes(deciding, call, price)
        if sizes is None:
            return _unbounded(deciding[0], call)
        at_most = 0.0 if till.wallet.silent(self._clock.now()) else REPORT_SECONDS
        wait = max((b.wait_seconds for b in deciding), default=at_most)
        call.input_cost = bounds.hold(facts, price, 0) or 0
        changed, hold = False, sizes.floor if sizes.full == UNKNOWN else sizes.full
        if enforced and sizes.clamps:
            hold = self._lowered(sizes, enforced)
        if call.hold_most is not None:
            hold = min(hold, max(sizes.floor, call.hold_most))
        for _ in range(ATTEMPTS):
            if enforced and hold < sizes.full:
                cap = max(bounds.affordable_output(facts, price, hold), 1)
                if call.dialect.clamp(document, facts, cap):
                    changed, call.cap = True, cap
                elif sizes.full == UNKNOWN:
                    return _unbounded(deciding[0], call)  # nothing may be written into it, and nothing bounds it
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
            smaller = self._smaller(answer, sizes, enforced)
            if smaller is None or smaller >= hold:
                break
            hold = smaller
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

    def _sizes(self, deciding: tuple[Budget, ...], call: Call, price: ModelPrice) -> "_Sizes | None":
        """What the call may hold; None where nothing bounds it, nothing may be written into it, and somebody minds."""
        facts = call.facts
        modes = {b.output_bound for b in deciding}
        output, least = bounds.output_bound(facts, price), bounds.minimum(facts, price)
        full = None if output is None else bounds.hold(facts, price, output)
        clamps = STRICT not in modes
        if deciding and (least is None or (full is None and not clamps)):
            return None
        p99 = self._expectations.output_p99(facts) if ADAPTIVE in modes else None
        usual = None if p99 is None else bounds.hold(facts, price, p99)
        sizes = _Sizes(UNKNOWN if full is None else full, least or 0, usual, clamps)
        return sizes if clamps else sizes.strict()

    def _lowered(self, sizes: "_Sizes", enforced: tuple[OpenWindow, ...]) -> int:
        """The hold down to which an answer's cap is cut as money stands now; the full one while the limit is far."""
        wallet = self._till.wallet
        hold = wallet.clamp(sizes.full, sizes.floor, _ids(enforced), _limits(enforced))
        if hold < sizes.full and sizes.usual is not None:
            hold = max(sizes.floor, min(hold, sizes.usual))
        if wallet.silent(self._clock.now()) and hold > (at_hand := wallet.at_hand(_ids(enforced))):
            hold = max(sizes.floor, at_hand // 2)  # nobody grants more: what is here has to serve the next call too
        return hold

    def _smaller(self, answer: str, sizes: "_Sizes", enforced: tuple[OpenWindow, ...]) -> int | None:
        """The hold to try next after an answer; None where no smaller one would help."""
        if not sizes.clamps or not enforced:
            return None
        if answer == TIMED_OUT and self._till.wallet.silent(self._clock.now()):
            return self._lowered(sizes, enforced)
        left = min((x for w in enforced if (x := self._till.wallet.left(w.id)) is not None), default=None)
        if answer != EXHAUSTED or left is None or left < sizes.floor:
            return None
        return max(sizes.floor, min(left, self._lowered(sizes, enforced)))

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
            after = min(max(1, ceil(obstacle.turn)), RETRY_MOST)
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
            least = None if price is None else _least(facts, price)
            if least is not None and least <= left:
                return model
        return None


def _unbounded(budget: Budget, call: Call) -> Refusal:
    return Refusal(
        reasons.UNBOUNDED,
        f"neither the request nor the price table bounds the cost of {call.facts.model!r}; set an output cap,"
        f" or outputBound Clamp in budget {budget.key}",
        budget.refusal_status,
        budget=budget.key,
    )


def _least(facts: CallFacts, price: ModelPrice) -> int | None:
    """The least that a call needs at a price: all of it where a signature forbids to lower its cap."""
    if not facts.signed:
        return bounds.minimum(facts, price)
    output = bounds.output_bound(facts, price)
    return None if output is None else bounds.hold(facts, price, output)


def _ids(windows: tuple[OpenWindow, ...]) -> tuple[str, ...]:
    return tuple(w.id for w in windows)


def _limits(windows: tuple[OpenWindow, ...]) -> dict[str, int]:
    return {w.id: w.limit.nanos for w in windows}
