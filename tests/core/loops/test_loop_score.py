"""Usual runs, retry headers, and the score that cost and evidence make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.loops import Usual, retry_count, unit_of, usual_of
from wfb_core.loops.recent import Evidence
from wfb_core.loops.score import NONE, score, stage_for, weight

HEADERS = {
    "none": ({}, 0),
    "first attempt": ({"x-stainless-retry-count": "0"}, 0),
    "second retry": ({"x-stainless-retry-count": "2"}, 2),
    "AWS, first": ({"amz-sdk-request": "attempt=1; max=3"}, 0),
    "AWS, second": ({"amz-sdk-request": "attempt=2; max=3"}, 1),
    "nonsense": ({"x-stainless-retry-count": "many", "amz-sdk-request": "attempt="}, 0),
    "an endless number": ({"x-stainless-retry-count": "9" * 40}, 0),
}


@pytest.mark.parametrize(("headers", "count"), HEADERS.values(), ids=HEADERS)
def test_attempts_that_headers_tell(headers, count):
    """SDKs say which attempt this is; what cannot be read says nothing."""
    assert retry_count(headers) == count


def test_the_usual_run():
    """The median of what runs cost and of how fast they did; those that cost nothing do not count."""
    assert usual_of([(100, 60.0), (300, 60.0), (200, 120.0), (0, 9.0)]) == Usual(200, 3, 100)
    assert usual_of([(100, 0.0), (200, 0.0)]) == Usual(150, 2, 150)
    assert usual_of([(0, 1.0)]) is None


@given(st.lists(st.integers(1, 10**9), min_size=11, max_size=60), st.integers(10**12, 10**15))
def test_a_few_loops_do_not_move_the_usual_run(costs, loop):
    """However dear the loops among them, with less than half of all runs the median stays within the healthy ones."""
    loops = [(loop, 60.0)] * ((len(costs) - 1) // 2)
    assert usual_of([*((c, 60.0) for c in costs), *loops]).median <= max(costs)


def test_a_unit_is_the_run_or_the_hour_of_a_pod():
    """A run is one over all of its pods; a pod without a run is judged hour by hour."""
    assert unit_of("r1", "pod-a", 7200.0) == unit_of("r1", "pod-b", 99_999.0)
    assert unit_of("", "pod-a", 7199.9) != unit_of("", "pod-a", 7200.0)
    assert unit_of("", "pod-a", 7200.0) == unit_of("", "pod-a", 10_799.0) != unit_of("", "pod-b", 7200.0)


STAGES = {
    "half the multiple": (5.0, 0.0, NONE),
    "nearly there": (6.4, 0.0, "Flag"),
    "nearer": (8.0, 0.0, "Slow"),
    "the multiple itself": (10.0, 0.0, "Refuse"),
    "below twice the median, whatever it looks like": (1.99, 1.0, NONE),
    "twice the median, and every sign": (2.0, 1.0, "Refuse"),
    "thrice, and half of the signs": (3.2, 0.5, "Flag"),
}


@pytest.mark.parametrize(("times", "evidence", "stage"), STAGES.values(), ids=STAGES)
def test_the_stage_that_a_score_reaches(times, evidence, stage):
    """With a costMultiple of 10."""
    assert stage_for(score(times, evidence, 10.0)) == stage


@given(st.floats(0, 1e6), st.floats(0, 1), st.floats(1, 1e6))
def test_at_the_multiple_everything_is_a_loop(times, evidence, multiple):
    """Cost alone is enough at the multiple, even at a multiple of 1; more evidence never makes a run look better."""
    points = score(times, evidence, multiple)
    if times >= multiple:
        assert points >= 1.0
    assert score(times, min(1.0, evidence + 0.1), multiple) >= points


WEIGHTS = {
    "nothing": (Evidence(calls=40), 0.0, 0.0),
    "all alike": (Evidence(calls=40, alike=1.0), 0.9, 0.9),
    "a third alike": (Evidence(calls=40, alike=0.3), 0.0, 0.0),
    "tools fail": (Evidence(calls=40, failed_tools=1.0), 0.35, 0.35),
    "tools fail while the context grows": (Evidence(calls=40, failed_tools=1.0, growth=3.0), 0.7, 0.75),
    "an SDK repeats itself": (Evidence(calls=40, retried=0.7), 0.5, 0.5),
    "a growing context alone": (Evidence(calls=40, growth=100.0), 0.1, 0.2),
    "money flows fast": (Evidence(calls=40, rate=10_000.0), 0.1, 0.2),
    "everything": (Evidence(40, 40, 1.0, 1.0, 1.0, 9.0, 1e9), 0.95, 1.0),
}


@pytest.mark.parametrize(("evidence", "least", "most"), WEIGHTS.values(), ids=WEIGHTS)
def test_what_evidence_weighs(evidence, least, most):
    """Requests that are alike say most, a growing context by itself says little."""
    assert least - 1e-9 <= weight(evidence, Usual(100, 20, 100)) <= most + 1e-9
