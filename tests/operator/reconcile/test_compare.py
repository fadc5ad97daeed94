"""Books and export side by side: what drifts, and why, in words that the figures bear out."""

import datetime
from decimal import Decimal

import pytest

from wfb_operator.reconcile.charge import Charge
from wfb_operator.reconcile.compare import compare

DAY = datetime.date(2026, 11, 1)
NEXT = DAY + datetime.timedelta(days=1)
TODAY = datetime.date(2026, 11, 25)
EPOCH = datetime.date(1970, 1, 1)


def booked(usd, *, day=DAY, model="gpt-5", served="gpt-5-2025-08-07", estimated=False, listed=None, **more):
    """A row of the books."""
    return {
        "day": (day - EPOCH).days,
        "model": model,
        "served_model": served,
        "estimated": estimated,
        "usd": usd,
        "list_usd": listed or usd,
        "calls": more.pop("calls", 10),
        "refused": 0,
        "input_tokens": more.pop("input", 0),
        "output_tokens": more.pop("output", 0),
        "cache_read_tokens": more.pop("cached", 0),
    }


def charged(usd, *, day=DAY, model="gpt-5-2025-08-07", **more):
    """A line of the export."""
    return Charge(day, model, None if usd is None else Decimal(usd), more.pop("tokens", {}), **more)


CASES = {
    "equal": ([charged("5")], [booked("5.00")], "0", None),
    "rounding": ([charged("5.004")], [booked("5.00")], "0.004", None),
    "another key": ([charged("8", calls=20)], [booked("5.00", calls=10)], "3", "10 more calls: another key"),
    "another key's model": ([charged("8", model="o3"), charged("5")], [booked("5.00")], "8", "only in the export"),
    "not in the export": ([charged("1", model="o3")], [booked("5.00")], "-5", "only in our books"),
    "estimated": (
        [charged("4.5")],
        [booked("4.00"), booked("1.00", estimated=True)],
        "-0.5",
        "$1.00 of ours is estimated",
    ),
    "batch": ([charged("4"), charged("2", batch=True)], [booked("4.00")], "2", "$2.00 of it is batch"),
    "not for tokens": (
        [charged("5"), charged("1", other=True)],
        [booked("5.00")],
        "1",
        "$1.00 of it is not for tokens",
    ),
    "credits": ([charged("5"), charged("-1", credit=True)], [booked("5.00")], "-1", "$1.00 are credits"),
    "cached tokens": (
        [charged("4", tokens={"input": 50, "cache_read": 50})],
        [booked("5.00", input=100)],
        "-1",
        "read from a cache differ: 50 in the export, 0 in our books",
    ),
    "the price": (
        [charged("6", tokens={"input": 100, "output": 10})],
        [booked("5.00", input=100, output=10)],
        "1",
        "the tokens are the same, so the price is not",
    ),
    "a contract": ([charged("6")], [booked("5.00", listed="6.00")], "1", "the export is at list price"),
    "a day that is not over": ([charged("6", day=TODAY)], [booked("5.00", day=TODAY)], "1", "the day is not over"),
    "nothing to tell by": ([charged("6")], [booked("5.00")], "1", "the figures do not tell why"),
    "midnight": (
        [charged("6"), charged("4", day=NEXT)],
        [booked("5.00"), booked("5.00", day=NEXT)],
        "1",
        "2 November drifts as much the other way",
    ),
}


@pytest.mark.parametrize(("charges", "rows", "drift", "reason"), CASES.values(), ids=CASES)
def test_a_difference_and_its_reason(charges, rows, drift, reason):
    """The largest difference of the first day, exactly, and the sentence that the figures bear out."""
    line = compare(charges, rows, TODAY)[0]
    assert line.drift == int(Decimal(drift) * 10**9)
    if reason is None:
        assert line.reasons == ()
    else:
        assert any(reason in said for said in line.reasons), line.reasons


def test_nothing_is_left_out():
    """The lines' sums are the export's and the books', whatever matches what."""
    charges = [charged("1.23", model=m, day=d) for m in ("gpt-5", "o3", "") for d in (DAY, NEXT)]
    rows = [booked("4.56", model=m, served="", day=d) for m in ("gpt-5", "gpt-4o") for d in (DAY, NEXT)]
    lines = compare(charges, rows, TODAY)
    assert sum(line.export.nanos for line in lines) == 6 * 1_230_000_000
    assert sum(line.books.nanos for line in lines) == 4 * 4_560_000_000


def test_an_export_without_models():
    """The books are added up to the day."""
    (line,) = compare([charged("9", model="")], [booked("4.00"), booked("5.00", model="o3", served="o3")], TODAY)
    assert (line.model, line.drift) == ("", 0)


def test_an_export_of_usage():
    """Without costs tokens are compared."""
    (line,) = compare([charged(None, tokens={"input": 110})], [booked("1.00", input=100)], TODAY)
    assert (line.priced, line.drift) == (False, 10)
    assert "more tokens: another key" in line.reasons[0]
