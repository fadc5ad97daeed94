"""Whether what a workflow spends now is far from what it usually spends, and why, in words.

The last quarter of an hour is compared with the usual of its hours, each by its part. It is a spike where all hold:

1. it is at least RATIO times the usual (a quarter's share of a typical hour's tenth stands in for less);
2. its logarithm is DEVIATIONS standard deviations off: the workflow's own stray, and the chance of few calls;
3. the excess is worth saying: more than WORTH of a median day.

What was a spike stays one until it falls below CALM of what began it: a message is told once, not at every wobble.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, sqrt

from wfb_core.anomaly.baseline import HOUR, WEEK, Baseline
from wfb_core.anomaly.sums import Sums
from wfb_core.money import format_usd

NORMAL, SPIKE, UNKNOWN = "Normal", "Spike", "Unknown"

QUARTER = 900
"""Seconds that are looked at."""

RATIO = 2.0
DEVIATIONS = 4.0
WORTH = 0.01
CALM = 0.75

CALL_SPREAD = 3.0
"""Variance of one call's cost over its squared mean, plus one: how much chance few calls leave."""

_NOTABLE = 1.3
"""A factor below which a part of the spend is not named as a cause."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one look found."""

    state: str
    """NORMAL, SPIKE or UNKNOWN."""
    ratio: float
    """Spent over usual; 0 where nothing is usual yet."""
    nanos: int
    """Spent in the quarter."""
    usual: float
    """Nano-USD that is usual for it."""
    since: float
    """When the spike began, Unix seconds; of the look itself where there is none."""
    message: str


def judge(baseline: Baseline | None, recent: Sums, now: float, before: Verdict | None = None) -> Verdict:
    """One look at the sums of the last QUARTER seconds; ``before`` is the verdict of the last look."""
    if baseline is None:
        return Verdict(UNKNOWN, 0.0, recent.nanos, 0.0, now, "Not enough was seen to say what is usual.")
    usual = _expected(baseline.nanos, now)
    floor = baseline.typical / 10 * QUARTER / HOUR
    ratio = (recent.nanos + floor) / (usual + floor)
    spiking = before is not None and before.state == SPIKE
    chance = CALL_SPREAD / max(1.0, _expected(baseline.calls_per_hour, now), recent.calls)
    deviations = log(max(ratio, 1e-9)) / sqrt(baseline.stray**2 + chance)
    calm = CALM if spiking else 1.0
    unusual = (
        ratio >= max(1.3, RATIO * calm)
        and deviations >= DEVIATIONS * calm
        and recent.nanos - usual >= WORTH * calm * baseline.day
    )
    if not unusual:
        return Verdict(NORMAL, ratio, recent.nanos, usual, now, "Spending is as it usually is at this hour.")
    if before is not None and spiking:
        # It is told as it began: words that change every minute would be written and read every minute.
        return Verdict(SPIKE, ratio, recent.nanos, usual, before.since, before.message)
    text = (
        f"{ratio:.1f} times the usual spend: ${_cents(recent.nanos)} in 15 minutes, usually ${_cents(usual)} at this hour;"
        f" {_cause(baseline, recent, now)}"
    )
    return Verdict(SPIKE, ratio, recent.nanos, usual, now - QUARTER, text)


def _expected(by_hour: Mapping[int, float], now: float) -> float:
    """What is usual for the quarter that ends now: of the one or two hours it lies in, each by its part."""
    start = now - QUARTER
    this = now // HOUR * HOUR
    late = (now - max(start, this)) / HOUR
    early = max(0.0, this - start) / HOUR
    here, last = int(now // HOUR) % WEEK, int(start // HOUR) % WEEK
    return by_hour.get(here, 0.0) * late + by_hour.get(last, 0.0) * early


def _cause(baseline: Baseline, recent: Sums, now: float) -> str:
    """The part of the spend that grew most: calls, tokens a call, the price of a token; and what goes with it."""
    calls = recent.calls / max(0.25, _expected(baseline.calls_per_hour, now))
    tokens = recent.tokens / max(1, recent.calls) / max(1.0, baseline.tokens_per_call)
    per_call = recent.nanos / max(1, recent.calls) / max(1.0, baseline.per_call)
    price = per_call / max(tokens, 1e-9)
    model = recent.dearest
    factors = {
        f"tokens per call {tokens:.1f} times usual on model {model}": tokens,
        f"calls {calls:.1f} times usual": calls,
        _price_words(baseline, recent, price): price,
    }
    words, factor = max(factors.items(), key=lambda item: item[1])
    parts = [words if factor >= _NOTABLE else "calls, tokens and prices all a little above usual"]
    bad = (recent.failed + recent.refused) / max(1, recent.calls + recent.refused)
    if bad >= 0.2 and bad >= 3 * baseline.failed_share:
        parts.append(f"{bad:.0%} of the calls failed or were refused (usually {baseline.failed_share:.0%}): retries?")
    return ", and ".join(parts)


def _price_words(baseline: Baseline, recent: Sums, price: float) -> str:
    """A dearer mix of models, by the one whose share grew most; else a dearer token."""
    shares = {name: nanos / max(1, recent.nanos) for name, nanos in recent.by_model.items()}
    grown = max(shares, key=lambda name: shares[name] - baseline.models.get(name, 0.0), default="")
    usual = baseline.models.get(grown, 0.0)
    if grown and shares[grown] - usual >= 0.2:
        return f"model {grown} makes {shares[grown]:.0%} of the spend, usually {usual:.0%}"
    return f"a token costs {price:.1f} times usual on model {recent.dearest}"


def _cents(nanos: float) -> str:
    """Dollars with two decimals, or with more where that would be nothing."""
    whole = int(nanos)
    return f"{whole / 1e9:.2f}" if whole >= 10_000_000 else format_usd(whole)
