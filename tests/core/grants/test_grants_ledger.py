"""The ledger's rules, one by one, as scripts of reports."""

from dataclasses import replace

import pytest

from harness.grants_talk import Talk, claim, ledger_of, need
from wfb_core.grants import (
    BUSY,
    CROWD_CALLS,
    EXHAUSTED,
    GRANTED,
    LEARN,
    LOST,
    PENDING,
    STUCK,
    TIGHT,
    Claim,
    Holder,
    Ledger,
    Need,
    Report,
    Row,
    Window,
)


# Each row: what others settled, hold and lost; the hold asked for; the answer.
ANSWERS = [
    (0, 0, False, 1000, GRANTED, "all of it"),
    (0, 0, False, 1001, EXHAUSTED, "more than the limit"),
    (900, 0, False, 100, GRANTED, "exactly the rest"),
    (900, 0, False, 101, EXHAUSTED, "more than what is settled leaves"),
    (0, 900, False, 101, PENDING, "more than holds leave now"),
    (0, 900, True, 101, STUCK, "more than silent holders leave"),
    (0, 900, True, 100, GRANTED, "what silent holders leave"),
    (0, 900, True, 1001, EXHAUSTED, "more than the limit, whoever is silent"),
    (1000, 0, False, 0, GRANTED, "nothing fits anywhere"),
]


@pytest.mark.parametrize(
    ("used", "held", "lost", "hold", "answer"), [row[:5] for row in ANSWERS], ids=[row[5] for row in ANSWERS]
)
def test_answers(used: int, held: int, lost: bool, hold: int, answer: str) -> None:
    """What a need is told depends on what is settled, held and lost, in this order."""
    ledger = ledger_of(1000)
    other = Talk(ledger, "other")
    other.say(0.0, {"w": claim()}, need(used + held))
    other.say(0.0, {"w": claim(used, held)})
    now = LOST + 1 if lost else 1.0
    ledger.sweep(now)

    reply = Talk(ledger, "pod").say(now, {"w": claim()}, need(hold))

    assert reply.answers == {1: answer}


def test_a_grant_is_gross() -> None:
    """A need gets its full hold on top of the ceiling, whatever slack the holder still states."""
    ledger = ledger_of(1000)
    pod = Talk(ledger, "pod")
    pod.say(0.0, {"w": claim()}, need(100))

    reply = pod.say(1.0, {"w": claim(used=10, ceiling=100)}, need(50, call=2))

    assert reply.answers == {2: GRANTED}
    assert reply.shares["w"].granted == 150


@pytest.mark.parametrize("order", [("a", "b", "c"), ("c", "b", "a")])
def test_all_windows_or_none(order: tuple[str, ...]) -> None:
    """A call short in one of its windows takes nothing in the others."""
    ledger = ledger_of(1000, "a", "b", "c")
    Talk(ledger, "other").say(0.0, {"b": claim()}, need(950, "b"))

    reply = Talk(ledger, "pod").say(1.0, dict.fromkeys(order, claim()), need(100, *order))

    assert reply.answers == {1: PENDING}
    assert [ledger.windows[name].granted for name in "abc"] == [0, 950, 0]


def test_opposite_orders_of_windows_do_not_block_each_other() -> None:
    """Two calls that need the same two windows in opposite orders are served one after the other."""
    ledger = ledger_of(100, "a", "b")
    one, two = Talk(ledger, "one"), Talk(ledger, "two")
    first = one.say(0.0, {"a": claim(), "b": claim()}, need(80, "a", "b"))
    second = two.say(0.1, {"b": claim(), "a": claim()}, need(80, "b", "a"))
    one.say(0.2, {"a": claim(used=5), "b": claim(used=5)})
    third = two.say(0.3, {"b": claim(), "a": claim()}, need(80, "b", "a", waited=0.2))

    assert [first.answers[1], second.answers[1], third.answers[1]] == [GRANTED, PENDING, GRANTED]


def test_the_oldest_need_is_served_first() -> None:
    """Freed money goes to the call that waited longest, not to the first that asks then."""
    ledger = ledger_of(100)
    rich, old, young = Talk(ledger, "rich"), Talk(ledger, "old"), Talk(ledger, "young")
    rich.say(0.0, {"w": claim()}, need(100))
    assert old.say(1.0, {"w": claim()}, need(90)).answers == {1: PENDING}
    rich.say(2.0, {"w": claim(used=5)})

    assert young.say(2.1, {"w": claim()}, need(20)).answers == {1: PENDING}
    assert old.say(2.2, {"w": claim()}, need(90, waited=1.2)).answers == {1: GRANTED}


def test_a_waiter_that_is_not_repeated_lapses() -> None:
    """A holder that died in the queue keeps its place for TIGHT seconds and no longer."""
    ledger = ledger_of(100)
    rich, gone, young = Talk(ledger, "rich"), Talk(ledger, "gone"), Talk(ledger, "young")
    rich.say(0.0, {"w": claim()}, need(100))
    gone.say(1.0, {"w": claim()}, need(90))
    rich.say(1.5, {"w": claim(used=5)})

    assert young.say(1.0 + TIGHT - 0.1, {"w": claim()}, need(20)).answers == {1: PENDING}
    assert young.say(1.0 + TIGHT, {"w": claim()}, need(20)).answers == {1: GRANTED}


def test_a_call_that_is_no_longer_named_leaves_the_queue() -> None:
    """A waiter whose client left does not hold up the others."""
    ledger = ledger_of(100)
    rich, gone, young = Talk(ledger, "rich"), Talk(ledger, "gone"), Talk(ledger, "young")
    rich.say(0.0, {"w": claim()}, need(100))
    gone.say(1.0, {"w": claim()}, need(90))
    rich.say(1.5, {"w": claim(used=5)})
    gone.say(1.6, {"w": claim()})

    assert young.say(1.7, {"w": claim()}, need(20)).answers == {1: GRANTED}


def test_a_queue_takes_no_more_than_it_can_serve() -> None:
    """Past what is left in the window, or CROWD_CALLS, newcomers hear BUSY at once, and those in the queue stay."""
    ledger = ledger_of(10_000)
    Talk(ledger, "rich").say(0.0, {"w": claim()}, need(10_000))
    waiters = tuple(need(1, call=number) for number in range(CROWD_CALLS))
    crowd = Talk(ledger, "crowd")
    assert set(crowd.say(1.0, {"w": claim()}, *waiters).answers.values()) == {PENDING}

    assert Talk(ledger, "late").say(1.1, {"w": claim()}, need(1)).answers == {1: BUSY}
    again = crowd.say(2.0, {"w": claim()}, *(replace(waiter, waited=1.0) for waiter in waiters))
    assert set(again.answers.values()) == {PENDING}


def test_a_queue_whose_holds_exceed_what_is_left_is_busy() -> None:
    """Nobody joins behind holds that what is left could not pay at once."""
    ledger = ledger_of(1000)
    Talk(ledger, "rich").say(0.0, {"w": claim()}, need(1000))
    Talk(ledger, "one").say(1.0, {"w": claim()}, need(600), need(600, call=2))

    assert Talk(ledger, "late").say(1.1, {"w": claim()}, need(1)).answers == {1: BUSY}


def test_lost_doubled_and_late_reports_change_nothing() -> None:
    """The same report has the same reply, and an older one none."""
    ledger = ledger_of()
    pod = Talk(ledger, "pod")
    first = pod.say(0.0, {"w": claim()}, need(100))
    early = pod.last
    second = pod.say(1.0, {"w": claim(held=100)}, need(50, call=2))
    before = replace(ledger.rows["pod", "w"])

    assert ledger.report(2.0, pod.last) is second
    assert ledger.report(2.0, early) is None
    assert ledger.rows["pod", "w"] == before
    assert first.answers == {1: GRANTED}


def test_what_goes_over_is_booked_and_stops_grants() -> None:
    """A call that cost more than its hold is recorded, committed, and nothing is granted until it fits again."""
    ledger = ledger_of(1000)
    pod, other = Talk(ledger, "pod"), Talk(ledger, "other")
    pod.say(0.0, {"w": claim()}, need(1000))

    reply = pod.say(1.0, {"w": claim(used=1080, ceiling=1000)})

    window = ledger.windows["w"]
    assert (window.overdraft, window.granted, window.used, window.beyond) == (80, 1080, 1080, 0)
    assert reply.shares["w"].left == -80
    assert other.say(2.0, {"w": claim()}, need(1)).answers == {1: EXHAUSTED}
    ledger.edit("w", 1100)
    assert other.say(3.0, {"w": claim()}, need(20)).answers == {1: GRANTED}


def test_a_hold_let_through_is_overdraft_by_what_it_cost() -> None:
    """While it is only held it is committed; settled for little, it is overdraft by that little."""
    ledger = ledger_of(10_000)
    pod = Talk(ledger, "pod")
    pod.say(0.0, {"w": claim()}, need(100))
    pod.say(1.0, {"w": claim(used=100, held=640, ceiling=100)})
    assert (ledger.windows["w"].overdraft, ledger.windows["w"].beyond, ledger.windows["w"].granted) == (0, 640, 740)

    pod.say(2.0, {"w": claim(used=103)})

    assert (ledger.windows["w"].overdraft, ledger.windows["w"].beyond, ledger.windows["w"].granted) == (3, 0, 103)


LIES = [
    (claim(used=99, ceiling=100), (), "used that shrank"),
    (claim(used=100, ceiling=101), (), "a ceiling above the grant"),
    (claim(used=301, ceiling=100), (), "more than twice the grant and a tenth of the limit"),
    (claim(used=100, held=201, ceiling=100), (), "the same, held"),
    (claim(used=100, held=-1, ceiling=99), (), "less than nothing held"),
    (claim(used=100, want=-1), (), "a want below zero"),
    (claim(used=100, expected=-1), (), "an expectation below zero"),
    (claim(used=100), (need(-5),), "a hold below zero"),
    (claim(used=100), (need(5, expected=-5),), "an expectation of a call below zero"),
    (claim(used=100), (need(5, waited=-5.0),), "a wait below zero"),
    (claim(used=100), (need(5, "w", "w"),), "a window named twice"),
    (claim(used=100), (need(5, "other"),), "a window that is not claimed"),
]


@pytest.mark.parametrize(("lie", "needs"), [row[:2] for row in LIES], ids=[row[2] for row in LIES])
def test_what_cannot_be_is_refused_whole_and_flagged(lie: Claim, needs: tuple[Need, ...]) -> None:
    """A report with one impossible part changes no book, its calls stay pending, and the holder is flagged."""
    ledger = ledger_of(1000, "w", "other")
    pod = Talk(ledger, "pod")
    pod.say(0.0, {"w": claim()}, need(100))
    pod.say(0.5, {"w": claim(used=100)})
    before = replace(ledger.rows["pod", "w"])

    reply = pod.say(1.0, {"w": lie}, *needs, need(1, call=9))

    assert set(reply.answers.values()) == {PENDING}
    assert reply.shares == {}
    assert ledger.holders["pod"].flagged == 1
    assert ledger.rows["pod", "w"] == before
    assert pod.say(2.0, {"w": claim(used=300, ceiling=100)}).shares, "at the very bound it is believed"
    assert ledger.holders["pod"].flagged == 1


def test_an_epoch_that_never_was_is_refused() -> None:
    """A report from the future of this ledger means that it was restored and nobody said so: nothing is granted."""
    ledger = ledger_of()

    assert Talk(ledger, "pod", epoch=7).say(0.0, {"w": claim()}, need(1)).answers == {1: PENDING}
    assert ledger.holders["pod"].flagged == 1


def test_a_limit_cut_below_what_is_out_grants_nothing_until_it_comes_back() -> None:
    """After an edit down, freed money first repays the cut; after an edit up, it is granted at once."""
    ledger = ledger_of(1000)
    pod, other = Talk(ledger, "pod"), Talk(ledger, "other")
    pod.say(0.0, {"w": claim()}, need(800))
    ledger.edit("w", 500)
    assert other.say(1.0, {"w": claim()}, need(100)).answers == {1: PENDING}
    pod.say(1.5, {"w": claim(used=300, held=200)})
    assert other.say(2.0, {"w": claim()}, need(100, waited=1.0)).answers == {1: PENDING}

    ledger.edit("w", 600)

    assert other.say(3.0, {"w": claim()}, need(100, waited=2.0)).answers == {1: GRANTED}


def test_an_edit_does_not_make_a_liar() -> None:
    """Overdraft that was plausible under the limit as it was stays so after the limit was cut."""
    ledger = ledger_of(1000)
    pod = Talk(ledger, "pod")
    pod.say(0.0, {"w": claim()})
    ledger.edit("w", 10)

    assert pod.say(1.0, {"w": claim(held=50, ceiling=0)}).shares
    assert ledger.holders["pod"].flagged == 0


def test_a_window_hands_out_slack_early_and_takes_calls_from_its_start_to_its_end() -> None:
    """Slack AHEAD seconds before the start, calls at the start, nothing at the end."""
    ledger = ledger_of(10_000, start=1000.0, end=2000.0)
    pod = Talk(ledger, "pod")
    script = [
        (939.0, 0, PENDING, False),
        (941.0, 100, PENDING, False),
        (1000.0, 100, GRANTED, False),
        (1999.9, 100, GRANTED, False),
        (2000.0, 0, PENDING, True),
    ]
    for call, (now, keep, answer, closed) in enumerate(script):
        ceiling = ledger.rows.get(("pod", "w"), Row()).granted
        reply = pod.say(now, {"w": claim(ceiling=ceiling, want=100)}, need(10, call=call))
        share = reply.shares["w"]
        assert (share.keep, reply.answers[call], share.closed) == (keep, answer, closed), now


@pytest.mark.parametrize(
    ("wants", "keeps"),
    [
        ((100, 100), (100, 100)),
        ((250, 250), (125, 125)),
        ((750, 250), (187, 62)),
        ((800, 201), (0, 0)),
    ],
)
def test_slack_is_shared_by_wants_and_none_where_they_exceed_the_room(
    wants: tuple[int, int], keeps: tuple[int, int]
) -> None:
    """A quarter of the room is shared out by wants; where the wants exceed the room nobody keeps any."""
    ledger = ledger_of(1000)
    pods = [Talk(ledger, "a"), Talk(ledger, "b")]
    for pod, want in zip(pods, wants, strict=True):
        pod.say(0.0, {"w": claim(want=want, ceiling=0)})
    ceilings = [ledger.rows[pod.name, "w"].granted for pod in pods]

    got = [
        pod.say(1.0, {"w": claim(want=want, ceiling=ceiling)}).shares["w"].keep
        for pod, want, ceiling in zip(pods, wants, ceilings, strict=True)
    ]

    assert tuple(got) == keeps


def test_released_money_is_believed_again_if_its_holder_returns() -> None:
    """A release gives back slack and keeps what was held; the mistaken one is learned, not flagged."""
    ledger = ledger_of(1000)
    pod, other = Talk(ledger, "pod"), Talk(ledger, "other")
    pod.say(0.0, {"w": claim()}, need(600), need(300, call=2))
    pod.say(0.5, {"w": claim(used=200, held=300, ceiling=900)})

    assert ledger.release("pod") == {"w": 400}
    assert other.say(1.0, {"w": claim()}, need(500)).answers == {1: GRANTED}
    pod.say(2.0, {"w": claim(used=700, held=200, ceiling=900)})

    window = ledger.windows["w"]
    assert (ledger.holders["pod"].flagged, window.learned, window.overdraft, window.granted) == (0, 400, 0, 1400)
    assert other.say(3.0, {"w": claim(held=500)}, need(301, call=2)).answers == {2: EXHAUSTED}


def test_money_of_a_lost_holder_is_found_again_when_it_speaks() -> None:
    """Lost is a count of what silent holders keep; their first word ends it, in every window."""
    ledger = ledger_of(1000, "a", "b")
    pod = Talk(ledger, "pod")
    pod.say(0.0, {"a": claim(), "b": claim()}, need(400, "a", "b"))
    ledger.sweep(LOST)
    assert ledger.windows["a"].lost == 0
    ledger.sweep(LOST + 1)
    assert (ledger.windows["a"].lost, ledger.windows["b"].lost, ledger.holders["pod"].lost) == (400, 400, True)

    pod.say(LOST + 2, {"a": claim(used=10, ceiling=400)})

    assert (ledger.windows["a"].lost, ledger.windows["b"].lost, ledger.holders["pod"].lost) == (0, 0, False)


def test_a_ledger_that_was_away_itself_calls_nobody_lost() -> None:
    """Silence counts only from when the process began to listen."""
    ledger = ledger_of()
    Talk(ledger, "pod").say(0.0, {"w": claim()}, need(400))
    later = Ledger(ledger.windows, ledger.rows, ledger.holders, awake=1000.0)

    later.sweep(1000.0 + LOST)
    assert later.windows["w"].lost == 0
    later.sweep(1001.0 + LOST)
    assert later.windows["w"].lost == 400


def test_a_restored_ledger_learns_before_it_grants() -> None:
    """For LEARN seconds holders are heard and nothing is granted; strangers are believed until they know the epoch."""
    ledger = ledger_of(1000)
    pod, young = Talk(ledger, "pod"), Talk(ledger, "young")
    pod.say(100.0, {"w": claim()}, need(100))
    backup = Ledger({"w": replace(ledger.windows["w"])}, {k: replace(r) for k, r in ledger.rows.items()})
    pod.say(101.0, {"w": claim(held=100)}, need(500, call=2))
    pod.ledger = young.ledger = backup
    backup.begin_epoch(200.0)

    late = backup.report(200.5, Report("pod", 1, 1, {"w": claim(ceiling=50)}, ()))
    assert late is not None, "a late copy of an old report is believed, too"
    reply = pod.say(201.0, {"w": claim(held=600)}, need(10, call=3))

    assert reply.answers == {3: PENDING}
    assert (backup.windows["w"].granted, backup.windows["w"].learned, backup.windows["w"].overdraft) == (600, 550, 0)
    assert young.say(199.0 + LEARN, {"w": claim()}, need(10)).answers == {1: PENDING}
    assert young.say(200.0 + LEARN, {"w": claim()}, need(401)).answers == {1: PENDING}
    assert young.say(201.0 + LEARN, {"w": claim()}, need(400)).answers == {1: GRANTED}
    pod.say(202.0 + LEARN, {"w": claim(held=600)})
    pod.epoch = 1
    pod.say(203.0 + LEARN, {"w": claim(held=600, ceiling=900)})
    assert backup.holders["pod"].flagged == 1, "who has spoken in the new epoch is no stranger in the old"


def test_the_same_backup_restored_twice_begins_two_epochs() -> None:
    """The epoch follows the clock, for the backup does not know of the first restore."""
    first, second = Ledger(epoch=3), Ledger(epoch=3)
    first.begin_epoch(1_000_000.0)
    second.begin_epoch(1_000_060.0)

    assert 3 < first.epoch < second.epoch


def test_in_slow_calls_go_as_the_line_allows() -> None:
    """With money for a hundred seconds at one a second, about one call a second goes, in order, and none in a burst."""
    ledger = ledger_of(10_000, end=100.0, slow_from=0.0)
    pod = Talk(ledger, "pod")
    waiting: dict[int, float] = {}
    used, went = 0, []
    for tenth in range(600):
        now = tenth / 10
        waiting[tenth] = now
        waiting = {call: since for call, since in waiting.items() if now - since < 5}
        needs = [need(2000, call=c, waited=now - since, expected=100) for c, since in waiting.items()]
        reply = pod.say(now, {"w": claim(used=used)}, *needs)
        for call, answer in reply.answers.items():
            if answer != PENDING:
                del waiting[call]
            if answer == GRANTED:
                used += 100  # settled at once, at its expectation
                went.append(now)

    assert len(went) == pytest.approx(60, abs=5)
    assert max(sum(start <= at < start + 5 for at in went) for start in range(55)) <= 9


def test_a_window_without_end_is_not_paced() -> None:
    """Total and Run have no end to pace to: Slow there would stop everything."""
    ledger = ledger_of(1000, slow_from=0.5)
    pod = Talk(ledger, "pod")
    pod.say(0.0, {"w": claim()}, need(900))
    pod.say(1.0, {"w": claim(used=900)})

    assert pod.say(2.0, {"w": claim(used=900)}, need(50, call=2)).answers == {2: GRANTED}


def test_a_forgotten_window_is_gone_from_books_and_queues() -> None:
    """What is said about it later is not heard, and calls that still name it wait."""
    ledger = ledger_of(100, "old", "new")
    pod = Talk(ledger, "pod")
    claims = {"old": claim(), "new": claim()}
    pod.say(0.0, claims, need(80, "old", "new"), need(80, "old", "new", call=2))
    ledger.take_changes()

    ledger.forget("old")
    ledger.forget("old")

    changes = ledger.take_changes()
    assert (changes.windows, changes.rows, changes.holders) == ({"old"}, {("pod", "old")}, set())
    assert not any(window == "old" for _, window in ledger.rows)
    reply = pod.say(1.0, {"old": claim(used=7), "new": claim(used=7)}, need(80, "old", "new", call=2))
    assert (reply.answers, set(reply.shares)) == ({2: PENDING}, {"new"})
    ledger.sweep(1000.0)


def test_changes_name_what_changed_and_nothing_else() -> None:
    """A beat without news writes only its holder; a grant its row too; an overdraft its window too."""
    ledger = ledger_of(1000, "w", "still")
    pod = Talk(ledger, "pod")
    script: list[tuple[Claim, tuple[Need, ...], set[str], set[tuple[str, str]]]] = [
        (claim(), (need(100),), {"w", "still"}, {("pod", "w")}),
        (claim(held=100), (), set(), set()),
        (claim(used=30), (), set(), {("pod", "w")}),
        (claim(used=40, ceiling=30), (), {"w"}, {("pod", "w")}),
    ]
    for now, (said, needs, windows, rows) in enumerate(script):
        pod.say(float(now), {"w": said}, *needs)
        changes = ledger.take_changes()
        assert (changes.windows, changes.rows, changes.holders) == (windows, rows, {"pod"}), now
    assert not ledger.take_changes()


def test_a_loaded_ledger_goes_on_where_it_stopped() -> None:
    """Rows are the truth: sums are rebuilt, the last report has no second reply, and the next one is taken in."""
    ledger = ledger_of(1000)
    pod = Talk(ledger, "pod")
    pod.say(0.0, {"w": claim()}, need(100))

    loaded = Ledger(
        {"w": Window(1000)},
        {("pod", "w"): replace(ledger.rows["pod", "w"])},
        {"pod": Holder(seq=1, seen=0.0, epoch=1)},
    )

    assert pod.last is not None
    assert loaded.report(1.0, pod.last) is None
    assert (loaded.windows["w"].granted, loaded.windows["w"].held) == (100, 100)
    pod.ledger = loaded
    assert pod.say(2.0, {"w": claim(held=100)}, need(901, call=2)).answers == {2: PENDING}


def test_bad_limits_are_refused_by_name() -> None:
    """A limit below zero is an error that names the window, when it is opened and when it is edited."""
    ledger = ledger_of()

    with pytest.raises(ValueError, match="limit of x is -1"):
        ledger.open("x", -1)
    with pytest.raises(ValueError, match="limit of w is -2"):
        ledger.edit("w", -2)
    assert ledger.open("w", 5).limit == 1000, "opening an open window changes nothing"
