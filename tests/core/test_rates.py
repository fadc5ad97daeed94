"""Rates by class and unit: each part pays its own once, a class without a rate its parent's, and nothing is silent."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.rates import CLASSES, OF_PARENT, PARENTS, Rates, cost, guessed, unpriced
from wfb_core.usage import UNITS, Guess, Usage

MILLION = 1_000_000


def rates(**own: int) -> Rates:
    return Rates(**({"input": 10 * MILLION} | {name: rate * MILLION for name, rate in own.items()}))


class TestParents:
    def test_every_class_is_a_field(self):
        """No class of tokens is left out of the rates."""
        assert set(CLASSES) == {f.name for f in fields(Rates)} - {"units", "tokens_priced", "listed"}

    @pytest.mark.parametrize(
        ("own", "name", "rate"),
        [
            ({}, "audio_cache_read", 10),
            ({"audio_input": 40}, "audio_cache_read", 40),  # nothing says that cached sound is cheaper
            ({"audio_input": 40, "cache_read": 1}, "audio_cache_read", 1),
            ({"audio_input": 40, "cache_read": 1, "audio_cache_read": 4}, "audio_cache_read", 4),
            ({"output": 50}, "reasoning", 50),
            ({"output": 50, "reasoning": 20}, "reasoning", 20),
            ({"output": 50}, "image_output", 50),
            ({"cache_write": 12}, "cache_write_1h", 12),
            ({}, "output", 10),
        ],
    )
    def test_a_class_without_a_rate_pays_the_nearest_that_is_stated(self, own, name, rate):
        """Never nothing."""
        assert getattr(rates(**own), name) == rate * MILLION

    def test_zero_is_a_rate(self):
        """What is stated to be free is free."""
        assert rates(cache_read=0, audio_input=40).audio_cache_read == 0


class TestCost:
    def test_each_modality_pays_its_own_rate_once(self):
        """By hand: text, sound and pictures, fresh, cached and made."""
        usage = Usage(
            input_tokens=100,
            cache_read_tokens=30,
            output_tokens=60,
            reasoning_tokens=10,
            audio_input_tokens=40,
            image_input_tokens=20,
            audio_cache_read_tokens=10,
            image_cache_read_tokens=5,
            audio_output_tokens=20,
            image_output_tokens=5,
        )
        found = cost(
            usage,
            rates(
                cache_read=1,
                output=50,
                reasoning=20,
                audio_input=40,
                image_input=15,
                audio_cache_read=4,
                image_cache_read=2,
                audio_output=80,
                image_output=30,
            ),
        )

        assert found.input == 25 * 10 + 30 * 40 + 15 * 15
        assert found.cache_read == 15 * 1 + 10 * 4 + 5 * 2
        assert found.output == 25 * 50 + 10 * 20 + 20 * 80 + 5 * 30
        assert found.total == found.input + found.cache_read + found.output == found.list_total

    def test_units_are_paid_beside_tokens(self):
        """Searches by their count, and one fee for a request that nobody counted."""
        fees = Rates(10 * MILLION, units=(("requests", 5 * MILLION), ("web_searches", 7 * MILLION)))

        assert cost(Usage(2, units=(("web_searches", 3),)), fees).total == 20 + 5 + 21
        assert cost(Usage(2, units=(("requests", 4),)), fees).total == 20 + 20
        assert cost(Usage(2), fees).units == 5

    def test_list_and_contract_are_both_told(self):
        """The list's total is what the same usage costs at the list's rates."""
        contract = Rates(8 * MILLION, listed=rates(output=50))

        found = cost(Usage(3, output_tokens=2), contract)
        assert (found.total, found.list_total) == (40, 130)

    @given(st.data())
    def test_no_part_is_paid_twice(self, data):
        """However the parts overlap, a cost is within the usage at its cheapest and its dearest class."""
        count = st.integers(0, 10**6)
        audio_read, image_read, audio_more, image_more = (data.draw(count) for _ in range(4))
        read, write = data.draw(count), data.draw(count)
        usage = Usage(
            input_tokens=read + write + data.draw(count),
            cache_read_tokens=read,
            cache_write_tokens=write,
            output_tokens=data.draw(count),
            audio_input_tokens=audio_read + audio_more,
            image_input_tokens=image_read + image_more,
            audio_cache_read_tokens=audio_read,
            image_cache_read_tokens=image_read,
            audio_output_tokens=data.draw(count),
            image_output_tokens=data.draw(count),
        )
        own = Rates(
            *(data.draw(st.integers(1, 10**9) | (st.just(OF_PARENT) if i else st.nothing())) for i in range(12))
        )
        tokens = usage.input_tokens + usage.output_tokens
        values = [getattr(own, name) for name in CLASSES]

        found = cost(usage, own)
        assert tokens * min(values) // MILLION <= found.total <= tokens * max(values) // MILLION + 1

    def test_uplift_and_dearest_know_every_class(self):
        """Both go over all classes and keep the units."""
        one = Rates(*range(1, 13), units=(("pages", 5),))
        other = Rates(*range(12, 0, -1), units=(("pages", 4), ("requests", 9)))
        both = Rates.dearest((one, other))

        assert [getattr(both, n) for n in CLASSES] == [max(i, 13 - i) for i in range(1, 13)]
        assert both.units == (("pages", 5), ("requests", 9))
        assert [getattr(one.times(11, 10), n) for n in CLASSES] == [-(-i * 11 // 10) for i in range(1, 13)]
        assert one.times(11, 10).units == one.units


class TestUnpriced:
    SPOKEN = Rates(0, units=(("characters", 15),), tokens_priced=False)

    @pytest.mark.parametrize(
        ("usage", "own", "names"),
        [
            (Usage(5, units=(("web_searches", 2),)), rates(), ("web_searches",)),
            (Usage(5, units=(("web_searches", 0),)), rates(), ()),
            (Usage(5, units=(("requests", 1),)), rates(), ()),
            (Usage(5, units=(("audio_input_ms", 9),)), rates(), ()),  # its tokens are what is billed
            (Usage(units=(("audio_input_ms", 9),)), rates(), ("audio_input_ms",)),
            (Usage(units=(("images", 1),)), rates(), ("images",)),
            (Usage(units=(("characters", 5),)), SPOKEN, ()),
            (Usage(7, output_tokens=3), SPOKEN, ("input_tokens", "output_tokens")),
            (Usage(7, units=(("characters", 5),)), SPOKEN, ()),
            (Usage(7), rates(), ()),
        ],
    )
    def test_what_has_no_rate_is_named(self, usage, own, names):
        """A count that nothing prices is a finding by its name."""
        assert unpriced(usage, own) == names

    def test_every_parent_is_a_class_and_every_unit_has_words(self):
        """The tables name only what exists."""
        assert {p for parents in PARENTS.values() for p in parents} <= set(CLASSES)
        assert all(UNITS.values())


NANOS = st.integers(0, 10**13)
FEES = st.sampled_from([(), (("requests", 7 * MILLION),), (("pages", 3 * MILLION), ("requests", 5 * MILLION))])


@given(
    st.tuples(*[st.integers(0, 10**6)] * 4),
    st.integers(0, 10**6),
    st.sampled_from([(), (("pages", 4),)]),
    st.tuples(*[NANOS] * 5),
    FEES,
)
def test_a_guess_costs_what_a_usage_with_its_numbers_costs(parts, output, units, stated, fees):
    """Whatever is fresh, read or written, and whatever is paid beside tokens."""
    fresh, reads, writes, hours = parts
    guess = Guess(fresh + reads + writes + hours, reads, writes + hours, hours, output, units)
    usage = Usage(
        input_tokens=guess.input_tokens,
        cache_read_tokens=reads,
        cache_write_tokens=writes + hours,
        cache_write_1h_tokens=hours,
        output_tokens=output,
        units=units,
    )
    at = Rates(*stated, units=fees)

    assert guessed(guess, at) == cost(usage, at).total
