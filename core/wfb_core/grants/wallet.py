"""The wallet: one holder's money in all its windows, and its calls in flight and in wait."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Self

from wfb_core.grants import timing
from wfb_core.grants.messages import (
    BUSY,
    EXHAUSTED,
    GRANTED,
    PACED,
    PENDING,
    SPENT,
    STUCK,
    THROTTLED,
    TIMED_OUT,
    Claim,
    Need,
    Obstacle,
    Reply,
    Report,
)
from wfb_core.grants.purse import Purse

WindowsAt = Callable[[float], tuple[str, ...]]
"""A call's windows at a time: they change at midnight while it waits."""

Delay = Callable[[str], float]
"""The most seconds that a window may hold a call back by pace or trickle."""


@dataclass(frozen=True, slots=True)
class Record:
    """What has to survive the process: written before a call leaves and before a report leaves."""

    holder: str
    epoch: int
    seq: int
    purses: dict[str, tuple[int, int, int]]
    """By window: (ceiling, used, held)."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A call in flight."""

    hold: int
    expected: int
    windows: tuple[str, ...]
    waited: float


@dataclass(slots=True)
class Wait:
    """A call that waits."""

    hold: int
    expected: int
    at: WindowsAt
    since: float
    deadline: float
    wait: float
    delay: Delay | None
    asked: tuple[str, ...] = ()
    """The windows it named in the last report."""

    def hear(self, obstacle: Obstacle) -> None:
        """Wait as long as is right for what stands in the way."""
        paced = self.delay is not None and obstacle.way in (PACED, THROTTLED)
        self.deadline = self.since + (self.delay(obstacle.window) if paced and self.delay else self.wait)

    def patience(self, now: float, obstacle: Obstacle | None) -> float:
        """How long it would still wait for its turn; by its most patient window where none is known to decide."""
        if self.delay is None:
            return max(0.0, self.deadline - now)
        windows = self.asked if obstacle is None else (obstacle.window,)
        return max(0.0, self.since + max(map(self.delay, windows), default=0.0) - now)


@dataclass(slots=True)
class Wallet:
    """Decides calls from money at hand, and asks for what is missing. Money in nano-USD, times in seconds.

    The shell around it calls ``ask`` for a call and ``settle`` exactly once when it ends; sends ``report(now)``
    whenever ``due()`` has come, hands replies to ``on_reply``, and after each of these takes answers from ``poll``.
    """

    holder: str
    save: Callable[[Record], None]
    """Writes a record down; it has returned before a call or a report leaves."""
    epoch: int = 0
    seq: int = 0
    purses: dict[str, Purse] = field(default_factory=dict)
    holds: dict[int, Hold] = field(default_factory=dict, init=False)
    """Calls in flight by number."""
    waiting: dict[int, Wait] = field(default_factory=dict, init=False)
    sent: float = field(default=-inf, init=False)
    """When the last report left."""
    _done: list[tuple[int, str]] = field(default_factory=list, init=False)
    _waits: dict[int, float] = field(default_factory=dict, init=False)  # how long those of the last poll had waited
    _obstacles: dict[int, tuple[float, Obstacle]] = field(default_factory=dict, init=False)  # with when each was heard
    _told: dict[str, tuple[int, int]] = field(default_factory=dict, init=False)  # (left, room) before a first reply
    _in_flight: bool = field(default=False, init=False)
    _changed: bool = field(default=False, init=False)
    _urgent: bool = field(default=False, init=False)
    _freed: bool = field(default=False, init=False)
    _now: float = field(default=-inf, init=False)
    _heard: float = field(default=-inf, init=False)
    _unanswered_since: float = field(default=inf, init=False)
    _period: float = field(default=timing.FAR, init=False)

    @classmethod
    def resume(cls, record: Record, save: Callable[[Record], None]) -> Self:
        """The wallet of a process that ended without a word: what it held counts as used."""
        purses = {name: cls._resumed(*totals) for name, totals in record.purses.items()}
        wallet = cls(record.holder, save, record.epoch, record.seq, purses)
        wallet._changed = True
        return wallet

    @staticmethod
    def _resumed(ceiling: int, used: int, held: int) -> Purse:
        return Purse(ceiling, used + held, keep=max(0, ceiling - used - held))

    # What is known

    def silent(self, now: float) -> bool:
        """Whether no ledger answers: reports have gone unanswered for SILENT seconds."""
        return now - self._unanswered_since > timing.SILENT

    def left(self, window: str) -> int | None:
        """What nobody has settled in a window, as last heard; None where nothing was heard."""
        purse = self.purses.get(window)
        if purse is not None and purse.left is not None:
            return purse.left
        return self._told[window][0] if window in self._told else None

    def room(self, window: str) -> int | None:
        """What nobody has settled or reserved in a window, as last heard; None where nothing was heard."""
        purse = self.purses.get(window)
        if purse is not None and purse.room is not None:
            return purse.room
        return self._told[window][1] if window in self._told else None

    def spent(self, window: str) -> int | None:
        """What all holders have settled in a window, as last heard; None where nothing was heard."""
        purse = self.purses.get(window)
        if purse is None or purse.left is None or purse.limit is None:
            return None
        return purse.limit + (purse.trickled or 0) - purse.left

    def at_hand(self, windows: tuple[str, ...]) -> int:
        """What the holder may still reserve in all of these windows without asking; 0 where one is new to it."""
        slack = (p.ceiling - p.used - p.held if (p := self.purses.get(name)) else 0 for name in windows)
        return max(0, min(slack, default=0))

    def hear(self, window: str, left: int, room: int) -> None:
        """Learn of a window before the first reply about it; a reply counts for more."""
        purse = self.purses.get(window)
        if purse is None or purse.left is None:
            self._told[window] = left, room

    def waited(self, call: int) -> float:
        """Seconds a call waited for its answer: 0.0 where it had one at once; for one that waits, up to the last poll.

        Known while the call waits, while it is in flight, and for a refused one until the next poll.
        """
        if call in self.holds:
            return self.holds[call].waited
        if call in self.waiting:
            return max(0.0, self._now - self.waiting[call].since)
        return self._waits.get(call, 0.0)

    def obstacle(self, call: int) -> Obstacle | None:
        """What stands, or stood, in a call's way, its turn as of the last poll; None where nobody said.

        Known while the call waits, and after its answer until the next poll.
        """
        if call not in self._obstacles:
            return None
        heard, obstacle = self._obstacles[call]
        return replace(obstacle, turn=max(0.0, obstacle.turn - max(0.0, self._now - heard)))

    def clamp(self, hold: int, floor: int, windows: tuple[str, ...], limits: Mapping[str, int]) -> int:
        """The hold that an answer's cap may be cut down to: an eighth of the room, but not under the call's ``floor``.

        Where no room was heard yet the limit stands in for it; a window that neither knows does not clamp.
        """
        rooms = [self.room(name) if self.room(name) is not None else limits.get(name) for name in windows]
        eighths = [room // 8 for room in rooms if room is not None]
        return min(hold, max(floor, min(eighths, default=hold)))

    # Calls

    def ask(
        self, now: float, call: int, hold: int, expected: int, at: WindowsAt, wait: float, delay: Delay | None = None
    ) -> str:
        """GRANTED, EXHAUSTED or PENDING; a pending call's answer comes from ``poll`` within ``wait`` seconds.

        Where ``delay`` is given the ledger has TIMEOUT seconds to say what stands in the way, however short ``wait``
        is, and a window that paces or throttles the call may hold it back as long as ``delay`` says of it instead.
        ``call`` is a number that was never used before; ``at`` gives the call's windows, and a call without windows is
        granted. Raises ValueError for a negative amount or a number in use.
        """
        if hold < 0 or expected < 0:
            raise ValueError(f"call {call} asks for a hold of {hold} and expects {expected}: amounts are zero or more")
        if call in self.holds or call in self.waiting:
            raise ValueError(f"call {call} was asked for before: give every call a number of its own")
        windows = at(now)
        for name in windows:
            purse = self._purse(now, name)
            purse.note(now, hold=hold)
            purse.asked = now
        if self._may_help_itself(now, windows) and self._fits(hold, windows):
            self._place(call, Hold(hold, expected, windows, 0.0))
            return GRANTED
        if now - self._heard < timing.NEAR:
            spent = [(self.purses[name].left or 0, name) for name in windows if self._known_exhausted(name, hold)]
            if spent:
                self._now = max(self._now, now)
                self._obstacles[call] = now, Obstacle(min(spent)[1], SPENT)
                return EXHAUSTED
        first = wait if delay is None else max(wait, timing.TIMEOUT)
        self.waiting[call] = Wait(hold, expected, at, now, now + first, wait, delay)
        self._urgent = True
        return PENDING

    def overdraw(
        self,
        now: float,
        call: int,
        hold: int,
        expected: int,
        windows: tuple[str, ...],
        limits: Mapping[str, int] | None = None,
    ) -> bool:
        """Place a hold beyond the ceiling; for a budget that lets calls through while no ledger answers.

        It is reported with everything else, and the ledger books it as overdraft. False, and nothing placed, beyond
        what a ledger believes of an honest holder: twice the ceiling plus a twentieth of the limit (the other half of
        the ledger's tenth stays for calls that cost more than their hold). ``limits`` serve windows whose limit was not
        heard; without them what was left serves, which is never more.
        """
        if hold < 0 or expected < 0:
            raise ValueError(f"call {call} asks for a hold of {hold} and expects {expected}: amounts are zero or more")
        if call in self.holds:
            raise ValueError(f"call {call} is in flight: a hold is placed once")
        for name in windows:
            purse = self.purses.get(name, Purse())
            limit = purse.limit if purse.limit is not None else (limits or {}).get(name, max(0, self.left(name) or 0))
            if purse.used + purse.held + hold > 2 * purse.ceiling + limit // 20:
                return False
        waiting = self.waiting.pop(call, None)
        for name in windows:
            self._purse(now, name).asked = now
        self._place(call, Hold(hold, expected, windows, now - waiting.since if waiting else self.waited(call)))
        return True

    def drop(self, call: int) -> None:
        """Forget a waiting call whose client left: money granted to it meanwhile is slack, and leaves with the next cut."""
        if self.waiting.pop(call, None):
            self._obstacles.pop(call, None)
            self._changed = self._freed = True

    def settle(self, now: float, call: int, cost: int) -> None:
        """Replace a call's hold by what it cost.

        Raises KeyError for a call that is not in flight, and ValueError for a negative cost.
        """
        if cost < 0:
            raise ValueError(f"call {call} settles at {cost}: a cost is zero or more")
        placed = self.holds.pop(call)
        for name in placed.windows:
            purse = self.purses[name]
            purse.held -= placed.hold
            purse.expected -= placed.expected
            purse.used += cost
            purse.note(now, spend=cost)
            self._freed = self._freed or purse.keep == 0
        self._changed = True
        self._urgent = self._urgent or bool(self.waiting)

    def keep(self) -> None:
        """Write down what was settled since a call or report last left: a kill then counts it at its cost, not its hold."""
        self._save()

    def poll(self, now: float) -> list[tuple[int, str]]:
        """Answers to waiting calls since the last poll: GRANTED, EXHAUSTED, STUCK, BUSY or TIMED_OUT."""
        self._now = max(self._now, now)
        for call, wait in list(self.waiting.items()):
            windows = wait.at(now)
            if self._may_help_itself(now, windows) and self._fits(wait.hold, windows):
                self._admit(now, call)
            elif now >= wait.deadline:
                self._answer(now, call, TIMED_OUT)
        done, self._done = self._done, []
        answered = {call for call, _ in done}
        self._obstacles = {c: o for c, o in self._obstacles.items() if c in answered or c in self.waiting}
        self._waits = {call: waited for call, waited in self._waits.items() if call in answered}
        return done

    def ahead(self, old: str, new: str) -> None:
        """A window is about to end: ask for money of the next one in time, at the old one's pace."""
        if old in self.purses and new not in self.purses:
            self.purses[new] = self.purses[old].heir()
            self._changed = True

    # Reports

    def due(self) -> float:
        """When to report next; infinity where there is nothing to say."""
        if self._in_flight:
            return self.sent + timing.TIMEOUT
        if self._urgent:
            return self.sent + timing.GAP
        if self._freed:
            return self.sent + timing.FREED
        if self.waiting:
            return self.sent + timing.NEAR
        if self._changed or any(purse.ceiling > purse.used + purse.held for purse in self.purses.values()):
            return self.sent + self._period
        return self.sent + timing.BEAT if self.purses else inf

    def report(self, now: float) -> Report:
        """The next report, cut and saved; an earlier one that is still unanswered is given up."""
        self.seq += 1
        self.sent, self._in_flight = now, True
        self._changed = self._urgent = self._freed = False
        self._unanswered_since = min(self._unanswered_since, now)
        stated = self._cut(now)
        self._save()
        for wait in self.waiting.values():
            wait.asked = wait.at(now)
            for name in wait.asked:
                self._purse(now, name)
        claims = {
            name: Claim(purse.used, purse.held, purse.expected, stated.get(name, 0), purse.want(now))
            for name, purse in self.purses.items()
        }
        needs = tuple(
            Need(
                call,
                wait.hold,
                wait.expected,
                wait.asked,
                max(0.0, now - wait.since),
                wait.patience(now, self._obstacles[call][1] if call in self._obstacles else None),
            )
            for call, wait in self.waiting.items()
        )
        return Report(self.holder, self.epoch, self.seq, claims, needs)

    def on_reply(self, now: float, reply: Reply) -> None:
        """Act on the reply to the latest report; any other changes nothing."""
        if not self._latest(reply):
            return
        self._in_flight, self._heard, self._unanswered_since = False, now, inf
        self.epoch, self._period = reply.epoch, reply.period
        for name, share in reply.shares.items():
            if (purse := self.purses.get(name)) is not None:
                purse.ceiling, purse.keep = share.granted, share.keep
                purse.left, purse.room, purse.limit = share.left, share.room, share.limit
                purse.trickled = share.trickled
                self._told.pop(name, None)
        self._put_away(now, reply)
        for call, answer in reply.answers.items():
            wait = self.waiting.get(call)
            if wait is None or not self._same_windows(now, wait):
                continue
            if obstacle := reply.obstacles.get(call):
                self._obstacles[call] = now, obstacle
                wait.hear(obstacle)
            if answer == PENDING:
                continue
            if answer in (EXHAUSTED, STUCK, BUSY):
                self._answer(now, call, answer)
            elif self._fits(wait.hold, wait.asked):
                self._admit(now, call)

    def _latest(self, reply: Reply) -> bool:
        return self._in_flight and reply.seq == self.seq

    def _same_windows(self, now: float, wait: Wait) -> bool:
        """Whether an answer is still about the call's windows: after midnight it is not, and the call asks again."""
        return wait.at(now) == wait.asked

    def _cut(self, now: float) -> dict[str, int]:
        """The ceilings to state. They are lowered here first: what was told is never spent."""
        if not self.silent(now):
            for purse in self.purses.values():
                purse.ceiling = purse.cut()
        return {name: purse.ceiling for name, purse in self.purses.items()}

    def _put_away(self, now: float, reply: Reply) -> None:
        """Forget purses of ended windows once all was told; one that a call names again would look like a lie."""
        if self._changed:
            return
        for name, purse in list(self.purses.items()):
            share = reply.shares.get(name)
            if share is not None:
                over = share.closed and now - purse.asked > timing.IDLE
            else:  # the reply to a refused report names no window at all
                over = bool(reply.shares) and timing.UNKNOWN < now - purse.asked < inf
            if over and not purse.held:
                del self.purses[name]

    # Money

    def _purse(self, now: float, name: str) -> Purse:
        return self.purses.setdefault(name, Purse(at=now))

    def _fits(self, hold: int, windows: tuple[str, ...]) -> bool:
        return all(name in self.purses and self.purses[name].fits(hold) for name in windows)

    def _may_help_itself(self, now: float, windows: tuple[str, ...]) -> bool:
        return self.silent(now) or all(name in self.purses and self.purses[name].keep > 0 for name in windows)

    def _known_exhausted(self, name: str, hold: int) -> bool:
        """Whether a moment ago nothing was left for such a hold; saves a report per call in a storm of retries."""
        left = self.purses[name].left
        return left is not None and left < hold and self.purses[name].trickled is None

    def _place(self, call: int, placed: Hold) -> None:
        self.holds[call] = placed
        for name in placed.windows:
            purse = self.purses[name]
            purse.held += placed.hold
            purse.expected += placed.expected
        self._changed = True
        self._save_before_call()

    def _save_before_call(self) -> None:
        self._save()

    def _save(self) -> None:
        purses = {name: (purse.ceiling, purse.used, purse.held) for name, purse in self.purses.items()}
        self.save(Record(self.holder, self.epoch, self.seq, purses))

    def _admit(self, now: float, call: int) -> None:
        wait = self.waiting[call]
        self._answer(now, call, GRANTED)
        self._place(call, Hold(wait.hold, wait.expected, wait.at(now), now - wait.since))

    def _answer(self, now: float, call: int, answer: str) -> None:
        wait = self.waiting.pop(call)
        self._waits[call] = now - wait.since
        self._done.append((call, answer))
