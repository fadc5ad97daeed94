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
    rates: tuple[tuple[float, int], ...] = ()
    """Rates of pacing as (from which part of the limit, nano-USD per hour), rising by part; a rate of 0, and where there
    is none, spreads what is left evenly to the end."""
    trickle: int = 0
    """Nano-USD per hour that may be spent beyond the limit once it is exhausted; 0 for none."""
    exhausted_at: float = inf
    """When a call first found too little left, with a trickle; infinity while the limit itself has room."""
    goal: int | None = None
    """The limit that Slow paces to, where it is not the one that grants are held to."""
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
    allowance: int = field(default=0, init=False)
    """What the trickle allows beyond the limit; ``advance`` brings it up to date."""

    def __post_init__(self) -> None:
        self.largest = max(self.largest, self.limit)

    def free(self) -> int:
        """What may still be granted; negative after an overdraft or a cut limit."""
        return self.limit + self.allowance - self.granted

    def left(self) -> int:
        """What nobody has settled, of the limit and of what the trickle allows."""
        return self.limit + self.allowance - self.used

    def room(self) -> int:
        """What nobody has settled or reserved, of the limit and of what the trickle allows."""
        return self.limit + self.allowance - self.used - self.held

    def agreed(self) -> int:
        """What is spent beyond the limit because the trickle allowed it."""
        return max(0, min(self.used - self.limit, self.allowance))

    def open_at(self, now: float) -> bool:
        """Whether calls may be placed in it."""
        return self.start <= now < self.end

    def slow(self) -> bool:
        """Whether calls are paced: enough is used, and there is an end to pace to or a rate of its own."""
        goal = self._goal()
        if self.used < self.slow_from * goal:
            return False
        return self.rate() > 0 or (self.end < inf and (self.goal is None or self.used < goal))

    def rate(self) -> int:
        """The rate of pacing now, nano-USD per hour; 0 where what is left is spread to the end."""
        rate = 0
        for part, step in self.rates:
            if self.used >= part * self._goal():
                rate = step
        return rate

    def _goal(self) -> int:
        return self.limit if self.goal is None else self.goal

    def throttled(self, hold: int) -> bool:
        """Whether a hold would have to come from the trickle: of the limit itself too little is left for it."""
        return self.trickle > 0 and self.limit - self.used - self.lost < hold

    def advance(self, now: float) -> None:
        """Let what the trickle allows grow to ``now``."""
        since = now - self.exhausted_at
        self.allowance = int(self.trickle * since / 3600) if since > 0 else 0

    def trickle_seconds(self, missing: int) -> float:
        """How long until the trickle has made up for a missing amount."""
        return max(0.0, missing * 3600 / self.trickle)

    def crowded_by_trickle(self, need: int, patience: float) -> bool:
        """Whether the trickle surely comes too late for a need (what is ahead included), even if all holds came back."""
        return (
            len(self.queue) >= timing.CROWD_CALLS or self.trickle_seconds(need - (self.left() - self.lost)) > patience
        )

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
            return expected_ahead > self.pace_per_second(now) * timing.CROWD
        return hold_ahead > self.left()

    def pace_per_second(self, now: float) -> float:
        """What may be spent in a second, nano-USD: the rate, or what is left spread to the end."""
        if rate := self.rate():
            return rate / 3600
        return max(0, self._goal() - self.used) / self.seconds_to_end(now, timing.CROWD)

    def pace_seconds(self, now: float, behind: int) -> float:
        """How long until the line has made up for an amount that it is behind, as things stand."""
        speed = self.pace_per_second(now)
        return (behind + 1) / speed if speed > 0 else self.seconds_to_end(now, 0.0)

    def pace(self, now: float) -> int:
        """How far the line is above what is spent and expected; a call may go while this is positive."""
        spent, goal, rate = self.used + self.expected, self._goal(), self.rate()
        if self.line is None:
            self.line, self.line_at = spent, now
        elapsed = now - self.line_at
        if rate:
            grown = rate * elapsed / 3600
        else:
            rest_of_window = self.end - self.line_at
            grown = (goal - self.line) * min(1.0, elapsed / rest_of_window) if rest_of_window > 0 else 0.0
        self.line += int(grown)
        if (
            grown
        ):  # the time of the part of a nano that was cut off has not passed: many short steps make as much as one
            self.line_at += elapsed * int(grown) / grown
        else:
            self.line_at = now
        if rate:
            self.line = min(self.line, spent + max(1, rate // 60))
        else:
            rest = max(0, goal - spent)
            minute = int(rest * 60 / self.seconds_to_end(now, 60.0))
            self.line = min(max(self.line, self.used - rest // 50), spent + max(1, min(rest // 50, minute)))
        return self.line - spent

    def queued(self, now: float) -> int:
        """How many calls wait here."""
        return sum(now < waiter.until for waiter in self.queue.values())

    def lapse(self, now: float) -> None:
        """Drop the waiters that their holders no longer repeat."""
        self.queue = {key: waiter for key, waiter in self.queue.items() if now < waiter.until}
