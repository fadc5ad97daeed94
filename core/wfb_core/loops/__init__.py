"""Runs that go round in circles: judged by what they cost beside their workflow's own usual run, and stopped by a breaker.

- *Cost decides.* A run, over all of its pods, is set against the median of its workflow's finished runs (``usual``). At
  ``costMultiple`` times that it is a loop, whatever its calls look like. Nothing below twice the median ever is.
- *What the calls look like lowers that multiple* (``recent``, ``score``): requests that are nearly the same, tools that
  keep failing while the context grows, attempts that an SDK repeats, money that flows faster than usual. Each call weighs
  as much as it cost: attempts that a provider's outage fails cost nothing and say nothing.
- *Requests are compared by sketches* (``sketch``): keyed hashes of a few word groups of the last messages, kept in memory
  only. No content is kept, and no sketch leaves the process.
- *Flag, Slow, Refuse* in this order, as far as the budget lets the guard go (``guard``). A refused run is tried again after
  a cool-down, call by call; one that moves on is let go on (``breaker``).
- A pod without a run is judged by the clock hour, and its cost alone only flags it: it follows its callers' number.

Pure: time is an argument, the key is given. Ratios are floats, since they are guesses; money stays whole.
"""

from wfb_core.loops.guard import LoopGuard, LoopVerdict, Sighting
from wfb_core.loops.recent import Asked, Seen
from wfb_core.loops.retries import retry_count
from wfb_core.loops.sketch import Sketch, sketch_of
from wfb_core.loops.usual import QUIET_SECONDS, UNITS_KEPT, Usual, unit_of, usual_of

__all__ = [
    "QUIET_SECONDS",
    "UNITS_KEPT",
    "Asked",
    "LoopGuard",
    "LoopVerdict",
    "Seen",
    "Sighting",
    "Sketch",
    "Usual",
    "retry_count",
    "sketch_of",
    "unit_of",
    "usual_of",
]
