"""List prices as literals, and what a call costs by them.

USD per million tokens, standard tier. OpenAI bills cache writes at the input rate unless the model names a rate;
where a model has no cached rate, cached input costs what other input costs. A cliff re-prices the whole call.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from simulator.usage import Usage

OPENAI = "https://developers.openai.com/api/docs/pricing"
OPENAI_MODELS = "https://developers.openai.com/api/docs/models"
ANTHROPIC = "https://platform.claude.com/docs/en/about-claude/pricing"


@dataclass(frozen=True, slots=True)
class Rates:
    """USD per million tokens of each class."""

    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal
    output: Decimal

    def times(self, inputs: str, outputs: str) -> "Rates":
        """The rates beyond a cliff: every input class times one factor, output times another."""
        i, o = Decimal(inputs), Decimal(outputs)
        return Rates(
            self.input * i, self.cache_read * i, self.cache_write * i, self.cache_write_1h * i, self.output * o
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A model as its provider sells it."""

    provider: str
    name: str
    """The alias that callers ask for."""
    served: str
    """The dated model that answers; the alias itself where the provider dates none."""
    context: int
    """The most input tokens it takes."""
    most_output: int
    """The most output tokens of one answer."""
    rates: Rates
    source: str
    """The price page these numbers are from."""
    cliff: int = 0
    """With more input tokens than this the whole call costs rates_beyond; 0 for none."""
    rates_beyond: Rates | None = None
    per_call: Decimal = Decimal(0)
    """USD for each call."""
    unit_rates: Mapping[str, Decimal] = field(default_factory=dict)
    """USD for one unit of what is billed beside tokens."""

    def cost(self, usage: Usage, units: Mapping[str, int] = {}) -> Decimal:
        """The exact price of a call in USD."""
        rates = self.rates_beyond if self.rates_beyond and usage.input > self.cliff else self.rates
        micros = (
            (usage.input - usage.cache_read - usage.cache_write) * rates.input
            + usage.cache_read * rates.cache_read
            + (usage.cache_write - usage.cache_write_1h) * rates.cache_write
            + usage.cache_write_1h * rates.cache_write_1h
            + usage.output * rates.output
        )
        beside = sum((count * self.unit_rates[unit] for unit, count in units.items()), self.per_call)
        return micros.scaleb(-6) + beside


def _openai(
    name: str, date: str, context: int, most: int, input_: str, cached: str, output: str, *, write: str = ""
) -> Model:
    written = Decimal(write or input_)
    rates = Rates(Decimal(input_), Decimal(cached), written, written, Decimal(output))
    return Model("openai", name, f"{name}-{date}" if date else name, context, most, rates, OPENAI)


def _claude(name: str, date: str, context: int, most: int, *rates: str) -> Model:
    input_, read, write, write_1h, output = map(Decimal, rates)
    served = f"{name}-{date}" if date else name
    return Model("anthropic", name, served, context, most, Rates(input_, read, write, write_1h, output), ANTHROPIC)


def _with_cliff(model: Model, tokens: int, inputs: str, outputs: str) -> Model:
    return Model(
        model.provider,
        model.name,
        model.served,
        model.context,
        model.most_output,
        model.rates,
        model.source,
        tokens,
        model.rates.times(inputs, outputs),
    )


_GPT_4O_MAY = Rates(Decimal(5), Decimal(5), Decimal(5), Decimal(5), Decimal(15))

# Prices: https://developers.openai.com/api/docs/pricing · windows and maxima: https://developers.openai.com/api/docs/models
_OPENAI = (
    #       name            dated         context    most out  input   cached   output
    _openai("gpt-4o", "2024-08-06", 128_000, 16_384, "2.50", "1.25", "10"),
    _openai("gpt-4o-mini", "2024-07-18", 128_000, 16_384, "0.15", "0.075", "0.60"),
    _openai("gpt-4.1", "2025-04-14", 1_047_576, 32_768, "2", "0.50", "8"),
    _openai("gpt-4.1-mini", "2025-04-14", 1_047_576, 32_768, "0.40", "0.10", "1.60"),
    _openai("gpt-4.1-nano", "2025-04-14", 1_047_576, 32_768, "0.10", "0.025", "0.40"),
    _openai("gpt-5", "2025-08-07", 400_000, 128_000, "1.25", "0.125", "10"),
    _openai("gpt-5-mini", "2025-08-07", 400_000, 128_000, "0.25", "0.025", "2"),
    _openai("gpt-5-nano", "2025-08-07", 400_000, 128_000, "0.05", "0.005", "0.40"),
    _openai("gpt-5.4-mini", "2026-03-17", 400_000, 128_000, "0.75", "0.075", "4.50"),
    # https://developers.openai.com/api/docs/models/gpt-6-astra: writes 25 % dearer; the same cliff.
    _with_cliff(_openai("gpt-6-astra", "", 1_050_000, 128_000, "10", "1", "50", write="12.50"), 272_000, "2", "1.5"),
    # https://developers.openai.com/api/docs/models/gpt-6-luna: writes 25 % dearer; beyond 272k input twice in, 1.5 times out.
    _with_cliff(
        _openai("gpt-6-luna", "", 1_050_000, 128_000, "0.10", "0.01", "0.50", write="0.125"), 272_000, "2", "1.5"
    ),
    # https://developers.openai.com/api/docs/pricing lists this snapshot apart, without a cached rate.
    Model("openai", "gpt-4o-2024-05-13", "gpt-4o-2024-05-13", 128_000, 4_096, _GPT_4O_MAY, OPENAI),
)

# Prices, windows and maxima: https://platform.claude.com/docs/en/about-claude/pricing and …/about-claude/models/overview
_ANTHROPIC = (
    #       name                dated       context  most out  input  read   5m write  1h write  output
    _claude("claude-haiku-4-5", "20251001", 200_000, 64_000, "1", "0.10", "1.25", "2", "5"),
    _claude("claude-sonnet-4-5", "20250929", 200_000, 64_000, "3", "0.30", "3.75", "6", "15"),
    _claude("claude-opus-4-5", "20251101", 200_000, 64_000, "5", "0.50", "6.25", "10", "25"),
    _claude("claude-sonnet-5-5", "", 1_000_000, 128_000, "2", "0.10", "2.50", "4", "10"),
    _claude("claude-opus-5-5", "", 1_000_000, 128_000, "4", "0.20", "5", "8", "20"),
    # …/about-claude/pricing#long-context-pricing: more than 100k input re-prices the call five-fold.
    _with_cliff(
        _claude("claude-haiku-5-5", "", 1_000_000, 128_000, "0.10", "0.01", "0.125", "0.20", "0.50"), 100_000, "5", "5"
    ),
)


def _sold(
    provider: str, name: str, context: int, most: int, rates: str, source: str, *, served: str = "", **more: Any
) -> Model:
    """A model of any other provider; rates are input, output, and where they differ cached input, write, hour's write."""
    input_, output, *rest = map(Decimal, rates.split())
    read, write, hour = (*rest, *(input_, input_, input_)[len(rest) :])
    return Model(
        provider, name, served or name, context, most, Rates(input_, read, write, hour, output), source, **more
    )


GOOGLE = "https://ai.google.dev/gemini-api/docs/pricing"
VERTEX = "https://cloud.google.com/vertex-ai/generative-ai/pricing"
AWS = "https://aws.amazon.com/bedrock/pricing/"
AZURE = "https://azure.microsoft.com/en-us/pricing/details/cognitive-services/openai-service/"
MISTRAL = "https://mistral.ai/pricing/api"
COHERE = "https://cohere.com/pricing"
GROQ = "https://groq.com/pricing"
XAI = "https://docs.x.ai/docs/models"
DEEPSEEK = "https://api-docs.deepseek.com/quick_start/pricing"
PERPLEXITY = "https://docs.perplexity.ai/docs/getting-started/pricing"
OPENROUTER = "https://openrouter.ai/models"

_LONG = 1_048_576
_OF_GEMINI_PRO = Rates(*map(Decimal, ("2.50", "0.25", "2.50", "2.50", "15")))

# Rates are "input output", then cached input, cache writes and an hour's cache writes where they differ from input.
_OTHERS = (
    # openai, beside chat: https://developers.openai.com/api/docs/pricing
    _sold("openai", "gpt-3.5-turbo-instruct", 16_385, 4_096, "1.50 2", OPENAI),
    _sold("openai", "text-embedding-3-small", 8_192, 0, "0.02 0", OPENAI),
    _sold("openai", "gpt-image-1", 32_000, 100_000, "5 40 1.25", OPENAI),
    _sold("openai", "gpt-4o-mini-transcribe", 16_000, 2_000, "3 5", OPENAI),
    _sold("openai", "gpt-4o-mini-tts", 2_000, 100_000, "0.60 12", OPENAI),
    _sold("openai", "whisper-1", 1 << 30, 0, "0 0", OPENAI, unit_rates={"seconds": Decimal("0.0001")}),
    _sold("openai", "tts-1", 1 << 30, 0, "0 0", OPENAI, unit_rates={"characters": Decimal("0.000015")}),
    _sold("openai", "gpt-realtime", 32_000, 4_096, "4 16 0.40", OPENAI),
    # azure: the global deployment's rates
    _sold("azure", "gpt-4o-mini", 128_000, 16_384, "0.15 0.60 0.075", AZURE, served="gpt-4o-mini-2024-07-18"),
    _sold("azure", "gpt-5-mini", 400_000, 128_000, "0.25 2 0.025", AZURE, served="gpt-5-mini-2025-08-07"),
    _sold("azure", "text-embedding-3-small", 8_192, 0, "0.02 0", AZURE),
    # google; Pro costs more beyond 200k of input, for the whole call
    _sold("google", "gemini-2.5-flash", _LONG, 65_536, "0.30 2.50 0.03", GOOGLE),
    _sold("google", "gemini-2.5-flash-lite", _LONG, 65_536, "0.10 0.40 0.01", GOOGLE),
    _sold(
        "google", "gemini-2.5-pro", _LONG, 65_536, "1.25 10 0.125", GOOGLE, cliff=200_000, rates_beyond=_OF_GEMINI_PRO
    ),
    _sold("google", "gemini-embedding-001", 2_048, 0, "0.15 0", GOOGLE),
    _sold("google", "gemini-live-2.5-flash-preview", 128_000, 8_192, "0.50 2", GOOGLE),
    _sold(
        "google",
        "claude-haiku-4-5",
        200_000,
        64_000,
        "1 5 0.10 1.25 2",
        VERTEX,
        served="claude-haiku-4-5-20251001",
    ),
    # aws, us-east-1; "us." inference profiles of newer Claudes cost a tenth more than "global." ones
    _sold("aws", "amazon.nova-lite-v1:0", 300_000, 10_000, "0.06 0.24 0.015", AWS),
    _sold("aws", "amazon.titan-embed-text-v2:0", 8_192, 0, "0.02 0", AWS),
    _sold("aws", "meta.llama3-1-8b-instruct-v1:0", 128_000, 8_192, "0.22 0.22", AWS),
    _sold("aws", "mistral.mistral-large-2402-v1:0", 32_000, 8_192, "4 12", AWS),
    _sold("aws", "global.anthropic.claude-haiku-4-5-20251001-v1:0", 200_000, 64_000, "1 5 0.10 1.25 2", AWS),
    _sold("aws", "us.anthropic.claude-haiku-4-5-20251001-v1:0", 200_000, 64_000, "1.10 5.50 0.11 1.375 2.20", AWS),
    # mistral
    _sold("mistral", "mistral-small-latest", 262_144, 262_144, "0.15 0.60 0.015", MISTRAL, served="mistral-small-2603"),
    _sold("mistral", "codestral-latest", 256_000, 256_000, "0.30 0.90 0.03", MISTRAL, served="codestral-2508"),
    _sold("mistral", "mistral-embed", 8_192, 0, "0.10 0", MISTRAL),
    # cohere; a search of up to 100 documents
    _sold("cohere", "command-a-03-2025", 256_000, 8_192, "2.50 10", COHERE),
    _sold("cohere", "command-r7b-12-2024", 128_000, 4_096, "0.0375 0.15", COHERE),
    _sold("cohere", "embed-v4.0", 128_000, 0, "0.12 0", COHERE),
    _sold("cohere", "rerank-v3.5", 1 << 30, 0, "0 0", COHERE, unit_rates={"searches": Decimal("0.002")}),
    # the rest
    _sold("groq", "llama-3.1-8b-instant", 131_072, 131_072, "0.05 0.08", GROQ),
    _sold("groq", "openai/gpt-oss-20b", 131_072, 65_536, "0.075 0.30 0.0375", GROQ),
    _sold("x-ai", "grok-4-fast-reasoning", 2_000_000, 2_000_000, "0.20 0.50 0.05", XAI),
    _sold("x-ai", "grok-3-mini", 131_072, 131_072, "0.30 0.50 0.075", XAI),
    # Sold at one rate all day, unlike the two below, whose rates here are those of the hours of peak.
    _sold("deepseek", "deepseek-v3.2", 131_072, 8_192, "0.2288 0.3432", DEEPSEEK),
    _sold("deepseek", "deepseek-v4-flash", 1_000_000, 131_072, "0.30 1.20 0.006", DEEPSEEK),
    _sold("deepseek", "deepseek-v4-pro", 1_000_000, 131_072, "1.32 3.96 0.044", DEEPSEEK),
    _sold("perplexity", "sonar", 128_000, 128_000, "1 1", PERPLEXITY, per_call=Decimal("0.005")),
    _sold("perplexity", "sonar-pro", 200_000, 8_000, "3 15", PERPLEXITY, per_call=Decimal("0.006")),
    _sold("openrouter", "openai/gpt-4o-mini", 128_000, 16_384, "0.15 0.60 0.075", OPENROUTER),
    _sold("openrouter", "anthropic/claude-haiku-4.5", 200_000, 64_000, "1 5 0.10 1.25", OPENROUTER),
    _sold(
        "together",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        131_072,
        131_072,
        "0.88 0.88",
        "https://together.ai/pricing",
    ),
    _sold(
        "fireworks",
        "accounts/fireworks/models/gpt-oss-120b",
        131_072,
        131_072,
        "0.15 0.60 0.015",
        "https://fireworks.ai/pricing",
    ),
    _sold("cerebras", "gpt-oss-120b", 131_072, 65_536, "0.35 0.75", "https://www.cerebras.ai/pricing"),
    _sold("ollama", "llama3.2", 131_072, 131_072, "0 0", "https://ollama.com: it runs on the caller's own machine"),
)

MODELS = (*_OPENAI, *_ANTHROPIC, *_OTHERS)

_OTHER_DATES = {"gpt-4o-2024-11-20": "gpt-4o"}
"""Further dated models at the price of an alias that resolves to another date."""

_OTHER_NAMES = {
    ("google", "claude-haiku-4-5@20251001"): "claude-haiku-4-5",
    ("azure", "house-mini"): "gpt-4o-mini",
    ("azure", "house-thinker"): "gpt-5-mini",
    ("azure", "house-embeddings"): "text-embedding-3-small",
}
"""What else a model is called: Vertex dates with an at sign, Azure deployments have names of their owner's choice."""


def _index() -> dict[tuple[str, str], tuple[Model, str]]:
    found: dict[tuple[str, str], tuple[Model, str]] = {}
    for model in MODELS:
        found[model.provider, model.name] = found[model.provider, model.served] = (model, model.served)
    for dated, alias in _OTHER_DATES.items():
        model, _ = found["openai", alias]
        found["openai", dated] = (model, dated)
    for (provider, name), alias in _OTHER_NAMES.items():
        found[provider, name] = found[provider, alias]
    return found


_BY_NAME = _index()


def find(provider: str, name: object) -> tuple[Model, str] | None:
    """The model a caller asks for and the dated name that will answer; None for one the provider does not have."""
    return _BY_NAME.get((provider, name)) if isinstance(name, str) else None


def names(provider: str) -> list[str]:
    """Every name the provider answers to."""
    return [name for owner, name in _BY_NAME if owner == provider]
