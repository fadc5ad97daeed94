"""The ledger: hands out each limit to holders, and takes back what they say they no longer need."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from typing import Any

from wfb_core.grants import timing
from wfb_core.grants.messages import (
    BUSY,
    EXHAUSTED,
    GRANTED,
    HELD,
    PACED,
    PENDING,
    SILENT_MONEY,
    SPENT,
    STUCK,
    THROTTLED,
    Claim,
    Need,
    Obstacle,
    Reply,
    Report,
    Share,
)
from wfb_core.grants.window import SUMS, Row, Waiter, Window


@dataclass(slots=True)
class Holder:
    """One wallet as the ledger knows it; the constructor's fields are durable."""

    seq: int = 0
    """Its last report that was taken in."""
    seen: float = -inf
    """When that was."""
    epoch: int = 0
    """The newest epoch it has spoken in: from then on it is not believed in an older one."""
    flagged: int = 0
    """Its reports that were refused as implausible."""
    lost: bool = False
    """Whether it fell silent: what it was granted and did not use counts as lost until it returns."""
    queued: dict[int, set[str]] = field(default_factory=dict, init=False)
    """Its waiting calls: the windows in whose queues they have a place."""
    reply: Reply | None = field(default=None, init=False)
    """The reply to that last report, for a report that comes twice."""


@dataclass(slots=True)
class Changes:
    """What a store has to write: names only. A name that the ledger no longer has was forgotten: delete it."""

    windows: set[str] = field(default_factory=set)
    rows: set[tuple[str, str]] = field(default_factory=set)
    """(holder, window)."""
    holders: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.windows or self.rows or self.holders)


@dataclass(slots=True)
class Ledger:
    """All windows, rows and holders; constructed empty or from what a store loaded.

    The rows are the truth: the windows' sums are rebuilt from them. Whoever keeps a ledger writes ``take_changes()``
    down before a reply leaves, and loads anew where that fails: an unwritten grant was never given.
    """

    windows: dict[str, Window] = field(default_factory=dict)
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    """By (holder, window)."""
    holders: dict[str, Holder] = field(default_factory=dict)
    epoch: int = 1
    """Durable: rises with every restore from a backup."""
    learn_until: float = -inf
    """Durable: until then holders are heard and nothing is granted."""
    awake: float = -inf
    """When this process began to listen: silence before that was the ledger's own."""
    _windows_of: dict[str, set[str]] = field(default_factory=dict, init=False)
    _holders_in: dict[str, set[str]] = field(default_factory=dict, init=False)
    _heard: dict[str, None] = field(default_factory=dict, init=False)  # holders not lost, the longest unheard first
    _crowded: set[str] = field(default_factory=set, init=False)  # windows whose queue may hold somebody
    _changes: Changes = field(default_factory=Changes, init=False)

    def __post_init__(self) -> None:
        for window in self.windows.values():
            for name in SUMS:
                setattr(window, name, 0)
        for (holder, name), row in self.rows.items():
            self._index(holder, name)
            self.holders.setdefault(holder, Holder())
            for total in SUMS:
                setattr(self.windows[name], total, getattr(self.windows[name], total) + getattr(row, total))
        living = [name for name, who in self.holders.items() if not who.lost]
        self._heard = dict.fromkeys(sorted(living, key=lambda name: self.holders[name].seen))

    # Windows

    def open(
        self, window_id: str, limit: int, start: float = -inf, end: float = inf, slow_from: float = inf, **terms: Any
    ) -> Window:
        """Add a window, before anybody needs it; opening it again changes nothing.

        ``slow_from`` is the part of the limit from which calls are paced; ``terms`` are ``rates``, ``trickle`` and
        ``goal`` of a Window. Raises ValueError for a negative limit.
        """
        if limit < 0:
            raise ValueError(f"limit of {window_id} is {limit}: a limit is zero or more nano-USD")
        if window_id not in self.windows:
            self.windows[window_id] = Window(limit, start, end, slow_from, **terms)
            self._changes.windows.add(window_id)
        return self.windows[window_id]

    def edit(
        self,
        window_id: str,
        limit: int,
        slow_from: float = inf,
        rates: tuple[tuple[float, int], ...] = (),
        trickle: int = 0,
        goal: int | None = None,
    ) -> None:
        """Change a limit: what is granted above it comes back with the holders' next reports.

        Raises ValueError for a negative limit and KeyError for a window that is not open.
        """
        if limit < 0:
            raise ValueError(f"limit of {window_id} is {limit}: a limit is zero or more nano-USD")
        window = self.windows[window_id]
        if (window.limit, window.slow_from, window.trickle) != (limit, slow_from, trickle):
            if trickle != window.trickle or limit > window.limit:
                # Another trickle is never due for a time in which it was not agreed, nor once the limit has room again.
                window.exhausted_at, window.allowance = inf, 0
            window.limit, window.slow_from, window.trickle, window.line = limit, slow_from, trickle, None
            window.largest = max(window.largest, limit)
            self._changes.windows.add(window_id)
        if (window.rates, window.goal) != (rates, goal):
            window.rates, window.goal, window.line = rates, goal, None  # not durable: the budget in force says them

    def forget(self, window_id: str) -> None:
        """Drop an ended window and its rows; what is still said about it is not heard. Unknown ones are no error."""
        window = self.windows.pop(window_id, None)
        if window is None:
            return
        for holder, call in window.queue:
            self.holders[holder].queued.get(call, set()).discard(window_id)
        for holder in self._holders_in.pop(window_id, set()):
            del self.rows[holder, window_id]
            self._windows_of[holder].discard(window_id)
            self._changes.rows.add((holder, window_id))
        self._crowded.discard(window_id)
        self._changes.windows.add(window_id)

    def take_changes(self) -> Changes:
        """What changed since the last call."""
        changes, self._changes = self._changes, Changes()
        return changes

    # A report

    def report(self, now: float, report: Report) -> Reply | None:
        """Take a report in and answer it; None where it is old, or where its reply was forgotten by a restart.

        A report that is not plausible changes nothing: its calls stay PENDING, and ``Holder.flagged`` rises.
        """
        name = report.holder
        who = self.holders.setdefault(name, Holder())
        if self._old(who, report):
            return who.reply if report.seq == who.seq else None
        claims = {window: claim for window, claim in report.claims.items() if window in self.windows}
        # Not just its first report: that may be a late copy, older than the last grant before the restore.
        stranger = 0 < report.epoch < self.epoch and who.epoch < self.epoch
        if not self._believable(report, claims, stranger=stranger):
            who.flagged += 1
            self._changes.holders.add(name)
            return Reply(report.seq, self.epoch, timing.FAR, {}, {need.call: PENDING for need in report.needs})
        self._hear(now, who, report)
        for window, claim in claims.items():
            self._take(name, window, claim, stranger=stranger)
        for call in who.queued.keys() - {need.call for need in report.needs}:
            self._leave_queues(name, call)
        decided = {need.call: self._decide(now, name, need) for need in report.needs}
        answers = {call: answer for call, (answer, _) in decided.items()}
        obstacles = {call: obstacle for call, (_, obstacle) in decided.items() if obstacle is not None}
        shares = {window: self._share(now, name, window) for window in claims}
        who.reply = Reply(report.seq, self.epoch, self._period(now, shares), shares, answers, obstacles)
        return who.reply

    def _old(self, who: Holder, report: Report) -> bool:
        return report.seq <= who.seq

    def _hear(self, now: float, who: Holder, report: Report) -> None:
        name = report.holder
        who.seq, who.seen, who.epoch = report.seq, now, max(who.epoch, report.epoch)
        self._heard.pop(name, None)
        self._heard[name] = None
        self._changes.holders.add(name)
        if who.lost:
            who.lost = False
            for window in self._windows_of.get(name, ()):
                self._book(name, window, lost=0)

    def _believable(self, report: Report, claims: dict[str, Claim], *, stranger: bool) -> bool:
        needs_make_sense = all(
            need.hold >= 0
            and need.expected >= 0
            and need.waited >= 0
            and len(set(need.windows)) == len(need.windows)
            and all(window in report.claims for window in need.windows)
            for need in report.needs
        )
        return (
            needs_make_sense
            and 0 <= report.epoch <= self.epoch
            and all(
                self._plausible(
                    self.windows[window], self.rows.get((report.holder, window), Row()), claim, stranger=stranger
                )
                for window, claim in claims.items()
            )
        )

    def _authority(self, row: Row, claim: Claim, *, stranger: bool) -> int:
        """The highest ceiling the holder can rightly state."""
        return claim.ceiling if stranger else row.granted + row.released

    def _plausible(self, window: Window, row: Row, claim: Claim, *, stranger: bool) -> bool:
        authority = self._authority(row, claim, stranger=stranger)
        return (
            claim.used >= row.used
            and min(claim.held, claim.expected, claim.want, claim.ceiling) >= 0
            and claim.ceiling <= authority
            and claim.used + claim.held <= 2 * authority + window.largest // 10
        )

    def _take(self, holder: str, window_id: str, claim: Claim, *, stranger: bool) -> None:
        """Book a claim: grant down to the stated ceiling, and what goes above it as overdraft."""
        window, row = self.windows[window_id], self._row(holder, window_id)
        authority = self._authority(row, claim, stranger=stranger)
        believed = min(claim.ceiling, authority)
        if believed > row.granted:
            window.learned += believed - row.granted
            self._changes.windows.add(window_id)
        granted, beyond, overdrawn = self._overdraft(row, claim, believed, authority)
        if overdrawn:
            window.overdraft += overdrawn
            self._changes.windows.add(window_id)
        self._book(
            holder,
            window_id,
            granted=granted,
            used=claim.used,
            held=claim.held,
            expected=claim.expected,
            want=claim.want,
            beyond=beyond,
        )
        if row.released:
            row.released = 0
            self._changes.rows.add((holder, window_id))

    def _overdraft(self, row: Row, claim: Claim, believed: int, authority: int) -> tuple[int, int, int]:
        """(granted, held beyond the grant, newly settled beyond the grant) once a claim is taken in.

        What comes back pays first for what was held beyond the grant: a call that was let through on no grant and
        cost little is overdraft by what it cost.
        """
        still_beyond = max(0, row.beyond - (authority - believed))
        more = max(0, claim.used + claim.held - believed)
        granted, beyond = believed + more, still_beyond + more
        settled = min(beyond, max(0, claim.used - (granted - beyond)))
        return granted, beyond - settled, settled

    # Answers

    def _decide(self, now: float, holder: str, need: Need) -> tuple[str, Obstacle | None]:
        """The answer to a need, and of what stands in its way the part that decided."""
        named = [(name, self.windows[name]) for name in need.windows if name in self.windows]
        if now < self.learn_until or len(named) < len(need.windows) or not all(w.open_at(now) for _, w in named):
            return PENDING, None
        for _, window in named:
            window.advance(now)
        if obstacle := self._out_of_reach(named, need.hold):
            self._leave_queues(holder, need.call)
            return (EXHAUSTED if obstacle.way == SPENT else STUCK), obstacle
        queued = self.holders[holder].queued.get(need.call, set())
        places = [place for name in queued if (place := self.windows[name].queue.get((holder, need.call)))]
        since = min((place.since for place in places), default=now - need.waited)
        obstacles = []
        for name, _ in named:
            obstacle, crowded = self._in_the_way(now, name, need, since)
            if obstacle is None:
                continue
            if crowded and not queued:
                return BUSY, obstacle
            obstacles.append(obstacle)
        if obstacles:
            self._queue(now, holder, need, since, {obstacle.window for obstacle in obstacles} | queued)
            return PENDING, max(obstacles, key=lambda obstacle: obstacle.turn)
        self._grant(holder, need)
        return GRANTED, None

    def _out_of_reach(self, named: Iterable[tuple[str, Window]], hold: int) -> Obstacle | None:
        """The tightest of the windows that can not pay for a hold, and have no trickle that will."""
        firm = [(window, name) for name, window in named if not window.trickle]
        if spent := [(window.left(), name) for window, name in firm if self._exhausted(window, hold)]:
            return Obstacle(min(spent)[1], SPENT)
        if lost := [(left, name) for window, name in firm if (left := window.left() - window.lost) < hold]:
            return Obstacle(min(lost)[1], SILENT_MONEY)
        return None

    def _in_the_way(self, now: float, name: str, need: Need, since: float) -> tuple[Obstacle | None, bool]:
        """What a window has against a need for now, and whether its queue is too long to join."""
        window = self.windows[name]
        hold, expected, oldest = window.ahead(now, since)
        beyond = window.throttled(need.hold)
        if beyond and window.exhausted_at == inf:
            window.exhausted_at = now
            self._changes.windows.add(name)
        missing = need.hold + hold - window.free()
        if missing > 0:
            window.tight_until = now + timing.TIGHT
            if beyond:
                turn = window.trickle_seconds(missing)
                return Obstacle(name, THROTTLED, turn), window.crowded_by_trickle(need.hold + hold, need.patience)
            return Obstacle(name, HELD), window.crowded(hold, expected, oldest, now, paced=False)
        # Behind others it takes no more than they leave: what it is expected to cost has to fit beside what they are.
        others = expected + need.expected if expected else 0
        if not beyond and window.slow() and (lead := window.pace(now) - others) <= 0:
            turn = window.pace_seconds(now, -lead)
            return Obstacle(name, PACED, turn), window.crowded(hold, expected, oldest, now, paced=True)
        return None, False

    def _grant(self, holder: str, need: Need) -> None:
        for name in need.windows:
            row, window = self._row(holder, name), self.windows[name]
            self._book(
                holder,
                name,
                granted=row.granted + need.hold,
                held=row.held + need.hold,
                expected=row.expected + need.expected,
            )
            if window.exhausted_at < inf and window.granted <= window.limit:
                window.exhausted_at, window.allowance = inf, 0  # it had room after all
                self._changes.windows.add(name)
        self._leave_queues(holder, need.call)

    def _exhausted(self, window: Window, hold: int) -> bool:
        return window.left() < hold

    def _queue(self, now: float, holder: str, need: Need, since: float, places: set[str]) -> None:
        self.holders[holder].queued[need.call] = places
        for name in places:
            self.windows[name].queue[holder, need.call] = Waiter(since, need.hold, need.expected, now + timing.TIGHT)
        self._crowded |= places

    def _leave_queues(self, holder: str, call: int) -> None:
        for name in self.holders[holder].queued.pop(call, ()):
            self.windows[name].queue.pop((holder, call), None)

    def _share(self, now: float, holder: str, window_id: str) -> Share:
        window, row = self.windows[window_id], self._row(holder, window_id)
        window.advance(now)
        keep = self._keep(now, window, row)
        more = min(keep - (row.granted - row.used - row.held), window.free())
        if more > 0:
            self._book(holder, window_id, granted=row.granted + more)
        trickled = window.allowance if window.trickle else None
        return Share(row.granted, keep, window.left(), window.room(), now >= window.end, window.limit, trickled)

    def _keep(self, now: float, window: Window, row: Row) -> int:
        near_or_open = window.start - timing.AHEAD <= now < window.end
        if not near_or_open or now < self.learn_until or now < window.tight_until or window.slow():
            return 0
        if window.exhausted_at < inf:
            return 0  # what the trickle allows goes to those who ask, in their order
        pot = max(0, window.room()) // 4
        if window.want > 4 * pot:
            return 0
        return min(row.want, row.want * pot // max(1, window.want))

    def _period(self, now: float, shares: dict[str, Share]) -> float:
        windows = ((self.windows[name], share.keep) for name, share in shares.items())
        near = any(
            window.open_at(now) and (keep == 0 or 10 * (window.used + window.held) >= 9 * window.limit)
            for window, keep in windows
        )
        return timing.NEAR if near else timing.FAR

    # Now and then

    def sweep(self, now: float) -> None:
        """Count what newly silent holders keep as lost, and drop lapsed waiters; costs by what is new, every few seconds."""
        for name in list(self._crowded):
            window = self.windows[name]
            window.lapse(now)
            if not window.queue:
                self._crowded.discard(name)
        while self._heard:
            name = next(iter(self._heard))
            if now - max(self.holders[name].seen, self.awake) <= timing.LOST:
                break
            del self._heard[name]
            self._write_off(name)

    def _write_off(self, name: str) -> None:
        """Silence returns nothing: the money stays granted, and only counts as lost."""
        who = self.holders[name]
        who.lost = True
        self._changes.holders.add(name)
        for call in list(who.queued):
            self._leave_queues(name, call)
        for window in self._windows_of.get(name, ()):
            row = self.rows[name, window]
            self._book(name, window, want=0, expected=0, lost=row.granted - row.used)

    def release(self, holder: str) -> dict[str, int]:
        """By hand, for a holder that is surely dead: give back its slack, by window; what it held counts as spent.

        Whoever releases bears the risk of what the holder spent from that slack and never told.
        """
        given_back = {}
        for window in self._windows_of.get(holder, ()):
            row = self.rows[holder, window]
            slack = row.granted - row.used - row.held
            given_back[window] = slack
            row.released += slack
            self._changes.rows.add((holder, window))
            self._book(holder, window, granted=row.used + row.held, want=0)
            if row.lost:
                self._book(holder, window, lost=row.held)
        return given_back

    def believe(self, holder: str, window_id: str, ceiling: int) -> None:
        """For a window that was forgotten while a holder was out of reach: what it states up to a ceiling is believed.

        Booked as ``learned``, like money released by hand whose holder returns.
        """
        self._row(holder, window_id).released = ceiling
        self._changes.rows.add((holder, window_id))

    def begin_epoch(self, now: float) -> None:
        """Call once after loading a restored backup: for a while holders say what they hold, and nothing is granted.

        The epoch follows the clock, so that restoring the same backup twice begins two epochs.
        """
        self.epoch = max(self.epoch + 1, int(now))
        self.learn_until = now + timing.LEARN
        self.awake = now

    # Books

    def _row(self, holder: str, window_id: str) -> Row:
        row = self.rows.get((holder, window_id))
        if row is None:
            row = self.rows[holder, window_id] = Row()
            self._index(holder, window_id)
        return row

    def _index(self, holder: str, window_id: str) -> None:
        self._windows_of.setdefault(holder, set()).add(window_id)
        self._holders_in.setdefault(window_id, set()).add(holder)

    def _book(self, holder: str, window_id: str, **values: int) -> None:
        """Set fields of a row, and move the window's sums with them."""
        window, row = self.windows[window_id], self.rows[holder, window_id]
        for name, value in values.items():
            difference = value - getattr(row, name)
            if difference:
                setattr(row, name, value)
                setattr(window, name, getattr(window, name) + difference)
                self._changes.rows.add((holder, window_id))
