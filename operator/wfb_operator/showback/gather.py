"""A statement gathered from the books: what was spent in a period, by what, over time, and what changed since the last."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from wfb_operator.showback.amounts import added, less, nothing
from wfb_operator.showback.books import Books, Question, Row

DAY_SECONDS, HOUR_SECONDS = 86_400, 3_600

HOURLY_MOST = 3 * DAY_SECONDS
"""A period of at most so long is drawn by the hour."""

SERIES_MOST = 7
"""Names that are drawn apart; the rest is drawn as one."""

type Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class Line:
    """One name's part of a breakdown."""

    name: str
    now: Counts
    before: int
    """Nano-USD in the period before."""

    @property
    def change(self) -> int:
        """How much more than before, nano-USD."""
        return self.now["nanos"] - self.before


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Spend by one dimension, dearest first; lines, and what they leave out, add up to the whole."""

    dimension: str
    lines: tuple[Line, ...]
    rest: Counts


@dataclass(frozen=True, slots=True)
class Series:
    """Spend over time by the names of one dimension; nano-USD."""

    dimension: str
    step: int
    """Seconds that each amount stands for."""
    starts: tuple[int, ...]
    """Unix seconds, whole hours or days UTC."""
    amounts: tuple[tuple[str, tuple[int, ...]], ...]
    """The dearest names first, each with an amount for every start."""
    rest: tuple[int, ...]
    """All other names."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything that a page about a period shows."""

    since: int
    until: int
    total: Counts
    before: Counts
    breakdowns: tuple[Breakdown, ...]
    series: Series
    budgets: tuple[Row, ...]
    only: tuple[tuple[str, str], ...]


def statement(books: Books, question: Question, by: Sequence[str]) -> Statement:
    """Asks the books for a period and the one before it; ``by`` are dimensions that are not times, the first is drawn."""
    whole = books.usage(("estimated",), question.since, question.until, only=question.only)
    exact = Question(whole.since, min(whole.until, question.until), question.only)
    before = question.before()
    total = added(whole.rows, ()).get((), nothing())
    earlier = added(before.sums(books, ("estimated",)).rows, ()).get((), nothing())
    breakdowns = tuple(_breakdown(books, question, before, name, total) for name in by)
    return Statement(
        exact.since,
        exact.until,
        total,
        earlier,
        breakdowns,
        _series(books, exact, by[0]),
        tuple(books.summary(question.until).get("budgets", ())),
        tuple(question.only.items()),
    )


def movers(breakdown: Breakdown, most: int) -> list[Line]:
    """The names whose spend changed most, the largest change first."""
    moved = [line for line in breakdown.lines if line.change]
    return sorted(moved, key=lambda line: (-abs(line.change), line.name))[:most]


def _breakdown(books: Books, question: Question, before: Question, dimension: str, total: Counts) -> Breakdown:
    now = added(question.sums(books, (dimension, "estimated")).rows, (dimension,))
    was = {key: sums["nanos"] for key, sums in added(before.sums(books, (dimension,)).rows, (dimension,)).items()}
    lines = [Line(str(key[0]), sums, was.pop(key, 0)) for key, sums in now.items()]
    # Names that have gone are part of what changed.
    lines += [Line(str(key[0]), nothing(), amount) for key, amount in was.items() if amount]
    return Breakdown(dimension, tuple(lines), less(total, (line.now for line in lines)))


def _series(books: Books, question: Question, dimension: str) -> Series:
    hourly = question.until - question.since <= HOURLY_MOST
    unit, step = ("hour", HOUR_SECONDS) if hourly else ("day", DAY_SECONDS)
    starts = tuple(range(question.since // step * step, question.until, step))
    sums = _by_time(question.every(books, (unit, dimension)), unit, dimension)
    ordered = sorted(sums, key=lambda name: (-sum(sums[name].values()), name))

    def drawn(name: str) -> tuple[int, ...]:
        return tuple(sums[name].get(start // step, 0) for start in starts)

    rest = [drawn(name) for name in ordered[SERIES_MOST:]]
    return Series(
        dimension,
        step,
        starts,
        tuple((name, drawn(name)) for name in ordered[:SERIES_MOST]),
        tuple(map(sum, zip(*rest, strict=True))) if rest else (0,) * len(starts),
    )


def _by_time(rows: Iterable[Row], unit: str, dimension: str) -> dict[str, dict[int, int]]:
    sums: dict[str, dict[Any, int]] = {}
    for (at, name), counts in added(rows, (unit, dimension)).items():
        sums.setdefault(str(name), {})[at] = counts["nanos"]
    return sums
