"""Steps of budgets' ladders that no call can follow, as the prices that this version knows have it."""

from collections.abc import Mapping

from wfb_core.budget import DOWNGRADE, Budget, Rung
from wfb_core.downgrade_checks import contradictions
from wfb_core.price import PriceBook

DAY = 86_400.0

type _Steps = tuple[Rung, ...]


class Ladders:
    """Looks at a ladder once a day, whoever has it: budgets come from templates, and prices change by the day."""

    def __init__(self, prices: PriceBook | None = None) -> None:
        """``prices`` may come later; until then nothing is said of any ladder."""
        self.prices = prices
        self._known: dict[_Steps, tuple[str, ...]] = {}
        self._day = -1

    def look(self, budgets: Mapping[str, Budget], at: float) -> dict[str, tuple[str, ...]]:
        """The contradictions of each budget that has any, by key, at a time in Unix seconds."""
        if self.prices is None:
            return {}
        if self._day != (day := int(at // DAY)):
            self._known, self._day = {}, day
        found, used = {}, {}
        for key, budget in budgets.items():
            steps = _downgrades(budget)
            if not steps:
                continue
            if (texts := self._known.get(steps)) is None:
                texts = contradictions(budget, self.prices, at)
            used[steps] = texts
            if texts:
                found[key] = texts
        self._known = used
        return found


def _downgrades(budget: Budget) -> _Steps:
    ladders = (budget.ladder, *(limit.ladder or () for limit in budget.limits))
    return tuple(rung for ladder in ladders for rung in ladder if rung.action == DOWNGRADE)
