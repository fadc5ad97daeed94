"""How much a call can cost before it exists: the hold, from what its request shows and what the provider documents.

A hold is provable. A byte-level tokenizer never makes more tokens than bytes; framing, tools and media are bounded by
documented maxima; what the body does not show, by the context window; all at the dearest class the call can hit.
Counts of output tokens are per choice throughout, as a request's own cap is; money covers all choices.
"""

import re

from wfb_core.call import CallFacts
from wfb_core.money import ceil_div
from wfb_core.price import PER, ModelPrice, Rates
from wfb_core.rates import REQUESTS

FLOOR_TOKENS = 256
"""An answer shorter than this is not worth having: a call that cannot pay for it is refused."""
BASE_TOKENS = 128
"""Around the whole request: what primes the answer, the date and the rules a provider puts before the first message."""
MESSAGE_TOKENS = 16
"""Around each message, item and system block: role, name, separators (3-5 in OpenAI's cookbook on counting tokens)."""
TOOL_TOKENS = 32
"""Around each tool definition, whose own text is counted in bytes (7-12 in the same cookbook)."""
TOOLS_PREAMBLE_TOKENS = 3_072
"""Before the first tool definition. Anthropic documents at most 804 tokens of system prompt, and for its own client
tools, whose definitions no body shows and of which a request has one each, 245 (bash), 700 (text editor), 735 and 499
(computer use): https://platform.claude.com/docs/en/about-claude/pricing#tool-use-pricing."""
MEDIUM_TOKENS = 32
"""Around each medium."""

_PLAIN = re.compile(r"(ft:)?(gpt-3\.5|gpt-35|gpt-4|chatgpt-4o|gpt-5(\.\d)?-chat)")
_CLAUDE = re.compile(r"(?:^|[./])claude\D*?(\d{1,2})(?:[.-](\d{1,2}))?(?!\d)")


def claude_version(model: str) -> tuple[int, int] | None:
    """The version in a Claude model's name, ``(4, 5)`` for ``claude-haiku-4-5-20251001``; None for other models."""
    found = _CLAUDE.search(model.lower())
    return None if found is None else (int(found[1]), int(found[2] or 0))


def input_tokens_bound(facts: CallFacts, price: ModelPrice) -> int | None:
    """The most input tokens a call can be charged for; None where nothing bounds them.

    A document's or a recording's bytes bound nothing, since both compress: they count as the context window, as does
    an image of a model whose images have no documented maximum. Never more than the window where it is known, once for
    each input that is read apart: a list to embed, or a batch, is charged for all of them.
    """
    if not price.standard[0][1].tokens_priced:
        return 0  # what its input costs is in units
    window = None if price.context is None else price.context * max(facts.inputs, 1)
    if facts.hidden_input:
        return window
    if facts.media and any(kind != "image" or price.image_tokens is None for kind, _ in facts.media):
        return window
    shown = (
        BASE_TOKENS
        + facts.input_bytes
        + MESSAGE_TOKENS * facts.messages
        + (TOOLS_PREAMBLE_TOKENS + TOOL_TOKENS * facts.tools if facts.tools else 0)
        + len(facts.media) * (MEDIUM_TOKENS + (price.image_tokens or 0))
    )
    return shown if window is None else min(shown, window)


def output_bound(facts: CallFacts, price: ModelPrice) -> int | None:
    """The most output tokens of one choice: the request's cap or the model's maximum; None where neither is known."""
    if price.max_output == 0:
        return 0  # an embedding, a ranking, a transcription by time: no cap makes it write
    if facts.tier is not None and facts.tier.startswith("batch"):
        # Batches go beyond the maximum of single calls (Anthropic's beta output-300k), and hold many of them.
        most = None if price.max_output is None else price.max_output * max(facts.inputs, 1)
        return most if facts.cap is None else facts.cap
    if facts.cap is None or price.max_output is None:
        return price.max_output if facts.cap is None else facts.cap
    return min(facts.cap, price.max_output)


def hold(facts: CallFacts, price: ModelPrice, output_tokens: int) -> int | None:
    """Nano-USD that a call with so many output tokens per choice cannot cost more than, rounded up.

    None where its input has no bound, or its service tier no price.
    """
    parts = _parts(facts, price)
    if parts is None:
        return None
    fixed, per_token = parts
    return ceil_div(fixed + max(output_tokens, 0) * per_token, PER)


def most(facts: CallFacts, price: ModelPrice) -> int | None:
    """Nano-USD that the call cannot cost more than, whatever it writes; None where its output has no bound, or as `hold`."""
    output = output_bound(facts, price)
    return None if output is None else hold(facts, price, output)


def minimum(facts: CallFacts, price: ModelPrice) -> int | None:
    """The least worth holding: the hold with `FLOOR_TOKENS` of output, or its bound where that is less; None as `hold`."""
    bound = output_bound(facts, price)
    return hold(facts, price, FLOOR_TOKENS if bound is None else min(bound, FLOOR_TOKENS))


def affordable_output(facts: CallFacts, price: ModelPrice, nanos: int) -> int:
    """The highest cap on output tokens whose hold fits into an amount.

    0 where not even the input fits or has a bound. Where output is free, the model's maximum or the request's cap.
    """
    parts = _parts(facts, price)
    if parts is None:
        return 0
    fixed, per_token = parts
    room = nanos * PER - fixed
    if room < 0:
        return 0
    if per_token == 0:
        return output_bound(facts, price) or FLOOR_TOKENS
    return room // per_token


def hides_output(facts: CallFacts) -> bool:
    """Whether output can be charged that its stream does not show: hidden reasoning.

    True unless the model is known to show all it writes, or to reason only on request and was not asked to.
    """
    version = claude_version(facts.model)
    if version is None:
        return _PLAIN.match(facts.model.lower()) is None
    if version < (3, 7):
        return False
    return version >= (4, 7) or facts.reasoning is not False


def _parts(facts: CallFacts, price: ModelPrice) -> tuple[int, int] | None:
    """What all input and the units cost and what one token of output for every choice costs, both times `PER`."""
    tokens = input_tokens_bound(facts, price)
    rates = None if tokens is None else price.dearest(facts.tier, tokens)
    if tokens is None or rates is None:
        return None
    dearest = max(rates.input, rates.cache_read)
    # A call may hit the classes of sound and pictures only where it carries some; what the body hides may be either.
    kinds = {kind for kind, _ in facts.media} if not facts.hidden_input else _SEEING
    if not kinds.isdisjoint(_HEARING):
        dearest = max(dearest, rates.audio_input, rates.audio_cache_read)
    if not kinds.isdisjoint(_SEEING):
        dearest = max(dearest, rates.image_input, rates.image_cache_read)
    if facts.cache_write or facts.cache_write_1h or price.bills_writes:
        dearest = max(dearest, rates.cache_write)
    if facts.cache_write_1h:
        dearest = max(dearest, rates.cache_write_1h)
    output = max(rates.output, rates.reasoning, rates.audio_output, rates.image_output)
    return tokens * dearest + _units(facts, rates), max(facts.choices, 1) * output


_HEARING = frozenset({"audio", "video", "document"})
_SEEING = frozenset({"audio", "image", "video", "document"})
"""Kinds of media that may become tokens of sound, and of pictures; one that is not known counts as both."""


def _units(facts: CallFacts, rates: Rates) -> int:
    """What a call pays beside tokens, times `PER`: what it asks for, the fee for a request, the time of its recordings.

    A unit that has no rate adds nothing: what tokens count is bounded there, and what nothing prices is a finding when
    the call settles.
    """
    if not rates.units:
        return 0
    counts = dict(facts.units)
    counts[REQUESTS] = max(counts.get(REQUESTS, 0), 1)
    if "audio_input_ms" not in counts:
        counts["audio_input_ms"] = sum(_recorded_ms(size) for kind, size in facts.media if kind in _HEARING)
    return sum(counts.get(name, 0) * rate for name, rate in rates.units)


def _recorded_ms(size: int) -> int:
    """The longest that so many bytes of a recording last: at 6 kbit/s, the least that Opus takes (RFC 6716, 2.1.1)."""
    return ceil_div(size * 8, 6)
