"""What a call costs: rates looked up in a snapshot of price data, whole numbers from end to end.

Rates are nano-USD per million tokens or units, costs nano-USD. A snapshot is lines of canonical JSON, named by the
SHA-256 of its bytes: a head, then for every provider of the head, in its order, its models, one a line.

    HEAD      {"format": 2, "generated": text, "source": text, "providers": {id: PROVIDER}}
    PROVIDER  {"cache_writes": "asked" | "always", "fallback": [provider id], "models": count}; the first match wins.
              The id "openai@*.example.com" holds what a contract changes for calls to such hosts
    MODEL     {"id", "match": CLAUSE, "prices": [ENTRY], "tiers": {word: [ENTRY]}, "max_output", "context", "image",
              "limits": text, "suggest": bool, "uplift": bool, "source": text}, or {"id", "match", "unpriced": why}
    CLAUSE    {"equals" | "starts_with" | "ends_with" | "contains" | "regex": text} or {"or" | "and": [CLAUSE]}
    ENTRY     {"when": {} | {"from": "2026-10-12"} | {"daily": ["16:30:00", "00:30:00"]}, "rates": {class: RATE},
              "units": {unit: rate}, "list": {class: RATE}, "list_units": {unit: rate}}; UTC
    RATE      rate, or [rate, [tokens, rate], …]: a call with more input tokens than that pays that rate for all of them

Of `prices` the last entry whose time has come counts, else the first. A tier states only what differs from it, and of
its entries the first whose time has come wins, class by class. These are the rules of genai-prices, whose data it is.
`list` is the provider's own price where a contract states another.

A provider's models are read when one of them is first asked for, and the rest of a model when it is: what is never
asked for costs its bytes.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from fnmatch import fnmatchcase
from typing import Any, NoReturn, Self

from wfb_core.model_names import HUGGING_FACE, names, routed
from wfb_core.rates import CLASSES, PER, Cost, Rates, cost, unpriced
from wfb_core.usage import UNITS

__all__ = [
    "FORMAT",
    "PER",
    "STANDARD_TIERS",
    "Cost",
    "ModelPrice",
    "PriceBook",
    "Rates",
    "cost",
    "unpriced",
    "uplifted",
]

FORMAT = 2
"""The snapshot format that this module reads."""
STANDARD_TIERS = frozenset({None, "", "default", "standard", "auto", "standard_only", "on_demand"})
"""Words for the service tier that everybody gets: the providers' own, and ``on_demand`` for Groq's and Vertex's."""

_DAY, _MINUTE = 86_400, 60
_CACHED = 512
_LONGEST_NAME = 512
_HIGHEST_RATE = 10**17


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
    source: str = ""
    """The data that its rates are from, with its version; a contract's file and line."""
    uplift: bool = False
    """Whether a host that keeps data in its region charges more for the model: `uplifted`."""

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
        if len(steps) == 1:
            return steps[0][1]
        return next(rates for start, rates in reversed(steps) if input_tokens > start)

    def dearest(self, tier: str | None = None, input_tokens: int | None = None) -> Rates | None:
        """The highest rate of each class over the context tiers, of those within reach where an upper bound is known.

        None where the service tier has no price.
        """
        steps = self.steps(tier)
        if steps is None:
            return None
        if len(steps) == 1:
            return steps[0][1]
        return Rates.dearest(tuple(r for start, r in steps if input_tokens is None or input_tokens > start))


def uplifted(price: ModelPrice, percent: int) -> ModelPrice:
    """The price at a host that adds a percentage to the rates of some models, such as `HostRow.rates_uplift_percent`.

    The same price where the percentage is zero, or the model is not one of those. Contract prices for a host say all
    and are not raised. Rates for tokens rise, rounded up; fees for units do not.
    """
    if not percent or not price.uplift:
        return price
    standard, *others = (
        tuple((start, rates.times(100 + percent, 100)) for start, rates in steps)
        for steps in (price.standard, *price.tiers.values())
    )
    return replace(
        price,
        standard=standard,
        tiers=dict(zip(price.tiers, others, strict=True)),
        source=f"{price.source}, and {percent}% that the host adds",
    )


# -- the snapshot as it is held

_Clause = tuple[str, Any]
_Rate = tuple[tuple[int, int], ...]


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
    units: dict[str, int] = field(default_factory=dict)
    list_rates: dict[str, _Rate] = field(default_factory=dict)
    list_units: dict[str, int] = field(default_factory=dict)

    @property
    def contract(self) -> bool:
        return bool(self.list_rates or self.list_units)

    def listed(self) -> "_Entry":
        """This entry as the provider's list has it."""
        return _Entry(self.when, self.list_rates, self.list_units) if self.contract else self

    def over(self, base: "_Entry") -> "_Entry":
        """This entry where it states something, else another."""
        return _Entry(base.when, base.rates | self.rates, base.units | self.units)


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
    uplift: bool = False
    source: str = ""

    @property
    def period(self) -> int:
        """Seconds within which, counted from midnight UTC, its price does not change."""
        entries = [*self.prices, *(e for tier in self.tiers.values() for e in tier)]
        return _MINUTE if any(e.when.daily for e in entries) else _DAY


class _Provider:
    """A provider's models: held as bytes, indexed by name at first use, each read at its own."""

    def __init__(self, name: str, head: Mapping[str, Any], lines: tuple[bytes, ...]) -> None:
        where = f"providers.{name}"
        writes = head.get("cache_writes")
        if writes not in ("asked", "always"):
            _fail(f"{where}.cache_writes", writes, '"asked" or "always" is expected')
        fallback = _list(head.get("fallback", []), f"{where}.fallback")
        self.id = name
        self.bills_writes = writes == "always"
        self.fallback = tuple(_text(f, f"{where}.fallback[{i}]") for i, f in enumerate(fallback))
        self._lines = lines
        self._read: dict[int, _Model] = {}
        self._named: dict[str, int] | None = None
        self._others: list[tuple[int, _Clause]] = []
        self._suggested: list[int] = []

    def match(self, name: str) -> _Model | None:
        """The first model whose clause a name satisfies."""
        named = self._index() if self._named is None else self._named
        best = named.get(name, len(self._lines))
        for place, clause in self._others:
            if place >= best:
                break
            if _matches(clause, name):
                best = place
                break
        return self._model(best) if best < len(self._lines) else None

    def models(self) -> tuple[_Model, ...]:
        """All of them; raises ValueError where one cannot be read."""
        return tuple(map(self._model, range(len(self._lines))))

    def suggested(self) -> tuple[_Model, ...]:
        """Those worth suggesting."""
        if self._named is None:
            self._index()
        return tuple(map(self._model, self._suggested))

    def _model(self, place: int) -> _Model:
        found = self._read.get(place)
        if found is None:
            where = f"providers.{self.id}.models[{place}]"
            found = self._read[place] = _model(_document(self._lines[place], where), where)
        return found

    def _index(self) -> dict[str, int]:
        named: dict[str, int] = {}
        others: list[tuple[int, _Clause]] = []
        suggested: list[int] = []
        for place, line in enumerate(self._lines):
            where = f"providers.{self.id}.models[{place}]"
            document = _mapping(_document(line, where), where)
            match = _clause(document.get("match"), f"{where}.match")
            exact, rest = _exact(match)
            for name in exact:
                named.setdefault(name, place)
            if rest is not None:
                others.append((place, rest))
            if document.get("suggest"):
                suggested.append(place)
        self._others, self._suggested, self._named = others, suggested, named
        return named


def _exact(clause: _Clause) -> tuple[list[str], _Clause | None]:
    """The names that a clause spells out, and what else it says."""
    word, value = clause
    if word == "equals":
        return [value], None
    if word != "or":
        return [], clause
    spelled = [c[1] for c in value if c[0] == "equals"]
    rest = tuple(c for c in value if c[0] != "equals")
    return spelled, ("or", rest) if rest else None


class PriceBook:
    """The prices of one snapshot: look-ups are remembered, the rest is read where it lies."""

    def __init__(self, providers: Mapping[str, _Provider], version: str, source: str, generated: str) -> None:
        self._providers = providers
        self._hosts = {p: tuple(k for k in providers if k.startswith(f"{p}@")) for p in providers if "@" not in p}
        self._found: dict[tuple[str, str, str], tuple[float, float, ModelPrice | None]] = {}
        self.version = version
        """SHA-256 of the snapshot's bytes, in hexadecimal."""
        self.source = source
        """The data the snapshot was made of, with its version."""
        self.generated = generated
        """When, as its maker said."""

    @classmethod
    def from_snapshot(cls, snapshot: bytes) -> Self:
        """Reads a snapshot's head; raises ValueError naming the field for anything that is not one, whole.

        Models are read when they are asked for: whoever did not make the snapshot, or hash it, calls `check` first.
        """
        head, *lines = snapshot.split(b"\n")
        top = _mapping(_document(head, "the head"), "the head")
        if top.get("format") != FORMAT:
            _fail("format", top.get("format"), f"this version reads format {FORMAT}; compile it anew")
        providers: dict[str, _Provider] = {}
        place = 0
        for name, value in _mapping(top.get("providers"), "providers").items():
            document = _mapping(value, f"providers.{name}")
            count = _whole(document.get("models"), f"providers.{name}.models")
            if place + count > len(lines):
                _fail(f"providers.{name}.models", count, f"{len(lines) - place} lines follow; compile it anew")
            providers[name] = _Provider(name, document, tuple(lines[place : place + count]))
            place += count
        if place != len(lines):
            _fail("the number of lines", len(lines), f"{place} models are expected; compile it anew")
        source, generated = (_text(top.get(key), key) for key in ("source", "generated"))
        return cls(providers, hashlib.sha256(snapshot).hexdigest(), source, generated)

    def check(self) -> Self:
        """This book, every model of it read; raises ValueError naming the field where one is damaged."""
        for provider in self._providers.values():
            provider.models()
            provider.suggested()
        return self

    def find(self, provider: str, model: str, at: float, host: str = "") -> ModelPrice | None:
        """The price of a model at a time in Unix seconds; None where none is known, which is never zero.

        `host` is where the call goes: a contract may state a price for it alone.
        """
        key = provider, model, host
        known = self._found.get(key)
        if known is not None and known[0] <= at < known[1]:
            return known[2]
        home, entry = self._entry(provider, model, host)
        period = entry.period if entry is not None else _DAY
        start = at // period * period
        price = None
        if home is not None and entry is not None and not entry.unpriced:
            price = self._resolve(provider, routed(provider, model)[0], home, entry, at)
        if len(model) <= _LONGEST_NAME:
            if len(self._found) >= _CACHED:
                self._found.clear()
            self._found[key] = (start, start + period, price)
        return price

    def why_unpriced(self, provider: str, model: str) -> str:
        """Why `find` has no price, in a sentence; empty where it has one."""
        billed_by, name = routed(provider, model)
        if billed_by not in self._providers:
            if provider == HUGGING_FACE and billed_by == provider:
                return f"the router picks who serves {model!r}: name the provider, such as {model + ':together'!r}"
            return f"the price list ({self.source}) has no provider {billed_by!r}"
        _, entry = self._entry(provider, model)
        if entry is None:
            return f"the price list ({self.source}) has no model of {billed_by} that matches {name!r}"
        return entry.unpriced

    def cheaper(self, provider: str, model: str, at: float) -> tuple[str, ...]:
        """Models of the same provider worth suggesting that cost less for input and output, the dearest first."""
        price = self.find(provider, model, at)
        known = self._providers.get(provider)
        if price is None or known is None:
            return ()
        top = price.standard[0][1]
        found: list[tuple[int, int, str]] = []
        for entry in known.suggested():
            other = self.find(provider, entry.id, at)
            if other is None or other.model == price.model:
                continue
            rates = other.standard[0][1]
            if rates.input <= top.input and rates.output <= top.output and rates != top:
                found.append((-rates.output, -rates.input, entry.id))
        return tuple(name for _, _, name in sorted(found))

    def providers(self) -> tuple[str, ...]:
        """The providers it has prices for."""
        return tuple(self._hosts)

    def models(self, provider: str) -> tuple[str, ...]:
        """The price list's names of the models of a provider that have a price, as a call could ask for them."""
        known = self._providers.get(provider)
        if known is None:
            return ()
        return tuple(m.id for m in known.models() if not m.unpriced and known.match(m.id.lower()) is m)

    def hosts(self, provider: str) -> tuple[str, ...]:
        """The patterns of hosts that a contract states prices of a provider for."""
        return tuple(key.partition("@")[2] for key in self._hosts.get(provider, ()))

    def changes(self, provider: str, model: str) -> tuple[float, ...]:
        """The times in Unix seconds at which a model's price changed or will, ascending."""
        _, entry = self._entry(provider, model)
        if entry is None:
            return ()
        entries = [*entry.prices, *(e for tier in entry.tiers.values() for e in tier)]
        return tuple(sorted({e.when.since for e in entries if e.when.since != float("-inf")}))

    def _entry(self, provider: str, model: str, host: str = "") -> tuple[_Provider | None, _Model | None]:
        """The entry that a name leads to, and the provider it is from."""
        provider, model = routed(provider, model)
        known = self._providers.get(provider)
        if known is None or len(model) > _LONGEST_NAME:
            return None, None
        special = self._hosts.get(provider, ()) if host else ()
        homes = [self._providers[key] for key in special if fnmatchcase(host.lower(), key.partition("@")[2])]
        homes += [known, *(self._providers[f] for f in known.fallback if f in self._providers)]
        for text in dict.fromkeys(names(provider, model)):
            for home in homes:
                entry = home.match(text)
                if entry is not None:
                    return home, entry
        return None, None

    def _resolve(self, provider: str, billed_by: str, home: _Provider, entry: _Model, at: float) -> ModelPrice:
        standard = next((e for e in reversed(entry.prices) if e.when.active(at)), entry.prices[0])
        tiers: dict[str, Steps] = {}
        # Another provider's tiers say nothing about this one's.
        for word, variants in entry.tiers.items() if home.id.partition("@")[0] == billed_by else ():
            active = [v for v in variants if v.when.active(at)]
            if not active:
                continue
            merged, listed = standard, standard.listed()
            for variant in reversed(active):
                merged, listed = variant.over(merged), variant.listed().over(listed)
            contract = standard.contract or any(v.contract for v in active)
            tiers[word] = _steps(merged, listed if contract else None)
        return ModelPrice(
            provider,
            entry.id,
            self.version,
            _steps(standard, standard.listed() if standard.contract else None),
            tiers,
            entry.max_output,
            entry.context,
            entry.image,
            self._providers[billed_by].bills_writes,
            standard.when.text,
            entry.limits,
            source=entry.source or self.source,
            uplift=entry.uplift and "@" not in home.id,
        )


def _steps(entry: _Entry, listed: _Entry | None = None) -> Steps:
    """The rates of all classes at every threshold that any of them has."""
    every = [*entry.rates.values(), *(listed.rates.values() if listed is not None else ())]
    starts = sorted({-1, *(start for rate in every for start, _ in rate)})
    return tuple((start, _rates_at(entry, start, listed)) for start in starts)


def _rates_at(entry: _Entry, start: int, listed: _Entry | None) -> Rates:
    rates = {name: _at(rate, start) for name, rate in entry.rates.items()}
    return Rates(
        **({"input": 0} | rates),
        units=tuple(sorted(entry.units.items())),
        tokens_priced="input" in rates,
        listed=None if listed is None else _rates_at(listed, start, None),
    )


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


# -- reading the snapshot: every value is checked once, here


def _fail(where: str, value: object, expected: str) -> NoReturn:
    raise ValueError(f"price snapshot: {where} is {repr(value)[:80]}: {expected}")


def _document(line: bytes, where: str) -> object:
    try:
        return json.loads(line, parse_float=_no_float, parse_constant=_no_float)
    except (ValueError, RecursionError) as e:
        raise ValueError(f"price snapshot: {where}: not JSON as it was written ({e}); compile it anew") from None


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


def _model(value: object, where: str) -> _Model:
    document = _mapping(value, where)
    name = _text(document.get("id"), f"{where}.id")
    match = _clause(document.get("match"), f"{where}.match")
    if "unpriced" in document:
        why = _text(document["unpriced"], f"{where}.unpriced")
        return _Model(name, match, why or _fail(f"{where}.unpriced", why, "a reason is expected"))
    prices = _entries(document.get("prices"), f"{where}.prices")
    for i, entry in enumerate(prices):
        if "input" not in entry.rates and (entry.rates or not entry.units):
            _fail(f"{where}.prices[{i}].rates", sorted(entry.rates), "an input rate, or units alone, is expected")
    tiers = {
        word: _entries(variants, f"{where}.tiers.{word}")
        for word, variants in _mapping(document.get("tiers", {}), f"{where}.tiers").items()
    }
    most = {
        key: None if document.get(key) is None else _whole(document[key], f"{where}.{key}")
        for key in ("max_output", "context", "image")
    }
    flags = {key: document.get(key, False) for key in ("suggest", "uplift")}
    for key, flag in flags.items():
        if not isinstance(flag, bool):
            _fail(f"{where}.{key}", flag, "true or false is expected")
    limits, source = (_text(document.get(key, ""), f"{where}.{key}") for key in ("limits", "source"))
    return _Model(
        name,
        match,
        "",
        prices,
        tiers,
        most["max_output"],
        most["context"],
        most["image"],
        limits,
        flags["suggest"],
        flags["uplift"],
        source,
    )


def _entries(value: object, where: str) -> tuple[_Entry, ...]:
    entries = _list(value, where)
    if not entries:
        _fail(where, entries, "at least one price is expected")
    return tuple(_entry(entry, f"{where}[{i}]") for i, entry in enumerate(entries))


def _entry(value: object, where: str) -> _Entry:
    document = _mapping(value, where)
    return _Entry(
        _when(document.get("when", {}), f"{where}.when"),
        _known(document, "rates", CLASSES, _rate, where),
        _known(document, "units", tuple(UNITS), _whole, where),
        _known(document, "list", CLASSES, _rate, where),
        _known(document, "list_units", tuple(UNITS), _whole, where),
    )


def _known[T](
    document: Mapping[str, Any], key: str, names: tuple[str, ...], read: Callable[[object, str], T], where: str
) -> dict[str, T]:
    rates = _mapping(document.get(key, {}), f"{where}.{key}")
    for name in rates:
        if name not in names:
            _fail(f"{where}.{key}", name, f"one of {', '.join(names)} is expected")
    return {name: read(rate, f"{where}.{key}.{name}") for name, rate in rates.items()}


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
    try:
        return _read_clause(value, where)
    except RecursionError:
        _fail(where, "a clause", "it is nested too deeply; compile it anew")


def _read_clause(value: object, where: str) -> _Clause:
    document = _mapping(value, where)
    if len(document) != 1:
        _fail(where, document, "one clause is expected")
    word, operand = next(iter(document.items()))
    match word:
        case "or" | "and":
            return word, tuple(_read_clause(c, f"{where}.{word}[{i}]") for i, c in enumerate(_list(operand, where)))
        case "regex":
            try:
                return word, re.compile(_text(operand, f"{where}.regex"))
            except (re.error, OverflowError) as e:
                _fail(f"{where}.regex", operand, f"a regular expression is expected ({e})")
        case "equals" | "starts_with" | "ends_with" | "contains":
            return word, _text(operand, f"{where}.{word}").lower()
    _fail(where, word, "one of equals, starts_with, ends_with, contains, regex, or, and is expected")
