"""Selectors: which pods a budget is for, by labels and by namespace."""

import pytest

from wfb_core.budget import Budget, LabelRule, Selector
from wfb_core.selectors import NAMESPACE_NAME, within

MINE = Budget("billing", "b", {"app": "x"}, ())
EVERYWHERE = Budget("", "c", {"app": "x"}, ())
PROD = Budget("", "p", {}, (), namespace_selector=Selector({"env": "prod"}))
NOT_LAB = Budget("", "n", {}, (), namespace_selector=Selector({}, (LabelRule(NAMESPACE_NAME, "NotIn", ("lab",)),)))

CASES = [  # budget, labels of the pod, its namespace, the namespace's labels, whether it is for the pod
    (MINE, {"app": "x"}, "billing", {}, True),
    (MINE, {"app": "x"}, "lab", {}, False),
    (MINE, {"app": "y"}, "billing", {}, False),
    (MINE, {"app": "x"}, "", {}, True),
    (EVERYWHERE, {"app": "x"}, "billing", {}, True),
    (EVERYWHERE, {"app": "x"}, "lab", {"env": "prod"}, True),
    (PROD, {}, "lab", {"env": "prod"}, True),
    (PROD, {}, "lab", {"env": "test"}, False),
    (PROD, {"env": "prod"}, "lab", {}, False),
    (PROD, {}, "", {}, True),
    (NOT_LAB, {}, "billing", {}, True),
    (NOT_LAB, {}, "lab", {}, False),
    (NOT_LAB, {}, "lab", {NAMESPACE_NAME: "billing"}, False),
]


@pytest.mark.parametrize(("budget", "labels", "namespace", "namespace_labels", "expected"), CASES)
def test_within(budget, labels, namespace, namespace_labels, expected):
    """Labels, the namespace's name and its labels all decide; the name is always one of its labels."""
    assert within(budget, labels, namespace, namespace_labels) is expected
