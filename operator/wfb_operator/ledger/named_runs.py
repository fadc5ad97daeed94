"""Steps of a ladder that named runs reach: a pod's sidecar tells of them, and each is kept once for each run and step.

Such a run has no window here. Whose run it is, which budgets it may speak of and where the steps of their ladders are is
what the ledger knows of the bearer of the report; only the run's name and what it has spent are the report's to say. Names
are the callers', and any number can be made up: a pod and a budget are heard so often in a minute and no more.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from wfb_core import reasons
from wfb_core.budget import Budget, Limit
from wfb_core.runs import OTHER, run_label, run_limits, run_name
from wfb_core.stages import Stage, stage_of
from wfb_core.wire import DecisionRecord
from wfb_operator.ledger.identities import Identity
from wfb_operator.ledger.stages_watch import told_rungs
from wfb_operator.ledger.store.port import NAMED_RUN, Notice, StageChange, Writes

POD_MOST, BUDGET_MOST = 10, 60
"""Steps of named runs that are told of one pod, and of one budget, in a clock minute."""

REMEMBERED = 10_000
"""Steps that are known to be told without asking the store, which keeps each once in any case."""


class _Step(NamedTuple):
    """A step that a run has come to, by the budget as it is now."""

    pod: str
    run: str
    budget: Budget
    limit: Limit
    was: Stage
    stage: Stage
    spent: int

    @property
    def window(self) -> str:
        """What stands for the run where others have a window."""
        return f"{self.budget.key}|{self.limit.window}|{run_label(self.pod, self.run)}"

    def tell(self, now: float, writes: Writes) -> None:
        """Note it as a change, and as notices for those whom rungs name."""
        budget, window, limit, percent = self.budget, self.window, self.limit.nanos, self.stage.at_percent
        writes.stages.append(
            StageChange(window, budget.key, NAMED_RUN, self.was.name, self.stage.name, now, self.spent, limit, percent)
        )
        for at, stage in told_rungs(budget.ladder_of(self.limit), self.was.at_percent, percent):
            writes.notices.append(Notice(window, at, budget.key, stage, now, self.spent, limit))


@dataclass(slots=True)
class NamedRuns:
    """What pods tell of named runs, and how often each pod and each budget was heard in this minute."""

    untold: int = 0
    """Steps that were one too many in their minute."""
    _minute: int = field(default=-1, init=False)
    _heard: dict[tuple[str, str], int] = field(default_factory=dict, init=False)
    _told: dict[int, None] = field(default_factory=dict, init=False)  # hashes of run and step, the oldest first

    def hear(
        self,
        identity: Identity,
        budgets: Iterable[Budget],
        name: str,
        record: DecisionRecord,
        now: float,
        writes: Writes,
    ) -> None:
        """Note the step that a record tells of, if it tells of one that is new and not one too many.

        ``budgets`` are the pod's, ``name`` is what the record's run is kept under. A sidecar that has restarted tells all
        over again: what is known to be told takes nobody's place.
        """
        step = _step_of(identity, budgets, name, record)
        if step is None or (key := hash((step.window, step.stage.at_percent))) in self._told:
            return
        if not self._one_more(now, step):
            self.untold += 1
            return
        if len(self._told) >= REMEMBERED:
            del self._told[next(iter(self._told))]
        self._told[key] = None
        step.tell(now, writes)

    def _one_more(self, now: float, step: _Step) -> bool:
        """Whether its pod and its budget may both be heard once more, which then counts."""
        if int(now // 60) != self._minute:
            self._minute, self._heard = int(now // 60), {}
        most = {("pod", step.pod): POD_MOST, ("budget", step.budget.key): BUDGET_MOST}
        if any(self._heard.get(who, 0) >= number for who, number in most.items()):
            return False
        for who in most:
            self._heard[who] = self._heard.get(who, 0) + 1
        return True


def _step_of(identity: Identity, budgets: Iterable[Budget], name: str, record: DecisionRecord) -> _Step | None:
    """The step that a record tells of; None where it tells of something else, or of what is not its bearer's to tell."""
    if record.reason != reasons.RUN_STAGE_REACHED or record.kind != "finding" or not _names_a_run(record.run):
        return None
    if identity.run:
        return None  # the limit for Run is for the pod's own
    found = next((found for found in run_limits(budgets) if found[0].key == record.budget), None)
    if found is None:
        return None
    budget, limit = found
    ladder, before = budget.ladder_of(limit), max(0, record.spent - record.cost)
    was = stage_of(ladder, before, limit.nanos) if before else Stage()
    stage = stage_of(ladder, record.spent, limit.nanos)
    if stage.at_percent <= was.at_percent:
        return None  # the sidecar may not have heard of the budget as it is now
    return _Step(identity.holder_prefix.rstrip("/"), name, budget, limit, was, stage, record.spent)


def _names_a_run(name: str) -> bool:
    if name == OTHER:
        return True
    try:
        run_name(name)
    except ValueError:
        return False
    return True
