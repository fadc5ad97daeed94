"""Budgets as gauges: each limit's window now. Past the number that a label may have, the rest are one budget ``other``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf, isfinite

from prometheus_client.core import GaugeMetricFamily, Metric

from wfb_core.budget import RUN, Budget, Limit
from wfb_core.grants import Window
from wfb_core.label_values import Bounds
from wfb_core.money import NANOS_PER_USD
from wfb_core.stages import STAGES, stage_of
from wfb_core.windows import window_at
from wfb_operator.ledger.budgets import granted_limit
from wfb_operator.ledger.forecast import Forecast
from wfb_operator.ledger.memory import Memory
from wfb_operator.ledger.summary import pacing


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One limit's window at one time: nano-USD and Unix seconds."""

    budget: str
    kind: str
    window: str
    start: float
    end: float
    limit: int
    spent: int
    reserved: int
    granted: int
    lost: int
    overspent: int
    agreed: int
    queued: int
    """Calls that wait now."""
    action: str
    """What holds calls back, Slow or Throttle; empty for nothing."""
    paced: int
    """To how many nano-USD per hour."""
    stage: int
    """Its place in STAGES."""
    gone_at: float


def lines(memory: Memory, forecast: Forecast, now: float) -> list[BudgetLine]:
    """Every limit of every budget but those for runs, whose series would never end."""
    found, seen = [], set()
    for entry in memory.budgets.entries.values():
        budget = entry.budget
        for limit in budget.limits:
            if limit.window == RUN:
                continue
            at = window_at(budget.key, limit.window, budget.time_zone, now)
            window = memory.grants.windows.get(at.id) or Window(granted_limit(budget, limit))
            window.advance(now)
            action, paced = pacing(window, now)
            name, left = (budget.key, limit.window), limit.nanos - window.used
            seen.add(name)
            forecast.see(name, at.id, at.start, at.end, window.used, left, now)
            found.append(
                BudgetLine(
                    *name,
                    at.id,
                    at.start,
                    at.end,
                    limit.nanos,
                    window.used,
                    window.held,
                    window.granted,
                    window.lost,
                    _overspent(budget, limit, window),
                    window.agreed(),
                    window.queued(now),
                    action,
                    paced,
                    STAGES.index(stage_of(budget.ladder_of(limit), window.used, limit.nanos).name),
                    forecast.gone_at(name, left, at.end, now),
                )
            )
    forecast.keep(seen)
    return found


def _overspent(budget: Budget, limit: Limit, window: Window) -> int:
    """What was spent beyond a limit, nano-USD: a budget that only counts is judged by its stated one."""
    only_counted = granted_limit(budget, limit) != limit.nanos
    return max(0, window.used - limit.nanos) if only_counted else window.overdraft


_AMOUNTS = {
    "limit": "The limit, in dollars.",
    "spent": "What is spent of it.",
    "reserved": "What calls under way hold of it.",
    "granted": "What sidecars were handed of it: spent, reserved, and at hand.",
    "estimated": "The part of the spend that was not metered exactly.",
    "lost": "What sidecars have that fell silent.",
    "overspent": "What was spent beyond it.",
    "agreed": "What was spent beyond it because a trickle allowed it.",
}

_OTHERS = {
    "wfb_budget_queued_calls": "Calls that wait now.",
    "wfb_budget_used_ratio": "Spend as a part of the limit; 1 and more means that nothing is left.",
    "wfb_budget_stage": f"Place on the ladder: {', '.join(f'{i} {name}' for i, name in enumerate(STAGES))}.",
    "wfb_budget_exhaustion_timestamp_seconds": "When the money will be gone at the present pace, or was; +Inf where the "
    "window ends before.",
    "wfb_budget_window_start_timestamp_seconds": "When the window began.",
    "wfb_budget_window_end_timestamp_seconds": "When the window ends.",
}


def families(found: list[BudgetLine], estimates: Mapping[str, int], bounds: Bounds) -> Iterable[Metric]:
    """The gauges; ``estimates`` are nano-USD by window."""
    folded = _folded(found, estimates, bounds)
    for name, words in _AMOUNTS.items():
        gauge = GaugeMetricFamily(f"wfb_budget_{name}_usd", words, labels=("budget", "window"))
        for labels, line in folded.items():
            gauge.add_metric(labels, line[name] / NANOS_PER_USD)
        yield gauge
    for name, words in _OTHERS.items():
        gauge = GaugeMetricFamily(name, words, labels=("budget", "window"))
        for labels, line in folded.items():
            if line[name] != -inf:
                gauge.add_metric(labels, line[name])
        yield gauge
    yield _paced(found, bounds)


def _paced(found: list[BudgetLine], bounds: Bounds) -> Metric:
    """What holds calls back, and to how much; of several budgets in one the sum."""
    sums: dict[tuple[str, str, str], int] = {}
    for line in found:
        if line.action:
            labels = bounds.value("budget", line.budget), line.kind, line.action
            sums[labels] = sums.get(labels, 0) + line.paced
    gauge = GaugeMetricFamily(
        "wfb_budget_paced_usd_per_hour",
        "To what Slow or Throttle holds calls now; not there where nothing does.",
        labels=("budget", "window", "action"),
    )
    for labels, nanos in sums.items():
        gauge.add_metric(labels, nanos / NANOS_PER_USD)
    return gauge


def _folded(
    found: list[BudgetLine], estimates: Mapping[str, int], bounds: Bounds
) -> dict[tuple[str, str], dict[str, float]]:
    """Values by labels; of several budgets in one amounts are summed, ratio and stage the highest, times the first."""
    folded: dict[tuple[str, str], dict[str, float]] = {}
    for line in found:
        labels = (bounds.value("budget", line.budget), line.kind)
        amounts = {name: getattr(line, name) for name in _AMOUNTS if name != "estimated"}
        amounts["estimated"] = estimates.get(line.window, 0)
        values = amounts | {
            "wfb_budget_queued_calls": line.queued,
            "wfb_budget_used_ratio": line.spent / line.limit if line.limit > 0 else 1.0,
            "wfb_budget_stage": line.stage,
            "wfb_budget_exhaustion_timestamp_seconds": line.gone_at,
            # Run and Total have no times; a series of infinity would make every difference of them one.
            "wfb_budget_window_start_timestamp_seconds": line.start if isfinite(line.start) else -inf,
            "wfb_budget_window_end_timestamp_seconds": line.end if isfinite(line.end) else -inf,
        }
        before = folded.get(labels)
        folded[labels] = values if before is None else _both(before, values)
    return folded


def _both(one: Mapping[str, float], two: Mapping[str, float]) -> dict[str, float]:
    how = {name: (lambda a, b: a + b) for name in (*_AMOUNTS, "wfb_budget_queued_calls")}
    highest = ("wfb_budget_used_ratio", "wfb_budget_stage")
    return {
        name: how[name](one[name], two[name])
        if name in how
        else max(one[name], two[name])
        if name in highest
        else min(one[name], two[name])
        for name in one
    }
