"""Rolling usage up, writing what comes late, and forgetting: each a few statements within the caller's transaction."""

# ruff: noqa: S608 (statements are built from the names of our own columns, values are always bound)

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from wfb_operator.ledger.store.insert import Insert
from wfb_operator.ledger.store.port import USAGE_COUNTS, USAGE_DIMENSIONS
from wfb_operator.ledger.store.tiers import DAY, HOUR, Horizon, Marks

_BEFORE_RUN = USAGE_DIMENSIONS[1 : USAGE_DIMENSIONS.index("run")]
_AFTER_RUN = USAGE_DIMENSIONS[USAGE_DIMENSIONS.index("run") + 1 :]
_RUN_AT = USAGE_DIMENSIONS.index("run")

HOUR_KEY = ("hour", *_BEFORE_RUN, "has_run", *_AFTER_RUN)
DAY_KEY = ("day", *_BEFORE_RUN, "has_run", *_AFTER_RUN)
RUN_KEY = ("hour", *_BEFORE_RUN, "run", *_AFTER_RUN)

_MINUTES = Insert("usage_minute", USAGE_DIMENSIONS + USAGE_COUNTS, USAGE_DIMENSIONS, add=USAGE_COUNTS)
_HOURS = Insert("usage_hour", HOUR_KEY + USAGE_COUNTS, HOUR_KEY, add=USAGE_COUNTS)
_DAYS = Insert("usage_day", DAY_KEY + USAGE_COUNTS, DAY_KEY, add=USAGE_COUNTS)
_RUNS = Insert("usage_run", RUN_KEY + USAGE_COUNTS, RUN_KEY, add=USAGE_COUNTS)


def _roll(source: str, into: str, key: tuple[str, ...], values: Mapping[str, str], unit: str, where: str = "") -> str:
    """Adds rows of one table, from a first to before a last ``unit``, to a coarser one."""
    sums = ", ".join(f"sum({name})" for name in USAGE_COUNTS)
    adds = ", ".join(f"{name} = {into}.{name} + excluded.{name}" for name in USAGE_COUNTS)
    return (
        f"INSERT INTO {into} ({', '.join(key + USAGE_COUNTS)})"
        f" SELECT {', '.join(values.get(name, name) for name in key)}, {sums} FROM {source}"
        f" WHERE {unit} >= ?1 AND {unit} < ?2{where} GROUP BY {', '.join(str(n + 1) for n in range(len(key)))}"
        f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {adds}"
    )


_TO_HOURS = _roll(
    "usage_minute", "usage_hour", HOUR_KEY, {"hour": f"minute / {HOUR}", "has_run": "run <> ''"}, "minute"
)
_TO_RUNS = _roll("usage_minute", "usage_run", RUN_KEY, {"hour": f"minute / {HOUR}"}, "minute", " AND run <> ''")
_TO_DAYS = _roll("usage_hour", "usage_day", DAY_KEY, {"day": f"hour / {DAY // HOUR}"}, "hour")


def marks_of(connection: sqlite3.Connection) -> Marks:
    """How far the tables reach, as this transaction sees it."""
    return Marks(*connection.execute(f"SELECT {', '.join(Marks._fields)} FROM usage_marks").fetchone())


def _mark(connection: sqlite3.Connection, **moved: int) -> None:
    changes = ", ".join(f"{name} = :{name}" for name in moved)
    connection.execute(f"UPDATE usage_marks SET {changes}", moved)


# ---------------------------------------------------------------- writing
def add_usage(connection: sqlite3.Connection, usage: Mapping[tuple[Any, ...], list[int]]) -> None:
    """Add counts to the minutes of their calls, and to every coarser row that these minutes are in already."""
    if not usage:
        return
    marks = marks_of(connection)
    _MINUTES.many(connection, [(*key, *counts) for key, counts in usage.items() if key[0] >= marks.minutes_from])
    late = {key: counts for key, counts in usage.items() if key[0] < marks.minutes_to}
    if not late:
        return
    hours = _together(((key[0] // HOUR, *_without_run(key)), counts) for key, counts in late.items())
    _HOURS.many(connection, [row for row in hours if row[0] >= marks.hours_from])
    _DAYS.many(
        connection,
        _together(
            ((row[0] * HOUR // DAY, *row[1 : len(HOUR_KEY)]), row[len(HOUR_KEY) :])
            for row in hours
            if row[0] < marks.hours_to
        ),
    )
    runs = ((key[0] // HOUR, *key[1:]) for key in late)
    _RUNS.many(
        connection,
        _together((run, late[key]) for run, key in zip(runs, late, strict=True) if key[_RUN_AT]),
    )


def _without_run(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """A key of minutes but for its minute, with whether there is a run in its place."""
    return (*key[1:_RUN_AT], int(key[_RUN_AT] != ""), *key[_RUN_AT + 1 :])


def _together(rows: Iterable[tuple[tuple[Any, ...], Iterable[int]]]) -> list[tuple[Any, ...]]:
    """Rows with the counts of equal keys added up."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for key, counts in rows:
        known = sums.get(key)
        sums[key] = list(counts) if known is None else [a + b for a, b in zip(known, counts, strict=True)]
    return [(*key, *counts) for key, counts in sums.items()]


# ---------------------------------------------------------------- rolling up
def roll_up(connection: sqlite3.Connection, before: int, rows: int) -> bool:
    """Add about so many minutes' rows of before a minute to hours and runs, and complete hours to days.

    Returns whether there is more to do.
    """
    marks = marks_of(connection)
    to, more = _next(connection, "usage_minute", "minute", marks.minutes_to, before, rows)
    if to > marks.minutes_to:
        for statement in (_TO_HOURS, _TO_RUNS):
            connection.execute(statement, (marks.minutes_to, to))
        _mark(connection, minutes_to=to)
    hours_to, more_hours = _next(connection, "usage_hour", "hour", marks.hours_to, to // HOUR, rows)
    if hours_to > marks.hours_to:
        connection.execute(_TO_DAYS, (marks.hours_to, hours_to))
        _mark(connection, hours_to=hours_to)
    return more or more_hours


def _next(connection: sqlite3.Connection, table: str, unit: str, mark: int, before: int, rows: int) -> tuple[int, bool]:
    """(up to where about so many rows from a mark on reach, whether there are more before the end)."""
    if mark >= before:
        return mark, False
    ordered = f"SELECT {unit} FROM {table} WHERE {unit} >= ? AND {unit} < ? ORDER BY {unit} LIMIT 1 OFFSET ?"
    beyond = connection.execute(ordered, (mark, before, rows)).fetchone()
    if beyond is None:
        return before, False
    first = connection.execute(ordered, (mark, before, 0)).fetchone()
    # A unit is rolled up whole, however many rows it has.
    to = max(beyond[0], first[0] + 1)
    return to, to < before


# ---------------------------------------------------------------- forgetting
def forget(connection: sqlite3.Connection, horizon: Horizon, rows: int) -> bool:
    """Forget about so many rows of each table that are older than its horizon; returns whether there is more to do.

    Whole hours of minutes and whole days of the rest, and nothing that is not in the coarser table.
    """
    marks = marks_of(connection)
    minutes, hours, runs, days = (int(at // 60) for at in horizon)
    moved = Marks(
        marks.minutes_to,
        marks.hours_to,
        max(marks.minutes_from, min(minutes, marks.minutes_to) // HOUR * HOUR),
        max(marks.hours_from, min(hours // HOUR, marks.hours_to) // 24 * 24),
        max(marks.days_from, min(days // DAY, marks.hours_to // 24)),
        max(marks.runs_from, min(runs // HOUR, marks.minutes_to // HOUR) // 24 * 24),
    )
    if moved != marks:
        _mark(connection, **moved._asdict())
    return any(
        [
            _delete(connection, "usage_minute", USAGE_DIMENSIONS, moved.minutes_from, rows),
            _delete(connection, "usage_hour", HOUR_KEY, moved.hours_from, rows),
            _delete(connection, "usage_run", RUN_KEY, moved.runs_from, rows),
            _delete(connection, "usage_day", DAY_KEY, moved.days_from, rows),
        ]
    )


def _delete(connection: sqlite3.Connection, table: str, key: tuple[str, ...], before: int, rows: int) -> bool:
    names = ", ".join(key)
    done = connection.execute(
        f"DELETE FROM {table} WHERE ({names}) IN (SELECT {names} FROM {table} WHERE {key[0]} < ? LIMIT ?)",
        (before, rows),
    )
    return done.rowcount == rows
