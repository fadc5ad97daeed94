"""The decision before money: which call each policy refuses, in which order, and what Report writes down."""

from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core import reasons
from wfb_core.budget import ALLOW, CLAMP, ENFORCE, PRICE_AS, REFUSE, REPORT, STRICT, Budget, Limit, Unpriced
from wfb_core.call import CallFacts
from wfb_core.decide import CHAIN, NO_TOOLS, REMEMBERED, Policies, decide, priced_as
from wfb_core.price import Rates

BUDGET = Budget("billing", "triage", {"aifinops.dev/workflow": "triage"}, (Limit("Day", 10**10),))
FACTS = CallFacts("openai-chat", "openai", "chat.completions", "gpt-4o", stream=False, cap=100)
RATES = Rates.flat(1000, 2000)
PRICED = Unpriced(PRICE_AS, 5000, 25000)


@pytest.mark.parametrize(
    ("budget", "facts", "rates", "reason"),
    [
        ({}, {}, RATES, None),
        ({"suspend": True}, {}, RATES, reasons.SUSPENDED),
        ({"models_allowed": ("claude-*",)}, {}, RATES, reasons.MODEL_NOT_ALLOWED),
        ({"models_allowed": ("gpt-*",)}, {}, RATES, None),
        ({"models_denied": ("gpt-4o",)}, {}, RATES, reasons.MODEL_NOT_ALLOWED),
        ({}, {}, None, reasons.MODEL_UNPRICED),
        ({"unpriced": Unpriced(ALLOW)}, {}, None, None),
        ({"unpriced": PRICED}, {}, None, None),
        ({}, {"unbounded": ("web_search",)}, RATES, None),
        ({"output_bound": STRICT}, {"unbounded": ("web_search",)}, RATES, reasons.UNBOUNDED),
        ({"output_bound": STRICT}, {}, RATES, None),
        ({"hosted_tools": REFUSE}, {"unbounded": ("web_search",)}, RATES, reasons.HOSTED_TOOL_NOT_ALLOWED),
        ({"hosted_tools": REFUSE}, {"unbounded": ("fallbacks", "prediction")}, RATES, None),
        ({"hosted_tools": REFUSE}, {}, RATES, None),
        ({"suspend": True, "models_denied": ("*",)}, {}, None, reasons.SUSPENDED),
        ({"models_denied": ("gpt-4o",)}, {}, None, reasons.MODEL_NOT_ALLOWED),
        ({"output_bound": STRICT}, {"unbounded": ("web_search",)}, None, reasons.MODEL_UNPRICED),
        ({"refusal_status": 429}, {}, None, reasons.MODEL_UNPRICED),
    ],
)
def test_one_budget_decides(budget, facts, rates, reason):
    """The first policy that minds is the one that is told, with the budget's own status and name."""
    verdict = decide((replace(BUDGET, **budget),), replace(FACTS, **facts), rates)
    assert verdict.reported == ()
    if reason is None:
        assert verdict.refusal is None
    else:
        assert verdict.refusal.reason == reason
        assert verdict.refusal.budget == "billing/triage"
        assert verdict.refusal.status == budget.get("refusal_status", 402)
        assert verdict.refusal.message


@pytest.mark.parametrize("unread", [reasons.UNMETERED, reasons.BODY_NOT_UNDERSTOOD])
@pytest.mark.parametrize(
    ("budget", "passes"),
    [
        ({}, False),
        ({"unpriced": Unpriced(ALLOW)}, True),
        ({"unpriced": PRICED}, False),
        ({"unpriced": Unpriced(ALLOW), "models_allowed": ("gpt-*",)}, True),
        ({"unpriced": Unpriced(ALLOW), "suspend": True}, False),
    ],
)
def test_what_cannot_be_read_is_decided_by_unpriced_models(budget, passes, unread):
    """Only Allow lets it through: what has no tokens cannot be priced as anything."""
    verdict = decide((replace(BUDGET, **budget),), None, None, unread, "The path is not known.")
    assert (verdict.refusal is None) is passes
    if not passes and not budget.get("suspend"):
        assert verdict.refusal.reason == unread
        assert verdict.refusal.message.startswith("The path is not known.")


def test_every_budget_must_agree():
    """The refusing one is named, wherever it stands."""
    other = replace(BUDGET, name="other", models_denied=("gpt-4o",))
    for budgets in ((BUDGET, other), (other, BUDGET)):
        assert decide(budgets, FACTS, RATES).refusal.budget == "billing/other"
    assert decide((), FACTS, None).refusal is None


def test_report_only_writes_down_and_never_hides_a_refusal():
    """A reporting budget's refusal goes into `reported`; an enforcing one's counts, before or after it."""
    reporting = replace(BUDGET, name="watch", enforcement=REPORT, suspend=True)
    enforcing = replace(BUDGET, suspend=True)
    alone = decide((reporting,), FACTS, RATES)
    assert alone.refusal is None
    assert [(r.budget, r.reason) for r in alone.reported] == [("billing/watch", reasons.SUSPENDED)]
    for budgets in ((reporting, enforcing), (enforcing, reporting)):
        both = decide(budgets, FACTS, RATES)
        assert both.refusal.budget == "billing/triage"
        assert [r.budget for r in both.reported] == ["billing/watch"]


def test_messages_name_the_way_out_and_no_content():
    """Each policy's sentence says which field changes its mind."""
    ways = {
        reasons.SUSPENDED: (replace(BUDGET, suspend=True), FACTS, RATES, "set it to false"),
        reasons.MODEL_NOT_ALLOWED: (replace(BUDGET, models_denied=("*",)), FACTS, RATES, "spec.models"),
        reasons.MODEL_UNPRICED: (BUDGET, replace(FACTS, tier="flex"), None, "at service tier 'flex'"),
        reasons.UNBOUNDED: (
            replace(BUDGET, output_bound=STRICT),
            replace(FACTS, unbounded=("web_search",)),
            RATES,
            "web_search can cost more",
        ),
        reasons.HOSTED_TOOL_NOT_ALLOWED: (
            replace(BUDGET, hosted_tools=REFUSE),
            replace(FACTS, unbounded=("prediction", "web_search")),
            RATES,
            "web_search runs at the provider and bills beside tokens",
        ),
        reasons.UNMETERED: (BUDGET, None, None, "spec.unpricedModels.action to Allow"),
    }
    for reason, (budget, facts, rates, words) in ways.items():
        refusal = decide((budget,), facts, rates, reasons.UNMETERED).refusal
        assert refusal.reason == reason
        assert words in refusal.message
    assert len(CHAIN) == len(ways)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ((), None),
        ((Unpriced(ALLOW),), None),
        ((PRICED,), (5000, 25000)),
        ((PRICED, Unpriced(PRICE_AS, 9000, 1000)), (9000, 25000)),
        ((Unpriced(ALLOW), PRICED), (5000, 25000)),
    ],
)
def test_of_several_stated_prices_the_dearest_counts(stated, expected):
    """Class by class; None where no budget states one."""
    rates = priced_as(tuple(replace(BUDGET, unpriced=u) for u in stated))
    assert (rates and (rates.input, rates.output)) == expected


MINDING = (
    replace(BUDGET, models_denied=("*-preview",), output_bound=STRICT),
    replace(BUDGET, name="tools", hosted_tools=REFUSE, unpriced=Unpriced(ALLOW)),
    replace(BUDGET, name="watch", enforcement=REPORT, models_allowed=("claude-*",)),
)
KINDS = [
    {},
    {"model": "gpt-4o-preview"},
    {"model": "claude-haiku-4-5", "provider": "anthropic"},
    {"unbounded": ("web_search",)},
    {"tier": "flex"},
    {"model": "gpt-" + "4" * 9_000},
]


def test_what_is_remembered_is_what_would_be_decided_again():
    """Every kind of call, with a price and without, asked for twice and in turn: as if nothing were remembered."""
    policies = Policies(MINDING)
    for _ in range(2):
        for kind in KINDS:
            for rates in (RATES, None):
                facts = replace(FACTS, **kind)
                assert policies.decide(facts, rates) == decide(MINDING, facts, rates)


def test_only_a_bounded_number_of_short_names_is_remembered():
    """What a request names may be anything, and must not fill the memory."""
    policies = Policies(MINDING)
    usual = policies.decide(FACTS, RATES)
    assert policies.decide(replace(FACTS, cap=7), RATES) is usual
    for kind in KINDS[-1], {"tier": "t" * 9_000}, {"unbounded": ("u" * 9_000,)}:
        facts = replace(FACTS, **kind)
        assert policies.decide(facts, RATES) is not policies.decide(facts, RATES)
    for n in range(REMEMBERED):
        policies.decide(replace(FACTS, model=f"gpt-{n}"), RATES)
    again = policies.decide(FACTS, RATES)
    assert again == usual
    assert again is not usual


def minds(budget, facts, rates):
    """Why a budget refuses a call that could be read, in the order of its rules; None where it does not."""
    tools = [name for name in facts.unbounded if name not in NO_TOOLS]
    fits = [
        any(fnmatchcase(facts.model, p) for p in listed) for listed in (budget.models_denied, budget.models_allowed)
    ]
    rules = (
        (reasons.SUSPENDED, budget.suspend),
        (reasons.MODEL_NOT_ALLOWED, fits[0] or (budget.models_allowed and not fits[1])),
        (reasons.HOSTED_TOOL_NOT_ALLOWED, budget.hosted_tools == REFUSE and tools),
        (reasons.MODEL_UNPRICED, budget.unpriced.action == REFUSE and rates is None),
        (reasons.UNBOUNDED, budget.output_bound == STRICT and facts.unbounded),
    )
    return next((reason for reason, applies in rules if applies), None)


MODELS = ("gpt-4o", "GPT-4o", "gpt-4o-mini", "claude-haiku-4-5", "gpt-" + "4" * 300)
LISTS = st.lists(st.sampled_from(["gpt-*", "gpt-4o", "*-mini", "claude-*", "*4*"]), max_size=2).map(tuple)
BUDGETS = st.lists(
    st.builds(
        replace,
        st.just(BUDGET),
        name=st.sampled_from(["one", "two", "three"]),
        suspend=st.sampled_from([False, False, False, True]),
        enforcement=st.sampled_from([ENFORCE, REPORT]),
        models_allowed=LISTS,
        models_denied=LISTS,
        hosted_tools=st.sampled_from([ALLOW, REFUSE]),
        unpriced=st.sampled_from([Unpriced(), Unpriced(ALLOW), PRICED]),
        output_bound=st.sampled_from([CLAMP, STRICT]),
        refusal_status=st.sampled_from([402, 429]),
    ),
    max_size=4,
).map(tuple)
CALLS = st.lists(
    st.tuples(
        st.builds(
            replace,
            st.just(FACTS),
            provider=st.sampled_from(["openai", "azure"]),
            model=st.sampled_from(MODELS),
            tier=st.sampled_from([None, "flex", "t" * 300]),
            unbounded=st.sampled_from([(), ("web_search",), ("prediction",), ("fallbacks", "web_search")]),
            signed=st.booleans(),
            cap=st.sampled_from([None, 100]),
        ),
        st.sampled_from([None, RATES]),
    ),
    min_size=1,
    max_size=20,
)


@given(BUDGETS, CALLS)
def test_any_budgets_decide_any_calls_by_their_rules(budgets, calls):
    """Call after call, remembered or not: the first budget in force that minds refuses, those that report are told of, each in its words."""
    policies = Policies(budgets)
    for facts, rates in calls:
        minded = [(b, reason) for b in budgets if (reason := minds(b, facts, rates))]
        told = [(r.reason, r.budget, r.status) for r in policies.decide(facts, rates).reported]
        refusal = policies.decide(facts, rates).refusal
        assert told == [(why, b.key, b.refusal_status) for b, why in minded if b.enforcement == REPORT]
        refusing = [(why, b.key, b.refusal_status) for b, why in minded if b.enforcement == ENFORCE]
        assert (refusal and (refusal.reason, refusal.budget, refusal.status)) == next(iter(refusing), None)
        if refusal is not None and refusal.reason in (reasons.MODEL_NOT_ALLOWED, reasons.MODEL_UNPRICED):
            assert repr(facts.model) in refusal.message
        assert policies.decide(facts, rates) == decide(budgets, facts, rates)
