"""A trickle beyond the limit, a rate of its own, and which window decided: scripts of reports."""

from typing import Any

import pytest

from harness.grants_talk import Talk, claim, ledger_of, need
from wfb_core.grants import (
    BUSY,
    EXHAUSTED,
    GRANTED,
    HELD,
    LOST,
    PACED,
    PENDING,
    SILENT_MONEY,
    SPENT,
    STUCK,
    THROTTLED,
    Holder,
    Ledger,
    Obstacle,
    Row,
    Wallet,
    Window,
)

A_SECOND = 3600
"""A trickle or rate of one nano-USD a second."""


def spent(limit: int, used: int, **terms: Any) -> tuple[Ledger, Talk]:
    """A ledger with a window of which a pod has used a part."""
    ledger = ledger_of(limit, **terms)
    pod = Talk(ledger, "pod")
    pod.say(0.0, {"w": claim()}, need(used))
    pod.say(0.0, {"w": claim(used=used)})
    return ledger, pod


def test_a_trickle_pays_a_call_when_all_of_its_hold_has_accrued() -> None:
    """At one a second a hold of ten goes after ten seconds, not earlier; what it did not cost is there for the next."""
    _, pod = spent(1000, 1000, trickle=A_SECOND)
    used = {"w": claim(used=1000)}

    first = pod.say(0.0, used, need(10))
    early = pod.say(9.0, used, need(10, waited=9.0))
    due = pod.say(10.0, used, need(10, waited=10.0))
    after = pod.say(11.0, {"w": claim(used=1004)}, need(10, call=2))

    assert first.obstacles == {1: Obstacle("w", THROTTLED, 10.0)}
    assert (first.answers, early.answers, due.answers) == ({1: PENDING}, {1: PENDING}, {1: GRANTED})
    assert early.obstacles == {1: Obstacle("w", THROTTLED, 1.0)}
    assert after.obstacles == {2: Obstacle("w", THROTTLED, 3.0)}
    assert (after.shares["w"].trickled, after.shares["w"].left) == (11, 7)


def test_what_was_spent_beyond_by_agreement_is_told_apart() -> None:
    """The agreed part is what the trickle allowed; a bill above the hold is overdraft, and is paid off first."""
    ledger, pod = spent(1000, 1000, trickle=A_SECOND)
    pod.say(0.0, {"w": claim(used=1000)}, need(10))
    pod.say(10.0, {"w": claim(used=1000)}, need(10, waited=10.0))
    pod.say(10.0, {"w": claim(used=1030, ceiling=1010)})

    window = ledger.windows["w"]
    reply = pod.say(20.0, {"w": claim(used=1030)}, need(10, call=2))

    assert (window.agreed(), window.overdraft) == (20, 20)
    assert reply.obstacles == {2: Obstacle("w", THROTTLED, 20.0)}


def test_a_trickle_is_shared_in_order_of_age_over_all_pods() -> None:
    """Whoever waits longer goes first, and a small call does not pass a large one that is served in time."""
    ledger, one = spent(1000, 1000, trickle=A_SECOND)
    other = Talk(ledger, "other")
    one.say(0.0, {"w": claim(used=1000)}, need(10, patience=20.0))
    passed_over = other.say(2.0, {"w": claim()}, need(1, patience=20.0))
    served = one.say(10.0, {"w": claim(used=1000)}, need(10, waited=10.0, patience=10.0))
    then = other.say(11.0, {"w": claim()}, need(1, waited=9.0, patience=11.0))

    assert passed_over.obstacles == {1: Obstacle("w", THROTTLED, 9.0)}
    assert (served.answers, then.answers) == ({1: GRANTED}, {1: GRANTED})


def test_who_cannot_be_served_in_time_hears_so_at_once_and_blocks_nobody() -> None:
    """A call that the trickle pays only beyond its patience is BUSY with its turn, and the smaller one behind it goes."""
    ledger, pod = spent(1000, 1000, trickle=A_SECOND)
    other = Talk(ledger, "other")

    large = pod.say(0.0, {"w": claim(used=1000)}, need(500, patience=20.0))
    small = other.say(1.0, {"w": claim()}, need(1, patience=20.0))

    assert (large.answers, large.obstacles) == ({1: BUSY}, {1: Obstacle("w", THROTTLED, 500.0)})
    assert small.answers == {1: GRANTED}


def test_a_large_call_far_from_the_limit_starts_no_trickle_for_the_others() -> None:
    """Once a call fits into the limit itself the limit was not exhausted, and nothing has accrued."""
    ledger, pod = spent(1000, 100, trickle=A_SECOND)
    used = {"w": claim(used=100)}
    pod.say(0.0, used, need(950, patience=20.0))
    assert ledger.windows["w"].exhausted_at == 0.0

    pod.say(300.0, used, need(10, call=2))

    assert ledger.windows["w"].exhausted_at == float("inf")
    assert pod.say(301.0, {"w": claim(used=110)}).shares["w"].left == 890


EDITS = [
    ({"limit": 2000, "trickle": A_SECOND}, "a higher limit has room itself"),
    ({"limit": 1000, "trickle": 2 * A_SECOND}, "another trickle is due from now on only"),
    ({"limit": 1000, "trickle": 0}, "no trickle any more"),
]


@pytest.mark.parametrize(("terms", "why"), EDITS, ids=[row[1] for row in EDITS])
def test_an_edit_makes_nothing_due_for_the_past(terms: dict[str, int], why: str) -> None:
    """After the edit what is left is what the new terms make due from the next shortage on."""
    ledger, pod = spent(1000, 1000, trickle=A_SECOND)
    pod.say(0.0, {"w": claim(used=1000)}, need(500))

    ledger.edit("w", **terms)

    reply = pod.say(100.0, {"w": claim(used=1000)})
    assert reply.shares["w"].left == terms["limit"] - 1000


def test_a_restarted_ledger_knows_since_when() -> None:
    """The moment of exhaustion is in what a store keeps of the window."""
    window = Window(1000, trickle=A_SECOND, exhausted_at=50.0)
    ledger = Ledger({"w": window}, {("pod", "w"): Row(granted=1000, used=1000)}, {"pod": Holder(seq=1)})
    pod = Talk(ledger, "pod", seq=1)

    assert pod.say(60.0, {"w": claim(used=1000)}, need(10)).answers == {1: GRANTED}


def test_a_throttled_window_hands_out_no_slack() -> None:
    """What accrues goes to those who ask, in their order."""
    _, pod = spent(1000, 1000, trickle=A_SECOND)
    pod.say(0.0, {"w": claim(used=1000)}, need(500, patience=20.0))

    assert pod.say(100.0, {"w": claim(used=1000, want=50)}).shares["w"].keep == 0


def test_slow_at_a_rate_waits_for_what_was_spent_above_it() -> None:
    """On a window without an end, at one a second, a call of a hundred is followed by a hundred seconds of waiting."""
    _, pod = spent(10_000, 5000, slow_from=0.5, rates=((0.5, A_SECOND),))
    began = {"w": claim(used=5000)}
    pod.say(0.0, began, need(500, expected=10))
    granted = pod.say(2.0, began, need(500, expected=10, waited=2.0))
    assert granted.answers == {1: GRANTED}

    waiting = pod.say(3.0, {"w": claim(used=5100)}, need(500, call=2, expected=10, patience=600.0))
    assert waiting.answers == {2: PENDING}
    assert waiting.obstacles[2].way == PACED
    assert waiting.obstacles[2].turn == pytest.approx(98, abs=2)


def test_a_later_step_takes_over_from_an_earlier_one() -> None:
    """Slow evenly, then at a rate, then at a lower one: the highest step that is reached counts."""
    window = Window(1000, end=1000.0, slow_from=0.5, rates=((0.5, 0), (0.7, 7200), (0.9, 3600)))
    rates = []
    for window.used in (400, 500, 700, 899, 900):
        rates.append((window.slow(), window.rate()))

    assert rates == [(False, 0), (True, 0), (True, 7200), (True, 7200), (True, 3600)]


def test_a_budget_that_allows_more_is_paced_up_to_its_limit_and_not_beyond() -> None:
    """Where the stated limit is a goal and no bound, Slow spreads up to it, and stops no call past it."""
    _, pod = spent(10**9, 900, end=1000.0, slow_from=0.85, goal=1000)
    paced = pod.say(1.0, {"w": claim(used=900)}, need(50, expected=50), need(50, call=2, expected=50))
    beyond = pod.say(2.0, {"w": claim(used=1000, ceiling=900)}, need(50, call=3, expected=50))

    assert paced.obstacles[1].way == PACED
    assert beyond.answers == {3: GRANTED}


# Each row: windows by name, the hold, the answer, and the window that is named. All have a limit of 1000.
FREE = {"used": 0}
MIXED = [
    ({"a": {"used": 990}, "b": {"used": 950}}, 20, EXHAUSTED, Obstacle("a", SPENT), "of two, only one is exhausted"),
    ({"a": {"used": 990}, "b": {"used": 995}}, 20, EXHAUSTED, Obstacle("b", SPENT), "of two exhausted the tighter"),
    ({"a": {"used": 995, "trickle": A_SECOND}, "b": {"used": 990}}, 20, EXHAUSTED, Obstacle("b", SPENT), "a trickle does not help where another is exhausted"),
    ({"a": {"used": 990, "trickle": A_SECOND}, "b": FREE}, 20, PENDING, Obstacle("a", THROTTLED, 10.0), "throttled"),
    ({"a": {"used": 990, "trickle": A_SECOND}, "b": {"used": 980, "trickle": A_SECOND}}, 40, PENDING, Obstacle("a", THROTTLED, 30.0), "of two throttled the later turn"),
    ({"a": {"held": 990}, "b": FREE}, 20, PENDING, Obstacle("a", HELD), "held"),
    ({"a": {"held": 990}, "b": {"used": 990, "trickle": A_SECOND}}, 20, PENDING, Obstacle("b", THROTTLED, 10.0), "held, and throttled"),
    ({"a": {"held": 990}, "b": {"used": 990}}, 20, EXHAUSTED, Obstacle("b", SPENT), "held, and exhausted"),
    ({"a": {"held": 990, "lost": True}, "b": {"used": 985, "trickle": A_SECOND}}, 20, STUCK, Obstacle("a", SILENT_MONEY), "silent, and throttled"),
    ({"a": {"used": 900, "slow_from": 0.85, "end": 1e6}, "b": FREE}, 20, PENDING, Obstacle("a", PACED, 10_000.0), "paced"),
    ({"a": {"used": 900, "slow_from": 0.85, "end": 1e6}, "b": {"used": 990}}, 20, EXHAUSTED, Obstacle("b", SPENT), "paced, and exhausted"),
    ({"a": {"used": 900, "slow_from": 0.85, "end": 1e6}, "b": {"held": 990}}, 20, PENDING, Obstacle("a", PACED, 10_000.0), "paced, and held"),
    ({"a": FREE, "b": FREE, "c": {"used": 1, "limit": 10**18}}, 20, GRANTED, None, "room in all"),
]  # fmt: skip


@pytest.mark.parametrize(("windows", "hold", "answer", "decided"), [r[:4] for r in MIXED], ids=[r[4] for r in MIXED])
@pytest.mark.parametrize("turned", [False, True], ids=["as listed", "turned round"])
def test_which_window_decided(
    windows: dict[str, dict[str, Any]], hold: int, answer: str, decided: Obstacle | None, turned: bool
) -> None:
    """Of a workflow's, a team's and a cluster's windows on one call the one that decided is named, in any order."""
    ledger = Ledger()
    for name, given in windows.items():
        terms = dict(given)
        used, held, lost = terms.pop("used", 0), terms.pop("held", 0), terms.pop("lost", False)
        ledger.open(name, terms.pop("limit", 1000), **terms)
        other = Talk(ledger, f"other-{name}")
        other.say(0.0, {name: claim()}, need(used + held, name))
        other.say(0.0 if lost else LOST, {name: claim(used, held)})
    ledger.sweep(LOST + 1)
    names = tuple(reversed(windows)) if turned else tuple(windows)

    reply = Talk(ledger, "pod").say(LOST + 1, dict.fromkeys(names, claim()), need(hold, *names, expected=1))

    assert reply.answers == {1: answer}
    found = reply.obstacles.get(1)
    assert (found and (found.window, found.way)) == (decided and (decided.window, decided.way))
    assert found is None or found.turn == pytest.approx(decided.turn, rel=0.01)


def test_a_client_that_leaves_is_told_within_a_tenth_of_a_second() -> None:
    """Its place in the queue is free with the next report, which does not wait for the usual second."""
    ledger, other = spent(1000, 1000, trickle=A_SECOND)
    wallet = Wallet("one", lambda _: None)
    wallet.ask(0.0, 1, 10, 10, lambda _: ("w",), 30.0)
    wallet.on_reply(0.0, ledger.report(0.0, wallet.report(0.0)))
    wallet.poll(0.0)
    assert ledger.windows["w"].queued(0.5) == 1

    wallet.drop(1)

    assert wallet.due() <= 0.1
    ledger.report(0.5, wallet.report(0.5))
    assert ledger.windows["w"].queued(0.5) == 0
    assert other.say(1.0, {"w": claim(used=1000)}, need(1)).answers == {1: GRANTED}


WAITS = [  # the way of the obstacle; wait, delay; how long it waits
    (HELD, 3.0, 20.0, 3.0),
    (PACED, 3.0, 20.0, 20.0),
    (THROTTLED, 30.0, 5.0, 5.0),
    (None, 0.0, 20.0, 2.0),
]


@pytest.mark.parametrize(("way", "wait", "delay", "lasts"), WAITS)
def test_how_long_a_call_waits_depends_on_what_stands_in_its_way(
    way: str | None, wait: float, delay: float, lasts: float
) -> None:
    """The budget's waitSeconds is for money that may come back, maxDelaySeconds for pace and trickle, and the ledger has time to say."""
    terms: dict[str | None, dict[str, Any]] = {
        HELD: {},
        PACED: {"slow_from": 0.0, "end": 1e6},
        THROTTLED: {"trickle": A_SECOND},
    }
    ledger = ledger_of(1000, **terms.get(way, {}))
    other = Talk(ledger, "other")
    other.say(0.0, {"w": claim()}, need(990))
    if way == THROTTLED:
        other.say(0.0, {"w": claim(900, 90)})
    wallet = Wallet("one", lambda _: None)
    wallet.ask(0.0, 1, 104 if way != PACED else 5, 1, lambda _: ("w",), wait, lambda _: delay)
    if way == PACED:
        other.say(0.0, {"w": claim(held=990, expected=990)})
    answers: list[float] = []
    for tenth in range(400):
        now = tenth / 10
        if now >= wallet.due() and way is not None:
            reply = ledger.report(now, wallet.report(now))
            assert reply is not None
            wallet.on_reply(now, reply)
        answers += [now for _ in wallet.poll(now)]

    assert answers == [pytest.approx(lasts, abs=0.1)]
