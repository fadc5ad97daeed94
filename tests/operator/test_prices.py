"""The compiled snapshot charges to the nano-dollar what genai-prices does, and says where it knows nothing."""

import argparse
import datetime
import json
import tracemalloc
from decimal import ROUND_HALF_UP, Decimal
from fnmatch import fnmatchcase
from typing import Any

import genai_prices
import pytest
from genai_prices import types as data
from genai_prices.data_snapshot import get_snapshot

from wfb_core import bounds
from wfb_core.call import CallFacts
from wfb_core.price import PriceBook, cost, unpriced, uplifted
from wfb_core.usage import Usage
from wfb_operator.cli import prices as command
from wfb_operator.prices.compile import PROVIDERS, compile_snapshot
from wfb_operator.prices.limits import (
    LIMITS,
    SEARCH_MODELS,
    SUGGESTED,
    SURCHARGES,
    UNKNOWN_TIERS,
    more_rates,
    surcharges_of,
)

SNAPSHOT = compile_snapshot("2026-11-23T00:00:00Z", None)
BOOK = PriceBook.from_snapshot(SNAPSHOT.data)
SOURCE = {p.id: p for p in get_snapshot().providers}
TIMES = tuple(
    datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)
    for text in (
        "2025-06-09T23:59:59",
        "2025-06-10T00:00:00",
        "2026-03-12T12:00:00",
        "2026-03-13T00:00:00",
        "2026-08-21T00:29:59",
        "2026-10-14T02:00:00",
        "2026-11-23T16:30:00",
        "2027-01-01T00:00:00",
    )
)
NOW = TIMES[-2]
USAGES = (
    Usage(),
    Usage(input_tokens=1, output_tokens=1),
    Usage(input_tokens=12_345, cache_read_tokens=6_789, output_tokens=4_321, reasoning_tokens=4_000),
    Usage(123_457, 50_001, 40_003, 7_001, 9_999),
    Usage(272_000, 100_000, 0, 0, 128_000),
    Usage(272_001, 0, 272_001, 100_000, 17),
    Usage(999_983, 333_331, 333_323, 333_323, 65_521),
)
MODAL_USAGES = (
    Usage(
        input_tokens=90_001,
        cache_read_tokens=20_003,
        output_tokens=7_001,
        audio_input_tokens=30_007,
        image_input_tokens=11_003,
        audio_cache_read_tokens=5_003,
        image_cache_read_tokens=2_001,
        audio_output_tokens=3_001,
        image_output_tokens=1_001,
    ),
    Usage(input_tokens=1_001, audio_input_tokens=1_001, output_tokens=999, audio_output_tokens=999),
    Usage(input_tokens=333, image_input_tokens=111, output_tokens=6_240, image_output_tokens=6_240),
)
UNIT_USAGES = (
    Usage(units=(("audio_input_ms", 90_000),)),
    Usage(units=(("characters", 4_321),)),
    Usage(units=(("pages", 37),)),
    Usage(12_345, 0, 0, 0, 4_321, 4_000, units=(("citation_tokens", 300), ("web_searches", 7))),
    Usage(12, output_tokens=5, units=(("requests", 1),)),
    Usage(12, output_tokens=5, units=(("storage_searches", 3), ("web_searches", 2))),
)
KEYS = {
    "audio_input_tokens": "input_audio_tokens",
    "image_input_tokens": "input_image_tokens",
    "audio_cache_read_tokens": "cache_audio_read_tokens",
    "image_cache_read_tokens": "cache_image_read_tokens",
    "audio_output_tokens": "output_audio_tokens",
    "image_output_tokens": "output_image_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
}
"""Our classes and the data's names for them."""
UNIT_KEYS = {
    "audio_input_ms": ("input_audio_seconds", 1_000),
    "characters": ("input_characters", 1),
    "citation_tokens": ("output_citation_tokens", 1),
    "pages": ("input_document_pages", 1),
    "storage_searches": ("storage_searches", 1),
    "web_searches": ("web_searches", 1),
}
CONTEXTS = {"flex": "service_tier", "priority": "service_tier", "batch": "processing", "mistral/eu": "route"}


def theirs(usage: Usage, provider: str, model: str, at: datetime.datetime, tier: str | None) -> int:
    """What genai-prices charges, in nano-dollars."""
    context = None
    if tier is not None:
        fast = {"anthropic": "speed", "perplexity": "search_type"}.get(provider, "service_tier")
        context = {CONTEXTS.get(tier, fast): tier}
    counts: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "cache_write_1h_tokens": usage.cache_write_1h_tokens,
        "output_tokens": usage.output_tokens,
    }
    counts |= {key: count for name, key in KEYS.items() if (count := getattr(usage, name))}
    for name, count in usage.units:
        if name == "requests":
            continue  # the data counts one where it has a fee for it
        key, per = UNIT_KEYS[name]
        counts[key] = Decimal(count) / per
        if name == "audio_input_ms":
            counts["audio_seconds"] = counts[key]  # of which these are the part that is heard
        if name == "citation_tokens":
            counts["output_tokens"] += count  # the data counts them inside
    calculated = genai_prices.calc_price(
        genai_prices.Usage(**counts),
        model,
        provider_id=provider,
        genai_request_timestamp=at,
        price_context=context,
    )
    return int((calculated.total_price * 10**9).quantize(Decimal(1), ROUND_HALF_UP))


def names(provider: str) -> list[str]:
    """Every priced model's id and the names its match clause spells out."""
    found = []
    for model in SOURCE[provider].models:
        clauses = model.match.or_ if isinstance(model.match, data.ClauseOr) else [model.match]
        spelled = [c.equals for c in clauses if isinstance(c, data.ClauseEquals)]
        found += [n for n in dict.fromkeys((model.id, *spelled)) if BOOK.find(provider, n, NOW.timestamp())]
    return found


def stated(provider: str, model: str) -> set[str]:
    """The price keys that the data has for a model at every time."""
    _, entry = get_snapshot().find_provider_model(model, None, provider, None)
    prices = entry.prices if isinstance(entry.prices, list) else [data.ConditionalPrice(prices=entry.prices)]
    keys = [{key for key, value in vars(p.prices).items() if value is not None} for p in prices]
    return set.intersection(*keys)


def their_tiers(provider: str, model: str) -> set[str]:
    """The tiers that the data itself has for a model."""
    _, entry = get_snapshot().find_provider_model(model, None, provider, None)
    return {word for v in entry.price_variants or () for word in v.when.values()}


class TestAgainstTheData:
    @pytest.mark.parametrize("provider", sorted(SOURCE))
    def test_every_cost_is_theirs_to_the_nano_dollar(self, provider):
        """All models, dates, tiers and usages of all providers: the same number for every class that the data prices."""
        compared = 0
        times = TIMES if provider != "openrouter" else TIMES[-2:]
        for name in names(provider):
            keys = stated(provider, name)
            if name.startswith(tuple(SEARCH_MODELS)) or "input_mtok" not in keys:
                continue
            ours_alone = more_rates(provider, BOOK.find(provider, name, NOW.timestamp()).model)
            known = their_tiers(provider, name)
            for at in times:
                price = BOOK.find(provider, name, at.timestamp())
                assert price is not None
                for tier in (None, *(t for t in price.tiers if t in known)):
                    for usage in USAGES:
                        if usage.output_tokens and "output_mtok" not in keys:
                            continue
                        if usage.cache_write_1h_tokens and ours_alone:
                            continue
                        rates = price.rates_for(usage.input_tokens, tier)
                        assert rates is not None
                        ours = cost(usage, rates).total
                        assert ours == theirs(usage, provider, name, at, tier), (name, at, tier, usage)
                        compared += 1

        assert compared > 20 or provider in {"elevenlabs", "openai-decisions", "typesafe"}

    def test_audio_and_images_cost_what_they_say(self):
        """Models with rates of their own for a modality: the same number for fresh, cached and made tokens of it."""
        compared = set()
        for provider in SOURCE:
            for name in BOOK.models(provider):
                keys = stated(provider, name)
                if "input_mtok" not in keys or not any("audio_mtok" in k or "image" in k for k in keys):
                    continue
                price = BOOK.find(provider, name, NOW.timestamp())
                assert price is not None
                for usage in MODAL_USAGES:
                    # Cached audio without a rate of its own has two parents, and the data does not say which counts.
                    if any(
                        getattr(usage, f"{kind}_cache_read_tokens") and f"cache_{kind}_read_mtok" not in keys
                        for kind in ("audio", "image")
                    ):
                        continue
                    if usage.output_tokens and "output_mtok" not in keys:
                        continue
                    if usage.image_input_tokens and "input_video_mtok" in keys:
                        continue  # images and video are one class of ours, which pays the dearer rate
                    rates = price.rates_for(usage.input_tokens)
                    assert rates is not None
                    assert cost(usage, rates).total == theirs(usage, provider, name, NOW, None), (provider, name, usage)
                    compared.add((provider, name))

        assert {("openai", "gpt-realtime"), ("openai", "gpt-audio"), ("google", "gemini-2.5-flash")} <= compared

    def test_units_cost_what_they_say(self):
        """Minutes, characters, pages, searches, requests and citations: the same number, to a nano-dollar a unit's rate."""
        compared = set()
        for provider in SOURCE:
            for name in BOOK.models(provider):
                price = BOOK.find(provider, name, NOW.timestamp())
                assert price is not None
                for usage in UNIT_USAGES:
                    rates = price.rates_for(usage.input_tokens)
                    assert rates is not None
                    if name in SEARCH_MODELS or unpriced(usage, rates) or not usage.units:
                        continue
                    if usage.input_tokens and not (rates.tokens_priced and "output_mtok" in stated(provider, name)):
                        continue
                    if "audio_hours" in stated(provider, name) and "input_audio_hours" not in stated(provider, name):
                        continue
                    assert abs(cost(usage, rates).total - theirs(usage, provider, name, NOW, None)) <= 1, (name, usage)
                    compared.add(name)

        assert {"whisper-1", "tts-1", "mistral-ocr-latest", "sonar-deep-research", "sonar", "gpt-5"} <= compared

    def test_tiers_are_those_of_the_data(self):
        """Flex, priority, fast and batch are known where the data has them, and from when it has them."""
        before, after = (datetime.datetime(2026, 10, day, tzinfo=datetime.UTC).timestamp() for day in (11, 14))
        early, late = (BOOK.find("openai", "gpt-5", at) for at in (before, after))
        claude = BOOK.find("anthropic", "claude-opus-5-5", after)

        assert early is not None
        assert late is not None
        assert claude is not None
        assert sorted(early.tiers) == []
        assert sorted(late.tiers) == ["batch", "fast", "flex", "priority"]
        assert sorted(claude.tiers) == ["batch", "batch+geo-us", "fast", "fast+geo-us", "geo-us"]
        for tier in ("ultrafast", "scale", "processing", "window-8h"):
            assert late.rates_for(0, tier) is None

    def test_a_surcharge_multiplies_every_rate(self):
        """Inference kept in the US costs a tenth more, before and after every context tier."""
        for name in BOOK.models("anthropic"):
            price = BOOK.find("anthropic", name, NOW.timestamp())
            assert price is not None
            expected = bool(surcharges_of("anthropic", name))
            assert ("geo-us" in price.tiers) is expected
            for word in (None, "fast", "batch") if expected else ():
                surcharged = price.steps("geo-us" if word is None else f"{word}+geo-us")
                for (start, plain), (above, dear) in zip(price.steps(word) or (), surcharged or (), strict=True):
                    assert start == above
                    assert (dear.input * 10, dear.output * 10) == (plain.input * 11, plain.output * 11)
                    assert (dear.cache_write_1h * 10, dear.cache_read * 10) == (
                        plain.cache_write_1h * 11,
                        plain.cache_read * 11,
                    )

    def test_a_price_to_come_counts_from_its_day(self):
        """Dated entries of the future are in the snapshot."""
        known = [
            p for p in BOOK.providers() for m in BOOK.models(p) if any(t > NOW.timestamp() for t in BOOK.changes(p, m))
        ]

        assert "google" in known

    @pytest.mark.parametrize(
        ("provider", "name", "why"),
        [
            ("openai", "gpt-4o-audio-preview-2024-12-17", "its audio tokens have no rate"),
            ("openai", "omni-moderation-latest", "no rate for its input tokens"),
            ("openai", "gpt-9", "has no model of openai"),
            ("x-ai", "grok-voice-latest", "charged by messages of text"),
            ("huggingface", "Qwen/Qwen3-8B", "name the provider, such as 'Qwen/Qwen3-8B:together'"),
            ("aws", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", "has no model of aws"),
        ],
    )
    def test_what_is_half_known_has_no_price(self, provider, name, why):
        """A model charged by more than usage counts is unpriced, with the reason, and not half priced."""
        assert BOOK.find(provider, name, NOW.timestamp()) is None
        assert why in BOOK.why_unpriced(provider, name)

    @pytest.mark.parametrize(
        ("model", "nanos"),
        [
            ("gpt-4o-search-preview", 25_000_000),
            ("gpt-4o-mini-search-preview-2025-03-11", 25_000_000),
            ("gpt-5-search-api", 10_000_000),
        ],
    )
    def test_models_that_always_search_pay_for_it(self, model, nanos):
        """The fee of the search is in every call, which no count shows."""
        price = BOOK.find("openai", model, NOW.timestamp())
        assert price is not None
        rates = price.rates_for(0)
        assert rates is not None
        assert cost(Usage(), rates).total == nanos

    @pytest.mark.parametrize(
        ("provider", "name", "model"),
        [
            ("openai", "gpt-4o-2024-11-20", "gpt-4o"),
            ("openai", "openai/gpt-4o", "gpt-4o"),
            ("azure", "gpt-4o-2024-11-20", "gpt-4o"),
            ("azure", "claude-haiku-4-5", "claude-haiku-4-5"),
            ("anthropic", "claude-haiku-4-5-20251001", "claude-haiku-4-5"),
            ("anthropic", "claude-haiku-4-5@20251001", "claude-haiku-4-5"),
            ("google", "models/gemini-2.5-flash", "gemini-2.5-flash"),
            ("google", "publishers/google/models/gemini-2.5-flash", "gemini-2.5-flash"),
            (
                "google",
                "projects/p/locations/us/publishers/anthropic/models/claude-haiku-4-5@20251001",
                "claude-haiku-4-5",
            ),
            ("aws", "us.anthropic.claude-opus-4-7", "regional.anthropic.claude-opus-4-7-v1:0"),
            ("aws", "ca.anthropic.claude-opus-4-7-v1:0", "regional.anthropic.claude-opus-4-7-v1:0"),
            ("aws", "global.anthropic.claude-opus-4-7-v1:0", "global.anthropic.claude-opus-4-7-v1:0"),
            (
                "aws",
                "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0",
                "regional.anthropic.claude-3-haiku-20240307-v1:0",
            ),
            (
                "aws",
                "arn:aws:bedrock:us-east-1:123456789012:inference-profile/global.anthropic.claude-opus-4-7-v1:0",
                "global.anthropic.claude-opus-4-7-v1:0",
            ),
            ("aws", "eu.amazon.nova-pro-v1:0", "amazon.nova-pro-v1:0"),
            ("huggingface", "Qwen/Qwen3-VL-8B-Instruct:together", "Qwen/Qwen3-VL-8B-Instruct"),
            ("huggingface_together", "Qwen/Qwen3-VL-8B-Instruct:together", "Qwen/Qwen3-VL-8B-Instruct"),
            ("openrouter", "anthropic/claude-3-haiku:free", "anthropic/claude-3-haiku"),
            ("openrouter", "anthropic/claude-3-haiku:nitro", "anthropic/claude-3-haiku"),
        ],
    )
    def test_names_as_calls_write_them(self, provider, name, model):
        """Dates, resource paths, regions, ARNs and variants lead to the entry that bills."""
        price = BOOK.find(provider, name, NOW.timestamp())

        assert price is not None
        assert price.model == model


class TestGaps:
    """What the data does not know, from the table of its gaps."""

    def test_ultrafast_costs_six_times_where_it_is_published(self):
        """And nothing is guessed where it is not."""
        price = BOOK.find("openai", "gpt-6-astra", NOW.timestamp())
        assert price is not None
        plain, fast = price.rates_for(1), price.rates_for(1, "ultrafast")
        assert plain is not None
        assert fast is not None
        assert (fast.input, fast.output, fast.cache_read) == (6 * plain.input, 6 * plain.output, 6 * plain.cache_read)
        other = BOOK.find("openai", "gpt-5", NOW.timestamp())
        assert other is not None
        assert other.rates_for(1, "ultrafast") is None

    def test_long_cache_writes_cost_two_and_a_half_times_the_input(self):
        """OpenAI's twelve hours are the class of long writes, in its tiers as well."""
        price = BOOK.find("openai", "gpt-6-astra", NOW.timestamp())
        assert price is not None
        for tier in (None, "flex", "fast", "priority", "batch", "ultrafast"):
            for tokens in (1, 300_000):
                rates = price.rates_for(tokens, tier)
                assert rates is not None
                assert rates.cache_write_1h * 2 == rates.input * 5, (tier, tokens)

    @pytest.mark.parametrize(
        ("provider", "model", "raised"),
        [
            ("openai", "gpt-5.4", True),
            ("openai", "gpt-6.1-sol", True),
            ("openai", "gpt-5", False),
            ("openai", "gpt-4o", False),
            ("google", "claude-opus-4-7", True),
            ("google", "gemini-3.8-flash", True),
            ("google", "gemini-2.5-flash", False),
        ],
    )
    def test_regional_hosts_cost_a_tenth_more_for_newer_models(self, provider, model, raised):
        """Every class and tier rises, fees do not; older models cost the same everywhere."""
        price = BOOK.find(provider, model, NOW.timestamp())
        assert price is not None
        dear = uplifted(price, 10)

        assert uplifted(price, 0) is price
        for tier in (None, *price.tiers):
            for (start, plain), (above, there) in zip(price.steps(tier) or (), dear.steps(tier) or (), strict=True):
                assert start == above
                assert there.units == plain.units
                times = (11, 10) if raised else (1, 1)
                assert there.input == -(-plain.input * times[0] // times[1])
                assert there.output == -(-plain.output * times[0] // times[1])

    @pytest.mark.parametrize(
        ("provider", "model", "tier", "times"),
        [
            ("aws", "amazon.nova-pro-v1:0", "priority", (7, 4)),
            ("aws", "amazon.nova-pro-v1:0", "flex", (1, 2)),
            ("aws", "amazon.nova-pro-v1:0", "batch", (1, 2)),
            ("aws", "us.amazon.nova-2-lite-v1:0", "priority", (7, 4)),
            ("azure", "gpt-5.4", "priority", (2, 1)),
            ("azure", "gpt-5.4", "flex", (1, 2)),
        ],
    )
    def test_tiers_of_bedrock_and_azure(self, provider, model, tier, times):
        """They are known where a published price says so, and a finding elsewhere."""
        price = BOOK.find(provider, model, NOW.timestamp())
        assert price is not None
        plain, other = price.rates_for(1), price.rates_for(1, tier)
        assert plain is not None
        assert other is not None
        assert other.input * times[1] == plain.input * times[0]
        assert other.output * times[1] == plain.output * times[0]
        assert "litellm" in price.source
        assert price.rates_for(1, "reserved") is None

    def test_groqs_flex_costs_what_everybody_pays(self):
        """A tier whose price is known to be the standard one is priced, in the open."""
        price = BOOK.find("groq", "openai/gpt-oss-120b", NOW.timestamp())
        assert price is not None
        assert price.rates_for(0, "flex") == price.rates_for(0)
        assert price.rates_for(0, "performance") is None

    def test_tiers_without_a_price_say_why(self):
        """Each with its provider and where it was looked for."""
        assert {t.provider for t in UNKNOWN_TIERS} <= set(BOOK.providers())
        assert all(t.why and "2026" in t.source for t in UNKNOWN_TIERS)


class TestSnapshot:
    def test_the_same_input_gives_the_same_bytes(self):
        """No wall time and no order of chance: the hash names the prices."""
        again = compile_snapshot("2026-11-23T00:00:00Z", reversed(list(SOURCE)))

        assert again == SNAPSHOT
        assert BOOK.version == SNAPSHOT.sha256
        assert compile_snapshot("later", PROVIDERS).sha256 != compile_snapshot("sooner", PROVIDERS).sha256

    def test_it_says_what_it_was_made_of(self):
        """The version of the data and the time told to the compiler are in it."""
        assert BOOK.source.startswith("genai-prices 0.2")
        assert BOOK.generated == "2026-11-23T00:00:00Z"

    def test_it_is_compact(self):
        """What every sidecar loads stays small, and most of it stays unread."""
        assert len(compile_snapshot("now").data) < 700_000
        assert len(compile_snapshot("now", ["anthropic", "openai"]).data) < 100_000

    def test_little_of_it_is_held(self):
        """Read, and asked for a model of every provider, a sidecar's snapshot takes less than 5 MB."""
        data = compile_snapshot("now").data
        tracemalloc.start()
        try:
            book = PriceBook.from_snapshot(bytes(data))
            for provider in book.providers():
                book.find(provider, "claude-haiku-4-5", NOW.timestamp())
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert held < 5_000_000

    def test_every_provider_of_the_data_compiles(self):
        """What a later dialect needs is there; data that cannot be said is an entry with a reason."""
        book = PriceBook.from_snapshot(compile_snapshot("now", SOURCE).data)

        assert len(book.providers()) == len(SOURCE)
        for provider in SOURCE.values():
            for model in provider.models:
                assert book.find(provider.id, model.id, NOW.timestamp()) or book.why_unpriced(provider.id, model.id)

    def test_an_unknown_provider_is_named(self):
        """A slip in a name says what there is."""
        with pytest.raises(ValueError, match=r"\['opneai'\] are not in the price data; it has anthropic"):
            compile_snapshot("now", ["opneai"])

    @pytest.mark.parametrize(
        ("prices", "variants", "says"),
        [
            (data.ModelPrice(output_mtok=Decimal(1)), None, "no rate for its input tokens"),
            (data.ModelPrice(input_mtok=Decimal(1), output_video_seconds=Decimal(9)), None, "output_video_seconds"),
            (
                data.ModelPrice(input_mtok=Decimal(1)),
                [data.PriceVariant({"service_tier": "default"}, data.ModelPrice(input_mtok=Decimal(2)))],
                "tier 'default' apart",
            ),
            ([], None, "states no price"),
        ],
    )
    def test_data_that_token_rates_cannot_say_is_unpriced(self, prices, variants, says):
        """New shapes in the data never turn into a wrong price."""
        model = data.ModelInfo("m", data.ClauseEquals("m"), prices=prices, price_variants=variants)
        source = [data.Provider("acme", "Acme", "https://acme", models=[model])]
        book = PriceBook.from_snapshot(compile_snapshot("now", ["acme"], source).data)

        assert book.find("acme", "m", NOW.timestamp()) is None
        assert says in book.why_unpriced("acme", "m")

    def test_rates_finer_than_a_nano_dollar_round_up(self):
        """A worst case is never rounded away."""
        prices = data.ModelPrice(
            input_mtok=data.TieredPrices(Decimal("0.0000000001"), [data.Tier(10, Decimal("0.25"))])
        )
        model = data.ModelInfo("m", data.ClauseEquals("m"), prices=prices)
        source = [data.Provider("acme", "Acme", "https://acme", models=[model])]
        price = PriceBook.from_snapshot(compile_snapshot("now", ["acme"], source).data).find("acme", "m", 0)

        assert price is not None
        assert [(start, rates.input) for start, rates in price.standard] == [(-1, 1), (10, 250_000_000)]


class TestLimits:
    @pytest.mark.parametrize(
        ("provider", "name", "output", "context"),
        [
            ("openai", "gpt-4o", 16_384, 128_000),
            ("openai", "gpt-4.1", 32_768, 1_047_576),
            ("openai", "o3", 100_000, 200_000),
            ("openai", "gpt-5", 128_000, 400_000),
            ("openai", "gpt-6-astra", 128_000, 1_050_000),
            ("anthropic", "claude-haiku-4-5", 64_000, 200_000),
            ("anthropic", "claude-sonnet-5-5", 128_000, 1_000_000),
            ("anthropic", "claude-opus-5-5", 128_000, 1_000_000),
        ],
    )
    def test_models_carry_their_maxima(self, provider, name, output, context):
        """What bounds a call without a cap is in the snapshot, with its source."""
        price = BOOK.find(provider, name, NOW.timestamp())

        assert price is not None
        assert (price.max_output, price.context) == (output, context)
        assert "2026" in price.limits_source

    def test_no_chat_model_is_without_limits(self):
        """A new family in the data is noticed here, before a budget refuses it as unbounded."""
        without = {
            name
            for provider in ("anthropic", "openai")
            for name in BOOK.models(provider)
            if (p := BOOK.find(provider, name, NOW.timestamp())) is not None and p.max_output is None
        }

        assert without == {
            *("gpt-5-image", "gpt-5-image-mini", "gpt-image-2", "gpt-image-2.5-flare", "gpt-image-2.5-sunburst"),
            *("gpt-rosalind-discovery", "gpt-rosalind-research"),
        }

    @pytest.mark.parametrize(
        "provider",
        ["google", "aws", "azure", "mistral", "groq", "x-ai", "deepseek", "cohere"],
    )
    def test_other_providers_models_have_limits(self, provider):
        """Nine of ten priced models of each have a bound for their output, or it would be refused without a cap."""
        names = BOOK.models(provider)
        bounded = [n for n in names if BOOK.find(provider, n, NOW.timestamp()).max_output is not None]

        assert len(bounded) >= 0.9 * len(names), sorted(set(names) - set(bounded))

    @pytest.mark.parametrize(
        ("provider", "name", "output", "context"),
        [
            ("aws", "us.anthropic.claude-opus-4-7", 128_000, 1_000_000),
            ("google", "gemini-2.5-flash", 65_536, 1_048_576),
            ("openrouter", "anthropic/claude-opus-5.5", 128_000, 1_000_000),
            ("openai", "text-embedding-3-small", 0, 8_192),
            ("openai", "whisper-1", 0, None),
        ],
    )
    def test_limits_are_gathered_borrowed_or_none(self, provider, name, output, context):
        """A seller's model has its maker's limits, an embedding writes nothing, and neither does a transcription by time."""
        price = BOOK.find(provider, name, NOW.timestamp())

        assert price is not None
        assert (price.max_output, price.context) == (output, context)

    def test_every_row_is_of_use(self):
        """A row or surcharge that fits no model is a slip of the pen."""
        ids = {(p, m.id) for p in SOURCE for m in SOURCE[p].models}
        for row in LIMITS:
            assert any(p == row.provider and fnmatchcase(m, row.pattern) for p, m in ids), row
        for surcharge in SURCHARGES:
            for pattern in surcharge.patterns:
                assert any(p == surcharge.provider and fnmatchcase(m, pattern) for p, m in ids), pattern

    def test_our_context_is_never_below_the_datas(self):
        """The window clips a bound, so of two numbers the lower must have a reason."""
        for provider in PROVIDERS:
            for model in SOURCE[provider].models:
                price = BOOK.find(provider, model.id, NOW.timestamp())
                if price is not None and price.context is not None and model.context_window is not None:
                    assert price.context >= model.context_window, model.id

    def test_an_uncapped_call_is_held_at_the_models_maximum(self):
        """The dearest uncapped call of the price list, by hand: 128,000 tokens at $50, and its input as cache writes."""
        price = BOOK.find("openai", "gpt-6-astra", NOW.timestamp())
        facts = CallFacts("c", "openai", "chat", "gpt-6-astra", stream=False, cap=None, input_bytes=872)
        assert price is not None
        output = bounds.output_bound(facts, price)
        assert output is not None

        assert bounds.hold(facts, price, output) == 6_400_000_000 + 1_000 * 12_500


def prices(*arguments: str) -> int:
    """Runs the command as `wfb prices` does."""
    parser = argparse.ArgumentParser()
    command.add_parser(parser.add_subparsers())
    args = parser.parse_args(["prices", *arguments])
    return int(args.run(args))


class TestCommand:
    def test_a_model_is_shown_with_tiers_and_reasons(self, capsys: Any):
        """Rates, thresholds, tiers, limits and where they are from are all on the page."""
        assert prices("gpt-5.4-2026-03-05", "--provider", "openai", "--at", "2026-11-23") == 0
        shown = capsys.readouterr().out

        for text in ("standard", "priority", "≤ 272,000", "> 272,000", "22.50", "128,000", "genai-prices", "litellm"):
            assert text in shown
        assert "is charged as openai's gpt-5.4" in shown

    def test_json_is_for_programs(self, capsys: Any):
        """One document with exact decimal strings."""
        assert prices("claude-haiku-4-5", "--json", "--at", "2026-11-23T12:00Z") == 0
        document = json.loads(capsys.readouterr().out)

        assert document["at"] == "2026-11-23T12:00:00Z"
        first = document["prices"][0]
        assert (first["model"], first["tier"], first["max_output_tokens"]) == ("claude-haiku-4-5", "standard", 64_000)
        assert first["usd_per_million"] == {
            "input": "1.00",
            "cache_read": "0.10",
            "cache_write": "1.25",
            "cache_write_1h": "2.00",
            "output": "5.00",
        }

    @pytest.mark.parametrize(
        ("model", "says"),
        [
            ("whisper-1", "audio heard $0.36 an hour"),
            ("tts-1", "characters of text spoken $0.015 a thousand"),
            ("gpt-realtime", "audio input $32.00"),
            ("gpt-5", "searches of the web by a hosted tool $10.00 a thousand"),
        ],
    )
    def test_what_is_no_text_is_shown_too(self, model, says, capsys: Any):
        """Hours, characters, searches and tokens of sound, in words."""
        assert prices(model, "--provider", "openai") == 0
        shown = " ".join(capsys.readouterr().out.split())

        assert says in shown
        assert "no price for scale" in shown

    def test_a_dated_price_is_told_before_it_comes(self, capsys: Any):
        """A date picks the entry of that day, and the next one is announced."""
        assert prices("o3", "--provider", "openai", "--at", "2025-06-01") == 0
        shown = capsys.readouterr().out

        assert "40.00" in shown
        assert "2025-06-10" in shown

    def test_without_a_model_every_priced_model_is_listed(self, capsys: Any):
        """The list of one provider, at its standard rates."""
        assert prices("--provider", "anthropic") == 0
        shown = capsys.readouterr().out

        assert "claude-opus-5-5" in shown
        assert "gpt" not in shown

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            (("grok-voice-latest",), 1, "no price for 'grok-voice-latest' at x-ai: it is also charged by messages"),
            (("no-such-model",), 1, "no model that matches it at any of 47 providers"),
            (("no-such-model", "--provider", "openai"), 1, "has no model of openai that matches 'no-such-model'"),
            (("--overlay", "/no/such.yaml"), 2, "/no/such.yaml:1: file: it cannot be read"),
            (("--at", "tomorrow"), 2, "--at 'tomorrow' is not a date"),
            (("--provider", "opneai"), 2, "'opneai' is not in the price data; it has anthropic"),
        ],
    )
    def test_errors_name_the_value_and_the_way_out(self, arguments, code, says, capsys: Any):
        """No price is exit code 1, a slip 2."""
        assert prices(*arguments) == code
        assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("provider", "model"), [(provider, model) for provider in SUGGESTED for model in SUGGESTED[provider]]
)
def test_what_a_refusal_may_suggest_has_a_price_under_its_own_name(provider, model):
    """The name is one of the list's, so whoever takes the suggestion is priced; and its output is bounded."""
    found = BOOK.find(provider, model, NOW.timestamp())
    assert found is not None
    assert (found.model, bool(found.max_output)) == (model, True)


@pytest.mark.parametrize(
    ("provider", "dear", "cheaper"),
    [
        ("aws", "us.amazon.nova-pro-v1:0", "amazon.nova-lite-v1:0"),
        ("aws", "mistral.mistral-large-2402-v1:0", "mistral.mistral-small-2402-v1:0"),
        ("cohere", "command-a-03-2025", "command-r-08-2024"),
        ("google", "gemini-2.5-pro", "gemini-2.5-flash"),
        ("groq", "openai/gpt-oss-20b", "llama-3.1-8b-instant"),
        ("mistral", "mistral-medium-latest", "mistral-large-4"),
        ("openai", "gpt-4o", "gpt-4.1-mini"),
        ("anthropic", "claude-sonnet-4-5", "claude-haiku-4-5"),
    ],
)
def test_every_large_provider_has_something_cheaper_to_suggest(provider, dear, cheaper):
    """For its dear models the list names at least one of its own that costs less."""
    assert cheaper in BOOK.cheaper(provider, dear, NOW.timestamp())


@pytest.mark.parametrize(
    ("full", "entry"), [("command-r-08-2024", "command-r"), ("command-r7b-12-2024", "command-r7b")]
)
def test_a_full_name_has_the_price_of_its_entry(full, entry):
    """Listed by itself so that it can be suggested, and charged as before."""
    mine, theirs = (BOOK.find("cohere", name, NOW.timestamp()) for name in (full, entry))
    assert mine is not None
    assert theirs is not None
    assert (mine.standard, mine.max_output, mine.context) == (theirs.standard, theirs.max_output, theirs.context)
