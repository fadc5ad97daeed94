"""The compiled snapshot charges to the nano-dollar what genai-prices does, and says where it knows nothing."""

import argparse
import datetime
import json
from decimal import ROUND_HALF_UP, Decimal
from fnmatch import fnmatchcase
from typing import Any

import genai_prices
import pytest
from genai_prices import types as data
from genai_prices.data_snapshot import get_snapshot

from wfb_core import bounds
from wfb_core.call import CallFacts
from wfb_core.price import PriceBook, cost
from wfb_core.usage import Usage
from wfb_operator.cli import prices as command
from wfb_operator.prices.compile import PROVIDERS, compile_snapshot
from wfb_operator.prices.limits import LIMITS, SURCHARGES, surcharges_of

OTHERS = ("azure", "deepseek", "google", "groq", "mistral", "x-ai")
SNAPSHOT = compile_snapshot("2026-11-23T00:00:00Z", (*PROVIDERS, *OTHERS))
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
CONTEXTS = {"flex": "service_tier", "priority": "service_tier", "batch": "processing"}


def theirs(usage: Usage, provider: str, model: str, at: datetime.datetime, tier: str | None) -> int:
    """What genai-prices charges, in nano-dollars."""
    context = None
    if tier is not None:
        fast = "speed" if provider == "anthropic" else "service_tier"
        context = {CONTEXTS.get(tier, fast): tier}
    calculated = genai_prices.calc_price(
        genai_prices.Usage(
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            output_tokens=usage.output_tokens,
        ),
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


def writes_output(provider: str, model: str) -> bool:
    """Whether the data has an output rate; ours falls to the input rate where it has none."""
    _, entry = get_snapshot().find_provider_model(model, None, provider, None)
    prices = entry.prices if isinstance(entry.prices, list) else [data.ConditionalPrice(prices=entry.prices)]
    return all(vars(p.prices).get("output_mtok") is not None for p in prices)


class TestAgainstTheData:
    @pytest.mark.parametrize("provider", [*PROVIDERS, *OTHERS])
    def test_every_cost_is_theirs_to_the_nano_dollar(self, provider):
        """All models, dates, tiers and usages: the same number, or no price where the data has no such tier."""
        compared = 0
        for name in names(provider):
            with_output = writes_output(provider, name)
            for at in TIMES:
                price = BOOK.find(provider, name, at.timestamp())
                assert price is not None
                for tier in (None, *(t for t in price.tiers if "geo" not in t)):
                    for usage in USAGES:
                        if usage.output_tokens and not with_output:
                            continue
                        rates = price.rates_for(usage.input_tokens, tier)
                        assert rates is not None
                        ours = cost(usage, rates).total
                        assert ours == theirs(usage, provider, name, at, tier), (name, at, tier, usage)
                        compared += 1

        assert compared > 100

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
        for tier in ("ultrafast", "scale", "processing"):
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
        "name",
        [
            *("gpt-audio", "gpt-realtime", "whisper-1", "tts-1", "gpt-image-1", "gpt-4o-audio-preview-2024-12-17"),
            *("gpt-4o-search-preview", "gpt-4o-mini-search-preview", "gpt-5-search-api", "omni-moderation-latest"),
        ],
    )
    def test_what_tokens_do_not_price_has_no_price(self, name):
        """A model charged by more than the tokens we count is unpriced, with the reason, and not half priced."""
        assert BOOK.find("openai", name, NOW.timestamp()) is None
        why = BOOK.why_unpriced("openai", name)
        assert why
        assert "matches" not in why


class TestSnapshot:
    def test_the_same_input_gives_the_same_bytes(self):
        """No wall time and no order of chance: the hash names the prices."""
        again = compile_snapshot("2026-11-23T00:00:00Z", (*OTHERS, *PROVIDERS))

        assert again == SNAPSHOT
        assert BOOK.version == SNAPSHOT.sha256
        assert compile_snapshot("later", PROVIDERS).sha256 != compile_snapshot("sooner", PROVIDERS).sha256

    def test_it_says_what_it_was_made_of(self):
        """The version of the data and the time told to the compiler are in it."""
        assert BOOK.source.startswith("genai-prices 0.2")
        assert BOOK.generated == "2026-11-23T00:00:00Z"

    def test_it_is_compact(self):
        """What every sidecar loads stays small."""
        assert len(compile_snapshot("now").data) < 100_000

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
            (data.ModelPrice(input_mtok=Decimal(1), input_audio_mtok=Decimal(9)), None, "input_audio_mtok"),
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
            for provider in PROVIDERS
            for name in BOOK.models(provider)
            if (p := BOOK.find(provider, name, NOW.timestamp())) is not None and p.max_output is None
        }

        assert without == {
            *("ada", "babbage", "babbage-002", "claude-v1", "computer-use", "curie", "davinci", "davinci-002"),
            *("gpt-5-image", "gpt-5-image-mini", "gpt-chat-latest", "gpt-rosalind-discovery", "gpt-rosalind-research"),
            *("text-davinci-002", "text-davinci-003"),
            *("text-embedding-3-large", "text-embedding-3-small", "text-embedding-ada-002"),
        }

    def test_every_row_is_of_use(self):
        """A row or surcharge that fits no model is a slip of the pen."""
        ids = {(p, m.id) for p in PROVIDERS for m in SOURCE[p].models}
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
        assert prices("gpt-5.4-2026-03-05", "--at", "2026-11-23") == 0
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

    def test_a_dated_price_is_told_before_it_comes(self, capsys: Any):
        """A date picks the entry of that day, and the next one is announced."""
        assert prices("o3", "--at", "2025-06-01") == 0
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
            (("gpt-audio",), 1, "no price for 'gpt-audio' at openai: it is also charged by input_audio_mtok"),
            (("no-such-model",), 1, "has no model of anthropic that matches 'no-such-model'"),
            (("--at", "tomorrow"), 2, "--at 'tomorrow' is not a date"),
            (("--provider", "opneai"), 2, "['opneai'] are not in the price data"),
        ],
    )
    def test_errors_name_the_value_and_the_way_out(self, arguments, code, says, capsys: Any):
        """No price is exit code 1, a slip 2."""
        assert prices(*arguments) == code
        assert says in capsys.readouterr().err
