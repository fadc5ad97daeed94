"""What the price data lacks: how much a model writes and reads at most, what it cannot price, and surcharges.

Each number is an upper bound over all names that lead to the same price entry, and over the beta headers that raise
it: a bound that is too high costs a wait near the limit, one that is too low costs money.
"""

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any

_LITELLM = "https://github.com/BerriAI/litellm (model_prices_and_context_window.json)"
_CLAUDE = "https://platform.claude.com/docs/en/about-claude/models/overview"
_CHECKED = "2026-11-23"


@dataclass(frozen=True, slots=True)
class Limit:
    """The documented bounds of the models of a provider whose price entry matches a pattern."""

    provider: str
    pattern: str
    """Shell pattern over the price entry's id."""
    max_output: int
    """Output tokens of one choice, reasoning included."""
    context: int | None
    """Input tokens."""
    image: int | None = None
    """Input tokens of one image; None where the provider documents no bound or the model sees no images."""
    suggest: bool = False
    """Whether a refusal may suggest the model: current, general, and cheaper than its elders."""
    source: str = _LITELLM
    date: str = _CHECKED

    @property
    def told(self) -> str:
        """Where the numbers are from, and when they were read there."""
        return f"{self.source}, {self.date}"


# Images: https://developers.openai.com/api/docs/guides/images-vision. Tiles: at most 8 of 512 px after scaling to
# 2048 x 768. Patches: at most 1,536 of 32 px times the highest multiplier, 10,000 from gpt-5.4 on, and with no bound
# from gpt-5.6 on, where an image of the default detail keeps its size.
_TILES_85_170 = 85 + 8 * 170
_TILES_75_150 = 75 + 8 * 150
_TILES_4O_MINI = 2_833 + 8 * 5_667
_PATCHES = 3_779  # 1,536 x 2.46
_PATCHES_10K = 12_000  # 10,000 x 1.2

# Images: https://platform.claude.com/docs/en/build-with-claude/vision
_CLAUDE_IMAGE = 1_600
_CLAUDE_IMAGE_HIGH = 4_784  # from 4.7 on


def _openai(
    pattern: str, max_output: int, context: int | None, image: int | None = None, *, suggest: bool = False
) -> Limit:
    return Limit("openai", pattern, max_output, context, image, suggest)


def _claude(pattern: str, max_output: int, context: int, image: int | None, *, suggest: bool = False) -> Limit:
    return Limit("anthropic", pattern, max_output, context, image, suggest, source=_CLAUDE)


LIMITS: tuple[Limit, ...] = (
    _openai("gpt-3.5-turbo-16k*", 16_385, 16_385),
    _openai("*gpt-3.5*", 4_096, 16_385),
    _openai("gpt-4", 8_192, 8_192),
    _openai("gpt-4-32k", 32_768, 32_768),
    _openai("gpt-4-turbo", 4_096, 128_000, _TILES_85_170),
    _openai("gpt-4-vision-preview", 4_096, 128_000, _TILES_85_170),
    _openai("gpt-4.1", 32_768, 1_047_576, _TILES_85_170),
    _openai("gpt-4.1-mini", 32_768, 1_047_576, _PATCHES, suggest=True),
    _openai("gpt-4.1-nano", 32_768, 1_047_576, _PATCHES, suggest=True),
    _openai("gpt-4.5-preview", 16_384, 128_000, _TILES_85_170),
    _openai("gpt-4o-2024-05-13", 4_096, 128_000, _TILES_85_170),
    _openai("gpt-4o-mini", 16_384, 128_000, _TILES_4O_MINI, suggest=True),
    _openai("*gpt-4o-mini*", 16_384, 128_000, _TILES_4O_MINI),
    _openai("*gpt-4o*", 16_384, 128_000, _TILES_85_170),
    _openai("o1-mini", 65_536, 128_000),
    _openai("o1-preview", 32_768, 128_000),
    _openai("o1*", 100_000, 200_000, _TILES_75_150),
    _openai("o3-mini", 100_000, 200_000),
    _openai("o3*", 100_000, 200_000, _TILES_75_150),
    _openai("o4-mini*", 100_000, 200_000, _PATCHES),
    _openai("codex-mini", 100_000, 200_000, _PATCHES),
    _openai("gpt-5-pro", 272_000, 400_000, _PATCHES),
    _openai("gpt-5-mini", 128_000, 400_000, _PATCHES, suggest=True),
    _openai("gpt-5-nano", 128_000, 400_000, _PATCHES, suggest=True),
    _openai("gpt-5", 128_000, 400_000, _PATCHES),
    _openai("gpt-5.[123]*", 128_000, 400_000, _PATCHES),
    _openai("gpt-5.4-mini", 128_000, 400_000, _PATCHES, suggest=True),
    _openai("gpt-5.4-nano", 128_000, 400_000, _PATCHES, suggest=True),
    _openai("gpt-5.[45]*", 128_000, 1_050_000, _PATCHES_10K),
    _openai("gpt-5.6-luna", 128_000, 1_050_000, suggest=True),
    _openai("gpt-5.6*", 128_000, 1_050_000),
    _openai("gpt-6-luna", 128_000, 1_050_000, suggest=True),
    _openai("gpt-6.1-terra", 128_000, 1_050_000, suggest=True),
    _openai("gpt-6.1-sol", 128_000, 1_050_000, suggest=True),
    _openai("gpt-6*", 128_000, 1_050_000),
    _openai("gpt-oss-*", 131_072, 131_072),
    # https://developers.openai.com/api/docs/guides/image-generation: 6,240 for one at high quality, and 100 for each of
    # at most three partial ones before it. Newer image models take any size, which nothing documented bounds.
    _openai("gpt-image-1*", 6_540, None),
    _openai("chatgpt-image-latest", 6_540, None),
    _claude("claude-2", 4_096, 200_000, None),
    _claude("claude-3-5-*", 8_192, 200_000, _CLAUDE_IMAGE),
    _claude("claude-3-7-*", 128_000, 200_000, _CLAUDE_IMAGE),  # with the beta header output-128k
    _claude("claude-3-*", 4_096, 200_000, _CLAUDE_IMAGE),
    _claude("claude-opus-4-[01]", 32_000, 200_000, _CLAUDE_IMAGE),
    _claude("claude-opus-4-5", 64_000, 200_000, _CLAUDE_IMAGE),
    _claude("claude-opus-4-6", 128_000, 1_000_000, _CLAUDE_IMAGE),
    _claude("claude-opus-4-[78]", 128_000, 1_000_000, _CLAUDE_IMAGE_HIGH),
    _claude("claude-sonnet-4-[05]", 64_000, 1_000_000, _CLAUDE_IMAGE),  # with the beta header context-1m
    _claude("claude-sonnet-4-6", 128_000, 1_000_000, _CLAUDE_IMAGE),
    _claude("claude-haiku-4-5", 64_000, 200_000, _CLAUDE_IMAGE, suggest=True),
    _claude("claude-opus-5-5", 128_000, 1_000_000, _CLAUDE_IMAGE_HIGH, suggest=True),
    _claude("claude-sonnet-5-5", 128_000, 1_000_000, _CLAUDE_IMAGE_HIGH, suggest=True),
    _claude("claude-haiku-5-5", 128_000, 1_000_000, _CLAUDE_IMAGE_HIGH, suggest=True),
    *(
        _claude(f"claude-{family}-5*", 128_000, 1_000_000, _CLAUDE_IMAGE_HIGH)
        for family in ("opus", "sonnet", "haiku", "fable", "mythos")
    ),
)
"""The first row that fits counts."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Models that the data prices, though not for all that their calls are charged."""

    provider: str
    name: str
    match: dict[str, Any]
    """A clause of the snapshot."""
    why: str


GAPS: tuple[Gap, ...] = (
    Gap(
        "openai",
        "gpt-4o-audio-*",
        {"regex": r"^gpt-4o(-mini)?-audio"},
        "its audio tokens have no rate in the price data",
    ),
    Gap(
        "x-ai",
        "grok-voice-*",
        {"starts_with": "grok-voice"},
        "it is also charged by messages of text, which usage does not count",
    ),
)
"""They count before the data: a price that is half known is not known."""

SUGGESTED: dict[str, tuple[str, ...]] = {
    "aws": (
        "amazon.nova-lite-v1:0",
        "amazon.nova-micro-v1:0",
        "mistral.ministral-3-8b-instruct",
        "mistral.mistral-small-2402-v1:0",
        "openai.gpt-oss-20b-1:0",
        "qwen.qwen3-32b-v1:0",
    ),
    "cohere": ("command-r-08-2024", "command-r7b-12-2024"),
    "google": ("gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-3.1-flash-lite", "gemini-3.8-flash"),
    "groq": ("llama-3.1-8b-instant", "openai/gpt-oss-120b", "openai/gpt-oss-20b"),
    "mistral": ("ministral-8b-latest", "mistral-large-4", "mistral-small-latest"),
}
"""Models that a refusal may suggest beside those of `LIMITS`, by the very names that a call asks for."""

FULL_NAMES: dict[str, dict[str, str]] = {
    "cohere": {"command-r-08-2024": "command-r", "command-r7b-12-2024": "command-r7b"},
}
"""Names that the data only matches with a pattern, and the entries that they belong to: a suggestion has to be a name
that the provider takes (https://docs.cohere.com/docs/models)."""

_PRICES_PAGE = f"{_LITELLM}, search_context_cost_per_query, 2026-11-24"
SEARCH_MODELS: dict[str, tuple[int, str, str]] = {
    "gpt-4o-search-preview": (25_000_000, "gpt-4o", _PRICES_PAGE),
    "gpt-4o-mini-search-preview": (25_000_000, "gpt-4o-mini", _PRICES_PAGE),
    "gpt-5-search-api": (10_000_000, "gpt-5", _PRICES_PAGE),
}
"""OpenAI's models of Chat Completions whose every call searches the web: nano-USD a call, what they are made of, and
where it is said."""


def hand_limit(provider: str, model: str) -> Limit | None:
    """The row of `LIMITS` for a price entry's id; None where there is none."""
    return next((row for row in LIMITS if row.provider == provider and fnmatchcase(model, row.pattern)), None)


_CARDS = "the window that the model's maker states (its card on https://huggingface.co), undated"
FAMILIES: tuple[tuple[str, int], ...] = (
    ("*llama-guard-[34]*", 163_840),
    ("*llama-4-scout*", 10_485_760),
    ("*llama-4-maverick*", 1_048_576),
    *((f"*llama-{version}*", 131_072) for version in ("3.1", "3.2", "3.3", "3p1", "3p2", "3p3", "guard-3")),
    *((f"*llama-v{version}*", 131_072) for version in ("3p1", "3p2", "3p3")),
    *((f"*{name}*", 8_192) for name in ("llama-3-", "llama3-", "llama-v3-", "gemma-7b", "gemma-2-", "gemma2-")),
    *((f"*{name}*", 4_096) for name in ("llama-2-", "llama2-")),
    ("*gemma-3*", 131_072),
    ("*mixtral-8x22b*", 65_536),
    *((f"*{name}*", 32_768) for name in ("mistral-7b", "mixtral-8x7b", "mistral-tiny", "mistral-medium-2312")),
    *((f"*{name}*", 32_768) for name in ("mistral-saba", "mistral-small-24b", "codestral-2501", "codestral-mamba")),
    *((f"*{name}*", 131_072) for name in ("mistral-small-3", "mistral-nemo", "ministral-", "pixtral-", "r1-1776")),
    *((f"*{name}*", 131_072) for name in ("sonar-large-128k", "sonar-small-128k", "qwen2.5", "qwen-2.5", "qwq-32b")),
    *((f"*{name}*", 131_072) for name in ("qwen-2-72b", "phi-3", "wizardlm-2", "deepseek-r1-distill")),
    *((f"*{name}", 4_096) for name in ("command", "command-light")),
    *((name, 2_049) for name in ("ada", "babbage", "curie", "davinci")),
    *((name, 4_097) for name in ("text-davinci-00[23]",)),
    *((name, 16_384) for name in ("babbage-002", "davinci-002")),
    ("phi-4*", 131_072),
    ("claude-v1", 100_000),
)
"""Windows of open weights and of models long gone, whoever serves them; a server may offer less, none more."""


@cache
def gathered() -> dict[str, Any]:
    """What `limits.json` holds.

    {"date", "source", "bounds": {provider: {id: [output, context, image?]}}, "rates": {provider: {id: {tier: {class:
    RATE}}}}, "uplifts": {provider: [id]}}; the standard tier's word is empty.
    """
    document: dict[str, Any] = json.loads(resources.files(__package__).joinpath("limits.json").read_text())
    return document


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is documented of one price entry, as far as anything is."""

    max_output: int | None
    context: int | None
    image: int | None
    suggest: bool
    told: str


def limit_of(provider: str, model: str) -> Bounds | None:
    """The bounds of a price entry, written by hand or gathered; None where nothing is known."""
    hand = hand_limit(provider, model)
    if hand is not None:
        return Bounds(hand.max_output, hand.context, hand.image, hand.suggest, hand.told)
    row = gathered()["bounds"].get(provider, {}).get(model)
    if row is None or not any(row):
        name = model.lower()
        window = next((window for pattern, window in FAMILIES if fnmatchcase(name, pattern)), None)
        return None if window is None else Bounds(None, window, None, suggest=False, told=_CARDS)
    return Bounds(row[0], row[1], row[2] if len(row) > 2 else None, suggest=False, told=gathered_source())


def gathered_source() -> str:
    """Where the gathered rows are from, and when they were read there."""
    return f"{gathered()['source']}, {gathered()['date']}"


def more_rates(provider: str, model: str) -> dict[str, dict[str, Any]]:
    """{tier: {class: RATE}} that the price data lacks for an entry; the standard tier's word is empty."""
    found: dict[str, dict[str, Any]] = gathered()["rates"].get(provider, {}).get(model, {})
    return found


def more_models(provider: str) -> tuple[str, ...]:
    """The entries that a provider has rates of tiers for."""
    return tuple(gathered()["rates"].get(provider, {}))


def costs_more_in_region(provider: str, model: str) -> bool:
    """Whether a host that keeps data in its region adds a tenth to the model's rates.

    OpenAI's data residency does for models since 2026-03-05, Vertex AI's regional endpoints for its newer ones.
    """
    return model in gathered()["uplifts"].get(provider, ())


@dataclass(frozen=True, slots=True)
class Surcharge:
    """A service tier that multiplies every rate, alone or after another tier, joined by ``+``."""

    provider: str
    word: str
    patterns: tuple[str, ...]
    """Shell patterns over the price entry's id."""
    times: tuple[int, int]
    """Numerator and denominator."""
    source: str
    alone: bool = False
    """Whether it is a tier of its own, which no other goes with."""


SURCHARGES: tuple[Surcharge, ...] = (
    Surcharge(
        "anthropic",
        "geo-us",
        (
            "claude-opus-4-[678]",
            "claude-sonnet-4-6",
            *(f"claude-{family}-5*" for family in ("opus", "sonnet", "haiku", "fable", "mythos")),
        ),
        (11, 10),
        "https://platform.claude.com/docs/en/manage-claude/data-residency, 2026-11-23",
    ),
    # The price of what everybody gets, and more errors.
    Surcharge("groq", "flex", ("*",), (1, 1), "https://console.groq.com/docs/flex-processing, 2026-11-24", alone=True),
)


@dataclass(frozen=True, slots=True)
class UnknownTier:
    """A service tier that providers sell and publish no price for: calls in it are a finding, by its name."""

    provider: str
    words: str
    why: str
    source: str


_CONTRACT = "sold by contract: state its price in an overlay"
UNKNOWN_TIERS: tuple[UnknownTier, ...] = (
    UnknownTier("openai", "scale and reserved", _CONTRACT, "https://openai.com/api-reserved-tier, 2026-11-24"),
    UnknownTier(
        "openai",
        "a completion window of 2h or 8h in background mode",
        "its discount is in no table that is published",
        "openai-python 3.54 (background_options.completion_window), 2026-11-23",
    ),
    UnknownTier(
        "openai",
        "ultrafast, for models without a row",
        "published for gpt-6-astra and gpt-6.1-sol alone",
        f"{_LITELLM}, 2026-11-24",
    ),
    UnknownTier(
        "anthropic", "priority", _CONTRACT, "https://platform.claude.com/docs/en/api/service-tiers, 2026-11-24"
    ),
    UnknownTier(
        "aws",
        "reserved; priority, flex and batch of models without a row",
        "paid by the minute, or shown on AWS's page alone",
        "https://docs.aws.amazon.com/bedrock/latest/userguide/service-tiers-inference.html, 2026-11-24",
    ),
    UnknownTier(
        "azure",
        "provisioned; tiers of models without a row",
        _CONTRACT,
        f"{_LITELLM}, 2026-11-24",
    ),
    UnknownTier("groq", "performance", _CONTRACT, "https://console.groq.com/docs/performance-tier, 2026-11-24"),
    UnknownTier(
        "google",
        "provisioned throughput; storage of cached content by the hour",
        "paid by the hour, whatever calls are made",
        "no price key of genai-prices 0.2.3 is for it, 2026-11-24",
    ),
)


def surcharges_of(provider: str, model: str) -> list[Surcharge]:
    """The surcharges that a price entry's id knows."""
    return [s for s in SURCHARGES if s.provider == provider and any(fnmatchcase(model, p) for p in s.patterns)]
