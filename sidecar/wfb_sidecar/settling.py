"""Settling: every way out of a call ends here exactly once, with what it cost or the best that is known of it."""

import logging
from collections.abc import Mapping

from wfb_core import bounds
from wfb_core.budget import CLOSE, READ_ON
from wfb_core.charge import charge
from wfb_core.dialects import Answer, AnswerReader
from wfb_core.expectation import Expectations
from wfb_core.settle import (
    COMPLETE,
    CUT,
    FAILED,
    LEFT,
    REPORTED,
    Seen,
    Settlement,
    estimate,
    exact,
    nothing,
)
from wfb_sidecar.books import Books
from wfb_sidecar.call import Call
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.loop_watch import LoopWatch
from wfb_sidecar.metrics import Metrics
from wfb_sidecar.pending import Pending
from wfb_sidecar.terms import Terms
from wfb_sidecar.till import Till

log = logging.getLogger(__name__)

OUTCOMES = {COMPLETE: "ok", CUT: "cut", LEFT: "disconnected", FAILED: "error"}


class Settling:
    """Calls in flight, their answers as they pass, and their ends."""

    def __init__(
        self,
        clock: LedgerClock,
        terms: Terms,
        till: Till,
        books: Books,
        expectations: Expectations,
        loops: LoopWatch,
        metrics: Metrics,
    ) -> None:
        self._clock = clock
        self._terms = terms
        self._till = till
        self._books = books
        self._expectations = expectations
        self._loops = loops
        self._metrics = metrics
        self._pending = Pending()
        self.in_flight: dict[int, Call] = {}

    def begin(self, call: Call) -> None:
        """The call may go: from here on it ends by `finish` or `give_back`."""
        self.in_flight[call.id] = call

    def holds(self, call: Call) -> bool:
        """Whether money is held for the call."""
        return call.id in self._till.wallet.holds

    def asked_after(self, provider: str, answer_id: str) -> Call | None:
        """The call whose result a poll reads; None where it was another pod's, or is settled."""
        return self._pending.find(provider, answer_id)

    def give_back(self, call: Call) -> None:
        """Ends a call that was never made: its hold is free again, and no row tells of it."""
        if not call.settled:
            call.settled = True
            self.in_flight.pop(call.id, None)
            self._till.settle(call.id, 0)
            self._loops.settled(call, 0, made=False)

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
        policies = {b.on_disconnect for b in (self._terms.scope.budgets if self._terms.scope else ())}
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
        # Where an answer names no model, the one asked instead is the best that is known of it.
        served = (answer.served_model if answer else None) or (call.facts.model if call.downgraded else "")
        if call.facts.deployment and served:
            self._terms.seen_serving(call.provider, call.facts.model, call.row, served)
        self._loops.settled(call, settlement.cost, failed=ending == FAILED)
        if call.rates is None:
            self._books.book(call.entry, "unpriced", calls=1, served=served, usage=settlement.usage)
            return
        if settlement.estimated and not settlement.finding:
            settlement = Settlement(settlement.cost, settlement.usage, estimated=True, finding=error or None)
        version = call.priced_by or (self._terms.prices.version[:12] if self._terms.prices else "")
        call.usage = settlement.usage
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
        charged = charge(
            call.facts, answer, lambda model: self._terms.price(call.provider, model, call.row), call.price
        )
        if charged is not None and charged.nanos is not None:
            if answer.usage is not None:
                cut = call.cap is not None and answer.usage.output_tokens >= call.cap * max(call.facts.choices, 1)
                if cut:
                    self._metrics.cut_at_cap.labels(call.provider).inc()
                observed = self._expectations.observe(call.facts, answer.usage, cut=cut)
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
