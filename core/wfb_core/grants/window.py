"""One limit in one period: its sums over all holders, its queue and its pace."""

from dataclasses import dataclass, field
from math import inf

from wfb_core.grants import timing

SUMS = ("granted", "used", "held", "expected", "want", "lost", "beyond")
"""The fields of a Row that its Window keeps the running sum of."""


@dataclass(slots=True)
class Row:
    """One holder in one window; every field is durable, nano-USD."""

    granted: int = 0
    """Running total handed to the holder, what it overdrew included."""
    used: int = 0
    held: int = 0
    expected: int = 0
    want: int = 0
    released: int = 0
    """Slack taken back by hand; believed again if the holder returns."""
    lost: int = 0
    """What is granted and not used, while the holder is lost; otherwise 0."""
    beyond: int = 0
    """The part of ``granted`` that nobody granted and that is still only held: it becomes overdraft or goes back."""


@dataclass(slots=True)
class Waiter:
    """A call's place in a window's queue; forgotten by a restart, and repeated by its holder."""

    since: float
    hold: int
    expected: int
    until: float
    """It lapses then, unless its holder repeats the need."""


@dataclass(slots=True)
class Window:
    """One limit in one period; the constructor's fields are durable, the rest is rebuilt or may be forgotten."""

    limit: int
    """Nano-USD."""
    start: float = -inf
    end: float = inf
    """Unix seconds, exclusive."""
    slow_from: float = inf
    """The part of the limit from which calls are paced, such as 0.85."""
    largest: int = 0
    """The largest limit it ever had: what a holder may plausibly have overdrawn does not shrink with an edit."""
    overdraft: int = 0
    """Settled beyond what was granted, in all."""
    learned: int = 0
    """Believed from holders after a restore or a release, in all."""

    granted: int = field(default=0, init=False)
    used: int = field(default=0, init=False)
    """Settled by all holders."""
    held: int = field(default=0, init=False)
    """Reserved by calls in flight."""
    expected: int = field(default=0, init=False)
    want: int = field(default=0, init=False)
    lost: int = field(default=0, init=False)
    """Granted to holders that fell silent, and not known to be used."""
    beyond: int = field(default=0, init=False)
    """Held beyond what was granted, now."""
    tight_until: float = field(default=-inf, init=False)
    queue: dict[tuple[str, int], Waiter] = field(default_factory=dict, init=False)
    """Waiters by (holder, call)."""
    line: int | None = field(default=None, init=False)
    """Where an even spend would be, while slow."""
    line_at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.largest = max(self.largest, self.limit)

    def free(self) -> int:
        """What may still be granted; negative after an overdraft or a cut limit."""
        return self.limit - self.granted

    def left(self) -> int:
        """What nobody has settled."""
        return self.limit - self.used

    def room(self) -> int:
        """What nobody has settled or reserved."""
        return self.limit - self.used - self.held

    def open_at(self, now: float) -> bool:
        """Whether calls may be placed in it."""
        return self.start <= now < self.end

    def slow(self) -> bool:
        """Whether calls are paced: enough is used, and there is an end to pace to."""
        return self.end < inf and self.used >= self.slow_from * self.limit

    def seconds_to_end(self, now: float, least: float) -> float:
        """Time to its end, but no less than ``least``."""
        return max(least, self.end - now)

    def ahead(self, now: float, since: float) -> tuple[int, int, float]:
        """Holds and expectations of the calls that wait here since before ``since``, and how long the oldest has."""
        hold = expected = 0
        oldest = now
        for waiter in self.queue.values():
            if waiter.since < since and now < waiter.until:
                hold += waiter.hold
                expected += waiter.expected
                oldest = min(oldest, waiter.since)
        return hold, expected, now - oldest

    def crowded(self, hold_ahead: int, expected_ahead: int, oldest: float, now: float, *, paced: bool) -> bool:
        """Whether a newcomer could not count on its turn: those who may join get one in time, the rest hear so at once."""
        if oldest > timing.CROWD or len(self.queue) >= timing.CROWD_CALLS:
            return True
        if paced:
            return expected_ahead > self.left() * timing.CROWD / self.seconds_to_end(now, timing.CROWD)
        return hold_ahead > self.left()

    def pace(self, now: float) -> int:
        """How far the line is above what is spent and expected; a call may go while this is positive."""
        spent = self.used + self.expected
        if self.line is None:
            self.line, self.line_at = spent, now
        rest_of_window = self.end - self.line_at
        if rest_of_window > 0:
            self.line += int((self.limit - self.line) * min(1.0, (now - self.line_at) / rest_of_window))
        self.line_at = now
        rest = max(0, self.limit - spent)
        minute = int(rest * 60 / self.seconds_to_end(now, 60.0))
        lowest, highest = self.used - rest // 50, spent + max(1, min(rest // 50, minute))
        self.line = min(max(self.line, lowest), highest)
        return self.line - spent

    def lapse(self, now: float) -> None:
        """Drop the waiters that their holders no longer repeat."""
        self.queue = {key: waiter for key, waiter in self.queue.items() if now < waiter.until}
