"""The decision on a call, before any money is asked for: a chain of policies over the budgets that match it.

Money itself is the wallet's matter (grants); what is decided here needs no ledger. Each policy looks at one budget and
answers None or a refusal. A budget in Report is asked like any other, but its refusal is only written down.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from wfb_core import reasons
from wfb_core.budget import ALLOW, PRICE_AS, REFUSE, REPORT, STRICT, Budget
from wfb_core.call import CallFacts
from wfb_core.price import Rates
from wfb_core.selectors import model_allowed

NO_TOOLS = frozenset({"agent", "audio_output", "background", "compaction", "fallbacks", "multi_agent", "prediction"})
"""What may bill beyond any bound and is no tool that the provider runs."""


class Question(NamedTuple):
    """What is asked of one budget."""

    budget: Budget
    facts: CallFacts | None
    """None where the call could not be read: an unknown path, or a body that is not its dialect."""
    rates: Rates | None
    """None where no price is known for the model and tier."""
    unread: str = ""
    """Why facts are None: UNMETERED or BODY_NOT_UNDERSTOOD."""
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
    if q.facts is not None or q.budget.unpriced.action == ALLOW:
        return None
    return _refuse(
        q,
        q.unread,
        f"{q.detail or reasons.SENTENCES[q.unread]} Budget {q.budget.key} refuses what it cannot price;"
        " set spec.unpricedModels.action to Allow to let such calls through unmetered",
    )


def model_lists(q: Question) -> Refusal | None:
    """The budget's own lists of models."""
    if q.facts is None or model_allowed(q.budget, q.facts.model):
        return None
    return _refuse(
        q,
        reasons.MODEL_NOT_ALLOWED,
        f"model {q.facts.model!r} is not allowed by budget {q.budget.key} (spec.models); use a model on its list",
    )


def hosted_tools(q: Question) -> Refusal | None:
    """Tools that the provider runs itself: what they bill stands in no request."""
    if q.facts is None or q.budget.hosted_tools != REFUSE:
        return None
    used = [name for name in q.facts.unbounded if name not in NO_TOOLS]
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
    if q.facts is None or q.rates is not None or q.budget.unpriced.action != REFUSE:
        return None
    tier = f" at service tier {q.facts.tier!r}" if q.facts.tier else ""
    return _refuse(
        q,
        reasons.MODEL_UNPRICED,
        f"no price is known for model {q.facts.model!r} of {q.facts.provider}{tier}; add one, or set"
        f" spec.unpricedModels of budget {q.budget.key} to PriceAs or Allow",
    )


def bounded(q: Question) -> Refusal | None:
    """Strict means that no call goes whose cost its body does not bound."""
    if q.facts is None or q.budget.output_bound != STRICT or not q.facts.unbounded:
        return None
    return _refuse(
        q,
        reasons.UNBOUNDED,
        f"{', '.join(q.facts.unbounded)} can cost more than the request shows, and budget {q.budget.key} has"
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
    """Asks every budget that matches the call; all must agree."""
    refusal: Refusal | None = None
    reported: list[Refusal] = []
    for budget in budgets:
        question = Question(budget, facts, rates, unread, detail)
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
