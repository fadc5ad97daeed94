"""What each class of usage costs, and what a usage costs at such rates: whole numbers from end to end.

Rates are nano-USD per million tokens, or per million of a unit of `wfb_core.usage.UNITS`; costs are nano-USD.
"""

from dataclasses import dataclass
from typing import Self

from wfb_core.money import ceil_div, round_div
from wfb_core.usage import Guess, Usage

PER = 1_000_000
"""Tokens, or units, that a rate is stated for."""
OF_PARENT = -1
"""A class that pays what the class pays that it is part of."""
PARENTS: dict[str, tuple[str, ...]] = {
    "cache_read": ("input",),
    "cache_write": ("input",),
    "cache_write_1h": ("cache_write",),
    "output": ("input",),
    "reasoning": ("output",),
    "audio_input": ("input",),
    "image_input": ("input",),
    "audio_cache_read": ("cache_read", "audio_input"),
    "image_cache_read": ("cache_read", "image_input"),
    "audio_output": ("output",),
    "image_output": ("output",),
}
"""Where a class without a rate of its own looks for a stated one, in this order; else it pays the first: never nothing."""
CLASSES: tuple[str, ...] = ("input", *PARENTS)
"""Every class of tokens, a parent before its parts."""
REQUESTS = "requests"
"""The unit that every call pays once where it has a rate, counted or not."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What each class of tokens costs, in nano-USD per million; a class that is not stated pays its parent's rate."""

    input: int
    cache_read: int = OF_PARENT
    cache_write: int = OF_PARENT
    cache_write_1h: int = OF_PARENT
    output: int = OF_PARENT
    reasoning: int = OF_PARENT
    audio_input: int = OF_PARENT
    image_input: int = OF_PARENT
    audio_cache_read: int = OF_PARENT
    image_cache_read: int = OF_PARENT
    audio_output: int = OF_PARENT
    image_output: int = OF_PARENT
    units: tuple[tuple[str, int], ...] = ()
    """(one of UNITS, nano-USD per million of it), in the order of their names."""
    tokens_priced: bool = True
    """False where the price list states nothing for tokens: only units are paid."""
    listed: "Rates | None" = None
    """The provider's list rates where a contract states others."""

    def __post_init__(self) -> None:
        stated = {name: rate for name in CLASSES if (rate := getattr(self, name)) != OF_PARENT}
        for name, parents in PARENTS.items():
            if name not in stated:
                parent = next((p for p in parents if p in stated), parents[0])
                object.__setattr__(self, name, getattr(self, parent))

    @classmethod
    def flat(cls, input_rate: int, output_rate: int) -> Self:
        """One rate for all input, one for all output: what a budget states for a model that nobody prices."""
        return cls(input_rate, input_rate, input_rate, input_rate, output_rate)

    @classmethod
    def dearest(cls, rates: "tuple[Rates, ...]") -> "Rates":
        """The highest rate of each class and unit."""
        if len(rates) == 1:
            return rates[0]
        names = sorted({name for r in rates for name, _ in r.units})
        return Rates(
            **{name: max(getattr(r, name) for r in rates) for name in CLASSES},
            units=tuple((name, max(r.unit(name) or 0 for r in rates)) for name in names),
            tokens_priced=all(r.tokens_priced for r in rates),
        )

    def unit(self, name: str) -> int | None:
        """The rate of a unit; None where it has none, which is not zero."""
        for unit, rate in self.units:
            if unit == name:
                return rate
        return None

    def times(self, numerator: int, denominator: int) -> "Rates":
        """All rates of tokens multiplied, rounded up; fees for units stay as they are."""
        return Rates(
            **{name: ceil_div(getattr(self, name) * numerator, denominator) for name in CLASSES},
            units=self.units,
            tokens_priced=self.tokens_priced,
            listed=None if self.listed is None else self.listed.times(numerator, denominator),
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost in nano-USD; the total is exact, its parts are rounded one by one for display and need not add up."""

    total: int
    input: int
    """Input that no cache served or stored, of every modality."""
    cache_read: int
    cache_write: int
    output: int
    """Output of every modality, reasoning included."""
    units: int = 0
    """What is billed beside tokens: searches, requests, minutes, characters, pages."""
    list_total: int = 0
    """What the provider's list price would be; the total itself unless a contract states other rates."""


def cost(usage: Usage, rates: Rates) -> Cost:
    """The cost of a usage: products summed first, rounded half up once.

    Parts that the usage counts beyond their whole are cut to it, so that nothing is paid twice. A unit without a rate
    adds nothing here: `unpriced` names it.
    """
    products = _products(usage, rates)
    sums = round_div(sum(products), PER)
    inputs, reads, writes, outputs, fees = (round_div(product, PER) for product in products)
    list_total = sums if rates.listed is None else total(usage, rates.listed)
    return Cost(sums, inputs, reads, writes, outputs, fees, list_total)


def total(usage: Usage, rates: Rates) -> int:
    """The total of `cost` alone, nano-USD."""
    return round_div(sum(_products(usage, rates)), PER)


def guessed(guess: Guess, rates: Rates) -> int:
    """What a guess would cost, nano-USD: the total of a usage with its numbers, and what comparing two prices takes."""
    tokens, reads, writes, hours, output, units = guess
    products = (
        (tokens - reads - writes) * rates.input
        + reads * rates.cache_read
        + (writes - hours) * rates.cache_write
        + hours * rates.cache_write_1h
        + output * rates.output
    )
    if rates.units:
        products += _fees(units, rates)
    return round_div(products, PER)


def _products(usage: Usage, rates: Rates) -> tuple[int, int, int, int, int]:
    """Uncached input, cache reads, cache writes, output and fees, each times `PER`."""
    fresh = max(0, usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens)
    inputs = fresh * rates.input
    reads = usage.cache_read_tokens * rates.cache_read
    outputs = usage.output_tokens * rates.output
    if usage.audio_input_tokens or usage.image_input_tokens:
        inputs, reads = _by_modality(usage, rates, fresh)
    if usage.reasoning_tokens or usage.audio_output_tokens or usage.image_output_tokens:
        audio = min(usage.audio_output_tokens, usage.output_tokens)
        image = min(usage.image_output_tokens, usage.output_tokens - audio)
        hidden = min(usage.reasoning_tokens, usage.output_tokens - audio - image)
        outputs = (
            audio * rates.audio_output
            + image * rates.image_output
            + hidden * rates.reasoning
            + (usage.output_tokens - audio - image - hidden) * rates.output
        )
    writes = (
        usage.cache_write_tokens - usage.cache_write_1h_tokens
    ) * rates.cache_write + usage.cache_write_1h_tokens * rates.cache_write_1h
    return inputs, reads, writes, outputs, _fees(usage.units, rates) if rates.units else 0


def unpriced(usage: Usage, rates: Rates) -> tuple[str, ...]:
    """Names of what a usage counts and these rates have no price for: a finding, never silence.

    Providers report some units beside the tokens that bill them: these are no finding where tokens are priced.
    """
    tokens = usage.input_tokens + usage.output_tokens
    counted = [(name, rates.unit(name)) for name, count in usage.units if count]
    billed_by_tokens = _SEEN_IN_TOKENS if tokens and rates.tokens_priced else frozenset()
    found = [name for name, rate in counted if rate is None and name != REQUESTS and name not in billed_by_tokens]
    if tokens and not rates.tokens_priced and all(rate is None for _, rate in counted):
        found += [name for name in ("input_tokens", "output_tokens") if getattr(usage, name)]
    return tuple(found)


_SEEN_IN_TOKENS = frozenset({"audio_input_ms", "audio_output_ms", "characters", "images", "pages"})
"""Units of what is billed in tokens by other models."""


def _by_modality(usage: Usage, rates: Rates, fresh: int) -> tuple[int, int]:
    """What uncached input and cache reads cost where parts of them are audio or images."""
    read_audio = min(usage.audio_cache_read_tokens, usage.cache_read_tokens)
    read_image = min(usage.image_cache_read_tokens, usage.cache_read_tokens - read_audio)
    audio = min(usage.audio_input_tokens - read_audio, fresh)
    image = min(usage.image_input_tokens - read_image, fresh - audio)
    inputs = audio * rates.audio_input + image * rates.image_input + (fresh - audio - image) * rates.input
    reads = (
        read_audio * rates.audio_cache_read
        + read_image * rates.image_cache_read
        + (usage.cache_read_tokens - read_audio - read_image) * rates.cache_read
    )
    return inputs, reads


def _fees(units: tuple[tuple[str, int], ...], rates: Rates) -> int:
    counts = dict(units)
    if REQUESTS not in counts:
        counts[REQUESTS] = 1
    return sum(counts.get(name, 0) * rate for name, rate in rates.units)
