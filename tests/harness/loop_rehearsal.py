"""Drives shapes of runs past the guard, pod by pod, as sidecars and ledger would: without network, under a fake clock."""

import random
from dataclasses import dataclass, field

from shapes import HEALTHY, LOOPING, Turn
from wfb_core.budget import Budget, Limit, Loops
from wfb_core.loops import Asked, LoopGuard, Usual, retry_count, sketch_of, usual_of

KEY = bytes(range(32))
TOLD_EVERY = 1.0
"""Seconds between two words of the ledger on what other pods spent."""
TURNS_MOST = 5000


def budget(**loops):
    """A budget with a guard."""
    loops = {"action": "Refuse", **loops}
    return Budget("agents", "loops", {"aifinops.dev/workflow": "w"}, (Limit("Day", 10**15),), loops=Loops(**loops))


@dataclass
class Ran:
    """What became of one run."""

    cost: int = 0
    turns: int = 0
    dearest: int = 0
    """The dearest single call, nano-USD."""
    stages: dict[str, int] = field(default_factory=dict)
    """By stage: what the run had cost when it was first reached."""
    refused: str = ""
    """What the refusal said; empty for a run that was let go on."""
    evidence: str = ""


def learned(shape, runs, seed=0):
    """What the ledger would have learned of so many healthy runs of a shape."""
    units = []
    for n in range(runs):
        turns = list(HEALTHY[shape](random.Random(f"{shape}/{seed}/{n}")))
        units.append((sum(t.nanos for t in turns), sum(t.pause for t in turns)))
    return usual_of(units)


def rehearse(turns, usual: Usual, watched: Budget, *, unit="run/r1"):
    """One run until it ends or is refused."""
    ran, guards, told, now = Ran(), {}, {}, 1_000_000.0
    spent: dict[str, int] = {}
    for turn in turns:
        now += turn.pause
        guard = guards.setdefault(turn.pod, LoopGuard())
        guard.begin(unit)
        if now - told.get(turn.pod, float("-inf")) >= TOLD_EVERY:
            told[turn.pod] = now
            guard.hear(unit, usual, sum(n for pod, n in spent.items() if pod != turn.pod))
        asked = asked_of(turn)
        verdict = guard.judge(now, (watched,), "w", asked)
        for sighting in verdict.sightings:
            ran.stages.setdefault(sighting.stage, ran.cost)
        if verdict.refusal is not None:
            ran.refused = verdict.refusal.message
            return ran
        now += verdict.delay
        seen = guard.enter(now, asked, verdict)
        guard.settle(seen, turn.nanos, failed=turn.fails)
        spent[turn.pod] = spent.get(turn.pod, 0) + turn.nanos
        ran.cost += turn.nanos
        ran.turns += 1
        ran.dearest = max(ran.dearest, turn.nanos)
        if ran.turns >= TURNS_MOST:
            raise AssertionError(f"{TURNS_MOST} turns, and neither an end nor a refusal")
    return ran


def asked_of(turn: Turn):
    """The request as the sidecar shows it to the guard."""
    sketch = sketch_of(turn.body, KEY)
    return Asked(sketch, retry_count(turn.headers), turn.input_bytes, max(turn.nanos, 1))


def unit_of_shape(shape):
    """Chat pods are a Deployment's and have no run; everything else has one."""
    return "hour/275/chat" if shape == "chat" else "run/r1"


def healthy(shape, runs, *, seed=1, sample=48, **loops):
    """So many healthy runs of a shape that the guard has not seen before."""
    usual, watched = learned(shape, sample), budget(**loops)
    make = HEALTHY[shape]
    return usual, [
        rehearse(make(random.Random(f"{shape}/{seed}/{n}")), usual, watched, unit=unit_of_shape(shape))
        for n in range(runs)
    ]


def looping(shape, runs, *, seed=1, sample=48, **loops):
    """So many runs that loop."""
    loop = LOOPING[shape]
    usual, watched = learned(loop.workflow, sample), budget(**loops)
    return usual, [rehearse(loop.run(random.Random(f"{shape}/{seed}/{n}")), usual, watched) for n in range(runs)]
