"""Steps of a ladder that named runs reach: a pod's sidecar tells of them, and each is kept once for each run and step.

Such a run has no window here. Whose run it is, which budgets it may speak of and where the steps of their ladders are is
what the ledger knows of the bearer of the report; only the run's name and what it has spent are the report's to say. Names
are the callers', and any number can be made up: a pod and a budget are heard so often in a minute and no more.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

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


@dataclass(slots=True)
class NamedRuns:
    """What pods tell of named runs, and how often each pod and each budget was heard in this minute."""

    _minute: int = field(default=-1, init=False)
    _heard: dict[tuple[str, str], int] = field(default_factory=dict, init=False)

    def hear(
        self,
        identity: Identity,
        budgets: Iterable[Budget],
        name: str,
        record: DecisionRecord,
        now: float,
        writes: Writes,
    ) -> bool:
        """Note the step that a record tells of, for those whom rungs name; False where it is one too many in its minute.

        ``budgets`` are the pod's, ``name`` is what the record's run is kept under. A record of something else, or of
        what is not this pod's to tell, changes nothing.
        """
        if record.reason != reasons.RUN_STAGE_REACHED or record.kind != "finding":
            return True
        found = _limit_of(identity, budgets, record)
        if found is None:
            return True
        budget, limit = found
        ladder, before = budget.ladder_of(limit), max(0, record.spent - record.cost)
        was = stage_of(ladder, before, limit.nanos) if before else Stage()
        stage = stage_of(ladder, record.spent, limit.nanos)
        if stage.at_percent <= was.at_percent:
            return True  # by the budget as it is now, of which the sidecar may not have heard
        pod = identity.holder_prefix.rstrip("/")
        if not self._one_more(now, pod, budget.key):
            return False
        window, at = f"{budget.key}|{limit.window}|{run_label(pod, name)}", stage.at_percent
        writes.stages.append(
            StageChange(window, budget.key, NAMED_RUN, was.name, stage.name, now, record.spent, limit.nanos, at)
        )
        for percent, reached in told_rungs(ladder, was.at_percent, at):
            writes.notices.append(Notice(window, percent, budget.key, reached, now, record.spent, limit.nanos))
        return True

    def _one_more(self, now: float, pod: str, budget: str) -> bool:
        """Whether pod and budget may both be heard once more, which then counts."""
        if int(now // 60) != self._minute:
            self._minute, self._heard = int(now // 60), {}
        most = {("pod", pod): POD_MOST, ("budget", budget): BUDGET_MOST}
        if any(self._heard.get(who, 0) >= number for who, number in most.items()):
            return False
        for who in most:
            self._heard[who] = self._heard.get(who, 0) + 1
        return True


def _limit_of(identity: Identity, budgets: Iterable[Budget], record: DecisionRecord) -> tuple[Budget, Limit] | None:
    """The limit on whose ladder the record's run stands; None where it is no run of this pod, or of another budget."""
    if identity.run:
        return None  # the limit for Run is for the pod's own
    try:
        if record.run != OTHER:
            run_name(record.run)
    except ValueError:
        return None
    return next((found for found in run_limits(budgets) if found[0].key == record.budget), None)
