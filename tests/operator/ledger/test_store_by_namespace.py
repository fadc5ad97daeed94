"""What one namespace may read of the store: its own rows, whatever the others spent."""

import pytest

from wfb_operator.ledger.store.port import StageChange, StoredDecision, StoredSighting, Writes
from wfb_operator.ledger.store.sqlite import SqliteStore

T0 = 1_800_000_000.0


@pytest.fixture
async def store(tmp_path):
    """Two namespaces of which one's name begins with the other's, and a budget of the whole cluster."""
    found = SqliteStore.open(str(tmp_path))
    names = ("team", "team-b")
    counts = [1, 0, 10, 0, 0, 5, 0, 700, 700]
    writes = Writes(
        T0,
        usage={(30_000_000, n, "", "", "w", "", "", "openai", "gpt", "gpt", "ok", 0, ""): list(counts) for n in names},
        runs={(n, "w", "run-1"): (T0, 700) for n in names},
        decisions=[
            StoredDecision(f"d-{n}", T0, "refusal", *[""] * 2, 402, *[""] * 4, 0, 0, 0, 0, "holder", n, "w", "")
            for n in names
        ],
        stages=[
            StageChange(f"{key}|Day|x", key, "Day", "Open", "Warn", T0, 7, 10)
            for key in ("team/daily", "team-b/daily", "/all")
        ],
        sightings=[StoredSighting(n, "w", "run/1", f"{n}/b", "Flag", "LoopFlagged", "", T0, 7, 10, "h") for n in names],
    )
    await found.write(writes)
    yield found
    await found.close()


async def usage_rows(store, ns):
    return (await store.usage(("namespace",), 0, 2**40, 10, namespace=ns)).rows


READ = {
    "usage": usage_rows,
    "decisions": lambda store, ns: store.decisions("", "", 10, namespace=ns),
    "runs": lambda store, ns: store.runs(10, namespace=ns),
    "stages": lambda store, ns: store.stage_changes(10, namespace=ns),
    "loops": lambda store, ns: store.sightings(10, namespace=ns),
}


@pytest.mark.parametrize("what", READ)
async def test_a_namespace_reads_its_own_rows_and_no_others(store, what):
    """The filter is exact, and without one everything is read, the cluster's budgets too."""

    def whose(row):
        return row.get("namespace", row.get("budget", "").partition("/")[0])

    assert [whose(row) for row in await READ[what](store, "team")] == ["team"]
    assert [whose(row) for row in await READ[what](store, "team-b")] == ["team-b"]
    assert [whose(row) for row in await READ[what](store, "nobody")] == []
    assert len(await READ[what](store, "")) == (3 if what == "stages" else 2)
