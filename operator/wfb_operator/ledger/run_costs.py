"""What runs cost, workflow by workflow: learned from every usage row, whether or not a budget looks at it yet.

A unit is a run over all of its pods, or a clock hour of a pod without one. Units that a guard slowed down or refused, and
that did not recover, are left out of what is usual: a night of loops must not make loops usual.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from wfb_core import reasons
from wfb_core.loops import QUIET_SECONDS, UNITS_KEPT, Usual, unit_of, usual_of
from wfb_core.wire import DecisionRecord, RunFigures
from wfb_operator.ledger.identities import Identity
from wfb_operator.ledger.store.port import StoredRunCost, StoredSighting, Writes

UNITS_MOST = 512
"""Finished units of a workflow in memory: enough of each kind for UNITS_KEPT of it."""
WORKFLOWS_MOST = 10_000
USUAL_SECONDS = 5.0
"""How long a median stands before it is computed anew."""

STAGES = {
    reasons.LOOP_FLAGGED: "Flag",
    reasons.LOOP_SLOWED: "Slow",
    reasons.LOOP_REFUSED: "Refuse",
    reasons.LOOP_RECOVERED: "Recovered",
}
"""The stage that a decision's reason tells of."""
_CAUGHT = ("Slow", "Refuse")


@dataclass(slots=True)
class _Unit:
    first: float
    last: float
    pods: dict[str, int] = field(default_factory=dict)
    caught: set[str] = field(default_factory=set)
    """Pods whose guards stopped it."""
    told: set[tuple[str, str]] = field(default_factory=set)
    """(budget, stage)."""


@dataclass(slots=True)
class _Workflow:
    units: "OrderedDict[str, _Unit]" = field(default_factory=OrderedDict)
    """The one heard of longest ago first."""
    usual: dict[str, tuple[float, Usual | None]] = field(default_factory=dict)
    """By kind of unit: until when it stands, and what is usual."""


class RunCosts:
    """The units of all workflows."""

    def __init__(self, rows: Iterable[StoredRunCost] = ()) -> None:
        self._workflows: OrderedDict[tuple[str, str], _Workflow] = OrderedDict()
        for row in sorted(rows, key=lambda row: row.last_seen):
            unit = self._unit((row.namespace, row.workflow), row.unit, row.first_seen)
            unit.first, unit.last = min(unit.first, row.first_seen), max(unit.last, row.last_seen)
            unit.pods[row.pod] = unit.pods.get(row.pod, 0) + row.nanos
            if row.caught:
                unit.caught.add(row.pod)

    def book(self, identity: Identity, at: float, nanos: int, writes: Writes) -> None:
        """A pod spent something in a minute that began at a time."""
        name = unit_of(identity.run, identity.holder_prefix, at)
        unit = self._unit(_of(identity), name, at)
        unit.first, unit.last = min(unit.first, at), max(unit.last, at)
        unit.pods[identity.holder_prefix] = unit.pods.get(identity.holder_prefix, 0) + nanos
        self._write(identity, name, unit, at, nanos, writes)

    def sighted(self, identity: Identity, holder: str, record: DecisionRecord, writes: Writes) -> str | None:
        """A pod's guard tells of a stage; the stage where it is new for this run and budget, else None."""
        stage = STAGES.get(record.reason)
        if stage is None or record.kind != "finding":
            return None
        name = unit_of(identity.run, identity.holder_prefix, record.at)
        unit = self._unit(_of(identity), name, record.at)
        pod = identity.holder_prefix
        was = pod in unit.caught
        if stage in _CAUGHT:
            unit.caught.add(pod)
        elif stage == "Recovered":
            unit.caught.discard(pod)
        if was != (pod in unit.caught):
            self._write(identity, name, unit, record.at, 0, writes)
        if (record.budget, stage) in unit.told:
            return None
        unit.told.add((record.budget, stage))
        sighting = StoredSighting(
            identity.namespace,
            identity.label("workflow"),
            name,
            record.budget,
            stage,
            record.reason,
            record.message,
            record.at,
            record.spent,
            record.limit,
            holder,
        )
        writes.sightings.append(sighting)
        return stage

    def figures(self, identity: Identity, now: float) -> RunFigures:
        """What a pod's guard compares with."""
        name = unit_of(identity.run, identity.holder_prefix, now)
        workflow = self._workflows.get(_of(identity))
        if workflow is None:
            return RunFigures(name)
        unit = workflow.units.get(name)
        own = unit.pods.get(identity.holder_prefix, 0) if unit else 0
        total = sum(unit.pods.values()) if unit else 0
        usual = self._usual(workflow, name.partition("/")[0], now) or Usual(0, 0, 0)
        return RunFigures(name, own, total - own, usual.median, usual.sample, usual.rate)

    # -- inside
    def _usual(self, workflow: _Workflow, kind: str, now: float) -> Usual | None:
        until, usual = workflow.usual.get(kind, (float("-inf"), None))
        if now >= until:
            finished = (
                (sum(unit.pods.values()), unit.last - unit.first + 60.0)
                for name, unit in reversed(workflow.units.items())
                if name.startswith(kind) and not unit.caught and unit.last + 60.0 <= now - QUIET_SECONDS
            )
            usual = usual_of(islice(finished, UNITS_KEPT))
            workflow.usual[kind] = now + USUAL_SECONDS, usual
        return usual

    def _unit(self, key: tuple[str, str], name: str, at: float) -> _Unit:
        workflow = self._workflows.get(key)
        if workflow is None:
            if len(self._workflows) >= WORKFLOWS_MOST:
                self._workflows.popitem(last=False)
            workflow = self._workflows[key] = _Workflow()
        self._workflows.move_to_end(key)
        unit = workflow.units.get(name)
        if unit is None:
            unit = workflow.units[name] = _Unit(at, at)
            workflow.usual.clear()
        workflow.units.move_to_end(name)
        while len(workflow.units) > UNITS_MOST:
            oldest = next(iter(workflow.units.values()))
            if oldest.last + 60.0 > at - QUIET_SECONDS:
                break  # still at work: its total is needed
            workflow.units.popitem(last=False)
        return unit

    @staticmethod
    def _write(identity: Identity, name: str, unit: _Unit, at: float, nanos: int, writes: Writes) -> None:
        key = (*_of(identity), name, identity.holder_prefix)
        _, known = writes.run_costs.get(key, (0.0, 0))[:2]
        writes.run_costs[key] = (max(unit.last, at), known + nanos, int(identity.holder_prefix in unit.caught))


def _of(identity: Identity) -> tuple[str, str]:
    return identity.namespace, identity.label("workflow")
