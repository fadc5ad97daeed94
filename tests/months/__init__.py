"""Months of spend as workflows make it, minute by minute, with anomalies planted at known times; imports nothing of ours."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

MINUTES_A_DAY = 1440


@dataclass(frozen=True)
class Shape:
    """How one kind of workflow lives."""

    name: str
    calls: float
    """A minute, at its busiest."""
    night: float
    """Part of that at night."""
    weekend: float
    """Part of that on Saturday and Sunday."""
    dollars: float
    """A call, on average."""
    spread: float
    """Of the logarithm of a call's cost."""
    wander: float
    """How far a whole day strays from the usual, as the logarithm's deviation."""


SHAPES = (
    Shape("assistant", 12.0, 0.1, 0.3, 0.004, 0.8, 0.15),
    Shape("pipeline", 30.0, 0.9, 0.9, 0.002, 0.5, 0.1),
    Shape("support", 8.0, 0.25, 0.6, 0.01, 1.0, 0.2),
    Shape("nightly", 20.0, 1.0, 1.0, 0.006, 0.6, 0.1),
)


@dataclass(frozen=True)
class Anomaly:
    """What was planted: in minutes of the month, and how many times the usual it costs."""

    start: int
    length: int
    kind: str
    times: float


KINDS = ("retries", "tokens", "model", "calls")


@dataclass(frozen=True)
class Minute:
    """One minute of one workflow."""

    dollars: float
    calls: int
    failed: int
    tokens: int
    dear: float
    """Dollars of the dear model."""


def level(shape: Shape, minute: int) -> float:
    """Calls a minute that are usual then: a day's curve, a weekend, and for the nightly one an hour of work."""
    day, of_day = divmod(minute, MINUTES_A_DAY)
    if shape.name == "nightly":
        return shape.calls if 120 <= of_day < 240 else 0.0
    curve = max(0.0, math.sin((of_day / MINUTES_A_DAY - 0.25) * 2 * math.pi))
    weekend = shape.weekend if day % 7 in (2, 3) else 1.0  # 1970 began on a Thursday
    return shape.calls * (shape.night + (1 - shape.night) * curve) * weekend


def plant(shape: Shape, first: int, last: int, count: int, rng: random.Random) -> list[Anomaly]:
    """Anomalies at moments when the workflow is at work, apart from each other."""
    found: list[Anomaly] = []
    while len(found) < count:
        start, length = rng.randrange(first, last - 240), rng.randrange(45, 150)
        busy = all(level(shape, start + m) >= 0.3 * shape.calls for m in range(0, 20, 5))
        apart = all(abs(start - other.start) > 1000 for other in found)
        if busy and apart:
            found.append(Anomaly(start, length, KINDS[len(found) % len(KINDS)], rng.uniform(3.0, 6.0)))
    return sorted(found, key=lambda anomaly: anomaly.start)


def minutes(shape: Shape, last: int, anomalies: list[Anomaly], rng: random.Random) -> Iterator[Minute]:
    """Every minute from the first to ``last``."""
    strays: dict[int, float] = {}
    for minute in range(last):
        day = minute // MINUTES_A_DAY
        stray = strays.setdefault(day, math.exp(rng.gauss(0.0, shape.wander)))
        now = next((a for a in anomalies if a.start <= minute < a.start + a.length), None)
        rate = level(shape, minute) * stray
        calls = _poisson(rate * (now.times if now and now.kind in ("retries", "calls") else 1.0), rng)
        failed = sum(rng.random() < (0.6 if now and now.kind == "retries" else 0.02) for _ in range(calls))
        dollars, dear, tokens = 0.0, 0.0, 0
        for _ in range(calls):
            cost = shape.dollars * math.exp(rng.gauss(-(shape.spread**2) / 2, shape.spread))
            size = int(cost / shape.dollars * 2000)
            if now and now.kind == "tokens":
                cost, size = cost * now.times, int(size * now.times)
            if now and now.kind == "model":
                cost *= now.times
                dear += cost
            dollars, tokens = dollars + cost, tokens + size
        yield Minute(dollars, calls, failed, tokens, dear)


def _poisson(mean: float, rng: random.Random) -> int:
    """Knuth's way for a small mean, a normal beyond."""
    if mean > 30:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    bound, product, count = math.exp(-mean), rng.random(), 0
    while product > bound:
        product *= rng.random()
        count += 1
    return count
