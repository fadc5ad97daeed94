"""Steps of a ladder that no call can follow are told with their figures; sound ones are not."""

import pytest

from harness.stack import SNAPSHOT
from wfb_core.budget import DOWNGRADE, Budget, Limit, Rung
from wfb_core.downgrade_checks import contradictions
from wfb_core.price import PriceBook

PRICES = PriceBook.from_snapshot(SNAPSHOT.data)
AT = 1_795_000_000.0

SOUND = [
    ("claude-opus-*", "claude-haiku-4-5"),
    ("claude-*", "claude-haiku-4-5"),
    ("gpt-4o", "gpt-4o-mini"),
    ("my-deployment", "gpt-4o-mini"),
    ("gemini-2.5-pro", "gemini-2.5-flash-lite"),
]
USELESS = [
    (
        ("claude-haiku-4-5", "claude-opus-4-5"),
        (
            "at 95 %, claude-haiku-4-5 -> claude-opus-4-5: claude-opus-4-5 costs $5.00 in and $25.00 out per million"
            " tokens, and no model that is meant costs more (claude-haiku-4-5: $1.00 in and $5.00 out per million tokens)"
        ),
    ),
    (("gpt-4o-mini*", "gpt-6-cyber"), "gpt-6-cyber costs $20.00 in and $100.00 out per million tokens"),
    (("gpt-4o", "gpt-unheard-of"), "no price is known for gpt-unheard-of, so no call goes there"),
]


@pytest.mark.parametrize("pair", SOUND)
def test_what_some_call_can_follow_is_sound(pair):
    """Some model that is meant is dearer than the target, or nobody knows what is meant."""
    assert contradictions(_budget(pair), PRICES, AT) == ()


@pytest.mark.parametrize(("pair", "text"), USELESS)
def test_what_no_call_can_follow_is_told_with_the_figures(pair, text):
    """In one sentence: the step, the pair, and the prices per million tokens."""
    (found,) = contradictions(_budget(pair), PRICES, AT)
    assert text in found


def test_another_providers_model_is_told():
    """A call keeps its provider."""
    (found,) = contradictions(_budget(("command-r*", "mistral-ocr-latest")), PRICES, AT)
    assert found == (
        "at 95 %, command-r* -> mistral-ocr-latest: command-r* is cohere, openrouter's and mistral-ocr-latest is mistral's:"
        " a call keeps its provider"
    )


def test_one_sentence_for_each_pair_of_all_ladders():
    """The budget's own ladder and those of its limits; the same mistake twice is told once."""
    rung = Rung(95, DOWNGRADE, (("gpt-4o", "gpt-unheard-of"), ("gpt-4o-mini", "gpt-4o")))
    budget = Budget("a", "b", {}, (Limit("Day", 10**9, (rung,)), Limit("Month", 10**9)), ladder=(rung,))
    assert len(contradictions(budget, PRICES, AT)) == 2


def _budget(*pairs):
    return Budget("a", "b", {}, (Limit("Day", 10**9),), ladder=(Rung(95, DOWNGRADE, pairs),))
