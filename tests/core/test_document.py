"""Documents: what a WorkflowBudget says, and how its mistakes are told."""

import copy
import json
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.budget import DOWNGRADE, SLOW, WARN, Budget, LabelRule, Limit, Loops, Notify, Rung, Selector, Unpriced
from wfb_core.document import BudgetErrors, FieldError, parse_budget
from wfb_core.fields import dotted
from wfb_core.selectors import label_key, label_value, model_allowed

USD = 10**9
MINIMAL = {
    "apiVersion": "aifinops.dev/v1alpha1",
    "kind": "WorkflowBudget",
    "metadata": {"name": "invoice-triage", "namespace": "billing"},
    "spec": {
        "selector": {"matchLabels": {"aifinops.dev/workflow": "invoice-triage"}},
        "limits": [{"window": "Day", "usd": "200.00"}],
    },
}
GONE = object()


def document(**changes):
    """The minimal document with fields of its spec changed; GONE removes one."""
    changed = copy.deepcopy(MINIMAL)
    for name, value in changes.items():
        changed["spec"].pop(name, None)
        if value is not GONE:
            changed["spec"][name] = value
    return changed


def mistakes(doc):
    """The mistakes of a document: place to message."""
    with pytest.raises(BudgetErrors) as caught:
        parse_budget(doc)
    found = {dotted(error.path): error.message for error in caught.value.errors}
    assert len(found) == len(caught.value.errors), "a mistake is told once"
    return found


def test_a_minimal_document_takes_the_defaults():
    """What a document leaves out is as the schema's defaults state."""
    assert parse_budget(MINIMAL) == Budget(
        namespace="billing",
        name="invoice-triage",
        match_labels={"aifinops.dev/workflow": "invoice-triage"},
        limits=(Limit("Day", 200 * USD, None, None),),
        time_zone="UTC",
        ladder=(),
        on_exhausted="Refuse",
        trickle=0,
        enforcement="Enforce",
        failure_policy="Fail",
        output_bound="Clamp",
        unpriced=Unpriced("Refuse", 0, 0),
        models_allowed=(),
        models_denied=(),
        hosted_tools="Allow",
        wait_seconds=30.0,
        max_delay_seconds=20.0,
        on_disconnect="Auto",
        refusal_status=402,
        suspend=False,
        match_rules=(),
        namespace_selector=Selector(),
    )


FULL = document(
    selector={
        "matchLabels": {"aifinops.dev/workflow": "invoice-triage"},
        "matchExpressions": [{"key": "team", "operator": "In", "values": ["billing", "ops"]}],
    },
    timeZone="Europe/Berlin",
    limits=[
        {"window": "Day", "usd": "200.00"},
        {"window": "Run", "usd": "5.00", "maxAge": "24h", "ladder": []},
        {"window": "Total", "usd": "1000", "ladder": [{"atPercent": 50, "action": "Slow", "usdPerHour": "2"}]},
    ],
    ladder=[
        {"atPercent": 70, "action": "Warn"},
        {"atPercent": 85, "action": "Slow"},
        {
            "atPercent": 95,
            "action": "Downgrade",
            "models": [{"from": "claude-opus-*", "to": "claude-haiku-4-5"}],
            "midConversation": True,
        },
    ],
    onExhausted={"action": "Throttle", "usdPerHour": "1.00"},
    enforcement="Report",
    failurePolicy="Ignore",
    outputBound="Adaptive",
    unpricedModels={"action": "PriceAs", "usdPerMillionInput": "5", "usdPerMillionOutput": "25"},
    models={"allowed": ["gpt-*", "claude-*"], "denied": [], "hostedTools": "Refuse"},
    loops={"action": "Refuse", "costMultiple": 4},
    waitSeconds=12,
    maxDelaySeconds=0.5,
    onDisconnect="Close",
    refusalStatus=429,
    suspend=True,
)


def test_a_full_document():
    """Every field that a budget has reaches it."""
    ladder = (
        Rung(70, WARN),
        Rung(85, SLOW),
        Rung(95, DOWNGRADE, (("claude-opus-*", "claude-haiku-4-5"),), mid_conversation=True),
    )
    expected = Budget(
        namespace="billing",
        name="invoice-triage",
        match_labels={"aifinops.dev/workflow": "invoice-triage"},
        limits=(
            Limit("Day", 200 * USD),
            Limit("Run", 5 * USD, (), 86400.0),
            Limit("Total", 1000 * USD, (Rung(50, SLOW, (), 2 * USD),)),
        ),
        time_zone="Europe/Berlin",
        ladder=ladder,
        on_exhausted="Throttle",
        trickle=USD,
        enforcement="Report",
        failure_policy="Ignore",
        output_bound="Adaptive",
        unpriced=Unpriced("PriceAs", 5 * USD, 25 * USD),
        loops=Loops("Refuse", 4.0),
        models_allowed=("gpt-*", "claude-*"),
        models_denied=(),
        hosted_tools="Refuse",
        wait_seconds=12.0,
        max_delay_seconds=0.5,
        on_disconnect="Close",
        refusal_status=429,
        suspend=True,
        match_rules=(LabelRule("aifinops.dev/team", "In", ("billing", "ops")),),
    )
    budget = parse_budget(FULL)
    assert budget == expected
    untouched = [f.name for f in fields(Budget) if getattr(budget, f.name) == getattr(parse_budget(MINIMAL), f.name)]
    assert untouched == ["namespace", "name", "match_labels", "models_denied", "namespace_selector"]
    assert budget.ladder_of(budget.limits[0]) == ladder
    assert budget.ladder_of(budget.limits[1]) == ()


def test_json_makes_no_difference():
    """A document means the same after its way between processes."""
    assert parse_budget(json.loads(json.dumps(FULL))) == parse_budget(FULL)


def test_a_cluster_budget():
    """A ClusterWorkflowBudget has no namespace, and its selector may be empty or left out: it is for all."""
    for spec in (document(selector=GONE), document(selector={}), document(selector={"matchLabels": {}})):
        doc = spec | {"kind": "ClusterWorkflowBudget", "metadata": {"name": "all"}}
        budget = parse_budget(doc)
        assert (budget.key, budget.match_labels) == ("/all", {})
        assert budget.matches({"any": "pod"})
    inside = document() | {"kind": "ClusterWorkflowBudget"}
    assert mistakes(inside) == {
        "metadata.namespace": "a ClusterWorkflowBudget has no namespace: remove it, or make it a WorkflowBudget"
    }


def cluster_document(**changes):
    """The minimal document made a cluster's, with fields of its spec changed."""
    return document(**{"selector": GONE} | changes) | {"kind": "ClusterWorkflowBudget", "metadata": {"name": "all"}}


def test_a_cluster_budget_selects_namespaces():
    """Both selectors of a cluster's budget must fit; a namespace's keys stand for themselves, even those of ours."""
    selector = {"matchLabels": {"team": "billing"}, "matchExpressions": [{"key": "workflow", "operator": "Exists"}]}
    budget = parse_budget(cluster_document(namespaceSelector=selector, selector=selector))
    assert budget.namespace_selector == Selector({"team": "billing"}, (LabelRule("workflow", "Exists"),))
    assert budget.selector == Selector(
        {"aifinops.dev/team": "billing"}, (LabelRule("aifinops.dev/workflow", "Exists"),)
    )
    pod, space = {"aifinops.dev/team": "billing", "aifinops.dev/workflow": "x"}, {"team": "billing", "workflow": ""}
    assert budget.matches(pod, space)
    assert not budget.matches(pod, {"team": "billing"})
    assert not budget.matches(pod, {})
    assert not budget.matches({}, space)


def test_outside_kubernetes_there_are_no_namespaces_to_select():
    """Without a namespace its labels are not asked for; with one that has no labels they are."""
    budget = parse_budget(cluster_document(namespaceSelector={"matchLabels": {"env": "prod"}}))
    assert budget.matches({})
    assert not budget.matches({}, {})
    everywhere = parse_budget(cluster_document(namespaceSelector={}))
    assert everywhere.matches({}, {})


RULES = [  # operator, values, labels, whether the rule holds
    ("In", ["x", "y"], {"a": "x"}, True),
    ("In", ["x"], {"a": "z"}, False),
    ("In", ["x"], {}, False),
    ("In", [""], {}, False),
    ("NotIn", ["x"], {"a": "x"}, False),
    ("NotIn", ["x"], {"a": "z"}, True),
    ("NotIn", ["x"], {}, True),
    ("Exists", [], {"a": ""}, True),
    ("Exists", [], {"b": "x"}, False),
    ("DoesNotExist", [], {"a": ""}, False),
    ("DoesNotExist", [], {"b": "x"}, True),
]


@pytest.mark.parametrize(("operator", "values", "labels", "holds"), RULES)
def test_expressions(operator, values, labels, holds):
    """The four operators hold as they do for Kubernetes, alone and beside labels."""
    rule = {"key": "a", "operator": operator} | ({"values": values} if values else {})
    assert parse_budget(document(selector={"matchExpressions": [rule]})).matches(labels) is holds
    both = parse_budget(document(selector={"matchExpressions": [rule], "matchLabels": {"c": "d"}}))
    assert both.matches(labels | {"c": "d"}) is holds
    assert not both.matches(labels)


RULE = {"key": "a", "operator": "In", "values": ["x"]}
WRONG_RULES = [  # change of the rule, place below the rule, part of the message
    ({"key": GONE}, ".key", "is missing: name the label"),
    ({"key": "a b"}, ".key", "'a b' is not a label's key"),
    ({"key": 7}, ".key", "7 is not text"),
    ({"operator": GONE}, ".operator", "choose one of In, NotIn, Exists, DoesNotExist"),
    ({"operator": "in"}, ".operator", "did you mean In?"),
    ({"values": GONE}, ".values", "is missing: In compares with values"),
    ({"values": []}, ".values", "is missing: In compares with values"),
    ({"values": None}, ".values", "is empty: give it a value"),
    ({"values": "x"}, ".values", "is not a list"),
    ({"values": ["x", "-"]}, ".values[1]", "'-' is not a label's value"),
    ({"values": ["x"] * 65}, ".values", "give at most 64"),
    ({"operator": "Exists"}, ".values", "belongs to In and NotIn"),
    ({"operator": "NotIn", "values": []}, ".values", "NotIn compares with values"),
    ({"value": "x"}, ".value", "did you mean values?"),
]


@pytest.mark.parametrize("where", ["selector", "namespaceSelector"])
@pytest.mark.parametrize(("change", "place", "message"), WRONG_RULES)
def test_mistakes_of_an_expression(where, change, place, message):
    """One mistake in an expression is one error at its place, in either selector."""
    rule = {k: v for k, v in (RULE | change).items() if v is not GONE}
    found = mistakes(cluster_document(**{where: {"matchExpressions": [rule]}}))
    assert list(found) == [f"spec.{where}.matchExpressions[0]{place}"]
    assert message in next(iter(found.values()))


def test_what_the_api_server_adds_is_nobodys_mistake():
    """A document read back from a cluster, with its status and bookkeeping, is the same budget."""
    doc = document()
    doc["metadata"] |= {"uid": "x", "resourceVersion": "7", "generation": 2, "labels": {}, "managedFields": [{}]}
    doc["status"] = {"stage": "Open"}
    assert parse_budget(doc) == parse_budget(MINIMAL)


def test_a_namespace_left_out_is_default():
    """Without a namespace a budget is in ``default``, where kubectl would put it."""
    assert parse_budget(MINIMAL | {"metadata": {"name": "a"}}).key == "default/a"


def test_short_labels():
    """The four labels by which pods say who they are may be written short; others stand for themselves."""
    doc = document(selector={"matchLabels": {"workflow": "a", "team": "b", "app": "c", "example.org/x_y": ""}})
    assert parse_budget(doc).match_labels == {
        "aifinops.dev/workflow": "a",
        "aifinops.dev/team": "b",
        "app": "c",
        "example.org/x_y": "",
    }


WHOLE = [  # a change of the whole document, place, part of the message
    ({"apiVersion": "aifinops.dev/v1"}, "apiVersion", "did you mean aifinops.dev/v1alpha1?"),
    ({"apiVersion": GONE}, "apiVersion", "is missing: write apiVersion: aifinops.dev/v1alpha1"),
    ({"kind": "WorkflowBudgets"}, "kind", "did you mean WorkflowBudget?"),
    ({"kind": "Deployment"}, "kind", "choose WorkflowBudget or ClusterWorkflowBudget"),
    ({"kind": ["WorkflowBudget"]}, "kind", "is not known here"),
    ({"metadata": GONE}, "metadata", "is missing"),
    ({"metadata": "a"}, "metadata", "'a' is not a mapping"),
    ({"metadata": {}}, "metadata.name", "is missing: give the budget a name"),
    ({"metadata": {"name": "Invoice Triage"}}, "metadata.name", "small letters"),
    ({"metadata": {"name": "a" * 254}}, "metadata.name", "at most 253"),
    ({"metadata": {"name": "a..b"}}, "metadata.name", "not an object's name"),
    ({"metadata": {"name": 7}}, "metadata.name", "7 is not an object's name"),
    ({"metadata": {"name": "a|b"}}, "metadata.name", "not an object's name"),
    ({"metadata": {"name": "a", "namespace": "b.c"}}, "metadata.namespace", "not a namespace's name"),
    ({"metadata": {"name": "a", "namespace": "b" * 64}}, "metadata.namespace", "at most 63"),
    ({"metadata": {"name": "a", "namspace": "b"}}, "metadata.namspace", "did you mean namespace?"),
    ({"spec": GONE}, "spec", "is missing"),
    ({"spec": None}, "spec", "is empty"),
    ({"spec": []}, "spec", "[] is not a mapping"),
    ({"sepc": {}}, "sepc", "did you mean spec?"),
]


@pytest.mark.parametrize(("change", "place", "message"), WHOLE)
def test_mistakes_of_the_whole(change, place, message):
    """One mistake in the frame of a document is one error at its place, with the way out."""
    doc = {k: v for k, v in (copy.deepcopy(MINIMAL) | change).items() if v is not GONE}
    found = mistakes(doc)
    assert list(found) == [place]
    assert message in found[place]


DAY = {"window": "Day", "usd": "1"}
SPEC = [  # fields of the spec, place below spec, part of the message
    ({"selector": GONE}, "selector", "is missing: say whose money this is"),
    ({"selector": {}}, "selector", "is empty, and a WorkflowBudget is never for everything"),
    ({"selector": {"matchLabels": {}}}, "selector", "is empty, and a WorkflowBudget is never for everything"),
    ({"selector": {"matchLabels": None}}, "selector.matchLabels", "is empty: give it a value"),
    ({"selector": "a"}, "selector", "is not a mapping"),
    ({"selector": {"matchLabel": {"a": "b"}}}, "selector.matchLabel", "did you mean matchLabels?"),
    ({"selector": {"matchLabels": {"a": True}}}, "selector.matchLabels.a", "true is not text"),
    ({"selector": {"matchLabels": {"a": 7}}}, "selector.matchLabels.a", "7 is not text"),
    ({"selector": {"matchLabels": {"a": "-x"}}}, "selector.matchLabels.a", "'-x' is not a label's value"),
    ({"selector": {"matchLabels": {"a": "x" * 64}}}, "selector.matchLabels.a", "at most 63"),
    ({"selector": {"matchLabels": {"a b": "x"}}}, 'selector.matchLabels["a b"]', "'a b' is not a label's key"),
    ({"selector": {"matchLabels": {"/a": "x"}}}, 'selector.matchLabels["/a"]', "is not a label's key"),
    ({"selector": {"matchLabels": {"A_/a": "x"}}}, 'selector.matchLabels["A_/a"]', "is not a label's key"),
    (
        {"selector": {"matchLabels": {"aifinops.dev/team": "x", "team": "x"}}},
        "selector.matchLabels.team",
        "is a second value for aifinops.dev/team",
    ),
    ({"selector": {"matchLabels": {f"l{i}": "x" for i in range(17)}}}, "selector.matchLabels", "at most 16"),
    ({"namespaceSelector": {}}, "namespaceSelector", "belongs to a ClusterWorkflowBudget"),
    ({"timezone": "UTC"}, "timezone", "did you mean timeZone?"),
    ({"timeZone": "Europe/Berln"}, "timeZone", "did you mean Europe/Berlin?"),
    ({"timeZone": "berlin"}, "timeZone", "is not an IANA time zone"),
    ({"timeZone": "localtime"}, "timeZone", "is not an IANA time zone"),
    ({"timeZone": "+01:00"}, "timeZone", "such as Europe/Berlin, or UTC"),
    ({"timeZone": 1}, "timeZone", "1 is not text"),
    ({"timeZone": "\ud800"}, "timeZone", "do not print"),
    ({"limits": GONE}, "limits", "is missing: state at least one limit"),
    ({"limits": []}, "limits", "is empty: state at least one limit"),
    ({"limits": {"window": "Day"}}, "limits", "is not a list"),
    ({"limits": [7]}, "limits[0]", "7 is not a mapping"),
    ({"limits": [{"usd": "1"}]}, "limits[0].window", "choose one of Hour, Day, Week"),
    ({"limits": [{"window": "Day"}]}, "limits[0].usd", "is missing"),
    ({"limits": [{"window": "day", "usd": "1"}]}, "limits[0].window", "did you mean Day?"),
    ({"limits": [{"window": "Fortnight", "usd": "1"}]}, "limits[0].window", "Quarter, Year, Run or Total"),
    ({"limits": [{"window": "Day", "usd": 200.0}]}, "limits[0].usd", "200.0 is a number: write money as a quoted"),
    ({"limits": [{"window": "Day", "usd": "-5"}]}, "limits[0].usd", "without sign"),
    ({"limits": [DAY, {"window": "Week", "usd": "2"}, DAY]}, "limits[2].window", "is a second limit for Day"),
    ({"limits": [DAY | {"maxAge": "24h"}]}, "limits[0].maxAge", "belongs to a limit for Run"),
    ({"limits": [DAY | {"window": "Run", "maxAge": 24}]}, "limits[0].maxAge", "such as 24h, 30m or 90s"),
    ({"limits": [DAY | {"window": "Run", "maxAge": "1d"}]}, "limits[0].maxAge", "'1d' is not a duration"),
    ({"limits": [DAY | {"window": "Run", "maxAge": ""}]}, "limits[0].maxAge", "'' is not a duration"),
    ({"limits": [DAY | {"window": "Run", "maxAge": "0s"}]}, "limits[0].maxAge", "no time at all"),
    ({"limits": [DAY | {"amount": "2"}]}, "limits[0].amount", "known here: window, usd, maxAge, ladder"),
    ({"ladder": "Warn"}, "ladder", "is not a list"),
    ({"ladder": None}, "ladder", "is empty: give it a value or remove it"),
    ({"ladder": ["Warn"]}, "ladder[0]", "'Warn' is not a mapping"),
    ({"ladder": [{"action": "Warn"}]}, "ladder[0].atPercent", "is missing"),
    ({"ladder": [{"atPercent": 0, "action": "Warn"}]}, "ladder[0].atPercent", "0 is out of range"),
    ({"ladder": [{"atPercent": 101, "action": "Warn"}]}, "ladder[0].atPercent", "from 1 to 99"),
    ({"ladder": [{"atPercent": 100, "action": "Warn"}]}, "ladder[0].atPercent", "from 1 to 99"),
    ({"ladder": [{"atPercent": 70.5, "action": "Warn"}]}, "ladder[0].atPercent", "70.5 is not a whole number"),
    ({"ladder": [{"atPercent": "70", "action": "Warn"}]}, "ladder[0].atPercent", "'70' is not a whole number"),
    ({"ladder": [{"atPercent": True, "action": "Warn"}]}, "ladder[0].atPercent", "true is not a whole number"),
    ({"ladder": [{"atPercent": 70}]}, "ladder[0].action", "is missing: choose Warn, Slow or Downgrade"),
    ({"ladder": [{"atPercent": 70, "action": "Refuse"}]}, "ladder[0].action", "Warn, Slow or Downgrade"),
    ({"ladder": [{"atPercent": p, "action": "Warn"} for p in (70, 70)]}, "ladder[1].atPercent", "70 is given twice"),
    ({"ladder": [{"atPercent": p, "action": "Warn"} for p in (70, 60)]}, "ladder[1].atPercent", "60 comes after 70"),
    (
        {"ladder": [{"atPercent": 70, "action": "Warn", "models": []}]},
        "ladder[0].models",
        "belongs to the action Downgrade",
    ),
    (
        {"ladder": [{"atPercent": 70, "action": "Warn", "usdPerHour": "1"}]},
        "ladder[0].usdPerHour",
        "belongs to the action Slow",
    ),
    ({"ladder": [{"atPercent": i, "action": "Warn"} for i in range(1, 18)]}, "ladder", "has 17 items: give at most 16"),
    ({"onExhausted": "Refuse"}, "onExhausted", "is not a mapping: give spec.onExhausted fields of its own"),
    ({"onExhausted": {}}, "onExhausted.action", "is missing: choose Refuse, Throttle or Allow"),
    ({"onExhausted": {"action": "Alow"}}, "onExhausted.action", "did you mean Allow?"),
    ({"onExhausted": {"action": "Allow", "usdPerHour": "1"}}, "onExhausted.usdPerHour", "belongs to the action Throttle"),
    ({"enforcement": "Enforced"}, "enforcement", "did you mean Enforce?"),
    ({"failurePolicy": "Open"}, "failurePolicy", "choose Fail or Ignore"),
    ({"outputBound": "Loose"}, "outputBound", "Clamp, Strict or Adaptive"),
    ({"unpricedModels": {"action": "PriceAs", "usdPerMillionInput": "5"}}, "unpricedModels.usdPerMillionOutput", "missing"),
    (
        {"unpricedModels": {"action": "PriceAs", "usdPerMillionInput": "0", "usdPerMillionOutput": "1"}},
        "unpricedModels.usdPerMillionInput",
        "'0' is nothing",
    ),
    (
        {"unpricedModels": {"action": "Allow", "usdPerMillionInput": "5"}},
        "unpricedModels.usdPerMillionInput",
        "belongs to the action PriceAs",
    ),
    ({"models": ["gpt-*"]}, "models", "is not a mapping"),
    ({"models": {"allowed": []}}, "models.allowed", "is empty, which would allow no model"),
    ({"models": {"allowed": "gpt-*"}}, "models.allowed", "is not a list"),
    ({"models": {"allowed": [5]}}, "models.allowed[0]", "5 is not text"),
    ({"models": {"denied": [""]}}, "models.denied[0]", "has 0 characters"),
    ({"models": {"denied": ["m" * 257]}}, "models.denied[0]", "give 1 to 256"),
    ({"models": {"denied": ["m"] * 65}}, "models.denied", "at most 64"),
    ({"loops": {"action": False}}, "loops.action", "how YAML reads a bare Off: quote it"),
    ({"loops": {"action": "Off", "costMultiple": "10"}}, "loops.costMultiple", "'10' is not a number"),
    ({"loops": {}}, "loops.action", 'choose Flag, Slow, Refuse or "Off"'),
    ({"loops": {"action": "Flag", "minimumRuns": 1}}, "loops.minimumRuns", "write a whole number from 5 to 200"),
    ({"loops": {"action": "Flag", "cooldown": "25h"}}, "loops.cooldown", "'25h' is too long: give at most 24h"),
    ({"loops": {"action": "Flag", "usualRunUSD": "0.00"}}, "loops.usualRunUSD", "'0.00' is nothing"),
    ({"waitSeconds": "30"}, "waitSeconds", "write seconds from 0 to 600, without quotes"),
    ({"waitSeconds": -1}, "waitSeconds", "-1 is out of range"),
    ({"waitSeconds": 601}, "waitSeconds", "601 is out of range"),
    ({"waitSeconds": float("nan")}, "waitSeconds", "nan is out of range"),
    ({"waitSeconds": 10**400}, "waitSeconds", "is out of range"),
    ({"waitSeconds": True}, "waitSeconds", "true is not a number"),
    ({"maxDelaySeconds": float("inf")}, "maxDelaySeconds", "inf is out of range"),
    ({"refusalStatus": 500}, "refusalStatus", "choose 402, or 429"),
    ({"refusalStatus": "402"}, "refusalStatus", "'402' is not a refusal's status"),
    ({"refusalStatus": 402.0}, "refusalStatus", "402.0 is not a refusal's status"),
    ({"suspend": "true"}, "suspend", "write true or false, without quotes"),
    ({"suspend": 1}, "suspend", "1 is neither true nor false"),
    ({"limit": []}, "limit", "did you mean limits?"),
    ({"whatever this is": 1}, '["whatever this is"]', "known here: namespaceSelector, selector, timeZone"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "place", "message"), SPEC)
def test_mistakes_of_the_spec(change, place, message):
    """One mistake in a spec is one error at its place, which says what is wrong and the way out."""
    found = mistakes(document(**change))
    assert list(found) == [f"spec.{place}" if not place.startswith("[") else f"spec{place}"]
    assert message in next(iter(found.values()))


NO_END = "window has no end to pace to"
SLOW_STEP = {"atPercent": 85, "action": "Slow"}


@pytest.mark.parametrize("window", ["Run", "Total"])
def test_slow_needs_an_end(window):
    """Slow on Run and Total without a rate is refused where it is stated."""
    inherits = document(limits=[{"window": window, "usd": "5"}], ladder=[SLOW_STEP])
    found = mistakes(inherits)
    assert list(found) == ["spec.limits[0]"]
    assert NO_END in found["spec.limits[0]"]
    assert "give the step usdPerHour, or" in found["spec.limits[0]"]
    own = document(limits=[{"window": window, "usd": "5", "ladder": [SLOW_STEP]}])
    assert list(mistakes(own)) == ["spec.limits[0].ladder[0]"]
    for fine in (
        document(limits=[{"window": window, "usd": "5", "ladder": []}], ladder=[SLOW_STEP]),
        document(limits=[{"window": "Day", "usd": "5"}], ladder=[SLOW_STEP]),
    ):
        parse_budget(fine)
    rated = document(limits=[{"window": window, "usd": "5"}], ladder=[SLOW_STEP | {"usdPerHour": "1"}])
    assert parse_budget(rated).ladder == (Rung(85, SLOW, (), USD),)


PAIR = {"from": "claude-opus-*", "to": "claude-haiku-4-5"}


DOWNGRADES = [
    ({}, "models", "is missing: say what to use instead"),
    ({"models": []}, "models", "is missing: say what to use instead"),
    ({"models": [{"from": "a"}]}, "models[0].to", "is missing: name the model"),
    ({"models": [{"to": "a"}]}, "models[0].from", "is missing: give the pattern"),
    ({"models": [{"from": "a", "to": "b-*"}]}, "models[0].to", "'b-*' is a pattern"),
    ({"models": [{"from": "a", "to": "b", "too": "c"}]}, "models[0].too", "did you mean to?"),
    ({"models": ["a"]}, "models[0]", "'a' is not a mapping"),
    ({"action": "Warn", "models": [PAIR]}, "models", "belongs to the action Downgrade"),
    ({"action": "Warn", "midConversation": True}, "midConversation", "belongs to the action Downgrade"),
    ({"models": [PAIR], "midConversation": "yes"}, "midConversation", "true or false"),
    ({"models": [{"from": "a", "to": "a"}]}, "models[0].to", "'a' is what is asked for already"),
    (
        {"models": [{"from": "a", "to": "b"}, {"from": "b", "to": "a"}]},
        "models",
        "goes in a circle (a -> b -> a): a downgrade ends at a cheaper model",
    ),
    (
        {
            "models": [
                {"from": "z", "to": "a"},
                {"from": "a", "to": "b"},
                {"from": "b", "to": "c"},
                {"from": "c", "to": "a"},
            ]
        },
        "models",
        "goes in a circle (a -> b -> c -> a)",
    ),
]


@pytest.mark.parametrize(("step", "place", "message"), DOWNGRADES)
def test_mistakes_of_a_downgrade(step, place, message):
    """Downgrade needs its models, whole and unambiguous, and no other action takes them."""
    found = mistakes(document(ladder=[{"atPercent": 95, "action": "Downgrade"} | step]))
    assert list(found) == [f"spec.ladder[0].{place}"]
    assert message in next(iter(found.values()))


def test_whom_a_step_tells():
    """An address, a Secret that holds one, or an address and the Secret to sign with; keys have the schema's defaults."""
    targets = [
        {"url": "https://example.org/hook"},
        {"secretRef": {"name": "chat", "key": "address"}},
        {"url": "https://example.org/hook", "secretRef": {"name": "chat", "signingKey": "k"}},
    ]
    found = parse_budget(document(ladder=[{"atPercent": 70, "action": "Warn", "notify": targets}]))
    assert found.ladder[0].notify == (
        Notify("https://example.org/hook"),
        Notify("", "chat", "address"),
        Notify("https://example.org/hook", "chat", "url", "k"),
    )


TOLD_WRONGLY = [
    ([{}], "notify[0]", "names nobody"),
    (["https://x"], "notify[0]", "is not a mapping"),
    ([{"url": "ftp://x"}], "notify[0].url", "write https:// and a host"),
    ([{"url": "https://x y"}], "notify[0].url", "is not an address"),
    ([{"secretRef": {}}], "notify[0].secretRef.name", "name the Secret"),
    ([{"secretRef": {"name": "a", "signingKey": "a b"}}], "notify[0].secretRef.signingKey", "is not a key of a Secret"),
    ([{"uri": "https://x", "url": "https://x"}], "notify[0].uri", "did you mean url?"),
    ([{"url": "https://x"}] * 9, "notify", "give at most 8"),
]


@pytest.mark.parametrize(("targets", "place", "message"), TOLD_WRONGLY)
def test_mistakes_of_whom_to_tell(targets, place, message):
    """Each mistake is named where it stands."""
    found = mistakes(document(ladder=[{"atPercent": 70, "action": "Warn", "notify": targets}]))
    assert list(found) == [f"spec.ladder[0].{place}"]
    assert message in next(iter(found.values()))


@pytest.mark.parametrize(
    "pairs", [[("a", "b"), ("b", "c")], [("a", "b"), ("a", "c"), ("c", "b")], [("b*", "b"), ("a", "b")]]
)
def test_downgrades_may_follow_one_another(pairs):
    """A model may be both: asked for by some and used instead for others."""
    models = [{"from": a, "to": b} for a, b in pairs]
    (rung,) = parse_budget(document(ladder=[{"atPercent": 95, "action": "Downgrade", "models": models}])).ladder
    assert rung.models == tuple(pairs)


def test_throttle_needs_its_trickle():
    """Throttle without a rate, or with none of it, would be Refuse in disguise."""
    assert "is missing" in mistakes(document(onExhausted={"action": "Throttle"}))["spec.onExhausted.usdPerHour"]
    nothing = document(onExhausted={"action": "Throttle", "usdPerHour": "0.00"})
    assert "'0.00' is nothing" in mistakes(nothing)["spec.onExhausted.usdPerHour"]


def test_exhausted_may_allow():
    """``Allow`` goes on beyond the limit, stated with nothing else."""
    assert parse_budget(document(onExhausted={"action": "Allow"})).on_exhausted == "Allow"


LOOPS = {
    "the least that can be said": ({"action": "Slow"}, Loops("Slow")),
    "the ladder's word": ({"action": "Warn"}, Loops("Flag")),
    "everything": (
        {
            "action": "Refuse",
            "costMultiple": 4.5,
            "minimumRuns": 5,
            "cooldown": "1h",
            "usualRunUSD": "0.40",
            "exceptWorkflows": ["nightly"],
        },
        Loops("Refuse", 4.5, 5, 3600.0, 400_000_000, ("nightly",)),
    ),
}


@pytest.mark.parametrize(("section", "loops"), LOOPS.values(), ids=LOOPS)
def test_a_guard_against_loops(section, loops):
    """What is left out has the defaults that the schema states."""
    assert parse_budget(document(loops=section)).loops == loops


@pytest.mark.parametrize("action", ["Off", "None"])
def test_loops_may_be_off(action):
    """Saying that there is no guard against loops is no mistake."""
    assert parse_budget(document(loops={"action": action})) == parse_budget(MINIMAL)


@pytest.mark.parametrize(
    ("text", "seconds"), [("24h", 86400), ("30m", 1800), ("90s", 90), ("1h30m", 5400), ("1h1m1s", 3661), ("007s", 7)]
)
def test_durations(text, seconds):
    """Durations are hours, minutes and seconds, in that order."""
    budget = parse_budget(document(limits=[{"window": "Run", "usd": "1", "maxAge": text}]))
    assert budget.limits[0].max_age == seconds


def test_a_limit_may_be_nothing():
    """A limit of nothing is a limit: every call is refused."""
    assert parse_budget(document(limits=[{"window": "Day", "usd": "0"}])).limits[0].nanos == 0


def test_all_mistakes_at_once():
    """Every mistake of a document is told in one go, each with its path, value and a line that people can read."""
    doc = document(
        limits=[{"window": "day", "usd": 1.5}, {"window": "Run"}],
        ladder=[SLOW_STEP, {"atPercent": 80, "action": "warn"}],
        timeZone="Mars/Olympus",
        suspend="no",
        surprise=1,
    )
    doc["metadata"]["name"] = "A"
    with pytest.raises(BudgetErrors) as caught:
        parse_budget(doc)
    errors = caught.value.errors
    assert {dotted(error.path) for error in errors} == {
        "metadata.name",
        "spec.timeZone",
        "spec.ladder[1].action",
        "spec.ladder[1].atPercent",
        "spec.limits[0].window",
        "spec.limits[0].usd",
        "spec.limits[1].usd",
        "spec.limits[1]",
        "spec.suspend",
        "spec.surprise",
    }
    values = {error.path: error.value for error in errors}
    assert values["spec", "limits", 0, "usd"] == 1.5
    assert values["spec", "suspend"] == "no"
    assert str(caught.value).splitlines() == [str(error) for error in errors]
    assert isinstance(errors[0], FieldError)
    assert str(errors[0]).startswith("metadata.name: 'A' is not an object's name")


@pytest.mark.parametrize("doc", [None, [], "budget", 7, {}])
def test_what_is_no_document(doc):
    """Anything at all is answered with errors, never with another exception."""
    with pytest.raises(BudgetErrors) as caught:
        parse_budget(doc)
    assert caught.value.errors


WORDS = st.text("aZ1.-_/*|[ \n\x1b\ud800\u00e9", max_size=8) | st.sampled_from(["Day", "Slow", "1", "action", "models"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({*FULL["spec"], "namespaceSelector", "nonsense"})


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_no_document_breaks_the_reader(changes):
    """Whatever stands in a field, the answer is a budget or errors that name places and print on one line each."""
    lines: list[str] = []
    count = 0
    try:
        parse_budget(document(**changes))
    except BudgetErrors as error:
        lines, count = str(error).splitlines(), len(error.errors)
    assert len(lines) == count
    assert all(line.startswith("spec") and len(line) < 600 for line in lines)


@pytest.mark.parametrize(
    ("allowed", "denied", "model", "through"),
    [
        ((), (), "gpt-5", True),
        (("gpt-*",), (), "gpt-5", True),
        (("gpt-*",), (), "claude-opus-4-8", False),
        (("gpt-*", "claude-*"), (), "claude-opus-4-8", True),
        ((), ("*-opus-*",), "claude-opus-4-8", False),
        ((), ("*-opus-*",), "claude-haiku-4-5", True),
        (("claude-*",), ("claude-opus-*",), "claude-opus-4-8", False),
        (("gpt-?",), (), "gpt-5", True),
        (("gpt-?",), (), "gpt-5-mini", False),
        (("gpt-[45]",), (), "gpt-5", True),
        (("GPT-*",), (), "gpt-5", False),
        (("gpt-5",), (), "gpt-5-mini", False),
    ],
)
def test_model_lists(allowed, denied, model, through):
    """Denied beats allowed, no list of allowed models allows all, and patterns fit whole names in their own case."""
    budget = Budget("n", "b", {}, (), models_allowed=allowed, models_denied=denied)
    assert model_allowed(budget, model) is through


def test_labels_of_a_command_line():
    """Label keys and values from elsewhere are checked by the same rules."""
    assert label_key("run") == "aifinops.dev/run"
    assert label_key("app.kubernetes.io/name") == "app.kubernetes.io/name"
    assert label_value("a.b-c_D") == "a.b-c_D"
    for key in ("", "a/b/c", "x" * 64, "-a", "workflow/", "a\n"):
        with pytest.raises(ValueError, match="is not a label's key"):
            label_key(key)
    for value in ("a b", "a\n", "é"):
        with pytest.raises(ValueError, match="is not a label's value"):
            label_value(value)
