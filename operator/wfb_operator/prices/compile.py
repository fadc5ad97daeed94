"""Compiles the price data of genai-prices into a snapshot: `wfb_core.price` says what one looks like.

The control plane does this; sidecars read only the snapshot, which takes them no second and little memory.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib.metadata import version
from typing import Any

from genai_prices import types as data
from genai_prices.data_snapshot import get_snapshot

from wfb_core.money import NANOS_PER_USD, ceil_div
from wfb_core.price import FORMAT, STANDARD_TIERS, PriceBook
from wfb_operator.prices.limits import (
    FULL_NAMES,
    GAPS,
    SEARCH_MODELS,
    SUGGESTED,
    Surcharge,
    costs_more_in_region,
    gathered_source,
    limit_of,
    more_models,
    more_rates,
    surcharges_of,
)
from wfb_operator.prices.overlay import Overlay

PROVIDERS = (
    *(
        "anthropic",
        "aws",
        "azure",
        "cerebras",
        "cohere",
        "deepseek",
        "fireworks",
        "google",
        "groq",
        "minimax",
        "mistral",
    ),
    *("moonshotai", "openai", "openrouter", "perplexity", "together", "voyageai", "x-ai", "zai"),
    *(
        f"huggingface_{name}"
        for name in (
            *("cerebras", "fireworks-ai", "groq", "hyperbolic", "nebius", "novita", "nscale", "ovhcloud", "publicai"),
            *("sambanova", "together"),
        )
    ),
)
"""Compiled where nothing else is asked for: those whose dialects are read."""

CLASSES = {
    "input_mtok": ("input",),
    "cache_read_mtok": ("cache_read",),
    "cache_write_mtok": ("cache_write",),
    "cache_write_1h_mtok": ("cache_write_1h",),
    "output_mtok": ("output",),
    "output_reasoning_mtok": ("reasoning",),
    "input_audio_mtok": ("audio_input",),
    "cache_audio_read_mtok": ("audio_cache_read",),
    "output_audio_mtok": ("audio_output",),
    "input_image_mtok": ("image_input",),
    "input_video_mtok": ("image_input",),
    "cache_image_read_mtok": ("image_cache_read",),
    "output_image_mtok": ("image_output",),
    "output_video_mtok": ("image_output",),
}
"""The data's price keys that tokens are counted by, and the snapshot's classes; of two for one class the dearer counts."""
UNITS = {
    "audio_hours": (("audio_input_ms", "audio_output_ms"), 3_600_000),
    "input_audio_hours": (("audio_input_ms",), 3_600_000),
    "input_mchars": (("characters",), 1_000_000),
    "input_document_kpages": (("pages",), 1_000),
    "input_annotated_document_kpages": (("annotated_pages",), 1_000),
    "output_citation_mtok": (("citation_tokens",), 1_000_000),
    "requests_kcount": (("requests",), 1_000),
    "storage_searches_kcount": (("storage_searches",), 1_000),
    "web_searches_kcount": (("web_searches",), 1_000),
}
"""Price keys of what is billed beside tokens: the snapshot's units, and how many of them the price is for. A later key
is the more special one and wins."""
TIERS = frozenset({"service_tier", "processing", "speed", "search_type", "route"})
"""Request contexts of the data that a service tier names; a call has one of them."""
STANDARD_WORDS = STANDARD_TIERS | {"web"}
"""Words for what everybody gets, ``web`` for Perplexity's type of search."""
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
    generated: str,
    providers: Iterable[str] | None = PROVIDERS,
    source: Iterable[data.Provider] | None = None,
    overlay: Overlay | None = None,
) -> Snapshot:
    """The snapshot of these providers, None for all; the same input always gives the same bytes.

    `generated` is a text such as ``2026-11-23T00:00:00Z``, told and not read; `source` stands in for the bundled data;
    `overlay` states what a contract changes. Raises ValueError for a provider the data does not have, and for a row of
    the overlay that fits nothing.
    """
    known = {p.id: p for p in (get_snapshot().providers if source is None else source)}
    own = overlay.providers() if overlay is not None else set()
    wanted = sorted(set(known) | own if providers is None else set(providers))
    missing = [name for name in wanted if name not in known and name not in own]
    if missing:
        raise ValueError(f"providers {missing} are not in the price data; it has {', '.join(sorted(known))}")
    told = f"genai-prices {version('genai-prices')}"
    documents = {name: _provider(known.get(name), name, known, wanted) for name in wanted}
    if overlay is not None:
        documents = overlay.applied(documents)
        told += f", {overlay.told}"
    head: dict[str, Any] = {"format": FORMAT, "generated": generated, "source": told, "providers": {}}
    lines = []
    for name, document in sorted(documents.items()):
        head["providers"][name] = document | {"models": len(document["models"])}
        lines += document["models"]
    encoded = "\n".join(map(_text, (head, *lines))).encode()
    PriceBook.from_snapshot(encoded).check()
    return Snapshot(encoded, hashlib.sha256(encoded).hexdigest())


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _provider(
    provider: data.Provider | None, name: str, known: Mapping[str, data.Provider], wanted: list[str]
) -> dict[str, Any]:
    gaps = [{"id": gap.name, "match": gap.match, "unpriced": gap.why} for gap in GAPS if gap.provider == name]
    document: dict[str, Any] = {
        "cache_writes": "asked" if name in ASKED_WRITES else "always",
        "models": gaps + [_model(name, model) for model in _models(provider)],
    }
    document["models"] = _named_in_full(name, document["models"]) + document["models"]
    fallback = [other for other in (provider.fallback_model_providers or () if provider else ()) if other in wanted]
    if fallback:
        document["fallback"] = fallback
        document["models"] += _fallen(name, document["models"], [known[f] for f in fallback if f in known])
    return document


def _named_in_full(name: str, models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of their own for names that the data knows by a pattern; they stand before it."""
    listed = {model["id"]: model for model in models}
    return [
        listed[entry] | {"id": full, "match": {"equals": full}, "suggest": full in SUGGESTED.get(name, ())}
        for full, entry in FULL_NAMES.get(name, {}).items()
        if entry in listed and full not in listed
    ]


def _models(provider: data.Provider | None) -> list[data.ModelInfo]:
    """The data's models, first those that always search, whose names begin like others'.

    One that the data does not list by itself has the token prices of the model that it is made of.
    """
    if provider is None:
        return []
    known = {model.id: model for model in provider.models}
    if provider.id == "openai":
        for name, (_, base, _) in SEARCH_MODELS.items():
            if name not in known and base in known:
                known[name] = replace(known[base], id=name, price_variants=None)
    return sorted(known.values(), key=lambda model: provider.id != "openai" or model.id not in SEARCH_MODELS)


def _fallen(name: str, own: list[dict[str, Any]], fallback: list[data.Provider]) -> list[dict[str, Any]]:
    """Models of others that the provider sells at their price, in tiers of its own."""
    listed = {m["id"] for m in own}
    sold = [m for m in more_models(name) if m not in listed]
    found = []
    for other in fallback:
        for model in other.models:
            if model.id in sold:
                copied = _model(other.id, model, sold_by=name)
                if "unpriced" not in copied:
                    found.append(copied)
                    sold.remove(model.id)
    return found


def _model(provider: str, model: data.ModelInfo, sold_by: str | None = None) -> dict[str, Any]:
    document: dict[str, Any] = {"id": model.id, "match": _clause(model.match)}
    try:
        document["prices"] = _prices(model)
        tiers = {} if sold_by else _tiers(model)
    except _UnpriceableError as e:
        return document | {"unpriced": str(e)}
    if fee := SEARCH_MODELS.get(model.id) if provider == "openai" else None:
        document["match"] = {"starts_with": model.id}
        for entry in document["prices"]:
            entry.setdefault("units", {})["requests"] = fee[0] * 1_000_000
    _add_rates(document["prices"], tiers, more_rates(sold_by or provider, model.id))
    if more_rates(sold_by or provider, model.id):
        document["source"] = f"genai-prices {version('genai-prices')}; tiers and times to live: {gathered_source()}"
    for surcharge in surcharges_of(provider, model.id):
        tiers |= _surcharged(document["prices"], tiers, surcharge)
    if tiers:
        document["tiers"] = tiers
    if costs_more_in_region(sold_by or provider, model.id):
        document["uplift"] = True
    document |= _limits(provider, model, document["prices"])
    return document


_NO_OUTPUT = re.compile(r"embed|rerank|moderation|voyage-|(^|/)(bge|e5|gte)-")
"""Names of models that write nothing."""


def _limits(provider: str, model: data.ModelInfo, prices: list[dict[str, Any]]) -> dict[str, Any]:
    """The documented bounds of a model; one that writes nothing makes no output, nor does one paid by units alone.

    Where no maximum is documented for its output, the window bounds it: what a model writes has to fit in there too.
    """
    limit = limit_of(provider, model.id)
    contexts = [c for c in (limit.context if limit else None, model.context_window) if c is not None]
    context = max(contexts, default=None)
    output = limit.max_output if limit else None
    told = limit.told if limit else "genai-prices"
    if all("output" not in entry["rates"] for entry in prices) and (
        _NO_OUTPUT.search(model.id.lower()) or all(not entry["rates"] for entry in prices)
    ):
        output, told = 0, "it has no rate for output" if context is None else told
    elif output is None and context is not None:
        output, told = context, f"{told}; its output by its window"
    numbers = {"max_output": output, "context": context, "image": limit.image if limit else None}
    known: dict[str, Any] = {key: value for key, value in numbers.items() if value is not None}
    if known:
        known["limits"] = told
    if (limit and limit.suggest) or model.id in SUGGESTED.get(provider, ()):
        known["suggest"] = True
    return known


def _add_rates(
    prices: list[dict[str, Any]], tiers: dict[str, list[dict[str, Any]]], more: Mapping[str, Mapping[str, Any]]
) -> None:
    """Adds classes and tiers that the data does not state; what it states stays."""
    for word, rates in more.items():
        if word == "":
            for entry in prices:
                entry["rates"] = dict(rates) | entry["rates"]
        elif word in tiers:
            for entry in tiers[word]:
                entry["rates"] = dict(rates) | entry["rates"]
        else:
            tiers[word] = [{"when": {}, "rates": dict(rates)}]


def _prices(model: data.ModelInfo) -> list[dict[str, Any]]:
    if isinstance(model.prices, data.ModelPrice):
        entries = [_entry(None, model.prices)]
    else:
        entries = [_entry(price.constraint, price.prices) for price in model.prices]
    if not entries:
        raise _UnpriceableError("the price data states no price for it")
    for entry in entries:
        if "input" not in entry["rates"] and (entry["rates"] or not entry.get("units")):
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
        if word not in STANDARD_WORDS:
            tiers.setdefault(word, []).append(entry)
        elif entry["rates"] or entry.get("units"):
            raise _UnpriceableError(f"the price data prices its tier {word!r} apart from the standard one")
    return tiers


def _surcharged(
    prices: list[dict[str, Any]], tiers: dict[str, list[dict[str, Any]]], surcharge: Surcharge
) -> dict[str, list[dict[str, Any]]]:
    """A surcharge's own tiers: over the standard rates, and over every tier that restates all of them."""
    classes = prices[0]["rates"].keys()
    # Of prices the last entry counts, of a tier's the first.
    joined = {} if surcharge.alone else {f"{word}+{surcharge.word}": tiers[word] for word in tiers}
    bases = {surcharge.word: prices[::-1]} | joined
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
    beyond = sorted(stated.keys() - CLASSES.keys() - UNITS.keys())
    if beyond:
        raise _UnpriceableError(f"it is also charged by {', '.join(beyond)}, which usage does not count")
    entry: dict[str, Any] = {"when": _when(constraint), "rates": {}}
    for key, names in CLASSES.items():
        for name in names if key in stated else ():
            known = entry["rates"].get(name)
            rate = _rate(stated[key])
            entry["rates"][name] = rate if known is None else _dearer(known, rate)
    units = {
        name: _unit(stated[key], count) for key, (names, count) in UNITS.items() if key in stated for name in names
    }
    if units:
        entry["units"] = units
    return entry


def _dearer(one: int | list[Any], other: int | list[Any]) -> int | list[Any]:
    if isinstance(one, list) or isinstance(other, list):
        raise _UnpriceableError("the price data steps the prices of images and of video by context, one by one")
    return max(one, other)


def _unit(price: Decimal | data.TieredPrices, count: int) -> int:
    """Nano-USD per million units of a price for so many; what does not fit is rounded up."""
    if not isinstance(price, Decimal):
        raise _UnpriceableError("the price data steps the price of a unit by context")
    return _whole(price * NANOS_PER_USD * 1_000_000 / count)


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
    return _whole(usd * NANOS_PER_USD)


_NOISE = Decimal("0.000001")
"""What binary fractions leave in the data, such as 0.18000000000000002."""


def _whole(nanos: Decimal) -> int:
    nearest = nanos.to_integral_value()
    return int(
        nearest
        if abs(nanos - nearest) < _NOISE * max(nearest, Decimal(1)) / 1000
        else nanos.to_integral_value("ROUND_CEILING")
    )


def _clause(clause: data.MatchLogic) -> dict[str, Any]:
    ((word, operand),) = vars(clause).items()
    if isinstance(operand, list):
        return {word.removesuffix("_"): [_clause(c) for c in operand]}
    return {word: operand}
