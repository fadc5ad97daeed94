"""Usage in four tables, each coarser than the last, and which of them answer a question.

::

    usage_minute   every dimension                                   what sidecars report lands here
    usage_hour     without runs, but with whether there was one      complete up to ``minutes_to``
    usage_run      by hour, what belongs to a run, with the run      complete up to ``minutes_to``
    usage_day      as usage_hour                                     complete up to ``hours_to``

The coarser tables hold copies: a roll-up adds minutes to hours and moves the mark in one transaction, so a minute is in the
hours exactly if it lies before the mark. What arrives late is written to every table whose mark has passed it. A finer
table forgets only what the coarser one holds, and the mark of what it forgot moves first; so a sum never depends on when
anything was rolled up or forgotten. All marks are counted in the unit that their name says, from the Unix epoch, UTC.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

HOUR, DAY = 60, 24 * 60
"""In minutes."""

TIME_DIMENSIONS = {"minute": 1, "hour": HOUR, "day": DAY}
"""What usage may be told by in time, and its length in minutes: minutes, hours and days since the Unix epoch, UTC."""


class Marks(NamedTuple):
    """How far the tables reach; ``…_from`` is the first that is kept, ``…_to`` the first that is not rolled up."""

    minutes_to: int = 0
    hours_to: int = 0
    minutes_from: int = 0
    hours_from: int = 0
    days_from: int = 0
    runs_from: int = 0
    """In hours."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How many days each table is kept."""

    minutes: float = 14.0
    hours: float = 100.0
    runs: float = 100.0
    days: float = 400.0

    def __post_init__(self) -> None:
        """A coarser table is kept for at least as long as a finer one; raises ValueError with the way out."""
        if not 1 <= self.minutes <= self.hours <= self.days <= 36_500 or not 1 <= self.runs <= self.days:
            raise ValueError(
                f"minutes {self.minutes:g}, hours {self.hours:g}, runs {self.runs:g} and days {self.days:g} are not"
                " each from 1 to 36500 days, hours as long as minutes at least, and days as long as hours and runs"
            )

    def horizon(self, now: float) -> "Horizon":
        """The times before which each is forgotten, seen from a Unix time."""
        return Horizon(*(now - kept * 86_400.0 for kept in (self.minutes, self.hours, self.runs, self.days)))


class Horizon(NamedTuple):
    """Unix times before which each table is forgotten; ``days`` is that of everything else, too."""

    minutes: float
    hours: float
    runs: float
    days: float


class Piece(NamedTuple):
    """A part of an answer: one table, from a first to before a last minute."""

    table: str
    since: int
    until: int
    """Minutes; whole hours or days where the table's rows are."""
    runless: bool = False
    """Only what belongs to no run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What answers a question, and about which time: outward to whole hours or days where finer rows are forgotten."""

    since: int
    until: int
    pieces: tuple[Piece, ...]


def unit_of(table: str) -> int:
    """How many minutes a row of a table stands for."""
    return {"usage_minute": 1, "usage_day": DAY}.get(table, HOUR)


def plan(by: tuple[str, ...], since: int, until: int, marks: Marks) -> Plan:
    """The fewest rows that answer usage ``by`` some dimensions in [since, until) minutes, exactly."""
    finest = min((TIME_DIMENSIONS[name] for name in by if name in TIME_DIMENSIONS), default=DAY)
    runs = "run" in by
    since, until = _span(since, until, marks, finest, runs=runs)
    if since >= until:
        return Plan(since, until, ())
    if runs:
        return Plan(since, until, tuple(_with_runs(since, until, marks, finest)))
    return Plan(since, until, tuple(_pieces(since, until, marks, finest)))


def _span(since: int, until: int, marks: Marks, finest: int, *, runs: bool) -> tuple[int, int]:
    """The time that can be answered exactly: nothing that is forgotten, and no part of a row."""
    floors = [marks.days_from * DAY]
    if finest < DAY:
        floors.append(marks.hours_from * HOUR)
    if finest < HOUR:
        floors.append(marks.minutes_from)
    if runs:
        floors.append(marks.runs_from * HOUR)
    since, until = max(since, *floors), max(until, *floors)
    return _outward(since, marks, -1), _outward(until, marks, 1)


def _outward(minute: int, marks: Marks, sign: int) -> int:
    """A bound moved to one that the rows which are kept there know: down (-1) or up (1)."""
    for floor, unit in ((marks.hours_from * HOUR, DAY), (marks.minutes_from, HOUR)):
        if minute < floor:
            return minute // unit * unit if sign < 0 else -(-minute // unit) * unit
    return minute


def _pieces(since: int, until: int, marks: Marks, finest: int, *, runless: bool = False) -> Iterator[Piece]:
    """Days in the middle, hours around them, minutes at the ends."""
    steps = (
        ("usage_day", DAY, marks.hours_to * HOUR),
        ("usage_hour", HOUR, marks.minutes_to),
        ("usage_minute", 1, until),
    )
    yield from _around(since, until, tuple(step for step in steps if step[1] <= finest), runless=runless)


def _around(since: int, until: int, steps: tuple[tuple[str, int, int], ...], *, runless: bool) -> Iterator[Piece]:
    if since >= until:
        return
    (table, unit, reach), finer = steps[0], steps[1:]
    first, last = -(-since // unit) * unit, min(until, reach) // unit * unit
    if first >= last:
        yield from _around(since, until, finer, runless=runless)
        return
    yield from _around(since, first, finer, runless=runless)
    yield Piece(table, first, last, runless)
    yield from _around(last, until, finer, runless=runless)


def _with_runs(since: int, until: int, marks: Marks, finest: int) -> Iterator[Piece]:
    """Where hours are whole: what belongs to runs from their own table, the rest from the tables that do not tell runs."""
    first, last = -(-since // HOUR) * HOUR, min(until, marks.minutes_to) // HOUR * HOUR
    if finest < HOUR or first >= last:
        yield Piece("usage_minute", since, until)
        return
    if since < first:
        yield Piece("usage_minute", since, first)
    yield Piece("usage_run", first, last)
    yield from _pieces(first, last, marks, finest, runless=True)
    if last < until:
        yield Piece("usage_minute", last, until)
