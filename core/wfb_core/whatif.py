"""What a budget would have done to traffic that is recorded by the minute: a replay, minute by minute and in order.

A minute knows how many calls there were and what they cost together, and not which came first. So its calls are taken at
their average cost and its money as divisible; what does not fit a limit is refused, what Slow does not pay in that minute
is held back (whether a call that is told to wait comes again, and when, no record says), and calls that were refused when
it was recorded have no cost and stay refused. A call's hold, concurrency and waits of seconds are below this resolution.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import inf

from wfb_core.budget import ALLOW, DOWNGRADE, RUN, SLOW, THROTTLE, Budget, Limit
from wfb_core.money import round_div
from wfb_core.selectors import model_allowed
from wfb_core.stages import EXHAUSTED, STAGES, stage_of, strictest
from wfb_core.windows import WindowAt, window_at

HOUR, MINUTE = 3600, 60


@dataclass(frozen=True, slots=True)
class Minute:
    """Calls of one minute that agree in model and run."""

    minute: int
    """Unix minutes."""
    provider: str
    model: str
    calls: int
    nanos: int
    run: str = ""
    refused: int = 0
    """Refused when it was recorded."""
    cheaper: tuple[tuple[str, int], ...] = ()
    """(model, what the same tokens would have cost there), for models that a Downgrade may ask instead."""


@dataclass(slots=True)
class Replayed:
    """One window, or all of them together."""

    kind: str = ""
    id: str = ""
    start: float | None = None
    end: float | None = None
    limit: int = 0
    calls: int = 0
    demanded: int = 0
    """What was recorded, nano-USD."""
    spent: int = 0
    refused: int = 0
    """Calls that would not have gone."""
    slowed: int = 0
    """Calls that Slow, or a trickle, would have held back beyond their minute."""
    downgraded: int = 0
    already_refused: int = 0
    """Calls that were refused when it was recorded."""
    stage: str = "Open"
    exhausted_at: float | None = None

    @property
    def saved(self) -> int:
        """What would not have been spent of what was, nano-USD."""
        return self.demanded - self.spent


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The whole replay."""

    total: Replayed
    windows: tuple[Replayed, ...]
    """Those with traffic, in the order of their limits and times."""


@dataclass(slots=True)
class _Account:
    """A window while it is replayed."""

    limit: Limit
    at: WindowAt
    seen: Replayed
    bucket: int = 0
    """What Slow's pace still pays in its minute, with what quiet ones have left over."""
    minute: float | None = None
    """The last minute that was paced."""
    trickled_to: float | None = None
    """Until when the trickle has been counted."""
    trickle: int = 0


@dataclass(slots=True)
class _Replay:
    budget: Budget
    accounts: dict[tuple[str, str], _Account] = field(default_factory=dict)
    """By (kind, window id)."""
    total: Replayed = field(default_factory=Replayed)

    def minute(self, row: Minute) -> None:
        now = row.minute * MINUTE
        accounts = [account for limit in self.budget.limits if (account := self._account(limit, row, now)) is not None]
        stage = strictest(stage_of(self.budget.ladder_of(a.limit), a.seen.spent, a.limit.nanos) for a in accounts)
        cost, downgraded = self._cost(row, accounts, severe=STAGES.index(stage.name) >= STAGES.index(DOWNGRADE))
        allowed, paced = cost, False
        if self.budget.suspend or not model_allowed(self.budget, row.model):
            allowed = 0
        for account in accounts:
            fits, slow = self._fits(account, cost, now)
            if fits < allowed:
                allowed, paced = fits, slow
        gone = row.calls if cost == 0 or allowed >= cost else allowed * row.calls // cost
        if cost == 0 and (self.budget.suspend or not model_allowed(self.budget, row.model)):
            gone = 0
        kept = row.calls - gone
        for seen in (self.total, *(account.seen for account in accounts)):
            seen.calls += row.calls
            seen.already_refused += row.refused
            seen.demanded += row.nanos
            seen.spent += allowed
            seen.downgraded += min(downgraded, gone)
            if paced:
                seen.slowed += kept
            else:
                seen.refused += kept
        for account in accounts:
            self._charge(account, allowed, now)

    def _account(self, limit: Limit, row: Minute, now: float) -> _Account | None:
        if limit.window == RUN and not row.run:
            return None
        at = window_at(self.budget.key, limit.window, self.budget.time_zone, now, row.run)
        account = self.accounts.get((limit.window, at.id))
        if account is None:
            seen = Replayed(
                limit.window,
                at.id,
                None if at.start == -inf else at.start,
                None if at.end == inf else at.end,
                limit.nanos,
            )
            account = self.accounts[limit.window, at.id] = _Account(limit, at, seen)
        return account

    def _cost(self, row: Minute, accounts: list[_Account], *, severe: bool) -> tuple[int, int]:
        """(what the minute costs, calls that ask another model): at Downgrade and beyond the first pair that fits counts."""
        if not severe:
            return row.nanos, 0

        cheaper = dict(row.cheaper)
        for account in accounts:
            for rung in self.budget.ladder_of(account.limit):
                if rung.action != DOWNGRADE or account.seen.spent * 100 < rung.at_percent * account.limit.nanos:
                    continue
                for pattern, model in rung.models:
                    if fnmatchcase(row.model, pattern) and model in cheaper and cheaper[model] < row.nanos:
                        return cheaper[model], row.calls
        return row.nanos, 0

    def _fits(self, account: _Account, cost: int, now: float) -> tuple[int, bool]:
        """(how much of a cost a window pays in this minute, whether pace and not the limit decides)."""
        limit, spent = account.limit.nanos, account.seen.spent
        if self.budget.on_exhausted == ALLOW:
            limit = max(limit, spent + cost)
        rest = max(0, limit - spent)
        if self.budget.on_exhausted == THROTTLE and rest < cost:
            return min(cost, rest + self._trickle(account, now)), True
        slow = [r for r in self.budget.ladder_of(account.limit) if r.action == SLOW]
        if not slow or rest < 1:
            return min(cost, rest), False
        begins = min(r.at_percent for r in slow) * account.limit.nanos // 100
        free = max(0, begins - spent)
        if cost <= free:
            return cost, False
        paced = free + self._pace(account, max(spent, begins), now)
        return (min(cost, rest), False) if rest <= paced else (min(cost, paced), True)

    def _pace(self, account: _Account, spent: int, now: float) -> int:
        """What may be spent in this minute in stage Slow: an even part of the rest, and a fiftieth of it saved up at most."""
        rest = max(0, account.limit.nanos - spent)
        if account.minute != now:
            saved = rest // 50
            even = self._even(account, rest, now)
            if account.minute is None:
                account.bucket = saved
            else:
                quiet = int(now - account.minute) // MINUTE - 1
                account.bucket = min(account.bucket + even * quiet, saved)
            account.bucket += even
            account.minute = now
        return account.bucket

    def _even(self, account: _Account, rest: int, now: float) -> int:
        rates = [r.rate for r in self.budget.ladder_of(account.limit) if r.action == SLOW and r.rate]
        if rates:
            return max(rates) * MINUTE // HOUR
        return 0 if account.at.end == inf else rest * MINUTE // int(max(MINUTE, account.at.end - now))

    def _trickle(self, account: _Account, now: float) -> int:
        since = now if account.trickled_to is None else account.trickled_to
        account.trickle += round_div(self.budget.trickle * int(now + MINUTE - since), HOUR)
        account.trickled_to = now + MINUTE
        return account.trickle

    def _charge(self, account: _Account, allowed: int, now: float) -> None:
        seen, limit = account.seen, account.limit.nanos
        ladder = self.budget.ladder_of(account.limit)
        before = seen.spent - allowed
        if account.trickled_to is not None and seen.spent > limit:
            account.trickle -= min(account.trickle, seen.spent - max(before, limit))
        if account.minute == now:
            begins = min(r.at_percent for r in ladder if r.action == SLOW) * limit // 100
            account.bucket -= min(account.bucket, max(0, seen.spent - max(before, begins)))
        stage = stage_of(ladder, seen.spent, limit).name
        if STAGES.index(stage) > STAGES.index(seen.stage):
            seen.stage = stage
        if stage == EXHAUSTED and seen.exhausted_at is None:
            seen.exhausted_at = (now // MINUTE) * MINUTE


def replay(budget: Budget, minutes: Iterable[Minute]) -> WhatIf:
    """What the budget would have done to these minutes, which are its own: in the order of time."""
    found = _Replay(budget)
    for row in sorted(minutes, key=lambda row: row.minute):
        found.minute(row)
    order = {limit.window: n for n, limit in enumerate(budget.limits)}
    accounts = sorted(found.accounts.values(), key=lambda a: (order[a.limit.window], a.seen.start or 0.0, a.seen.id))
    return WhatIf(found.total, tuple(account.seen for account in accounts))
