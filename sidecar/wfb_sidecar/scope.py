"""What applies to this sidecar: its budgets, its run, and the windows a call made now must fit in."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from wfb_core.budget import ALLOW, DOWNGRADE, REPORT, RUN, Budget, Limit
from wfb_core.decide import Policies
from wfb_core.document import parse_budget
from wfb_core.downgrade import Steps, Wanted
from wfb_core.runs import run_limits
from wfb_core.standing import Standing
from wfb_core.windows import real_id, shadow_id, window_at

WORKFLOW_LABEL = "aifinops.dev/workflow"


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """One limit of one budget at a time."""

    id: str
    budget: Budget
    limit: Limit
    start: float
    end: float


class Scope:
    """The budgets that match this holder, as the ledger last said; computes and keeps the windows of the moment."""

    def __init__(
        self,
        version: int,
        budgets: tuple[Budget, ...],
        run: str,
        prices: str,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.version = version
        self.labels = labels or {}
        self.budgets = budgets
        self.run = run
        self.prices = prices
        self.downgrades = any(
            rung.action == DOWNGRADE for b in budgets for limit in b.limits for rung in b.ladder_of(limit)
        )
        """Whether any rung asks other models."""
        self.workflow = self.labels.get(WORKFLOW_LABEL, "")
        self._limits = tuple((b, limit) for b in budgets for limit in b.limits if limit.window != RUN or run)
        """Those that have a window: a Deployment's pods have no run."""
        self._run_limits = () if run else tuple(run_limits(budgets))
        """Those that a run named by a caller may stand on."""
        self.policies = Policies(budgets)
        self._steps = Steps(self._limits + self._run_limits)
        self._kept: tuple[OpenWindow, ...] = ()
        self._kept_ids: tuple[str, ...] = ()
        self._kept_enforced_ids: tuple[str, ...] = ()
        self._kept_from, self._kept_until = float("inf"), float("-inf")

    @classmethod
    def from_answer(cls, answer: Mapping[str, Any]) -> "Scope":
        """Reads the ledger's answer; raises ValueError where it is not one."""
        try:
            budgets = tuple(parse_budget(d) for d in answer["budgets"])
            return cls(
                int(answer["version"]), budgets, str(answer["run"]), str(answer["prices"]), answer.get("holder_labels")
            )
        except (KeyError, TypeError) as e:
            raise ValueError(f"the ledger's scope lacks {e}") from e

    def windows(self, t: float) -> tuple[OpenWindow, ...]:
        """The windows that a call placed at `t` must fit in."""
        if not self._kept_from <= t < self._kept_until:
            self._open(t)
        return self._kept

    def ids(self, t: float) -> tuple[str, ...]:
        """Their ids."""
        if not self._kept_from <= t < self._kept_until:
            self._open(t)
        return self._kept_ids

    def wants(
        self, t: float, model: str, spent: Callable[[str], int | None], run: Iterable[Standing]
    ) -> Iterator[Wanted]:
        """What the rungs that a call placed at `t` meets want for its model, the strictest first.

        ``spent`` says what is spent of a window; of a budget that only reports its shadow is asked, which stands as under
        Enforce. ``run`` is how the run that the caller named stands, where it is held to a limit.
        """
        if not self._kept_from <= t < self._kept_until:
            self._open(t)
        ids = self._kept_enforced_ids

        def known(place: int) -> int | None:
            if place < len(ids):
                return spent(ids[place])
            budget, limit = self._run_limits[place - len(ids)]
            return next((s.spent for s in run if s.budget is budget and s.limit is limit), None)

        return self._steps.wants(model, known)

    def delay(self, window_id: str) -> float:
        """The most seconds that a window may hold a call back; of one that is gone by now, as long as any may."""
        key = real_id(window_id).partition("|")[0]
        of_it = [b.max_delay_seconds for b in self.budgets if b.key == key]
        return max(of_it or [b.max_delay_seconds for b in self.budgets], default=0.0)

    def shadows(self, t: float) -> tuple[OpenWindow, ...]:
        """The windows that follow what Enforce would do, of budgets that only report."""
        return tuple(replace(w, id=shadow_id(w.id)) for w in self.windows(t) if shadowed(w.budget))

    def shadow_ids(self, t: float) -> tuple[str, ...]:
        """Their ids."""
        return tuple(w.id for w in self.shadows(t))

    def windows_ahead(self, t: float) -> tuple[OpenWindow, ...]:
        """The windows of a later time, without disturbing those kept for now."""
        found = []
        for budget, limit in self._limits:
            w = window_at(budget.key, limit.window, budget.time_zone, t, self.run)
            found.append(OpenWindow(w.id, budget, limit, w.start, w.end))
        return tuple(found)

    def _open(self, t: float) -> None:
        self._kept = kept = self.windows_ahead(t)
        self._kept_ids = tuple(w.id for w in kept)
        self._kept_enforced_ids = tuple(shadow_id(w.id) if shadowed(w.budget) else w.id for w in kept)
        self._kept_from = max((w.start for w in kept), default=float("-inf"))
        self._kept_until = min((w.end for w in kept), default=float("inf"))


def shadowed(budget: Budget) -> bool:
    """Whether what the budget would do under Enforce is followed beside what happens."""
    return budget.enforcement == REPORT and budget.on_exhausted != ALLOW


def unlimited(budget: Budget) -> bool:
    """Whether the budget counts money without ever stopping a call for it."""
    return budget.enforcement == REPORT or budget.on_exhausted == ALLOW
