"""What is usual for one workflow, learned from whole hours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from statistics import median

from wfb_core.anomaly.sums import Sums

HOUR = 3600
DAY, WEEK = 24, 7 * 24
"""In hours."""

WEEKS = 5
"""How many former weeks count."""

LEAST_DAYS = 3
"""Days of history below which nothing is called unusual."""

SAME_HOURS = 3
"""Weeks of one hour of the week from which that hour speaks for itself; with fewer the same hour of other days joins."""

SCALE = 1.4826
"""From a median deviation to a standard deviation, for normal noise (Rousseeuw and Croux, 1993)."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What one workflow usually does; per hour of the week where it was seen often enough."""

    nanos: Mapping[int, float]
    """Usual nano-USD an hour, by hour of the week (0 is Thursday 00:00 UTC, as Unix time begins)."""
    stray: float
    """Standard deviation of the logarithm of an hour's spend around the usual."""
    typical: float
    """Nano-USD of its median busy hour: what is much to it, at any hour."""
    day: float
    """Nano-USD of its median day."""
    per_call: float
    """Usual nano-USD a call."""
    tokens_per_call: float
    calls_per_hour: Mapping[int, float]
    failed_share: float
    """Usual part of the calls and refusals that failed or were refused."""
    models: Mapping[str, float]
    """Usual share of the spend by model."""
    hours: int
    """Hours of history."""


def learn(hours: Mapping[int, Sums], now: float) -> Baseline | None:
    """The baseline from the sums of whole hours, by hours since 1970; None while there is too little.

    Hours without calls are absent: they count as nothing spent from the first hour on that was seen. The hour under way
    and those older than WEEKS weeks do not count.
    """
    this = int(now // HOUR)
    first = max(min(hours, default=this), this - WEEKS * WEEK)
    if this - first < LEAST_DAYS * DAY:
        return None
    seen = {hour: hours.get(hour, Sums()) for hour in range(first, this)}
    usual_nanos, usual_calls = {}, {}
    for slot in range(WEEK):
        same = _same(seen, slot)
        usual_nanos[slot] = median(s.nanos for s in same)
        usual_calls[slot] = median(s.calls for s in same)
    busy = [s.nanos for s in seen.values() if s.nanos]
    if not busy:
        return None
    typical = median(busy)
    floor = typical / 10
    strays = [abs(log((s.nanos + floor) / (usual_nanos[hour % WEEK] + floor))) for hour, s in seen.items()]
    days = [sum(seen[h].nanos for h in range(start, start + DAY)) for start in range(this - DAY, first - 1, -DAY)]
    total = sum(seen.values(), Sums())
    active = [s for s in seen.values() if s.calls]
    return Baseline(
        usual_nanos,
        SCALE * median(strays),
        typical,
        median(days),
        median(s.nanos / s.calls for s in active) if active else 0.0,
        median(s.tokens / s.calls for s in active) if active else 0.0,
        usual_calls,
        (total.failed + total.refused) / max(1, total.calls + total.refused),
        {name: nanos / max(1, total.nanos) for name, nanos in total.by_model.items()},
        len(seen),
    )


def _same(seen: Mapping[int, Sums], slot: int) -> Sequence[Sums]:
    """The hours that are like an hour of the week: its own, or while they are few that hour of every day."""
    own = [s for hour, s in seen.items() if hour % WEEK == slot]
    return own if len(own) >= SAME_HOURS else [s for hour, s in seen.items() if hour % DAY == slot % DAY]
