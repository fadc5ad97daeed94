"""The decision on a call, before any money is asked for: a chain of policies over the budgets that match it.

Money itself is the wallet's matter (grants); what is decided here needs no ledger. Each policy looks at one budget and
answers None or a refusal. A budget in Report is asked like any other, but its refusal is only written down.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import NamedTuple

from wfb_core import reasons
from wfb_core.budget import ALLOW, PRICE_AS, REFUSE, REPORT, STRICT, Budget
from wfb_core.call import CallFacts
from wfb_core.price import Rates
from wfb_core.selectors import REMEMBERED_LONGEST, model_allowed

NO_TOOLS = frozenset({"agent", "audio_output", "background", "compaction", "fallbacks", "multi_agent", "prediction"})
"""What may bill beyond any bound and is no tool that the provider runs."""


REMEMBERED = 256
"""Kinds of calls whose verdict is kept; the one unseen for longest gives way."""


class Traits(NamedTuple):
    """All that policies see of a call: calls alike in these are decided alike."""

    provider: str
    model: str
    tier: str | None
    unbounded: tuple[str, ...]
    priced: bool
    """Whether a price is known for the model and tier."""


class Question(NamedTuple):
    """What is asked of one budget."""

    budget: Budget
    call: Traits | None
    """None where the call could not be read: an unknown path, or a body that is not its dialect."""
    unread: str = ""
    """Why there is no call: UNMETERED or BODY_NOT_UNDERSTOOD."""
    detail: str = ""
    """What exactly was not understood, without content."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call does not go, and all that its answer says about it."""

    reason: str
    message: str
    status: int
    budget: str = ""
    window: str = ""
    limit: int | None = None
    spent: int | None = None
    resets_at: float | None = None
    retry_after: int | None = None
    suggested_model: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The chain's answer: the first refusal of an enforcing budget, and what reporting budgets would have refused."""

    refusal: Refusal | None
    reported: tuple[Refusal, ...] = field(default=())


Policy = Callable[[Question], Refusal | None]


def suspended(q: Question) -> Refusal | None:
    """The kill switch comes before everything."""
    if not q.budget.suspend:
        return None
    return _refuse(q, reasons.SUSPENDED, f"budget {q.budget.key} is suspended (spec.suspend: true); set it to false")


def understood(q: Question) -> Refusal | None:
    """A call that cannot be read cannot be priced: unpricedModels decides it."""
    if q.call is not None or q.budget.unpriced.action == ALLOW:
        return None
    return _refuse(
        q,
        q.unread,
        f"{q.detail or reasons.SENTENCES[q.unread]} Budget {q.budget.key} refuses what it cannot price;"
        " set spec.unpricedModels.action to Allow to let such calls through unmetered",
    )


def model_lists(q: Question) -> Refusal | None:
    """The budget's own lists of models."""
    if q.call is None or model_allowed(q.budget, q.call.model):
        return None
    return _refuse(
        q,
        reasons.MODEL_NOT_ALLOWED,
        f"model {q.call.model!r} is not allowed by budget {q.budget.key} (spec.models); use a model on its list",
    )


def hosted_tools(q: Question) -> Refusal | None:
    """Tools that the provider runs itself: what they bill stands in no request."""
    if q.call is None or q.budget.hosted_tools != REFUSE:
        return None
    used = [name for name in q.call.unbounded if name not in NO_TOOLS]
    if not used:
        return None
    return _refuse(
        q,
        reasons.HOSTED_TOOL_NOT_ALLOWED,
        f"{', '.join(used)} runs at the provider and bills beside tokens, and budget {q.budget.key} refuses hosted tools"
        " (spec.models.hostedTools: Refuse); leave it out",
    )


def priced(q: Question) -> Refusal | None:
    """A price that is not known is never zero."""
    if q.call is None or q.call.priced or q.budget.unpriced.action != REFUSE:
        return None
    tier = f" at service tier {q.call.tier!r}" if q.call.tier else ""
    return _refuse(
        q,
        reasons.MODEL_UNPRICED,
        f"no price is known for model {q.call.model!r} of {q.call.provider}{tier}; add one, or set"
        f" spec.unpricedModels of budget {q.budget.key} to PriceAs or Allow",
    )


def bounded(q: Question) -> Refusal | None:
    """Strict means that no call goes whose cost its body does not bound."""
    if q.call is None or q.budget.output_bound != STRICT or not q.call.unbounded:
        return None
    return _refuse(
        q,
        reasons.UNBOUNDED,
        f"{', '.join(q.call.unbounded)} can cost more than the request shows, and budget {q.budget.key} has"
        " outputBound Strict; remove it from the request or set outputBound to Clamp",
    )


CHAIN: tuple[Policy, ...] = (
    suspended,  # a person said stop
    understood,  # what cannot be read has no model to judge
    model_lists,  # before the price: a denied model needs none
    hosted_tools,
    priced,  # before the bound: a bound without a price is no money
    bounded,
)
"""In this order; the first refusal is the one that is told."""


def decide(
    budgets: tuple[Budget, ...],
    facts: CallFacts | None,
    rates: Rates | None,
    unread: str = "",
    detail: str = "",
) -> Verdict:
    """Asks every budget that matches the call; all must agree.

    ``facts`` are None where the call could not be read, and ``unread`` and ``detail`` say why; ``rates`` are None where no
    price is known for its model and tier.
    """
    return _asked(budgets, None if facts is None else _traits(facts, rates), unread, detail)


class Policies:
    """The chain over budgets that stay the same: a call like an earlier one is decided as that one was."""

    def __init__(self, budgets: tuple[Budget, ...]) -> None:
        self._asked = partial(_asked, budgets)
        self._known = lru_cache(REMEMBERED)(self._asked)

    def decide(self, facts: CallFacts, rates: Rates | None) -> Verdict:
        """As `decide` of these budgets."""
        call = _traits(facts, rates)
        # What a request names may be of any length, and is not kept then.
        ordinary = not call.unbounded and len(call.model) + len(call.tier or "") <= REMEMBERED_LONGEST
        return self._known(call) if ordinary else self._asked(call)


def _traits(facts: CallFacts, rates: Rates | None) -> Traits:
    return Traits(facts.provider, facts.model, facts.tier, facts.unbounded, rates is not None)


def _asked(budgets: tuple[Budget, ...], call: Traits | None, unread: str = "", detail: str = "") -> Verdict:
    refusal: Refusal | None = None
    reported: list[Refusal] = []
    for budget in budgets:
        question = Question(budget, call, unread, detail)
        for policy in CHAIN:
            answer = policy(question)
            if answer is None:
                continue
            if budget.enforcement == REPORT:
                reported.append(answer)
            elif refusal is None:
                refusal = answer
            break
    return Verdict(refusal, tuple(reported))


def priced_as(budgets: tuple[Budget, ...]) -> Rates | None:
    """The rates to use for a model without a price: the dearest that a budget states, None where none does."""
    stated = [b.unpriced for b in budgets if b.unpriced.action == PRICE_AS]
    if not stated:
        return None
    return Rates.flat(max(u.input_rate for u in stated), max(u.output_rate for u in stated))


def _refuse(q: Question, reason: str, message: str) -> Refusal:
    return Refusal(reason, message, q.budget.refusal_status, budget=q.budget.key)
