"""Names that hold anything: shown safely in tables, CSV, JSON, FOCUS and HTML."""

import csv
import io
import json
from html.parser import HTMLParser

import pytest

from harness.store_books import StoreBooks, usage_row
from wfb_operator.cli import tables
from wfb_operator.showback import focus
from wfb_operator.showback.books import Question
from wfb_operator.showback.csv_file import write_csv
from wfb_operator.showback.gather import statement
from wfb_operator.showback.page import page
from wfb_operator.showback.shown import cell, named, plain
from wfb_operator.showback.split import PROPORTIONAL
from wfb_operator.showback.split import statement as shares_of

MINUTE = 29_999_520
"""2027-01-15 00:00 UTC, in minutes."""

NAMES = {
    "quotes": "a \"quoted\" 'name'",
    "newlines": "one\ntwo\r\nthree",
    "right to left": "שלום \u202eevil\u202c",
    "a script": "<script>alert(1)</script>",
    "an attribute": '"><img src=x onerror=alert(1)>',
    "a formula": '=HYPERLINK("http://evil.example";"x")',
    "a formula by minus": "-2+3+cmd|' /C calc'!A0",
    "a formula by at": "@SUM(1+1)",
    "a formula after a space": " =1+1",
    "a full-width formula": "\uff1d1+1",
    "a formula by tab": "\t=1+1",
    "a terminal's colours": "\x1b[31mred\x1b[0m\x07",
    "rich's markup": "[red]x[/red] [link=http://evil.example]y[/link]",
    "a megabyte": "x" * 1_000_000,
    "a zero": "a\0b",
    "a lone surrogate as the store gives it": "a\ufffdb",
}


class Reader(HTMLParser):
    """What a browser would see: elements, attributes and text."""

    def __init__(self):
        super().__init__()
        self.elements, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def books(tmp_path):
    """Books whose every name is the hostile one."""

    def made(name):
        found = StoreBooks(tmp_path, budgets=[budget(name)])
        found.write(dict([usage_row(MINUTE + 5, team=name, workflow=name, model=name, agent=name, input=10)]))
        return found

    return made


def budget(name):
    amounts = {"limit_usd": "5.00", "spent_usd": "4.50", "reserved_usd": "0.00", "lost_usd": "0.00"}
    return {"budget": name, "window": "x", "kind": "Day", "percent_used": 90, "stage": "Slow", "end": None, **amounts}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_in_the_page(books, name):
    """No element, attribute or script comes of a name; it stands there as text, on one line, isolated."""
    question = Question(MINUTE * 60, (MINUTE + 1440) * 60, {"team": name})
    found = statement(books(name), question, ("team", "workflow"))
    html = page(found, shares_of({name: 5}, rule=PROPORTIONAL), PROPORTIONAL, 0.0)
    seen = Reader()
    seen.feed(html)
    assert not {"script", "img", "iframe", "object", "link", "a"} & set(seen.elements)
    assert not [a for a, _ in seen.attributes if a.startswith("on") or a in ("href", "src")]
    assert "".join(seen.text).count(named(name)) >= 4
    assert len(html) < 60_000
    assert not [c for c in html if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_in_csv(name):
    """A spreadsheet reads no formula, a CSV reader gets the name back, and the row stays one row."""
    out = io.StringIO(newline="")
    csv.field_size_limit(2_000_000)
    write_csv([{"team": name, "usd": "-0.50"}], ("team", "usd"), out, ("team",))
    (head, row) = list(csv.reader(io.StringIO(out.getvalue(), newline="")))
    assert (head, row[1]) == (["team", "usd"], "-0.50")
    assert row[0].removeprefix("'") == name.replace("\0", "\ufffd") if row[0] != name else True
    assert not row[0].lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))


def test_an_apostrophe_is_not_taken_for_ours():
    """A name that begins with an apostrophe before a formula is told from a formula that was made safe."""
    assert (cell("=1"), cell("'=1"), cell("'quoted'"), cell("plain")) == ("'=1", "''=1", "'quoted'", "plain")


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_in_focus(books, name):
    """Names are in their columns and tags as they are but for formulas; every row has every column."""
    question = Question(MINUTE * 60, (MINUTE + 1440) * 60, {})
    (row,) = focus.rows(books(name), question)
    assert tuple(row) == focus.COLUMNS
    assert row["x_Team"] == cell(name)
    assert json.loads(row["Tags"])["aifinops.dev/team"] == name
    assert not [v for v in row.values() if v.lstrip(" ").startswith(("=", "+", "@", "\t")) or v.startswith("-")]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_in_a_table(name):
    """One line a name on a terminal: no control character, no markup, no more than fits."""
    out = io.StringIO()
    row = {"team": name, **tables.nothing(), "calls": 1}
    tables.print_tables((tables.usage_table([row], ("team",), "Since"), tables.budget_table([budget(name)])), out)
    told = out.getvalue()
    assert not [c for c in told if not c.isprintable() and c != "\n"]
    assert plain(name)[:20].strip() in told
    assert len(told) < 6_000


def test_what_is_shown_of_a_long_name():
    """The beginning, and a sign that there is more."""
    assert (plain("x" * 200, 5), plain("x" * 5, 5), named(""), named(None)) == ("xxxxx…", "xxxxx", "(none)", "(none)")
