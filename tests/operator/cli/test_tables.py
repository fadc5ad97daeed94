"""Sums and sentences for people: exact where programs read them, short where people do."""

import io
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfb_core.money import format_usd
from wfb_operator.cli.period import moment_of
from wfb_operator.cli.report import dimensions
from wfb_operator.cli.tables import (
    budget_table,
    held_back,
    budgets_of,
    dollars,
    folded,
    nothing,
    print_tables,
    usage_rows,
    usage_table,
)

NOW = 1_800_000_000


def _row(usd="1.00", estimated=False, **fields):
    counts = {
        "calls": 1,
        "refused": 0,
        "input_tokens": 10,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 5,
        "reasoning_tokens": 0,
    }
    return counts | {"usd": usd, "estimated": estimated} | fields


def _window(kind="Day", label="2026-11-23T00:00:00+00:00", budget="billing/triage", **fields):
    amounts = dict.fromkeys(("reserved_usd", "lost_usd", "overspent_usd", "estimated_usd"), "0.00")
    return {
        "budget": budget,
        "window": f"{budget}|{kind}|{label}",
        "kind": kind,
        "end": None,
        "limit_usd": "5.00",
        "spent_usd": "4.25",
        "percent_used": 85,
        "stage": "Slow",
        **amounts,
        **fields,
    }


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0.00", "$0.00"),
        ("0.0000000004", "<$0.000001"),
        ("0.0000015", "$0.000002"),
        ("0.0165", "$0.0165"),
        ("1234567.5", "$1,234,567.50"),
        ("-2.5", "-$2.50"),
    ],
)
def test_dollars(amount, shown):
    """Six places at most, and what is not zero is never shown as zero."""
    assert dollars(amount) == shown


@given(st.lists(st.tuples(st.integers(0, 10**12), st.sampled_from("ab"), st.booleans())))
def test_sums_are_exact(spent):
    """However rows are folded, their amounts add up to the last digit, and the dearest comes first."""
    rows = usage_rows({"usage": [_row(format_usd(n), estimated, model=m) for n, m, estimated in spent]})
    by_model = folded(rows, ("model",))
    total = (folded(rows, ()) or [nothing()])[0]
    assert sum(Decimal(row["usd"]) for row in by_model) == Decimal(total["usd"])
    assert total["usd"] == format_usd(sum(n for n, _, _ in spent))
    assert total["estimated_usd"] == format_usd(sum(n for n, _, estimated in spent if estimated))
    amounts = [Decimal(row["usd"]) for row in by_model]
    assert amounts == sorted(amounts, reverse=True)


def test_windows_of_this_run_only():
    """Other runs' windows and other budgets are left out; a calendar window belongs to every run."""
    rows = [_window(), _window("Run", "one"), _window("Run", "two"), _window(budget="billing/other")]
    found = budgets_of({"budgets": rows}, {"billing/triage"}, "two")
    assert [row["window"] for row in found] == [rows[0]["window"], rows[2]["window"]]
    assert budgets_of({"budgets": rows}, None, None) == rows


def test_printed_tables_are_not_cut():
    """Where there is no terminal every name is whole; classes of tokens that nobody used take no room."""
    model = "a-model-with-a-name-that-is-long-enough-to-be-cut-in-eighty-columns"
    rows = folded(usage_rows({"usage": [_row(model=model, workflow="", reasoning_tokens=3)]}), ("workflow", "model"))
    stream = io.StringIO()
    print_tables((usage_table(rows, ("workflow", "model"), "Run one"), budget_table([_window()])), stream)
    said = stream.getvalue()
    for words in (model, "reasoning", "$1.00", "85 %", "Slow", "never", "$5.00"):
        assert words in said
    assert "cache read" not in said
    assert "\x1b" not in said


def test_what_holds_calls_back_is_a_column_where_there_is_something_to_tell():
    """The pace and the calls that wait, or nothing at all."""
    assert held_back("Slow", "0.36", 3) == "Slow to $0.36/h, 3 wait"
    assert held_back("", None, 2) == "2 wait"
    assert held_back("Throttle", "1.00", 0) == "Throttle to $1.00/h"
    for windows, told in (
        ([_window(), _window(pacing="Slow", paced_usd_per_hour="0.36", queued=3)], True),
        ([_window(pacing="", queued=0)], False),
    ):
        stream = io.StringIO()
        print_tables((budget_table(windows),), stream)
        assert ("held back" in stream.getvalue()) is told
        assert ("Slow to $0.36/h, 3 wait" in stream.getvalue()) is told


def test_a_terminal_of_eighty_columns_is_enough():
    """Names, amounts and stages stay on one line; what is in flight is shown only where something is."""
    stream = io.StringIO()
    rows = [_window(end=NOW, spent_usd="0.07814"), _window("Run", "one", stage="Exhausted")]
    print_tables((budget_table(rows),), stream, 80)
    lines = [line for line in stream.getvalue().splitlines() if "triage" in line]
    assert len(lines) == 2
    assert "billing/triage" in lines[0]
    assert "$0.07814" in lines[0]
    assert "Exhausted" in lines[1]
    assert "in flight" not in stream.getvalue()
    stream = io.StringIO()
    print_tables((budget_table([_window(reserved_usd="0.25", lost_usd="0.5")]),), stream)
    assert "in flight" in stream.getvalue()
    assert "$0.75" in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", NOW - 1800),
        ("24h", NOW - 86_400),
        ("7d", NOW - 604_800),
        ("2w", NOW - 1_209_600),
        ("2027-01-15T08:00:00+00:00", NOW),
        ("2027-01-15T09:00:00+01:00", NOW),
    ],
)
def test_since(text, expected):
    """A while ago, or a moment."""
    assert moment_of(text, NOW) == expected


def test_dimensions():
    """Spaces and repetitions do not count."""
    assert dimensions(" workflow, model,workflow,") == ("workflow", "model")
