"""The kinds in a real API server: every rule both ways, the defaults, and that the core reads all the same."""

import pytest
from harness.budget_documents import GONE, budget, cluster_budget

from wfb_core.document import BudgetErrors, parse_budget

PAIR = {"from": "claude-opus-*", "to": "claude-haiku-4-5"}
SLOW = {"atPercent": 85, "action": "Slow"}
RUN = {"window": "Run", "usd": "5.00"}


def limits(**change):
    return {"limits": [{"window": "Day", "usd": "1"} | change]}


def step(**change):
    return {"ladder": [{"atPercent": 50, "action": "Warn"} | change]}


def rule(**change):
    found = {"key": "a", "operator": "In", "values": ["x"]} | change
    return {"selector": {"matchExpressions": [{k: v for k, v in found.items() if v is not GONE}]}}


ACCEPTED = [  # fields of the spec
    {},
    {"selector": {"matchLabels": {"team": "a", "app.kubernetes.io/name": "", "x": "y" * 63}}},
    rule(),
    rule(operator="NotIn"),
    rule(operator="Exists", values=GONE),
    rule(operator="DoesNotExist", values=[]),
    rule(key="aifinops.dev/team"),
    {"timeZone": "Europe/Berlin"},
    {"timeZone": "America/Argentina/Buenos_Aires"},
    {"timeZone": "Etc/GMT+5"},
    limits(usd="0"),
    limits(usd="0.000000001"),
    limits(usd="1152921504"),
    {"limits": [{"window": w, "usd": "1"} for w in ("Hour", "Day", "Week", "Month", "Quarter", "Year", "Run", "Total")]},
    {"limits": [RUN | {"maxAge": "1h30m"}]},
    {"limits": [RUN | {"maxAge": "90s"}]},
    {"limits": [RUN | {"ladder": []}], "ladder": [SLOW]},
    {"limits": [RUN | {"ladder": [{"atPercent": 1, "action": "Warn"}]}]},
    {"limits": [RUN | {"ladder": [SLOW | {"usdPerHour": "2"}]}]},
    {"limits": [RUN], "ladder": [SLOW | {"usdPerHour": "2"}]},
    {"limits": [RUN], "ladder": [{"atPercent": 99, "action": "Warn"}]},
    {"ladder": []},
    {"ladder": [{"atPercent": 70, "action": "Warn"}, SLOW]},
    step(action="Downgrade", models=[PAIR]),
    step(action="Downgrade", models=[PAIR], midConversation=True),
    step(action="Downgrade", models=[{"from": "a", "to": "b"}, {"from": "b", "to": "c"}]),
    step(notify=[{"url": "https://example.org/hook"}]),
    step(notify=[{"secretRef": {"name": "chat"}}]),
    step(notify=[{"url": "https://example.org/hook", "secretRef": {"name": "chat", "signingKey": "k"}}]),
    {"onExhausted": {"action": "Allow"}},
    {"onExhausted": {"action": "Throttle", "usdPerHour": "1.00"}},
    {"enforcement": "Report", "failurePolicy": "Ignore", "outputBound": "Strict"},
    {"outputBound": "Adaptive"},
    {"unpricedModels": {"action": "Allow"}},
    {"unpricedModels": {"action": "PriceAs", "usdPerMillionInput": "5", "usdPerMillionOutput": "25"}},
    {"models": {"allowed": ["gpt-*", "claude-*"], "denied": []}},
    {"models": {}},
    {"models": {"hostedTools": "Refuse"}},
    {"loops": {"action": "None"}},
    {"loops": {"action": "Off", "costMultiple": 10}},
    {"loops": {"action": "Slow", "costMultiple": 10}},
    {"loops": {"action": "Warn", "minimumRuns": 5, "cooldown": "90s", "usualRunUSD": "0.40"}},
    {"loops": {"action": "Refuse", "cooldown": "24h", "exceptWorkflows": ["nightly-batch"]}},
    {"waitSeconds": 0, "maxDelaySeconds": 0.5},
    {"waitSeconds": 600, "maxDelaySeconds": 600},
    {"onDisconnect": "Close", "refusalStatus": 429, "suspend": True},
]  # fmt: skip


@pytest.mark.parametrize("of", [budget, cluster_budget])
@pytest.mark.parametrize("spec", ACCEPTED)
def test_what_is_right_is_taken(kinds, of, spec):
    """The API server takes it, and the core reads what is stored as what was written."""
    document = of(**spec)
    answer = kinds.ask(document)
    assert answer.accepted, answer.body["message"]
    assert parse_budget(answer.body) == parse_budget(document)


KEY = "is not a label's key"
REFUSED = [  # fields of the spec, the field that is named, part of the message
    ({"selector": {"matchLabels": {"a b": "x"}}}, "spec.selector.matchLabels", KEY),
    ({"selector": {"matchLabels": {"/a": "x"}}}, "spec.selector.matchLabels", KEY),
    ({"selector": {"matchLabels": {"A_/a": "x"}}}, "spec.selector.matchLabels", KEY),
    ({"selector": {"matchLabels": {"x" * 64: "x"}}}, "spec.selector.matchLabels", KEY),
    ({"selector": {"matchLabels": {"x" * 254 + "/a": "x"}}}, "spec.selector.matchLabels", KEY),
    ({"selector": {"matchLabels": {"a": "x" * 64}}}, "spec.selector.matchLabels.a", "may not be more than 63"),
    ({"selector": {"matchLabels": {"a": "-x"}}}, "spec.selector.matchLabels.a", "should match"),
    ({"selector": {"matchLabels": {"a": True}}}, "spec.selector.matchLabels.a", "must be of type string"),
    ({"selector": {"matchLabels": {"team": "x", "aifinops.dev/team": "x"}}}, "spec.selector.matchLabels", "remove either"),
    ({"selector": {"matchLabels": {f"l{i}": "x" for i in range(17)}}}, "spec.selector.matchLabels", "at most 16"),
    (rule(key="a b"), "spec.selector.matchExpressions[0].key", KEY),
    (rule(key="x" * 254 + "/a"), "spec.selector.matchExpressions[0].key", KEY),
    (rule(key=GONE), "spec.selector.matchExpressions[0].key", "Required value"),
    (rule(operator="in"), "spec.selector.matchExpressions[0].operator", '"In", "NotIn", "Exists", "DoesNotExist"'),
    (rule(values=GONE), "spec.selector.matchExpressions[0]", "give at least one"),
    (rule(operator="NotIn", values=[]), "spec.selector.matchExpressions[0]", "give at least one"),
    (rule(operator="Exists"), "spec.selector.matchExpressions[0].values", "remove them, or choose In or NotIn"),
    (rule(values=["-"]), "spec.selector.matchExpressions[0].values[0]", "should match"),
    (rule(values=["x"] * 65), "spec.selector.matchExpressions[0].values", "at most 64"),
    ({"timeZone": "Europe/Berln"}, "spec.timeZone", "is not an IANA time zone: write its area and city"),
    ({"timeZone": "europe/berlin"}, "spec.timeZone", "is not an IANA time zone"),
    ({"timeZone": "localtime"}, "spec.timeZone", "is not an IANA time zone"),
    ({"timeZone": "Local"}, "spec.timeZone", "is not an IANA time zone"),
    ({"timeZone": "right/UTC"}, "spec.timeZone", "is not an IANA time zone"),
    ({"timeZone": "+01:00"}, "spec.timeZone", "is not an IANA time zone"),
    ({"timeZone": "01:00"}, "spec.timeZone", "is not an IANA time zone"),
    ({"timeZone": "../UTC"}, "spec.timeZone", "is not an IANA time zone"),
    ({"timeZone": ""}, "spec.timeZone", "at least 1"),
    ({"timeZone": "UTC\n"}, "spec.timeZone", "is not an IANA time zone"),
    ({"limits": GONE}, "spec.limits", "Required value"),
    ({"limits": []}, "spec.limits", "at least 1"),
    ({"limits": [{"window": "Day", "usd": "1"}, {"window": "Day", "usd": "2"}]}, "spec.limits[1]", "Duplicate value"),
    (limits(window="day"), "spec.limits[0].window", '"Hour", "Day"'),
    (limits(usd="1,50"), "spec.limits[0].usd", 'such as "200.00"'),
    (limits(usd="-1"), "spec.limits[0].usd", "without sign"),
    (limits(usd="1e3"), "spec.limits[0].usd", 'such as "200.00"'),
    (limits(usd="1."), "spec.limits[0].usd", 'such as "200.00"'),
    (limits(usd="1\n"), "spec.limits[0].usd", 'such as "200.00"'),
    (limits(usd=""), "spec.limits[0].usd", 'such as "200.00"'),
    (limits(usd="0.0000000001"), "spec.limits[0].usd", "at most 9 decimals"),
    (limits(usd="1152921505"), "spec.limits[0].usd", "at most 1152921504 dollars"),
    (limits(usd="1" * 23), "spec.limits[0].usd", "may not be more than 22"),
    (limits(usd=200), "spec.limits[0].usd", "must be of type string"),
    (limits(maxAge="24h"), "spec.limits[0].maxAge", "belongs to a limit for Run"),
    ({"limits": [RUN | {"maxAge": "1d"}]}, "spec.limits[0].maxAge", "such as 24h, 30m or 90s"),
    ({"limits": [RUN | {"maxAge": "0h0m"}]}, "spec.limits[0].maxAge", "such as 24h, 30m or 90s"),
    ({"limits": [RUN | {"maxAge": ""}]}, "spec.limits[0].maxAge", "such as 24h, 30m or 90s"),
    ({"limits": [RUN], "ladder": [SLOW]}, "spec.limits", "such as ladder: []"),
    ({"limits": [{"window": "Total", "usd": "5"}], "ladder": [SLOW]}, "spec.limits", "such as ladder: []"),
    ({"limits": [RUN | {"ladder": [SLOW]}]}, "spec.limits[0].ladder", "such as ladder: []"),
    ({"limits": [{"window": "Total", "usd": "5", "ladder": [SLOW]}]}, "spec.limits[0].ladder", "such as ladder: []"),
    (step(atPercent=0), "spec.ladder[0].atPercent", "greater than or equal to 1"),
    (step(atPercent=100), "spec.ladder[0].atPercent", "less than or equal to 99"),
    (step(atPercent=50.5), "spec.ladder[0].atPercent", "must be of type integer"),
    (step(action="Refuse"), "spec.ladder[0].action", '"Warn", "Slow", "Downgrade"'),
    ({"ladder": [SLOW, SLOW | {"action": "Warn"}]}, "spec.ladder", "is given twice"),
    ({"ladder": [SLOW, {"atPercent": 70, "action": "Warn"}]}, "spec.ladder", "rising"),
    ({"ladder": [{"atPercent": i, "action": "Warn"} for i in range(1, 18)]}, "spec.ladder", "at most 16"),
    (step(action="Downgrade"), "spec.ladder[0]", "say what to use instead"),
    (step(action="Downgrade", models=[]), "spec.ladder[0].models", "at least 1"),
    (step(models=[PAIR]), "spec.ladder[0].models", "belongs to the action Downgrade"),
    (step(action="Downgrade", models=[PAIR | {"to": "b-*"}]), "spec.ladder[0].models[0].to", "name the one model"),
    (step(midConversation=True), "spec.ladder[0].midConversation", "belongs to the action Downgrade"),
    (step(action="Downgrade", models=[PAIR | {"to": PAIR["from"].strip("*"), "from": PAIR["from"].strip("*")}]), "spec.ladder[0].models[0].to", "asked for already"),
    ({"models": {"hostedTools": "Maybe"}}, "spec.models.hostedTools", '"Allow", "Refuse"'),
    (step(action="Downgrade", models=[{"from": "a"}]), "spec.ladder[0].models[0].to", "Required value"),
    (step(usdPerHour="1"), "spec.ladder[0].usdPerHour", "belongs to the action Slow"),
    (step(action="Slow", usdPerHour="0.00"), "spec.ladder[0].usdPerHour", "above zero"),
    (step(notify=[{}]), "spec.ladder[0].notify[0]", "give url, or secretRef"),
    (step(notify=[{"url": "https://x", "secretRef": {}}]), "spec.ladder[0].notify[0].secretRef.name", "Required value"),
    (step(notify=[{"url": "ftp://x"}]), "spec.ladder[0].notify[0].url", "should match"),
    ({"onExhausted": {"action": "Stop"}}, "spec.onExhausted.action", '"Refuse", "Throttle", "Allow"'),
    ({"onExhausted": {}}, "spec.onExhausted.action", "Required value"),
    ({"onExhausted": {"action": "Throttle"}}, "spec.onExhausted", 'such as "1.00"'),
    ({"onExhausted": {"action": "Throttle", "usdPerHour": "0"}}, "spec.onExhausted.usdPerHour", "above zero"),
    ({"onExhausted": {"action": "Allow", "usdPerHour": "1"}}, "spec.onExhausted.usdPerHour", "belongs to the action Throttle"),
    ({"enforcement": "Enforced"}, "spec.enforcement", '"Enforce", "Report"'),
    ({"failurePolicy": "Open"}, "spec.failurePolicy", '"Fail", "Ignore"'),
    ({"outputBound": "Loose"}, "spec.outputBound", '"Clamp", "Strict", "Adaptive"'),
    ({"unpricedModels": {"action": "Guess"}}, "spec.unpricedModels.action", '"Refuse", "Allow", "PriceAs"'),
    ({"unpricedModels": {"action": "PriceAs", "usdPerMillionInput": "5"}}, "spec.unpricedModels", "needs both prices"),
    (
        {"unpricedModels": {"action": "PriceAs", "usdPerMillionInput": "0", "usdPerMillionOutput": "1"}},
        "spec.unpricedModels.usdPerMillionInput",
        "above zero",
    ),
    (
        {"unpricedModels": {"action": "PriceAs", "usdPerMillionInput": "1", "usdPerMillionOutput": "-1"}},
        "spec.unpricedModels.usdPerMillionOutput",
        "above zero",
    ),
    ({"unpricedModels": {"action": "Allow", "usdPerMillionInput": "5"}}, "spec.unpricedModels", "belong to the action PriceAs"),
    ({"models": {"allowed": []}}, "spec.models.allowed", "at least 1"),
    ({"models": {"denied": [""]}}, "spec.models.denied[0]", "at least 1"),
    ({"models": {"denied": ["a\n"]}}, "spec.models.denied[0]", "should match"),
    ({"models": {"denied": ["m"] * 65}}, "spec.models.denied", "at most 64"),
    ({"models": {"denied": ["m" * 257]}}, "spec.models.denied[0]", "may not be more than 256"),
    ({"loops": {"action": False}}, "spec.loops.action", "must be of type string"),
    ({"loops": {"action": "Off", "costMultiple": 0}}, "spec.loops.costMultiple", "greater than or equal to 1"),
    ({"loops": {"action": "Flag", "minimumRuns": 4}}, "spec.loops.minimumRuns", "greater than or equal to 5"),
    ({"loops": {"action": "Flag", "cooldown": "5 minutes"}}, "spec.loops.cooldown", "is not a duration"),
    ({"loops": {"action": "Flag", "cooldown": "24h1s"}}, "spec.loops.cooldown", "give at most 24h"),
    ({"loops": {"action": "Flag", "usualRunUSD": "0.00"}}, "spec.loops.usualRunUSD", "is not an amount above zero"),
    ({"loops": {"action": "Flag", "exceptWorkflows": [""]}}, "spec.loops.exceptWorkflows[0]", "at least 1 chars"),
    ({"waitSeconds": "30"}, "spec.waitSeconds", "must be of type number"),
    ({"waitSeconds": -1}, "spec.waitSeconds", "greater than or equal to 0"),
    ({"maxDelaySeconds": 601}, "spec.maxDelaySeconds", "less than or equal to 600"),
    ({"onDisconnect": "Stay"}, "spec.onDisconnect", '"Auto", "ReadOn", "Close"'),
    ({"refusalStatus": 500}, "spec.refusalStatus", '"402", "429"'),
    ({"suspend": "true"}, "spec.suspend", "must be of type boolean"),
]  # fmt: skip
REFUSED += [  # a ladder of a limit's own has the same rules
    (limits(ladder=spec["ladder"]), field.replace("spec.ladder", "spec.limits[0].ladder"), message)
    for spec, field, message in REFUSED
    if field.startswith("spec.ladder")
]
NAMESPACED = [
    ({"selector": GONE}, "spec.selector", "Required value"),
    ({"selector": {}}, "spec.selector", "a WorkflowBudget is never for everything: say whose money this is"),
    ({"selector": {"matchLabels": {}, "matchExpressions": []}}, "spec.selector", "never for everything"),
]
CLUSTER = [
    ({"namespaceSelector": {"matchLabels": {"a b": "x"}}}, "spec.namespaceSelector.matchLabels", KEY),
    ({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
     "spec.namespaceSelector.matchExpressions[0]", "give at least one"),
    ({"namespaceSelector": {"matchLabels": {"a": "-"}}}, "spec.namespaceSelector.matchLabels.a", "should match"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("of", "spec", "field", "message"),
    [(of, *row) for of, rows in ((budget, REFUSED + NAMESPACED), (cluster_budget, REFUSED + CLUSTER)) for row in rows],
)
def test_what_is_wrong_is_refused(kinds, of, spec, field, message):
    """The API server refuses it at its field with a message that helps, and the core refuses it too."""
    answer = kinds.ask(of(**spec))
    assert answer.status == 422
    assert any(at == field and message in said for at, said in answer.causes), answer.causes
    if message != "at most 1152921504 dollars":  # what the ledger can count is no concern of the core
        with pytest.raises(BudgetErrors):
            parse_budget(of(**spec))


def test_a_cluster_budget_may_be_for_all(kinds):
    """No selector, an empty one, and both selectors are all taken, as the core takes them."""
    by_name = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["lab"]}]}
    for spec in (
        {},
        {"selector": {}},
        {"selector": {"matchLabels": {}}, "namespaceSelector": {}},
        {"namespaceSelector": {"matchLabels": {"team": "billing"}} | by_name},
        {"namespaceSelector": {"matchLabels": {"team": "x", "aifinops.dev/team": "y"}}},
    ):
        document = cluster_budget(**spec)
        answer = kinds.ask(document)
        assert answer.accepted, answer.body["message"]
        assert parse_budget(answer.body) == parse_budget(document)


@pytest.mark.parametrize(
    "document",
    [
        budget(limit=[]),
        budget(namespaceSelector={}),
        budget(onExhausted={"action": "Refuse", "after": 1}),
        budget(selector={"matchLabels": {"a": "b"}, "matchLabel": {}}),
        cluster_budget(limits=[{"window": "Day", "usd": "1", "max_age": "1h"}]),
    ],
)
def test_unknown_fields_are_told(kinds, document):
    """A misspelt field is refused as kubectl asks, never dropped in silence; the core refuses it too."""
    answer = kinds.ask(document)
    assert answer.status == 400
    assert "unknown field" in answer.body["message"]
    with pytest.raises(BudgetErrors):
        parse_budget(document)


DEFAULTS = {
    "timeZone": "UTC",
    "onExhausted": {"action": "Refuse"},
    "enforcement": "Enforce",
    "failurePolicy": "Fail",
    "outputBound": "Clamp",
    "unpricedModels": {"action": "Refuse"},
    "waitSeconds": 30,
    "maxDelaySeconds": 20,
    "onDisconnect": "Auto",
    "refusalStatus": 402,
    "suspend": False,
}


@pytest.mark.parametrize("of", [budget, cluster_budget])
def test_the_defaults_are_written_out(kinds, of):
    """What is left out is stored as its default, and the core, given either, reads the same."""
    document = of()
    stored = kinds.ask(document).body
    assert stored["spec"] == document["spec"] | DEFAULTS
    assert parse_budget(stored) == parse_budget(document)
    assert kinds.ask(of(timeZone=None, suspend=None)).body["spec"] == stored["spec"]


def test_the_biggest_budget_is_taken(kinds):
    """As much of everything as the bounds allow is still cheap enough for the API server to check."""
    models = [{"from": "f" * 200 + f"{n:02}*", "to": "t" * 200} for n in range(64)]
    ladder = [
        {"atPercent": n + 1, "action": "Downgrade", "models": models if n == 15 else models[:4]} for n in range(16)
    ]
    expressions = [{"key": "k" * 253 + "/" + "e" * 63, "operator": "In", "values": ["v" * 63] * 64}] * 16
    selector = {
        "matchLabels": {"p" * 253 + "/" + "l" * 61 + f"{n:02}": "v" * 63 for n in range(16)},
        "matchExpressions": expressions,
    }
    windows = ("Hour", "Day", "Week", "Month", "Quarter", "Year", "Run", "Total")
    document = cluster_budget(
        selector=selector,
        namespaceSelector=selector,
        limits=[{"window": w, "usd": "999999999.999999999", "ladder": ladder} for w in windows],
        ladder=ladder,
        models={"allowed": ["m" * 256] * 64, "denied": ["m" * 256] * 64},
    )
    answer = kinds.ask(document)
    assert answer.accepted, answer.body["message"]
    assert parse_budget(answer.body) == parse_budget(document)
