"""Runs that callers name inside one pod, by the header ``x-wfb-run``: a bounded book of what each has spent.

Who names a run could as well name a fresh one for every call. So such a run is reported, and held to a limit for Run only
in a budget that has another limit above it; and a pod's names are bounded: beyond ``MOST`` that are remembered at once the
rest share one run. The whole of such a run passes one holder, so its book is kept there and no ledger has rows for it.
"""

import re
from dataclasses import dataclass, field

from wfb_core.budget import ALLOW, ENFORCE, RUN, Budget, Limit
from wfb_core.run_pace import Held, RunPace

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


def run_limit(budgets: tuple[Budget, ...]) -> tuple[Budget, Limit] | None:
    """The tightest limit that a named run is held to: a limit for Run that its budget enforces beside another one."""
    found = [
        (budget, limit)
        for budget in budgets
        if budget.enforcement == ENFORCE and budget.on_exhausted != ALLOW
        for limit in budget.limits
        if limit.window == RUN and len(budget.limits) > 1
    ]
    return min(found, key=lambda one: one[1].nanos, default=None)


def remembered(budgets: tuple[Budget, ...]) -> float:
    """How long after its last call a named run is remembered, seconds."""
    ages = [limit.max_age for budget in budgets for limit in budget.limits if limit.max_age is not None]
    return max(ages, default=REMEMBERED)


@dataclass(slots=True)
class _Run:
    """One run, nano-USD."""

    used: int = 0
    held: int = 0
    expected: int = 0
    """What its calls in flight will probably cost."""
    seen: float = 0.0
    pace: RunPace = field(default_factory=RunPace)


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
        run.held += amount
        run.expected += expected
        self._holds[call] = name, amount, expected

    def settle(self, call: int, cost: int) -> None:
        """Replace a call's hold by its cost; a call without one changes nothing."""
        name, amount, expected = self._holds.pop(call, ("", 0, 0))
        run = self._runs.get(name)
        if run is not None:
            run.held -= amount
            run.expected -= expected
            run.used += cost

    def _forget(self, before: float) -> None:
        ended = []
        for name, run in self._runs.items():
            if run.seen >= before:
                break
            if not run.held:
                ended.append(name)
        for name in ended:
            del self._runs[name]
