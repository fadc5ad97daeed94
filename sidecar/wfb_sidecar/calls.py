"""The life of a call in the pod: read, decided, held, forwarded, settled. Every path out of here settles exactly once."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wfb_core import bounds, reasons
from wfb_core.budget import CLOSE, READ_ON
from wfb_core.call import CallFacts
from wfb_core.charge import charge
from wfb_core.decide import Refusal, decide, priced_as
from wfb_core.dialects import DIALECTS, Answer, AnswerReader, Dialect, NotUnderstood, serialise
from wfb_core.expectation import Expectations
from wfb_core.hosts import HostRow, Route
from wfb_core.price import ModelPrice, PriceBook, uplifted
from wfb_core.settle import (
    COMPLETE,
    CUT,
    FAILED,
    LEFT,
    REPORTED,
    STATED,
    Seen,
    Settlement,
    estimate,
    exact,
    nothing,
)
from wfb_sidecar.body_gate import LARGEST
from wfb_sidecar.books import Books, Entry, Refused, new_decision
from wfb_sidecar.call import Call
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.holding import Holding
from wfb_sidecar.metrics import Metrics
from wfb_sidecar.pending import Pending
from wfb_sidecar.providers import refusal_dialect
from wfb_sidecar.scope import Scope
from wfb_sidecar.silent import SILENT
from wfb_sidecar.till import Till

log = logging.getLogger(__name__)

FIRST_WORD_SECONDS = 10.0
"""How long a call waits for the first word on budgets; the SDKs wait ten minutes for an answer, proxies before us a minute."""

OUTCOMES = {COMPLETE: "ok", CUT: "cut", LEFT: "disconnected", FAILED: "error"}


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call may go, with this body."""

    call: Call
    body: bytes


class Calls:
    """All calls of this sidecar."""

    def __init__(self, clock: LedgerClock, till: Till, metrics: Metrics) -> None:
        self._clock = clock
        self._till = till
        self._metrics = metrics
        self._expectations = Expectations()
        self._books = Books(clock, till, metrics)
        self._holding = Holding(clock, till, self._books, self._expectations)
        self._pending = Pending()
        self._served: dict[tuple[str, str], str] = {}
        self._ids = itertools.count(1)
        self._prices: PriceBook | None = None
        self._heard = asyncio.Event()
        self.scope: Scope | None = None
        self.in_flight: dict[int, Call] = {}

    @property
    def prices(self) -> PriceBook | None:
        """What models cost; None until the ledger has said it."""
        return self._prices

    @prices.setter
    def prices(self, prices: PriceBook | None) -> None:
        """What models cost from now on."""
        self._prices = self._holding.prices = prices

    def hear(self, scope: Scope, prices: PriceBook) -> None:
        """Which budgets apply from now on, and what models cost; calls that waited for the first word go on."""
        self.scope, self.prices = scope, prices
        self._heard.set()

    async def _ready(self) -> bool:
        # A pod's first call is often made before the ledger has answered its sidecar: it is worth a wait, not an error.
        if not self._heard.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), FIRST_WORD_SECONDS)
        return self.scope is not None and self._prices is not None

    # -- admission

    async def admit(
        self, row: HostRow, route: Route, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> Admitted | Refused:
        """Reads, decides and holds; returns the body to forward, or the answer to give. Never raises but for cancellation."""
        assert route.dialect is not None
        dialect = DIALECTS[route.dialect]
        provider = route.provider or row.provider
        try:
            if not await self._ready():
                return self._books.refuse(dialect, _not_ready(), Entry(provider, ""))
            try:
                facts, document = dialect.read_request(method, path, headers, body, provider)
            except NotUnderstood as e:
                refused = self.judge_unread(row, e.reason, e.message)
                return refused or Admitted(self._unheld(provider, dialect), body)
            if facts.polls is not None:
                return Admitted(self._poll(provider, dialect, facts), body)
            outcome, changed = await self._admit(provider, dialect, facts, document, row)
            if isinstance(outcome, Refused):
                return outcome
            try:
                return Admitted(outcome, serialise(document) if changed else body)
            except Exception:
                self.finish(outcome, FAILED)  # held, and it will not go
                raise
        except Exception:
            log.exception("a call could not be decided")
            return self.internal_error(dialect, provider)

    async def admit_response(self, provider: str, facts: CallFacts) -> Call | Refused:
        """Decides and holds for one response over a socket. Never raises but for cancellation."""
        try:
            if not await self._ready():
                return self._books.refuse(SILENT, _not_ready(), Entry(provider, facts.model))
            outcome, _ = await self._admit(provider, SILENT, facts, {}, None)
        except Exception:
            log.exception("a response over a socket could not be decided")
            return self.internal_error(SILENT, provider)
        return outcome

    def unasked(self, provider: str, facts: CallFacts) -> Call:
        """A call that is billed though nothing was held for it."""
        price = self._price(provider, facts.model, None)
        call = self._new(provider, SILENT, facts, price)
        call.rates = None if price is None else price.dearest(facts.tier)
        return call

    def give_back(self, call: Call) -> None:
        """Ends a call that was never made: its hold is free again, and no row tells of it."""
        if not call.settled:
            call.settled = True
            self.in_flight.pop(call.id, None)
            self._till.settle(call.id, 0)

    def internal_error(self, dialect: Dialect, provider: str) -> Refused:
        """The refusal for a failure of our own."""
        self._metrics.internal_errors.inc()
        refusal = Refusal(reasons.INTERNAL_ERROR, reasons.SENTENCES[reasons.INTERNAL_ERROR], 500)
        return self._books.refuse(dialect, refusal, Entry(provider, ""))

    def too_large(self, row: HostRow, size: int) -> Refused:
        """The refusal of a body that will not be read whole."""
        text = f"the request's body has {size} bytes, and {LARGEST} are read at most; send files by upload instead"
        refusal = Refusal(reasons.BODY_TOO_LARGE, text, 413)
        return self._books.refuse(refusal_dialect(row), refusal, Entry(row.provider, ""))

    def judge_unread(self, row: HostRow, reason: str, detail: str) -> Refused | None:
        """For a call that cannot be metered at all: None lets it pass, counted."""
        dialect, entry = refusal_dialect(row), Entry(row.provider, "")
        if self.scope is None:
            return self._books.refuse(dialect, _not_ready(), entry)
        verdict = decide(self.scope.budgets, None, None, reason, detail)
        for reported in verdict.reported:
            self._books.record(reported, entry, kind="finding")
        if verdict.refusal is not None:
            return self._books.refuse(dialect, verdict.refusal, entry)
        self._metrics.unmetered.labels(row.provider, reason).inc()
        self._books.book(entry, "unmetered", calls=1)
        return None

    async def _admit(
        self, provider: str, dialect: Dialect, facts: CallFacts, document: dict[str, Any], row: HostRow | None
    ) -> tuple[Call | Refused, bool]:
        """(the call or its refusal, whether the document was changed)."""
        scope = self.scope
        assert scope is not None
        price = self._price(provider, facts.model, row)
        rates = None if price is None else price.dearest(facts.tier)
        entry, priced_by = Entry(provider, facts.model), ""
        verdict = decide(scope.budgets, facts, rates)
        for reported in verdict.reported:
            self._books.record(reported, entry, kind="finding")
        if verdict.refusal is not None:
            return self._books.refuse(dialect, verdict.refusal, entry), False
        if rates is None and (flat := priced_as(scope.budgets)) is not None:
            price, rates, priced_by = ModelPrice.flat(flat), flat, STATED
        call = self._new(provider, dialect, facts, price)
        call.priced_by = priced_by
        call.rates = rates
        call.row = row
        call.billed_whole = row.bills_cut_streams_whole if row else None
        changed = dialect.prepare(document, facts)
        try:
            if price is None or rates is None:
                call.findings.append(reasons.MODEL_UNPRICED)
            else:
                outcome = await self._holding.hold(scope, call, price, document)
                if isinstance(outcome, Refusal):
                    return self._books.refuse(dialect, outcome, call.entry), False
                changed = changed or outcome
        except Exception:
            if call.id in self._till.wallet.holds:
                self.finish(call, FAILED)  # held, and it will not go
            raise
        self.in_flight[call.id] = call
        return call, changed

    def _price(self, provider: str, model: str, row: HostRow | None) -> ModelPrice | None:
        """The price of a model by the name that a call gives it, or that its deployment was seen to serve."""
        assert self._prices is not None
        now = self._clock.now()
        host = row.pattern if row is not None else ""
        price = self._prices.find(provider, model, now, host)
        if price is None and (served := self._served.get((host or provider, model))):
            price = self._prices.find(provider, served, now, host)
        return uplifted(price, row.rates_uplift_percent) if price is not None and row is not None else price

    def _new(self, provider: str, dialect: Dialect, facts: CallFacts, price: ModelPrice | None) -> Call:
        return Call(next(self._ids), new_decision(), provider, facts, dialect, price, None, self._clock.now())

    def _unheld(self, provider: str, dialect: Dialect) -> Call:
        facts = CallFacts(dialect.name, provider, "", "", stream=False, cap=None)
        call = self._new(provider, dialect, facts, None)
        call.settled = True  # already counted as unmetered
        return call

    def _poll(self, provider: str, dialect: Dialect, facts: CallFacts) -> Call:
        """A request that only reads an earlier answer: free itself, and the end of the call that it asks after."""
        call = self._new(provider, dialect, facts, None)
        call.asks_after = self._pending.find(provider, facts.polls or "")
        return call

    def abandon(self) -> None:
        """Settles what is still in flight at shutdown, when its grace is over."""
        for call in (*self.in_flight.values(), *self._pending.take_all()):
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
        if call.facts.polls is not None:
            self._finish_poll(call, ending)
            return
        answer = self._end(call, ending)
        if answer is not None and self._pending.keeps(call, answer, ending):
            self.in_flight.pop(call.id, None)
            return
        self._settle(call, answer, ending, error)

    def _finish_poll(self, poll: Call, ending: str) -> None:
        """Settles the call that a poll asked after, once its result has come; polls themselves cost nothing."""
        poll.settled = True
        answer = self._end(poll, ending)
        call = poll.asks_after
        if call is None or answer is None or call.settled or not Pending.is_result(answer):
            return
        self._pending.take(call)
        self._settle(call, answer, COMPLETE, "")

    def _end(self, call: Call, ending: str) -> Answer | None:
        if call.reader is None or ending == FAILED or not call.forwarded:
            return None
        try:
            return call.reader.end()
        except Exception:
            log.exception("an answer could not be read")
            self._metrics.internal_errors.inc()
            call.findings.append("reader failed")
            call.reader = None
            return None

    def _settle(self, call: Call, answer: Answer | None, ending: str, error: str) -> None:
        call.settled = True
        self.in_flight.pop(call.id, None)
        try:
            settlement = self._settlement(call, answer, ending)
        except Exception:
            log.exception("a call could not be settled exactly: it is booked at its hold")
            self._metrics.internal_errors.inc()
            settlement = Settlement(call.hold, None, estimated=True, finding="internal error")
        outcome = OUTCOMES[LEFT] if call.left and ending == COMPLETE else OUTCOMES[ending]
        served = (answer.served_model if answer else None) or ""
        if call.facts.deployment and served:
            self._served[(call.row.pattern if call.row else call.provider, call.facts.model)] = served
        if call.rates is None:
            self._books.book(call.entry, "unpriced", calls=1, served=served, usage=settlement.usage)
            return
        if settlement.estimated and not settlement.finding:
            settlement = Settlement(settlement.cost, settlement.usage, estimated=True, finding=error or None)
        version = call.priced_by or (self._prices.version[:12] if self._prices else "")
        self._books.settled(call.entry, outcome, settlement, served, version)
        self._till.settle(call.id, settlement.cost)
        self._metrics.settled(call.provider, outcome, settlement.estimated, call.hold, settlement.cost)

    def _settlement(self, call: Call, answer: Answer | None, ending: str) -> Settlement:
        if not call.forwarded or ending == FAILED:
            return nothing()
        if call.reader is None or answer is None:
            # What a good answer without a reader cost, or one whose client left before its first byte, is not known.
            finding = "reader failed" if "reader failed" in call.findings else f"answer not seen: {ending}"
            return Settlement(call.hold, None, estimated=True, finding=finding)
        charged = charge(call.facts, answer, lambda model: self._price(call.provider, model, call.row), call.price)
        if charged is not None and charged.nanos is not None:
            if answer.usage is not None:
                observed = self._expectations.observe(call.facts, answer.usage)
                self._metrics.expected(observed.input_ratio, observed.output_ratio)
            source = REPORTED if charged.reported else ""
            return exact(charged.nanos, charged.usage, charged.finding or answer.finding, charged.list_nanos, source)
        if charged is not None and call.price is None:
            return exact(0, charged.usage)  # unpriced, and let through: its tokens are counted
        finding = answer.finding or ("usage missing" if ending == COMPLETE else f"stream {ending}")
        if not (answer.finished or answer.frames):
            # Nothing of it could be read (half a body, another's page, an unknown encoding): its size bounds nothing.
            return Settlement(call.hold, None, estimated=True, finding=finding)
        rate = call.rates.output if call.rates else 0
        # A whole answer without usage has no tail: its bytes bound what it made, unless output was hidden.
        seconds = 1e9 if ending == COMPLETE and not call.facts.stream else call.last_byte - call.first_byte
        billed_whole = ending != COMPLETE and bool(call.billed_whole)
        seen = Seen(answer.output_bytes_seen, seconds, bounds.hides_output(call.facts), billed_whole)
        return estimate(call.hold, call.input_cost, rate, seen, finding)


def _not_ready() -> Refusal:
    return Refusal(reasons.NOT_READY, reasons.SENTENCES[reasons.NOT_READY], 429, retry_after=1)
