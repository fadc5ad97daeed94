"""Runs that callers name inside one pod, by the header ``x-wfb-run``: a bounded book of what each has spent.

Who names a run could as well name a fresh one for every call. So such a run is reported, and held to a limit for Run only
in a budget that has another limit above it; and a pod's names are bounded: beyond ``MOST`` that are remembered at once the
rest share one run. The whole of such a run passes one holder, so its book is kept there and no ledger has rows for it;
a ledger only hears which steps of a ladder it has reached.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from wfb_core.budget import ALLOW, ENFORCE, RUN, Budget, Limit
from wfb_core.run_pace import Held, RunPace
from wfb_core.stages import Stage, stage_of

HEADER = "x-wfb-run"

LONGEST = 128
"""Characters of a name."""

MOST = 1000
"""Names that one pod has at once."""

OTHER = "(other)"
"""The run of all calls whose name is one too many; no header can name it."""

REMEMBERED = 86_400.0
"""Seconds after its last call in which a run is remembered where no budget says ``maxAge``."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+=/-]*")


def run_name(value: str) -> str:
    """The name that a header's value gives.

    Raises ValueError for what is none: letters, digits and ``. _ : @ + = / -``, the first a letter or digit, at most
    ``LONGEST`` of them.
    """
    if len(value) > LONGEST or not _NAME.fullmatch(value):
        raise ValueError(f"{value[:LONGEST]!r} names no run: use 1 to {LONGEST} letters, digits and . _ : @ + = / -")
    return value


def run_limits(budgets: Iterable[Budget]) -> list[tuple[Budget, Limit]]:
    """The limits on whose ladders a named run stands: those for Run beside another one."""
    return [
        (budget, limit)
        for budget in budgets
        if len(budget.limits) > 1
        for limit in budget.limits
        if limit.window == RUN
    ]


def run_limit(budgets: Iterable[Budget], enforcement: str = ENFORCE) -> tuple[Budget, Limit] | None:
    """The tightest of them that stops a run, of the budgets that enforce; with REPORT, of those that only report."""
    stopping = (b for b in budgets if b.enforcement == enforcement and b.on_exhausted != ALLOW)
    return min(run_limits(stopping), key=lambda one: one[1].nanos, default=None)


def run_label(pod: str, name: str) -> str:
    """What stands for a named run where a window's id names one; no pod's own run holds a ``|``."""
    return f"{pod}|{name}"


def run_of_label(label: str) -> tuple[str, str]:
    """The run that a Run window's label names, and the pod that it belongs to: empty for a run of pods."""
    pod, bar, name = label.partition("|")
    return (name, pod) if bar else (label, "")


def run_in_words(label: str) -> str:
    """The run that a Run window's label names, as people are told of it: another pod's run of that name is another."""
    name, pod = run_of_label(label)
    return f"{name} of pod {pod}" if pod else name


def remembered(budgets: tuple[Budget, ...]) -> float:
    """How long after its last call a named run is remembered, seconds."""
    ages = [limit.max_age for budget in budgets for limit in budget.limits if limit.max_age is not None]
    return max(ages, default=REMEMBERED)


class Reached(NamedTuple):
    """A step of a ladder that a run has reached, nano-USD."""

    stage: Stage
    spent: int
    since: int
    """The part of it that was spent since it was last told of on this ladder."""


@dataclass(slots=True)
class _Run:
    """One run, nano-USD."""

    used: int = 0
    calls: int = 0
    """How many of its calls are in flight; those that nothing limits hold nothing."""
    held: int = 0
    expected: int = 0
    """What its calls in flight will probably cost."""
    seen: float = 0.0
    pace: RunPace = field(default_factory=RunPace)
    told: dict[str, int] = field(default_factory=dict)
    """By budget: what was spent when its last step there was told."""


@dataclass(slots=True)
class Runs:
    """The named runs of one holder, and what their calls in flight hold; times in seconds."""

    most: int = MOST
    shared: int = 0
    """Calls that had to share ``OTHER``."""
    _runs: dict[str, _Run] = field(default_factory=dict, init=False)  # the longest unseen first
    _holds: dict[int, tuple[str, int, int]] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self._runs)

    @property
    def in_flight(self) -> int:
        """Calls that are not settled."""
        return len(self._holds)

    def enter(self, name: str, now: float, max_age: float) -> str:
        """The run that a call belongs to: the one of that name, or OTHER where there are too many."""
        run = self._runs.pop(name, None)
        if run is None:
            self._forget(now - max_age)
            if len(self._runs) >= self.most:
                self.shared += 1
                name, run = OTHER, self._runs.pop(OTHER, None)
            run = run or _Run()
        run.seen = now
        self._runs[name] = run
        return name

    def used(self, name: str) -> int:
        """What the run's settled calls cost."""
        return self._runs[name].used if name in self._runs else 0

    def room(self, name: str, limit: int) -> int:
        """What of a limit the run has neither spent nor reserved."""
        run = self._runs.get(name, _Run())
        return limit - run.used - run.held

    def stands(self, name: str, now: float, budget: Budget, limit: Limit, least: int) -> Held | None:
        """What stands in the way of a call of a run that needs ``least``; None where it may go."""
        run = self._runs.setdefault(name, _Run())
        return run.pace.stands(now, budget, limit, run.used, run.held, run.expected, least)

    def allowance(self, name: str, now: float, trickle: int) -> int:
        """What a trickle lets a run spend beyond its limit by now."""
        return self._runs[name].pace.allowance(now, trickle) if name in self._runs else 0

    def hold(self, name: str, call: int, amount: int, expected: int = 0) -> None:
        """Reserve money for a call of a run that was entered; once for a call."""
        run = self._runs.setdefault(name, _Run())
        run.calls += 1
        run.held += amount
        run.expected += expected
        self._holds[call] = name, amount, expected

    def settle(self, call: int, cost: int) -> str:
        """Replace a call's hold by its cost, and return its run; a call without a hold changes nothing and has none."""
        name, amount, expected = self._holds.pop(call, ("", 0, 0))
        run = self._runs.get(name)
        if run is not None:
            run.calls -= 1
            run.held -= amount
            run.expected -= expected
            run.used += cost
        return name

    def reached(self, name: str, budget: Budget, limit: Limit) -> Reached | None:
        """What a run has reached on a budget's ladder beyond what was told of it; None where that is nothing."""
        run = self._runs.get(name)
        if run is None:
            return None
        ladder, before = budget.ladder_of(limit), run.told.get(budget.key)
        told = Stage() if before is None else stage_of(ladder, before, limit.nanos)
        stage = stage_of(ladder, run.used, limit.nanos)
        return Reached(stage, run.used, run.used - (before or 0)) if stage.at_percent > told.at_percent else None

    def told(self, name: str, budget: Budget) -> None:
        """What a run has reached on a budget's ladder is told."""
        if name in self._runs:
            self._runs[name].told[budget.key] = self._runs[name].used

    def _forget(self, before: float) -> None:
        ended = []
        for name, run in self._runs.items():
            if run.seen >= before:
                break
            if not run.calls:
                ended.append(name)
        for name in ended:
            del self._runs[name]
