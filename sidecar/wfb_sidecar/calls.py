"""The life of a call in the pod: read, decided, held, forwarded, settled. Every path out of here settles exactly once."""

import asyncio
import datetime
import itertools
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wfb_core import bounds, reasons
from wfb_core.budget import CLAMP, CLOSE, IGNORE, READ_ON, SLOW
from wfb_core.call import CallFacts
from wfb_core.decide import Refusal, decide, priced_as
from wfb_core.dialects import DIALECTS, Answer, AnswerReader, Dialect, NotUnderstood, serialise
from wfb_core.expectation import Expectations
from wfb_core.grants import BUSY, EXHAUSTED, GRANTED, STUCK, TIMED_OUT
from wfb_core.hosts import HostRow, Route
from wfb_core.money import format_usd
from wfb_core.price import ModelPrice, PriceBook, Rates, cost
from wfb_core.settle import COMPLETE, CUT, FAILED, LEFT, Seen, Settlement, estimate, exact, nothing
from wfb_core.usage import Usage
from wfb_core.wire import DecisionRecord, UsageRow
from wfb_sidecar.body_gate import LARGEST
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.metrics import Metrics
from wfb_sidecar.providers import refusal_dialect
from wfb_sidecar.scope import OpenWindow, Scope, unlimited
from wfb_sidecar.till import Till

log = logging.getLogger(__name__)

ATTEMPTS = 4
"""How often a call's cap is lowered to what is left before it is refused: each time the ledger has just said what is."""

PACED_SECONDS = 30
"""Retry-After in stage Slow: every SDK obeys up to 60."""

OUTCOMES = {COMPLETE: "ok", CUT: "cut", LEFT: "disconnected", FAILED: "error"}


@dataclass(slots=True)
class Call:
    """One HTTP attempt: what it holds and what is known of its answer."""

    id: int
    decision: str
    provider: str
    facts: CallFacts
    dialect: Dialect
    price: ModelPrice | None
    rates: Rates | None
    at: float
    """Ledger time of admission."""
    hold: int = 0
    input_cost: int = 0
    cap: int | None = None
    billed_whole: bool | None = None
    reader: AnswerReader | None = None
    forwarded: bool = False
    settled: bool = False
    first_byte: float = 0.0
    last_byte: float = 0.0
    waiter: "asyncio.Task[Any] | None" = None
    left: bool = False
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call may go, with this body."""

    call: Call
    body: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer to give instead of the provider's."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reason: str


class Calls:
    """All calls of this sidecar."""

    def __init__(self, clock: LedgerClock, till: Till, metrics: Metrics) -> None:
        self._clock = clock
        self._till = till
        self._metrics = metrics
        self._expectations = Expectations()
        self._ids = itertools.count(1)
        self.scope: Scope | None = None
        self.prices: PriceBook | None = None
        self.in_flight: dict[int, Call] = {}

    # -- admission

    async def admit(
        self, row: HostRow, route: Route, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Admitted | Refused:
        """Reads, decides and holds; returns the body to forward, or the answer to give. Never raises but for cancellation."""
        assert route.dialect is not None
        dialect = DIALECTS[route.dialect]
        try:
            return await self._admit(row, dialect, method, path, headers, body)
        except Exception:
            log.exception("a call could not be decided")
            return self.internal_error(dialect, row.provider)

    def internal_error(self, dialect: Dialect, provider: str) -> Refused:
        """The refusal for a failure of our own."""
        self._metrics.internal_errors.inc()
        return self._refused(
            dialect,
            provider,
            "",
            Refusal(reasons.INTERNAL_ERROR, reasons.SENTENCES[reasons.INTERNAL_ERROR], 500),
        )

    def too_large(self, row: HostRow, size: int) -> Refused:
        """The refusal of a body that will not be read whole."""
        text = f"the request's body has {size} bytes, and {LARGEST} are read at most; send files by upload instead"
        return self._refused(refusal_dialect(row), row.provider, "", Refusal(reasons.BODY_TOO_LARGE, text, 413))

    def judge_unread(self, row: HostRow, reason: str, detail: str) -> Refused | None:
        """For a call that cannot be metered at all: None lets it pass, counted."""
        dialect = refusal_dialect(row)
        if self.scope is None:
            return self._refused(dialect, row.provider, "", _not_ready())
        verdict = decide(self.scope.budgets, None, None, reason, detail)
        for reported in verdict.reported:
            self._record(row.provider, "", reported, kind="finding")
        if verdict.refusal is not None:
            return self._refused(dialect, row.provider, "", verdict.refusal)
        self._metrics.unmetered.labels(row.provider, reason).inc()
        self._book(_row(self._clock.now(), row.provider, "", "", "unmetered", calls=1))
        return None

    async def _admit(
        self, row: HostRow, dialect: Dialect, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Admitted | Refused:
        scope = self.scope
        if scope is None or self.prices is None:
            return self._refused(dialect, row.provider, "", _not_ready())
        try:
            facts, document = dialect.read_request(method, path, headers, body, row.provider)
        except NotUnderstood as e:
            refused = self.judge_unread(row, e.reason, e.message)
            return refused or Admitted(self._unheld(row, dialect), body)
        now = self._clock.now()
        price = self.prices.find(row.provider, facts.model, now)
        rates = None if price is None else price.dearest(facts.tier)
        verdict = decide(scope.budgets, facts, rates)
        for reported in verdict.reported:
            self._record(row.provider, facts.model, reported, kind="finding")
        if verdict.refusal is not None:
            return self._refused(dialect, row.provider, facts.model, verdict.refusal)
        if rates is None and (flat := priced_as(scope.budgets)) is not None:
            price = ModelPrice.flat(flat)
            rates = flat
        call = Call(next(self._ids), "d-" + secrets.token_hex(6), row.provider, facts, dialect, price, rates, now)
        call.billed_whole = row.bills_cut_streams_whole
        changed = dialect.prepare(document, facts)
        try:
            if price is None or rates is None:
                call.findings.append(reasons.MODEL_UNPRICED)
            else:
                outcome = await self._hold(scope, call, price, document)
                if isinstance(outcome, Refusal):
                    return self._refused(dialect, row.provider, facts.model, outcome, call)
                changed = changed or outcome
            admitted = Admitted(call, serialise(document) if changed else body)
        except Exception:
            if call.id in self._till.wallet.holds:
                self.finish(call, FAILED)  # held, and it will not go
            raise
        self.in_flight[call.id] = call
        return admitted

    async def _hold(self, scope: Scope, call: Call, price: ModelPrice, document: dict[str, Any]) -> Refusal | bool:
        """Holds money for the call, its cap lowered where need be; True when the document was changed."""
        facts, till = call.facts, self._till
        windows = scope.windows(call.at)
        enforced = tuple(w for w in windows if not unlimited(w.budget))
        clampable = all(b.output_bound == CLAMP for b in scope.budgets)
        output = bounds.output_bound(facts, price)
        floor = bounds.minimum(facts, price)
        full = None if output is None else bounds.hold(facts, price, output)
        if floor is None or (full is None and not clampable):
            budget = scope.budgets[0]
            return Refusal(
                reasons.UNBOUNDED,
                f"neither the request nor the price table bounds the cost of {facts.model!r}; set an output cap,"
                f" or outputBound Clamp in budget {budget.key}",
                budget.refusal_status,
                budget=budget.key,
            )
        wait = max(
            (b.max_delay_seconds if self._paced(enforced) else b.wait_seconds for b in scope.budgets), default=0.0
        )
        call.input_cost = bounds.hold(facts, price, 0) or 0
        changed, hold = False, full if full is not None else 1 << 62
        if clampable:
            hold = till.wallet.clamp(hold, floor, _ids(enforced), _limits(enforced)) if enforced else hold
        if full is None and not enforced:
            hold = floor  # nothing limits the call: any hold will do
        answer = EXHAUSTED
        for _ in range(ATTEMPTS):
            if full is None or hold < full:
                cap = max(bounds.affordable_output(facts, price, hold), 1)
                if enforced:
                    if not call.dialect.clamp(document, facts, cap):
                        hold = full if full is not None else hold  # the cap cannot be lowered without breaking it
                    else:
                        changed, call.cap = True, cap
            expected = self._expectations.expected(facts, price, hold)
            call.hold = hold
            call.waiter = asyncio.current_task()
            try:
                answer = await till.ask(call.id, hold, expected, scope.ids, wait)
            finally:
                call.waiter = None
            if answer != EXHAUSTED or not clampable:
                break
            left = min((x for w in enforced if (x := till.wallet.left(w.id)) is not None), default=None)
            if left is None or left >= hold or left < floor or hold <= floor:
                break
            hold = max(floor, min(left, till.wallet.clamp(hold, floor, _ids(enforced), _limits(enforced))))
        if answer == GRANTED:
            call.at = self._clock.now()
            for w in windows:
                if unlimited(w.budget):
                    self._report_only(call, w)
            return changed
        if answer == TIMED_OUT and till.wallet.silent(self._clock.now()):
            if all(b.failure_policy == IGNORE for b in scope.budgets) and till.wallet.overdraw(
                self._clock.now(), call.id, call.hold, call.hold, scope.ids(self._clock.now())
            ):
                return changed
            return self._money_refusal(
                call, enforced, reasons.LEDGER_UNREACHABLE, 429, "no ledger answers and the money at hand is gone", 5
            )
        return self._by_answer(call, enforced, answer, floor)

    def _paced(self, windows: tuple[OpenWindow, ...]) -> bool:
        """Whether the ledger paces one of these windows, as far as it has said what is spent."""
        for w in windows:
            spent = self._till.wallet.spent(w.id)
            slow = [r.at_percent for r in w.budget.ladder_of(w.limit) if r.action == SLOW]
            if spent is not None and slow and spent * 100 >= min(slow) * w.limit.nanos:
                return True
        return False

    def _by_answer(self, call: Call, windows: tuple[OpenWindow, ...], answer: str, floor: int) -> Refusal:
        if answer == EXHAUSTED:
            return self._money_refusal(
                call, windows, reasons.BUDGET_EXHAUSTED, None, f"this call needs ${format_usd(floor)} at least", None
            )
        if answer in {TIMED_OUT, BUSY} and self._paced(windows):
            text = "it is in stage Slow, and this call's turn has not come; wait, or raise the limit"
            return self._money_refusal(call, windows, reasons.PACED, 429, text, PACED_SECONDS)
        reason, text, after = {
            TIMED_OUT: (reasons.MONEY_IN_FLIGHT, "the money left is held by calls in flight", 2),
            BUSY: (reasons.QUEUE_FULL, "too many calls wait for the money left", 5),
            STUCK: (reasons.HOLDERS_LOST, "the money left is held by sidecars that have gone silent", 60),
        }[answer]
        return self._money_refusal(call, windows, reason, 429, text, after)

    def _money_refusal(
        self,
        call: Call,
        windows: tuple[OpenWindow, ...],
        reason: str,
        status: int | None,
        text: str,
        retry_after: int | None,
    ) -> Refusal:
        tightest, left = None, None
        for w in windows:
            here = self._till.wallet.left(w.id)
            if here is not None and (left is None or here < left):
                tightest, left = w, here
        if tightest is None or left is None:
            budget = windows[0].budget if windows else None
            return Refusal(reason, text, status or 402, budget.key if budget else "", retry_after=retry_after)
        limit = tightest.limit.nanos
        name = f"{tightest.budget.key} ({tightest.limit.window} limit ${format_usd(limit)})"
        spent = limit - left
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
            self._suggest(call, left),
        )

    def _suggest(self, call: Call, left: int) -> str | None:
        """A cheaper model of the same provider that the money left would still pay."""
        if self.prices is None:
            return None
        for model in self.prices.cheaper(call.provider, call.facts.model, call.at):
            price = self.prices.find(call.provider, model, call.at)
            floor = bounds.minimum(call.facts, price) if price else None
            if floor is not None and floor <= left:
                return model
        return None

    def _report_only(self, call: Call, window: OpenWindow) -> None:
        left = self._till.wallet.left(window.id)
        if left is None:
            return
        # The ledger counts such a window against a limit that is never reached; the stated one is judged here.
        spent = self._till.wallet.spent(window.id)
        if spent is not None and spent + call.hold > window.limit.nanos:
            self._record(
                call.provider,
                call.facts.model,
                Refusal(
                    reasons.BUDGET_EXHAUSTED,
                    f"would be refused under Enforce: budget {window.budget.key}"
                    f" ({window.limit.window} limit ${format_usd(window.limit.nanos)})",
                    window.budget.refusal_status,
                    window.budget.key,
                    window.limit.window,
                    window.limit.nanos,
                    spent,
                ),
                kind="finding",
                call=call,
            )

    def _unheld(self, row: HostRow, dialect: Dialect) -> Call:
        facts = CallFacts(dialect.name, row.provider, "", "", stream=False, cap=None)
        call = Call(next(self._ids), "", row.provider, facts, dialect, None, None, self._clock.now())
        call.settled = True  # already counted as unmetered
        return call

    def abandon(self) -> None:
        """Settles what is still in flight at shutdown, when its grace is over."""
        for call in list(self.in_flight.values()):
            self.finish(call, LEFT)

    # -- the answer

    def answering(self, call: Call, status: int, headers: Mapping[str, str]) -> AnswerReader | None:
        """The provider's headers are here; returns the reader of a good answer's bytes."""
        if call.settled or status >= 300:
            return None
        try:
            call.reader = call.dialect.reader(call.facts, not call.facts.wants_usage_chunk, headers)
        except Exception:
            log.exception("an answer cannot be read")
            self._metrics.internal_errors.inc()
            call.findings.append("reader failed")
        return call.reader

    def pass_on(self, call: Call, chunk: bytes) -> bytes:
        """A chunk of the answer on its way to the client. Never raises, for mitmproxy's stream callbacks must not."""
        if call.reader is None:
            return chunk
        if chunk:
            now = self._clock.now()
            call.first_byte = call.first_byte or now
            call.last_byte = now
        try:
            return call.reader.feed(chunk)
        except Exception:
            log.exception("an answer could not be read")
            self._metrics.internal_errors.inc()
            call.findings.append("reader failed")
            call.reader = None
            return chunk

    def client_left(self, call: Call) -> bool:
        """The client is gone: gives up a place in the queue; True when the answer must be read to its end."""
        call.left = True
        if call.waiter is not None:
            call.waiter.cancel()
            return False
        if call.settled:
            return False
        policies = {b.on_disconnect for b in (self.scope.budgets if self.scope else ())}
        if READ_ON in policies:
            return True
        if not call.facts.stream:
            return True
        if CLOSE in policies:
            return False
        return bool(call.billed_whole) or bounds.hides_output(call.facts)

    def finish(self, call: Call, ending: str, error: str = "") -> None:
        """Settles a call once; later endings of the same call change nothing."""
        if call.settled:
            return
        call.settled = True
        self.in_flight.pop(call.id, None)
        try:
            settlement, answer = self._settlement(call, ending)
        except Exception:
            log.exception("a call could not be settled exactly: it is booked at its hold")
            self._metrics.internal_errors.inc()
            settlement, answer = Settlement(call.hold, None, estimated=True, finding="internal error"), None
        outcome = OUTCOMES[ending]
        if call.left and ending == COMPLETE:
            outcome = OUTCOMES[LEFT]
        served = (answer.served_model if answer else None) or ""
        if call.rates is None:
            self._book(_row(call.at, call.provider, call.facts.model, served, "unpriced", calls=1))
            return
        usage = settlement.usage or Usage()
        self._book(
            _row(
                call.at,
                call.provider,
                call.facts.model,
                served,
                outcome,
                calls=1,
                nanos=settlement.cost,
                estimated=settlement.estimated,
                usage=usage,
                prices=self.prices.version[:12] if self.prices else "",
            )
        )
        if settlement.estimated:
            text = settlement.finding or error or "usage not seen"
            self._till.outbox.note(
                DecisionRecord(
                    id=call.decision,
                    at=call.at,
                    kind="estimate",
                    reason="UsageEstimated",
                    message=text,
                    status=0,
                    provider=call.provider,
                    model=call.facts.model,
                    budget="",
                    window="",
                    hold=call.hold,
                    cost=settlement.cost,
                    limit=0,
                    spent=0,
                )
            )
        self._till.settle(call.id, settlement.cost)
        self._metrics.settled(call.provider, outcome, settlement.estimated, call.hold, settlement.cost)

    def _settlement(self, call: Call, ending: str) -> tuple[Settlement, Answer | None]:
        if not call.forwarded or ending == FAILED:
            return nothing(), None
        if call.reader is None:
            # What a good answer without a reader cost, or one whose client left before its first byte, is not known.
            finding = "reader failed" if "reader failed" in call.findings else f"answer not seen: {ending}"
            return Settlement(call.hold, None, estimated=True, finding=finding), None
        answer = call.reader.end()
        if answer.usage is not None and call.price is not None:
            total = 0
            for model, usage in answer.parts:
                total += cost(usage, self._rates(call, model or call.facts.model, usage, answer)).total
            self._expectations.observe(call.facts, answer.usage)
            return exact(total, answer.usage, answer.finding), answer
        finding = answer.finding or ("usage missing" if ending == COMPLETE else f"stream {ending}")
        if not (answer.finished or answer.frames):
            # Nothing of it could be read (half a body, another's page, an unknown encoding): its size bounds nothing.
            return Settlement(call.hold, None, estimated=True, finding=finding), answer
        rate = call.rates.output if call.rates else 0
        # A whole answer without usage has no tail: its bytes bound what it made, unless output was hidden.
        seconds = 1e9 if ending == COMPLETE and not call.facts.stream else call.last_byte - call.first_byte
        billed_whole = ending != COMPLETE and bool(call.billed_whole)
        seen = Seen(answer.output_bytes_seen, seconds, bounds.hides_output(call.facts), billed_whole)
        return estimate(call.hold, call.input_cost, rate, seen, finding), answer

    def _rates(self, call: Call, model: str, usage: Usage, answer: Answer) -> Rates:
        assert call.price is not None
        assert call.rates is not None
        price = call.price
        if model != call.facts.model and self.prices is not None:
            price = self.prices.find(call.provider, model, call.at) or price
        tier = answer.tier or call.facts.tier
        rates = price.rates_for(usage.input_tokens, tier)
        if rates is None:
            call.findings.append(f"service tier {tier!r} has no price")
            return call.rates
        return rates

    # -- books

    def _refused(
        self, dialect: Dialect, provider: str, model: str, refusal: Refusal, call: Call | None = None
    ) -> Refused:
        decision = self._record(provider, model, refusal, call=call)
        self._metrics.refused.labels(provider, refusal.reason).inc()
        self._book(_row(self._clock.now(), provider, model, "", "refused", refused=1))
        details: dict[str, Any] = {"decision": decision, "reason": refusal.reason}
        if refusal.budget:
            details["budget"] = refusal.budget
        if refusal.window:
            details["scope"] = refusal.window
        if refusal.limit is not None and refusal.spent is not None:
            details["limit"] = format_usd(refusal.limit)
            details["spent"] = format_usd(refusal.spent)
            details["remaining"] = format_usd(max(0, refusal.limit - refusal.spent))
        if refusal.resets_at is not None:
            details["resetsAt"] = datetime.datetime.fromtimestamp(refusal.resets_at, datetime.UTC).isoformat()
        if refusal.suggested_model:
            details["suggestedModel"] = refusal.suggested_model
        status, headers, body = dialect.refusal(
            refusal.reason, f"{refusal.message}. Decision {decision}.", refusal.status, details, refusal.retry_after
        )
        return Refused(status, headers, body, refusal.reason)

    def _record(
        self, provider: str, model: str, refusal: Refusal, kind: str = "refusal", call: Call | None = None
    ) -> str:
        decision = call.decision if call and call.decision else "d-" + secrets.token_hex(6)
        self._till.outbox.note(
            DecisionRecord(
                id=decision,
                at=self._clock.now(),
                kind=kind,
                reason=refusal.reason,
                message=refusal.message,
                status=refusal.status,
                provider=provider,
                model=model,
                budget=refusal.budget,
                window=refusal.window,
                hold=call.hold if call else 0,
                cost=0,
                limit=refusal.limit or 0,
                spent=refusal.spent or 0,
            )
        )
        return decision

    def _book(self, row: UsageRow) -> None:
        self._till.outbox.add(row)
        self._till.told()


def _not_ready() -> Refusal:
    return Refusal(reasons.NOT_READY, reasons.SENTENCES[reasons.NOT_READY], 429, retry_after=1)


def _ids(windows: tuple[OpenWindow, ...]) -> tuple[str, ...]:
    return tuple(w.id for w in windows)


def _limits(windows: tuple[OpenWindow, ...]) -> dict[str, int]:
    return {w.id: w.limit.nanos for w in windows}


def _row(
    at: float,
    provider: str,
    model: str,
    served: str,
    outcome: str,
    *,
    calls: int = 0,
    refused: int = 0,
    nanos: int = 0,
    estimated: bool = False,
    usage: Usage | None = None,
    prices: str = "",
) -> UsageRow:
    usage = usage or Usage()
    return UsageRow(
        minute=int(at // 60),
        provider=provider,
        model=model,
        served_model=served,
        outcome=outcome,
        estimated=estimated,
        calls=calls,
        refused=refused,
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        output_tokens=usage.output_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        nanos=nanos,
        prices=prices,
    )
