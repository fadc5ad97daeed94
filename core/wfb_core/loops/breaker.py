"""The breaker of one run at one budget: closed, open for a cool-down, then half open, call by call.

A half-open breaker lets one call at a time through to try. A call that looks like one more turn of the loop is let through
once, since what failed may have been mended meanwhile; a second one opens the breaker again, for twice as long. Calls that
move on close it after three. A run that was stopped for its cost alone may then spend one more usual run.
"""

from dataclasses import dataclass

GOOD_PROBES = 3
"""Calls that must have moved on before a run goes on freely."""
LONGEST = 16
"""Times the cool-down at most, however often a run is stopped."""

CLOSED, OPEN, HALF_OPEN = "Closed", "Open", "HalfOpen"


@dataclass(slots=True)
class Breaker:
    """What one budget does about one pod's run."""

    state: str = CLOSED
    until: float = 0.0
    """Open: when a call is let through to try."""
    trips: int = 0
    probing: bool = False
    good: int = 0
    bad: int = 0
    spared: float = 0.0
    """Times the median up to which cost alone stops the run no more."""
    slowed: int = 0
    """Calls in stage Slow, in a row: each waits twice as long as the one before."""

    def trip(self, now: float, cooldown: float) -> None:
        """Opens, for longer each time."""
        self.until = now + min(cooldown * 2**self.trips, cooldown * LONGEST)
        self.trips += 1
        self.state, self.probing, self.good, self.bad = OPEN, False, 0, 0

    def lets_try(self, now: float, cooldown: float, *, suspicious: bool) -> bool:
        """Whether a call goes through while the breaker is not closed."""
        if self.state == OPEN and now >= self.until:
            self.state = HALF_OPEN
        if self.state != HALF_OPEN or self.probing:
            return False
        if suspicious and self.bad:
            self.trip(now, cooldown)
            return False
        return True

    def tried(self, times: float, *, good: bool) -> bool:
        """A call let through has ended; True where that closes the breaker."""
        self.probing = False
        if self.state != HALF_OPEN:
            return False
        if not good:
            self.bad += 1
            return False
        self.good += 1
        if self.good < GOOD_PROBES:
            return False
        self.state, self.spared = CLOSED, times + 1.0
        return True

    def delay(self, most: float) -> float:
        """Seconds that the next call in stage Slow waits."""
        self.slowed += 1
        return min(most, 2.0 ** min(self.slowed - 1, 16))
