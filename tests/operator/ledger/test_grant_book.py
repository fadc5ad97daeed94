"""Windows and holders that come and go: against a ledger that keeps all of them, nothing differs."""

import copy
import random

import pytest

from wfb_core.grants import Claim, Holder, Ledger, Need, Report, Row
from wfb_core.grants.window import SUMS
from wfb_operator.ledger.grant_book import GrantBook

WINDOWS = ("a/one|Total|", "a/two|Total|", "a/three|Total|")
HOLDERS = ("h1", "h2", "h3", "h4")


class Kept:
    """What a store would hold: the names are the keys, the values copies."""

    def __init__(self):
        self.windows, self.rows, self.holders = {}, {}, {}

    def write(self, book):
        changes = book.take_changes()
        self.windows |= {w: copy.deepcopy(book.windows[w]) for w in changes.windows}
        self.rows |= {k: copy.copy(book.rows[k]) for k in changes.rows}
        self.holders |= {h: durable(book.holders[h]) for h in changes.holders}

    def find(self, windows, holders, present):
        """As SqliteStore.find: all rows of the windows, and the holders' rows in those present."""
        names = holders | {h for h, w in self.rows if w in windows}
        rows = {
            (h, w): copy.copy(row) for (h, w), row in self.rows.items() if w in windows or (h in names and w in present)
        }
        found = {w: fresh(self.windows[w]) for w in windows if w in self.windows}
        return found, rows, {h: durable(self.holders[h]) for h in names & self.holders.keys()}


def durable(holder):
    return Holder(holder.seq, holder.seen, holder.epoch, holder.flagged, holder.lost)


def fresh(window):
    return type(window)(
        window.limit, window.start, window.end, window.slow_from, window.largest, window.overdraft, window.learned
    )


def say(rng, now, whole, holder):
    """A plausible report of a holder, by what the whole ledger knows of it."""
    claims, needs = {}, ()
    for window in rng.sample(WINDOWS, rng.randint(1, 3)):
        row = whole.rows.get((holder, window), Row())
        used = rng.choice([row.used, min(row.granted, row.used + rng.randint(0, 50)), row.granted])
        held = rng.choice([0, row.granted - used])
        claims[window] = Claim(used, held, 0, rng.choice([used + held, row.granted]), 0)
    if rng.random() < 0.6:
        needs = (Need(rng.randint(1, 5), rng.randint(1, 200), 1, tuple(claims), 0.0),)
    who = whole.holders.get(holder, Holder())
    return Report(holder, 1, max(0, who.seq + rng.choice([0, 1, 1, 1, 1])), claims, needs)


@pytest.mark.parametrize("seed", range(60))
def test_coming_and_going_changes_no_answer(seed):
    """Random reports, with windows dropped and holders put aside in between: every reply and sum equals the whole's."""
    rng, whole, book, kept, now = random.Random(seed), Ledger(), GrantBook(), Kept(), 0.0
    for window in WINDOWS:
        for ledger in (whole, book):
            ledger.open(window, 1000)
    kept.write(book)
    for _ in range(120):
        now += rng.choice([0.1, 1.0, 30.0, 100.0])
        holder = rng.choice(HOLDERS)
        report = say(rng, now, whole, holder)
        missing = report.claims.keys() - book.windows.keys()
        wanted = {holder} - book.holders.keys()
        book.bring_in(*kept.find(missing, wanted, set(book.windows)))
        expected, got = whole.report(now, report), book.report(now, report)
        if expected is None or got is not None:  # a holder put aside has forgotten its last reply, as after a restart
            assert got == expected
        for ledger in (whole, book):
            ledger.sweep(now)
        kept.write(book)
        for name, window in book.windows.items():
            assert [getattr(window, s) for s in SUMS] == [getattr(whole.windows[name], s) for s in SUMS], name
        if rng.random() < 0.3:
            book.put_aside(now - rng.choice([10.0, 60.0]))
        idle = [w for w in book.windows if book.unheard(w, now - 60.0)]  # as of runs that nobody speaks of
        if idle and rng.random() < 0.3:
            book.drop(rng.choice(idle))
    assert {k: r for k, r in kept.rows.items() if r != Row()} == {k: r for k, r in whole.rows.items() if r != Row()}


def test_only_holders_without_money_out_are_put_aside():
    """A silent holder that keeps a grant stays, however long; one that has told all goes."""
    book = GrantBook()
    book.open(WINDOWS[0], 1000)
    claim = Claim(0, 0, 0, 0, 0)
    for holder in ("keeps", "told"):
        book.report(0.0, Report(holder, 1, 1, {WINDOWS[0]: claim}, (Need(1, 100, 1, (WINDOWS[0],), 0.0),)))
    book.report(1.0, Report("told", 1, 2, {WINDOWS[0]: Claim(70, 0, 0, 70, 0)}, ()))
    assert book.put_aside(10_000.0) == ["told"]
    assert book.windows[WINDOWS[0]].used == 70
    assert book.windows[WINDOWS[0]].granted == 170


def test_dropping_a_window_leaves_what_is_to_be_written():
    """Changes that were not written yet stay, and none says to delete the window's rows."""
    book = GrantBook()
    book.open(WINDOWS[0], 1000)
    book.open(WINDOWS[1], 1000)
    book.report(0.0, Report("h1", 1, 1, {w: Claim(0, 0, 0, 0, 0) for w in WINDOWS[:2]}, ()))
    before = copy.deepcopy(book._changes)
    book.drop(WINDOWS[0])
    assert book.take_changes() == before
    assert list(book.windows) == [WINDOWS[1]]
