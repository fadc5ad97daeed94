"""Admission: the way of a call from its bytes to its hold, one step after the other, or to the answer that refuses it.

``admit`` reads the request; ``_decide`` then takes it through the steps in their order. A step looks at the draft,
may change it, and answers None or a refusal; the first refusal is the one that is told.
"""

import asyncio
import itertools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from wfb_core import reasons
from wfb_core.call import CallFacts
from wfb_core.decide import Refusal, decide, priced_as
from wfb_core.dialects import DIALECTS, Dialect, NotUnderstood, serialise
from wfb_core.hosts import HostRow, Route
from wfb_core.loops import retry_count
from wfb_core.price import ModelPrice
from wfb_core.settle import FAILED, STATED
from wfb_sidecar.body_gate import LARGEST
from wfb_sidecar.books import Books, Entry, Refused, new_decision
from wfb_sidecar.call import Call
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.downgrading import Downgrading, Request
from wfb_sidecar.holding import Holding
from wfb_sidecar.loop_watch import LoopWatch
from wfb_sidecar.metrics import Metrics
from wfb_sidecar.named_runs import NamedRuns
from wfb_sidecar.providers import refusal_dialect
from wfb_sidecar.scope import Scope
from wfb_sidecar.settling import Settling
from wfb_sidecar.silent import SILENT
from wfb_sidecar.terms import Terms
from wfb_sidecar.till import Till

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The call may go, with this body."""

    call: Call
    body: bytes
    path: str = ""
    """Where the request goes; empty where it stays."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers to forward with another value; an empty value takes the header away."""


@dataclass(slots=True)
class Draft:
    """A call on its way through the steps, and its request as it would be forwarded."""

    call: Call
    scope: Scope
    request: Request
    changed: bool = False
    """Whether the document is no longer what the client sent."""

    def admitted(self, path: str, body: bytes) -> Admitted:
        """What is forwarded of a request with this path and body."""
        request = self.request
        return Admitted(
            self.call,
            serialise(request.document) if self.changed else body,
            request.path if request.path != path else "",
            request.set_headers,
        )


class Admission:
    """Decides calls before they are made."""

    def __init__(
        self,
        clock: LedgerClock,
        terms: Terms,
        till: Till,
        books: Books,
        downgrading: Downgrading,
        holding: Holding,
        runs: NamedRuns,
        settling: Settling,
        loops: LoopWatch,
        metrics: Metrics,
    ) -> None:
        self._clock = clock
        self._terms = terms
        self._till = till
        self._books = books
        self._downgrading = downgrading
        self._holding = holding
        self._runs = runs
        self._settling = settling
        self._loops = loops
        self._metrics = metrics
        self._ids = itertools.count(1)

    async def admit(
        self,
        row: HostRow,
        route: Route,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        run: str = "",
    ) -> Admitted | Refused:
        """Reads, decides and holds; returns the body to forward, or the answer to give. Never raises but for cancellation."""
        assert route.dialect is not None
        dialect = DIALECTS[route.dialect]
        provider = route.provider or row.provider
        try:
            if not await self._terms.known():
                return self._books.refuse(dialect, _not_ready(), Entry(provider, ""))
            try:
                facts, document = dialect.read_request(method, path, headers, body, provider)
            except NotUnderstood as e:
                refused = self.judge_unread(row, e.reason, e.message)
                return refused or Admitted(self._unheld(provider, dialect), body)
            if facts.polls is not None:
                return Admitted(self._poll(provider, dialect, facts), body)
            draft = self._draft(provider, dialect, facts, Request(method, path, headers, document), row, run)
            draft.call.retry = retry_count(headers)
            if (refused := await self._decided(draft)) is not None:
                return refused
            try:
                return draft.admitted(path, body)
            except Exception:
                self._settling.finish(draft.call, FAILED)  # held, and it will not go
                raise
        except Exception:
            log.exception("a call could not be decided")
            return self.internal_error(dialect, provider)

    async def admit_response(self, provider: str, facts: CallFacts, run: str = "") -> Call | Refused:
        """Decides and holds for one response over a socket. Never raises but for cancellation."""
        try:
            if not await self._terms.known():
                return self._books.refuse(SILENT, _not_ready(), Entry(provider, facts.model))
            draft = self._draft(provider, SILENT, facts, Request("", "", {}, {}), None, run)
            return await self._decided(draft) or draft.call
        except Exception:
            log.exception("a response over a socket could not be decided")
            return self.internal_error(SILENT, provider)

    def unasked(self, provider: str, facts: CallFacts) -> Call:
        """A call that is billed though nothing was held for it."""
        call = self._new(provider, SILENT, facts)
        self._price(call)
        return call

    # -- what is refused before it is a call

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
        if self._terms.scope is None:
            return self._books.refuse(dialect, _not_ready(), entry)
        verdict = decide(self._terms.scope.budgets, None, None, reason, detail)
        for reported in verdict.reported:
            self._books.record(reported, entry, kind="finding")
        if verdict.refusal is not None:
            return self._books.refuse(dialect, verdict.refusal, entry)
        self._metrics.unmetered.labels(row.provider, reason).inc()
        self._books.book(entry, "unmetered", calls=1)
        return None

    # -- the steps

    async def _decide(self, draft: Draft) -> Refusal | None:
        """The steps in their order: what no money can allow comes before what money decides."""
        if (refusal := self._judge(draft)) is not None:
            return refusal
        if (refusal := await self._loops.judge(draft.scope, draft.call, draft.request.document)) is not None:
            return refusal
        self._downgrade(draft)
        self._prepare(draft)
        if (refusal := await self._reserve_in_run(draft)) is not None:
            return refusal
        return await self._hold(draft)

    async def _decided(self, draft: Draft) -> Refused | None:
        """The refusal as it is told; None puts the call in flight. What fails after the hold settles it."""
        call, goes = draft.call, False
        try:
            refusal = await self._decide(draft)
            goes = refusal is None
        except asyncio.CancelledError:
            self._loops.settled(call, 0, made=False)  # its client left while it waited
            raise
        except Exception:
            self._loops.settled(call, 0, made=False)
            if self._settling.holds(call):
                self._settling.finish(call, FAILED)  # held, and it will not go
            raise
        finally:
            if not goes:
                self._runs.settle(call.id, 0)
        if refusal is not None:
            self._loops.settled(call, 0, made=False)
            entry = replace(call.entry, evidence=self._holding.evidence(draft.scope, call, refusal))
            return self._books.refuse(call.dialect, refusal, entry)
        self._settling.begin(call)
        return None

    def _judge(self, draft: Draft) -> Refusal | None:
        """Lists, prices, bounds."""
        call = draft.call
        verdict = draft.scope.policies.decide(call.facts, call.rates)
        for reported in verdict.reported:
            self._books.record(reported, Entry(call.provider, call.facts.model), kind="finding")
        if verdict.refusal is not None:
            return verdict.refusal
        if call.rates is None and (flat := priced_as(draft.scope.budgets)) is not None:
            call.price, call.rates, call.priced_by = ModelPrice.flat(flat), flat, STATED
        return None

    def _downgrade(self, draft: Draft) -> None:
        """Another model, where a rung wants it."""
        scope, call = draft.scope, draft.call
        if not scope.downgrades:
            return
        run = self._runs.enforced_standings(call, scope)
        wishes = scope.wants(call.at, call.facts.model, self._till.wallet.spent, run)
        request = self._downgrading.change(scope, wishes, call, draft.request)
        if request is not None:
            draft.request, draft.changed = request, True

    def _prepare(self, draft: Draft) -> None:
        """What metering needs of the request."""
        draft.changed |= draft.call.dialect.prepare(draft.request.document, draft.call.facts)

    async def _reserve_in_run(self, draft: Draft) -> Refusal | None:
        """Room in the run that the caller named; before money is asked for, so that two of its calls share none."""
        call = draft.call
        if call.price is None or call.rates is None:
            return None  # it is let through without money, and nothing of it will be settled
        return await self._runs.reserve(call, draft.scope, call.price)

    async def _hold(self, draft: Draft) -> Refusal | None:
        """Money for it, the answer's cap lowered where need be."""
        call = draft.call
        if call.price is None or call.rates is None:
            call.findings.append(reasons.MODEL_UNPRICED)
            return None
        outcome = await self._holding.hold(draft.scope, call, call.price, draft.request.document)
        if isinstance(outcome, Refusal):
            return outcome
        draft.changed |= outcome
        return None

    # -- calls

    def _draft(
        self, provider: str, dialect: Dialect, facts: CallFacts, request: Request, row: HostRow | None, run: str
    ) -> Draft:
        assert self._terms.scope is not None
        call = self._new(provider, dialect, facts)
        call.row = row
        call.billed_whole = row.bills_cut_streams_whole if row else None
        self._price(call)
        self._runs.join(call, self._terms.scope, run)
        return Draft(call, self._terms.scope, request)

    def _price(self, call: Call) -> None:
        call.price = self._terms.price(call.provider, call.facts.model, call.row)
        call.rates = None if call.price is None else call.price.dearest(call.facts.tier)

    def _new(self, provider: str, dialect: Dialect, facts: CallFacts) -> Call:
        return Call(next(self._ids), new_decision(), provider, facts, dialect, None, None, self._clock.now())

    def _unheld(self, provider: str, dialect: Dialect) -> Call:
        call = self._new(provider, dialect, CallFacts(dialect.name, provider, "", "", stream=False, cap=None))
        call.settled = True  # already counted as unmetered
        return call

    def _poll(self, provider: str, dialect: Dialect, facts: CallFacts) -> Call:
        """A request that only reads an earlier answer: free itself, and the end of the call that it asks after."""
        call = self._new(provider, dialect, facts)
        call.asks_after = self._settling.asked_after(provider, facts.polls or "")
        return call


def _not_ready() -> Refusal:
    return Refusal(reasons.NOT_READY, reasons.SENTENCES[reasons.NOT_READY], 429, retry_after=1)
