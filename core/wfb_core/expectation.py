"""What a call will probably cost, learned from the calls that settled: for pacing and forecasts, never for a promise.

Input is the text's bytes over a learned ratio, output a learned mean, and the shares of cached input are learned too,
all per model and of this process alone. Ratios are floats, since they are guesses; money stays whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wfb_core import bounds
from wfb_core.call import CallFacts
from wfb_core.price import ModelPrice
from wfb_core.rates import guessed
from wfb_core.usage import Guess, Usage

PRIOR_BYTES_PER_TOKEN = 3.3
"""Before anything is learned: between JSON (3.4) and dense text, on the dear side."""
PRIOR_CLAUDE = 2.4
"""From Claude 4.7 on, whose tokenizer makes up to 1.47 times as many tokens of the same text."""
PRIOR_WEIGHT = 4_096
"""Bytes of text that the prior counts for against what is observed."""
PRIOR_OUTPUT = 512
"""Output tokens of one choice before any is seen."""
FRAMING_TOKENS = 10
"""Expected around each message."""
DECAY = 0.95
"""What one call leaves of the weight of those before it: about twenty calls count."""
RECENT = 128
"""Answers whose length is kept, for the high quantile."""
ENOUGH = 20
"""Answers below which no quantile is told."""
MODELS = 256
"""Models that are remembered; the one unseen for longest gives way."""

_IMAGE_TOKENS, _DOCUMENT_BYTES_PER_TOKEN, _AUDIO_BYTES_PER_TOKEN = 1_500, 24, 800


@dataclass(frozen=True, slots=True)
class Figures:
    """How good the expectation of one model was, as running totals: actual over expected is the error ratio."""

    calls: int = 0
    expected_input: int = 0
    actual_input: int = 0
    expected_output: int = 0
    actual_output: int = 0


@dataclass(frozen=True, slots=True)
class Observation:
    """One call's error: actual tokens over expected ones."""

    input_ratio: float
    output_ratio: float


@dataclass(slots=True)
class _Learned:
    bytes: float
    tokens: float
    """Text and its tokens, both fading alike: their quotient is the ratio."""
    inputs: float = 0.0
    reads: float = 0.0
    writes: float = 0.0
    outputs: float = 0.0
    choices: float = 0.0
    calls: float = 0.0
    """Tokens by class, choices and calls, fading."""
    recent: list[int] = field(default_factory=list)
    """Output tokens of the last choices, a ring."""
    next: int = 0
    figures: Figures = field(default_factory=Figures)


class Expectations:
    """What this process has learned of each model, in bounded memory; no clock, no chance."""

    def __init__(self, models: int = MODELS) -> None:
        self._models = models
        self._learned: dict[tuple[str, str], _Learned] = {}

    def expected(self, facts: CallFacts, price: ModelPrice, hold: int) -> int:
        """The probable cost of a call in nano-USD, at least 1 and never above its hold."""
        guess = self._guess(facts, price)
        rates = price.rates_for(guess.input_tokens, facts.tier)
        nanos = hold if rates is None else guessed(guess, rates)
        return max(1, min(nanos, hold))

    def switched(
        self, facts: CallFacts, price: ModelPrice, other: CallFacts, other_price: ModelPrice
    ) -> tuple[int, int] | None:
        """(going on, changing) of a call: its probable cost with its own model's cache, and fresh with another model.

        Fresh means that what the cache would have read is paid as input, and written anew where the request asks for
        that or the provider bills it. Both make as much output as the call's own model usually does. None where a
        service tier has no price.
        """
        guess = self._guess(facts, price)
        tokens = guess.input_tokens if facts.hidden_input else _tokens(self._known(other), other, other_price)
        writes = facts.cache_write or facts.cache_write_1h or (guess.cache_write_tokens and other_price.bills_writes)
        written = tokens if writes else 0
        fresh = Guess(tokens, 0, written, written if facts.cache_write_1h else 0, guess.output_tokens, guess.units)
        rates, other_rates = price.rates_for(guess.input_tokens, facts.tier), other_price.rates_for(tokens, other.tier)
        if rates is None or other_rates is None:
            return None
        return guessed(guess, rates), guessed(fresh, other_rates)

    def observe(self, facts: CallFacts, usage: Usage, *, cut: bool = False) -> Observation:
        """Learns from what a call used; returns how far off the expectation was.

        An answer that was `cut` at a cap of ours would have been longer: the quantile counts it at twice its length,
        or it would shrink with every cut.
        """
        key = facts.provider, facts.model
        learned = self._learned.pop(key, None)
        expected_input, expected_output = _input(learned, facts), _output(learned, facts)
        if learned is None:
            if len(self._learned) >= self._models:
                del self._learned[next(iter(self._learned))]
            learned = _fresh(facts.model)
        self._learned[key] = learned  # last seen, last to go
        _learn(learned, facts, usage, cut=cut)
        f = learned.figures
        learned.figures = Figures(
            f.calls + 1,
            f.expected_input + expected_input,
            f.actual_input + usage.input_tokens,
            f.expected_output + expected_output,
            f.actual_output + usage.output_tokens,
        )
        return Observation(
            usage.input_tokens / max(expected_input, 1),
            usage.output_tokens / max(expected_output, 1),
        )

    def output_p99(self, facts: CallFacts) -> int | None:
        """The output tokens per choice that 99 of 100 recent answers stayed within; None before there are enough."""
        learned = self._known(facts)
        if learned is None or len(learned.recent) < ENOUGH:
            return None
        ranked = sorted(learned.recent)
        return ranked[-1 - (len(ranked) - 1) // 100]

    def figures(self) -> Mapping[tuple[str, str], Figures]:
        """The error of every remembered (provider, model), for metrics."""
        return {key: learned.figures for key, learned in self._learned.items()}

    def _known(self, facts: CallFacts) -> _Learned | None:
        return self._learned.get((facts.provider, facts.model))

    def _guess(self, facts: CallFacts, price: ModelPrice) -> Guess:
        learned = self._known(facts)
        tokens, output = _tokens(learned, facts, price), _output(learned, facts)
        most = bounds.output_bound(facts, price)
        if most is not None:
            output = min(output, most * max(facts.choices, 1))
        if learned is None or learned.inputs <= 0:
            return Guess(tokens, 0, 0, 0, output, facts.units)
        read = min(tokens, int(tokens * learned.reads / learned.inputs))
        write = min(tokens - read, int(tokens * learned.writes / learned.inputs))
        return Guess(tokens, read, write, write if facts.cache_write_1h else 0, output, facts.units)


def prior(model: str) -> float:
    """Bytes per token assumed before anything is learned."""
    version = bounds.claude_version(model)
    return PRIOR_BYTES_PER_TOKEN if version is None or version < (4, 7) else PRIOR_CLAUDE


def _tokens(learned: _Learned | None, facts: CallFacts, price: ModelPrice) -> int:
    """Its probable input, never beyond what bounds it."""
    tokens, bound = _input(learned, facts), bounds.input_tokens_bound(facts, price)
    return tokens if bound is None or tokens < bound else bound


def _input(learned: _Learned | None, facts: CallFacts) -> int:
    if learned is None:
        learned = _fresh(facts.model)
    tokens = facts.input_bytes * learned.tokens / learned.bytes
    if facts.hidden_input and learned.calls:
        tokens += learned.inputs / learned.calls
    shown = int(tokens) + FRAMING_TOKENS * facts.messages
    return max(1, shown + sum(_medium(*m) for m in facts.media) if facts.media else shown)


def _output(learned: _Learned | None, facts: CallFacts) -> int:
    mean = learned.outputs / learned.choices if learned is not None and learned.choices else PRIOR_OUTPUT
    return int(mean * max(facts.choices, 1) + 0.5)


def _fresh(model: str) -> _Learned:
    return _Learned(bytes=float(PRIOR_WEIGHT), tokens=PRIOR_WEIGHT / prior(model))


def _learn(learned: _Learned, facts: CallFacts, usage: Usage, *, cut: bool) -> None:
    choices = max(facts.choices, 1)
    if not facts.media and not facts.hidden_input and facts.input_bytes and usage.input_tokens:
        # Only where the body shows all of the input does it say anything about the ratio.
        text = max(1, usage.input_tokens - FRAMING_TOKENS * facts.messages)
        learned.bytes = learned.bytes * DECAY + facts.input_bytes
        learned.tokens = learned.tokens * DECAY + text
    learned.inputs = learned.inputs * DECAY + usage.input_tokens
    learned.reads = learned.reads * DECAY + usage.cache_read_tokens
    learned.writes = learned.writes * DECAY + usage.cache_write_tokens
    learned.outputs = learned.outputs * DECAY + usage.output_tokens
    learned.choices = learned.choices * DECAY + choices
    learned.calls = learned.calls * DECAY + 1
    each = -(-usage.output_tokens // choices) * (2 if cut else 1)
    if len(learned.recent) < RECENT:
        learned.recent.append(each)
    else:
        learned.recent[learned.next] = each
        learned.next = (learned.next + 1) % RECENT


def _medium(kind: str, size: int) -> int:
    if kind == "image":
        return _IMAGE_TOKENS
    return size // (_AUDIO_BYTES_PER_TOKEN if kind == "audio" else _DOCUMENT_BYTES_PER_TOKEN)
