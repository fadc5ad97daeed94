"""What a call costs: rates looked up in a snapshot of price data, whole numbers from end to end.

Rates are nano-USD per million tokens, costs nano-USD. A snapshot is canonical JSON named by the SHA-256 of its bytes:

    {"format": 1, "generated": text, "source": text, "providers": {id: PROVIDER}}
    PROVIDER  {"cache_writes": "asked" | "always", "fallback": [provider id], "models": [MODEL]}; the first match wins
    MODEL     {"id", "match": CLAUSE, "prices": [ENTRY], "tiers": {word: [ENTRY]}, "max_output", "context", "image",
              "limits": text, "suggest": bool}, or {"id", "match", "unpriced": why}
    CLAUSE    {"equals" | "starts_with" | "ends_with" | "contains" | "regex": text} or {"or" | "and": [CLAUSE]}
    ENTRY     {"when": {} | {"from": "2026-10-12"} | {"daily": ["16:30:00", "00:30:00"]}, "rates": {class: RATE}}; UTC
    RATE      rate, or [rate, [tokens, rate], …]: a call with more input tokens than that pays that rate for all of them

Of `prices` the last entry whose time has come counts, else the first. A tier states only what differs from it, and of
its entries the first whose time has come wins, class by class. These are the rules of genai-prices, whose data it is.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, NoReturn, Self

from wfb_core.money import round_div
from wfb_core.usage import Usage

FORMAT = 1
"""The snapshot format that this module reads."""
PER = 1_000_000
"""Tokens that a rate is stated for."""
STANDARD_TIERS = frozenset({None, "", "default", "standard", "auto", "standard_only"})
"""Words for the service tier that everybody gets: OpenAI's and Anthropic's own."""

_DAY, _MINUTE = 86_400, 60
_CACHED = 512
_LONGEST_NAME = 256
_HIGHEST_RATE = 10**16
_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


@dataclass(frozen=True, slots=True)
class Rates:
    """What each class of tokens costs, in nano-USD per million; reasoning is paid as output."""

    input: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    output: int

    @classmethod
    def flat(cls, input_rate: int, output_rate: int) -> Self:
        """One rate for all input, one for all output: what a budget states for a model that nobody prices."""
        return cls(input_rate, input_rate, input_rate, input_rate, output_rate)


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost in nano-USD; the total is exact, its parts are rounded one by one for display and need not add up."""

    total: int
    input: int
    """Input that no cache served or stored."""
    cache_read: int
    cache_write: int
    output: int


def cost(usage: Usage, rates: Rates) -> Cost:
    """The cost of a usage: products summed first, rounded half up once."""
    fresh = usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens
    parts = (
        fresh * rates.input,
        usage.cache_read_tokens * rates.cache_read,
        (usage.cache_write_tokens - usage.cache_write_1h_tokens) * rates.cache_write
        + usage.cache_write_1h_tokens * rates.cache_write_1h,
        usage.output_tokens * rates.output,
    )
    return Cost(round_div(sum(parts), PER), *(round_div(part, PER) for part in parts))


Steps = tuple[tuple[int, Rates], ...]
"""(input tokens, rates that a call with more of them pays), ascending; the first starts below zero."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What one model costs at one time, and the bounds the provider documents for it."""

    provider: str
    model: str
    """The price list's own name for the model; several names of the provider's may lead to it."""
    version: str
    """The snapshot it is from."""
    standard: Steps
    tiers: Mapping[str, Steps] = field(default_factory=dict)
    """The service tiers with rates of their own, by the provider's word for them."""
    max_output: int | None = None
    """The most output tokens the model makes for one choice."""
    context: int | None = None
    """The most input tokens it reads."""
    image_tokens: int | None = None
    """The most input tokens that one image becomes."""
    bills_writes: bool = True
    """Whether cache writes are billed though the request asks for none."""
    since: str = ""
    """The date from which these rates count; empty where the data names none."""
    limits_source: str = ""
    every_tier: bool = False
    """Whether the standard rates are meant for any tier: told prices do not know tiers."""

    @classmethod
    def flat(cls, rates: Rates, model: str = "", *, max_output: int | None = None, context: int | None = None) -> Self:
        """A price that somebody states for a model nobody lists."""
        return cls("", model, "stated", ((-1, rates),), max_output=max_output, context=context, every_tier=True)

    def steps(self, tier: str | None = None) -> Steps | None:
        """The context tiers of a service tier; None where that service tier has no price."""
        if self.every_tier or tier in STANDARD_TIERS:
            return self.standard
        return self.tiers.get(tier or "")

    def rates_for(self, input_tokens: int, tier: str | None = None) -> Rates | None:
        """What a call with so much input pays; None where the service tier has no price, which is never standard."""
        steps = self.steps(tier)
        if steps is None:
            return None
        return next(rates for start, rates in reversed(steps) if input_tokens > start)

    def dearest(self, tier: str | None = None, input_tokens: int | None = None) -> Rates | None:
        """The highest rate of each class over the context tiers, of those within reach where an upper bound is known.

        None where the service tier has no price.
        """
        steps = self.steps(tier)
        if steps is None:
            return None
        reach = [r for start, r in steps if input_tokens is None or input_tokens > start]
        if len(reach) == 1:
            return reach[0]
        return Rates(
            max(r.input for r in reach),
            max(r.cache_read for r in reach),
            max(r.cache_write for r in reach),
            max(r.cache_write_1h for r in reach),
            max(r.output for r in reach),
        )


# -- the snapshot as it is held

_Clause = tuple[str, Any]
_Rate = tuple[tuple[int, int], ...]
_CLASSES = ("input", "cache_read", "cache_write", "cache_write_1h", "output")
_FALLS_TO = {"cache_read": "input", "cache_write": "input", "cache_write_1h": "cache_write", "output": "input"}
"""A class without a rate pays the rate of the class it is part of; output pays the input's: never nothing."""


@dataclass(frozen=True, slots=True)
class _When:
    since: float = float("-inf")
    daily: tuple[float, float] | None = None
    text: str = ""

    def active(self, at: float) -> bool:
        if self.daily is None:
            return at >= self.since
        start, end = self.daily
        second = at % _DAY
        return start <= second < end if start <= end else second >= start or second < end


@dataclass(frozen=True, slots=True)
class _Entry:
    when: _When
    rates: dict[str, _Rate]


@dataclass(frozen=True, slots=True)
class _Model:
    id: str
    match: _Clause
    unpriced: str
    prices: tuple[_Entry, ...] = ()
    tiers: dict[str, tuple[_Entry, ...]] = field(default_factory=dict)
    max_output: int | None = None
    context: int | None = None
    image: int | None = None
    limits: str = ""
    suggest: bool = False

    @property
    def period(self) -> int:
        """Seconds within which, counted from midnight UTC, its price does not change."""
        entries = [*self.prices, *(e for tier in self.tiers.values() for e in tier)]
        return _MINUTE if any(e.when.daily for e in entries) else _DAY


@dataclass(frozen=True, slots=True)
class _Provider:
    bills_writes: bool
    fallback: tuple[str, ...]
    models: tuple[_Model, ...]

    def match(self, name: str) -> _Model | None:
        return next((m for m in self.models if _matches(m.match, name)), None)


class PriceBook:
    """The prices of one snapshot: look-ups are remembered, the rest is read where it lies."""

    def __init__(self, providers: Mapping[str, _Provider], version: str, source: str, generated: str) -> None:
        self._providers = providers
        self._found: dict[tuple[str, str], tuple[float, float, ModelPrice | None]] = {}
        self.version = version
        """SHA-256 of the snapshot's bytes, in hexadecimal."""
        self.source = source
        """The data the snapshot was made of, with its version."""
        self.generated = generated
        """When, as its maker said."""

    @classmethod
    def from_snapshot(cls, snapshot: bytes) -> Self:
        """Reads a snapshot; raises ValueError naming the field for anything that is not one, whole."""
        try:
            document = json.loads(snapshot, parse_float=_no_float, parse_constant=_no_float)
        except (ValueError, RecursionError) as e:
            raise ValueError(f"price snapshot: not JSON as it was written ({e}); compile it anew") from None
        top = _mapping(document, "the document")
        if top.get("format") != FORMAT:
            _fail("format", top.get("format"), f"this version reads format {FORMAT}; compile it anew")
        try:
            providers = {
                name: _provider(value, f"providers.{name}")
                for name, value in _mapping(top.get("providers"), "providers").items()
            }
        except RecursionError:
            raise ValueError("price snapshot: providers is nested too deeply; compile it anew") from None
        source, generated = (_text(top.get(key), key) for key in ("source", "generated"))
        return cls(providers, hashlib.sha256(snapshot).hexdigest(), source, generated)

    def find(self, provider: str, model: str, at: float) -> ModelPrice | None:
        """The price of a model at a time in Unix seconds; None where none is known, which is never zero."""
        key = provider, model
        known = self._found.get(key)
        if known is not None and known[0] <= at < known[1]:
            return known[2]
        home, entry = self._entry(provider, model)
        period = entry.period if entry is not None else _DAY
        start = at // period * period
        price = None if entry is None or entry.unpriced else self._resolve(provider, home, entry, at)
        if len(model) <= _LONGEST_NAME:
            if len(self._found) >= _CACHED:
                self._found.clear()
            self._found[key] = (start, start + period, price)
        return price

    def why_unpriced(self, provider: str, model: str) -> str:
        """Why `find` has no price, in a sentence; empty where it has one."""
        if provider not in self._providers:
            return f"the price list ({self.source}) has no provider {provider!r}"
        _, entry = self._entry(provider, model)
        if entry is None:
            return f"the price list ({self.source}) has no model of {provider} that matches {model!r}"
        return entry.unpriced

    def cheaper(self, provider: str, model: str, at: float) -> tuple[str, ...]:
        """Models of the same provider worth suggesting that cost less for input and output, the dearest first."""
        price = self.find(provider, model, at)
        known = self._providers.get(provider)
        if price is None or known is None:
            return ()
        top = price.standard[0][1]
        found: list[tuple[int, int, str]] = []
        for entry in known.models:
            other = self.find(provider, entry.id, at) if entry.suggest else None
            if other is None or other.model == price.model:
                continue
            rates = other.standard[0][1]
            if rates.input <= top.input and rates.output <= top.output and rates != top:
                found.append((-rates.output, -rates.input, entry.id))
        return tuple(name for _, _, name in sorted(found))

    def providers(self) -> tuple[str, ...]:
        """The providers it has prices for."""
        return tuple(self._providers)

    def models(self, provider: str) -> tuple[str, ...]:
        """The price list's names of the models of a provider that have a price, as a call could ask for them."""
        known = self._providers.get(provider)
        if known is None:
            return ()
        return tuple(m.id for m in known.models if not m.unpriced and known.match(m.id.lower()) is m)

    def changes(self, provider: str, model: str) -> tuple[float, ...]:
        """The times in Unix seconds at which a model's price changed or will, ascending."""
        _, entry = self._entry(provider, model)
        if entry is None:
            return ()
        entries = [*entry.prices, *(e for tier in entry.tiers.values() for e in tier)]
        return tuple(sorted({e.when.since for e in entries if e.when.since != float("-inf")}))

    def _entry(self, provider: str, model: str) -> tuple[_Provider | None, _Model | None]:
        """The entry that a name leads to, and the provider it is from."""
        known = self._providers.get(provider)
        if known is None or len(model) > _LONGEST_NAME:
            return None, None
        name = model.lower()
        dashed = _COMPACT_DATE.sub(_dash, name)
        for text in dict.fromkeys((name, dashed)):
            for home in (known, *(self._providers[f] for f in known.fallback if f in self._providers)):
                entry = home.match(text)
                if entry is not None:
                    return home, entry
        return None, None

    def _resolve(self, provider: str, home: _Provider | None, entry: _Model, at: float) -> ModelPrice:
        standard = next((e for e in reversed(entry.prices) if e.when.active(at)), entry.prices[0])
        own = self._providers[provider]
        tiers: dict[str, Steps] = {}
        # Another provider's tiers say nothing about this one's.
        for word, variants in entry.tiers.items() if home is own else ():
            active = [v for v in variants if v.when.active(at)]
            if not active:
                continue
            merged = dict(standard.rates)
            for variant in reversed(active):
                merged.update(variant.rates)
            tiers[word] = _steps(merged)
        return ModelPrice(
            provider,
            entry.id,
            self.version,
            _steps(standard.rates),
            tiers,
            entry.max_output,
            entry.context,
            entry.image,
            own.bills_writes,
            standard.when.text,
            entry.limits,
        )


def _steps(rates: Mapping[str, _Rate]) -> Steps:
    """The rates of all classes at every threshold that any of them has."""
    full = dict(rates)
    for name in _CLASSES[1:]:
        full.setdefault(name, full[_FALLS_TO[name]])
    starts = sorted({start for rate in full.values() for start, _ in rate})
    return tuple((start, Rates(*(_at(full[name], start) for name in _CLASSES))) for start in starts)


def _at(rate: _Rate, start: int) -> int:
    return next(value for begin, value in reversed(rate) if begin <= start)


def _matches(clause: _Clause, name: str) -> bool:
    word, value = clause
    match word:
        case "equals":
            return bool(name == value)
        case "starts_with":
            return name.startswith(value)
        case "ends_with":
            return name.endswith(value)
        case "contains":
            return value in name
        case "regex":
            return value.search(name) is not None
        case "or":
            return any(_matches(c, name) for c in value)
        case _:
            return all(_matches(c, name) for c in value)


def _dash(found: re.Match[str]) -> str:
    """``-20251211`` as ``-2025-12-11``, the form the data knows; routers send the other."""
    year, month, day = (int(found.group(i)) for i in (1, 2, 3))
    try:
        date(year, month, day)
    except ValueError:
        return found.group(0)
    return f"-{year:04d}-{month:02d}-{day:02d}"


# -- reading the snapshot: every value is checked once, here


def _fail(where: str, value: object, expected: str) -> NoReturn:
    raise ValueError(f"price snapshot: {where} is {repr(value)[:80]}: {expected}")


def _no_float(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a whole number, and money is never a float")


def _mapping(value: object, where: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else _fail(where, value, "an object is expected")


def _list(value: object, where: str) -> list[Any]:
    return value if isinstance(value, list) else _fail(where, value, "a list is expected")


def _text(value: object, where: str) -> str:
    return value if isinstance(value, str) else _fail(where, value, "a text is expected")


def _whole(value: object, where: str, highest: int = _HIGHEST_RATE) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= highest:
        _fail(where, value, f"a whole number from 0 to {highest} is expected")
    return value


def _provider(value: object, where: str) -> _Provider:
    document = _mapping(value, where)
    writes = document.get("cache_writes")
    if writes not in ("asked", "always"):
        _fail(f"{where}.cache_writes", writes, '"asked" or "always" is expected')
    fallback = _list(document.get("fallback", []), f"{where}.fallback")
    models = _list(document.get("models"), f"{where}.models")
    return _Provider(
        writes == "always",
        tuple(_text(f, f"{where}.fallback[{i}]") for i, f in enumerate(fallback)),
        tuple(_model(m, f"{where}.models[{i}]") for i, m in enumerate(models)),
    )


def _model(value: object, where: str) -> _Model:
    document = _mapping(value, where)
    name = _text(document.get("id"), f"{where}.id")
    match = _clause(document.get("match"), f"{where}.match")
    if "unpriced" in document:
        why = _text(document["unpriced"], f"{where}.unpriced")
        return _Model(name, match, why or _fail(f"{where}.unpriced", why, "a reason is expected"))
    prices = _entries(document.get("prices"), f"{where}.prices")
    for i, entry in enumerate(prices):
        if "input" not in entry.rates:
            _fail(f"{where}.prices[{i}].rates", sorted(entry.rates), "an input rate is expected")
    tiers = {
        word: _entries(variants, f"{where}.tiers.{word}")
        for word, variants in _mapping(document.get("tiers", {}), f"{where}.tiers").items()
    }
    limits = {
        key: None if document.get(key) is None else _whole(document[key], f"{where}.{key}")
        for key in ("max_output", "context", "image")
    }
    suggest = document.get("suggest", False)
    if not isinstance(suggest, bool):
        _fail(f"{where}.suggest", suggest, "true or false is expected")
    source = _text(document.get("limits", ""), f"{where}.limits")
    return _Model(name, match, "", prices, tiers, **limits, limits=source, suggest=suggest)


def _entries(value: object, where: str) -> tuple[_Entry, ...]:
    entries = _list(value, where)
    if not entries:
        _fail(where, entries, "at least one price is expected")
    return tuple(_entry(entry, f"{where}[{i}]") for i, entry in enumerate(entries))


def _entry(value: object, where: str) -> _Entry:
    document = _mapping(value, where)
    rates = _mapping(document.get("rates"), f"{where}.rates")
    for name in rates:
        if name not in _CLASSES:
            _fail(f"{where}.rates", name, f"one of {', '.join(_CLASSES)} is expected")
    return _Entry(
        _when(document.get("when", {}), f"{where}.when"),
        {name: _rate(rate, f"{where}.rates.{name}") for name, rate in rates.items()},
    )


def _rate(value: object, where: str) -> _Rate:
    if not isinstance(value, list):
        return ((-1, _whole(value, where)),)
    if not value:
        _fail(where, value, "a rate is expected")
    rate = [(-1, _whole(value[0], f"{where}[0]"))]
    for i, step in enumerate(value[1:], 1):
        pair = _list(step, f"{where}[{i}]")
        if len(pair) != 2:
            _fail(f"{where}[{i}]", step, "[input tokens, rate] is expected")
        start = _whole(pair[0], f"{where}[{i}][0]")
        if start <= rate[-1][0]:
            _fail(f"{where}[{i}][0]", start, "thresholds must rise")
        rate.append((start, _whole(pair[1], f"{where}[{i}][1]")))
    return tuple(rate)


def _when(value: object, where: str) -> _When:
    document = _mapping(value, where)
    unknown = [key for key in document if key not in ("from", "daily")]
    if unknown or len(document) > 1:
        _fail(where, document, 'nothing, or one of "from" and "daily", is expected')
    try:
        if "from" in document:
            text = _text(document["from"], f"{where}.from")
            day = date.fromisoformat(text)
            since = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
            return _When(since, text=text)
        if "daily" in document:
            start, end = (_second(t) for t in _list(document["daily"], f"{where}.daily"))
            return _When(daily=(start, end), text="daily " + "-".join(document["daily"]))
    except (TypeError, ValueError) as e:
        if str(e).startswith("price snapshot"):
            raise
        _fail(where, document, 'a date, or two times of the day such as "16:30:00", is expected')
    return _When()


def _second(text: str) -> float:
    at = time.fromisoformat(text)
    return at.hour * 3600 + at.minute * 60 + at.second


def _clause(value: object, where: str) -> _Clause:
    document = _mapping(value, where)
    if len(document) != 1:
        _fail(where, document, "one clause is expected")
    word, operand = next(iter(document.items()))
    match word:
        case "or" | "and":
            return word, tuple(_clause(c, f"{where}.{word}[{i}]") for i, c in enumerate(_list(operand, where)))
        case "regex":
            try:
                return word, re.compile(_text(operand, f"{where}.regex"))
            except (re.error, OverflowError) as e:
                _fail(f"{where}.regex", operand, f"a regular expression is expected ({e})")
        case "equals" | "starts_with" | "ends_with" | "contains":
            return word, _text(operand, f"{where}.{word}").lower()
    _fail(where, word, "one of equals, starts_with, ends_with, contains, regex, or, and is expected")
