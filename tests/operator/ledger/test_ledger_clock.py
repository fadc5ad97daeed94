"""The ledger's clock, as scripts of (monotonic step, wall step) and the time it tells after each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_operator.ledger.clock import FLOOR_MOST, LedgerClock

SCRIPTS = {
    "both go on": ([(1, 1), (1, 1)], [1, 2], 0),
    "a forward jump is followed": ([(1, 1), (1, 3601), (1, 1)], [1, 3602, 3603], 0),
    "a backward jump is ignored": ([(10, 10), (1, -3600)], [10, 10.5], 1),
    "time goes on at half speed until the wall is back": (
        [(100, 100), (1, -10), (8, 8), (8, 8), (8, 8)],
        [100, 100.5, 104.5, 108.5, 114],
        1,
    ),
    "small slewing is no step": ([(1, 0.9), (1, 0.9)], [0.9, 1.8], 0),
    "two jumps back are two": ([(1, -10), (1, -10)], [0.5, 1], 2),
}


@pytest.mark.parametrize(("steps", "told", "back"), SCRIPTS.values(), ids=SCRIPTS)
def test_scripts(steps, told, back):
    """Forward steps of the wall are followed at once, backward ones are made up for slowly and counted."""
    now = {"monotonic": 5.0, "wall": 0.0}
    clock = LedgerClock(0.0, lambda: now["wall"], lambda: now["monotonic"])
    heard = []
    for monotonic, wall in steps:
        now["monotonic"] += monotonic
        now["wall"] += wall
        heard.append(clock.now())
    assert (heard, clock.steps_back) == (told, back)


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(-1e5, 1e5)), max_size=30), st.floats(0, 2e5))
def test_it_never_goes_back_and_never_behind_the_wall(steps, floor):
    """Whatever wall and monotonic clock do, the time told rises, and is the wall's or later."""
    now = {"monotonic": 0.0, "wall": 1e5}
    clock = LedgerClock(floor, lambda: now["wall"], lambda: now["monotonic"])
    last = clock.now()
    for monotonic, wall in steps:
        now["monotonic"] += monotonic
        now["wall"] += wall
        told = clock.now()
        assert told >= last
        assert told >= now["wall"]
        last = told


@pytest.mark.parametrize(("ahead", "kept"), [(-1, False), (10, True), (FLOOR_MOST, True), (FLOOR_MOST + 1, False)])
def test_a_start_goes_on_from_the_time_written_down(ahead, kept):
    """A floor a little ahead of the wall is kept; one far ahead was a mistake that the restart ends."""
    clock = LedgerClock(1000.0 + ahead, lambda: 1000.0, lambda: 0.0)
    assert clock.now() == (1000.0 + ahead if kept else 1000.0)
