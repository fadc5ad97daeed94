"""What an answer is charged: its parts at their own models' rates, its units, or what the provider itself says it cost."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from wfb_core.call import CallFacts
from wfb_core.dialects.answer import Answer
from wfb_core.price import ModelPrice, Rates, cost, unpriced
from wfb_core.usage import Usage


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge and how sure it is."""

    nanos: int | None
    """Nano-USD; None where no price is known for what was used."""
    list_nanos: int | None
    """What the provider's list price would be, nano-USD: the charge itself unless a contract states other rates."""
    usage: Usage
    """What was used, the request's own units included."""
    reported: bool = False
    """Whether the provider said the cost itself."""
    unknown_model: str | None = None
    """The model that has no price."""
    unknown_tier: str | None = None
    """The service tier that has none: its tokens are charged at the dearest rates known, if at all."""
    unknown_units: tuple[str, ...] = ()
    """What was used and has no rate."""

    @property
    def finding(self) -> str | None:
        """What is not known of its price, in words; None where all is."""
        if self.reported:
            return None
        if self.unknown_model is not None:
            return f"model {self.unknown_model!r} has no price"
        if self.unknown_tier is not None:
            return f"service tier {self.unknown_tier!r} has no price"
        return f"no rate for {', '.join(self.unknown_units)}" if self.unknown_units else None


def used(facts: CallFacts, answer: Answer) -> Usage | None:
    """The usage to charge: the answer's, and of the request's own units what the answer does not count itself."""
    if answer.usage is None:
        # Speech tells nothing: what was asked for is all that is billed.
        return Usage(units=facts.units) if facts.units and not answer.failed else None
    counted = dict(answer.usage.units)
    missing = [(name, count) for name, count in facts.units if name not in counted]
    return replace(answer.usage, units=tuple(sorted((*answer.usage.units, *missing)))) if missing else answer.usage


def charge(
    facts: CallFacts, answer: Answer, find: Callable[[str], ModelPrice | None], fallback: ModelPrice | None = None
) -> Charge | None:
    """The charge of an answer; None where it says nothing of what was used.

    `find` prices a model's name; `fallback` is for those that have none, such as the price of the model requested, or
    one that a budget states.
    """
    usage = used(facts, answer)
    if usage is None:
        return (
            None
            if answer.reported_nanos is None
            else Charge(answer.reported_nanos, answer.reported_nanos, Usage(), reported=True)
        )
    if answer.reported_nanos is not None:
        return Charge(answer.reported_nanos, answer.reported_nanos, usage, reported=True)
    parts = answer.parts if len(answer.parts) > 1 else ((answer.served_model, usage),)
    total, listed, tier_unknown, units = 0, 0, None, list[str]()
    for model, part in parts:
        price = (find(model) if model else None) or (find(facts.model) if facts.model else None) or fallback
        if price is None:
            return Charge(None, None, usage, unknown_model=model or facts.model)
        tier = answer.tier or facts.tier
        rates: Rates | None = price.rates_for(part.input_tokens, tier)
        if rates is None:
            tier_unknown = tier
            rates = price.dearest(facts.tier) or price.dearest(None)
        if rates is None:
            return Charge(None, None, usage, unknown_tier=tier)
        whole = cost(part, rates)
        total, listed = total + whole.total, listed + whole.list_total
        units.extend(unpriced(part, rates))
    return Charge(total, listed, usage, unknown_tier=tier_unknown, unknown_units=tuple(dict.fromkeys(units)))
