"""What is usual, what is not, and why: tables of one look, and the rules that hold whatever the figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.anomaly import NORMAL, SPIKE, UNKNOWN, Sums, judge, learn

HOUR = 3600.0
START = 500_000
"""An hour since 1970, a Thursday's."""
USD = 1_000_000_000


def usual(weeks=4, calls=240, nanos=2 * USD, hours=range(24), failed=5):
    """A workflow that does the same in these hours of every day."""
    found = {}
    for hour in range(START, START + weeks * 168):
        if hour % 24 in hours:
            found[hour] = Sums(nanos, calls, 0, failed, calls * 1000, {"gpt-5-mini": nanos})
    return found


NOW = (START + 4 * 168) * HOUR + 1800
QUARTER = Sums(USD // 2, 60, 0, 1, 60_000, {"gpt-5-mini": USD // 2})


def times(factor, **changed):
    """A quarter that cost so many times the usual."""
    nanos = int(QUARTER.nanos * factor)
    values = {"nanos": nanos, "calls": 60, "failed": 1, "tokens": 60_000, "by_model": {"gpt-5-mini": nanos}}
    return Sums(**(values | changed))


BASELINE = learn(usual(), NOW)

LOOKS = {
    "as usual": (QUARTER, NORMAL, "as it usually is"),
    "half of it": (times(0.5), NORMAL, "as it usually is"),
    "a busy quarter": (times(1.6), NORMAL, "as it usually is"),
    "nothing": (Sums(), NORMAL, "as it usually is"),
    "longer prompts": (times(4, tokens=240_000), SPIKE, "tokens per call 4.0 times usual on model gpt-5-mini"),
    "more calls": (times(3, calls=180, tokens=180_000), SPIKE, "calls 3.0 times usual"),
    "a retry loop": (times(3, calls=180, tokens=180_000, failed=110), SPIKE, "61% of the calls failed or were refused"),
    "a dearer model": (
        times(5, by_model={"gpt-5-mini": USD // 4, "gpt-5-pro": 9 * USD // 4}),
        SPIKE,
        "model gpt-5-pro makes 90% of the spend, usually 0%",
    ),
    "a dearer token": (times(4), SPIKE, "a token costs 4.0 times usual on model gpt-5-mini"),
}


@pytest.mark.parametrize(("recent", "state", "words"), LOOKS.values(), ids=LOOKS)
def test_one_look(recent, state, words):
    """A workflow that is the same all day: what counts as a spike, and the cause that is named."""
    verdict = judge(learn(usual(), NOW), recent, NOW)
    assert (verdict.state, words in verdict.message) == (state, True), verdict.message


def test_the_hour_of_the_week_decides():
    """What is usual at noon is not at night: the same spend is normal in one and a spike in the other."""
    baseline = learn(usual(hours=range(8, 20)), NOW)
    noon, night = (START + 4 * 168) * HOUR // 86400 * 86400 + 12 * HOUR, NOW // 86400 * 86400 + 3 * HOUR
    assert judge(baseline, QUARTER, noon).state == NORMAL
    assert judge(baseline, QUARTER, night).state == SPIKE


def test_one_bad_night_teaches_nothing():
    """A past spike of fifty times changes neither what is usual nor how far that strays."""
    hours = usual()
    before = learn(hours, NOW)
    for hour in range(START + 200, START + 206):
        hours[hour] = Sums(100 * USD, 12_000, 0, 5, 12_000_000, {"gpt-5-mini": 100 * USD})
    after = learn(hours, NOW)
    assert after.nanos == before.nanos
    assert after.stray == pytest.approx(before.stray, abs=0.01)


@pytest.mark.parametrize("hours", [{}, usual(weeks=0), {START: Sums(USD, 1)}], ids=["nothing", "no week", "old"])
def test_too_little_is_said(hours):
    """Without a history nothing is called unusual, and the verdict says that it cannot tell."""
    verdict = judge(learn(hours, (START + 24) * HOUR), times(50), (START + 24) * HOUR)
    assert (verdict.state, verdict.ratio) == (UNKNOWN, 0.0)


def test_a_spike_is_told_once_and_ends_once():
    """A spend that wobbles around the line stays the spike that it was, with the moment it began."""
    baseline = learn(usual(), NOW)
    verdict, states, begun = None, [], set()
    for minute, factor in enumerate((1.0, 2.8, 2.2, 2.6, 2.1, 2.2, 1.0, 2.2)):
        verdict = judge(baseline, times(factor), NOW + 60 * minute, verdict)
        states.append(verdict.state)
        begun |= {verdict.since} if verdict.state == SPIKE else set()
    assert states == [NORMAL, SPIKE, SPIKE, SPIKE, SPIKE, SPIKE, NORMAL, NORMAL]
    assert len(begun) == 1


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(1, 500))
def test_more_money_is_never_more_usual(one, other, calls):
    """Of two quarters that differ in nothing but their spend, the dearer is a spike if the cheaper is."""
    baseline = BASELINE
    low, high = (judge(baseline, Sums(n, calls, tokens=calls), NOW).state == SPIKE for n in sorted((one, other)))
    assert high >= low


@given(st.lists(st.integers(0, 10**11), min_size=0, max_size=400), st.integers(0, 10**12))
def test_any_history_gives_a_verdict(nanos, recent):
    """Whatever was spent, learning and judging end with one of three states and a sentence."""
    hours = {START + n: Sums(value, value % 7, tokens=value % 1000) for n, value in enumerate(nanos)}
    now = (START + len(nanos)) * HOUR + 60
    verdict = judge(learn(hours, now), Sums(recent, recent % 5), now)
    assert verdict.state in (NORMAL, SPIKE, UNKNOWN)
    assert verdict.message
