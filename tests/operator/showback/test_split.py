"""Shared and idle cost: nothing is lost in the split, and the same books give the same statement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_operator.showback.split import EVEN, NONE, PROPORTIONAL, RULES, Share, divided, statement

SPENT = {"a": 600, "b": 300, "idle team": 0, "": 100, "platform": 30}

CASES = {
    "in proportion": (PROPORTIONAL, ("",), 0, [("a", 600, 65, 0), ("b", 300, 32, 0), ("platform", 30, 3, 0)]),
    "in equal parts": (EVEN, ("",), 0, [("a", 600, 34, 0), ("b", 300, 33, 0), ("platform", 30, 33, 0)]),
    "a platform team, too": (PROPORTIONAL, ("", "platform"), 9, [("a", 600, 87, 6), ("b", 300, 43, 3)]),
    "not at all": (NONE, ("",), 5, [("a", 600, 0, 0), ("b", 300, 0, 0), ("", 100, 0, 5), ("platform", 30, 0, 0)]),
}


@pytest.mark.parametrize(("rule", "common", "idle", "expected"), CASES.values(), ids=CASES)
def test_a_statement(rule, common, idle, expected):
    """Each name's own, its share of what is common, and of what is idle; who spent nothing is charged nothing."""
    found = statement(SPENT, rule=rule, common=common, idle=idle)
    told = [(s.name, s.direct, s.shared, s.idle) for s in found if s.name != "idle team"]
    assert sorted(told) == sorted(expected)
    assert Share("idle team", 0, 0, 0) in found


@given(
    st.dictionaries(st.text(max_size=3), st.integers(0, 2**60), max_size=8),
    st.sampled_from(RULES),
    st.sets(st.text(max_size=2), max_size=3),
    st.integers(0, 2**60),
)
def test_a_statement_adds_up(spent, rule, common, idle):
    """Whatever is split by whatever rule, the statement is what was spent plus what was idle, to the nano-dollar."""
    found = statement(spent, rule=rule, common={"", *common}, idle=idle)
    assert sum(s.total for s in found) == sum(spent.values()) + idle
    assert all(min(s.direct, s.shared, s.idle) >= 0 for s in found)
    assert found == statement(dict(reversed(spent.items())), rule=rule, common={"", *common}, idle=idle)


@given(st.integers(0, 2**62), st.dictionaries(st.text(max_size=3), st.integers(1, 2**60), min_size=1, max_size=9))
def test_nobody_gets_more_than_a_unit_too_much(amount, weights):
    """Every share is its exact part, rounded down or up."""
    whole = sum(weights.values())
    for name, part in divided(amount, weights).items():
        assert abs(part * whole - amount * weights[name]) < whole
