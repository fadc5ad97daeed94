"""What the counts of OpenAI's chat mean at each provider that speaks it: the `usage` object as totals, and as a bill.

OpenAI's are in openai-python 3.54, types/completion_usage.py; how others differ is in genai-prices 0.2.3, data.py, and in
the documentation named beside each name.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import combinations
from typing import Any

from wfb_core.dialects.answer import counted, inner, tokens
from wfb_core.money import NANOS_PER_USD
from wfb_core.usage import Usage

REASONING_APART = frozenset({"x-ai", "perplexity", "google"})
"""Who counts reasoning beside the completion: xAI's and Perplexity's chat completions, and Gemini behind OpenAI's paths."""

_CACHED = ("cached_tokens", "prompt_cache_hit_tokens", "num_cached_tokens", "cache_read_input_tokens")
"""Names of input from a cache: in the details or beside the totals, at DeepSeek, Moonshot, Together, Mistral, Databricks."""
_WRITTEN = ("cache_write_tokens", "cache_creation_input_tokens", "cache_creation_tokens")
"""Names of input written to a cache: OpenAI's and OpenRouter's, Alibaba's, LiteLLM's."""
_PROMPT_DETAILS = ("prompt_tokens_details", "prompt_token_details", "input_tokens_details")
_COMPLETION_DETAILS = ("completion_tokens_details", "output_tokens_details")


def chat_usage(counts: Mapping[str, Any], provider: str = "", model: str = "") -> tuple[Usage, dict[str, int]]:
    """(totals, extras) of a `usage` object; raises ValueError where its numbers are none.

    `total_tokens` is the checksum that says whether a part stands inside its total or beside it. Where it does not tell,
    reasoning is inside, but for REASONING_APART; whatever exceeds its total is cut to it.
    """
    prompt, completion = _totals(counts)
    read, written = _details(counts, _PROMPT_DETAILS), _details(counts, _COMPLETION_DETAILS)
    cached, creation = _first((read, counts), _CACHED), _first((read, counts), _WRITTEN)
    reasoning = _first((written, counts), ("reasoning_tokens",))
    heard = tokens(read, "audio_tokens")
    beside_input, beside_output = _beside(counts, prompt, completion, cached, creation, reasoning, provider, model)
    if counts.get("prompt_audio_seconds") and heard > prompt:
        heard = 0  # Mistral bills sound by its seconds: the tokens of it are in no total but the last
    usage = counted(
        _units(counts),
        input_tokens=prompt + beside_input,
        cache_read_tokens=cached,
        cache_write_tokens=creation,
        cache_write_1h_tokens=_long_lived(read),
        output_tokens=completion + beside_output,
        reasoning_tokens=reasoning or beside_output,
        audio_input_tokens=heard,
        image_input_tokens=tokens(read, "image_tokens") + tokens(read, "video_tokens"),
        audio_output_tokens=tokens(written, "audio_tokens"),
        image_output_tokens=tokens(written, "image_tokens"),
    )
    extras = {
        "audio_input_tokens": usage.audio_input_tokens,
        "audio_output_tokens": usage.audio_output_tokens,
    }
    return usage, {name: count for name, count in extras.items() if count}


def _totals(counts: Mapping[str, Any]) -> tuple[int, int]:
    """Input and output as the provider calls them; one that is missing is what the sum of both leaves for it."""
    prompt, completion = (
        _count(counts, "prompt_tokens", "input_tokens"),
        _count(counts, "completion_tokens", "output_tokens"),
    )
    if prompt is not None and completion is not None:
        return prompt, completion
    total = _count(counts, "total_tokens")
    if prompt is not None:
        return prompt, max(0, (total or 0) - prompt)
    if completion is None or total is None or total < completion:
        raise ValueError("prompt_tokens is missing")
    return total - completion, completion


def _details(counts: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
    return next(filter(None, (inner(counts, name) for name in names)), {})


def _first(places: Iterable[Mapping[str, Any]], names: Iterable[str]) -> int:
    """The first count under any of the names that is not zero."""
    for place in places:
        for name in names:
            if place.get(name) and (count := tokens(place, name)):
                return count
    return 0


def _long_lived(read: Mapping[str, Any]) -> int:
    """Input written to a cache for an hour or more: OpenAI's and Alibaba's details of what was written."""
    return tokens(inner(read, "cache_write_tokens_details"), "ttl_12h_tokens") or tokens(
        inner(read, "cache_creation"), "ephemeral_1h_input_tokens"
    )


def _count(counts: Mapping[str, Any], *names: str) -> int | None:
    """The first of these counts that is there; None where none is."""
    return next((tokens(counts, name) for name in names if counts.get(name) is not None), None)


def _beside(
    counts: Mapping[str, Any],
    prompt: int,
    completion: int,
    cached: int,
    creation: int,
    reasoning: int,
    provider: str,
    model: str,
) -> tuple[int, int]:
    """(input, output) that stand beside the prompt and the completion."""
    total = _count(counts, "total_tokens")
    if provider == "perplexity":
        return 0, reasoning  # its total leaves out the reasoning and the citations of its deep research
    if total is None:
        if "prompt_tokens" not in counts and "cache_read_input_tokens" in counts:
            return cached + creation, 0  # Anthropic's own counts
        return 0, reasoning if provider in REASONING_APART else 0
    beyond = total - prompt - completion
    if beyond <= 0:
        return 0, 0
    parts = [(reasoning, 1), (cached, 0), (creation, 0)]
    for size in range(1, len(parts) + 1):
        for chosen in combinations(parts, size):
            if sum(count for count, _ in chosen) == beyond:
                output = sum(count for count, is_output in chosen if is_output)
                return beyond - output, output
    if provider in REASONING_APART or "gemini" in model.lower():
        return 0, beyond  # Gemini's thoughts, which only the sum of all counts
    return 0, 0


def _units(counts: Mapping[str, Any]) -> dict[str, int]:
    """What is billed beside tokens: Mistral's audio in seconds, Perplexity's citations and searches, OpenRouter's."""
    seconds = counts.get("prompt_audio_seconds")
    heard = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < _MOST_SECONDS
    searches = tokens(counts, "num_search_queries")
    for name in ("server_tool_use", "server_tool_use_details"):
        searches = searches or tokens(inner(counts, name), "web_search_requests")
    return {
        "audio_input_ms": round(1000 * seconds) if heard and isinstance(seconds, int | float) else 0,
        "citation_tokens": tokens(counts, "citation_tokens"),
        "web_searches": searches,
    }


_MOST_SECONDS = 1e9


_TICKS = 10
"""xAI states costs in ticks of which ten make a nano-USD: litellm, llms/xai/common_utils.py."""


def reported_cost(counts: Mapping[str, Any], provider: str = "") -> int | None:
    """Nano-USD that the provider itself says the call cost; None where it does not say.

    OpenRouter: `cost`, and where the caller's own key paid the provider behind it, what that cost. Perplexity:
    `cost.total_cost`, which is nothing until the last chunk. xAI: `cost_in_usd_ticks`, which others who host its models
    repeat as zero.
    """
    ticks = counts.get("cost_in_usd_ticks") if provider in {"x-ai", ""} else None
    if isinstance(ticks, int) and not isinstance(ticks, bool) and ticks >= 0:
        return -(-ticks // _TICKS)
    cost = counts.get("cost")
    if isinstance(cost, dict):
        return nanos_of(cost.get("total_cost")) or None
    found = nanos_of(cost)
    if found is not None and counts.get("is_byok") is True:
        details = counts.get("cost_details")
        upstream = nanos_of(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
        return found + (upstream or 0)
    return found


def nanos_of(usd: Any) -> int | None:
    """A number of dollars in an answer as nano-USD; None where it is none, or no cost."""
    if isinstance(usd, bool) or not isinstance(usd, int | float) or not 0 <= usd < _MOST_USD:
        return None
    return int((Decimal(repr(usd)) * NANOS_PER_USD).to_integral_value(rounding="ROUND_HALF_UP"))


_MOST_USD = 1e9
