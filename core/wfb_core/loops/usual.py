"""What a run of a workflow usually costs: the median of its finished runs, which a few loops among them cannot move."""

from collections.abc import Iterable
from dataclasses import dataclass

UNITS_KEPT = 200
"""Finished runs of a workflow that count, the newest: enough for a steady median, few enough to follow a change."""

QUIET_SECONDS = 120.0
"""Without a call for this long a run counts as finished; one that goes on after all counts with what it costs then."""

HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual run of one workflow."""

    median: int
    """Nano-USD."""
    sample: int
    """Runs that it was learned from; 0 where a budget states it."""
    rate: int = 0
    """Nano-USD a minute: the median over the same runs; 0 where it is not known."""


def unit_of(run: str, pod: str, at: float) -> str:
    """What is judged as one run: the run over all of its pods, or for a pod without one its clock hour.

    ``at`` is the admission of a call in Unix seconds.
    """
    return f"run/{run}" if run else f"hour/{int(at // HOUR)}/{pod}"


def usual_of(units: Iterable[tuple[int, float]]) -> Usual | None:
    """The usual one of (nano-USD, seconds from first to last call); units that cost nothing count for nothing."""
    paid = [(nanos, seconds) for nanos, seconds in units if nanos > 0]
    if not paid:
        return None
    rates = sorted(int(nanos / max(1.0, seconds / 60.0)) for nanos, seconds in paid)
    return Usual(_median(sorted(nanos for nanos, _ in paid)), len(paid), _median(rates))


def _median(ranked: list[int]) -> int:
    middle = len(ranked) // 2
    return ranked[middle] if len(ranked) % 2 else (ranked[middle - 1] + ranked[middle]) // 2
