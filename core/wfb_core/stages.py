"""Stages: where on its ladder a window stands, by the percentage of its limit that is spent."""

from collections.abc import Iterable
from dataclasses import dataclass

from wfb_core.budget import DOWNGRADE, SLOW, WARN, Rung

OPEN, EXHAUSTED = "Open", "Exhausted"

STAGES = (OPEN, WARN, SLOW, DOWNGRADE, EXHAUSTED)
"""The names of all stages, from the mildest to the strictest."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage and the percentage at which it began: 0 for Open, 100 for Exhausted."""

    name: str = OPEN
    at_percent: int = 0


def percent_used(used: int, limit: int) -> int:
    """Whole percent of a limit that is spent, rounded down: 100 means that nothing is left.

    Both are nano-USD. A limit of nothing is spent from the start; an overdraft makes more than 100.
    """
    return used * 100 // limit if limit > 0 else 100


def stage_of(ladder: Iterable[Rung], used: int, limit: int) -> Stage:
    """The stage of a window with ``used`` of ``limit`` nano-USD spent: the highest rung reached, or Exhausted."""
    if used >= limit:
        return _SPENT
    percent, top = percent_used(used, limit), None
    for rung in ladder:
        if rung.at_percent <= percent and (top is None or rung.at_percent > top.at_percent):
            top = rung
    return _BELOW if top is None else Stage(top.action, top.at_percent)


_BELOW, _SPENT = Stage(), Stage(EXHAUSTED, 100)


def strictest(stages: Iterable[Stage]) -> Stage:
    """Of several limits' stages the one that counts; of two with one name the later begun. Open where there is none."""
    return max(stages, key=lambda stage: (STAGES.index(stage.name), stage.at_percent), default=Stage())
