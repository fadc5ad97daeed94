"""Stages: which rung a window stands on, and which of several limits counts."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.budget import DOWNGRADE, SLOW, WARN, Rung
from wfb_core.stages import EXHAUSTED, OPEN, STAGES, Stage, percent_used, stage_of, strictest

USD = 10**9
LADDER = (Rung(70, WARN), Rung(85, SLOW), Rung(95, DOWNGRADE))

STANDS = [
    (LADDER, 0, 200 * USD, Stage(OPEN, 0)),
    (LADDER, 140 * USD - 1, 200 * USD, Stage(OPEN, 0)),
    (LADDER, 140 * USD, 200 * USD, Stage(WARN, 70)),
    (LADDER, 170 * USD - 1, 200 * USD, Stage(WARN, 70)),
    (LADDER, 170 * USD, 200 * USD, Stage(SLOW, 85)),
    (LADDER, 190 * USD, 200 * USD, Stage(DOWNGRADE, 95)),
    (LADDER, 200 * USD - 1, 200 * USD, Stage(DOWNGRADE, 95)),
    (LADDER, 200 * USD, 200 * USD, Stage(EXHAUSTED, 100)),
    (LADDER, 230 * USD, 200 * USD, Stage(EXHAUSTED, 100)),
    ((), 199 * USD, 200 * USD, Stage(OPEN, 0)),
    ((), 200 * USD, 200 * USD, Stage(EXHAUSTED, 100)),
    ((Rung(100, WARN),), 200 * USD - 1, 200 * USD, Stage(OPEN, 0)),
    ((Rung(100, WARN),), 200 * USD, 200 * USD, Stage(EXHAUSTED, 100)),
    ((Rung(1, WARN), Rung(2, WARN)), 2, 100, Stage(WARN, 2)),
    (LADDER, 0, 0, Stage(EXHAUSTED, 100)),
    (LADDER, 1, 3, Stage(OPEN, 0)),
]


@pytest.mark.parametrize(("ladder", "used", "limit", "stage"), STANDS)
def test_where_a_window_stands(ladder, used, limit, stage):
    """A rung begins exactly at its percentage, not a nano-dollar before; all spent is Exhausted whatever the ladder."""
    assert stage_of(ladder, used, limit) == stage


@pytest.mark.parametrize(
    ("used", "limit", "percent"),
    [
        (0, 100, 0),
        (1, 3, 33),
        (2, 3, 66),
        (199_999_999_999, 200 * USD, 99),
        (200, 200, 100),
        (250, 200, 125),
        (0, 0, 100),
    ],
)
def test_percent_is_rounded_down(used, limit, percent):
    """99 means that something is left, 100 that nothing is, more that it was overspent."""
    assert percent_used(used, limit) == percent


LADDERS = st.sets(st.integers(1, 100), max_size=16).flatmap(
    lambda at: st.tuples(*(st.builds(Rung, st.just(p), st.sampled_from([WARN, SLOW, DOWNGRADE])) for p in sorted(at)))
)


@given(LADDERS, st.integers(0, 10**15), st.integers(0, 10**15), st.integers(1, 10**15))
def test_spending_never_goes_down_the_ladder(ladder, used, more, limit):
    """More spent is never a rung begun earlier, and the rung reached is one of the ladder's."""
    now, later = stage_of(ladder, used, limit), stage_of(ladder, used + more, limit)
    assert now.at_percent <= later.at_percent
    assert now in (Stage(), Stage(EXHAUSTED, 100), *(Stage(r.action, r.at_percent) for r in ladder))
    assert (now.name == EXHAUSTED) == (used >= limit)


@given(LADDERS, st.integers(0, 10**15), st.integers(0, 10**15))
def test_order_of_the_rungs_does_not_matter(ladder, used, limit):
    """A ladder given in any order is the same ladder."""
    assert stage_of(tuple(reversed(ladder)), used, limit) == stage_of(ladder, used, limit)


def test_strictest_of_several_limits():
    """The stage that costs most freedom counts, by name first and then by percentage, in any order."""
    rising = [Stage(), Stage(WARN, 70), Stage(WARN, 80), Stage(SLOW, 50), Stage(DOWNGRADE, 60), Stage(EXHAUSTED, 100)]
    for some in itertools.permutations(rising, 3):
        assert strictest(some) == max(some, key=rising.index)
    assert strictest([]) == Stage(OPEN, 0)
    assert STAGES == ("Open", "Warn", "Slow", "Downgrade", "Exhausted")
