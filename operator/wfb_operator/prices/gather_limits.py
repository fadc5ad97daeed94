"""Gathers `limits.json` out of LiteLLM's table: bounds of models, tiers and times to live that genai-prices lacks.

    python -m wfb_operator.prices.gather_limits model_prices_and_context_window.json 2026-11-24 > limits.json

A row is taken where a name of the table leads to an entry of the price data; rates, where both state the same price
for input and output. Of several names that lead to one entry the highest bound counts. An entry of a provider that
sells others' models takes what its table row lacks from the model's maker.
"""

import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from genai_prices.data_snapshot import get_snapshot

from wfb_core.money import NANOS_PER_USD
from wfb_core.price import ModelPrice, PriceBook
from wfb_operator.prices.compile import compile_snapshot
from wfb_operator.prices.limits import hand_limit

SOURCE = "https://github.com/BerriAI/litellm (model_prices_and_context_window.json)"
PROVIDERS = {
    "anthropic": "anthropic",
    "azure": "azure",
    "azure_ai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "bedrock_mantle": "aws",
    "cerebras": "cerebras",
    "cloudflare": "cloudflare",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "databricks": "databricks",
    "deepseek": "deepseek",
    "fireworks_ai": "fireworks",
    "gemini": "google",
    "groq": "groq",
    "minimax": "minimax",
    "mistral": "mistral",
    "moonshot": "moonshotai",
    "novita": "novita",
    "openai": "openai",
    "perplexity": "perplexity",
    "together_ai": "together",
    "vertex_ai": "google",
    "vertex_ai-anthropic_models": "google",
    "vertex_ai-language-models": "google",
    "voyage": "voyageai",
    "xai": "x-ai",
    "zai": "zai",
}
"""LiteLLM's providers and the price data's."""
MAKERS = {
    "ai21": "ai21",
    "amazon": "aws",
    "anthropic": "anthropic",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "google": "google",
    "mistralai": "mistral",
    "mistral": "mistral",
    "moonshotai": "moonshotai",
    "openai": "openai",
    "perplexity": "perplexity",
    "x-ai": "x-ai",
    "xai": "x-ai",
    "z-ai": "zai",
    "zai": "zai",
}
"""Makers' names in front of a model's, as sellers write them, and the price data's provider."""
SELLERS = ("aws", "azure", "google", "openrouter", "github-copilot", "cursor", "databricks")
RATES = {
    "input": "input_cost_per_token",
    "cache_read": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "cache_write_1h": "cache_creation_input_token_cost_above_1hr",
    "output": "output_cost_per_token",
}
TIERS = {"flex": "_flex", "priority": "_priority", "batch": "_batches", "ultrafast": "_ultrafast"}
_LONG = "cache_creation_input_token_cost_above_12hr"
_THRESHOLDS = {"_above_100k_tokens": 100_000, "_above_200k_tokens": 200_000, "_above_272k_tokens": 272_000}
_UPLIFTS = ("regional_processing_uplift_multiplier_us", "regional_endpoint_uplift_multiplier")

Row = dict[str, Any]


def gather(table: dict[str, Row], date: str, at: float) -> Row:
    """The document of `limits.json`, from a table and the date it was read on; `at` says which prices must agree."""
    book = PriceBook.from_snapshot(compile_snapshot(date, None).data)
    bounds: dict[str, dict[str, list[int | None]]] = {}
    rates: dict[str, dict[str, dict[str, Row]]] = {}
    uplifts: dict[str, set[str]] = {}
    # What the data itself has, whatever an earlier table added to the book.
    known_tiers = {
        (p.id, m.id): {word for variant in m.price_variants or () for word in variant.when.values()}
        for p in get_snapshot().providers
        for m in p.models
    }
    for provider, name, row in _rows(table):
        price = book.find(provider, name, at)
        if price is None:
            continue
        _bound(bounds.setdefault(provider, {}), price.model, row)
        if any(row.get(key) == 1.1 for key in _UPLIFTS):
            uplifts.setdefault(provider, set()).add(price.model)
        if found := _rates(price, row, known_tiers.get((provider, price.model), set())):
            known = rates.setdefault(provider, {}).setdefault(price.model, {})
            for word, classes in found.items():
                known.setdefault(word, classes)
    for seller in SELLERS:
        for model in book.models(seller):
            _borrow(book, bounds, seller, model, at)
    return {
        "date": date,
        "source": SOURCE,
        "bounds": {p: kept for p, rows in bounds.items() if (kept := {m: row for m, row in rows.items() if any(row)})},
        "rates": rates,
        "uplifts": {p: sorted(models) for p, models in uplifts.items()},
    }


def _rows(table: dict[str, Row]) -> Iterator[tuple[str, str, Row]]:
    for key, row in sorted(table.items()):
        provider = PROVIDERS.get(row.get("litellm_provider", ""))
        if provider is None:
            continue
        prefix, slash, rest = key.partition("/")
        name = rest if slash and prefix in PROVIDERS else key
        yield provider, name, row


def _bound(rows: dict[str, list[int | None]], model: str, row: Row) -> None:
    output = row.get("max_output_tokens") if row.get("mode") in {"chat", "completion", "responses"} else None
    context = row.get("max_input_tokens") or (row.get("max_tokens") if output is None else None)
    known = rows.setdefault(model, [None, None])
    for place, value in enumerate((output, context)):
        if isinstance(value, int) and value > 0:
            known[place] = max(value, known[place] or 0)


def _borrow(
    book: PriceBook, bounds: dict[str, dict[str, list[int | None]]], seller: str, model: str, at: float
) -> None:
    """The bounds of a seller's entry that has none, from those of the model's maker."""
    row = bounds.setdefault(seller, {}).setdefault(model, [None, None])
    if all(row):
        return
    words = [w for w in re.split(r"[./]", re.sub(r"^(global|regional)\.", "", model)) if w]
    maker = MAKERS.get(words[0]) if len(words) > 1 else "anthropic" if model.startswith("claude") else None
    if maker is None or maker == seller:
        return
    name = model.partition(words[0])[2].lstrip("./") if len(words) > 1 else model
    for spelled in (name, name.partition(":")[0], re.sub(r"-v\d(:\d)?$", "", name), name.replace(".", "-")):
        price = book.find(maker, spelled, at)
        if price is None:
            continue
        hand = hand_limit(maker, price.model)
        theirs = [hand.max_output, hand.context, hand.image] if hand else bounds.get(maker, {}).get(price.model)
        if theirs:
            row[:] = [a or b for a, b in zip(row[:2], theirs[:2], strict=True)] + list(theirs[2:])
            return


def _rates(price: ModelPrice, row: Row, tiers: set[str]) -> dict[str, Row]:
    """Rates by tier that the price data has not; the standard tier's word is empty."""
    base = price.standard[0][1]
    stated = [_stepped(row, RATES[name], "") for name in ("input", "output")]
    first = [rate[0] if isinstance(rate, list) else rate for rate in stated]
    if first != [base.input, base.output]:
        return {}
    if {base.audio_input, base.image_input} != {base.input} or {base.audio_output, base.image_output} != {base.output}:
        return {}  # the table's tiers do not say all that such a model is charged by
    found: dict[str, Row] = {}
    long = _stepped(row, _LONG, "")
    if long is not None and price.provider == "openai":
        found[""] = {"cache_write_1h": long}
    for word, suffix in TIERS.items():
        own = word not in tiers
        classes = {name: rate for name, key in RATES.items() if (rate := _stepped(row, key, suffix)) is not None}
        if price.provider == "openai" and (rate := _stepped(row, _LONG, suffix)) is not None:
            classes["cache_write_1h"] = rate
        if own and {"input", "output"} <= classes.keys():
            if "cache_read" not in classes and base.cache_read != base.input:
                # A tier multiplies every rate of tokens; a class that its row leaves out is no exception.
                flat = classes["input"][0] if isinstance(classes["input"], list) else classes["input"]
                classes["cache_read"] = -(-base.cache_read * flat // base.input)
            found[word] = classes
        elif not own and "cache_write_1h" in classes and price.provider == "openai":
            found[word] = {"cache_write_1h": classes["cache_write_1h"]}
    if "priority" in found and "fast" in tiers:
        found["fast"] = found["priority"]  # two words for one price: OpenAI answers "priority" to "fast"
    return found


def _stepped(row: Row, key: str, suffix: str) -> int | list[Any] | None:
    first = row.get(key + suffix)
    if first is None:
        return None
    steps = [
        [at, _nanos(row[key + above + suffix])] for above, at in _THRESHOLDS.items() if key + above + suffix in row
    ]
    return [_nanos(first), *steps] if steps else _nanos(first)


def _nanos(per_token: float) -> int:
    """USD per token, as the table writes it, as nano-USD per million."""
    return int((Decimal(repr(per_token)) * NANOS_PER_USD * 1_000_000).to_integral_value(rounding="ROUND_CEILING"))


def main() -> None:
    """Prints the document; the arguments are the table's file and the date it was read on."""
    path, date = sys.argv[1:]
    table = json.loads(Path(path).read_text())
    document = gather(table, date, datetime.fromisoformat(f"{date}T12:00:00+00:00").timestamp())
    # One line for an entry: a change of the file shows as a change of its rows.
    text = json.dumps(document, indent=1, sort_keys=True)
    sys.stdout.write(re.sub(r"\n {4,}|\n {3}(?=[\]}])", " ", text).replace("[ ", "[").replace(" ]", "]") + "\n")


if __name__ == "__main__":
    main()
