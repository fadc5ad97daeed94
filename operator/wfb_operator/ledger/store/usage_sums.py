"""The statement that sums usage over the tables of a plan."""

# ruff: noqa: S608 (statements are built from the names of our own columns, values are always bound)

from collections.abc import Collection, Sequence
from typing import Any

from wfb_operator.ledger.store.port import USAGE_BY, USAGE_COUNTS
from wfb_operator.ledger.store.tiers import TIME_DIMENSIONS, Piece, Plan, unit_of

_TIMES = {"usage_minute": "minute", "usage_hour": "hour", "usage_run": "hour", "usage_day": "day"}
"""The column of each table that holds its time."""


def check_dimensions(names: Collection[str]) -> None:
    """Raises ValueError for a dimension by which usage is not kept."""
    if unknown := sorted(set(names) - set(USAGE_BY)):
        raise ValueError(f"usage is not kept by {', '.join(unknown)}")


def statement(
    plan: Plan, by: tuple[str, ...], only: Sequence[tuple[str, str]], most: int, skip: int
) -> tuple[str, list[Any]]:
    """(SQL, values) of a plan that has pieces: each table is summed by itself, then the sums."""
    parts, values = [], []
    for piece in plan.pieces:
        sql, bound = _part(piece, by, only)
        parts.append(sql)
        values += bound
    sums = ", ".join(f"sum({name}) AS {name}" for name in USAGE_COUNTS)
    columns = ", ".join((*by, sums))
    group = f"GROUP BY {', '.join(by)}" if by else "HAVING sum(rows) > 0"
    order = ", ".join(("sum(nanos) DESC", *by))
    sql = f"SELECT {columns} FROM ({' UNION ALL '.join(parts)}) {group} ORDER BY {order} LIMIT ? OFFSET ?"
    return sql, [*values, most, skip]


def _part(piece: Piece, by: tuple[str, ...], only: Sequence[tuple[str, str]]) -> tuple[str, list[Any]]:
    time, unit = _TIMES[piece.table], unit_of(piece.table)
    names = ", ".join(f"{_column(name, piece)} AS {name}" for name in by)
    sums = ", ".join(f"sum({name}) AS {name}" for name in USAGE_COUNTS)
    where = [f"{time} >= ? AND {time} < ?"]
    values: list[Any] = [piece.since // unit, -(-piece.until // unit)]
    if piece.runless:
        where.append("run = ''" if piece.table == "usage_minute" else "has_run = 0")
    for name, wanted in only:
        where.append(f"{_column(name, piece)} = ?")
        values.append(wanted)
    group = f" GROUP BY {', '.join(str(n + 1) for n in range(len(by)))}" if by else ""
    columns = f"{names}{', ' if by else ''}{sums}, count(*) AS rows"
    return f"SELECT {columns} FROM {piece.table} WHERE {' AND '.join(where)}{group}", values


def _column(name: str, piece: Piece) -> str:
    """A dimension as a table has it; a time of a finer table as the coarser one."""
    if name in TIME_DIMENSIONS and (unit := unit_of(piece.table)) != TIME_DIMENSIONS[name]:
        return f"{_TIMES[piece.table]} / {TIME_DIMENSIONS[name] // unit}"
    if name == "run" and piece.table in {"usage_hour", "usage_day"}:
        return "''"
    return name
