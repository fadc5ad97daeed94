"""The guard against shapes of runs that it did not make: loops are stopped in time, healthy runs are left alone."""

import pytest

from harness.loop_rehearsal import healthy, looping
from shapes import HEALTHY, LOOPING

RUNS = 8
MULTIPLE = 10
BY_EVIDENCE = {"tool error loop", "ping-pong of two agents", "retry storm", "three stations"}


@pytest.mark.parametrize("shape", LOOPING)
def test_a_loop_is_stopped_in_time(shape):
    """Every one, before the multiple of the median and one call; where requests repeat, before a third of that."""
    usual, runs = looping(shape, RUNS)
    assert all(run.refused for run in runs)
    for run in runs:
        assert run.cost < MULTIPLE * usual.median + run.dearest
        if shape in BY_EVIDENCE:
            assert run.cost < MULTIPLE / 3 * usual.median


@pytest.mark.parametrize("shape", HEALTHY)
def test_a_healthy_run_is_left_alone(shape):
    """None of eight of each kind is refused or slowed down."""
    _, runs = healthy(shape, RUNS)
    assert not [run.refused for run in runs if run.refused]
    assert sum("Slow" in run.stages for run in runs) <= 1
