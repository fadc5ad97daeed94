"""The properties of money grants under every kind of trouble; ``WFB_SEEDS`` sets how many worlds of each kind."""

import os

import pytest

from grants_simulator import SCENARIOS, Kinds, World, half_hour, pace, rated, turns
from wfb_core.grants import GRANTED, Claim, Ledger, Report

SEEDS = int(os.environ.get("WFB_SEEDS", "10"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_property_breaks(scenario: str) -> None:
    """Whatever goes wrong: never beyond a limit, no false exhausted, no endless wait, and every nano accounted for."""
    worlds = [World(seed, scenario).run() for seed in range(SEEDS)]
    answers = {answer for world in worlds for answer in world.answers}

    assert answers >= {"granted", "busy", "timed out", "left"}
    assert ("exhausted" in answers) == (not SCENARIOS[scenario].trickle)
    beyond = any(world.billed[name] > limit for world in worlds for name, limit in world.bound.items())
    assert beyond or not SCENARIOS[scenario].trickle  # the trickle was needed, and flowed
    assert ("let through" in answers) == SCENARIOS[scenario].ignore


def test_a_large_call_gets_its_turn_among_many_small_ones() -> None:
    """Calls for half the limit that could join the queue wait no longer than its bound, while small ones want it all."""
    waits = [wait for seed in range(max(6, SEEDS // 4)) for wait in turns(seed)]

    assert len(waits) >= 6


@pytest.mark.parametrize("seed", range(max(3, SEEDS // 4)))
def test_slow_spends_along_an_even_line(seed: int) -> None:
    """At every twentieth of the window, spend is within a twentieth of the line, over any pods, holds and biases."""
    assert pace(seed) < 0.08


@pytest.mark.parametrize("seed", range(max(3, SEEDS // 4)))
def test_slow_keeps_to_a_rate_of_its_own(seed: int) -> None:
    """Without an end to spread to, spend follows the stated rate all along, over any pods, holds and biases."""
    assert rated(seed) < 0.08


def test_fifty_pods_in_slow_spend_evenly_for_half_an_hour() -> None:
    """Over slices of four hundred calls and more the rate is within a twentieth of even, though holds are 200 times the cost.

    Order is kept and nobody waits beyond the largest delay without an answer: ``half_hour`` checks both.
    """
    seen = half_hour(0)

    assert seen.holds >= 20
    assert seen.paid / len(seen.strays) >= 400
    assert max(map(abs, seen.strays)) < 0.05
    assert abs(seen.rate - 1) < 0.05
    assert seen.longest <= 20.5


def test_clamped_holds_spend_the_whole_limit() -> None:
    """With holds two hundred times the cost, clamping still lets most of the tightest limit be spent."""
    ends = []
    for seed in range(4):
        world = World(seed, "calm", ratio=200, clamp=True, large=0.0, pods=8)
        world.run()
        ends.append(max(world.billed[name] / world.limits[name.split("/")[0]] for name in world.billed))

    assert sorted(ends)[1] > 0.95


class Counting(dict):
    """A dict that counts how often anything in it is touched, whole walks by their length."""

    touched = 0

    def __getitem__(self, key):
        self.touched += 1
        return super().__getitem__(key)

    def get(self, key, default=None):
        self.touched += 1
        return super().get(key, default)

    def _walk(self, parts):
        self.touched += len(self)
        return parts

    def items(self):
        return self._walk(super().items())

    def values(self):
        return self._walk(super().values())

    def __iter__(self):
        return self._walk(super().__iter__())


def work_of_a_report(holders: int, windows_of_others: int) -> int:
    """How often a report touches rows, windows and holders."""
    ledger = Ledger()
    for number in range(windows_of_others + 1):
        ledger.open(f"w{number}", 10**12)
    for number in range(holders):
        claims = {f"w{n}": Claim(0, 0, 0, 0, 1000) for n in {0, 1 + number % windows_of_others}}
        ledger.report(0.0, Report(f"pod{number}", 0, 1, claims, ()))
    ledger.rows, ledger.windows, ledger.holders = (
        Counting(part) for part in (ledger.rows, ledger.windows, ledger.holders)
    )
    reply = ledger.report(1.0, Report("pod0", 1, 2, {"w0": Claim(0, 0, 0, 0, 1000)}, ()))
    assert reply is not None
    return ledger.rows.touched + ledger.windows.touched + ledger.holders.touched


def test_a_report_costs_the_same_however_many_holders_and_windows_there_are() -> None:
    """The books are not walked: ten holders or a thousand, five windows or five hundred, the same steps."""
    assert work_of_a_report(10, 5) == work_of_a_report(1000, 5) == work_of_a_report(1000, 500) < 40


def test_the_same_seed_is_the_same_world() -> None:
    """A seed that breaks something can be run again."""
    first, second = (World(7, "chaos", Kinds()).run() for _ in range(2))

    assert first.answers == second.answers
    assert first.answers[GRANTED] > 0
