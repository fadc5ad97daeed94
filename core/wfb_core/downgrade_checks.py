"""Downgrades that can never happen: to a dearer model, to one without a price, to another provider's; with the figures."""

from collections.abc import Iterator

from wfb_core.budget import DOWNGRADE, Budget, Rung
from wfb_core.downgrade import per_million
from wfb_core.price import ModelPrice, PriceBook
from wfb_core.selectors import matches_model

WAY_OUT = "Name a cheaper model of the same provider whose price is known: wfb prices lists them."
"""What helps against each of them."""


def contradictions(budget: Budget, prices: PriceBook, at: float) -> tuple[str, ...]:
    """A sentence for each pair of a budget's ladders that no call can follow, as prices are at a time; none where all can.

    A pattern that means no model of the price list is no contradiction: it may name a deployment.
    """
    ladders = (budget.ladder, *(limit.ladder or () for limit in budget.limits))
    rungs = [rung for ladder in ladders for rung in ladder if rung.action == DOWNGRADE]
    found = (text for rung in rungs for text in _useless(rung, prices, at))
    return tuple(dict.fromkeys(found))


def _useless(rung: Rung, prices: PriceBook, at: float) -> Iterator[str]:
    for pattern, model in rung.models:
        step = f"at {rung.at_percent} %, {pattern} -> {model}"
        homes = {p: price for p in prices.providers() if (price := prices.find(p, model, at)) is not None}
        if not homes:
            yield f"{step}: no price is known for {model}, so no call goes there"
            continue
        meant = {p: _meant(p, pattern, prices, at) for p in prices.providers()}
        same = [(homes[p], price) for p in homes for price in meant[p] if price.model != homes[p].model]
        if same:
            if not any(_cheaper(to, price) for to, price in same):
                to, dearest = max(same, key=lambda pair: pair[1].standard[0][1].output)
                yield (
                    f"{step}: {model} costs {per_million(to)}, and no model that is meant costs more"
                    f" ({dearest.model}: {per_million(dearest)})"
                )
        elif others := sorted(p for p in meant if meant[p] and p not in homes):
            yield f"{step}: {pattern} is {_list(others)}'s and {model} is {_list(sorted(homes))}'s: a call keeps its provider"


def _meant(provider: str, pattern: str, prices: PriceBook, at: float) -> list[ModelPrice]:
    names = [pattern] if "*" not in pattern else [m for m in prices.models(provider) if matches_model(m, pattern)]
    return [price for name in names if (price := prices.find(provider, name, at)) is not None]


def _cheaper(to: ModelPrice, price: ModelPrice) -> bool:
    """Whether some call may cost less: one of the rates is lower."""
    new, old = to.standard[0][1], price.standard[0][1]
    return new.input < old.input or new.output < old.output


def _list(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
