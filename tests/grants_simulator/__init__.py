"""A world in which money grants have to hold: holders, a ledger with a disk, a bad network, and every kind of trouble.

Everything follows from a seed. A broken property raises :class:`Broken`, whose message begins with its number:

* P1 what providers billed in a window never passes its limit and what a trickle has made due since, but for what calls cost beyond their holds, what was let
  through on purpose, and what an operator released or restored away;
* P2 the ledger's sums are its rows' sums, every row covers its holder, and nothing is committed beyond a limit unbooked;
* P3 EXHAUSTED is only said where what is settled leaves no room, by the holders' own books;
* P4 no call waits beyond its deadline;
* P5 once calm returns, every living holder's row is what it spent, to the nano, and a dead one's is covered;
* P6 an honest holder is never flagged, and a liar always is;
* P7 what was written down by changes alone is the ledger;
* P8 in Slow, spend keeps to an even line, or to the rate that was stated.
"""

from grants_simulator.disk import Disk
from grants_simulator.experiments import half_hour, pace, rated, throttle, turns
from grants_simulator.scenarios import SCENARIOS, Scenario
from grants_simulator.world import Broken, Call, Kinds, Pod, World

__all__ = [
    "SCENARIOS",
    "Broken",
    "Call",
    "Disk",
    "Kinds",
    "Pod",
    "Scenario",
    "World",
    "half_hour",
    "pace",
    "rated",
    "throttle",
    "turns",
]
