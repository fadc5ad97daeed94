"""What the API server takes, the core reads."""

import pytest
from harness.budget_documents import budget, cluster_budget
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wfb_core.document import BudgetErrors, parse_budget

JUNK = st.sampled_from(
    ["", "a\u00a0b", "\u00e9", "0", "-", "x" * 300, "a b", "1\n", 7, 0, -1, 1.5, True, [], {}, None, ["a"], {"a": "b"}]
)
USD = st.sampled_from(["0", "0.00", "5", "200.00", "0.000000001", "000000000001.5", "1152921504", "00"])
PATTERN = st.sampled_from(["gpt-*", "claude-opus-4-8", " ", "*", "a b", "[", "~"])
KEY = st.sampled_from(
    ["workflow", "team", "aifinops.dev/team", "app", "a.b/c_d", "x" * 63, "x" * 64, "/", "a/", "A/b", "a..b/c"]
)
VALUE = st.sampled_from(["", "x", "a.b-c_D", "x" * 63, "-x", "x" * 64])
ZONE = st.sampled_from(
    ["UTC", "Europe/Berlin", "Etc/GMT+5", "EST5EDT", "GB", "Zulu", "Asia/Kathmandu", "US/Pacific-New", "SystemV/EST5",
     "Europe", "Local", "zone.tab", "leapseconds", "tzdata.zi", "posix/UTC", "Etc", "America/Nowhere", "UTC0"]
)  # fmt: skip


def mapping(required, optional):
    """Mappings with these fields; now and then one is missing, or junk stands in it."""

    def spoil(found, spoilt):
        name, value = spoilt
        return found | {name: value} if name else found

    spoilt = st.just((None, None)) | st.tuples(st.sampled_from([*required, *optional]), JUNK)
    return st.builds(spoil, st.fixed_dictionaries(required, optional=optional), spoilt)


STEP = mapping(
    {"atPercent": st.integers(0, 101), "action": st.sampled_from(["Warn", "Slow", "Downgrade"])},
    {
        "models": st.lists(mapping({"from": PATTERN, "to": PATTERN}, {}), max_size=2),
        "usdPerHour": USD,
        "notify": st.just([{"url": "https://example.org"}]),
    },
)
LADDER = st.lists(STEP, max_size=3)
RISING = st.lists(st.integers(1, 99), unique=True, max_size=3).map(
    lambda percents: [{"atPercent": p, "action": "Warn" if p % 2 else "Slow"} for p in sorted(percents)]
)
LIMIT = mapping(
    {"window": st.sampled_from(["Hour", "Day", "Week", "Month", "Quarter", "Year", "Run", "Total"]), "usd": USD},
    {
        "maxAge": st.sampled_from(["24h", "1h30m", "0s", "", "h", "1s1h", "999999h999999m999999s"]),
        "ladder": LADDER | RISING,
    },
)
EXPRESSION = mapping(
    {"key": KEY, "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"])},
    {"values": st.lists(VALUE, max_size=2)},
)
SELECTOR = mapping(
    {}, {"matchLabels": st.dictionaries(KEY, VALUE, max_size=3), "matchExpressions": st.lists(EXPRESSION, max_size=2)}
)
FIELDS = {
    "selector": SELECTOR,
    "namespaceSelector": SELECTOR,
    "timeZone": ZONE,
    "limits": st.lists(LIMIT, max_size=3),
    "ladder": LADDER | RISING,
    "onExhausted": mapping({"action": st.sampled_from(["Refuse", "Throttle", "Allow"])}, {"usdPerHour": USD}),
    "enforcement": st.sampled_from(["Enforce", "Report"]),
    "failurePolicy": st.sampled_from(["Fail", "Ignore"]),
    "outputBound": st.sampled_from(["Clamp", "Strict", "Adaptive"]),
    "unpricedModels": mapping(
        {"action": st.sampled_from(["Refuse", "Allow", "PriceAs"])},
        {"usdPerMillionInput": USD, "usdPerMillionOutput": USD},
    ),
    "models": mapping({}, {"allowed": st.lists(PATTERN, max_size=2), "denied": st.lists(PATTERN, max_size=2)}),
    "loops": mapping(
        {"action": st.sampled_from(["Off", "None", "Slow", "Warn", "Flag", "Refuse"])},
        {
            "costMultiple": st.floats(0, 2e6),
            "minimumRuns": st.integers(4, 201),
            "cooldown": st.sampled_from(["5m", "24h", "25h", "0s", "1h30m"]),
            "usualRunUSD": USD,
            "exceptWorkflows": st.lists(PATTERN, max_size=2),
        },
    ),
    "waitSeconds": st.integers(-1, 601) | st.floats(0, 600),
    "maxDelaySeconds": st.integers(-1, 601),
    "onDisconnect": st.sampled_from(["Auto", "ReadOn", "Close"]),
    "refusalStatus": st.sampled_from([402, 429, 400, 402.0]),
    "suspend": st.booleans(),
}
SPEC = st.lists(st.sampled_from(sorted(FIELDS)), unique=True, max_size=3).flatmap(
    lambda names: st.fixed_dictionaries({name: st.one_of(FIELDS[name], FIELDS[name], JUNK) for name in names})
)


def read(document):
    """The budget of a document, and the mistakes of one that makes none."""
    try:
        return parse_budget(document), ()
    except BudgetErrors as wrong:
        return None, wrong.errors


@pytest.mark.parametrize("of", [budget, cluster_budget])
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(spec=SPEC)
def test_what_the_api_server_takes_the_core_reads(kinds, of, spec):
    """An object in the cluster is a budget."""
    document = of(**spec)
    answer = kinds.ask(document)
    if not answer.accepted:
        assert answer.status in (400, 422), answer
        return
    stored, mistakes = read(answer.body)
    assert not mistakes
    written, _ = read(document)
    assert written in (None, stored)  # None: nulls were left out and 402.0 became 402 on the way into the store
