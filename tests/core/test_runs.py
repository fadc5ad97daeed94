"""Runs that a header names: which names are taken, how many, what limits them, and their books."""

import pytest

from wfb_core.budget import ALLOW, REPORT, WARN, Budget, Limit, Rung
from wfb_core.runs import (
    LONGEST,
    OTHER,
    REMEMBERED,
    Runs,
    remembered,
    run_in_words,
    run_label,
    run_limit,
    run_limits,
    run_name,
    run_of_label,
)
from wfb_core.windows import parse_window_id

HOUR = 3600.0


@pytest.mark.parametrize("name", ["r1", "2026-11-25T10:00:00Z", "a/b.c_d@e+f=g", "x" * LONGEST])
def test_a_name_is_taken_as_it_is(name):
    """Ids and timestamps as people make them."""
    assert run_name(name) == name


@pytest.mark.parametrize(
    "value", ["", " r1", "r1 ", "a, b", "x" * (LONGEST + 1), "ü", "r\n", "-r", OTHER, "a|b", "$(id)", "\x00"]
)
def test_what_names_no_run_says_what_would(value):
    """Nothing is trimmed or cut, so two names never become one; the way out is in the message."""
    with pytest.raises(ValueError, match="names no run: use 1 to 128 letters"):
        run_name(value)


DAY, RUN5, RUN3 = Limit("Day", 100), Limit("Run", 5), Limit("Run", 3, max_age=60.0)


def of(*limits, **fields):
    return Budget("ns", "b", {}, limits, **fields)


LIMITS = [
    ((of(DAY, RUN5),), 5, "a limit above it"),
    ((of(RUN5),), None, "no limit above it: fresh names would be free money"),
    ((of(DAY, RUN5), of(Limit("Total", 9), RUN3)), 3, "of two the tighter"),
    ((of(DAY, RUN5), of(RUN3)), 5, "only those with a limit above"),
    ((of(DAY, RUN5, enforcement=REPORT),), None, "it only reports"),
    ((of(DAY, RUN5, on_exhausted=ALLOW),), None, "it allows more"),
    ((of(DAY),), None, "no limit for runs"),
    ((), None, "no budget"),
]


@pytest.mark.parametrize(("budgets", "nanos", "why"), LIMITS, ids=[row[2] for row in LIMITS])
def test_a_named_run_is_limited_only_below_another_limit(budgets, nanos, why):
    """Whoever names runs could mint one for each call."""
    found = run_limit(budgets)
    assert (found and found[1].nanos) == nanos


def test_what_reports_is_asked_apart_and_every_ladder_is_told_of():
    """The tightest of the budgets that only report, and beside it all on whose ladders a named run stands."""
    enforced, reporting = of(DAY, RUN5), of(DAY, RUN3, enforcement=REPORT)
    allowing, alone = of(DAY, RUN3, on_exhausted=ALLOW), of(RUN3)
    budgets = (enforced, reporting, allowing, alone)
    assert run_limit(budgets, REPORT) == (reporting, RUN3)
    assert [budget for budget, _ in run_limits(budgets)] == [enforced, reporting, allowing]


def test_each_step_of_a_run_is_new_once():
    """(spent, what is new): a step stays new until it is told, and is none again after the limit was raised and cut."""
    runs, limit = Runs(), Limit("Run", 100)
    budget = of(DAY, limit, ladder=(Rung(50, WARN), Rung(80, WARN)))
    runs.enter("a", 0.0, HOUR)

    def spend(amount):
        runs.hold("a", 1, amount)
        assert runs.settle(1, amount) == "a"
        found = runs.reached("a", budget, limit)
        return found and (found.stage.name, found.stage.at_percent, found.spent, found.since)

    assert spend(49) is None
    assert spend(1) == ("Warn", 50, 50, 50)
    assert spend(5) == ("Warn", 50, 55, 55)
    runs.told("a", budget)
    assert spend(5) is None
    assert runs.reached("a", budget, Limit("Run", 1000)) is None
    assert spend(0) is None
    assert spend(45) == ("Exhausted", 100, 105, 50)
    runs.told("a", budget)
    assert spend(45) is None


def test_a_runs_label_tells_run_and_pod_apart():
    """It fits into a window's id, whatever a name holds, and a run of pods stands for itself."""
    label = run_label("uid-1", "a/b:c@d")
    assert parse_window_id(f"ns/b|Run|{label}") == ("ns/b", "Run", label)
    assert (run_of_label(label), run_in_words(label)) == (("a/b:c@d", "uid-1"), "a/b:c@d of pod uid-1")
    assert (run_of_label("job-7"), run_in_words("job-7")) == (("job-7", ""), "job-7")


def test_a_run_is_remembered_as_long_as_a_budget_says():
    """The longest maxAge counts, and a day where none is stated."""
    assert remembered((of(DAY, RUN3), of(RUN5))) == 60.0
    assert remembered((of(DAY, RUN5),)) == REMEMBERED


def test_runs_do_not_share():
    """What one run holds and spends leaves the other's room whole."""
    runs = Runs()
    for name in ("a", "b"):
        runs.enter(name, 0.0, HOUR)
    runs.hold("a", 1, 40)
    assert (runs.room("a", 100), runs.room("b", 100)) == (60, 100)

    runs.settle(1, 25)
    runs.settle(1, 25)  # a second settlement of the same call

    assert (runs.room("a", 100), runs.used("a"), runs.room("b", 100)) == (75, 25, 100)


def test_a_pod_that_mints_runs_fills_no_memory():
    """A million names: a thousand have books, the rest share one, and whoever had a book keeps it."""
    runs = Runs()
    runs.enter("mine", 0.0, HOUR)
    runs.hold("mine", 1, 7)
    names = {runs.enter(f"r{n}", 0.001 * n, HOUR) for n in range(1_000_000)}

    assert len(runs) <= 1001
    assert OTHER in names
    assert runs.enter("mine", 1000.0, HOUR) == "mine"
    assert runs.room("mine", 10) == 3


@pytest.mark.parametrize("held", [5, 0], ids=["limited", "reported"])
def test_a_run_that_ended_makes_place_for_the_next(held):
    """Unnamed for its age it is forgotten, unless a call of it is still under way, whether anything is held for it or not."""
    runs = Runs(most=2)
    for name in ("ended", "under way"):
        runs.enter(name, 0.0, HOUR)
    runs.hold("under way", 1, held)
    assert runs.enter("third", HOUR - 1, HOUR) == OTHER

    assert runs.enter("fourth", HOUR + 1, HOUR) == OTHER  # the shared one took the place
    assert runs.enter("fifth", 3 * HOUR, HOUR) == "fifth"
    assert runs.room("under way", 5) == 5 - held
    runs.settle(1, 3)
    assert (runs.used("under way"), runs.in_flight) == (3, 0)
