"""List prices as literals, and what a call costs by them.

USD per million tokens, standard tier. OpenAI bills cache writes at the input rate unless the model names a rate;
where a model has no cached rate, cached input costs what other input costs. A cliff re-prices the whole call.
"""

from dataclasses import dataclass
from decimal import Decimal

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

    def cost(self, usage: Usage) -> Decimal:
        """The exact price of a call in USD."""
        rates = self.rates_beyond if self.rates_beyond and usage.input > self.cliff else self.rates
        micros = (
            (usage.input - usage.cache_read - usage.cache_write) * rates.input
            + usage.cache_read * rates.cache_read
            + (usage.cache_write - usage.cache_write_1h) * rates.cache_write
            + usage.cache_write_1h * rates.cache_write_1h
            + usage.output * rates.output
        )
        return micros.scaleb(-6)


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

MODELS = (*_OPENAI, *_ANTHROPIC)

_OTHER_DATES = {"gpt-4o-2024-11-20": "gpt-4o"}
"""Further dated models at the price of an alias that resolves to another date."""


def _index() -> dict[tuple[str, str], tuple[Model, str]]:
    found: dict[tuple[str, str], tuple[Model, str]] = {}
    for model in MODELS:
        found[model.provider, model.name] = found[model.provider, model.served] = (model, model.served)
    for dated, alias in _OTHER_DATES.items():
        model, _ = found["openai", alias]
        found["openai", dated] = (model, dated)
    return found


_BY_NAME = _index()


def find(provider: str, name: object) -> tuple[Model, str] | None:
    """The model a caller asks for and the dated name that will answer; None for one the provider does not have."""
    return _BY_NAME.get((provider, name)) if isinstance(name, str) else None


def names(provider: str) -> list[str]:
    """Every name the provider answers to."""
    return [name for owner, name in _BY_NAME if owner == provider]
