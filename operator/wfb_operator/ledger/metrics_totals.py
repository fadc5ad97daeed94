"""What only rises: usage since ever, without its time, kept in the store so that no restart is seen in a counter.

Rows of a transaction are added to its totals before it is written, and to memory once it is; the labels of a row are
bounded before they are stored, so a restart finds the very series that were there.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from prometheus_client.core import CounterMetricFamily, Metric

from wfb_core.label_values import Bounds
from wfb_core.money import NANOS_PER_USD
from wfb_core.price import PriceBook
from wfb_core.rates import PER
from wfb_operator.ledger.store.port import TOTAL_COUNTS, TOTAL_DIMENSIONS, USAGE_COUNTS, USAGE_DIMENSIONS

_PLACE = {name: i for i, name in enumerate(USAGE_DIMENSIONS)}
_COUNT = {name: i for i, name in enumerate(TOTAL_COUNTS)}
_WHO = ("namespace", "team", "feature", "workflow")

Key = tuple[Any, ...]
Counts = list[int]


class Totals:
    """Counts by TOTAL_DIMENSIONS with bounded values."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._sums: dict[Key, Counts] = {}

    def restore(self, rows: Iterable[Key]) -> None:
        """Begin with what the store holds, in the order in which it was first seen."""
        self._sums = {}
        size = len(TOTAL_DIMENSIONS)
        for row in rows:
            _add(self._sums, self._bounded(row[:size], money=row[size + _COUNT["nanos"]] > 0), row[size:])

    def of(self, usage: Mapping[Key, Counts], prices: PriceBook | None) -> dict[Key, Counts]:
        """What a transaction's usage adds."""
        found: dict[Key, Counts] = {}
        for key, counts in usage.items():
            here = tuple(key[_PLACE[name]] for name in TOTAL_DIMENSIONS)
            money = counts[_COUNT["nanos"]] > 0
            _add(found, self._bounded(here, money=money), (*counts, *_cache(key, counts, prices)))
        return found

    def add(self, written: Mapping[Key, Counts]) -> None:
        """The transaction is on disk."""
        for key, counts in written.items():
            _add(self._sums, key, counts)

    def copy(self) -> list[tuple[Key, tuple[int, ...]]]:
        """All of it as it is now, for another thread."""
        return [(key, tuple(counts)) for key, counts in self._sums.items()]

    def _bounded(self, key: Key, *, money: bool) -> Key:
        values = dict(zip(TOTAL_DIMENSIONS, key, strict=True))
        bounds = self._bounds
        # Callers make up names of models for nothing; a place among the models costs money. The unpriced have their own.
        label = "unpriced_model" if values["outcome"] == "unpriced" else "model"
        return (
            *(bounds.value(name, values[name]) for name in _WHO),
            bounds.value("provider", values["provider"]),
            bounds.value(label, values["model"], new=money or label == "unpriced_model"),
            values["outcome"],
            values["estimated"],
        )


def _add(sums: dict[Key, Counts], key: Key, counts: Iterable[int]) -> None:
    known = sums.get(key)
    sums[key] = list(counts) if known is None else [a + b for a, b in zip(known, counts, strict=True)]


def _cache(key: Key, counts: Counts, prices: PriceBook | None) -> tuple[int, int]:
    """(what reading from a cache saved, what writing to it cost more than plain input), nano-USD at standard rates."""
    read, wrote = counts[_COUNT["cache_read_tokens"]], counts[_COUNT["cache_write_tokens"]]
    if prices is None or not (read or wrote):
        return 0, 0
    price = prices.find(key[_PLACE["provider"]], key[_PLACE["model"]], key[_PLACE["minute"]] * 60.0)
    if price is None:
        return 0, 0
    rates = price.standard[0][1]
    saved = read * max(0, rates.input - rates.cache_read) // PER
    return saved, wrote * max(0, rates.cache_write - rates.input) // PER


# ---------------------------------------------------------------- families
def _usd(name: str) -> Callable[[tuple[int, ...]], float]:
    place = _COUNT[name]
    return lambda counts: counts[place] / NANOS_PER_USD


def _calls(counts: tuple[int, ...]) -> float:
    return counts[_COUNT["calls"]] + counts[_COUNT["refused"]]


_FAMILIES: tuple[tuple[str, str, tuple[str, ...], str, Callable[[tuple[int, ...]], float]], ...] = (
    (
        "wfb_spend_usd",
        "What calls cost, in dollars.",
        (*_WHO, "provider", "model"),
        "",
        _usd("nanos"),
    ),
    (
        "wfb_spend_estimated_usd",
        "The part of it that was not metered exactly.",
        ("namespace", "workflow"),
        "estimated",
        _usd("nanos"),
    ),
    (
        "wfb_cache_saved_usd",
        "What reading from prompt caches saved against plain input.",
        ("namespace", "workflow"),
        "",
        _usd("cache_saved_nanos"),
    ),
    (
        "wfb_cache_extra_usd",
        "What writing to prompt caches cost more than plain input.",
        ("namespace", "workflow"),
        "",
        _usd("cache_extra_nanos"),
    ),
    (
        "wfb_calls",
        "Calls and refusals by how they ended.",
        ("namespace", "team", "workflow", "provider", "outcome"),
        "",
        _calls,
    ),
    (
        "wfb_unpriced_calls",
        "Calls let through to models whose price is not known.",
        ("namespace", "workflow", "model"),
        "unpriced",
        _calls,
    ),
    (
        "wfb_unmetered_calls",
        "Calls let through that could not be read.",
        ("namespace", "workflow", "provider"),
        "unmetered",
        _calls,
    ),
)


def families(rows: list[tuple[Key, tuple[int, ...]]]) -> Iterable[Metric]:
    """The counters of a copy; a series begins with the first call or cent that it counts."""
    place = {name: i for i, name in enumerate(TOTAL_DIMENSIONS)}
    for name, words, labels, only, amount in _FAMILIES:
        at = [place[label] for label in labels]
        sums: dict[Key, float] = {}
        for key, counts in rows:
            if only and not (key[place["estimated"]] if only == "estimated" else key[place["outcome"]] == only):
                continue
            if value := amount(counts):
                series = tuple(key[i] for i in at)
                sums[series] = sums.get(series, 0.0) + value
        yield _family(name, words, labels, sums)
    yield _tokens(rows, place)


def _tokens(rows: list[tuple[Key, tuple[int, ...]]], place: Mapping[str, int]) -> Metric:
    """Tokens in classes that add up: a token is in one of them."""
    sums: dict[Key, float] = {}
    at = [place[label] for label in ("namespace", "workflow", "model")]
    for key, counts in rows:
        count = dict(zip(USAGE_COUNTS, counts, strict=False))
        read, wrote, hidden = count["cache_read_tokens"], count["cache_write_tokens"], count["reasoning_tokens"]
        classes = {
            "input": max(0, count["input_tokens"] - read - wrote),
            "cache_read": read,
            "cache_write": wrote,
            "output": max(0, count["output_tokens"] - hidden),
            "reasoning": hidden,
        }
        for name, tokens in classes.items():
            if tokens:
                series = (*(key[i] for i in at), name)
                sums[series] = sums.get(series, 0.0) + tokens
    return _family("wfb_tokens", "Tokens by class.", ("namespace", "workflow", "model", "class"), sums)


def _family(name: str, words: str, labels: tuple[str, ...], sums: Mapping[Key, float]) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for series, value in sums.items():
        family.add_metric(series, value)
    return family
