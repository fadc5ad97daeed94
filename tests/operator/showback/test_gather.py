"""A statement gathered from real books: its parts add up, and what changed is told."""

import pytest

from harness.store_books import StoreBooks, usage_row
from wfb_operator.showback import now as now_module
from wfb_operator.showback.books import Question
from wfb_operator.showback.gather import movers, statement
from wfb_operator.showback.page import page, span
from wfb_operator.showback.stacked_bars import money

DAY, MINUTE = 1440, 29_999_520


@pytest.fixture
def books(tmp_path):
    """Two periods of ten days, rolled up: team a grows, team b goes, team c comes."""
    found, usage = StoreBooks(tmp_path), {}
    for day in range(20):
        spent = {"a": 5 if day < 10 else 7, "b": 3 if day < 10 else 0, "c": 0 if day < 10 else 2}
        for team, usd in spent.items():
            if usd:
                usage |= dict([usage_row(MINUTE + day * DAY + 61, nanos=usd * 10**9 + 1, team=team, output=9)])
    found.write(usage, (MINUTE + 20 * DAY) * 60.0, roll=True)
    return found


NOW = Question((MINUTE + 10 * DAY) * 60, (MINUTE + 20 * DAY) * 60, {})


def test_the_parts_add_up(books):
    """Breakdown, chart and total are the same sum, and the period before is the one of equal length."""
    found = statement(books, NOW, ("team", "model"))
    assert (found.total["nanos"], found.before["nanos"]) == (90 * 10**9 + 20, 80 * 10**9 + 20)
    for part in found.breakdowns:
        assert sum(line.now["nanos"] for line in part.lines) + part.rest["nanos"] == found.total["nanos"]
        assert sum(line.before for line in part.lines) == found.before["nanos"]
    drawn = [sum(values) for _, values in found.series.amounts]
    assert (sum(drawn) + sum(found.series.rest), len(found.series.starts)) == (found.total["nanos"], 10)


def test_what_changed(books):
    """Who came, who went and who grew, the largest change first."""
    (part,) = statement(books, NOW, ("team",)).breakdowns
    assert [(line.name, line.change) for line in movers(part, 9)] == [
        ("b", -30 * 10**9 - 10),
        ("a", 20 * 10**9),
        ("c", 20 * 10**9 + 10),
    ] or [line.name for line in movers(part, 9)] == ["b", "c", "a"]


def test_a_page_of_nothing_says_so(tmp_path):
    """No rows: no chart, no division by zero, and sentences in their place."""
    html = page(statement(StoreBooks(tmp_path), NOW, ("team",)), [], "none", 0.0)
    assert "Nothing was spent." in html
    assert "nothing to compare with" in html
    assert "<svg" not in html


def test_a_page_loads_nothing(books):
    """One file: a policy that forbids loading, no address of anything outside, and a title of its period."""
    html = page(statement(books, NOW, ("team", "model")), [], "none", 0.0)
    assert "default-src 'none'" in html
    assert "http" not in html.replace("http-equiv", "")
    assert "<title>AI spend, 25 Jan 2027 – 3 Feb 2027</title>" in html
    assert html.count("<rect") == 20


SPANS = {
    "a month": ("2026-11-01T00", "2026-12-01T00", "1–30 November 2026"),
    "a day": ("2026-11-01T00", "2026-11-02T00", "1 November 2026"),
    "over a new year": ("2026-12-30T00", "2027-01-02T00", "30 Dec 2026 – 1 Jan 2027"),
    "hours": ("2026-11-01T07", "2026-11-01T09", "1 Nov 2026 07:00 to 1 Nov 2026 09:00 UTC"),
}


@pytest.mark.parametrize(("since", "until", "told"), SPANS.values(), ids=SPANS)
def test_a_period_in_words(since, until, told):
    """The last day is the last one in it."""
    import datetime

    moments = (datetime.datetime.fromisoformat(f"{at}:00:00+00:00") for at in (since, until))
    assert span(*(int(at.timestamp()) for at in moments)) == told


@pytest.mark.parametrize(
    ("nanos", "told"),
    [(0, "$0.00"), (1, "$0.000000001"), (909_000_000, "$0.909"), (-1_500_000_000, "-$1.50"), (10**15, "$1,000,000.00")],
)
def test_money(nanos, told):
    """Cents, or three digits of what is less than a dollar."""
    assert money(nanos) == told


def test_a_look_at_now(tmp_path):
    """The rate is that of whole minutes, names are the dearest, and only refusals of the last while count."""
    at = (MINUTE + 100) * 60.0
    refusals = [{"reason": "BudgetExhausted", "at": at - 60}] * 3 + [{"reason": "BudgetExhausted", "at": at - 9e5}]
    books = StoreBooks(tmp_path, refusals=refusals)
    rows = [usage_row(MINUTE + 100 - n, nanos=10**9, workflow=f"w{n % 3}", run="r" if n == 1 else "") for n in range(4)]
    books.write(dict([*rows, usage_row(MINUTE + 99, outcome="refused", calls=4, nanos=0, workflow="x")]))
    found = now_module.look(books, at, 10, 2, {})
    assert (found.spent, found.per_hour, found.refused) == (4 * 10**9, 3 * 12 * 10**9, 4)
    assert [name.name for name in found.names["workflow"]] == ["w0", "w1"]
    assert [name.name for name in found.names["run"]] == ["r"]
    assert found.refusals == (("BudgetExhausted", 3),)
    assert found.document()["usd_per_hour"] == "36.00"
