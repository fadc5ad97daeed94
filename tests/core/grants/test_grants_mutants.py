"""Every rule, broken alone, is noticed: else the simulator's silence would prove nothing."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from grants_simulator import Broken, Kinds, World, pace, rated, throttle, turns
from wfb_core.grants import Ledger, Purse, Wallet, Window, timing


class TakesFromOlder(Ledger):
    """Lets a younger call spend what is set aside for older ones, if only there is anything beside it."""

    def _in_the_way(self, now, name, need, since):
        return super()._in_the_way(now, name, replace(need, expected=0), since)


class NoSequence(Ledger):
    """Takes every report in, whatever its number."""

    def _old(self, who, report):
        return False


class ReturnsSilentMoney(Ledger):
    """Takes back what a silent holder did not use."""

    def _write_off(self, name):
        super()._write_off(name)
        for window in self._windows_of.get(name, ()):
            row = self.rows[name, window]
            self._book(name, window, granted=row.used + row.held, lost=0)


class ExhaustedByGrants(Ledger):
    """Refuses for good where money is merely out."""

    def _exhausted(self, window, hold):
        return window.free() < hold


class NoOverdraft(Ledger):
    """Commits no more than it granted, whatever was spent."""

    def _overdraft(self, row, claim, believed, authority):
        return believed, 0, 0


class BelievesAnything(Ledger):
    """Asks no report whether it can be true."""

    def _plausible(self, window, row, claim, *, stranger):
        return True


class NoLearning(Ledger):
    """Goes on after a restore as if the backup were all there is."""

    def begin_epoch(self, now):
        self.awake = now


class BelievesOneReport(Ledger):
    """Believes only one report after a restore, though it may be a late copy of an old one."""

    def _hear(self, now, who, report):
        super()._hear(now, who, report)
        who.epoch = self.epoch


class ForgetsReleases(Ledger):
    """Calls a holder a liar that comes back after a release."""

    def release(self, holder):
        given_back = super().release(holder)
        for window in given_back:
            self.rows[holder, window].released = 0
        return given_back


class ForgetsToWrite(Ledger):
    """Loses a row's name from the changes now and then."""

    def take_changes(self):
        changes = super().take_changes()
        if self.holders and changes.rows and sum(who.seq for who in self.holders.values()) % 5 == 0:
            changes.rows.clear()
        return changes


class NoCut(Wallet):
    """Tells a lower ceiling than it keeps to."""

    def _cut(self, now):
        return {name: purse.cut() for name, purse in self.purses.items()}


class UnsavedCalls(Wallet):
    """Lets a call leave before the record is written."""

    def _save_before_call(self):
        pass


class ForgetsHeld(Wallet):
    """Takes what was in flight for unspent when it resumes."""

    @staticmethod
    def _resumed(ceiling, used, held):
        return Purse(ceiling, used, keep=max(0, ceiling - used))


class ActsOnStaleReplies(Wallet):
    """Acts on every reply, however late, and each time."""

    def _latest(self, reply):
        return True


class NoMidnight(Wallet):
    """Takes yesterday's grant for today's."""

    def _same_windows(self, now, wait):
        return True


class ForgetsTooEarly(Wallet):
    """Puts purses away that were not told in full."""

    def _put_away(self, now, reply):
        for name in [name for name, share in reply.shares.items() if share.closed and not self.purses[name].held]:
            del self.purses[name]


class BoundlessOverdraw(Wallet):
    """Lets everything through while no ledger answers."""

    def overdraw(self, now, call, hold, expected, windows, limits=None):
        return super().overdraw(now, call, hold, expected, windows, dict.fromkeys(windows, 1 << 60))


RESUMES = {"troubles": {"resume": 1}, "calm_between": 1.0}
RESTORES = {"troubles": {"backup": 1, "restore": 1}, "calm_between": 1.0, "ratio": 1}
RELEASES = {"troubles": {"mistake": 1}, "calm_between": 5.0, "ratio": 1, "calls_total": 1000}
DEATHS = {"troubles": {"kill": 1}, "calm_between": 2.0, "ratio": 1, "large": 0.0}
NIGHTS = {"pods": 20, "rate": 20.0, "ratio": 5, "clamp": False}
OUTAGES = {"troubles": {"away": 1}, "calm_between": 10.0}

MUTANTS: dict[str, tuple[str, Kinds, str, dict[str, Any]]] = {
    "the sequence is not checked": ("chaos", Kinds(ledger=NoSequence), "P6", {}),
    "silence returns money": ("chaos", Kinds(ledger=ReturnsSilentMoney), "P5", DEATHS),
    "exhausted is judged by grants": ("calm", Kinds(ledger=ExhaustedByGrants), "P3", {}),
    "overdraft is not booked": ("overdraft", Kinds(ledger=NoOverdraft), "P2", {}),
    "any claim is believed": ("chaos", Kinds(ledger=BelievesAnything), "P6", {}),
    "nothing is learnt after a restore": ("restore", Kinds(ledger=NoLearning), "P6", RESTORES),
    "one report is believed after a restore": ("restore", Kinds(ledger=BelievesOneReport), "P6", RESTORES),
    "a release is forgotten": ("chaos", Kinds(ledger=ForgetsReleases), "P6", RELEASES),
    "a change is not written down": ("chaos", Kinds(ledger=ForgetsToWrite), "P[2567]", {}),
    "a restart finds old state": ("chaos", Kinds(forgetful_disk=True), "P[1267]", {}),
    "a cut is told and not made": ("chaos", Kinds(wallet=NoCut), "P6", {}),
    "a call leaves before the record": ("chaos", Kinds(wallet=UnsavedCalls), "P5", RESUMES),
    "a resumed wallet forgets what was in flight": ("chaos", Kinds(wallet=ForgetsHeld), "P[156]", {}),
    "a stale reply is acted on": ("chaos", Kinds(wallet=ActsOnStaleReplies), "P[26]", {}),
    "a grant outlives midnight": ("midnight", Kinds(wallet=NoMidnight), "P[26]", NIGHTS),
    "a purse is put away too early": ("midnight", Kinds(wallet=ForgetsTooEarly), "P[56]", {}),
    "overdraw knows no bound": ("ignore", Kinds(wallet=BoundlessOverdraw), "P6", OUTAGES),
}


def test_who_takes_from_older_calls_is_noticed() -> None:
    """In Slow, order is one of money too: else a dear young call leaves an older one waiting again and again."""
    with pytest.raises(Broken, match=r"^P4"):
        try_seeds(range(6), lambda seed: pace(seed, Kinds(ledger=TakesFromOlder)))


def try_seeds(seeds: Iterable[int], experiment: Callable[[int], Any]) -> None:
    """One world after the other, until one breaks."""
    for seed in seeds:
        experiment(seed)


@pytest.mark.parametrize("rule", MUTANTS)
def test_a_broken_rule_is_noticed(rule: str) -> None:
    """Within a few seeds some property breaks, and it is one that the rule is for."""
    scenario, kinds, properties, options = MUTANTS[rule]

    with pytest.raises(Broken, match=f"^{properties}"):
        try_seeds(range(12), lambda seed: World(seed, scenario, kinds, **options).run())


def pace_by_holds(window: Window, now: float) -> int:
    """As if every call in flight cost its whole hold."""
    expected, window.expected = window.expected, window.held
    try:
        return whole_pace(window, now)
    finally:
        window.expected = expected


whole_pace = Window.pace


def crowded_by_number(window: Window, *facts: Any, paced: bool) -> bool:
    """As if only the number of waiters mattered, not how long they wait."""
    return len(window.queue) >= timing.CROWD_CALLS


def trickle_since_the_start(window: Window, now: float) -> None:
    """As if the limit had been exhausted from the beginning."""
    window.allowance = int(window.trickle * now / 3600)


def trickle_ahead(window: Window, now: float) -> None:
    """As if a minute more of the trickle were due."""
    whole_advance(window, now)
    if window.exhausted_at < now:
        window.allowance += window.trickle // 60


def rate_without_debts(window: Window, now: float) -> int:
    """As if what was spent above the rate's line were forgiven."""
    if window.line is not None:
        window.line = max(window.line, window.used)
    return whole_pace(window, now)


whole_advance = Window.advance


QUEUE_MUTANTS: dict[str, tuple[str, Callable[..., Any], Callable[[int], Any], str]] = {
    "calls are not served by age": ("ahead", lambda window, now, since: (0, 0, 0.0), turns, "P4"),
    "only a queue of many is crowded": ("crowded", crowded_by_number, turns, "P4"),
    "pace counts holds for costs": ("pace", pace_by_holds, pace, "P[48]"),
    "a rate counts holds for costs": ("pace", pace_by_holds, rated, "P8"),
    "a rate forgives what was spent above it": ("pace", rate_without_debts, rated, "P8"),
    "a trickle accrues from the start": ("advance", trickle_since_the_start, throttle, "P[12]"),
    "a trickle is paid out ahead": ("advance", trickle_ahead, throttle, "P[12]"),
}


@pytest.mark.parametrize("rule", QUEUE_MUTANTS)
def test_a_broken_queue_is_noticed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that serves its queue otherwise lets somebody wait too long, or strays from its line."""
    method, instead, experiment, property_ = QUEUE_MUTANTS[rule]
    monkeypatch.setattr(Window, method, instead)

    with pytest.raises(Broken, match=f"^{property_}"):
        try_seeds((4, 3, 5, 6), experiment)
