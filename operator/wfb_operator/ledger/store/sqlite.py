"""The store on SQLite: one connection that writes, on one thread; another that reads, so that no report waits for a table."""

# ruff: noqa: S608 (statements are built from the names of our own columns, values are always bound)

import asyncio
import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from wfb_operator.ledger.store.forget import forget_silent
from wfb_operator.ledger.store.insert import Insert
from wfb_operator.ledger.store.marker import Marker, write_marker
from wfb_operator.ledger.store.opening import Opened, connect, open_database
from wfb_operator.ledger.store.port import (
    DECISIONS_KEPT,
    NOTICES_KEPT,
    RUN_NOTICES_KEPT,
    TOTAL_COUNTS,
    TOTAL_DIMENSIONS,
    Books,
    Loaded,
    Notice,
    StageChange,
    StoreContentError,
    StoredBudget,
    StoredDecision,
    StoredHolder,
    StoredIdentity,
    StoredPod,
    StoredRow,
    StoredRunCost,
    StoredSighting,
    StoredState,
    StoredWindow,
    StoreError,
    Usage,
    Wanted,
    Writes,
)
from wfb_operator.ledger.store.rollup import add_usage, forget, marks_of, roll_up
from wfb_operator.ledger.store.tiers import Horizon, plan
from wfb_operator.ledger.store.usage_sums import check_dimensions, statement

CHUNK = 500
"""Names in one statement; SQLite takes at least 999 variables (SQLITE_MAX_VARIABLE_NUMBER)."""

RUN_COSTS_SECONDS = 35 * 86_400.0
"""How long what a run cost is remembered for what is usual."""

RUN_COSTS_EACH = 2048
"""Rows of one workflow that are loaded, the newest: a run of many pods has as many."""

TIDY_ROWS = 2000
"""Rows rolled up or forgotten in one go, so that no report waits long."""


def _named(fields: Iterable[str]) -> tuple[str, ...]:
    return tuple("limit_nanos" if name == "limit" else name for name in fields)


_WINDOWS = Insert("windows", _named(StoredWindow._fields), ("id",))
_HOLDERS = Insert("holders", StoredHolder._fields, ("id",))
_ROWS = Insert("grants", StoredRow._fields, ("window", "holder"))
_PODS = Insert("pods", StoredPod._fields, ("holder_prefix",))
_IDENTITIES = Insert("identities", (*StoredIdentity._fields, "put_at"), ("token_sha256",))
_BUDGETS = Insert("budgets", ("position", *StoredBudget._fields))
_TOTALS = Insert("usage_totals", TOTAL_DIMENSIONS + TOTAL_COUNTS, TOTAL_DIMENSIONS, add=TOTAL_COUNTS)
_ESTIMATES = Insert("estimates", ("window", "nanos"), ("window",), add=("nanos",))
_RUNS = Insert(
    "runs",
    ("namespace", "workflow", "run", "first_seen", "last_seen", "nanos"),
    ("namespace", "workflow", "run"),
    add=("nanos",),
    highest=("last_seen",),
    first=("first_seen",),
)
_RUN_COSTS = Insert(
    "run_costs",
    StoredRunCost._fields,
    ("namespace", "workflow", "unit", "pod"),
    add=("nanos",),
    highest=("last_seen",),
    first=("first_seen",),
)
_STAGES = Insert("stage_changes", _named(StageChange._fields), ignore=True)
_NOTICES = f"INSERT OR IGNORE INTO notices ({', '.join(_named(Notice._fields))}) VALUES (?, ?, ?, ?, ?, ?, ?)"
# A window's id has two bars, budget|Run|run; that of a run which a caller named has three: budget|Run|pod|name.
_OF_NAMED_RUNS = "budget = ? AND window GLOB '*|*|*|*'"
_FORGET_RUN_NOTICES = (
    f"DELETE FROM notices WHERE {_OF_NAMED_RUNS} AND n <= "
    f"(SELECT n FROM notices WHERE {_OF_NAMED_RUNS} ORDER BY n DESC LIMIT 1 OFFSET ?)"
)
_MARKS = "UPDATE notices SET delivered = ?, done = ? WHERE window = ? AND at_percent = ?"
_SIGHTINGS = Insert("loop_sightings", _named(StoredSighting._fields), ignore=True)
_DECISIONS = Insert("decisions", _named(StoredDecision._fields))


class SqliteStore:
    """A directory with ``ledger.db``; made by ``open``."""

    def __init__(self, directory: str, opened: Opened) -> None:
        self._directory, self._database = directory, opened.database
        self._path = f"{directory}/ledger.db"
        self._writer: sqlite3.Connection | None = opened.connection
        self._reader: sqlite3.Connection | None = None
        self._restored = opened.restored
        self._marked = opened.commits
        self.commits = opened.commits
        """Transactions that this database has seen."""
        self._writing = ThreadPoolExecutor(1, "ledger-writer")
        self._reading = ThreadPoolExecutor(1, "ledger-reader")

    @classmethod
    def open(cls, directory: str) -> Self:
        """The store of a directory; raises StoreRefusedError with the way out."""
        return cls(directory, open_database(directory))

    # -- threads
    async def _on[T](self, pool: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except (sqlite3.IntegrityError, sqlite3.DataError) as error:
            raise StoreContentError(f"{type(error).__name__}: {error}") from error
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{type(error).__name__}: {error}") from error

    def _write_connection(self) -> sqlite3.Connection:
        if self._writer is None:
            self._writer = connect(self._path)
        return self._writer

    def _read_connection(self) -> sqlite3.Connection:
        if self._reader is None:
            self._reader = connect(self._path)
            self._reader.execute("PRAGMA query_only = ON")
        return self._reader

    def _drop_writer(self) -> None:
        """After a failure nothing that the connection remembers is trusted."""
        connection, self._writer = self._writer, None
        if connection is not None:
            connection.close()

    # -- writing
    async def write(self, writes: Writes) -> None:
        """One transaction, on disk when this returns."""
        await self._on(self._writing, lambda: self._write(writes))

    def _write(self, w: Writes) -> None:
        try:
            connection = self._write_connection()
            connection.execute("BEGIN IMMEDIATE")
            self._statements(connection, w)
            connection.execute("COMMIT")
        except BaseException:
            self._drop_writer()
            raise
        self.commits += 1
        if w.state is not None:
            self._restored = False  # the copy has an epoch of its own now

    def _statements(self, connection: sqlite3.Connection, w: Writes) -> None:
        # Windows and holders come before the rows that refer to them.
        _WINDOWS.many(connection, w.windows)
        _HOLDERS.many(connection, w.holders)
        _ROWS.many(connection, w.rows)
        add_usage(connection, w.usage)
        _TOTALS.many(connection, [(*key, *counts) for key, counts in w.totals.items()])
        _RUNS.many(connection, [(*key, seen, seen, nanos) for key, (seen, nanos) in w.runs.items()])
        _RUN_COSTS.many(connection, [(*key, change[0], *change) for key, change in w.run_costs.items()])
        _SIGHTINGS.many(connection, w.sightings)
        _ESTIMATES.many(connection, list(w.estimates.items()))
        _STAGES.many(connection, w.stages)
        if w.notices:
            connection.executemany(_NOTICES, w.notices)
            connection.execute("DELETE FROM notices WHERE n <= (SELECT max(n) FROM notices) - ?", (NOTICES_KEPT,))
            told = {notice.budget for notice in w.notices}
            connection.executemany(_FORGET_RUN_NOTICES, [(budget, budget, RUN_NOTICES_KEPT) for budget in told])
        connection.executemany(_MARKS, w.marks)
        if w.decisions:
            _DECISIONS.many(connection, w.decisions)
            connection.execute("DELETE FROM decisions WHERE n <= (SELECT max(n) FROM decisions) - ?", (DECISIONS_KEPT,))
        _PODS.many(connection, w.pods)
        if w.budgets is not None:
            connection.execute("DELETE FROM budgets")
            _BUDGETS.many(connection, [(n, *budget) for n, budget in enumerate(w.budgets)])
        _IDENTITIES.many(connection, [(*identity, w.clock) for identity in w.identities])
        if w.snapshot is not None:
            connection.execute("INSERT OR IGNORE INTO snapshots VALUES (?, ?, ?)", (*w.snapshot, w.clock))
        if w.state is not None:
            connection.execute("UPDATE ledger SET epoch = ?, learn_until = ?, scope = ?, prices = ?", w.state)
        for budget, before in w.forget_runs:
            self._forget_runs(connection, budget, before, w.present)
        connection.execute("UPDATE ledger SET commits = commits + 1, clock = ?", (w.clock,))

    @staticmethod
    def _forget_runs(connection: sqlite3.Connection, budget: str, before: float, present: Collection[str]) -> None:
        runs = connection.execute(
            "SELECT id FROM windows WHERE budget = ? AND kind = 'Run' AND NOT EXISTS (SELECT 1 FROM grants JOIN holders"
            " ON holders.id = grants.holder WHERE grants.window = windows.id AND holders.seen >= ?)",
            (budget, before),
        )
        ended = [(run,) for (run,) in runs if run not in present][:TIDY_ROWS]
        for table, column in (("grants", "window"), ("estimates", "window"), ("windows", "id")):
            connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", ended)

    async def mark(self) -> None:
        """Now and then: write down outside the database how far it has come."""
        if self.commits > self._marked:
            await self._on(self._writing, self._mark)

    def _mark(self) -> None:
        commits = self.commits
        write_marker(self._directory, Marker(self._database, commits))
        self._marked = commits

    async def roll_up(self, before: float) -> bool:
        """Add the minutes before a time to hours, and whole hours to days, a part at a call; whether there is more."""
        return await self._on(self._writing, lambda: self._within(lambda c: roll_up(c, int(before // 60), TIDY_ROWS)))

    async def tidy(self, horizon: Horizon) -> bool:
        """Forget usage, stage changes and windows of before their times, a part at a call; whether there is more."""
        return await self._on(self._writing, lambda: self._within(lambda c: _tidy(c, horizon)))

    def _within[T](self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Some work as one transaction."""
        try:
            connection = self._write_connection()
            connection.execute("BEGIN IMMEDIATE")
            done = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            self._drop_writer()
            raise
        return done

    async def forget_silent(self, before: float) -> None:
        """Forget pods, and tokens put for them, that nobody has heard of since a time, a part at a call."""
        await self._on(self._writing, lambda: self._forget_silent(before))

    def _forget_silent(self, before: float) -> None:
        try:
            connection = self._write_connection()
            connection.execute("BEGIN IMMEDIATE")
            forget_silent(connection, before, TIDY_ROWS)
            connection.execute("COMMIT")
        except BaseException:
            self._drop_writer()
            raise

    async def close(self) -> None:
        """Write everything into one file, mark how far it came, and let go."""
        # A reader that nobody waits for any more still reads: its connection is not closed under it.
        await asyncio.to_thread(self._reading.shutdown)
        try:
            await self._on(self._writing, self._finish)
        finally:
            self._writing.shutdown()

    def _finish(self) -> None:
        if self._reader is not None:
            self._reader.close()
        if self._writer is not None:
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._writer.close()
        self._mark()

    # -- loading
    async def load(self, since: float) -> Loaded:
        """Everything, with the windows that had not ended at ``since``, and the runs with a holder seen since."""
        return await self._on(self._writing, lambda: self._load(since))

    def _load(self, since: float) -> Loaded:
        try:
            connection = self._write_connection()
            connection.execute("BEGIN")
            state = connection.execute("SELECT epoch, learn_until, scope, prices, clock FROM ledger").fetchone()
            windows = connection.execute(
                f"SELECT {_columns(StoredWindow)} FROM windows WHERE ends > ?1 AND (kind <> 'Run' OR EXISTS (SELECT 1"
                " FROM grants JOIN holders ON holders.id = grants.holder WHERE grants.window = windows.id"
                " AND holders.seen >= ?1))",
                (since,),
            )
            books = self._books(connection, [StoredWindow(*row) for row in windows])
            budgets = connection.execute("SELECT key, document FROM budgets ORDER BY position")
            identities = connection.execute(f"SELECT {_columns(StoredIdentity)} FROM identities")
            pods = connection.execute(
                f"SELECT {_columns(StoredPod)} FROM pods WHERE holder_prefix IN (SELECT holder_prefix FROM identities)"
            )
            loaded = Loaded(
                StoredState(*state[:4]),
                state[4],
                self._restored,
                tuple(StoredBudget(*row) for row in budgets),
                tuple(StoredIdentity(*row) for row in identities),
                Books(books.windows, books.rows, books.holders, tuple(StoredPod(*row) for row in pods)),
                self._run_costs(connection, since - RUN_COSTS_SECONDS),
            )
            connection.execute("COMMIT")
        except BaseException:
            self._drop_writer()
            raise
        return loaded

    @staticmethod
    def _run_costs(connection: sqlite3.Connection, since: float) -> tuple[StoredRunCost, ...]:
        columns = _columns(StoredRunCost)
        rows = connection.execute(
            f"SELECT {columns} FROM (SELECT {columns}, row_number() OVER (PARTITION BY namespace, workflow"
            " ORDER BY last_seen DESC) AS place FROM run_costs WHERE last_seen >= ?) WHERE place <= ?",
            (since, RUN_COSTS_EACH),
        )
        return tuple(StoredRunCost(*row)._replace(caught=bool(row[-1])) for row in rows)

    def _books(self, connection: sqlite3.Connection, windows: list[StoredWindow]) -> Books:
        rows = [
            StoredRow(*row)
            for row in _in(
                connection,
                f"SELECT {_columns(StoredRow)} FROM grants WHERE window IN",
                [w.id for w in windows],
            )
        ]
        return Books(tuple(windows), tuple(rows), self._holders(connection, {row.holder for row in rows}))

    @staticmethod
    def _holders(connection: sqlite3.Connection, ids: set[str]) -> tuple[StoredHolder, ...]:
        found = _in(connection, f"SELECT {_columns(StoredHolder)} FROM holders WHERE id IN", sorted(ids))
        return tuple(StoredHolder(*row)._replace(lost=bool(row[5])) for row in found)

    async def find(self, wanted: Wanted, present: Collection[str]) -> Books:
        """What is known of the wanted, with the holders' rows in the windows in memory."""
        return await self._on(self._writing, lambda: self._find(wanted, present))

    def _find(self, wanted: Wanted, present: Collection[str]) -> Books:
        try:
            connection = self._write_connection()
            windows = [
                StoredWindow(*row)
                for row in _in(
                    connection,
                    f"SELECT {_columns(StoredWindow)} FROM windows WHERE id IN",
                    sorted(wanted.windows),
                )
            ]
            books = self._books(connection, windows)
            # Whoever comes into memory comes with all of its rows there, or a later claim would seem to be made up.
            names = {row.holder for row in books.rows} | wanted.holders
            own = [
                StoredRow(*row)
                for row in _in(
                    connection,
                    f"SELECT {_columns(StoredRow)} FROM grants WHERE holder IN",
                    sorted(names),
                )
                if row[0] in present and row[0] not in wanted.windows
            ]
            holders = self._holders(connection, names)
            pods = _in(
                connection,
                f"SELECT {_columns(StoredPod)} FROM pods WHERE holder_prefix IN",
                sorted(wanted.pods),
            )
            return Books(books.windows, (*books.rows, *own), holders, tuple(StoredPod(*row) for row in pods))
        except BaseException:
            self._drop_writer()
            raise

    # -- reading
    async def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Mapping[str, Any]]:
        def read() -> list[Mapping[str, Any]]:
            cursor = self._read_connection().execute(sql, values)
            names = ["limit" if column[0] == "limit_nanos" else column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

        return await self._on(self._reading, read)

    async def snapshot(self, sha256: str) -> bytes | None:
        """A price snapshot; None where there is none of that name."""
        rows = await self._rows("SELECT body FROM snapshots WHERE sha256 = ?", (sha256,))
        return bytes(rows[0]["body"]) if rows else None

    async def usage(
        self,
        by: tuple[str, ...],
        since: int,
        until: int,
        most: int,
        *,
        namespace: str = "",
        skip: int = 0,
        only: Mapping[str, str] | None = None,
    ) -> Usage:
        """See Store; raises ValueError for an unknown dimension."""
        wanted = [*(only or {}).items(), *([("namespace", namespace)] if namespace else [])]
        names = tuple(name for name, _ in wanted)
        check_dimensions({*by, *names})

        def read() -> Usage:
            """The marks and the rows of one moment, on the reader's thread."""
            connection = self._read_connection()
            connection.execute("BEGIN")
            try:
                plan_ = plan((*by, *names), since, until, marks_of(connection))
                if not plan_.pieces:
                    return Usage([], plan_.since, plan_.until)
                cursor = connection.execute(*statement(plan_, by, wanted, most, skip))
                heads = [column[0] for column in cursor.description]
                rows: list[Mapping[str, Any]] = [dict(zip(heads, row, strict=True)) for row in cursor]
                return Usage(rows, plan_.since, plan_.until)
            finally:
                connection.execute("ROLLBACK")

        return await self._on(self._reading, read)

    async def totals(self) -> list[tuple[Any, ...]]:
        """All usage ever by TOTAL_DIMENSIONS, in the order in which they were first seen."""
        columns = ", ".join(TOTAL_DIMENSIONS + TOTAL_COUNTS)
        return await self._tuples(f"SELECT {columns} FROM usage_totals ORDER BY n", ())

    async def snapshot_at(self, sha256: str) -> float:
        """When a price snapshot came first; 0 for one that is not there."""
        rows = await self._tuples("SELECT at FROM snapshots WHERE sha256 = ?", (sha256,))
        return float(rows[0][0]) if rows else 0.0

    async def runs_since(self, since: float) -> list[tuple[str, str, str, int]]:
        """(namespace, workflow, run, nano-USD) of the runs seen since then, the dearest first."""
        sql = "SELECT namespace, workflow, run, nanos FROM runs WHERE last_seen >= ? ORDER BY nanos DESC"
        return [(a, b, c, n) for a, b, c, n in await self._tuples(sql, (since,))]

    async def _tuples(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return await self._on(self._reading, lambda: self._read_connection().execute(sql, values).fetchall())

    async def estimates(self, windows: list[str]) -> dict[str, int]:
        """What windows' spend holds of estimates, nano-USD."""

        def read() -> dict[str, int]:
            """The query, on the reader's thread."""
            return dict(_in(self._read_connection(), "SELECT window, nanos FROM estimates WHERE window IN", windows))

        return await self._on(self._reading, read)

    async def decisions(
        self, kind: str, id_: str, most: int, *, reason: str = "", namespace: str = ""
    ) -> list[Mapping[str, Any]]:
        """See Store."""
        return await self._rows(
            f"SELECT {', '.join(_named(StoredDecision._fields))} FROM decisions WHERE (?1 = '' OR kind = ?1)"
            " AND (?2 = '' OR id = ?2) AND (?4 = '' OR namespace = ?4) AND (?5 = '' OR reason = ?5)"
            " ORDER BY n DESC LIMIT ?3",
            (kind, id_, most, namespace, reason),
        )

    async def last_refusals(self) -> list[Mapping[str, Any]]:
        """Of each budget that refused a call the newest of those decisions that are still kept."""
        return await self._rows(
            f"SELECT {', '.join(_named(StoredDecision._fields))} FROM decisions WHERE n IN"
            " (SELECT max(n) FROM decisions WHERE kind = 'refusal' AND budget <> '' GROUP BY budget) ORDER BY budget",
            (),
        )

    async def stage_changes(self, most: int, *, namespace: str = "") -> list[Mapping[str, Any]]:
        """See Store; a budget's key begins with its namespace."""
        return await self._rows(
            f"SELECT {', '.join(_named(StageChange._fields))} FROM stage_changes"
            " WHERE ?2 = '' OR substr(budget, 1, length(?2) + 1) = ?2 || '/' ORDER BY n DESC LIMIT ?1",
            (most, namespace),
        )

    async def notices(self, most: int) -> list[Mapping[str, Any]]:
        """Notices that are still to be sent, the oldest first."""
        names = ", ".join((*_named(Notice._fields), "delivered"))
        rows = await self._rows(f"SELECT {names} FROM notices WHERE done = 0 ORDER BY n LIMIT ?", (most,))
        return [{**row, "delivered": json.loads(row["delivered"])} for row in rows]

    async def sightings(self, most: int, *, namespace: str = "") -> list[Mapping[str, Any]]:
        """See Store."""
        return await self._rows(
            f"SELECT {', '.join(_named(StoredSighting._fields))} FROM loop_sightings"
            " WHERE ?2 = '' OR namespace = ?2 ORDER BY n DESC LIMIT ?1",
            (most, namespace),
        )

    async def runs(self, most: int, *, namespace: str = "") -> list[Mapping[str, Any]]:
        """See Store."""
        return await self._rows(
            "SELECT * FROM runs WHERE ?2 = '' OR namespace = ?2 ORDER BY last_seen DESC LIMIT ?1", (most, namespace)
        )


def _tidy(connection: sqlite3.Connection, horizon: Horizon) -> bool:
    more = forget(connection, horizon, TIDY_ROWS)
    before = horizon.days
    old = [
        row[0]
        for row in connection.execute(
            "SELECT id FROM windows WHERE ends < ?1 OR (kind = 'Run' AND NOT EXISTS (SELECT 1 FROM grants JOIN"
            " holders ON holders.id = grants.holder WHERE grants.window = windows.id AND holders.seen >= ?1))"
            " LIMIT 50",
            (before,),
        )
    ]
    for window in old:
        for table, column in (("grants", "window"), ("estimates", "window"), ("windows", "id")):
            connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (window,))
    connection.execute(
        "DELETE FROM holders WHERE id IN (SELECT id FROM holders WHERE seen < ? AND NOT EXISTS"
        " (SELECT 1 FROM grants WHERE grants.holder = holders.id) LIMIT ?)",
        (before, TIDY_ROWS),
    )
    connection.execute("DELETE FROM stage_changes WHERE at < ?", (before,))
    connection.execute("DELETE FROM loop_sightings WHERE at < ?", (before,))
    connection.execute(
        "DELETE FROM run_costs WHERE (namespace, workflow, unit, pod) IN (SELECT namespace, workflow, unit, pod"
        " FROM run_costs WHERE last_seen < (SELECT max(?1, clock - ?2) FROM ledger) LIMIT ?3)",
        (before, RUN_COSTS_SECONDS, TIDY_ROWS),
    )
    connection.execute("DELETE FROM notices WHERE at < ?", (before,))
    connection.execute(
        "DELETE FROM runs WHERE (namespace, workflow, run) IN"
        " (SELECT namespace, workflow, run FROM runs WHERE last_seen < ? LIMIT ?)",
        (before, TIDY_ROWS),
    )
    return more


def _columns(kind: Any) -> str:
    return ", ".join(_named(kind._fields))


def _in(connection: sqlite3.Connection, sql: str, names: list[str]) -> list[tuple[Any, ...]]:
    """The rows of a statement that ends in IN, for any number of names."""
    found: list[tuple[Any, ...]] = []
    for first in range(0, len(names), CHUNK):
        part = names[first : first + CHUNK]
        found += connection.execute(f"{sql} ({', '.join('?' * len(part))})", part).fetchall()
    return found
