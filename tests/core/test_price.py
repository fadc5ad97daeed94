"""The price book: looked up as the data says, exact, and loud about anything it does not know."""

import contextlib
import copy
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.price import ModelPrice, PriceBook, Rates, cost, unpriced
from wfb_core.usage import Usage

DOCUMENT: dict[str, Any] = {
    "format": 2,
    "generated": "2026-11-23T00:00:00Z",
    "source": "by hand",
    "providers": {
        "acme": {
            "cache_writes": "asked",
            "fallback": ["other"],
            "models": [
                {"id": "acme-voice", "match": {"contains": "voice"}, "unpriced": "it is charged by the hour"},
                {
                    "id": "acme-1",
                    "match": {"or": [{"equals": "acme-1"}, {"regex": "^acme-1-\\d{4}-\\d{2}-\\d{2}$"}]},
                    "prices": [
                        {"when": {}, "rates": {"input": 3_000_000_000, "output": 9_000_000_000}},
                        {
                            "when": {"from": "2026-10-12"},
                            "rates": {
                                "input": [2_000_000_000, [200_000, 4_000_000_000]],
                                "cache_read": 200_000_000,
                                "cache_write": 2_500_000_000,
                                "output": [8_000_000_000, [100_000, 12_000_000_000]],
                            },
                        },
                    ],
                    "tiers": {
                        "flex": [
                            {"when": {"from": "2026-10-14"}, "rates": {"input": 1_000_000_000}},
                            {"when": {}, "rates": {"input": 1_500_000_000, "output": 4_000_000_000}},
                        ],
                        "batch": [{"when": {"from": "2026-12-01"}, "rates": {"input": 500_000_000}}],
                        "same": [{"when": {}, "rates": {}}],
                    },
                    "max_output": 128_000,
                    "context": 1_000_000,
                    "image": 1_600,
                    "limits": "the vendor, 2026-11-23",
                },
                {
                    "id": "acme-mini",
                    "match": {"and": [{"starts_with": "Acme-"}, {"ends_with": "mini"}]},
                    "prices": [{"when": {}, "rates": {"input": 1_000_000_000, "output": 2_000_000_000}}],
                    "suggest": True,
                },
                {
                    "id": "acme-nano",
                    "match": {"equals": "acme-nano"},
                    "prices": [
                        {"when": {}, "rates": {"input": 100_000_000, "output": 200_000_000}},
                        {"when": {"daily": ["16:30:00", "00:30:00"]}, "rates": {"input": 50_000_000}},
                    ],
                    "suggest": True,
                },
            ],
        },
        "other": {
            "cache_writes": "always",
            "models": [
                {
                    "id": "theirs",
                    "match": {"equals": "theirs"},
                    "prices": [{"when": {}, "rates": {"input": 7}}],
                    "tiers": {"flex": [{"when": {}, "rates": {"input": 5}}]},
                }
            ],
        },
    },
}


def snapshot(document: Any = DOCUMENT) -> bytes:
    """The lines of a document whose providers hold their models."""
    if not isinstance(document, dict) or not isinstance(document["providers"], dict):
        return json.dumps(document).encode()
    head, lines = copy.deepcopy(document), []
    for provider in head["providers"].values():
        if isinstance(provider["models"], list):
            lines += provider["models"]
            provider["models"] = len(provider["models"])
    return "\n".join(map(json.dumps, (head, *lines))).encode()


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


BOOK = PriceBook.from_snapshot(snapshot())
NOW = at("2026-11-23")


class TestFind:
    def test_version_is_the_hash_of_the_bytes(self):
        """A snapshot is named by what it holds."""
        assert BOOK.version == hashlib.sha256(snapshot()).hexdigest()

    @pytest.mark.parametrize(
        ("name", "model"),
        [
            ("acme-1", "acme-1"),
            ("ACME-1", "acme-1"),
            ("acme-1-2026-05-01", "acme-1"),
            ("acme-1-20260501", "acme-1"),  # as routers write a date
            ("acme-1-20261301", None),  # no such month
            ("acme-2-mini", "acme-mini"),
            ("acme-mini-2", None),
            ("mini", None),
            ("theirs", "theirs"),  # the provider it falls back to
            ("", None),
            ("x" * 100_000, None),
        ],
    )
    def test_names_lead_to_the_entry_that_matches_first(self, name, model):
        """Match clauses decide as the data says, and a name nobody lists has no price."""
        price = BOOK.find("acme", name, NOW)

        assert (None if price is None else price.model) == model

    def test_an_unknown_provider_has_no_price(self):
        """A provider that is not in the snapshot is not guessed."""
        assert BOOK.find("nobody", "acme-1", NOW) is None
        assert "no provider 'nobody'" in BOOK.why_unpriced("nobody", "acme-1")

    def test_a_model_the_data_cannot_price_has_none(self):
        """An entry without a price shadows later ones and says why."""
        assert BOOK.find("acme", "acme-1-voice", NOW) is None
        assert BOOK.why_unpriced("acme", "acme-1-voice") == "it is charged by the hour"
        assert "no model of acme that matches 'acme-9'" in BOOK.why_unpriced("acme", "acme-9")
        assert BOOK.why_unpriced("acme", "acme-1") == ""

    @pytest.mark.parametrize(
        ("when", "rate", "since"),
        [
            ("2026-10-11T23:59:59", 3_000_000_000, ""),
            ("2026-10-12T00:00:00", 2_000_000_000, "2026-10-12"),
            ("2030-01-01T00:00:00", 2_000_000_000, "2026-10-12"),
        ],
    )
    def test_a_dated_entry_counts_from_its_midnight(self, when, rate, since):
        """The last entry whose date has come counts, in UTC, whatever was looked up before."""
        BOOK.find("acme", "acme-1", NOW)
        price = BOOK.find("acme", "acme-1", at(when))

        assert price is not None
        assert (price.standard[0][1].input, price.since) == (rate, since)

    @pytest.mark.parametrize(
        ("when", "rate"),
        [("T16:29:59", 100_000_000), ("T16:30:00", 50_000_000), ("T00:29:59", 50_000_000), ("T00:30:00", 100_000_000)],
    )
    def test_a_price_may_hang_on_the_time_of_the_day(self, when, rate):
        """An interval over midnight holds on both sides of it, and a remembered price does not outlive it."""
        price = BOOK.find("acme", "acme-nano", at("2026-11-23" + when))

        assert price is not None
        assert price.standard[0][1].input == rate

    def test_memory_of_names_is_bounded(self):
        """A caller that makes names up does not fill the memory."""
        for i in range(2_000):
            BOOK.find("acme", f"acme-{i}-mini", NOW)

        assert len(BOOK._found) <= 512

    def test_cheaper_models_are_told_dearest_first(self):
        """What a refusal may suggest costs less for input and output alike."""
        assert BOOK.cheaper("acme", "acme-1", NOW) == ("acme-mini", "acme-nano")
        assert BOOK.cheaper("acme", "acme-nano", NOW) == ()
        assert BOOK.cheaper("acme", "unheard-of", NOW) == ()

    def test_what_it_holds_can_be_listed(self):
        """The command line lists providers, priced models and coming changes."""
        assert BOOK.providers() == ("acme", "other")
        assert BOOK.models("acme") == ("acme-1", "acme-mini", "acme-nano")
        assert BOOK.changes("acme", "acme-1") == (at("2026-10-12"), at("2026-10-14"), at("2026-12-01"))


class TestRates:
    PRICE = BOOK.find("acme", "acme-1", NOW)

    @pytest.mark.parametrize(
        ("tokens", "rates"),
        [
            (0, (2_000_000_000, 8_000_000_000)),
            (100_000, (2_000_000_000, 8_000_000_000)),
            (100_001, (2_000_000_000, 12_000_000_000)),
            (200_000, (2_000_000_000, 12_000_000_000)),
            (200_001, (4_000_000_000, 12_000_000_000)),
        ],
    )
    def test_a_threshold_reprices_the_whole_call(self, tokens, rates):
        """Each class has its own cliffs, and the count that reaches one still pays the lower rate."""
        assert self.PRICE is not None
        found = self.PRICE.rates_for(tokens)
        assert found is not None
        assert (found.input, found.output) == rates

    @pytest.mark.parametrize("tier", [None, "", "default", "standard", "auto", "standard_only"])
    def test_words_for_the_standard_tier(self, tier):
        """A provider's own words for what everybody gets are no other tier."""
        assert self.PRICE is not None
        assert self.PRICE.rates_for(0, tier) == self.PRICE.rates_for(0)

    @pytest.mark.parametrize("tier", ["ultrafast", "scale", "Flex", "batch"])
    def test_an_unknown_tier_is_never_standard(self, tier):
        """A tier without a price, or whose price has not begun, is a finding."""
        assert self.PRICE is not None
        assert self.PRICE.rates_for(0, tier) is None
        assert self.PRICE.dearest(tier) is None

    def test_a_tier_states_only_what_differs(self):
        """Of a tier's entries the first that has begun wins class by class; the rest is standard."""
        assert self.PRICE is not None
        assert self.PRICE.rates_for(0, "flex") == Rates(
            1_000_000_000, 200_000_000, 2_500_000_000, 2_500_000_000, 4_000_000_000
        )
        assert self.PRICE.rates_for(0, "same") == self.PRICE.rates_for(0)

    def test_another_providers_tiers_do_not_count(self):
        """A price borrowed from another provider says nothing about tiers."""
        price = BOOK.find("acme", "theirs", NOW)
        assert price is not None
        assert price.rates_for(0, "flex") is None
        own = BOOK.find("other", "theirs", NOW)
        assert own is not None
        assert own.rates_for(0, "flex") is not None

    def test_a_class_without_a_rate_is_never_free(self):
        """Cache classes and output fall to the rate of what they are part of."""
        price = BOOK.find("other", "theirs", NOW)
        assert price is not None
        assert price.rates_for(0) == Rates(7, 7, 7, 7, 7)
        assert self.PRICE is not None
        assert self.PRICE.standard[0][1].cache_write_1h == 2_500_000_000

    def test_dearest_looks_only_as_far_as_the_input_reaches(self):
        """Without a bound all context tiers count, with one those it can reach."""
        assert self.PRICE is not None
        everywhere, near = self.PRICE.dearest(), self.PRICE.dearest(None, 100_000)
        assert everywhere is not None
        assert near is not None
        assert (everywhere.input, everywhere.output) == (4_000_000_000, 12_000_000_000)
        assert (near.input, near.output) == (2_000_000_000, 8_000_000_000)

    def test_a_stated_price_holds_for_every_tier(self):
        """What a budget states for unpriced models knows no tiers and no limits."""
        price = ModelPrice.flat(Rates.flat(5, 25), "own")

        assert price.rates_for(10**9, "ultrafast") == Rates(5, 5, 5, 5, 25)
        assert (price.max_output, price.context) == (None, None)


def usages() -> st.SearchStrategy[Usage]:
    counts = st.integers(0, 10**7)
    return st.builds(
        lambda fresh, read, write, hour, out: Usage(
            input_tokens=fresh + read + write + hour,
            cache_read_tokens=read,
            cache_write_tokens=write + hour,
            cache_write_1h_tokens=hour,
            output_tokens=out,
        ),
        *[counts] * 5,
    )


RATES = st.builds(Rates, *[st.integers(0, 10**12)] * 5)


class TestCost:
    def test_products_are_summed_before_they_are_rounded(self):
        """Two halves of a nano-dollar are one, though each part shows as one for display."""
        found = cost(Usage(input_tokens=1, output_tokens=1), Rates.flat(500_000, 500_000))

        assert (found.total, found.input, found.output) == (1, 1, 1)

    def test_each_class_pays_its_own_rate(self):
        """Classes are inside their totals and are not paid twice."""
        usage = Usage(
            input_tokens=100, cache_read_tokens=10, cache_write_tokens=20, cache_write_1h_tokens=5, output_tokens=3
        )
        found = cost(usage, Rates(1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000))

        assert (found.input, found.cache_read, found.cache_write, found.output) == (70, 20, 65, 15)
        assert found.total == 170

    @given(usages(), RATES)
    def test_a_cost_is_a_whole_number_close_to_its_parts(self, usage, rates):
        """No float on the way, nothing negative, and parts that miss the total by rounding alone."""
        found = cost(usage, rates)

        parts = (found.input, found.cache_read, found.cache_write, found.output)
        assert all(type(value) is int and value >= 0 for value in (found.total, *parts))
        assert abs(found.total - sum(parts)) <= 2

    @given(usages(), RATES, st.integers(0, 10**6))
    def test_more_output_never_costs_less(self, usage, rates, more):
        """The cost is monotonic."""
        bigger = Usage(usage.input_tokens, usage.cache_read_tokens, output_tokens=usage.output_tokens + more)
        smaller = Usage(usage.input_tokens, usage.cache_read_tokens, output_tokens=usage.output_tokens)

        assert cost(bigger, rates).total >= cost(smaller, rates).total


def broken(path: tuple[Any, ...], value: Any) -> bytes:
    document = copy.deepcopy(DOCUMENT)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return snapshot(document)


ACME = ("providers", "acme")
MODEL = (*ACME, "models", 1)
RATES_PATH = (*MODEL, "prices", 0, "rates")


class TestLazily:
    def test_a_model_is_read_when_it_is_asked_for(self):
        """Damage to a model is no one's business until then, and `check` looks everywhere."""
        book = PriceBook.from_snapshot(broken((*MODEL, "max_output"), "many"))

        assert book.find("other", "theirs", NOW) is not None
        assert book.find("acme", "acme-nano", NOW) is not None
        with pytest.raises(ValueError, match="max_output is 'many'"):
            book.find("acme", "acme-1", NOW)
        with pytest.raises(ValueError, match="max_output is 'many'"):
            book.check()


class TestContracts:
    def test_list_rates_stand_beside_the_contracts(self):
        """Through thresholds and tiers, which state only what differs."""
        document = copy.deepcopy(DOCUMENT)
        model = document["providers"]["acme"]["models"][1]
        model["prices"][1] |= {
            "rates": {"input": [1_000_000_000, [200_000, 2_000_000_000]]},
            "list": {"input": [2_000_000_000, [200_000, 4_000_000_000]]},
        }
        price = PriceBook.from_snapshot(snapshot(document)).check().find("acme", "acme-1", NOW)
        assert price is not None
        for tier, ours, listed in ((None, 1_000_000_000, 2_000_000_000), ("flex", 1_000_000_000, 1_000_000_000)):
            rates = price.rates_for(1, tier)
            assert rates is not None
            assert rates.listed is not None
            assert (rates.input, rates.listed.input) == (ours, listed)
        far = price.rates_for(300_000)
        assert far is not None
        assert far.listed is not None
        assert (far.input, far.listed.input) == (2_000_000_000, 4_000_000_000)

    def test_a_model_of_units_alone_prices_no_tokens(self):
        """Speech by the character: its tokens, were there any, are a finding."""
        document = copy.deepcopy(DOCUMENT)
        document["providers"]["acme"]["models"][0] = {
            "id": "acme-voice",
            "match": {"equals": "acme-voice"},
            "prices": [{"when": {}, "rates": {}, "units": {"characters": 15_000_000_000}}],
        }
        price = PriceBook.from_snapshot(snapshot(document)).check().find("acme", "acme-voice", NOW)
        assert price is not None
        rates = price.rates_for(0)
        assert rates is not None
        assert cost(Usage(units=(("characters", 1_000),)), rates).total == 15_000_000
        assert unpriced(Usage(5), rates) == ("input_tokens",)


class TestDamaged:
    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"", "not JSON"),
            (b"\xff\xfe", "not JSON"),
            (snapshot()[:-5], "not JSON"),
            (b"[" * 100_000, "not JSON"),
            (b"[]", "the head is []"),
            (snapshot().replace(b"3000000000", b"3000000000.5", 1), "money is never a float"),
            (snapshot().replace(b"3000000000", b"NaN", 1), "money is never a float"),
            (broken(("format",), 1), "format is 1: this version reads format 2"),
            (broken(("source",), None), "source is None"),
            (broken(("providers",), []), "providers is []"),
            (broken((*ACME, "cache_writes"), "maybe"), "providers.acme.cache_writes is 'maybe'"),
            (broken((*ACME, "fallback"), [1]), "providers.acme.fallback[0] is 1"),
            (broken((*ACME, "models"), {}), "providers.acme.models is {}"),
            (broken((*ACME, "models"), 99), "providers.acme.models is 99"),
            (snapshot() + b"\n{}", "the number of lines is 6: 5 models are expected"),
            (broken((*MODEL, "id"), 5), "models[1].id is 5"),
            (broken((*MODEL, "match"), {}), "models[1].match is {}"),
            (broken((*MODEL, "match"), {"near": "x"}), "models[1].match is 'near'"),
            (broken((*MODEL, "match"), {"regex": "("}), "models[1].match.regex is '('"),
            (broken((*MODEL, "prices"), []), "models[1].prices is []"),
            (broken(RATES_PATH, {"output": 1}), "an input rate, or units alone, is expected"),
            (broken(RATES_PATH, {}), "an input rate, or units alone, is expected"),
            (broken((*MODEL, "prices", 0, "units"), {"miles": 1}), "units is 'miles'"),
            (broken((*MODEL, "prices", 0, "list"), {"input": -1}), "list.input is -1"),
            (broken((*MODEL, "uplift"), "yes"), "uplift is 'yes'"),
            (broken((*MODEL, "source"), 1), "source is 1"),
            (broken((*RATES_PATH, "input"), -5), "rates.input is -5"),
            (broken((*RATES_PATH, "input"), True), "rates.input is True"),
            (broken((*RATES_PATH, "input"), "3"), "rates.input is '3'"),
            (broken((*RATES_PATH, "input"), 10**18), "a whole number from 0"),
            (broken((*RATES_PATH, "input"), []), "a rate is expected"),
            (broken((*RATES_PATH, "input"), [1, [5]]), "[input tokens, rate] is expected"),
            (broken((*RATES_PATH, "input"), [1, [5, 1], [5, 2]]), "thresholds must rise"),
            (broken((*RATES_PATH, "sound"), 1), "rates is 'sound'"),
            (broken((*MODEL, "prices", 0, "when"), {"from": "soon"}), "when is {'from': 'soon'}"),
            (broken((*MODEL, "prices", 0, "when"), {"daily": ["16:30"]}), "two times of the day"),
            (broken((*MODEL, "prices", 0, "when"), {"until": "2026-01-01"}), "when is {'until'"),
            (broken((*MODEL, "tiers", "flex"), []), "tiers.flex is []"),
            (broken((*MODEL, "max_output"), "many"), "max_output is 'many'"),
            (broken((*MODEL, "suggest"), 1), "suggest is 1"),
            (broken((*ACME, "models", 0, "unpriced"), ""), "unpriced is ''"),
        ],
    )
    def test_damage_is_one_clear_error(self, data, says):
        """A snapshot that is not whole is refused with the field and the value."""
        with pytest.raises(ValueError, match="price snapshot") as error:
            PriceBook.from_snapshot(data).check()

        assert says in str(error.value)

    @given(st.integers(0, len(snapshot()) - 1), st.integers(0, 255))
    def test_any_one_byte_changed_is_read_or_refused(self, place, byte):
        """No damage ends in any other error than the clear one."""
        data = bytearray(snapshot())
        data[place] = byte
        with contextlib.suppress(ValueError):
            PriceBook.from_snapshot(bytes(data)).check().find("acme", "acme-1", NOW)
