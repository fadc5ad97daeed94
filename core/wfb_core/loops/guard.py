"""The guard of one pod: judges every call before it goes, and learns from what it cost. Constant work, bounded memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from wfb_core import reasons
from wfb_core.budget import FLAG, OFF, REFUSE, REPORT, SLOW, Budget
from wfb_core.decide import Refusal
from wfb_core.loops.breaker import CLOSED, OPEN, Breaker
from wfb_core.loops.recent import Asked, Evidence, Recent, Seen, suspicious
from wfb_core.loops.score import NONE, STAGES, TELLING, milder, score, stage_for, weight
from wfb_core.loops.usual import Usual
from wfb_core.loops.words import consequence, figures

REASONS = {FLAG: reasons.LOOP_FLAGGED, SLOW: reasons.LOOP_SLOWED, REFUSE: reasons.LOOP_REFUSED}


@dataclass(frozen=True, slots=True)
class Sighting:
    """A run reached a stage at a budget, or left it as recovered: told once."""

    budget: str
    stage: str
    """FLAG, SLOW, REFUSE, or NONE for a run that goes on."""
    reason: str
    message: str
    spent: int
    """Nano-USD that the run had cost."""
    stops_at: int
    """Nano-USD at which its cost alone makes it a loop."""


@dataclass(frozen=True, slots=True)
class LoopVerdict:
    """What becomes of a call."""

    refusal: Refusal | None = None
    reported: tuple[Refusal, ...] = ()
    """What budgets that only report would have refused."""
    delay: float = 0.0
    """Seconds to wait before the call goes."""
    stage: str = NONE
    """The strictest of the enforcing budgets."""
    sightings: tuple[Sighting, ...] = ()
    probes: tuple[str, ...] = ()
    """Keys of the budgets that let the call through only to try."""
    alike: bool = False
    """Whether a call shortly before was nearly the same."""


NOTHING = LoopVerdict()


class LoopGuard:
    """What one pod knows of its run."""

    def __init__(self) -> None:
        self.unit = ""
        self.own = 0
        """Nano-USD that this pod has settled in the unit."""
        self.others = 0
        """Nano-USD that the unit's other pods have, as the ledger last said."""
        self.usual: Usual | None = None
        self._open = 0
        self._recent = Recent()
        self._breakers: dict[str, Breaker] = {}
        self._told: dict[str, str] = {}

    # -- what is known
    def hear(self, unit: str, usual: Usual | None, others: int, own: int = 0) -> None:
        """What the ledger says of the workflow's runs, of this one's other pods, and of this pod's own part so far.

        The books know of money that was spent before this process, or while no budget had a guard.
        """
        self.usual = usual
        if unit == self.unit:
            self.others, self.own = others, max(self.own, own)

    def begin(self, unit: str) -> None:
        """The unit that calls belong to from now on; what is open stays so, and what is closed begins anew."""
        if unit == self.unit:
            return
        self.unit, self.own, self.others = unit, 0, 0
        self._breakers = {key: b for key, b in self._breakers.items() if b.state != CLOSED}
        self._told = {key: stage for key, stage in self._told.items() if key in self._breakers}

    @property
    def total(self) -> int:
        """Nano-USD of the unit: settled over all pods, and expected of this pod's calls in flight."""
        return self.own + self.others + self._open

    # -- a call
    def judge(self, now: float, budgets: Sequence[Budget], workflow: str, asked: Asked) -> LoopVerdict:
        """What becomes of a call that would go now. ``budgets`` are all that match it."""
        watching = [b for b in budgets if b.loops.action != OFF and workflow not in b.loops.except_workflows]
        if not watching:
            return NOTHING
        alike = self._recent.knows(asked.sketch)
        evidence = self._recent.evidence(now, asked, alike=alike)
        refusal: Refusal | None = None
        reported: list[Refusal] = []
        sightings: list[Sighting] = []
        probes: list[str] = []
        weights: dict[Usual, float] = {}
        """Budgets that take the same for usual weigh the evidence alike."""
        delay, strictest = 0.0, NONE
        for budget in watching:
            usual = _usual_for(budget, self.usual)
            if usual is None:
                continue
            breaker = self._breakers.setdefault(budget.key, Breaker())
            if (found := weights.get(usual)) is None:
                found = weights[usual] = weight(evidence, usual)
            stage = self._stage(budget, breaker, usual, found)
            refused = False
            if breaker.state != CLOSED:
                probe = breaker.lets_try(now, budget.loops.cooldown, suspicious=suspicious(asked, alike=alike))
                stage, refused = REFUSE, not probe
                if probe:
                    probes.append(budget.key)
            elif stage == REFUSE:
                breaker.trip(now, budget.loops.cooldown)
                refused = True
            sightings += self._sighted(budget, stage, usual, evidence)
            if refused:
                told = self._refusal(budget, breaker, usual, evidence)
                if budget.enforcement == REPORT:
                    reported.append(told)
                else:
                    refusal = refusal or told
            if budget.enforcement == REPORT:
                continue
            strictest = max(strictest, stage, key=STAGES.index)
            if stage == SLOW:
                delay = max(delay, breaker.delay(budget.max_delay_seconds))
            else:
                breaker.slowed = 0
        return LoopVerdict(refusal, tuple(reported), delay, strictest, tuple(sightings), tuple(probes), alike)

    def enter(self, now: float, asked: Asked, verdict: LoopVerdict) -> Seen:
        """A call goes, as it was judged: it counts with what is expected of it until it settles."""
        seen = Seen(now, asked, verdict.alike, max(asked.expected, 0), unit=self.unit, probes=verdict.probes)
        for key in verdict.probes:
            self._breakers[key].probing = True
        self._recent.add(seen)
        self._open += seen.cost
        return seen

    def settle(self, seen: Seen, cost: int, *, failed: bool = False, made: bool = True) -> tuple[Sighting, ...]:
        """What the call cost, once; returns which runs go on after having been stopped.

        One that was not ``made`` after all, for want of money or because its client left, shows nothing.
        """
        if seen.settled:
            return ()
        self._open -= max(seen.asked.expected, 0)
        seen.settled, seen.cost, seen.failed = True, cost, failed
        if seen.unit == self.unit:
            self.own += cost
        if not made:
            for key in seen.probes:
                if key in self._breakers:
                    self._breakers[key].probing = False
            return ()
        recovered = [key for key in seen.probes if self._tried(key, good=not (failed or seen.bad))]
        if recovered:
            self._recent.forget()
        return tuple(self._recovered(key) for key in recovered)

    # -- inside
    def _tried(self, key: str, *, good: bool) -> bool:
        breaker = self._breakers.get(key)
        median = self.usual.median if self.usual else 0
        return breaker is not None and breaker.tried(self.total / max(median, 1), good=good)

    def _stage(self, budget: Budget, breaker: Breaker, usual: Usual, found: float) -> str:
        """How far a run is on the way to being a loop, as far as the budget lets the guard go."""
        times = self.total / max(usual.median, 1)
        stage = stage_for(score(times, found, budget.loops.cost_multiple))
        if found < TELLING and (times < breaker.spared or not self.unit.startswith("run/")):
            stage = milder(stage, FLAG)
        return milder(stage, budget.loops.action)

    def _sighted(self, budget: Budget, stage: str, usual: Usual, evidence: Evidence) -> list[Sighting]:
        """The stage, where it is stricter than what was told of this run."""
        if STAGES.index(stage) <= STAGES.index(self._told.get(budget.key, NONE)):
            return []
        self._told[budget.key] = stage
        would = "would be under Enforce: " if budget.enforcement == REPORT else ""
        message = (
            f"{would}{figures(self.unit, self.total, usual, evidence)};"
            f" {consequence(stage, budget.key, budget.loops.cooldown)}"
        )
        return [self._sighting(budget, stage, REASONS[stage], message, usual)]

    def _sighting(self, budget: Budget, stage: str, reason: str, message: str, usual: Usual) -> Sighting:
        stops_at = int(usual.median * budget.loops.cost_multiple)
        return Sighting(budget.key, stage, reason, message, self.total, stops_at)

    def _recovered(self, key: str) -> Sighting:
        self._told.pop(key, None)
        message = (
            f"this run moved on in {self._breakers[key].good} calls that were let through: budget {key} lets it go on"
        )
        return Sighting(key, NONE, reasons.LOOP_RECOVERED, message, self.total, 0)

    def _refusal(self, budget: Budget, breaker: Breaker, usual: Usual, evidence: Evidence) -> Refusal:
        said = figures(self.unit, self.total, usual, evidence)
        text = f"{said}; budget {budget.key} refuses its calls (spec.loops)"
        if breaker.state == OPEN:
            text += " until one is let through to try"
        else:
            text += " while one is let through to try"
        return Refusal(
            reasons.LOOP_REFUSED,
            text,
            budget.refusal_status,
            budget=budget.key,
            limit=int(usual.median * budget.loops.cost_multiple),
            spent=self.total,
            resets_at=breaker.until if breaker.state == OPEN else None,
        )


def _usual_for(budget: Budget, learned: Usual | None) -> Usual | None:
    """What a budget takes for usual: what was learned of enough runs, else what it states."""
    if learned is not None and learned.sample >= budget.loops.minimum_runs:
        return learned
    return Usual(budget.loops.usual_run, 0) if budget.loops.usual_run else None
