"""When a window's money will be gone: its pace so far, the recent past counting most."""

import math
from dataclasses import dataclass

SPAN = 48
"""A window's pace remembers about so many parts of it: a Day's half an hour, a Month's the better part of a day."""

MEMORY_LEAST, MEMORY_MOST = 120.0, 43_200.0
"""Seconds that a pace remembers at least and at most."""

NEVER = math.inf


@dataclass(slots=True)
class _Pace:
    """Where one limit's window was seen last."""

    window: str
    at: float
    used: int
    rate: float
    """Nano-USD a second."""
    gone_at: float = NEVER


class Forecast:
    """The paces of all limits; a new process begins with the mean of the window so far."""

    def __init__(self) -> None:
        self._paces: dict[tuple[str, str], _Pace] = {}

    def see(
        self, limit: tuple[str, str], window: str, start: float, end: float, used: int, left: int, now: float
    ) -> None:
        """A limit's window as it stands: (budget, kind), id, times in Unix seconds, nano-USD."""
        pace = self._paces.get(limit)
        if pace is None:
            so_far = used / (now - start) if math.isfinite(start) and now > start else 0.0
            pace = self._paces[limit] = _Pace(window, now, used, so_far)
        elif now > pace.at:
            spent = used - pace.used if window == pace.window else used
            memory = min(MEMORY_MOST, max(MEMORY_LEAST, (end - start) / SPAN))
            weight = -math.expm1(-(now - pace.at) / memory)
            pace.rate = max(0.0, pace.rate + weight * (spent / (now - pace.at) - pace.rate))
            pace.window, pace.at, pace.used = window, now, used
        pace.gone_at = min(pace.gone_at, now) if left <= 0 else NEVER

    def gone_at(self, limit: tuple[str, str], left: int, end: float, now: float) -> float:
        """When the money is gone at this pace, or when it was; NEVER where the window ends before."""
        pace = self._paces.get(limit)
        if pace is None:
            return NEVER
        if pace.gone_at < NEVER:
            return pace.gone_at
        if pace.rate <= 0.0:
            return NEVER
        moment = now + left / pace.rate
        return moment if moment < end else NEVER

    def keep(self, limits: set[tuple[str, str]]) -> None:
        """Only these limits exist."""
        for limit in self._paces.keys() - limits:
            del self._paces[limit]
