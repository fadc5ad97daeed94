"""One window at one holder: the money at hand, and the pace at which it goes."""

from dataclasses import dataclass
from math import exp, inf

from wfb_core.grants import timing


@dataclass(slots=True)
class Purse:
    """Running totals in nano-USD; ceiling, used and held are in the record, the rest is learned again."""

    ceiling: int = 0
    """What used and held keep to; never above what the ledger has granted."""
    used: int = 0
    held: int = 0
    expected: int = 0
    keep: int = 0
    """Slack that the ledger lets it keep above used and held."""
    left: int | None = None
    room: int | None = None
    limit: int | None = None
    """As last heard; None before the first reply."""
    trickled: int | None = None
    """What a trickle allows beyond the limit, as last heard; None where there is none."""
    spends: float = 0.0
    holds: float = 0.0
    """Decaying sums of what was settled and of what was asked for."""
    at: float = 0.0
    """When the sums were brought up to date."""
    asked: float = -inf
    """When a call last named the window."""

    def fits(self, hold: int) -> bool:
        """Whether a hold fits under the ceiling."""
        return self.used + self.held + hold <= self.ceiling

    def note(self, now: float, hold: int = 0, spend: int = 0) -> None:
        """Let the sums fade to ``now`` and add what happened."""
        fade = exp(min(0.0, self.at - now) / timing.TAU)
        self.spends = self.spends * fade + spend
        self.holds = self.holds * fade + hold
        self.at = now

    def want(self, now: float) -> int:
        """The slack that would let the next calls go without asking."""
        self.note(now)
        if now - self.asked > timing.IDLE:
            return 0
        return int((self.spends * timing.SPEND_SECONDS + self.holds * timing.HOLD_SECONDS) / timing.TAU)

    def cut(self) -> int:
        """The ceiling without the slack that is not to be kept."""
        return min(self.ceiling, self.used + self.held + self.keep)

    def heir(self) -> "Purse":
        """An empty purse for the window that follows, with this one's pace."""
        return Purse(spends=self.spends, holds=self.holds, at=self.at, asked=self.asked)
