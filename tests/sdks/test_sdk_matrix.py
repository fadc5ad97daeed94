"""Every SDK on every rung of the ladder, against the real sidecar and ledger: docs/sdks.md says what its user sees."""

import pytest

from sdks.page import PAGE, said, tables
from sdks.rows import ROWS
from sdks.rungs import RUNGS

NAMES = [row.name for row in ROWS]
PAGE_SAYS = tables(PAGE.read_text())
REFUSED_FOR_GOOD = ("Refuse", "Refuse, stream", "Suspend", "Model denied", "Model unpriced", "Loop")
"""Rungs on which coming again is useless."""
OF_MONEY = ("budget", "scope", "limit", "spent", "remaining", "resetsAt", "decision", "reason")
ANSWERED = (
    "Answer",
    "Answer, stream",
    "Warn",
    "Downgrade",
    "Downgrade, stream",
    "Slow",
    "Throttle",
    "Clamp",
    "Clamp, stream",
    "Adaptive",
)
"""Rungs on which every call is answered that may be changed."""
OF_RULES = ("budget", "decision", "reason")
"""What a refusal's object always says: where money ran out, and where a rule says no."""


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_what_happens(tried, name, rung):
    """Attempts as the sidecar counts them, the exception's class and status, or how the answer ends."""
    seen = tried(rung)[name]
    assert said(seen, rung) == PAGE_SAYS[name][rung], seen


@pytest.mark.parametrize("rung", REFUSED_FOR_GOOD)
@pytest.mark.parametrize("name", NAMES)
def test_a_refusal_for_good_is_one_attempt(tried, name, rung):
    """No SDK comes again, sleeps, or reaches the provider."""
    seen = tried(rung)[name]
    assert (seen.refused, seen.forwarded, seen.told["waits"]) == (1, 0, []), seen


@pytest.mark.parametrize("rung", [*REFUSED_FOR_GOOD, "Refuse as 429", "Slow, too long", "Throttle, too long"])
@pytest.mark.parametrize("name", NAMES)
def test_the_budget_is_read_from_the_exception(tried, name, rung):
    """The page's line of the SDK's own language gives the whole object, and its figures are the budget's."""
    seen = tried(rung)[name]
    budget = seen.told["budget"]
    assert isinstance(budget, dict), seen
    assert budget.items() >= seen.expected.items()
    of_rules = rung in ("Suspend", "Model denied", "Model unpriced", "Loop")
    assert set(OF_RULES if of_rules else OF_MONEY) <= budget.keys()
    assert budget["decision"].startswith("d-")


@pytest.mark.parametrize("name", [row.name for row in ROWS if row.provider != "aws"])
def test_a_cheaper_model_is_suggested(tried, name):
    """Where what is left would pay another model of the provider, the refusal names it."""
    assert tried("Refuse")[name].told["budget"]["suggestedModel"]


NAMES_IT_ITSELF = {"Downgrade": (), "Downgrade, stream": ("litellm, openai", "litellm, anthropic", "litellm, gemini")}
"""SDKs that say which model they asked, and not which answered; boto3 and cohere never say."""


@pytest.mark.parametrize("rung", NAMES_IT_ITSELF)
@pytest.mark.parametrize("name", [row.name for row in ROWS if row.provider not in ("aws", "cohere")])
def test_another_model_answers(tried, name, rung):
    """The model that an SDK reads from the answer is not the one that answers where money is plenty."""
    usual, seen = tried(rung.replace("Downgrade", "Answer"))[name], tried(rung)[name]
    assert (seen.told["model"] != usual.told["model"]) is (name not in NAMES_IT_ITSELF[rung])


@pytest.mark.parametrize("rung", ANSWERED)
@pytest.mark.parametrize("name", [row.name for row in ROWS if row.provider != "aws"])
def test_an_answer_is_one_attempt(tried, name, rung):
    """A delay or a lowered cap is nothing that an SDK notices as an error."""
    seen = tried(rung)[name]
    assert (seen.refused, seen.forwarded, "error" in seen.told) == (0, 1, False), seen
