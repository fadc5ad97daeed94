"""How a named run is held back on its own ladder: a rate in Slow, a trickle past its limit. One pod's, so kept there.

The rules are the ledger's for windows (``wfb_core.grants``, 15 and 16), for a single holder: a line that rises at the
rate and leads what is spent by at most a minute of it, and an allowance that grows from the first call for which the limit
left too little. Amounts in nano-USD, times in seconds.
"""

from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from wfb_core import reasons
from wfb_core.budget import SLOW, THROTTLE, Budget, Limit
from wfb_core.standing import Standing

LEAD_SECONDS = 60
"""What Slow lets a run spend at once, as seconds of its rate."""

HOUR = 3600


class Held(NamedTuple):
    """What stands in the way of a call."""

    reason: str
    turn: float
    """Seconds until it may go, as far as that can be told: 0 where it waits for calls in flight, inf for none."""


@dataclass(slots=True)
class RunPace:
    """The line and the allowance of one run."""

    rate: int = 0
    line: float = 0.0
    at: float = 0.0
    exhausted_at: float = inf

    def allowance(self, now: float, trickle: int) -> int:
        """What a trickle has paid beyond the limit so far."""
        return int(trickle * max(0.0, now - self.exhausted_at) / HOUR)

    def stands(
        self, now: float, budget: Budget, limit: Limit, used: int, held: int, expected: int, least: int
    ) -> Held | None:
        """What stands in the way of a call that needs ``least``; None where it may go.

        ``used``, ``held`` and ``expected`` are of the run: settled, held by its calls in flight, and what those will
        probably cost.
        """
        left = limit.nanos - used
        if left < least:
            if budget.on_exhausted != THROTTLE:
                return Held(reasons.BUDGET_EXHAUSTED, inf)
            self.exhausted_at = min(self.exhausted_at, now)
            missing = least + held - left - self.allowance(now, budget.trickle)
            return Held(reasons.THROTTLED, missing * HOUR / budget.trickle) if missing > 0 else None
        self.exhausted_at = inf
        if left - held < least:
            return Held(reasons.MONEY_IN_FLIGHT, 0.0)
        turn = self._turn(now, _rate(budget, limit, used), used + expected)
        return Held(reasons.PACED, turn) if turn > 0 else None

    def _turn(self, now: float, rate: int, spent: int) -> float:
        """Seconds until the line is above what is spent; 0 where it is, or nothing paces the run."""
        if rate != self.rate:
            self.rate, self.line, self.at = rate, float(spent), now
        if not rate:
            return 0.0
        self.line = min(self.line + rate * (now - self.at) / HOUR, spent + rate * LEAD_SECONDS / HOUR)
        self.at = now
        return 0.0 if self.line >= spent else (spent - self.line) * HOUR / rate


def _rate(budget: Budget, limit: Limit, used: int) -> int:
    """The rate of the last step of Slow that is reached, nano-USD per hour; 0 before the first."""
    reached = [rung.rate for rung in Standing(budget, limit, used).reached(SLOW)]
    return reached[-1] if reached else 0
