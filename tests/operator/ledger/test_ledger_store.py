"""The store on real SQLite: what is refused at the start, what tells an older copy, and what a failing disk does."""

import asyncio
import os
import shutil
import sqlite3

import pytest

from harness.ledger_under_test import DAY, T0, USD, LedgerUnderTest, batch, dispatch, document, usage
from wfb_core.grants import GRANTED, PENDING, timing
from wfb_operator.ledger.store import opening, schema
from wfb_operator.ledger.store.marker import Marker, read_marker, write_marker
from wfb_operator.ledger.store.port import NAMED_RUN, Notice, StageChange, StoredDecision, StoreRefusedError, Writes
from wfb_operator.ledger.store.sqlite import SqliteStore
from wfb_operator.ledger.store.tiers import Horizon


@pytest.fixture
async def directory(tmp_path):
    """The directory of a ledger that has granted 4 dollars and was stopped."""
    ledger = await LedgerUnderTest(str(tmp_path)).start()
    await ledger.put_budgets(document())
    await ledger.put_identity()
    answer = await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 4 * USD, (DAY,))]))
    assert answer.reply.answers == {1: GRANTED}
    await ledger.stop()
    return tmp_path


STAGE_COLUMNS = "window, budget, kind, from_stage, to_stage, at, spent, limit_nanos"
"""Of the changes of stages that the first version kept."""


def change(directory, *statements):
    connection = sqlite3.connect(directory / "ledger.db")
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def overwrite(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


REFUSED = {
    "deleted": (lambda d: os.unlink(d / "ledger.db"), "ledger.db is missing, but a ledger has kept money here"),
    "emptied": (lambda d: os.truncate(d / "ledger.db", 0), "ledger.db is empty, but a ledger has kept money here"),
    "cut short": (lambda d: os.truncate(d / "ledger.db", 3 * 4096), "is damaged"),
    "cut within its header": (lambda d: os.truncate(d / "ledger.db", 50), "is damaged"),
    "not a database": (
        lambda d: (d / "ledger.db").write_bytes(b"hello " * 2000),
        "is damaged (file is not a database)",
    ),
    "a page overwritten": (lambda d: overwrite(d / "ledger.db", 4096, b"\xff" * 4096), "is damaged"),
    "written by a newer version": (lambda d: change(d, "PRAGMA user_version = 999"), "a newer version of the ledger"),
    "of another program": (lambda d: change(d, "PRAGMA application_id = 7"), "belongs to another program"),
    "with another step of the schema": (
        lambda d: change(d, "UPDATE schema_migrations SET checksum = 'x'"),
        "has another schema under number 1",
    ),
    "with its tables dropped": (
        lambda d: (os.unlink(d / "ledger.db"), change(d, "PRAGMA user_version = 0", "VACUUM")),
        "a ledger has kept money here",
    ),
    "with a marker that is none": (lambda d: (d / "ledger.id").write_text("x"), "ledger.id cannot be read"),
}


@pytest.mark.parametrize(("harm", "words"), REFUSED.values(), ids=REFUSED)
def test_an_unusable_database_is_refused_with_the_way_out(directory, harm, words):
    """A lost, damaged or foreign database stops the start with one line that names the way out, and is left as it is."""
    harm(directory)
    before = {f.name: f.read_bytes() for f in directory.iterdir() if f.suffix == ".db"}
    with pytest.raises(StoreRefusedError) as refused:
        SqliteStore.open(str(directory))
    message = str(refused.value)
    assert words in message
    assert "\n" not in message
    assert any(way in message for way in ("backup", "start that version", "directory of its own", "move it away"))
    assert {f.name: f.read_bytes() for f in directory.iterdir() if f.suffix == ".db"} == before


def test_a_journal_without_its_database_is_refused(tmp_path):
    """A write-ahead log alone means that money was kept here, marker or not."""
    (tmp_path / "ledger.db-wal").write_bytes(b"x" * 4152)
    with pytest.raises(StoreRefusedError, match=r"ledger\.db is missing"):
        SqliteStore.open(str(tmp_path))


def test_a_start_that_was_cut_off_can_be_made_again(tmp_path):
    """An empty file without a marker is what a first start leaves that was killed: it is no loss."""
    (tmp_path / "ledger.db").touch()
    store = SqliteStore.open(str(tmp_path))
    asyncio.run(store.close())
    assert read_marker(str(tmp_path)).commits == 0


def test_a_migration_never_changes_once_released():
    """The checksum of each released step is written here; a new step adds a line, an edit fails."""
    released = [
        (1, "e7368d68b1b1b2d2"),
        (2, "da08d2d4ffc0883f"),
        (3, "d3edd640a1af9bc3"),
        (4, "34e0227f165b331e"),
        (5, "da32028a0acbcf65"),
        (6, "804757e75f7c1b82"),
        (7, "33808695821b4aa4"),
        (8, "05022d9cd28b3d11"),
        (9, "1a14a99f2377fdc2"),
    ]
    assert [(m.version, m.checksum[:16]) for m in schema.MIGRATIONS] == released


@pytest.mark.parametrize("version", range(1, schema.NEWEST))
async def test_a_database_of_any_earlier_version_is_taken_over(tmp_path, monkeypatch, version):
    """Its books stay as they are, those of before list prices for both prices, and what is new is kept beside them."""
    monkeypatch.setattr(opening, "MIGRATIONS", schema.MIGRATIONS[:version])
    monkeypatch.setattr(opening, "NEWEST", version)
    before = SqliteStore.open(str(tmp_path))
    await before.close()
    priced = 2 if version >= 2 else 1
    row = ("29000000", *["''"] * 10, "0", "''", *["1"] * 7, *["700"] * priced)
    day = ("'a/b|Day|x'", "'a/b'", "'Day'", "'Open'", "'Warn'", str(T0), "7", "10")
    change(
        tmp_path,
        f"INSERT INTO usage_minute VALUES ({', '.join(row)})",
        *[f"INSERT INTO stage_changes ({STAGE_COLUMNS}) VALUES ({', '.join(day)})"] * 2,
    )
    monkeypatch.undo()
    store = SqliteStore.open(str(tmp_path))
    run = StageChange("a/b|Run|pod-a|one", "a/b", NAMED_RUN, "Open", "Warn", T0, 7, 10, 50)
    await store.write(Writes(T0, stages=[run, run]))
    ((found,), *_) = await store.usage(("model",), 0, 2**40, 10)
    kinds = [change["kind"] for change in await store.stage_changes(10)]
    await store.close()
    assert (found["nanos"], found["list_nanos"], found["calls"]) == (700, 700, 1)
    assert kinds == [NAMED_RUN, "Day", "Day"]


async def test_settings_on_which_promises_rest(directory):
    """Write-ahead log, full synchronisation and foreign keys are on for the connection that writes."""
    store = SqliteStore.open(str(directory))
    names = ("journal_mode", "synchronous", "foreign_keys", "application_id", "busy_timeout")
    values = [store._writer.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    assert values == ["wal", 2, 1, schema.APPLICATION_ID, 5000]
    await store.close()


# ---------------------------------------------------------------- older copies
async def older_copy(directory, tmp_path_factory, *, by_name):
    """Let the ledger go on after a copy was made, then put the copy in its place."""
    copy = tmp_path_factory.mktemp("backup")
    shutil.copy(directory / "ledger.db", copy)
    ledger = await LedgerUnderTest(str(directory)).start()
    response = await ledger.report(dispatch(2, {DAY: (0, 4 * USD, 4 * USD)}, [(2, 5 * USD, (DAY,))]))
    assert response.reply.answers == {2: GRANTED}
    await ledger.stop()
    by_name(directory, copy)
    return ledger


def only_database(directory, copy):
    shutil.copy(copy / "ledger.db", directory)


def without_marker(directory, copy):
    os.unlink(directory / "ledger.id")
    shutil.copy(copy / "ledger.db", directory)


@pytest.mark.parametrize("by_name", [only_database, without_marker])
async def test_an_older_copy_begins_a_new_epoch(directory, tmp_path_factory, by_name):
    """A database restored from a backup grants nothing for a minute, believes its holders, and then goes on."""
    ledger = await older_copy(directory, tmp_path_factory, by_name=by_name)
    ledger.clock.forward(10)
    await ledger.start()
    await ledger.put_identity("token-b", "pod-b/")
    asks = [(1, 2 * USD, (DAY,))]
    other = await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, asks, holder="pod-b/1", epoch=0), "token-b")
    assert other.reply.answers == {1: PENDING}
    response = await ledger.report(dispatch(3, {DAY: (0, 9 * USD, 9 * USD)}))
    assert response.reply.shares[DAY].granted == 9 * USD
    assert response.reply.epoch > 1

    ledger.clock.forward(timing.LEARN)

    other = await ledger.report(
        dispatch(2, {DAY: (0, 0, 0)}, asks, holder="pod-b/1", epoch=response.reply.epoch), "token-b"
    )
    assert other.reply.answers == {1: PENDING}
    other = await ledger.report(
        dispatch(3, {DAY: (0, 0, 0)}, [(2, USD, (DAY,))], holder="pod-b/1", epoch=response.reply.epoch), "token-b"
    )
    assert other.reply.answers == {2: GRANTED}
    await ledger.again()
    assert ledger.service.memory.grants.epoch == response.reply.epoch  # restored once, not at every start
    await ledger.stop()


async def test_the_learning_minute_outlives_a_restart(directory, tmp_path_factory):
    """A ledger restarted within its learning minute goes on learning."""
    ledger = await older_copy(directory, tmp_path_factory, by_name=only_database)
    await ledger.start()
    epoch = ledger.service.memory.grants.epoch
    ledger.clock.forward(30)
    await ledger.again()
    assert ledger.service.memory.grants.epoch == epoch
    response = await ledger.report(dispatch(3, {DAY: (0, 4 * USD, 9 * USD)}, [(3, USD, (DAY,))]))
    assert response.reply.answers == {3: PENDING}
    await ledger.stop()


async def test_a_clean_restart_is_no_restore(directory):
    """Stopping and starting keeps the epoch, and grants go on at once."""
    ledger = await LedgerUnderTest(str(directory)).start()
    assert ledger.service.memory.grants.epoch == 1
    response = await ledger.report(dispatch(2, {DAY: (0, 4 * USD, 4 * USD)}, [(2, USD, (DAY,))]))
    assert response.reply.answers == {2: GRANTED}
    await ledger.stop()


async def test_a_restore_can_be_told_by_hand(directory):
    """With --restored the ledger learns even where nothing shows that the copy is older."""
    ledger = await LedgerUnderTest(str(directory), restored=True).start()
    assert ledger.service.memory.grants.epoch > 1
    await ledger.stop()


def test_a_marker_is_replaced_whole(tmp_path):
    """What is read is always what was last written, and its place holds nothing else."""
    for commits in (1, 2):
        write_marker(str(tmp_path), Marker("x", commits))
        assert read_marker(str(tmp_path)) == Marker("x", commits)
    assert [f.name for f in tmp_path.iterdir()] == ["ledger.id"]


# ---------------------------------------------------------------- a failing disk
async def test_without_space_nobody_is_answered_and_nothing_is_half_applied(ledger):
    """Once the database cannot grow, a report gets 503 and leaves no trace; with space again all goes on."""
    first = await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 4 * USD, (DAY,))]))
    assert first.reply.answers == {1: GRANTED}
    writer = ledger.store._writer
    ledger.store._writing.submit(lambda: writer.execute("PRAGMA max_page_count = 1")).result()
    rows = [usage(minute=n, agent="x" * 200) for n in range(2000)]
    big = dispatch(2, {DAY: (USD, 0, 4 * USD)}, [(2, 5 * USD, (DAY,))], batches=[batch(2, *rows)])

    answer = await ledger.post(big)

    assert answer.status == 503
    assert "database or disk is full" in answer.body["error"]
    assert (await ledger.ask("GET", "/healthz", "")).status == 503
    line = (await ledger.get("/v1/summary"))["budgets"][0]
    assert (line["spent_usd"], line["reserved_usd"]) == ("0.00", "4.00")
    assert (await ledger.get("/v1/usage?by="))["usage"] == []

    # The connection that was limited is gone with the failure: there is space again.
    response = await ledger.report(big)
    assert (response.applied, response.reply.answers) == (2, {2: GRANTED})
    line = (await ledger.get("/v1/summary"))["budgets"][0]
    assert (line["spent_usd"], line["reserved_usd"]) == ("1.00", "5.00")
    assert (await ledger.ask("GET", "/healthz", "")).status == 200
    assert b"wfb_ledger_store_failures_total 1.0" in await ledger.get("/metrics", token="")


async def test_a_failing_group_answers_none_of_its_reports(ledger, monkeypatch):
    """Of reports written together all fail together, and each may be sent again as if it had never arrived."""
    for n in range(5):
        await ledger.put_identity(f"token-{n}", f"pod-{n}/")
    real, failures = ledger.store._statements, []

    def fail_once(connection, writes):
        real(connection, writes)
        if not failures:
            failures.append(len(writes.holders))
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(ledger.store, "_statements", fail_once)
    sent = [
        (dispatch(1, {DAY: (0, 0, 0)}, [(1, 2 * USD, (DAY,))], holder=f"pod-{n}/1"), f"token-{n}") for n in range(5)
    ]
    statuses = [a.status for a in await asyncio.gather(*(ledger.post(*s) for s in sent))]
    assert statuses.count(503) == failures[0] >= 1
    again = [await ledger.report(*s) for s in sent]
    assert [r.reply.answers if r.reply else None for r in again if r.reply] == [{1: GRANTED}] * len(again)
    assert (await ledger.get("/v1/summary"))["budgets"][0]["reserved_usd"] == "10.00"


async def test_only_the_report_at_fault_is_not_answered(ledger, monkeypatch):
    """Where one report of a group breaks the transaction, the others are taken on their own."""
    for n in range(5):
        await ledger.put_identity(f"token-{n}", f"pod-{n}/")
    real = ledger.store._statements

    def refuse_one(connection, writes):
        real(connection, writes)
        if any(holder.id == "pod-3/1" for holder in writes.holders):
            raise sqlite3.IntegrityError("CHECK constraint failed")

    monkeypatch.setattr(ledger.store, "_statements", refuse_one)
    answers = await asyncio.gather(
        *(
            ledger.post(dispatch(1, {DAY: (0, 0, 0)}, [(1, USD, (DAY,))], holder=f"pod-{n}/1"), f"token-{n}")
            for n in range(5)
        )
    )
    assert [a.status for a in answers] == [200, 200, 200, 503, 200]
    assert (await ledger.get("/v1/summary"))["budgets"][0]["reserved_usd"] == "4.00"


async def test_a_scope_that_was_not_written_is_told_to_nobody(ledger, monkeypatch):
    """Budgets whose transaction fails never become the scope, and the version told stays what it was."""
    before = await ledger.get("/v1/scope", "token-a")

    def fail(connection, writes):
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as broken:
        broken.setattr(ledger.store, "_statements", fail)
        answer = await ledger.ask("PUT", "/v1/budgets", json={"budgets": []})
    assert answer.status == 503
    assert await ledger.get("/v1/scope", "token-a") == before


async def test_a_store_that_cannot_be_read_is_asked_again(ledger, monkeypatch):
    """While neither writing nor loading works everything is 503; the first moment it works, all goes on."""
    broken = [True]
    real = ledger.store._write_connection

    def connection():
        if broken[0]:
            raise sqlite3.OperationalError("unable to open database file")
        return real()

    monkeypatch.setattr(ledger.store, "_write_connection", connection)
    sent = dispatch(1, {DAY: (0, 0, 0)}, [(1, USD, (DAY,))])
    for _ in range(2):
        answer = await ledger.post(sent)
        assert (answer.status, answer.body["error"] != "") == (503, True)
    broken[0] = False
    await ledger.service._try_to_load_again()
    assert (await ledger.report(sent)).reply.answers == {1: GRANTED}


# ---------------------------------------------------------------- what is kept, and how long
async def test_only_the_newest_decisions_are_kept(tmp_path, monkeypatch):
    """A storm of refusals does not grow the database without end."""
    monkeypatch.setattr("wfb_operator.ledger.store.sqlite.DECISIONS_KEPT", 10)
    store = SqliteStore.open(str(tmp_path))
    for first in range(0, 30, 6):
        decisions = [
            StoredDecision(f"d-{n}", T0, "refusal", *[""] * 2, 402, *[""] * 4, 0, 0, 0, 0, *[""] * 4)
            for n in range(first, first + 6)
        ]
        await store.write(Writes(T0, decisions=decisions))
    kept = [d["id"] for d in await store.decisions("", "", 100)]
    await store.close()
    assert kept == [f"d-{n}" for n in range(29, 19, -1)]


async def test_notices_of_names_that_callers_make_up_push_out_no_others(tmp_path, monkeypatch):
    """The newest of one budget's named runs are kept, beside every notice of windows, of pods' own runs and of other budgets."""
    monkeypatch.setattr("wfb_operator.ledger.store.sqlite.RUN_NOTICES_KEPT", 3)
    store = SqliteStore.open(str(tmp_path))

    def told(budget, *rest):
        return Notice("|".join((budget, *rest)), 50, budget, "Warn", T0, 1, 2)

    others = [told("ns/a", "Day", "2026-11-18"), told("ns/a", "Run", "job-1"), told("ns/b", "Run", "pod", "x")]
    await store.write(Writes(T0, notices=others))
    for n in range(8):
        await store.write(Writes(T0, notices=[told("ns/a", "Run", "pod", f"made-up-{n}")]))
    kept = [row["window"] for row in await store.notices(100)]
    await store.close()
    assert kept == [notice.window for notice in others] + [f"ns/a|Run|pod|made-up-{n}" for n in (5, 6, 7)]


async def test_what_is_too_old_is_forgotten(ledger):
    """Usage, stage changes, ended windows and silent holders go after the time given; the rest stays."""
    await ledger.put_budgets(document(ladder=[{"atPercent": 10, "action": "Warn"}]))
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, 4 * USD, (DAY,))]))
    await ledger.report(dispatch(2, {DAY: (4 * USD, 0, 4 * USD)}, batches=[batch(2, usage(nanos=4 * USD))]))
    for before, kept in ((T0 - 86_400, 1), (T0 + 2 * 86_400, 0)):
        while await ledger.store.roll_up(before):
            pass
        await ledger.store.tidy(Horizon(before, before, before, before))
        counts = [
            ledger.store._writer.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("usage_minute", "usage_hour", "usage_day", "stage_changes", "windows", "grants", "holders")
        ]
        assert counts == [kept, 0, 0, kept, kept, kept, kept]


async def test_pods_and_tokens_that_nobody_hears_of_are_forgotten(ledger):
    """A pod that fell silent and a token that was never used go after the time given; who still speaks stays, and so do roles without a pod."""
    await ledger.put_identity("never-used", "pod-b/")
    await ledger.put_identity("reader", "", role="reader")
    await ledger.report(dispatch(1, {DAY: (0, 0, 0)}, [(1, USD, (DAY,))]))

    async def left(before):
        await ledger.store.forget_silent(before)
        asked = ("SELECT count(*) FROM pods", "SELECT role, holder_prefix FROM identities ORDER BY 1, 2")
        pods, tokens = (ledger.store._writer.execute(sql).fetchall() for sql in asked)
        return pods[0][0], tokens

    everyone = [("reader", ""), ("sidecar", "pod-a/"), ("sidecar", "pod-b/")]
    assert await left(T0 - 1) == (1, everyone)
    ledger.clock.forward(40 * 86_400)
    await ledger.report(dispatch(2, {}))
    assert await left(T0 + 30 * 86_400) == (1, everyone[:2])
    assert await left(T0 + 50 * 86_400) == (0, everyone[:1])
    await ledger.again()
    assert (await ledger.ask("GET", "/v1/scope", "token-a")).status == 401
