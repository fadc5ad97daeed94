"""The hold covers whatever a call within its bounds can cost, and the cap it buys is its exact inverse."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core import bounds
from wfb_core.call import CallFacts
from wfb_core.price import ModelPrice, Rates, cost
from wfb_core.rates import OF_PARENT
from wfb_core.usage import Usage

NEAR = Rates(3_000_000_000, 300_000_000, 3_750_000_000, 6_000_000_000, 15_000_000_000)
FAR = Rates(6_000_000_000, 600_000_000, 7_500_000_000, 12_000_000_000, 22_500_000_000)
PRICE = ModelPrice(
    "acme",
    "acme-1",
    "v",
    ((-1, NEAR), (200_000, FAR)),
    {"flex": ((-1, Rates.flat(1_000_000_000, 2_000_000_000)),)},
    max_output=64_000,
    context=1_000_000,
    image_tokens=1_600,
    bills_writes=False,
)
FACTS = CallFacts("chat", "acme", "chat", "acme-1", stream=False, cap=1_000, input_bytes=2_000, messages=3)


class TestInput:
    @pytest.mark.parametrize(
        ("facts", "price", "tokens"),
        [
            (FACTS, PRICE, 128 + 2_000 + 3 * 16),
            (replace(FACTS, tools=2), PRICE, 128 + 2_000 + 3 * 16 + 3_072 + 2 * 32),
            (replace(FACTS, media=(("image", 9), ("image", 9))), PRICE, 128 + 2_000 + 3 * 16 + 2 * 1_632),
            (replace(FACTS, input_bytes=5_000_000), PRICE, 1_000_000),
            (replace(FACTS, input_bytes=5_000_000), replace(PRICE, context=None), 5_000_000 + 128 + 48),
            (replace(FACTS, media=(("document", 9),)), PRICE, 1_000_000),
            (replace(FACTS, media=(("audio", 9),)), PRICE, 1_000_000),
            (replace(FACTS, media=(("image", 9),)), replace(PRICE, image_tokens=None), 1_000_000),
            (replace(FACTS, hidden_input=("previous_response_id",)), PRICE, 1_000_000),
            (replace(FACTS, input_bytes=5_000_000, inputs=3), PRICE, 3_000_000),
            (replace(FACTS, hidden_input=("url",), inputs=3), PRICE, 3_000_000),
            (replace(FACTS, input_bytes=5_000_000, inputs=9), PRICE, 5_000_000 + 128 + 48),
            (replace(FACTS, hidden_input=("file_id",)), replace(PRICE, context=None), None),
            (replace(FACTS, media=(("document", 9),)), replace(PRICE, context=None), None),
        ],
    )
    def test_input_is_bounded_by_what_shows_or_by_the_window(self, facts, price, tokens):
        """Text counts its bytes, framing and images their maxima, the unseen the context window, else there is no bound."""
        assert bounds.input_tokens_bound(facts, price) == tokens

    def test_overheads_cover_what_providers_document(self):
        """Framing is never below the numbers it is to cover."""
        assert bounds.MESSAGE_TOKENS >= 8
        assert bounds.TOOL_TOKENS >= 16
        assert bounds.TOOLS_PREAMBLE_TOKENS >= 804 + 245 + 700 + 735 + 499


class TestOutput:
    @pytest.mark.parametrize(
        ("facts", "price", "tokens"),
        [
            (FACTS, PRICE, 1_000),
            (replace(FACTS, cap=None), PRICE, 64_000),
            (replace(FACTS, cap=100_000), PRICE, 64_000),
            (replace(FACTS, cap=100_000, tier="batch"), PRICE, 100_000),
            (replace(FACTS, cap=100_000, tier="batch+priority"), PRICE, 100_000),
            (replace(FACTS, cap=None, tier="batch", inputs=7), PRICE, 7 * 64_000),
            (replace(FACTS, cap=0), PRICE, 0),  # a warmed cache answers nothing
            (FACTS, replace(PRICE, max_output=None), 1_000),
            (replace(FACTS, cap=None), replace(PRICE, max_output=None), None),
            (replace(FACTS, choices=4), PRICE, 1_000),
        ],
    )
    def test_output_is_bounded_by_cap_and_model(self, facts, price, tokens):
        """The lower of both bounds one choice."""
        assert bounds.output_bound(facts, price) == tokens


class TestHold:
    def test_a_hold_is_input_and_output_at_their_dearest(self):
        """By hand: 2,176 input tokens at $3 and 1,000 output tokens at $15 a million."""
        assert bounds.hold(FACTS, PRICE, 1_000) == 2_176 * 3_000 + 1_000 * 15_000

    def test_all_choices_are_held_for(self):
        """Each of n answers may be as long as the cap, the input is paid once."""
        assert bounds.hold(replace(FACTS, choices=4), PRICE, 1_000) == 2_176 * 3_000 + 4_000 * 15_000

    @pytest.mark.parametrize(
        ("changes", "price", "rate"),
        [
            ({}, PRICE, 3_000),
            ({"cache_write": True}, PRICE, 3_750),
            ({"cache_write": True, "cache_write_1h": True}, PRICE, 6_000),
            ({}, replace(PRICE, bills_writes=True), 3_750),
            ({"tier": "flex"}, PRICE, 1_000),
        ],
    )
    def test_input_is_held_at_the_dearest_class_it_can_hit(self, changes, price, rate):
        """Cache writes count where they are asked for, or where the provider writes by itself."""
        assert bounds.hold(replace(FACTS, **changes), price, 0) == 2_176 * rate

    def test_a_call_that_may_pass_a_threshold_is_held_beyond_it(self):
        """Long input is held at the dearest context tier within reach, output too."""
        assert bounds.hold(replace(FACTS, input_bytes=300_000), PRICE, 10) == 300_176 * 6_000 + 10 * 22_500

    @pytest.mark.parametrize(
        ("facts", "price"),
        [
            (replace(FACTS, tier="ultrafast"), PRICE),
            (replace(FACTS, hidden_input=("x",)), replace(PRICE, context=None)),
        ],
    )
    def test_no_price_or_no_bound_is_no_hold(self, facts, price):
        """An unknown tier or unbounded input is None for the caller to refuse, and buys nothing."""
        assert bounds.hold(facts, price, 1) is None
        assert bounds.minimum(facts, price) is None
        assert bounds.affordable_output(facts, price, 10**18) == 0

    @pytest.mark.parametrize(("cap", "tokens"), [(None, 256), (1_000, 256), (100, 100)])
    def test_the_minimum_pays_for_the_floor_or_the_whole_answer(self, cap, tokens):
        """A short answer needs no more than itself."""
        facts = replace(FACTS, cap=cap)

        assert bounds.minimum(facts, PRICE) == bounds.hold(facts, PRICE, tokens)
        unknown = replace(PRICE, max_output=None)
        assert bounds.minimum(facts, unknown) == bounds.hold(facts, unknown, tokens)


class TestUnits:
    """What is billed beside tokens."""

    FEES = Rates(3_000_000_000, units=(("audio_input_ms", 100_000_000), ("requests", 12_000_000_000_000)))

    def test_what_a_request_asks_for_is_held(self):
        """Characters, searches and images at their rates; a unit without a rate is what tokens bound."""
        rates = Rates(1_000_000_000, units=(("web_searches", 10_000_000_000_000),))
        price = replace(PRICE, standard=((-1, rates),))
        facts = replace(FACTS, units=(("images", 5), ("web_searches", 3)))

        assert bounds.hold(facts, price, 0) == 2_176 * 1_000 + 3 * 10_000_000

    def test_every_request_pays_its_fee(self):
        """A fee for the request is in the hold though nothing in the request shows it."""
        price = replace(PRICE, standard=((-1, self.FEES),))

        assert bounds.hold(FACTS, price, 0) == 2_176 * 3_000 + 12_000_000

    def test_a_recording_is_held_at_the_longest_its_bytes_can_last(self):
        """Six kilobits a second, the least that a codec of speech takes; what the request says itself counts instead."""
        whisper = ModelPrice.flat(Rates(0, units=(("audio_input_ms", 100_000_000),), tokens_priced=False), max_output=0)
        facts = replace(FACTS, media=(("audio", 750_000),), cap=None)

        assert bounds.input_tokens_bound(facts, whisper) == 0
        assert bounds.output_bound(facts, whisper) == 0
        assert bounds.hold(facts, whisper, 0) == 1_000_000 * 100
        told = replace(facts, units=(("audio_input_ms", 60_000),))
        assert bounds.hold(told, whisper, 0) == 60_000 * 100

    def test_sound_is_held_at_its_own_rate_only_where_some_is_sent(self):
        """Text to a model that hears pays for text."""
        rates = Rates(1_000_000_000, audio_input=32_000_000_000, image_input=5_000_000_000)
        price = replace(PRICE, standard=((-1, rates),))

        assert bounds.hold(FACTS, price, 0) == 2_176 * 1_000
        assert bounds.hold(replace(FACTS, media=(("audio", 9),)), price, 0) == 1_000_000 * 32_000
        assert bounds.hold(replace(FACTS, media=(("image", 9),)), price, 0) == (2_176 + 1_632) * 5_000


class TestHiddenOutput:
    @pytest.mark.parametrize(
        ("model", "reasoning", "hidden"),
        [
            ("gpt-4o-2024-11-20", None, False),
            ("gpt-4.1-mini", None, False),
            ("ft:gpt-4o-mini-2024-07-18:acme::x", None, False),
            ("gpt-5-chat-latest", None, False),
            ("gpt-5", None, True),
            ("gpt-6.1-sol", False, True),
            ("o3", None, True),
            ("own-model", None, True),
            ("claude-3-5-sonnet-20241022", None, False),
            ("claude-3-7-sonnet-latest", None, True),
            ("claude-sonnet-4-20250514", False, False),
            ("claude-haiku-4-5-20251001", False, False),
            ("claude-haiku-4-5-20251001", True, True),
            ("claude-haiku-4-5", None, True),
            ("claude-opus-4-7", False, True),
            ("claude-opus-5-5", False, True),
        ],
    )
    def test_only_models_known_to_show_all_hide_nothing(self, model, reasoning, hidden):
        """What is not known to be shown may have been charged."""
        assert bounds.hides_output(replace(FACTS, model=model, reasoning=reasoning)) is hidden

    @pytest.mark.parametrize(
        ("model", "version"),
        [
            ("claude-3-5-haiku-latest", (3, 5)),
            ("claude-opus-4-20250514", (4, 0)),
            ("claude-opus-4-1-20250805", (4, 1)),
            ("anthropic/claude-sonnet-4.6", (4, 6)),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", (4, 5)),
            ("claude-opus-5@20260724", (5, 0)),
            ("claude-instant-1.2", (1, 2)),
            ("claude", None),
            ("gpt-4.1", None),
        ],
    )
    def test_claude_versions_are_read_from_names(self, model, version):
        """A date is no minor version."""
        assert bounds.claude_version(model) == version


RATE = st.integers(0, 10**11)
OWN = RATE | st.just(OF_PARENT)
UNIT_NAMES = ("audio_input_ms", "characters", "requests", "web_searches")
RATES = st.builds(
    lambda tokens, units: Rates(*tokens, units=tuple(sorted(units.items()))),
    st.tuples(RATE, *[OWN] * 11),
    st.dictionaries(st.sampled_from(UNIT_NAMES), RATE),
)


@st.composite
def prices(draw: st.DrawFn) -> ModelPrice:
    starts = sorted(draw(st.sets(st.integers(0, 400_000), max_size=2)))
    steps = tuple((start, draw(RATES)) for start in (-1, *starts))
    return ModelPrice(
        "acme",
        "acme-1",
        "v",
        steps,
        max_output=draw(st.none() | st.integers(1, 200_000)),
        context=draw(st.none() | st.integers(1_000, 1_000_000)),
        image_tokens=draw(st.none() | st.integers(1, 50_000)),
        bills_writes=draw(st.booleans()),
    )


@st.composite
def calls(draw: st.DrawFn) -> CallFacts:
    hour = draw(st.booleans())
    return replace(
        FACTS,
        cap=draw(st.none() | st.integers(0, 200_000)),
        choices=draw(st.integers(1, 8)),
        input_bytes=draw(st.integers(0, 2_000_000)),
        messages=draw(st.integers(0, 500)),
        tools=draw(st.integers(0, 50)),
        media=draw(
            st.lists(st.tuples(st.sampled_from(["image", "document", "audio"]), st.integers(0, 10**6)), max_size=3).map(
                tuple
            )
        ),
        cache_write=hour or draw(st.booleans()),
        cache_write_1h=hour,
        units=draw(
            st.dictionaries(st.sampled_from(UNIT_NAMES), st.integers(0, 10**6)).map(lambda d: tuple(sorted(d.items())))
        ),
    )


class TestProperties:
    @given(calls(), prices(), st.data())
    def test_no_usage_within_bounds_costs_more_than_its_hold(self, facts, price, data):
        """Any split over the classes the request permits, at any size up to the bounds, is covered."""
        most = bounds.input_tokens_bound(facts, price)
        output = bounds.output_bound(facts, price)
        if most is None or output is None:
            return
        held = bounds.hold(facts, price, output)
        tokens = data.draw(st.integers(0, most))
        read = data.draw(st.integers(0, tokens))
        writes = facts.cache_write or price.bills_writes
        written = data.draw(st.integers(0, tokens - read)) if writes else 0
        hour = data.draw(st.integers(0, written)) if facts.cache_write_1h else 0
        kinds = {kind for kind, _ in facts.media}
        heard = data.draw(st.integers(0, tokens)) if kinds & {"audio", "document"} else 0
        seen = data.draw(st.integers(0, tokens - heard)) if kinds else 0
        if kinds == {"audio"}:
            seen = 0
        written_out = data.draw(st.integers(0, output * facts.choices))
        spoken = data.draw(st.integers(0, written_out))
        usage = Usage(
            tokens,
            read,
            written,
            hour,
            written_out,
            data.draw(st.integers(0, written_out)),
            audio_input_tokens=heard,
            image_input_tokens=seen,
            audio_cache_read_tokens=data.draw(st.integers(0, heard)),
            image_cache_read_tokens=data.draw(st.integers(0, seen)),
            audio_output_tokens=spoken,
            image_output_tokens=data.draw(st.integers(0, written_out - spoken)),
            units=tuple((name, data.draw(st.integers(0, count))) for name, count in facts.units),
        )
        rates = price.rates_for(tokens, facts.tier)

        assert held is not None
        assert rates is not None
        assert cost(usage, rates).total <= held

    @given(calls(), prices(), st.integers(0, 10**13))
    def test_the_affordable_cap_is_the_exact_inverse_of_the_hold(self, facts, price, nanos):
        """The cap fits, one token more does not; 0 where nothing fits."""
        cap = bounds.affordable_output(facts, price, nanos)
        empty = bounds.hold(facts, price, 0)
        if empty is None or empty > nanos:
            assert cap == 0
            return
        here, beyond = bounds.hold(facts, price, cap), bounds.hold(facts, price, cap + 1)

        assert here is not None
        assert beyond is not None
        assert here <= nanos
        assert nanos < beyond or beyond == empty  # output for nothing has no end

    @given(calls(), prices(), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
    def test_more_to_read_or_to_write_never_holds_less(self, facts, price, output, text, more):
        """The hold is monotonic in input and output, and whole."""
        held = bounds.hold(facts, price, output)
        if held is None:
            return
        longer = bounds.hold(replace(facts, input_bytes=facts.input_bytes + text), price, output + more)

        assert type(held) is int
        assert longer is not None
        assert longer >= held
