"""Worlds set up to ask one question each."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from grants_simulator.world import COST, Call, Kinds, World, must
from wfb_core.grants import BUSY, CROWD, GRANTED, NEAR, TIMED_OUT

BUDGETS = ("cluster", "team0", "team1", "flow00", "flow01", "flow10", "flow11")


def turns(seed: int, kinds: Kinds | None = None) -> list[float]:
    """Waits of four large calls, each half the limit, among small ones that want half as much again as fits.

    Raises Broken where one is neither granted nor told at once, or waits beyond the bound: CROWD seconds of queue
    ahead, ten until the calls in flight have ended, and a few reports.
    """
    hold = 2500 * COST
    world = World(
        seed,
        "calm",
        kinds or Kinds(),
        ratio=2000,
        large=0.0,
        rate=10.0,
        duration=3.0,
        longest=10.0,
        clamp=False,
        pods=1 + seed % 25,
        until=180.0,
        idle=0.0,
        limits=dict.fromkeys(BUDGETS, 20 * hold),
    )

    def ask_large() -> None:
        world.make_call(world.rng.choice(list(world.living.values())), hold=10 * hold, large=True)

    for turn in range(4):
        world.after(20.0 + 40.0 * turn, ask_large)
    world.run()
    answers = {answer for large, answer in world.waits if large}
    must(answers <= {GRANTED, BUSY}, f"P4: a large call was told {sorted(answers)}")
    waits = world.waits[True, GRANTED]
    must(max(waits, default=0.0) <= CROWD + 10.0 + 5 * NEAR, f"P4: a large call waited {max(waits, default=0.0):.0f} s")
    return waits


def pace(seed: int, kinds: Kinds | None = None, hour: float = 1200.0) -> float:
    """How far spend strays from an even line in Slow, as a part of the limit, where demand is three times the money.

    Raises Broken where it strays more than a twentieth and the dearest call.
    """
    limit = int(0.4 * hour * COST)
    world = World(
        seed,
        "calm",
        kinds or Kinds(),
        slow_from=0.0,
        end=hour,
        until=hour,
        rate=1.2,
        pods=(1, 5, 25)[seed % 3],
        ratio=(20, 200)[seed % 2],
        idle=0.0,
        bias=(0.3, 1.0, 3.0)[seed % 3],
        wait=15.0,
        clamp=True,
        large=0.0,
        limits={budget: limit * (1 if budget == "cluster" else 100) for budget in BUDGETS},
    ).run()
    must_keep_order(world.calls)
    worst = max(abs(part) for part in _strays(world.bills, hour, limit))
    dearest = max(cost for _, cost in world.bills) / limit
    must(worst < 0.05 + dearest, f"P8: spend strays {worst:.0%} from an even line")
    return worst


def rated(seed: int, kinds: Kinds | None = None, hour: float = 1200.0) -> float:
    """As ``pace``, in a window without an end that has a rate: how far spend strays from the rate, as a part of all."""
    rate = 0.4 * COST
    world = World(
        seed,
        "calm",
        kinds or Kinds(),
        slow_from=0.0,
        rates=((0.0, int(rate * 3600)),),
        until=hour,
        rate=1.2,
        pods=(1, 5, 25)[seed % 3],
        ratio=(20, 200)[seed % 2],
        idle=0.0,
        bias=(0.3, 1.0, 3.0)[seed % 3],
        wait=15.0,
        clamp=True,
        large=0.0,
        limits={budget: int(10 * rate * hour) * (1 if budget == "cluster" else 100) for budget in BUDGETS},
    ).run()
    bills = [(now, cost) for now, cost in world.bills if now < hour]
    worst = max(abs(part) for part in _strays(bills, hour, int(rate * hour)))
    dearest = max(cost for _, cost in bills) / (rate * hour)
    must(worst < 0.05 + dearest, f"P8: spend strays {worst:.0%} from its rate")
    return worst


@dataclass
class HalfHour:
    """What thirty minutes in Slow came to."""

    paid: int
    """Calls."""
    strays: list[float]
    """How far the spend of each slice is from an even one, as a part of it."""
    rate: float
    """The rate of spending over all of it, as a part of the even one."""
    longest: float
    """Seconds that any call waited for its answer, whatever it was."""
    holds: float
    """What remained at its end, in holds of the largest kind."""


def half_hour(seed: int, kinds: Kinds | None = None, pods: int = 50, slice_seconds: float = 300.0) -> HalfHour:
    """Fifty pods for thirty minutes of an hour in Slow: holds up to 200 times the cost, unclamped, three times the demand.

    Raises Broken where order is not kept, or a call waits beyond the largest delay of 20 s.
    """
    end, until, most = 3600.0, 1800.0, 200
    limit = 48 * most * COST  # so that twenty holds and more remain all along
    world = World(
        seed,
        "calm",
        kinds or Kinds(),
        slow_from=0.0,
        end=end,
        until=until,
        rate=3 * limit / COST / end,
        pods=pods,
        ratio=most / 1.5,
        idle=0.0,
        wait=20.0,
        clamp=False,
        large=0.0,
        limits={budget: limit * (1 if budget == "cluster" else 100) for budget in BUDGETS},
    ).run()
    must_keep_order(world.calls)
    slices = [0] * int(until / slice_seconds)
    for now, cost in world.bills:
        if now < until:
            slices[int(now / slice_seconds)] += cost
    even = limit * slice_seconds / end
    waits = [wait for some in world.waits.values() for wait in some]
    return HalfHour(
        paid=sum(now < until for now, _ in world.bills),
        strays=[spent / even - 1 for spent in slices],
        rate=sum(slices) * end / until / limit,
        longest=max(waits),
        holds=(limit - sum(slices)) / (most * COST),
    )


def must_keep_order(calls: Iterable[Call]) -> None:
    """Raise Broken where a call waits on for three reports after one was served that was asked for a report later.

    The money for whoever is older is set aside, but they hear of it with their own next report.
    """
    served = sorted((call.asked, call.answered) for call in calls if call.answer == GRANTED)
    asked = [at for at, _ in served]
    first = [inf] * (len(served) + 1)  # the earliest answer of all calls asked for from there on
    for place in range(len(served) - 1, -1, -1):
        first[place] = min(first[place + 1], served[place][1])
    for call in calls:
        if call.answer in (GRANTED, TIMED_OUT):
            passed = first[bisect_right(asked, call.asked + NEAR)]
            must(passed > call.answered - 3 * NEAR, f"P4: a call was passed over for {call.answered - passed:.1f} s")


def throttle(seed: int) -> World:
    """A world whose limits are followed by a trickle."""
    return World(seed, "throttle").run()


def _strays(bills: Iterable[tuple[float, int]], hour: float, limit: int) -> list[float]:
    strays, total, mark = [], 0, 1
    for now, cost in (*bills, (hour, 0)):
        while mark <= 20 and now >= hour * mark / 20:
            strays.append(total / limit - mark / 20)
            mark += 1
        total += cost
    return strays
