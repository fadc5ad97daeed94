"""What the price data lacks: how much a model writes and reads at most, what it cannot price, and surcharges.

Each number is an upper bound over all names that lead to the same price entry, and over the beta headers that raise
it: a bound that is too high costs a wait near the limit, one that is too low costs money.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
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
    context: int
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


def _openai(pattern: str, max_output: int, context: int, image: int | None = None, *, suggest: bool = False) -> Limit:
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


_SEARCHES = "each of its calls also pays for a web search, which no token count shows"

GAPS: tuple[Gap, ...] = (
    Gap(
        "openai",
        "gpt-4o-audio-*",
        {"regex": r"^gpt-4o(-mini)?-audio"},
        "its audio tokens have no rate in the price data",
    ),
    Gap("openai", "*-search-preview", {"contains": "-search-preview"}, _SEARCHES),
    Gap("openai", "gpt-5-search-api", {"equals": "gpt-5-search-api"}, _SEARCHES),
)
"""They count before the data: a price that is half known is not known."""


def limit_of(provider: str, model: str) -> Limit | None:
    """The row for a price entry's id; None where nothing is known."""
    return next((row for row in LIMITS if row.provider == provider and fnmatchcase(model, row.pattern)), None)


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
)


def surcharges_of(provider: str, model: str) -> list[Surcharge]:
    """The surcharges that a price entry's id knows."""
    return [s for s in SURCHARGES if s.provider == provider and any(fnmatchcase(model, p) for p in s.patterns)]
