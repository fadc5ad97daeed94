"""The outbox tells every row once: whatever is lost, repeated or killed."""

import json
import os
import tempfile
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from wfb_core.wire import DecisionRecord, UsageRow
from wfb_sidecar import outbox as outbox_module
from wfb_sidecar.outbox import COUNTS, Outbox

ROW = UsageRow(1, "openai", "gpt-4o", "", "ok", False, 1, 0, 10, 0, 0, 5, 0, 100, 110)
DECISION = DecisionRecord("d-1", 1.0, "refusal", "BudgetExhausted")


class Ledger:
    """Applies batches above the last one, as the real one does."""

    def __init__(self):
        self.applied = 0
        self.nanos = Counter()
        self.decisions = []

    def take(self, batches):
        """Books what is new; returns the highest number that is booked."""
        for batch in batches:
            if batch.number > self.applied:
                self.applied = batch.number
                for row in batch.rows:
                    self.nanos[row.minute, row.model, row.outcome] += row.nanos
                self.decisions += [d.id for d in batch.decisions]
        return self.applied


STEPS = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 2), st.sampled_from(["gpt-4o", "gpt-5"]), st.integers(0, 1000)),
    st.tuples(st.just("note")),
    st.tuples(st.just("report"), st.sampled_from(["arrives", "lost", "answer lost"])),
    st.tuples(st.just("crash"), st.integers(0, 400)),
)


@settings(max_examples=120, deadline=None)
@given(st.lists(STEPS, max_size=60), st.sampled_from([300, 2000, 1 << 22]))
def test_every_row_is_booked_exactly_once(steps, rewrite_at):
    """Any interleaving of rows, reports, lost messages, rewritten journals and kills, also in the middle of a line."""
    kept = outbox_module._REWRITE_AT
    outbox_module._REWRITE_AT = rewrite_at
    try:
        with tempfile.TemporaryDirectory() as folder:
            _play(os.path.join(folder, "journal"), steps)
    finally:
        outbox_module._REWRITE_AT = kept


def _play(path, steps):
    outbox, ledger, expected, decisions, sequence = Outbox(path), Ledger(), Counter(), [], 0
    for step in steps:
        match step:
            case ("add", minute, model, nanos):
                outbox.add(replace(ROW, minute=minute, model=model, nanos=nanos))
                expected[minute, model, "ok"] += nanos
            case ("note",):
                decisions.append(f"d-{len(decisions)}")
                outbox.note(replace(DECISION, id=decisions[-1]))
            case ("report", fate):
                sequence += 1
                batches = outbox.seal(sequence)
                if fate != "lost":
                    applied = ledger.take(batches)
                    if fate == "arrives":
                        outbox.answered(applied)
            case ("crash", torn):
                outbox.close()
                line = json.dumps(["row", {"minute": 7, "nanos": 10**9, "filler": "x" * 400}])[:torn]
                with open(path, "a", encoding="ascii") as f:
                    f.write(line)  # the killed process was about to book a row that the wallet still holds
                outbox = Outbox(path)
    while outbox.waiting:
        sequence += 1
        outbox.answered(ledger.take(outbox.seal(sequence)))
    assert +ledger.nanos == +expected
    assert ledger.decisions == decisions
    outbox.close()
    reopened = Outbox(path)
    assert not reopened.waiting
    reopened.close()


def test_equal_dimensions_add_up(tmp_path):
    """A thousand equal calls are one row of the report."""
    outbox = Outbox(str(tmp_path / "journal"))
    for _ in range(1000):
        outbox.add(ROW)
    outbox.add(replace(ROW, outcome="error"))
    (batch,) = outbox.seal(1)
    assert len(batch.rows) == 2
    assert all(getattr(batch.rows[0], name) == 1000 * getattr(ROW, name) for name in COUNTS)
    outbox.close()


def test_a_storm_of_refusals_keeps_the_first_decisions_and_counts_all(tmp_path):
    """Rows go on counting; what is not told is counted as dropped."""
    outbox = Outbox(str(tmp_path / "journal"))
    for i in range(1000):
        outbox.add(replace(ROW, outcome="refused", calls=0, refused=1, nanos=0))
        outbox.note(replace(DECISION, id=f"d-{i}"))
    (batch,) = outbox.seal(1)
    assert batch.rows[0].refused == 1000
    assert [d.id for d in batch.decisions] == [f"d-{i}" for i in range(200)]
    assert outbox.dropped_decisions == 800
    outbox.close()


def test_an_unanswered_report_does_not_grow_with_the_outage(tmp_path):
    """While no ledger answers later rows add up in one open batch, so the first answered report is still taken."""
    outbox = Outbox(str(tmp_path / "journal"))
    for number in range(1, 2000):
        outbox.add(replace(ROW, minute=number // 60))
        sealed = outbox.seal(number)
    assert len(sealed) == 8
    ledger = Ledger()
    outbox.answered(ledger.take(sealed))
    outbox.answered(ledger.take(outbox.seal(2000)))
    assert sum(ledger.nanos.values()) == 1999 * ROW.nanos
    assert not outbox.waiting
    outbox.close()


def test_the_journal_stays_small_while_rows_never_stop(tmp_path, monkeypatch):
    """It is rewritten to what is still to be told, even when there is always something."""
    monkeypatch.setattr(outbox_module, "_REWRITE_AT", 10_000)
    path = tmp_path / "journal"
    outbox, largest = Outbox(str(path)), 0
    for number in range(1, 500):
        outbox.add(ROW)
        batches = outbox.seal(number)
        outbox.add(ROW)
        outbox.answered(batches[-1].number)
        largest = max(largest, path.stat().st_size)
    assert largest < 20_000
    outbox.close()


def test_a_full_disk_loses_nothing_but_the_journal(tmp_path):
    """What cannot be written down is told all the same, and counted."""
    outbox = Outbox(str(tmp_path / "journal"))
    os.close(outbox._fd)
    outbox._fd = os.open("/dev/full", os.O_WRONLY)
    outbox.add(ROW)
    outbox.note(DECISION)
    (batch,) = outbox.seal(1)
    assert (batch.rows, batch.decisions) == ((ROW,), (DECISION,))
    assert outbox.write_errors == 3
    outbox.close()
