"""How windows stand: rungs reached stay reached, and the tightest is the one on the strictest stage with least left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.budget import DOWNGRADE, SLOW, WARN, Budget, Limit, Rung
from wfb_core.stages import EXHAUSTED, OPEN, STAGES
from wfb_core.standing import Standing, tightest

USD = 10**9
LADDER = (Rung(50, WARN), Rung(70, DOWNGRADE, (("a", "b"),)), Rung(80, SLOW), Rung(90, DOWNGRADE, (("a", "c"),)))
BUDGET = Budget("billing", "triage", {}, (), ladder=LADDER)


def standing(spent, limit=100 * USD, budget=BUDGET, window="Day"):
    """A window with so much spent."""
    return Standing(budget, Limit(window, limit), spent)


@pytest.mark.parametrize(
    ("percent", "reached"),
    [(0, []), (69, []), (70, ["b"]), (85, ["b"]), (90, ["b", "c"]), (100, ["b", "c"]), (130, ["b", "c"])],
)
def test_rungs_that_are_reached_stay_reached(percent, reached):
    """A later rung of another action takes none of them back, and neither does the end of the money."""
    rungs = standing(percent * USD).reached(DOWNGRADE)
    assert [rung.models[0][1] for rung in rungs] == reached


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        ([], None),
        ([0, 49], None),
        ([55, 10], 0),
        ([55, 85], 1),
        ([92, 101, 99], 1),
        ([60, 65], 1),
        ([105, 102], 0),
    ],
)
def test_the_tightest_is_on_the_strictest_stage(spent, expected):
    """Below the first rung none is tight; of two on one rung it is the one with less left."""
    windows = [standing(dollars * USD) for dollars in spent]
    found = tightest(windows)
    assert found is (None if expected is None else windows[expected])


@given(st.lists(st.tuples(st.integers(0, 2 * 10**11), st.integers(0, 10**11)), max_size=6))
def test_nothing_stands_tighter_than_the_tightest(pairs):
    """Whatever the amounts: no other window is on a stricter stage, and what is left is never below nothing."""
    windows = [standing(spent, limit) for spent, limit in pairs]
    found = tightest(windows)
    stages = [STAGES.index(w.stage.name) for w in windows]
    if found is None:
        assert all(w.stage.name == OPEN for w in windows)
    else:
        assert STAGES.index(found.stage.name) == max(stages)
        assert found.left >= 0
        assert (found.stage.name == EXHAUSTED) == (found.left == 0)
