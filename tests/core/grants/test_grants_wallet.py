"""The wallet's rules, one by one, against a real ledger."""

from dataclasses import dataclass, field

import pytest

from wfb_core.grants import (
    BEAT,
    EXHAUSTED,
    FAR,
    GAP,
    GRANTED,
    IDLE,
    NEAR,
    PENDING,
    SILENT,
    TIMED_OUT,
    TIMEOUT,
    Ledger,
    Record,
    Reply,
    Share,
    Wallet,
)

USD = 1_000_000_000


def in_w(now: float) -> tuple[str, ...]:
    """The windows of most calls here."""
    return ("w",)


def no_record(record: Record) -> None:
    """Where a test is not about the record."""


@dataclass
class Pair:
    """A wallet beside its ledger, with a network that does as it is told."""

    limit: int = 1000
    ledger: Ledger = field(default_factory=Ledger)
    records: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger.open("w", self.limit)
        self.wallet = Wallet("pod", self.records.append)

    def exchange(self, now: float) -> list[tuple[int, str]]:
        """A report, its reply, and what became of waiting calls."""
        reply = self.ledger.report(now, self.wallet.report(now))
        assert reply is not None
        self.wallet.on_reply(now, reply)
        return self.wallet.poll(now)

    def ask(self, now: float, call: int, hold: int) -> str:
        """One call's first answer."""
        return self.wallet.ask(now, call, hold, hold, in_w, 30.0)

    def pay(self, now: float, call: int, hold: int, cost: int) -> None:
        """One call from beginning to end."""
        if self.ask(now, call, hold) == PENDING:
            assert (call, GRANTED) in self.exchange(now)
        self.wallet.settle(now, call, cost)


def test_a_call_asks_waits_goes_and_settles() -> None:
    """The way of one call, and the numbers it leaves at both ends."""
    pair = Pair()

    assert pair.ask(10.0, 1, 100) == PENDING
    assert pair.exchange(10.5) == [(1, GRANTED)]
    assert pair.wallet.waited(1) == 0.5
    pair.wallet.settle(11.0, 1, 30)
    pair.exchange(12.0)

    row = pair.ledger.rows["pod", "w"]
    assert (row.used, row.held) == (30, 0)
    assert (pair.wallet.left("w"), pair.wallet.room("w"), pair.wallet.spent("w")) == (970, 970, 30)


def test_money_at_hand_needs_no_ledger() -> None:
    """Slack that the ledger leaves lets the next calls go at once."""
    pair = Pair(limit=100_000)
    pair.pay(0.0, 1, 100, 100)
    pair.exchange(1.0)

    assert pair.ask(1.1, 2, 100) == GRANTED
    assert pair.wallet.waited(2) == 0.0


def test_a_call_without_windows_goes_at_once() -> None:
    """Where no budget matches there is nothing to ask."""
    wallet = Wallet("pod", no_record)

    assert wallet.ask(0.0, 1, 10**15, 1, lambda now: (), 30.0) == GRANTED
    wallet.settle(1.0, 1, 5)
    assert not wallet.purses
    assert not wallet.holds


def test_a_call_that_waited_long_enough_is_told_so() -> None:
    """At its deadline a call that still waits is TIMED_OUT, and how long it waited is known until the next poll."""
    pair = Pair()
    pair.ask(0.0, 1, 100)

    assert pair.wallet.poll(29.9) == []
    assert pair.wallet.waited(1) == 29.9
    assert pair.wallet.poll(30.0) == [(1, TIMED_OUT)]
    assert pair.wallet.waited(1) == 30.0
    assert pair.wallet.poll(31.0) == []
    assert pair.wallet.waited(1) == 0.0


def test_a_storm_of_retries_needs_no_reports() -> None:
    """Right after a reply, a hold above what is left is EXHAUSTED without asking; later it asks again."""
    pair = Pair()
    pair.pay(0.0, 1, 1000, 990)
    pair.exchange(1.0)

    assert pair.ask(1.5, 2, 11) == EXHAUSTED
    assert pair.ask(1.0 + NEAR, 3, 11) == PENDING


def test_the_money_of_a_dropped_call_goes_back() -> None:
    """A client that left while its grant was on the way leaves nothing held."""
    pair = Pair()
    pair.ask(0.0, 1, 100)
    reply = pair.ledger.report(0.1, pair.wallet.report(0.1))
    pair.wallet.drop(1)
    pair.wallet.drop(1)
    assert reply is not None
    pair.wallet.on_reply(0.2, reply)
    assert pair.wallet.poll(0.2) == []
    pair.wallet.purses["w"].keep = 0

    pair.exchange(100.0)

    assert pair.ledger.windows["w"].granted == 0


def test_only_the_reply_to_the_latest_report_counts_and_only_once() -> None:
    """A late reply, or the same again, leaves the wallet as it is."""
    pair = Pair()
    late = pair.ledger.report(0.0, pair.wallet.report(0.0))
    pair.ask(0.5, 1, 100)
    reply = pair.ledger.report(2.0, pair.wallet.report(2.0))
    assert late is not None
    assert reply is not None
    pair.wallet.on_reply(2.1, late)
    assert pair.wallet.poll(2.1) == []
    pair.wallet.on_reply(2.2, reply)
    assert pair.wallet.poll(2.2) == [(1, GRANTED)]
    pair.wallet.settle(2.3, 1, 60)
    pair.wallet.purses["w"].ceiling = 60

    pair.wallet.on_reply(2.4, reply)

    assert pair.wallet.purses["w"].ceiling == 60


def test_the_record_is_written_before_a_call_leaves_and_before_a_report_leaves() -> None:
    """At both moments what was saved last already has the hold, and the cut."""
    pair = Pair(limit=100_000)
    pair.pay(0.0, 1, 100, 100)
    pair.exchange(1.0)
    pair.ask(1.1, 2, 100)
    ceiling, used, held = pair.records[-1].purses["w"]
    assert (used, held) == (100, 100)

    pair.wallet.purses["w"].keep = 0
    report = pair.wallet.report(2.0)

    assert report.claims["w"].ceiling == 200 < ceiling
    assert pair.records[-1].purses["w"] == (200, 100, 100)
    assert (pair.records[-1].seq, pair.records[-1].epoch) == (report.seq, 1)


def test_a_resumed_wallet_counts_what_it_held_as_used() -> None:
    """A process that ended without a word spent at most its holds; the rest of its money is at hand again."""
    pair = Pair(limit=100_000)
    pair.pay(0.0, 1, 100, 40)
    pair.exchange(1.0)
    pair.ask(1.1, 2, 100)
    before = pair.wallet.purses["w"].ceiling

    pair.wallet = Wallet.resume(pair.records[-1], pair.records.append)

    purse = pair.wallet.purses["w"]
    assert (purse.ceiling, purse.used, purse.held) == (before, 140, 0)
    assert pair.ask(2.0, 3, 60) == GRANTED
    pair.exchange(2.1)
    row = pair.ledger.rows["pod", "w"]
    assert (row.used, row.held, pair.ledger.holders["pod"].flagged) == (140, 60, 0)


def test_no_ledger_answers_only_after_reports_went_unanswered() -> None:
    """A wallet that had nothing to say is not silent; one whose report is unanswered for SILENT seconds is."""
    pair = Pair(limit=100_000)
    assert not pair.wallet.silent(1e9)
    pair.pay(0.0, 1, 100, 100)
    pair.exchange(1.0)
    assert not pair.wallet.silent(1000.0)
    pair.wallet.report(1000.0)
    pair.wallet.report(1002.0)
    assert not pair.wallet.silent(1000.0 + SILENT)
    assert pair.wallet.silent(1000.1 + SILENT)
    pair.exchange(1010.0)
    assert not pair.wallet.silent(1010.0)


def test_while_no_ledger_answers_money_at_hand_is_for_use() -> None:
    """Nothing is cut then, and calls take slack that they would otherwise have to ask for."""
    pair = Pair(limit=100_000)
    pair.pay(0.0, 1, 100, 100)
    pair.exchange(1.0)
    pair.wallet.purses["w"].keep = 0
    pair.wallet.purses["w"].ceiling = 300
    assert pair.ask(2.0, 2, 50) == PENDING, "while the ledger answers, freed money goes to the oldest need"
    pair.wallet.purses["w"].keep = 200
    pair.wallet.report(2.0)
    pair.wallet.purses["w"].keep = 0

    assert pair.wallet.poll(2.1 + SILENT) == [(2, GRANTED)]
    assert pair.wallet.report(2.2 + SILENT).claims["w"].ceiling == 300


def test_overdraw_lets_through_up_to_what_a_ledger_believes() -> None:
    """Beyond twice the ceiling and a twentieth of the limit it refuses, and the ledger takes in all of the rest."""
    pair = Pair(limit=10_000)
    pair.pay(0.0, 1, 100, 100)
    pair.exchange(1.0)
    ceiling = pair.wallet.purses["w"].ceiling

    at_most = 2 * ceiling + 500 - 100
    assert not pair.wallet.overdraw(2.0, 2, at_most + 1, 5, ("w",))
    assert pair.wallet.purses["w"].held == 0
    assert pair.wallet.overdraw(2.0, 3, at_most, 5, ("w",))
    assert not pair.wallet.overdraw(2.0, 4, 1, 1, ("w",))
    assert pair.records[-1].purses["w"][2] == at_most
    pair.exchange(3.0)
    pair.wallet.settle(4.0, 3, 7)
    pair.exchange(5.0)

    row, window = pair.ledger.rows["pod", "w"], pair.ledger.windows["w"]
    assert (pair.ledger.holders["pod"].flagged, row.used, row.held, row.beyond) == (0, 107, 0, 0)
    assert window.overdraft <= 7


@pytest.mark.parametrize(
    ("limits", "told", "bound"), [({"w": 2000}, None, 100), (None, 1000, 50), (None, None, 0), ({"w": 2000}, 1000, 100)]
)
def test_overdraw_before_the_first_reply(limits: dict[str, int] | None, told: int | None, bound: int) -> None:
    """A wallet that never heard a ledger goes by the limits it is given, or by what it was told was left."""
    wallet = Wallet("pod", no_record)
    if told is not None:
        wallet.hear("w", told, told)

    assert not wallet.overdraw(0.0, 1, bound + 1, 1, ("w",), limits)
    assert wallet.overdraw(0.0, 1, bound, 1, ("w",), limits)


def test_overdraw_ends_a_calls_wait() -> None:
    """A call let through no longer waits, and a grant that comes for it later is slack."""
    pair = Pair(limit=10_000)
    pair.ask(0.0, 1, 100)
    report = pair.wallet.report(0.0)

    assert pair.wallet.overdraw(5.0, 1, 100, 100, ("w",), {"w": 10_000})
    assert pair.wallet.waited(1) == 5.0
    reply = pair.ledger.report(5.5, report)
    assert reply is not None
    pair.wallet.on_reply(6.0, reply)

    assert pair.wallet.poll(40.0) == []
    assert pair.wallet.purses["w"].held == 100


CLAMPS = [
    ({"w": (800, 800)}, {"w": 9999}, 1000, 10, 100, "an eighth of the room"),
    ({}, {"w": 800}, 1000, 10, 100, "an eighth of the limit where no room was heard"),
    ({"w": (800, 400)}, {"w": 800}, 1000, 10, 50, "the room, not what is left"),
    ({"w": (800, 8)}, {"w": 800}, 1000, 10, 10, "never under the floor"),
    ({"w": (800, -8)}, {"w": 800}, 1000, 10, 10, "nor where the room is overdrawn"),
    ({"w": (800, 800)}, {}, 70, 10, 70, "never above the hold"),
    ({"w": (800, 800)}, {"v": 400}, 1000, 10, 50, "the tightest of all windows"),
    ({}, {}, 1000, 10, 1000, "nothing known, nothing clamped"),
]


@pytest.mark.parametrize(
    ("told", "limits", "hold", "floor", "clamped"), [row[:5] for row in CLAMPS], ids=[row[5] for row in CLAMPS]
)
def test_clamp(told: dict[str, tuple[int, int]], limits: dict[str, int], hold: int, floor: int, clamped: int) -> None:
    """A clamped hold takes a share of what is free, so that neighbours can go, too."""
    wallet = Wallet("pod", no_record)
    for name, (left, room) in told.items():
        wallet.hear(name, left, room)

    assert wallet.clamp(hold, floor, ("w", "v"), limits) == clamped


def test_a_reply_counts_for_more_than_hearsay() -> None:
    """What was heard before the first reply gives way to it, and does not come back."""
    pair = Pair(limit=1000)
    pair.wallet.hear("w", 5, 4)
    assert (pair.wallet.left("w"), pair.wallet.room("w"), pair.wallet.spent("w")) == (5, 4, None)
    pair.pay(0.0, 1, 100, 50)
    pair.exchange(1.0)
    pair.wallet.hear("w", 5, 4)

    assert (pair.wallet.left("w"), pair.wallet.room("w")) == (950, 950)


def test_ten_clamped_calls_of_6_40_on_a_limit_of_5_are_all_paid() -> None:
    """Worst cases of 6.40 that really cost 0.03 neither starve each other nor pass the limit."""
    pair = Pair(limit=5 * USD)
    now, running, paid, told = 0.0, {}, 0, []
    for call in range(10):
        hold = pair.wallet.clamp(640 * USD // 100, 4 * USD // 100, ("w",), {"w": 5 * USD})
        if pair.wallet.ask(now, call, hold, 3 * USD // 100, in_w, 30.0) == GRANTED:
            running[call] = now + 2.0
    while now < 20.0:
        now += 0.05
        for call in [call for call, ends in running.items() if ends <= now]:
            del running[call]
            pair.wallet.settle(now, call, 3 * USD // 100)
            paid += 1
        answers = pair.exchange(now) if now >= pair.wallet.due() else pair.wallet.poll(now)
        for call, answer in answers:
            told.append(answer)
            running[call] = now + 2.0
        assert pair.ledger.windows["w"].granted <= 5 * USD

    assert (paid, set(told)) == (10, {GRANTED})
    assert pair.ledger.windows["w"].used == 30 * USD // 100


def test_when_reports_are_due() -> None:
    """GAP after a need, TIMEOUT while one is under way, NEAR while calls wait, FAR with news, BEAT without."""
    pair = Pair(limit=1_000_000)
    wallet = pair.wallet
    assert wallet.due() == float("inf")
    pair.pay(0.0, 1, 100, 100)
    pair.exchange(1.0)
    assert wallet.due() == 1.0 + FAR, "it has slack"
    wallet.purses["w"].ceiling = wallet.purses["w"].used
    assert wallet.due() == 1.0 + BEAT, "nothing to say"
    pair.ask(2.0, 2, 10**7)
    assert wallet.due() == 1.0 + GAP
    wallet.report(2.0)
    assert wallet.due() == 2.0 + TIMEOUT
    shares = {"w": Share(wallet.purses["w"].ceiling, 0, 10**6, 10**6, closed=False)}
    wallet.on_reply(2.5, Reply(wallet.seq, 1, FAR, shares, {2: PENDING}))
    assert wallet.due() == 2.0 + NEAR


def test_near_the_limit_reports_come_sooner() -> None:
    """Past nine tenths of a limit the ledger asks for news every NEAR seconds."""
    pair = Pair(limit=1000)
    pair.pay(0.0, 1, 100, 1)
    pair.exchange(1.0)
    far = pair.wallet.due() - 1.0
    pair.pay(2.0, 2, 950, 930)
    pair.exchange(100.0)
    pair.wallet.purses["w"].ceiling = pair.wallet.purses["w"].used + 1

    assert (far, pair.wallet.due()) == (FAR, 100.0 + NEAR)


def at_midnight(now: float) -> tuple[str, ...]:
    """Yesterday's window, then today's."""
    return ("yesterday",) if now < 1000.0 else ("today",)


def midnight_pair() -> Pair:
    """Two windows that meet at 1000."""
    pair = Pair()
    pair.ledger.open("yesterday", 1000, end=1000.0)
    pair.ledger.open("today", 1000, start=1000.0)
    return pair


def test_a_grant_that_arrives_after_midnight_is_yesterdays() -> None:
    """The call asks again, and its hold is placed in the window in which it goes."""
    pair = midnight_pair()
    pair.wallet.ask(999.0, 1, 100, 100, at_midnight, 30.0)
    reply = pair.ledger.report(999.5, pair.wallet.report(999.5))
    assert reply is not None
    assert reply.answers == {1: GRANTED}

    pair.wallet.on_reply(1000.5, reply)
    assert pair.wallet.poll(1000.5) == []
    assert pair.exchange(1001.0) == [(1, GRANTED)]
    pair.wallet.settle(1002.0, 1, 60)
    pair.exchange(1003.0)

    yesterday, today = pair.ledger.rows["pod", "yesterday"], pair.ledger.rows["pod", "today"]
    assert (yesterday.used, yesterday.granted, today.used) == (0, 0, 60)


def test_a_call_over_midnight_settles_where_it_began_and_its_purse_is_put_away() -> None:
    """Yesterday's purse stays until its last call is told and nobody named it for a while."""
    pair = midnight_pair()
    pair.wallet.ask(999.0, 1, 100, 100, at_midnight, 30.0)
    assert pair.exchange(999.1) == [(1, GRANTED)]
    pair.exchange(999.1 + IDLE + 1)
    assert "yesterday" in pair.wallet.purses, "a call is in flight"
    pair.wallet.settle(1100.0, 1, 60)
    pair.exchange(1101.0)

    assert "yesterday" not in pair.wallet.purses
    assert pair.ledger.rows["pod", "yesterday"].used == 60


def test_money_of_the_next_window_is_asked_for_ahead() -> None:
    """The first call after midnight needs no ledger."""
    pair = midnight_pair()
    pair.wallet.ask(990.0, 1, 10, 10, at_midnight, 30.0)
    pair.exchange(990.1)
    pair.wallet.settle(991.0, 1, 10)
    pair.wallet.ahead("yesterday", "today")
    pair.exchange(992.0)

    assert pair.wallet.ask(1000.0, 2, 10, 10, at_midnight, 30.0) == GRANTED


def test_a_purse_whose_window_the_ledger_forgot_is_put_away_in_the_end() -> None:
    """After a day without a name or a word about it; not while the report is merely refused."""
    pair = Pair()
    pair.ledger.open("other", 100)
    pair.pay(0.0, 1, 100, 50)
    pair.wallet.ask(0.0, 2, 10, 10, lambda now: ("other",), 30.0)
    pair.exchange(1.0)
    pair.wallet.settle(1.5, 2, 10)
    pair.ledger.forget("other")
    pair.exchange(80_000.0)
    assert "other" in pair.wallet.purses

    pair.exchange(90_000.0)

    assert set(pair.wallet.purses) == {"w"}


def test_misuse_is_told_by_name() -> None:
    """Amounts below zero, numbers used twice and calls settled twice are errors, and change nothing."""
    pair = Pair()
    pair.ask(0.0, 1, 100)
    pair.exchange(0.1)

    with pytest.raises(ValueError, match="call 1 was asked for before"):
        pair.ask(1.0, 1, 5)
    with pytest.raises(ValueError, match="call 2 asks for a hold of -5"):
        pair.ask(1.0, 2, -5)
    with pytest.raises(ValueError, match="call 1 settles at -1"):
        pair.wallet.settle(1.0, 1, -1)
    with pytest.raises(ValueError, match="call 1 is in flight"):
        pair.wallet.overdraw(1.0, 1, 5, 5, ("w",))
    with pytest.raises(ValueError, match="call 3 asks for a hold of -5"):
        pair.wallet.overdraw(1.0, 3, -5, 5, ("w",))
    pair.wallet.settle(1.0, 1, 5)
    with pytest.raises(KeyError):
        pair.wallet.settle(1.0, 1, 5)
    assert pair.wallet.purses["w"].used == 5
