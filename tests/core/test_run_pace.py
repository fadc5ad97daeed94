"""A named run on its own ladder: the rate of Slow, the trickle past its limit, and what stands in a call's way."""

from math import inf

import pytest

from wfb_core import reasons
from wfb_core.budget import SLOW, THROTTLE, WARN, Budget, Limit, Rung
from wfb_core.run_pace import Held, RunPace

RUN = Limit("Run", 10_000)
HOURLY = 36_000
"""Ten in a second."""


def budget(*ladder, **fields):
    return Budget("ns", "b", {}, (Limit("Day", 1_000_000), RUN), ladder=ladder, **fields)


SLOWED = budget(Rung(10, WARN), Rung(50, SLOW, rate=HOURLY))
TRICKLED = budget(on_exhausted=THROTTLE, trickle=HOURLY)


@pytest.mark.parametrize(
    ("used", "held", "least", "reason"),
    [
        (0, 0, 100, None),
        (9_900, 0, 100, None),
        (9_901, 0, 100, reasons.BUDGET_EXHAUSTED),
        (0, 9_901, 100, reasons.MONEY_IN_FLIGHT),
        (5_000, 0, 100, None),
    ],
)
def test_what_stands_in_the_way(used, held, least, reason):
    """What is settled refuses, what is held waits, and a run that has just reached Slow goes."""
    found = RunPace().stands(0.0, SLOWED, RUN, used, held, 0, least)
    assert (found and found.reason) == reason


def test_slow_keeps_to_its_rate():
    """After a call of 500 at ten a second the next goes 50 seconds later; a long rest saves up a minute and no more."""
    pace = RunPace()
    assert pace.stands(0.0, SLOWED, RUN, 5_000, 0, 0, 1) is None
    assert pace.stands(0.0, SLOWED, RUN, 5_500, 0, 0, 1) == Held(reasons.PACED, 50.0)
    assert pace.stands(49.0, SLOWED, RUN, 5_500, 0, 0, 1) == Held(reasons.PACED, pytest.approx(1.0))
    assert pace.stands(50.0, SLOWED, RUN, 5_500, 0, 0, 1) is None
    assert pace.stands(9_000.0, SLOWED, RUN, 5_500, 0, 0, 1) is None
    assert pace.stands(9_000.0, SLOWED, RUN, 6_200, 0, 0, 1) == Held(reasons.PACED, pytest.approx(10.0))


def test_calls_in_flight_count_with_what_they_will_probably_cost():
    """Two calls at once do not share a turn, and a hold far above the cost does not take the next hour's."""
    pace = RunPace()
    assert pace.stands(0.0, SLOWED, RUN, 5_000, 0, 0, 1) is None
    assert pace.stands(0.0, SLOWED, RUN, 5_000, 4_000, 20, 1) == Held(reasons.PACED, 2.0)


def test_a_trickle_lets_calls_go_when_all_of_their_need_has_come():
    """It counts from the first call that found too little, over what earlier calls took of it, and never more."""
    pace = RunPace()
    assert pace.stands(100.0, TRICKLED, RUN, 9_950, 0, 0, 100) == Held(reasons.THROTTLED, 5.0)
    assert pace.allowance(104.0, HOURLY) == 40
    assert pace.stands(105.0, TRICKLED, RUN, 9_950, 0, 0, 100) is None
    assert pace.stands(105.0, TRICKLED, RUN, 9_950, 100, 0, 100) == Held(reasons.THROTTLED, 10.0)
    assert pace.stands(115.0, TRICKLED, RUN, 10_050, 0, 0, 100) is None


def test_a_higher_limit_ends_the_trickle():
    """No allowance for a time in which it was not due."""
    pace = RunPace()
    pace.stands(0.0, TRICKLED, RUN, 10_000, 0, 0, 100)
    assert pace.stands(50.0, TRICKLED, Limit("Run", 20_000), 10_000, 0, 0, 100) is None
    assert (pace.exhausted_at, pace.allowance(60.0, HOURLY)) == (inf, 0)
