"""Compiles the price data of genai-prices into a snapshot: `wfb_core.price` says what one looks like.

The control plane does this; sidecars read only the snapshot, which takes them no second and little memory.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from genai_prices import types as data
from genai_prices.data_snapshot import get_snapshot

from wfb_core.money import NANOS_PER_USD, ceil_div
from wfb_core.price import FORMAT, STANDARD_TIERS
from wfb_operator.prices.limits import GAPS, Surcharge, limit_of, surcharges_of

PROVIDERS = ("anthropic", "openai")
"""Compiled where nothing else is asked for: those whose dialects are read."""

CLASSES = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
}
"""The data's price keys that usage is counted by, and the snapshot's names for them."""
FEES = frozenset({"web_searches_kcount", "storage_searches_kcount"})
"""Paid for hosted tools, which the dialects mark as unbounded: no part of what tokens cost."""
TIERS = frozenset({"service_tier", "processing", "speed"})
"""Request contexts of the data that a service tier names; a call has one of them."""
ASKED_WRITES = frozenset({"anthropic"})
"""Providers that write to a cache, and bill it, only where the request asks; others may by themselves."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Compiled prices, and the hash that names them."""

    data: bytes
    sha256: str


class _UnpriceableError(Exception):
    """What the data says of a model cannot be said in token rates."""


def compile_snapshot(
    generated: str, providers: Iterable[str] = PROVIDERS, source: Iterable[data.Provider] | None = None
) -> Snapshot:
    """The snapshot of these providers; the same input always gives the same bytes.

    `generated` is a text such as ``2026-11-23T00:00:00Z``, told and not read; `source` stands in for the bundled data.
    Raises ValueError for a provider the data does not have.
    """
    known = {p.id: p for p in (get_snapshot().providers if source is None else source)}
    wanted = sorted(set(providers))
    missing = [name for name in wanted if name not in known]
    if missing:
        raise ValueError(f"providers {missing} are not in the price data; it has {', '.join(sorted(known))}")
    document = {
        "format": FORMAT,
        "generated": generated,
        "source": f"genai-prices {version('genai-prices')}",
        "providers": {name: _provider(known[name], wanted) for name in wanted},
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    encoded = text.encode()
    return Snapshot(encoded, hashlib.sha256(encoded).hexdigest())


def _provider(provider: data.Provider, wanted: list[str]) -> dict[str, Any]:
    gaps = [{"id": gap.name, "match": gap.match, "unpriced": gap.why} for gap in GAPS if gap.provider == provider.id]
    document: dict[str, Any] = {
        "cache_writes": "asked" if provider.id in ASKED_WRITES else "always",
        "models": gaps + [_model(provider.id, model) for model in provider.models],
    }
    fallback = [name for name in provider.fallback_model_providers or () if name in wanted]
    if fallback:
        document["fallback"] = fallback
    return document


def _model(provider: str, model: data.ModelInfo) -> dict[str, Any]:
    document: dict[str, Any] = {"id": model.id, "match": _clause(model.match)}
    try:
        document["prices"] = _prices(model)
        tiers = _tiers(model)
    except _UnpriceableError as e:
        return document | {"unpriced": str(e)}
    for surcharge in surcharges_of(provider, model.id):
        tiers |= _surcharged(document["prices"], tiers, surcharge)
    if tiers:
        document["tiers"] = tiers
    limit = limit_of(provider, model.id)
    if limit is not None:
        document |= {"max_output": limit.max_output, "context": limit.context, "limits": limit.told}
        if limit.image is not None:
            document["image"] = limit.image
        if limit.suggest:
            document["suggest"] = True
    elif model.context_window is not None:
        document |= {"context": model.context_window, "limits": "genai-prices"}
    return document


def _prices(model: data.ModelInfo) -> list[dict[str, Any]]:
    if isinstance(model.prices, data.ModelPrice):
        entries = [_entry(None, model.prices)]
    else:
        entries = [_entry(price.constraint, price.prices) for price in model.prices]
    if not entries:
        raise _UnpriceableError("the price data states no price for it")
    for entry in entries:
        if "input" not in entry["rates"]:
            raise _UnpriceableError("the price data states no rate for its input tokens")
    return entries


def _tiers(model: data.ModelInfo) -> dict[str, list[dict[str, Any]]]:
    tiers: dict[str, list[dict[str, Any]]] = {}
    for variant in model.price_variants or ():
        if len(variant.when) != 1:
            continue  # a combination is not a tier that one word names: it stays without a price
        ((key, word),) = variant.when.items()
        if key not in TIERS:
            continue
        entry = _entry(variant.constraint, variant.prices)
        if word not in STANDARD_TIERS:
            tiers.setdefault(word, []).append(entry)
        elif entry["rates"]:
            raise _UnpriceableError(f"the price data prices its tier {word!r} apart from the standard one")
    return tiers


def _surcharged(
    prices: list[dict[str, Any]], tiers: dict[str, list[dict[str, Any]]], surcharge: Surcharge
) -> dict[str, list[dict[str, Any]]]:
    """A surcharge's own tiers: over the standard rates, and over every tier that restates all of them."""
    classes = prices[0]["rates"].keys()
    # Of prices the last entry counts, of a tier's the first.
    bases = {surcharge.word: prices[::-1]} | {f"{word}+{surcharge.word}": tiers[word] for word in tiers}
    return {
        word: [{"when": e["when"], "rates": {c: _times(r, surcharge) for c, r in e["rates"].items()}} for e in entries]
        for word, entries in bases.items()
        if all(e["rates"].keys() == classes for e in entries)
    }


def _times(rate: int | list[Any], surcharge: Surcharge) -> int | list[Any]:
    if isinstance(rate, list):
        return [_times(rate[0], surcharge), *([start, _times(step, surcharge)] for start, step in rate[1:])]
    numerator, denominator = surcharge.times
    return ceil_div(rate * numerator, denominator)


def _entry(
    constraint: data.StartDateConstraint | data.TimeOfDateConstraint | None, prices: data.ModelPrice
) -> dict[str, Any]:
    stated = {key: value for key, value in vars(prices).items() if value is not None}
    beyond = sorted(stated.keys() - CLASSES.keys() - FEES)
    if beyond:
        raise _UnpriceableError(f"it is also charged by {', '.join(beyond)}, which usage does not count")
    return {
        "when": _when(constraint),
        "rates": {name: _rate(stated[key]) for key, name in CLASSES.items() if key in stated},
    }


def _when(constraint: data.StartDateConstraint | data.TimeOfDateConstraint | None) -> dict[str, Any]:
    if constraint is None:
        return {}
    if isinstance(constraint, data.StartDateConstraint):
        return {"from": constraint.start_date.isoformat()}
    times = (constraint.start_time, constraint.end_time)
    if any(t.utcoffset() for t in times) or any(t.microsecond for t in times):
        raise _UnpriceableError("its price changes at a time of the day that is not a whole second of UTC")
    return {"daily": [t.strftime("%H:%M:%S") for t in times]}


def _rate(price: Decimal | data.TieredPrices) -> int | list[Any]:
    if isinstance(price, Decimal):
        return _nanos(price)
    steps = {step.start: _nanos(step.price) for step in price.tiers}  # of two steps at one threshold the last counts
    return [_nanos(price.base), *([start, rate] for start, rate in sorted(steps.items()))]


def _nanos(usd: Decimal) -> int:
    """USD per million tokens as nano-USD; what does not fit is rounded up."""
    return int((usd * NANOS_PER_USD).to_integral_value(rounding="ROUND_CEILING"))


def _clause(clause: data.MatchLogic) -> dict[str, Any]:
    ((word, operand),) = vars(clause).items()
    if isinstance(operand, list):
        return {word.removesuffix("_"): [_clause(c) for c in operand]}
    return {word: operand}
