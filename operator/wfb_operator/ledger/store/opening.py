"""Opening a database: new, known, older than last written, or not to be touched."""

import os
import sqlite3
import uuid
from dataclasses import dataclass

from wfb_operator.ledger.store.marker import NAME as MARKER
from wfb_operator.ledger.store.marker import Marker, read_marker, write_marker
from wfb_operator.ledger.store.port import StoreRefusedError
from wfb_operator.ledger.store.schema import APPLICATION_ID, MIGRATIONS, NEWEST

NAME = "ledger.db"

BUSY_SECONDS = 5.0
JOURNAL_MOST = 64 * 1024 * 1024

_RESTORE = (
    "put a backup in its place (with the ledger stopped, and without the files ending in -wal and -shm),"
    f" or move {NAME} and {MARKER} away to start from zero, which forgets all that was spent"
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A database that may be used."""

    connection: sqlite3.Connection
    database: str
    """Its own random name."""
    commits: int
    restored: bool
    """Whether it is an older copy than the one last written here."""


def connect(path: str) -> sqlite3.Connection:
    """A connection with the settings on which the ledger's promises rest; raises sqlite3.Error."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on disk before its replies leave
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_MOST}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def open_database(directory: str) -> Opened:
    """The ledger's database in a directory, made where none ever was.

    Raises StoreRefusedError, with the way out, for a database that is lost, damaged, of another program or of a newer
    version: a ledger never starts from zero in silence.
    """
    path = os.path.join(directory, NAME)
    try:
        marker = read_marker(directory)
    except ValueError as error:
        raise StoreRefusedError(
            f"{error}: move it away, and the ledger goes on as after a restore: for a minute it grants nothing"
        ) from error
    empty = not os.path.exists(path) or os.path.getsize(path) == 0
    if empty and (marker is not None or _size(path + "-wal")):
        state = "is empty" if os.path.exists(path) else "is missing"
        raise StoreRefusedError(f"{path} {state}, but a ledger has kept money here: {_RESTORE}")
    try:
        return _opened(path, directory, marker, fresh=empty)
    except sqlite3.Error as error:
        raise StoreRefusedError(_unusable(path, error)) from error
    except OSError as error:
        raise StoreRefusedError(
            f"{directory} cannot be written ({error.strerror}): give the ledger a directory it may write"
        ) from error


def _opened(path: str, directory: str, marker: Marker | None, *, fresh: bool) -> Opened:
    """Checks before it writes: a database that is refused stays as it was."""
    if not fresh:
        _check_before(path, marker)
    connection = connect(path)
    try:
        new = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0
        _migrate(connection, path)
        database, commits = connection.execute("SELECT database, commits FROM ledger").fetchone()
        restored = not new and (marker is None or marker.database != database or commits < marker.commits)
        if restored and marker is not None and marker.commits > commits:
            # Counting goes on above the copy that was lost, so that it is told apart for good.
            commits = marker.commits
            connection.execute("UPDATE ledger SET commits = ?", (commits,))
        if not restored and marker != Marker(database, commits):
            write_marker(directory, Marker(database, commits))
        return Opened(connection, database, commits, restored)
    except BaseException:
        connection.close()
        raise


def _check_before(path: str, marker: Marker | None) -> None:
    """Raises StoreRefusedError for a file that is not a sound database of ours."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application != APPLICATION_ID and (application or tables):
            raise StoreRefusedError(
                f"{path} belongs to another program (application id {application:#x}): give the ledger a directory of its own"
            )
        if not tables and marker is not None:
            raise StoreRefusedError(f"{path} holds no tables, but a ledger has kept money here: {_RESTORE}")
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise StoreRefusedError(_unusable(path, problem))
    finally:
        connection.close()


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the tables up to date, each step in one transaction."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > NEWEST:
        raise StoreRefusedError(
            f"{path} was written by a newer version of the ledger (schema {version}, this one knows {NEWEST}):"
            " start that version, or put a backup from before its first start in place"
        )
    for migration in MIGRATIONS:
        if migration.version <= version:
            row = connection.execute(
                "SELECT checksum FROM schema_migrations WHERE version = ?", (migration.version,)
            ).fetchone()
            if row is None or row[0] != migration.checksum:
                raise StoreRefusedError(
                    f"{path} has another schema under number {migration.version} ({migration.name}) than this version:"
                    " start the version that wrote it, or put a backup of this version in place"
                )
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
            if migration.version == 1:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(
                    "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)"
                    " STRICT"
                )
            for statement in migration.sql:
                connection.execute(statement)
            if migration.version == 1:
                connection.execute(
                    "INSERT INTO ledger VALUES (1, ?, 0, 0.0, 1, ?, 0, '')", (uuid.uuid4().hex, float("-inf"))
                )
            connection.execute(
                "INSERT INTO schema_migrations VALUES (?, ?, ?)",
                (migration.version, migration.name, migration.checksum),
            )
            connection.execute(f"PRAGMA user_version = {migration.version}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def _unusable(path: str, problem: object) -> str:
    first = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
    if isinstance(problem, sqlite3.OperationalError) and "malformed" not in first and "not a database" not in first:
        return f"{path} cannot be opened ({first}): check that the ledger may write it and that the disk has space"
    return f"{path} is damaged ({first}): {_RESTORE}"
