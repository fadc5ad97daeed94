"""Inserting many rows in few statements.

Each statement of SQLite's that Python runs lets go of the interpreter's lock and has to win it back from the thread that
serves requests; row by row that costs more than the writing. So rows travel in blocks of a few fixed sizes, whose
statements stay compiled.
"""

# ruff: noqa: S608 (statements are built from the names of our own columns, values are always bound)

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

BLOCKS = (100, 10, 1)
"""Rows in one statement. The widest row has 21 values, and SQLite binds 32766 (SQLITE_MAX_VARIABLE_NUMBER)."""


class Insert:
    """An INSERT into one table; where ``key`` is given it replaces what is there, or adds to some columns of it."""

    def __init__(
        self,
        table: str,
        columns: Iterable[str],
        key: Iterable[str] = (),
        *,
        add: Iterable[str] = (),
        highest: Iterable[str] = (),
        first: Iterable[str] = (),
        ignore: bool = False,
    ) -> None:
        """Of a row that is there, columns in ``add`` are summed, ``highest`` keep the larger, ``first`` stay.

        With ``ignore`` a row that is there stays as it is.
        """
        columns, key, add, highest, first = (tuple(names) for names in (columns, key, add, highest, first))
        changes = [
            f"{c} = {c} + excluded.{c}"
            if c in add
            else f"{c} = max({c}, excluded.{c})"
            if c in highest
            else f"{c} = excluded.{c}"
            for c in columns
            if c not in key + first
        ]
        conflict = f" ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(changes)}" if key else ""
        if ignore:
            conflict = " ON CONFLICT DO NOTHING"
        row = f"({', '.join('?' * len(columns))})"
        self._statements = {
            size: f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * size)}{conflict}"
            for size in BLOCKS
        }

    def many(self, connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert all rows, in order."""
        done = 0
        for size, statement in self._statements.items():
            while len(rows) - done >= size:
                connection.execute(statement, tuple(chain.from_iterable(rows[done : done + size])))
                done += size
