"""Synthetic months with anomalies planted at known times: nearly all are told in time, and hardly anything else is."""

import pytest

from bench.anomalies import watch
from months import SHAPES


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_a_month_of_a_workflow(shape):
    """Of eight anomalies of three to six times the usual at least seven within fifteen minutes; at most one false alarm."""
    watched = watch(shape, 1)
    assert sum(minutes <= 15 for minutes in watched.found.values()) >= 7, watched.found
    assert watched.false <= 1
