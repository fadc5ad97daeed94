"""A replay of recorded minutes: against the budget that they were recorded under it changes nothing, and limits are kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.budget import DOWNGRADE, SLOW, THROTTLE, WARN, Budget, Limit, Rung
from wfb_core.whatif import Minute, replay

USD = 1_000_000_000
NOON = 1_800_014_400 // 60
"""2027-01-15 12:00 UTC, in minutes."""


def budget(*limits, **fields):
    """A budget of so many dollars per kind of window."""
    return Budget("billing", "triage", {}, tuple(Limit(kind, nanos) for kind, nanos in limits), **fields)


def minutes(*rows):
    """(minutes after noon, calls, nanos) each."""
    return [Minute(NOON + at, "openai", "gpt-4o", calls, nanos) for at, calls, nanos in rows]


def figures(found):
    """(calls that were refused, held back, spent, demanded)."""
    return found.total.refused, found.total.slowed, found.total.spent, found.total.demanded


def test_a_limit_that_is_not_reached_changes_nothing():
    """All goes, and the window shows its stage."""
    found = replay(budget(("Day", 10 * USD), ladder=(Rung(50, WARN),)), minutes((0, 4, 3 * USD), (5, 2, 3 * USD)))
    assert figures(found) == (0, 0, 6 * USD, 6 * USD)
    assert [(w.kind, w.stage, w.exhausted_at) for w in found.windows] == [("Day", "Warn", None)]


def test_a_smaller_limit_refuses_what_comes_after():
    """The minute that does not fit goes in part, and all later ones are refused; it says when money ran out."""
    found = replay(budget(("Day", 4 * USD)), minutes((0, 3, 3 * USD), (7, 4, 4 * USD), (9, 5, USD)))
    assert figures(found) == (3 + 5, 0, 4 * USD, 8 * USD)
    assert found.total.saved == 4 * USD
    assert found.windows[0].exhausted_at == (NOON + 7) * 60


def test_each_day_is_its_own():
    """Windows are the calendar's: the next day has its money again."""
    found = replay(budget(("Day", 2 * USD)), minutes((0, 2, 4 * USD), (24 * 60, 2, 4 * USD)))
    assert [(w.spent, w.refused) for w in found.windows] == [(2 * USD, 1), (2 * USD, 1)]


def test_the_tightest_of_several_limits_decides():
    """Money goes only where every limit has room, and all are charged alike."""
    found = replay(budget(("Hour", 2 * USD), ("Day", 3 * USD)), minutes((0, 4, 4 * USD), (60, 4, 4 * USD)))
    assert [(w.kind, w.spent) for w in found.windows] == [("Hour", 2 * USD), ("Hour", USD), ("Day", 3 * USD)]


def test_runs_have_windows_of_their_own():
    """A limit for Run counts each run; minutes without one are not limited by it."""
    rows = [Minute(NOON, "openai", "gpt-4o", 2, 2 * USD, run) for run in ("a", "b", "")]
    found = replay(budget(("Run", USD)), rows)
    assert [(w.id.rpartition("|")[2], w.spent) for w in found.windows] == [("a", USD), ("b", USD)]
    assert found.total.spent == 4 * USD


def test_slow_spreads_what_is_left():
    """190 of 200 dollars are gone by noon: the last ten last until midnight, and the rest of the demand is held back."""
    rows = minutes((0, 190, 190 * USD), *((m, 1, USD) for m in range(1, 720)))
    found = replay(budget(("Day", 200 * USD), ladder=(Rung(85, SLOW),)), rows)
    half = replay(budget(("Day", 200 * USD), ladder=(Rung(95, SLOW),)), rows[:361])
    assert found.total.refused <= 1  # in the last minute the limit decides, and no pace
    assert found.total.slowed > 700
    assert 0.9 * 200 * USD < found.total.spent <= 200 * USD
    assert 194 * USD < half.total.spent < 196 * USD


def test_downgrade_pays_the_cheaper_model():
    """From its rung on the same tokens cost what they would there; what has no price there stays."""
    ladder = (Rung(50, DOWNGRADE, (("gpt-4o", "gpt-4o-mini"),)),)
    rows = [Minute(NOON + m, "openai", "gpt-4o", 1, USD, cheaper=(("gpt-4o-mini", USD // 10),)) for m in range(10)]
    found = replay(budget(("Day", 6 * USD), ladder=ladder), rows)
    assert (found.total.downgraded, found.total.spent, found.total.refused) == (7, 3 * USD + 7 * USD // 10, 0)
    bare = replay(budget(("Day", 6 * USD), ladder=ladder), minutes(*((m, 1, USD) for m in range(10))))
    assert (bare.total.downgraded, bare.total.refused) == (0, 4)


def test_throttle_trickles_on():
    """Beyond the limit the stated rate goes on, and no more."""
    rows = minutes(*((m, 1, USD) for m in range(120)))
    found = replay(budget(("Day", 10 * USD), on_exhausted=THROTTLE, trickle=6 * USD), rows)
    assert 20 * USD <= found.total.spent <= 10 * USD + 12 * USD
    assert found.total.refused == 0


STOPPED = {"suspended": {"suspend": True}, "a denied model": {"models_denied": ("gpt-*",)}}


@pytest.mark.parametrize("fields", STOPPED.values(), ids=STOPPED)
def test_what_no_money_allows(fields):
    """Every call is refused, also those that cost nothing."""
    found = replay(budget(("Day", USD), **fields), minutes((0, 2, USD), (1, 3, 0)))
    assert figures(found) == (5, 0, 0, USD)


TRAFFIC = st.lists(
    st.tuples(st.integers(0, 3 * 24 * 60), st.integers(1, 50), st.integers(0, 5 * USD)), min_size=1, max_size=40
)
LADDERS = st.sampled_from([(), (Rung(50, WARN),)])


@given(TRAFFIC, st.integers(0, 60 * USD), st.integers(0, 60 * USD), LADDERS)
def test_a_larger_limit_never_refuses_more(traffic, one, other, ladder):
    """Neither calls nor money, in no window; and no limit is passed."""
    small, large = sorted((one, other))
    few = replay(budget(("Day", small), ladder=ladder), minutes(*traffic))
    many = replay(budget(("Day", large), ladder=ladder), minutes(*traffic))
    for less, more in zip(few.windows, many.windows, strict=True):
        assert more.refused <= less.refused
        assert less.spent <= more.spent
        assert less.spent <= small
        assert more.spent <= large
    assert few.total.calls == sum(calls for _, calls, _ in traffic)


@given(TRAFFIC, st.integers(0, 60 * USD), st.sampled_from([50, 85, 95]))
def test_what_was_let_go_is_let_go_again(traffic, limit, percent):
    """Traffic as a replay lets it through, replayed under the same budget, goes whole but for what Slow's minutes blur."""
    plain = budget(("Day", limit))
    gone = []
    for at, calls, nanos in sorted(traffic):
        before = replay(plain, minutes(*gone)).total.spent
        after = replay(plain, minutes(*gone, (at, calls, nanos))).total.spent
        gone.append((at, calls, after - before))
    again = replay(plain, minutes(*gone)).total
    assert (again.spent, again.saved) == (sum(nanos for *_, nanos in gone), 0)
    assert replay(budget(("Day", limit), ladder=(Rung(percent, WARN),)), minutes(*gone)).total == again


@given(TRAFFIC, st.integers(1, 60 * USD), st.sampled_from([50, 85]))
def test_slow_never_passes_the_limit_nor_loses_a_call(traffic, limit, percent):
    """Every call went, was held back or was refused, and money adds up."""
    found = replay(budget(("Day", limit), ladder=(Rung(percent, SLOW),)), minutes(*traffic))
    assert all(0 <= w.spent <= w.limit for w in found.windows)
    assert found.total.refused + found.total.slowed <= found.total.calls
    assert sum(w.spent for w in found.windows) == found.total.spent == found.total.demanded - found.total.saved
