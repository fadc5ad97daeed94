"""What a call is settled at: exactly where it can be, else an estimate that never exceeds the hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.settle import TAIL_SECONDS, Seen, estimate, exact, nothing
from wfb_core.usage import Usage

HOLD = 1_000_000_000
RATE = 10_000_000_000  # nano-USD per million tokens: 10 dollars


def _seen(output_bytes=1000, seconds=10.0, *, hidden=False, whole=False):
    return Seen(output_bytes, seconds, hidden, whole)


@pytest.mark.parametrize(
    ("seen", "tokens"),
    [
        (_seen(1000, 10.0), 1000 + 200 + 1),
        (_seen(1000, 1.0), 1000 + 2000 + 1),
        (_seen(0, 10.0), 1),
        (_seen(0, 0.0), 1),
        (_seen(500, 0.0), 500 + 1000 + 1),
        (_seen(1000, 1e9), 1000 + 1),
    ],
    ids=["slow", "fast", "silent", "nothing", "at-once", "no-tail"],
)
def test_bytes_count_as_tokens_and_a_tail_at_the_streams_own_pace(seen, tokens):
    """Two seconds' worth of what was seen a second, and one token for what was on its way."""
    settled = estimate(HOLD, 5000, RATE, seen, "stream left")
    assert settled.cost == 5000 + tokens * RATE // 1_000_000
    assert (settled.usage, settled.estimated, settled.finding) == (None, True, "stream left")


@pytest.mark.parametrize("seen", [_seen(hidden=True), _seen(whole=True)], ids=["hidden", "billed-whole"])
def test_what_cannot_be_seen_is_settled_at_the_hold(seen):
    """Only the hold is sure to cover reasoning, or a bill for what nobody read."""
    assert estimate(HOLD, 5000, RATE, seen, "x").cost == HOLD


@given(
    st.integers(0, 10**15),
    st.integers(0, 10**12),
    st.integers(0, 10**12),
    st.integers(0, 10**9),
    st.floats(0, 1e9),
    st.booleans(),
    st.booleans(),
)
def test_an_estimate_is_within_zero_and_the_hold(hold, input_cost, rate, output_bytes, seconds, hidden, whole):
    """And it is always marked."""
    settled = estimate(hold, input_cost, rate, Seen(output_bytes, seconds, hidden, whole), "x")
    assert 0 <= settled.cost <= hold
    assert isinstance(settled.cost, int)
    assert settled.estimated


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0.001, 1000), st.integers(1, 10**11))
def test_more_seen_never_costs_less(less, more, seconds, rate):
    """The estimate grows with the bytes, and covers at least every byte as a token, rounded up."""
    low, high = sorted((less, more))
    costs = [estimate(10**18, 7, rate, _seen(n, seconds), "x").cost for n in (low, high)]
    assert costs[0] <= costs[1]
    assert costs[1] * 1_000_000 >= high * rate


def test_the_tail_is_two_seconds():
    """As design and documentation say."""
    assert TAIL_SECONDS == 2.0


def test_exact_and_nothing_are_no_estimates():
    """Usage that the provider told, and an error before the first byte."""
    usage = Usage(input_tokens=5, output_tokens=7)
    assert (exact(123, usage).cost, exact(123, usage).usage, exact(123, usage).estimated) == (123, usage, False)
    assert (nothing().cost, nothing().usage, nothing().estimated) == (0, Usage(), False)
