"""The ledger's clock: the one by which windows open and close."""

import time
from collections.abc import Callable

STEP = 0.5
"""Seconds by which wall and monotonic clock may differ between two looks before it counts as a step."""

FLOOR_MOST = 3600.0
"""How far a start may lie behind the last time written down and still be carried on from there."""


class LedgerClock:
    """Unix seconds that never go back.

    A forward step of the wall clock is followed at once. After a backward step the clock goes on at half speed until the
    wall has caught up: a window that was closed never opens again, and a small mistake heals by itself.
    """

    def __init__(
        self,
        floor: float = 0.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``floor`` is the last time an earlier process wrote down.

        It is dropped where the wall is further behind than FLOOR_MOST: then the old clock was wrong, and a restart is
        how its mistake ends.
        """
        self._wall, self._monotonic = wall, monotonic
        self._last_monotonic, self._last_wall = monotonic(), wall()
        self._last = floor if self._last_wall < floor <= self._last_wall + FLOOR_MOST else self._last_wall
        self.steps_back = 0
        """Backward steps of the wall clock that were ignored."""

    def now(self) -> float:
        """The time, never before one that was told."""
        monotonic, wall = self._monotonic(), self._wall()
        passed = max(0.0, monotonic - self._last_monotonic)
        if wall < self._last_wall + passed - STEP:
            self.steps_back += 1
        self._last_monotonic, self._last_wall = monotonic, wall
        self._last = max(wall, self._last + passed / 2)
        return self._last
