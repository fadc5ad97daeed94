"""Which windows a call must fit in, as the ledger's scope says."""

import pytest

from harness.processes import budget
from wfb_core.document import parse_budget
from wfb_core.standing import Standing
from wfb_core.windows import shadow_id
from wfb_sidecar.scope import Scope, unlimited

NOON = 1_795_435_200.0  # Monday 2026-11-23 12:00 UTC
LIMITS = [{"window": "Day", "usd": "10"}, {"window": "Hour", "usd": "1"}, {"window": "Run", "usd": "2"}]

LADDER = [{"atPercent": 50, "action": "Downgrade", "models": [{"from": "a", "to": "b"}]}]


def _answer(run="", version=3, **spec):
    document = budget("triage", "1.00", **{"limits": LIMITS, **spec})
    return {"version": version, "now": NOON, "run": run, "budgets": [document], "windows": {}, "prices": "ab"}


def test_every_limit_opens_its_window_and_run_only_with_a_run():
    """A Deployment's pods have no run; a Job's pods have one."""
    without, within = Scope.from_answer(_answer()), Scope.from_answer(_answer(run="job-1"))
    assert without.ids(NOON) == (
        "test/triage|Day|2026-11-23T00:00:00+00:00",
        "test/triage|Hour|2026-11-23T12:00:00+00:00",
    )
    assert within.ids(NOON)[2:] == ("test/triage|Run|job-1",)
    assert [w.limit.window for w in within.windows(NOON)] == ["Day", "Hour", "Run"]


def test_a_budget_that_reports_is_followed_in_its_shadow():
    """Its windows stand there as under Enforce; a budget that never stops a call has no shadow, nor has one in force."""
    day = "test/triage|Day|2026-11-23T00:00:00+00:00"
    for spec, followed in (
        ({}, day),
        ({"enforcement": "Report"}, shadow_id(day)),
        ({"enforcement": "Report", "onExhausted": {"action": "Allow"}}, day),
    ):
        scope = Scope.from_answer(_answer(limits=LIMITS[:1], ladder=LADDER, **spec))
        assert scope.ids(NOON) == (day,)
        asked = []
        assert list(scope.wants(NOON, "a", asked.append, [])) == []
        assert asked == [followed]


def test_what_is_spent_of_a_window_decides_its_own_steps():
    """With a run and without: the steps of its limit, and of none after it."""
    limits = [LIMITS[2], {**LIMITS[1], "ladder": LADDER}, LIMITS[0]]
    for run in ("", "job-1"):
        scope = Scope.from_answer(_answer(run=run, limits=limits))
        for window, expected in (("Run", []), ("Hour", ["Hour"]), ("Day", [])):
            spent = {w.id: 10**12 if w.limit.window == window else 0 for w in scope.windows(NOON)}
            assert [w.limit.window for w in scope.wants(NOON, "a", spent.__getitem__, [])] == expected


def test_a_named_run_stands_on_the_limit_for_run_beside_the_windows():
    """What it has spent decides the steps of that limit alone; a pod with a run of its own has them in its window."""
    limits = [LIMITS[0], {**LIMITS[2], "ladder": LADDER}]
    scope, own = (Scope.from_answer(_answer(run=run, limits=limits)) for run in ("", "job-1"))
    for known in (scope, own):
        (held,) = known.budgets
        for usd, expected in ((0, []), (1, [] if known is own else ["Run"])):
            run = [Standing(held, held.limits[1], usd * 10**9)]
            assert [w.limit.window for w in known.wants(NOON, "a", lambda _: 0, run)] == expected
    assert list(scope.wants(NOON, "a", lambda _: 10**12, [])) == []


def test_windows_change_at_their_ends_and_not_before():
    """The kept windows hold from the latest start up to the earliest end, backwards too."""
    scope = Scope.from_answer(_answer(timeZone="Europe/Berlin"))
    first = scope.windows(NOON)
    assert scope.windows(NOON + 3599.9) is first
    later = scope.ids(NOON + 3600)
    assert later[0] == first[0].id
    assert later[1] == "test/triage|Hour|2026-11-23T14:00:00+01:00"
    assert scope.ids(NOON) == tuple(w.id for w in first)
    assert scope.windows_ahead(NOON + 3600)[1].start == NOON + 3600
    assert scope.ids(NOON + 11 * 3600)[0] == "test/triage|Day|2026-11-24T00:00:00+01:00"


def test_without_budgets_there_is_no_window():
    """Nothing limits the call."""
    scope = Scope(1, (), "", "ab")
    assert scope.windows(NOON) == () == scope.ids(NOON)


@pytest.mark.parametrize(
    ("spec", "counts_only"),
    [
        ({}, False),
        ({"enforcement": "Report"}, True),
        ({"onExhausted": {"action": "Allow"}}, True),
        ({"failurePolicy": "Ignore"}, False),
    ],
)
def test_budgets_that_only_count(spec, counts_only):
    """Report and Allow count money without stopping a call for it."""
    assert unlimited(parse_budget(budget("triage", "1.00", **spec))) is counts_only


@pytest.mark.parametrize("spoil", [{"version": None}, {"budgets": None}, {"budgets": [{}]}, {"version": "x"}])
def test_an_answer_that_is_none_is_refused(spoil):
    """ValueError, so that the scope before it stays."""
    with pytest.raises(ValueError):
        Scope.from_answer({**_answer(), **spoil})


@pytest.mark.parametrize("missing", ["version", "budgets", "run", "prices"])
def test_an_answer_that_lacks_a_field_is_refused(missing):
    """The field is named."""
    answer = _answer()
    del answer[missing]
    with pytest.raises(ValueError, match=missing):
        Scope.from_answer(answer)
