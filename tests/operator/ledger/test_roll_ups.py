"""Usage rolled up to hours and days: nothing recounted, nothing lost, whatever happens in whatever order."""

import sqlite3
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.ledger_under_test import T0, USD, batch, dispatch, usage
from wfb_operator.ledger.store import sqlite
from wfb_operator.ledger.store.port import USAGE_BY, USAGE_COUNTS, USAGE_DIMENSIONS, Writes
from wfb_operator.ledger.store.sqlite import SqliteStore
from wfb_operator.ledger.store.tiers import DAY, HOUR, Horizon, Marks, Piece, Retention, plan

NOW = int(T0 // 60)
EVER = 2**40
ALL = 1_000_000


def key(minute, *, team="a", run="", model="m", outcome="ok", estimated=0, prices="p1"):
    """A key of usage in the order of the dimensions."""
    return (minute, "ns", team, "f", "w", run, "", "openai", model, model, outcome, estimated, prices)


def counts(n):
    """Counts that differ from each other, so that no column can stand for another."""
    return [n * (at + 1) for at in range(len(USAGE_COUNTS))]


async def told(store, by, since=0, until=EVER, **more):
    """What the store answers, as {dimensions: counts}, and the time that it answers for."""
    found = await store.usage(by, since, until, ALL, **more)
    rows = {tuple(row[name] for name in by): [row[name] for name in USAGE_COUNTS] for row in found.rows}
    return rows, found.since, found.until


def expected(reported, by, since=0, until=EVER):
    """The same from a plain list of everything that was ever reported."""
    sums = {}
    for row, amounts in reported:
        if since <= row[0] < until:
            values = dict(zip(USAGE_DIMENSIONS, row, strict=True))
            values |= {"hour": row[0] // HOUR, "day": row[0] // DAY}
            into = sums.setdefault(tuple(values[name] for name in by), [0] * len(USAGE_COUNTS))
            for at, amount in enumerate(amounts):
                into[at] += amount
    return sums


class BreakingConnection:
    """A connection that fails before its n-th statement from now, like a process that is killed there."""

    def __init__(self, real):
        self.real, self.left = real, None

    def execute(self, *arguments):
        if self.left is not None:
            if self.left == 0:
                raise sqlite3.OperationalError("cut off")
            self.left -= 1
        return self.real.execute(*arguments)

    def __getattr__(self, name):
        return getattr(self.real, name)


KEYS = st.builds(
    key,
    st.integers(NOW - 4 * DAY, NOW - 1),
    team=st.sampled_from(["a", "b"]),
    run=st.sampled_from(["", "", "r1", "r2"]),
    model=st.sampled_from(["m", "n"]),
    outcome=st.sampled_from(["ok", "error"]),
    estimated=st.integers(0, 1),
    prices=st.sampled_from(["p1", "p2"]),
)
DAYS = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(st.just("report"), st.lists(st.tuples(KEYS, st.integers(1, 9)), min_size=1, max_size=8)),
    st.tuples(st.just("roll"), st.integers(NOW - 4 * DAY, NOW)),
    st.tuples(st.just("tidy"), st.tuples(DAYS, DAYS)),
    st.tuples(st.just("crash"), st.integers(0, 8)),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(STEPS, min_size=1, max_size=14), bounds=st.tuples(st.integers(0, 5 * DAY), st.integers(0, 5 * DAY))
)
async def test_no_sum_depends_on_when_anything_was_rolled_up(tmp_path_factory, steps, bounds):
    """Late rows, roll-ups, forgetting and crashes between statements, in any order: every sum stays what was reported."""
    tmp_path = tmp_path_factory.mktemp("store")
    store, reported, crash = SqliteStore.open(str(tmp_path)), [], None
    monkey = pytest.MonkeyPatch()
    monkey.setattr(sqlite, "TIDY_ROWS", 3)
    real = store._write_connection
    monkey.setattr(store, "_write_connection", lambda: _breaking(real(), crash))
    try:
        for what, how in steps:
            if what == "crash":
                crash = how
                continue
            with suppress(sqlite.StoreError):
                if what == "report":
                    await store.write(Writes(T0, usage=_usage(how)))
                    reported += [(row, counts(n)) for row, n in how]
                elif what == "roll":
                    await store.roll_up(how * 60)
                else:
                    fine, coarse = sorted(how)
                    await store.tidy(Horizon(T0 - fine * 86_400, T0 - coarse * 86_400, T0 - 9e7, T0 - 9e7))
            crash = None
        first, last = (NOW - 5 * DAY + bound for bound in sorted(bounds))
        for by in [(), *((name,) for name in USAGE_BY if name not in ("minute", "hour")), ("team", "run", "day")]:
            assert (await told(store, by))[0] == expected(reported, by), by
            rows, since, until = await told(store, by, first, last)
            assert (since <= first, until >= last) == (True, True)
            assert rows == expected(reported, by, since, until), by
        for by in (("minute",), ("hour", "team"), ("minute", "run")):
            rows, since, until = await told(store, by)
            assert rows == expected(reported, by, since, until), by
    finally:
        monkey.undo()
        await store.close()


def _usage(rows):
    """Rows as one transaction has them: equal keys added up."""
    sums = {}
    for row, n in rows:
        sums[row] = [a + b for a, b in zip(sums.get(row, counts(0)), counts(n), strict=True)]
    return sums


def _breaking(connection, crash):
    breaking = BreakingConnection(connection)
    breaking.left = crash
    return breaking


async def test_a_late_row_lands_in_its_minute_its_hour_and_its_day(tmp_path):
    """A call told of after its minute was rolled up is in all three, and once in each sum."""
    store = SqliteStore.open(str(tmp_path))
    minute = NOW - 3 * DAY
    await store.write(Writes(T0, usage={key(minute): counts(1), key(NOW - 5): counts(1)}))
    while await store.roll_up(T0):
        pass
    await store.write(Writes(T0, usage={key(minute, run="r"): counts(2), key(minute): counts(4)}))
    for by in (("minute",), ("hour",), ("day",)):
        rows, *_ = await told(store, by, minute, minute + 1)
        assert rows == {(minute // {"minute": 1, "hour": HOUR, "day": DAY}[by[0]],): counts(7)}
    stored = {
        table: store._writer.execute(f"SELECT sum(calls) FROM {table}").fetchone()[0]
        for table in ("usage_minute", "usage_hour", "usage_day", "usage_run")
    }
    assert stored == {"usage_minute": 8, "usage_hour": 8, "usage_day": 8, "usage_run": 2}
    assert (await told(store, ("run",)))[0] == {("",): counts(6), ("r",): counts(2)}
    await store.close()


async def test_a_late_row_older_than_what_is_kept_by_the_minute(tmp_path):
    """Its minute is forgotten: it is in the hour and in the day, and the minute is not begun anew."""
    store = SqliteStore.open(str(tmp_path))
    minute = NOW - 3 * DAY
    await store.write(Writes(T0, usage={key(minute): counts(1)}))
    while await store.roll_up(T0):
        pass
    while await store.tidy(Horizon(T0 - 86_400, T0 - 9e6, T0 - 9e6, T0 - 9e7)):
        pass
    await store.write(Writes(T0, usage={key(minute): counts(2)}))
    assert store._writer.execute("SELECT count(*) FROM usage_minute").fetchone() == (0,)
    rows, since, until = await told(store, (), minute, minute + 1)
    assert rows == {(): counts(3)}
    assert (since, until) == (minute // HOUR * HOUR, minute // HOUR * HOUR + HOUR)
    await store.close()


MARKS = Marks(minutes_to=100 * DAY + 90, hours_to=100 * 24 - 1, minutes_from=86 * DAY, hours_from=10 * DAY // HOUR)
PLANS = {
    "whole days": ((), 20 * DAY, 30 * DAY, [("usage_day", 20 * DAY, 30 * DAY)]),
    "a morning and days": (
        ("team",),
        20 * DAY + 5 * HOUR,
        23 * DAY,
        [("usage_hour", 20 * DAY + 5 * HOUR, 21 * DAY), ("usage_day", 21 * DAY, 23 * DAY)],
    ),
    "till now": (
        (),
        98 * DAY + 30,
        101 * DAY,
        [
            ("usage_minute", 98 * DAY + 30, 98 * DAY + 60),
            ("usage_hour", 98 * DAY + 60, 99 * DAY),
            ("usage_hour", 99 * DAY, 100 * DAY + 60),
            ("usage_minute", 100 * DAY + 60, 101 * DAY),
        ],
    ),
    "minutes that are forgotten: to the hour": (
        (),
        80 * DAY + 30,
        80 * DAY + 31,
        [("usage_hour", 80 * DAY, 80 * DAY + 60)],
    ),
    "hours that are forgotten: to the day": ((), 5 * DAY + 30, 5 * DAY + 31, [("usage_day", 5 * DAY, 6 * DAY)]),
    "by the minute": (("minute",), 0, 87 * DAY, [("usage_minute", 86 * DAY, 87 * DAY)]),
    "by the hour": (("hour",), 0, 11 * DAY, [("usage_hour", 10 * DAY, 11 * DAY)]),
    "nothing": ((), 20 * DAY, 20 * DAY, []),
    "by run": (
        ("run",),
        99 * DAY,
        100 * DAY,
        [("usage_run", 99 * DAY, 100 * DAY), ("usage_hour", 99 * DAY, 100 * DAY)],
    ),
}


@pytest.mark.parametrize(("by", "since", "until", "pieces"), PLANS.values(), ids=PLANS)
def test_the_coarsest_rows_that_answer_exactly(by, since, until, pieces):
    """Days in the middle, hours around, minutes at the ends; outward only where finer rows are forgotten."""
    found = [Piece(*piece[:3]) for piece in plan(by, since, until, MARKS).pieces]
    joined = []
    for piece in found:  # neighbours in one table are one stretch of time
        joined.append((piece.table, piece.since, piece.until))
    assert _stretches(joined) == _stretches(pieces)


def _stretches(pieces):
    """Neighbouring pieces of one table joined."""
    done = []
    for table, since, until in pieces:
        if done and done[-1][0] == table and done[-1][2] == since:
            done[-1] = (table, done[-1][1], until)
        else:
            done.append((table, since, until))
    return done


def test_retention_that_would_lose_something_is_refused():
    """Hours shorter than minutes would leave a gap that nothing answers."""
    with pytest.raises(ValueError, match="hours as long as minutes"):
        Retention(minutes=20, hours=10)
    with pytest.raises(ValueError, match="as long as hours and runs"):
        Retention(runs=500)


async def test_an_upgraded_ledger_rolls_up_what_it_has(tmp_path, monkeypatch):
    """Minutes from before there were hours are in every sum from the first moment, and in the hours in time."""
    store = SqliteStore.open(str(tmp_path))
    monkeypatch.setattr(sqlite, "TIDY_ROWS", 100)
    minutes = [NOW - 7 * n for n in range(1, 400)]
    await store.write(Writes(T0, usage={key(minute): counts(1) for minute in minutes}))
    parts, more = 0, True
    while more:
        more = await store.roll_up(T0)
        parts += 1
        assert (await told(store, ()))[0][()][0] == len(minutes)
    assert parts == 4
    await store.close()


async def test_only_and_skip(tmp_path):
    """Rows of some teams alone, and a page after the first, in one order."""
    store = SqliteStore.open(str(tmp_path))
    await store.write(Writes(T0, usage={key(NOW - 5, team=team): counts(1) for team in "abcd"}))
    assert set((await told(store, ("team",), only={"team": "b"}))[0]) == {("b",)}
    assert set((await told(store, ("team",), only={"team": "b"}, namespace="other"))[0]) == set()
    assert set((await told(store, ("team",), only={"namespace": "ns"}, namespace="other"))[0]) == set()
    pages = [await store.usage(("team",), 0, EVER, 2, skip=skip) for skip in (0, 2, 4)]
    assert [[row["team"] for row in page.rows] for page in pages] == [["a", "b"], ["c", "d"], []]
    await store.close()


async def test_the_ledger_rolls_up_by_itself(ledger, monkeypatch):
    """Housekeeping rolls up what is ten minutes old; /v1/usage says for which time it answers."""
    await ledger.put_budgets()
    await ledger.report(dispatch(1, batches=[batch(1, usage(minute=NOW - 100, nanos=USD), usage(nanos=2 * USD))]))
    await ledger.service._roll_and_forget()
    assert ledger.store._writer.execute("SELECT minutes_to, sum(nanos) FROM usage_marks, usage_hour").fetchone() == (
        NOW - 10,
        USD,
    )
    answer = await ledger.get(f"/v1/usage?by=hour&since={(NOW - 120) * 60}&until={(NOW + 1) * 60}")
    assert [(row["hour"], row["usd"]) for row in answer["usage"]] == [(NOW // 60, "2.00"), ((NOW - 100) // 60, "1.00")]
    assert (answer["since"], answer["until"]) == ((NOW - 120) * 60, (NOW + 1) * 60)
    assert (await ledger.get("/v1/usage?by=team&team=nobody"))["usage"] == []
