"""Downgrade: which rung wants which model, and everything that stands against it."""

from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.budget import DOWNGRADE, ENFORCE, REPORT, WARN, Budget, Limit, Rung
from wfb_core.call import CallFacts
from wfb_core.downgrade import Ask, Steps, Wanted, obstacle, per_million
from wfb_core.price import ModelPrice, Rates
from wfb_core.standing import Standing

USD = 10**9


def budget(name="triage", *rungs, **fields):
    """A budget with a ladder."""
    return Budget("billing", name, {}, (Limit("Day", 100 * USD),), ladder=rungs, **fields)


def down(percent, *pairs, mid=False):
    """A step that downgrades."""
    return Rung(percent, DOWNGRADE, pairs, mid_conversation=mid)


def stands(of, dollars, window="Day"):
    """A window of a budget with so much of 100 dollars spent."""
    return Standing(of, Limit(window, 100 * USD), dollars * USD)


def wants(standings, model):
    """What the rungs want where windows stand so."""
    steps = Steps((s.budget, s.limit) for s in standings)
    return steps.wants(model, lambda place: standings[place].spent)


OPUS = ("claude-opus-*", "claude-sonnet-5")
FIRST = budget("first", Rung(50, WARN), down(70, OPUS), down(90, ("claude-opus-*", "claude-haiku-4-5")))
SECOND = budget("second", down(80, ("claude-*", "claude-haiku-5-5"), ("claude-opus-5", "never")))
REPORTING = replace(SECOND, name="reporting", enforcement=REPORT)

WANTS = [
    # standings, model, models wanted, the strictest first
    ([stands(FIRST, 60)], "claude-opus-5", []),
    ([stands(FIRST, 70)], "claude-opus-5", ["claude-sonnet-5"]),
    ([stands(FIRST, 70)], "gpt-4o", []),
    ([stands(FIRST, 95)], "claude-opus-5", ["claude-haiku-4-5", "claude-sonnet-5"]),
    ([stands(FIRST, 101)], "claude-opus-5", ["claude-haiku-4-5", "claude-sonnet-5"]),
    ([stands(FIRST, 70), stands(SECOND, 80)], "claude-opus-5", ["claude-haiku-5-5", "claude-sonnet-5"]),
    (
        [stands(FIRST, 95), stands(SECOND, 95)],
        "claude-opus-5",
        ["claude-haiku-4-5", "claude-haiku-5-5", "claude-sonnet-5"],
    ),
    ([stands(SECOND, 95)], "claude-haiku-5-5", []),
    ([stands(REPORTING, 95), stands(FIRST, 70)], "claude-opus-5", ["claude-sonnet-5", "claude-haiku-5-5"]),
]


@pytest.mark.parametrize(("standings", "model", "expected"), WANTS)
def test_the_strictest_rung_of_all_budgets_is_wanted_most(standings, model, expected):
    """Rungs reached stay reached, the first pattern that fits counts, and reporting budgets come last."""
    assert [w.model for w in wants(standings, model)] == expected


def test_a_rung_names_a_model_itself_or_by_a_pattern():
    """What replaces a deployment must be meant: only its own name says so."""
    named = budget("x", down(10, ("my-gpt", "small"), ("my-*", "smaller")))
    assert [w.literal for w in wants([stands(named, 50)], "my-gpt")] == [True]
    assert [w.literal for w in wants([stands(named, 50)], "my-own")] == [False]


ALIKE = [budget(name, down(70, OPUS), down(90, OPUS)) for name in ("one", "two")]
UNLIKE = [budget("named", down(90, ("claude-opus-5", "claude-sonnet-5"))), budget("mid", down(80, OPUS, mid=True))]


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        ((95, 95, 95, 95), [("one", 90), ("named", 90), ("mid", 80)]),
        ((75, 95, 0, 85), [("two", 90), ("mid", 80)]),
        ((75, None, 95, None), [("named", 90), ("one", 70)]),
        ((None, None, None, None), []),
    ],
)
def test_what_rungs_want_alike_is_wanted_once(spent, expected):
    """By the strictest of those reached; a limit of which nothing was heard wants nothing."""
    steps = Steps((of, of.limits[0]) for of in (*ALIKE, *UNLIKE))
    for _ in range(2):
        found = steps.wants("claude-opus-5", lambda place: None if spent[place] is None else spent[place] * USD)
        assert [(w.budget.name, w.rung.at_percent) for w in found] == expected


def test_only_limits_that_may_decide_are_looked_up():
    """A model that no rung means asks for none, and the strictest step that is taken ends the search."""
    asked = []
    steps = Steps((of, of.limits[0]) for of in (*ALIKE, *UNLIKE))
    assert list(steps.wants("gpt-4o", asked.append)) == asked == []
    next(steps.wants("claude-opus-5", lambda place: asked.append(place) or 99 * USD))
    assert asked == [0]


PAIRS = st.lists(
    st.tuples(
        st.sampled_from(["claude-*", "claude-opus-*", "claude-opus-5", "gpt-*", "*"]),
        st.sampled_from(["claude-sonnet-5", "claude-haiku-4-5", "claude-opus-5"]),
    ),
    min_size=1,
    max_size=3,
)
RUNGS = st.lists(
    st.one_of(
        st.builds(Rung, st.integers(1, 99), st.just(WARN)),
        st.builds(lambda at, pairs, mid: down(at, *pairs, mid=mid), st.integers(1, 99), PAIRS, st.booleans()),
    ),
    max_size=3,
)
LADDERS = st.lists(st.tuples(RUNGS, st.sampled_from([ENFORCE, REPORT])), max_size=4)
SPENT = st.lists(st.one_of(st.none(), st.integers(0, 120)), min_size=4, max_size=4)
NAMES = st.sampled_from(["claude-opus-5", "claude-haiku-4-5", "gpt-4o", "claude-" + "5" * 300])


@given(LADDERS, st.lists(st.tuples(SPENT, NAMES), min_size=1, max_size=8))
def test_any_ladders_want_what_their_rungs_say(ladders, moments):
    """Whatever was asked before: of the rungs reached the first pattern counts, the strictest first, reports last, each wish once."""
    budgets = [budget(f"b{n}", *rungs, enforcement=how) for n, (rungs, how) in enumerate(ladders)]
    steps = Steps((of, of.limits[0]) for of in budgets)
    for spent, model in moments:
        reached = [
            (of, rung)
            for of, percent in zip(budgets, spent, strict=False)
            for rung in of.ladder
            if rung.action == DOWNGRADE and percent is not None and percent >= rung.at_percent
        ]
        expected = {}
        for of, rung in sorted(reached, key=lambda one: (one[0].enforcement == REPORT, -one[1].at_percent)):
            pattern, other = next((p for p in rung.models if fnmatchcase(model, p[0])), ("", model))
            if other != model:
                expected.setdefault((other, pattern == model, rung.mid_conversation), (of.name, rung.at_percent))
        found = list(steps.wants(model, lambda place, at=spent: None if at[place] is None else at[place] * USD))
        told = [(w.model, w.literal, w.rung.mid_conversation, w.budget.name, w.rung.at_percent) for w in found]
        assert told == [(*wish, *whose) for wish, whose in expected.items()]


DEAR = ModelPrice(
    "anthropic", "claude-opus-5", "v", ((-1, Rates.flat(5_000, 25_000)),), context=1_000_000, image_tokens=1600
)
CHEAP = ModelPrice(
    "anthropic",
    "claude-haiku-4-5",
    "v",
    ((-1, Rates.flat(1_000, 5_000)),),
    max_output=64_000,
    context=200_000,
    image_tokens=1600,
)
FACTS = CallFacts("anthropic-messages", "anthropic", "messages", "claude-opus-5", stream=False, cap=100, input_bytes=50)
STEP = down(70, ("claude-opus-*", "claude-haiku-4-5"))
BUDGET = budget("triage", STEP)
HISTORY = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
THOUGHTS = [{"role": "user"}, {"role": "assistant", "content": [{"type": "thinking"}]}, {"role": "user"}]
NEW = {"messages": [{"role": "user", "content": "a"}]}


def ask(facts=FACTS, document=NEW, target=CHEAP, step=STEP, literal=False, price=DEAR, **denying):
    """A call and the model wanted for it."""
    of = replace(BUDGET, ladder=(step,), **denying)
    wanted = Wanted(of, of.limits[0], step, "claude-haiku-4-5", literal)
    return Ask(wanted, facts, document, price, target, (of,))


MID = down(70, ("claude-opus-*", "claude-haiku-4-5"), mid=True)
OBSTACLES = [
    (ask(), None),
    (ask(replace(FACTS, signed=True)), "a signature covers the request"),
    (ask(replace(FACTS, dialect="grpc-vertex")), "stay with their model"),
    (ask(replace(FACTS, dialect="openai-embeddings", operation="embeddings")), "stay with their model"),
    (ask(replace(FACTS, dialect="anthropic-batches", operation="messages.batches")), "stay with their model"),
    (ask(replace(FACTS, dialect="openai-responses", operation="responses.compact")), "stay with their model"),
    (ask(replace(FACTS, dialect="gemini-generate", operation="predict")), "stay with their model"),
    (ask(replace(FACTS, deployment=True)), "a deployment's name"),
    (ask(replace(FACTS, deployment=True), literal=True), None),
    (ask(document={"messages": HISTORY}), "midConversation is false"),
    (ask(document={"messages": HISTORY}, step=MID), None),
    (ask(document={"messages": THOUGHTS}, step=MID), "the thoughts of the model before"),
    (ask(replace(FACTS, hidden_input=("previous_response_id",))), "midConversation is false"),
    (ask(replace(FACTS, hidden_input=("previous_response_id",)), step=MID), "may not fit"),
    (ask(replace(FACTS, hidden_input=("previous_response_id",)), step=MID, target=DEAR), None),
    (ask(replace(FACTS, unbounded=("web_search",))), "web_search may not be had of another model"),
    (ask(replace(FACTS, hidden_input=("cachedContent",))), "one model's own"),
    (ask(target=None), "anthropic has no model 'claude-haiku-4-5' with a known price"),
    (ask(replace(FACTS, tier="priority")), "has no price at service tier 'priority'"),
    (ask(models_denied=("*haiku*",)), "billing/triage does not allow 'claude-haiku-4-5'"),
    (ask(models_allowed=("claude-opus-*",)), "does not allow"),
    (ask(models_denied=("*haiku*",), enforcement=REPORT), None),
    (ask(replace(FACTS, media=(("image", 9),))), None),
    (
        ask(replace(FACTS, media=(("image", 9),)), target=replace(CHEAP, image_tokens=None)),
        "is not known to read images",
    ),
    (ask(replace(FACTS, input_bytes=500_000)), "may not fit into the 200000 tokens"),
    (ask(replace(FACTS, input_bytes=500_000), target=replace(CHEAP, context=1_000_000)), None),
    (
        ask(replace(FACTS, dialect="bedrock-converse", operation="converse", model="us.amazon.nova-pro-v1:0")),
        "another maker's",
    ),
]


@pytest.mark.parametrize(("asked", "text"), OBSTACLES)
def test_what_stands_against_a_downgrade(asked, text):
    """Each obstacle is told in words; where there is none the call may change its model."""
    found = obstacle(asked)
    assert found is None if text is None else text in (found or "")


@pytest.mark.parametrize(
    ("model", "target", "same"),
    [
        ("us.anthropic.claude-opus-4-1-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0", True),
        ("amazon.nova-pro-v1:0", "us.amazon.nova-lite-v1:0", True),
        ("meta.llama3-1-70b-instruct-v1:0", "amazon.nova-lite-v1:0", False),
        ("arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-opus-4-1-v1:0", "anthropic.x", True),
    ],
)
def test_on_bedrock_the_maker_stays(model, target, same):
    """Bodies there have each maker's own form."""
    facts = replace(FACTS, dialect="bedrock-converse", operation="converse", model=model)
    wanted = Wanted(BUDGET, BUDGET.limits[0], STEP, target, literal=False)
    assert (obstacle(Ask(wanted, facts, NEW, DEAR, CHEAP, (BUDGET,))) is None) is same


def test_rates_are_told_per_million():
    """In dollars, as price lists have them."""
    price = ModelPrice("p", "m", "v", ((-1, Rates.flat(2_500_000_000, 10_000_000_000)),))
    assert per_million(price) == "$2.50 in and $10.00 out per million tokens"
