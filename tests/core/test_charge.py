"""What an answer is charged: parts by their own models, the request's own units, a cost that the provider states."""

import pytest

from wfb_core.call import CallFacts
from wfb_core.charge import charge
from wfb_core.dialects.answer import Answer
from wfb_core.price import ModelPrice, Rates
from wfb_core.usage import Usage

DEAR = ModelPrice.flat(Rates.flat(2_000_000_000, 10_000_000_000), "dear")
CHEAP = ModelPrice.flat(Rates.flat(1_000_000_000, 1_000_000_000), "cheap")
TIERED = ModelPrice("p", "tiered", "v", ((-1, Rates(1_000_000_000, output=1_000_000_000)),))
SPOKEN = ModelPrice("p", "spoken", "v", ((-1, Rates(0, units=(("characters", 15_000_000_000),), tokens_priced=False)),))
PRICES = {"dear": DEAR, "cheap": CHEAP, "tiered": TIERED, "spoken": SPOKEN}
THOUSAND = Usage(input_tokens=1000, output_tokens=100)


def _facts(model="dear", **more):
    return CallFacts("openai-chat", "p", "", model, stream=False, cap=None, **more)


CHARGES = [
    # the answer, facts -> (nano-USD, finding)
    (Answer(THOUSAND, served_model="dear"), {}, (3_000_000, None)),
    (Answer(THOUSAND, served_model="dear-2026-01-01"), {}, (3_000_000, None)),  # by the name asked for
    (Answer(THOUSAND, served_model="cheap"), {}, (1_100_000, None)),  # by what was served
    (
        Answer(Usage(input_tokens=2000, output_tokens=200), parts=(("dear", THOUSAND), ("cheap", THOUSAND))),
        {},
        (4_100_000, None),
    ),
    (Answer(THOUSAND, served_model="new"), {"model": "new"}, (None, "model 'new' has no price")),
    (Answer(THOUSAND, served_model="new", reported_nanos=7), {"model": "new"}, (7, None)),
    (Answer(None, reported_nanos=7), {}, (7, None)),
    (
        Answer(THOUSAND, served_model="tiered", tier="turbo"),
        {"model": "tiered"},
        (1_100_000, "service tier 'turbo' has no price"),
    ),
    (
        Answer(Usage(input_tokens=1000, units=(("web_searches", 2),)), served_model="tiered"),
        {"model": "tiered"},
        (1_000_000, "no rate for web_searches"),
    ),
    (Answer(None), {"model": "spoken", "units": (("characters", 100),)}, (1_500_000, None)),
]


@pytest.mark.parametrize(("answer", "facts", "expected"), CHARGES)
def test_an_answer_is_charged_and_what_is_not_known_is_named(answer, facts, expected):
    """Every class at its rate; an unknown model, tier or unit is a finding and never the standard price in silence."""
    charged = charge(_facts(**facts), answer, PRICES.get)

    assert (charged.nanos, charged.finding) == expected


@pytest.mark.parametrize("answer", [Answer(None), Answer(None, failed=True)])
def test_an_answer_that_says_nothing_is_charged_nothing_here(answer):
    """What it costs is an estimate's matter, and an error's units are not billed."""
    units = () if not answer.failed else (("characters", 5),)

    assert charge(_facts(units=units), answer, PRICES.get) is None


def test_units_that_the_answer_counts_win_over_those_asked_for():
    """Twenty pages may be asked for and three read."""
    answer = Answer(Usage(units=(("pages", 3),)), served_model="cheap")

    assert charge(_facts(units=(("pages", 20),)), answer, PRICES.get).usage.units == (("pages", 3),)


def test_a_model_that_nobody_lists_has_the_fallback():
    """A price that a budget states for unlisted models."""
    assert charge(_facts("new"), Answer(THOUSAND), PRICES.get, fallback=CHEAP).nanos == 1_100_000
