"""The tables, as migrations: each is applied once, in order, and never edited once released."""

import hashlib
from dataclasses import dataclass

from wfb_operator.ledger.store.roll_up_tables import ROLL_UPS

APPLICATION_ID = 0x77666201
"""``wfb`` and a one, in the header of every database of ours (SQLite, PRAGMA application_id)."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    version: int
    name: str
    sql: tuple[str, ...]

    @property
    def checksum(self) -> str:
        """Tells a database whose step was another one, although it bears the same number."""
        return hashlib.sha256("\n".join(self.sql).encode()).hexdigest()


_TABLES = (
    """CREATE TABLE ledger (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        database TEXT NOT NULL,
        commits INTEGER NOT NULL,
        clock REAL NOT NULL,
        epoch INTEGER NOT NULL,
        learn_until REAL NOT NULL,
        scope INTEGER NOT NULL,
        prices TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE windows (
        id TEXT PRIMARY KEY,
        budget TEXT NOT NULL,
        kind TEXT NOT NULL,
        starts REAL NOT NULL,
        ends REAL NOT NULL,
        limit_nanos INTEGER NOT NULL CHECK (limit_nanos >= 0),
        slow_from REAL NOT NULL,
        largest INTEGER NOT NULL,
        overdraft INTEGER NOT NULL CHECK (overdraft >= 0),
        learned INTEGER NOT NULL CHECK (learned >= 0),
        stage TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX windows_by_end ON windows (ends)",
    """CREATE TABLE holders (
        id TEXT PRIMARY KEY,
        seq INTEGER NOT NULL,
        seen REAL NOT NULL,
        epoch INTEGER NOT NULL,
        flagged INTEGER NOT NULL,
        lost INTEGER NOT NULL CHECK (lost IN (0, 1)),
        applied INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE grants (
        window TEXT NOT NULL REFERENCES windows (id),
        holder TEXT NOT NULL REFERENCES holders (id),
        granted INTEGER NOT NULL,
        used INTEGER NOT NULL CHECK (used >= 0),
        held INTEGER NOT NULL CHECK (held >= 0),
        expected INTEGER NOT NULL,
        want INTEGER NOT NULL,
        released INTEGER NOT NULL,
        lost INTEGER NOT NULL,
        beyond INTEGER NOT NULL,
        PRIMARY KEY (window, holder),
        CHECK (used + held <= granted)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX grants_by_holder ON grants (holder)",
    """CREATE TABLE budgets (
        position INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        document TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE snapshots (
        sha256 TEXT PRIMARY KEY,
        body BLOB NOT NULL,
        at REAL NOT NULL
    ) STRICT""",
    """CREATE TABLE identities (
        token_sha256 TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        holder_prefix TEXT NOT NULL,
        labels TEXT NOT NULL,
        run TEXT NOT NULL,
        namespace TEXT NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE pods (
        holder_prefix TEXT PRIMARY KEY,
        labels TEXT NOT NULL,
        run TEXT NOT NULL,
        namespace TEXT NOT NULL,
        first_seen REAL NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE usage_minute (
        minute INTEGER NOT NULL,
        namespace TEXT NOT NULL,
        team TEXT NOT NULL,
        feature TEXT NOT NULL,
        workflow TEXT NOT NULL,
        run TEXT NOT NULL,
        agent TEXT NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        served_model TEXT NOT NULL,
        outcome TEXT NOT NULL,
        estimated INTEGER NOT NULL,
        prices TEXT NOT NULL,
        calls INTEGER NOT NULL,
        refused INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL,
        cache_write_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        nanos INTEGER NOT NULL,
        PRIMARY KEY (minute, namespace, team, feature, workflow, run, agent, provider, model, served_model, outcome,
                     estimated, prices)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE runs (
        namespace TEXT NOT NULL,
        workflow TEXT NOT NULL,
        run TEXT NOT NULL,
        first_seen REAL NOT NULL,
        last_seen REAL NOT NULL,
        nanos INTEGER NOT NULL,
        PRIMARY KEY (namespace, workflow, run)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX runs_by_last_seen ON runs (last_seen)",
    """CREATE TABLE estimates (
        window TEXT PRIMARY KEY,
        nanos INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE stage_changes (
        n INTEGER PRIMARY KEY,
        window TEXT NOT NULL,
        budget TEXT NOT NULL,
        kind TEXT NOT NULL,
        from_stage TEXT NOT NULL,
        to_stage TEXT NOT NULL,
        at REAL NOT NULL,
        spent INTEGER NOT NULL,
        limit_nanos INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX stage_changes_by_time ON stage_changes (at)",
    """CREATE TABLE decisions (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        reason TEXT NOT NULL,
        message TEXT NOT NULL,
        status INTEGER NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        budget TEXT NOT NULL,
        window TEXT NOT NULL,
        hold INTEGER NOT NULL,
        cost INTEGER NOT NULL,
        limit_nanos INTEGER NOT NULL,
        spent INTEGER NOT NULL,
        holder TEXT NOT NULL,
        namespace TEXT NOT NULL,
        workflow TEXT NOT NULL,
        run TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX decisions_by_id ON decisions (id)",
)

_LIST_PRICES = (
    "ALTER TABLE usage_minute ADD COLUMN list_nanos INTEGER NOT NULL DEFAULT 0",
    # Before this there was one price: what was charged is the best that is known of the list.
    "UPDATE usage_minute SET list_nanos = nanos",
)

_TRICKLE = (
    "ALTER TABLE windows ADD COLUMN trickle INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE windows ADD COLUMN exhausted_at REAL",
)

_NOTICES = (
    "ALTER TABLE windows ADD COLUMN rung INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE stage_changes ADD COLUMN at_percent INTEGER NOT NULL DEFAULT 0",
    """CREATE TABLE notices (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        window TEXT NOT NULL,
        at_percent INTEGER NOT NULL,
        budget TEXT NOT NULL,
        stage TEXT NOT NULL,
        at REAL NOT NULL,
        spent INTEGER NOT NULL,
        limit_nanos INTEGER NOT NULL,
        delivered TEXT NOT NULL DEFAULT '[]',
        done REAL NOT NULL DEFAULT 0,
        UNIQUE (window, at_percent)
    ) STRICT""",
    "CREATE INDEX notices_to_send ON notices (n) WHERE done = 0",
    "ALTER TABLE decisions ADD COLUMN details TEXT NOT NULL DEFAULT ''",
)

_LOOPS = (
    """CREATE TABLE run_costs (
        namespace TEXT NOT NULL,
        workflow TEXT NOT NULL,
        unit TEXT NOT NULL,
        pod TEXT NOT NULL,
        first_seen REAL NOT NULL,
        last_seen REAL NOT NULL,
        nanos INTEGER NOT NULL,
        caught INTEGER NOT NULL CHECK (caught IN (0, 1)),
        PRIMARY KEY (namespace, workflow, unit, pod)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX run_costs_by_last_seen ON run_costs (last_seen)",
    """CREATE TABLE loop_sightings (
        n INTEGER PRIMARY KEY,
        namespace TEXT NOT NULL,
        workflow TEXT NOT NULL,
        unit TEXT NOT NULL,
        budget TEXT NOT NULL,
        stage TEXT NOT NULL,
        reason TEXT NOT NULL,
        message TEXT NOT NULL,
        at REAL NOT NULL,
        spent INTEGER NOT NULL,
        limit_nanos INTEGER NOT NULL,
        holder TEXT NOT NULL,
        UNIQUE (namespace, workflow, unit, budget, stage)
    ) STRICT""",
    "CREATE INDEX loop_sightings_by_time ON loop_sightings (at)",
)

_TOTALS = (
    # Metrics that only rise: rows are never forgotten, and their number is bounded by what a label may be.
    """CREATE TABLE usage_totals (
        n INTEGER PRIMARY KEY,
        namespace TEXT NOT NULL,
        team TEXT NOT NULL,
        feature TEXT NOT NULL,
        workflow TEXT NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        outcome TEXT NOT NULL,
        estimated INTEGER NOT NULL,
        calls INTEGER NOT NULL,
        refused INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL,
        cache_write_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        nanos INTEGER NOT NULL,
        list_nanos INTEGER NOT NULL,
        cache_saved_nanos INTEGER NOT NULL,
        cache_extra_nanos INTEGER NOT NULL,
        UNIQUE (namespace, team, feature, workflow, provider, model, outcome, estimated)
    ) STRICT""",
)

_PUT_AT = ("ALTER TABLE identities ADD COLUMN put_at REAL NOT NULL DEFAULT 0",)

_NAMED_RUNS = ("CREATE UNIQUE INDEX named_runs_told ON stage_changes (window, at_percent) WHERE kind = 'NamedRun'",)

MIGRATIONS: tuple[Migration, ...] = (
    Migration(1, "grants, usage, stages, budgets, identities", _TABLES),
    Migration(2, "list price beside the effective one", _LIST_PRICES),
    Migration(3, "a trickle beyond the limit, and since when", _TRICKLE),
    Migration(4, "rungs reached and whom to tell of them, what a decision was made from", _NOTICES),
    Migration(5, "usage by hour, by day and by run", ROLL_UPS),
    Migration(6, "what runs cost, and loops that were seen", _LOOPS),
    Migration(7, "usage without its time, for metrics that outlive the process", _TOTALS),
    Migration(8, "when an identity was put", _PUT_AT),
    Migration(9, "what named runs have reached, told once", _NAMED_RUNS),
)

NEWEST = MIGRATIONS[-1].version
