"""Downgrading at work: asks another model for a call where a rung wants it, and rests where that model refuses."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from wfb_core import reasons
from wfb_core.call import CallFacts
from wfb_core.decide import Refusal
from wfb_core.dialects import Document, NotUnderstood, serialise
from wfb_core.downgrade import Ask, Wanted, obstacle
from wfb_core.expectation import Expectations
from wfb_core.model_parameters import betas, fit
from wfb_core.money import format_usd
from wfb_core.price import ModelPrice
from wfb_sidecar.books import Books
from wfb_sidecar.call import Call, Downgraded, Instead
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.scope import Scope
from wfb_sidecar.terms import Terms

log = logging.getLogger(__name__)

REST_SECONDS = 600.0
"""How long a step rests for a pair of models after one request was refused: long enough to notice, short enough for a
refusal that was the request's own fault."""

REFUSING = frozenset({400, 403, 404, 405, 413, 422})
"""Statuses by which a provider refuses a model or a parameter; 401 and 429 say nothing of either."""

_BETAS = "anthropic-beta"


@dataclass(slots=True)
class Request:
    """A request as it would be forwarded: what a downgrade may change."""

    method: str
    path: str
    headers: Mapping[str, str]
    document: Document
    set_headers: dict[str, str] = field(default_factory=dict)
    """Headers to forward with another value; empty takes one away."""


@dataclass(frozen=True, slots=True)
class _Rewritten:
    facts: CallFacts
    request: Request
    dropped: tuple[str, ...]


class Downgrading:
    """Asks other models, and remembers which refuse."""

    def __init__(self, clock: LedgerClock, terms: Terms, books: Books, expectations: Expectations) -> None:
        self._clock = clock
        self._terms = terms
        self._books = books
        self._expectations = expectations
        self._resting: dict[tuple[str, str, str], float] = {}

    def change(self, scope: Scope, wishes: Iterable[Wanted], call: Call, request: Request) -> Request | None:
        """The request to another model, the call changed with it; None where its own model stays.

        ``wishes`` are those of the rungs reached, what is wanted most first.
        """
        if call.price is None:
            return None  # nothing is known to be cheaper than what has no price
        for wanted in wishes:
            target = self._terms.price(call.provider, wanted.model, call.row)
            ask = Ask(wanted, call.facts, request.document, call.price, target, scope.budgets)
            if obstacle(ask) is not None or target is None or self._rests(call, wanted.model):
                continue
            rewritten = self._rewrite(call, wanted, target, request)
            if rewritten is None:
                continue
            costs = self._expectations.switched(call.facts, call.price, rewritten.facts, target)
            if costs is None or costs[1] >= costs[0]:
                continue  # the warm cache of the dear model costs less
            text = self._told(call.facts.model, wanted, rewritten, *costs)
            if wanted.reported:
                self._note(wanted, call, reasons.DOWNGRADED, f"would be downgraded under Enforce: {text}")
                call.would = Instead(rewritten.facts, target)
                return None
            self._note(wanted, call, reasons.DOWNGRADED, text)
            call.downgraded = Downgraded(call.facts.model, wanted)
            call.facts, call.price = rewritten.facts, target
            call.rates = target.dearest(rewritten.facts.tier)
            return rewritten.request
        return None

    def refused(self, call: Call, status: int) -> bool:
        """Whether an answer's status means that the model asked instead refuses the request: its step then rests."""
        downgraded = call.downgraded
        if downgraded is None or status not in REFUSING:
            return False
        key = call.provider, downgraded.requested, downgraded.wanted.model
        now = self._clock.now()
        if self._resting.get(key, 0.0) <= now:
            minutes = int(REST_SECONDS // 60)
            text = (
                f"{downgraded.wanted.model!r} refused a request for {downgraded.requested!r} with {status};"
                f" the step of {downgraded.wanted.where} rests for this pair in this sidecar for {minutes} minutes"
            )
            self._note(downgraded.wanted, call, reasons.DOWNGRADE_REFUSED, text)
        self._resting = {k: until for k, until in self._resting.items() if until > now}
        self._resting[key] = now + REST_SECONDS
        return True

    def _rests(self, call: Call, model: str) -> bool:
        return self._resting.get((call.provider, call.facts.model, model), 0.0) > self._clock.now()

    def _rewrite(self, call: Call, wanted: Wanted, target: ModelPrice, request: Request) -> _Rewritten | None:
        """The request as the other model takes it, read anew; None where that cannot be made of it."""
        facts, dialect = call.facts, call.dialect
        fitted = fit(facts.dialect, request.document, wanted.model, target)
        document, headers = fitted.document, dict(request.set_headers)
        if (
            target.max_output
            and facts.cap is not None
            and facts.cap > target.max_output
            and not dialect.clamp(document, facts, target.max_output)
        ):
            return None
        path = dialect.with_model(document, request.path, wanted.model)
        if asked := request.headers.get(_BETAS):
            kept = ",".join(betas([b.strip() for b in asked.split(",")], wanted.model, target))
            if kept != asked:
                headers[_BETAS] = kept
        plain = {k: v for k, v in request.headers.items() if k != "content-encoding"}
        try:
            again, document = dialect.read_request(request.method, path, plain, serialise(document), call.provider)
        except NotUnderstood:
            return None
        if again.model != wanted.model:
            return None  # the path or an agent decides, and was not changed
        changed = Request(request.method, path, request.headers, document, headers)
        return _Rewritten(replace(again, signed=facts.signed), changed, fitted.dropped)

    def _told(self, model: str, wanted: Wanted, rewritten: _Rewritten, going_on: int, changing: int) -> str:
        without = f", without {', '.join(rewritten.dropped)}" if rewritten.dropped else ""
        return (
            f"{model!r} is asked of {wanted.model!r}{without}, as {wanted.where} says:"
            f" ${format_usd(changing)} are expected instead of ${format_usd(going_on)}"
        )

    def _note(self, wanted: Wanted, call: Call, reason: str, text: str) -> None:
        refusal = Refusal(reason, text, 0, wanted.budget.key, wanted.limit.window, wanted.limit.nanos)
        self._books.record(refusal, call.entry, kind="finding")
