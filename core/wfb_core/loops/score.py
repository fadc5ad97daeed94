"""From cost and evidence to a score: 1 is a loop. The weights are judgement, tried on the shapes of tests/shapes."""

from math import log

from wfb_core.budget import FLAG, REFUSE, SLOW
from wfb_core.loops.recent import GROWN, SNOWBALL, Evidence
from wfb_core.loops.usual import Usual

NONE = "None"
STAGES = (NONE, FLAG, SLOW, REFUSE)
"""From the mildest to the strictest."""

FROM = {FLAG: 0.8, SLOW: 0.9, REFUSE: 1.0}
"""The score at which each begins."""

FLOOR = 2.0
"""Times the median below which nothing is a loop."""
REACH = 0.7
"""What full evidence is worth: with it a costMultiple of 10 becomes 2."""
TELLING = 0.3
"""Evidence below which a run is judged by its cost alone."""

_ALIKE, _FAILING, _RETRIED, _SNOWBALL, _FAST = 0.9, 0.7, 0.5, 0.15, 0.15
"""What each kind of evidence is worth by itself."""


def weight(evidence: Evidence, usual: Usual) -> float:
    """All evidence together, from 0 to 1: kinds add up as independent witnesses do."""
    failing = _ramp(evidence.failed_tools, 0.5, 0.9) * (1.0 if evidence.growth >= GROWN else 0.5)
    faster = evidence.rate / usual.rate if usual.rate > 0 else 0.0
    doubts = (
        1.0 - _ALIKE * _ramp(evidence.alike, 0.3, 0.8),
        1.0 - _FAILING * failing,
        1.0 - _RETRIED * _ramp(evidence.retried, 0.2, 0.7),
        1.0 - _SNOWBALL * _ramp(evidence.growth, GROWN, SNOWBALL * 2),
        1.0 - _FAST * _ramp(faster, 4.0, 16.0),
    )
    doubt = 1.0
    for part in doubts:
        doubt *= part
    return 1.0 - doubt


def score(times: float, evidence: float, multiple: float) -> float:
    """The score of a run that costs ``times`` the median; 1 at the multiple without evidence, and earlier with it."""
    if times >= multiple:
        return 1.0 + evidence
    if times < FLOOR:
        return 0.0
    return log(times) / log(multiple) + REACH * evidence


def stage_for(points: float) -> str:
    """The stage that a score reaches."""
    if points < FROM[FLAG]:
        return NONE
    return next(stage for stage in reversed(STAGES) if points >= FROM[stage])


def milder(one: str, other: str) -> str:
    """The milder of two stages."""
    return one if STAGES.index(one) <= STAGES.index(other) else other


def _ramp(value: float, least: float, full: float) -> float:
    return min(1.0, max(0.0, (value - least) / (full - least)))
