"""How windows stand: what is spent of a limit as the holder last heard it, the rungs reached, and the tightest of them."""

from collections.abc import Iterable
from typing import NamedTuple

from wfb_core.budget import Budget, Limit, Rung
from wfb_core.stages import OPEN, STAGES, Stage, stage_of


class Standing(NamedTuple):
    """One limit of one budget, and what is spent of it: nano-USD."""

    budget: Budget
    limit: Limit
    spent: int
    end: float = float("inf")
    """When the window ends, Unix seconds."""

    @property
    def left(self) -> int:
        """What nobody has settled."""
        return max(0, self.limit.nanos - self.spent)

    @property
    def stage(self) -> Stage:
        """Where on its ladder it stands."""
        return stage_of(self.budget.ladder_of(self.limit), self.spent, self.limit.nanos)

    def reached(self, action: str) -> Iterable[Rung]:
        """The rungs of one action that are reached: a later rung of another action takes none of them back."""
        spent, limit = self.spent, self.limit.nanos
        return [r for r in self.budget.ladder_of(self.limit) if r.action == action and r.reached(spent, limit)]


def tightest(standings: Iterable[Standing]) -> Standing | None:
    """The one on the strictest stage, of several the one with the least left; None where all are below every rung."""
    found = None
    rank = (0, 0, 0)
    for standing in standings:
        stage = standing.stage
        if stage.name == OPEN:
            continue
        here = (STAGES.index(stage.name), stage.at_percent, -standing.left)
        if found is None or here > rank:
            found, rank = standing, here
    return found
