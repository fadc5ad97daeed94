"""What may go wrong in a world, as a table."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scenario:
    """One kind of weather."""

    loss: float = 0.0
    """Part of the messages that never arrive."""
    double: float = 0.0
    """Part of the messages that arrive twice."""
    speed: float = 50.0
    """Messages take 1/speed seconds on average, each by itself: they overtake one another."""
    troubles: dict[str, float] = field(default_factory=dict)
    """Weights of the methods named ``trouble_*``."""
    days: int = 1
    """Windows that follow each other; above one the run crosses midnights."""
    dear: float = 0.0
    """Part of the calls that cost up to twice their hold."""
    ignore: bool = False
    """Whether calls go through while no ledger answers and the money at hand is gone."""
    trickle: float = 0.0
    """What may be spent beyond a limit, as calls of average cost in a second."""


_STORM = {"kill": 2, "resume": 4, "node": 0.5, "partition": 3, "restart": 3, "away": 0.7, "mistake": 0.3, "lie": 0.5}
_BAD = {"loss": 0.15, "double": 0.10, "speed": 2.0}

SCENARIOS = {
    "calm": Scenario(),
    "chaos": Scenario(**_BAD, troubles=_STORM),
    "edits": Scenario(**_BAD, troubles={**_STORM, "edit": 3}),
    "midnight": Scenario(**_BAD, troubles=_STORM, days=3),
    "restore": Scenario(**_BAD, troubles={**_STORM, "mistake": 0, "backup": 1, "restore": 1}),
    "overdraft": Scenario(**_BAD, troubles=_STORM, dear=0.03),
    "throttle": Scenario(**_BAD, troubles={**_STORM, "edit": 1, "backup": 0.5, "restore": 0.5}, trickle=0.5),
    "ignore": Scenario(**_BAD, troubles={**_STORM, "away": 3}, ignore=True),
}
