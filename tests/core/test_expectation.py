"""What is learned comes close to what calls cost, stays within bounds and within its memory."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core import bounds
from wfb_core.call import CallFacts
from wfb_core.expectation import ENOUGH, MODELS, RECENT, Expectations, prior
from wfb_core.price import ModelPrice, Rates
from wfb_core.usage import Usage

PRICE = ModelPrice(
    "acme",
    "acme-1",
    "v",
    ((-1, Rates(2_000_000, 200_000, 2_500_000, 4_000_000, 10_000_000)),),  # nano-USD per token: 2, 0.2, 2.5, 4, 10
    max_output=64_000,
    context=1_000_000,
    image_tokens=1_600,
)
FACTS = CallFacts("chat", "acme", "chat", "acme-1", stream=False, cap=4_000, input_bytes=33_000)
AMPLE = 10**12


class TestPrior:
    @pytest.mark.parametrize(
        ("model", "ratio"),
        [("gpt-4o", 3.3), ("claude-haiku-4-5", 3.3), ("claude-opus-4-7", 2.4), ("claude-sonnet-5-5", 2.4)],
    )
    def test_a_model_starts_with_its_tokenizers_ratio(self, model, ratio):
        """Newer Claude models make more tokens of the same text."""
        assert prior(model) == ratio

    def test_before_anything_is_seen_the_prior_prices_the_call(self):
        """33,000 bytes are 10,000 tokens, and an answer 512."""
        assert Expectations().expected(FACTS, PRICE, AMPLE) == 10_000 * 2 + 512 * 10

    def test_a_short_cap_shortens_the_expected_answer(self):
        """No answer is expected longer than its bound."""
        assert Expectations().expected(replace(FACTS, cap=100), PRICE, AMPLE) == 10_000 * 2 + 100 * 10


class TestLearning:
    def test_steady_calls_are_soon_expected_exactly(self):
        """After enough equal calls the expectation is their cost, to a percent."""
        learned = Expectations()
        for _ in range(60):
            learned.observe(FACTS, Usage(input_tokens=15_000, output_tokens=300))

        assert learned.expected(FACTS, PRICE, AMPLE) == pytest.approx(15_000 * 2 + 300 * 10, rel=0.01)

    def test_cached_input_is_expected_at_its_rate(self):
        """A loop that reads most of its prompt from the cache is not paced as if it did not."""
        learned = Expectations()
        usage = Usage(input_tokens=10_000, cache_read_tokens=8_000, cache_write_tokens=1_000, output_tokens=0)
        for _ in range(60):
            learned.observe(FACTS, usage)

        expected = 1_000 * 2 + 8_000 // 5 + 2_500
        assert learned.expected(FACTS, PRICE, AMPLE) == pytest.approx(expected, rel=0.02)

    def test_hidden_input_is_expected_as_long_as_usual(self):
        """What the body does not show is guessed from what calls had, and does not teach the ratio."""
        learned = Expectations()
        hidden = replace(FACTS, input_bytes=33, hidden_input=("previous_response_id",))
        for _ in range(60):
            learned.observe(hidden, Usage(input_tokens=50_000))
        ratio_kept = learned.expected(replace(FACTS, cap=0), PRICE, AMPLE)

        assert learned.expected(replace(hidden, cap=0), PRICE, AMPLE) == pytest.approx(100_000, rel=0.01)
        assert ratio_kept == 20_000

    def test_models_learn_apart(self):
        """One model's calls say nothing about another's."""
        learned = Expectations()
        learned.observe(replace(FACTS, model="acme-2"), Usage(input_tokens=30_000, output_tokens=4_000))

        assert learned.expected(FACTS, PRICE, AMPLE) == Expectations().expected(FACTS, PRICE, AMPLE)

    def test_an_unknown_tier_is_expected_at_its_hold(self):
        """Without rates there is nothing to expect but the worst."""
        assert Expectations().expected(replace(FACTS, tier="ultrafast"), PRICE, 77) == 77

    def test_errors_are_counted_for_metrics(self):
        """An observation tells actual over expected, and totals add up by model."""
        learned = Expectations()
        seen = learned.observe(FACTS, Usage(input_tokens=20_000, output_tokens=256))
        learned.observe(FACTS, Usage(input_tokens=20_000, output_tokens=256))
        figures = learned.figures()["acme", "acme-1"]

        assert (seen.input_ratio, seen.output_ratio) == (2.0, 0.5)
        assert (figures.calls, figures.actual_input, figures.actual_output) == (2, 40_000, 512)
        assert figures.expected_input > 20_000


class TestQuantile:
    def test_a_high_quantile_needs_enough_answers(self):
        """A handful of answers promises nothing."""
        learned = Expectations()
        for tokens in range(1, ENOUGH):
            learned.observe(FACTS, Usage(output_tokens=tokens))
        assert learned.output_p99(FACTS) is None
        learned.observe(FACTS, Usage(output_tokens=5))
        assert learned.output_p99(FACTS) == ENOUGH - 1

    def test_only_recent_answers_count_per_choice(self):
        """Old answers leave the ring, and several choices share a call's output."""
        learned = Expectations()
        for _ in range(RECENT):
            learned.observe(FACTS, Usage(output_tokens=9_000))
        for _ in range(RECENT):
            learned.observe(replace(FACTS, choices=2), Usage(output_tokens=201))

        assert learned.output_p99(FACTS) == 101


class TestMemory:
    def test_the_model_unseen_for_longest_is_forgotten(self):
        """However many names calls carry, the memory does not grow."""
        learned = Expectations()
        for i in range(MODELS + 5):
            learned.observe(replace(FACTS, model=f"m{i}"), Usage(input_tokens=1))
            learned.observe(FACTS, Usage(input_tokens=1))

        assert len(learned.figures()) == MODELS
        assert ("acme", "acme-1") in learned.figures()
        assert ("acme", "m0") not in learned.figures()


class TestProperties:
    @given(
        st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**5)), max_size=30),
        st.integers(0, 10**6),
        st.integers(1, 8),
        st.integers(1, 10**10),
    )
    def test_an_expectation_is_whole_and_never_above_its_hold(self, seen, text, choices, limit):
        """Whatever was learned, what is expected lies between 1 and the hold."""
        learned = Expectations()
        for size, tokens, output in seen:
            learned.observe(
                replace(FACTS, input_bytes=size), Usage(tokens, tokens // 2, tokens // 4, output_tokens=output)
            )
        facts = replace(FACTS, input_bytes=text, choices=choices)
        held = bounds.hold(facts, PRICE, 4_000)
        assert held is not None
        for hold in (held, limit):
            expected = learned.expected(facts, PRICE, hold)
            assert type(expected) is int
            assert 1 <= expected <= max(hold, 1)

    @given(st.lists(st.tuples(st.integers(1, 10**5), st.integers(1, 10**5)), max_size=20))
    def test_the_same_calls_teach_the_same(self, seen):
        """No clock and no chance."""
        first, second = Expectations(), Expectations()
        for learned in (first, second):
            for size, tokens in seen:
                learned.observe(replace(FACTS, input_bytes=size), Usage(tokens, output_tokens=tokens))

        assert first.expected(FACTS, PRICE, AMPLE) == second.expected(FACTS, PRICE, AMPLE)
        assert first.figures() == second.figures()


class TestSwitching:
    CHEAPER = ModelPrice(
        "acme",
        "acme-0",
        "v",
        ((-1, Rates(1_000_000, 100_000, 1_250_000, 2_000_000, 5_000_000)),),  # half of PRICE
        max_output=64_000,
        context=1_000_000,
    )
    OTHER = replace(FACTS, model="acme-0")

    def test_without_a_cache_the_cheaper_model_is_cheaper(self):
        """Nothing is known: 10,000 tokens and an answer of 512, at each one's rates."""
        going_on, changing = Expectations().switched(FACTS, PRICE, self.OTHER, self.CHEAPER)
        assert (going_on, changing) == (10_000 * 2 + 512 * 10, 10_000 * 1 + 512 * 5)

    def test_a_warm_cache_may_be_worth_more(self):
        """What the dear model reads from its cache at 0.2, the cheaper one reads fresh at 1."""
        learned = Expectations()
        for _ in range(60):
            learned.observe(FACTS, Usage(input_tokens=10_000, cache_read_tokens=9_900, output_tokens=10))
        going_on, changing = learned.switched(FACTS, PRICE, self.OTHER, self.CHEAPER)
        assert going_on < changing

    def test_what_is_cached_anew_is_paid_as_a_write(self):
        """A request that asks for its input to be cached pays that at the new model too."""
        writing = replace(FACTS, cache_write=True)
        _, fresh = Expectations().switched(FACTS, PRICE, self.OTHER, self.CHEAPER)
        _, writes = Expectations().switched(writing, PRICE, replace(writing, model="acme-0"), self.CHEAPER)
        assert writes - fresh == 10_000 * 1.25 - 10_000

    def test_a_tier_without_a_price_cannot_be_compared(self):
        """None, and the call stays with its model."""
        odd = replace(FACTS, tier="odd")
        assert Expectations().switched(odd, PRICE, odd, self.CHEAPER) is None


class TestCut:
    def test_an_answer_that_was_cut_does_not_shrink_the_quantile(self):
        """Capped again and again at its own 99th percentile, a steady mix of lengths keeps a cap that 98 of 100 fit."""
        learned, lengths = Expectations(), [100] * 95 + [400, 500, 600, 700, 4000]
        for _ in range(3):
            for length in lengths:
                learned.observe(FACTS, Usage(input_tokens=1, output_tokens=length))
        for n in range(3000):
            cap, length = learned.output_p99(FACTS), lengths[n % 100]
            learned.observe(FACTS, Usage(input_tokens=1, output_tokens=min(length, cap)), cut=length >= cap)
            assert learned.output_p99(FACTS) >= 600
