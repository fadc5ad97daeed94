"""Books and export side by side, by day and model, with the likely reasons of each difference in words.

Pure: charges and rows come in, lines go out. A reason is given only for what the figures show, the most telling first.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from wfb_core.money import NANOS_PER_USD
from wfb_operator.reconcile.charge import TOKEN_KINDS, Charge, ModelKey, model_key
from wfb_operator.showback.amounts import counted

CENT = NANOS_PER_USD // 100

SAME = 0.005
"""Figures that differ by no more than this part are taken for the same."""

_BOOK_TOKENS = dict(
    zip(TOKEN_KINDS, ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"), strict=True)
)

ALL: ModelKey = ((), ())
"""What stands for all models of a day, where an export does not tell them."""


@dataclass(slots=True)
class Side:
    """What one side says of a day and model."""

    nanos: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    estimated: int = 0
    list_nanos: int = 0
    batch: int = 0
    other: int = 0
    credit: int = 0
    names: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Line:
    """A day and model, compared."""

    day: datetime.date
    model: str
    books: Side
    export: Side
    reasons: tuple[str, ...]
    priced: bool
    """Whether the export has costs; where it has none, tokens are compared."""

    @property
    def drift(self) -> int:
        """How much more the export says than the books: nano-USD, or tokens where it has no costs."""
        if self.priced:
            return self.export.nanos - self.books.nanos
        return sum(self.export.tokens.values()) - sum(self.books.tokens.values())

    @property
    def percent(self) -> float | None:
        """The drift in percent of the export; None where that says nothing."""
        whole = self.export.nanos if self.priced else sum(self.export.tokens.values())
        return 100 * self.drift / whole if whole else None


def compare(charges: Sequence[Charge], rows: Iterable[Mapping[str, Any]], today: datetime.date) -> list[Line]:
    """Lines by day, the largest drift of a day first. ``rows`` are usage by day, model, served_model and estimated."""
    exported = _of_export(charges)
    told = {key for _, key in exported}
    booked = _of_books(rows, told)
    priced = any(charge.usd is not None for charge in charges)
    lines = [
        Line(day, _name(day, key, booked, exported), booked.get((day, key), Side()), exported.get((day, key), Side()), (), priced)
        for day, key in {*booked, *exported}
    ]  # fmt: skip
    drifts = {(line.day, model_key(line.model)): line.drift for line in lines}
    explained = [
        Line(line.day, line.model, line.books, line.export, _why(line, drifts, today), priced) for line in lines
    ]
    return sorted(explained, key=lambda line: (line.day, -abs(line.drift), line.model))


def _of_export(charges: Iterable[Charge]) -> dict[tuple[datetime.date, ModelKey], Side]:
    sums: dict[tuple[datetime.date, ModelKey], Side] = {}
    exact: dict[tuple[datetime.date, ModelKey], Decimal] = {}
    for charge in charges:
        key = charge.day, model_key(charge.model) if charge.model else ALL
        side, usd = sums.setdefault(key, Side()), charge.usd or Decimal(0)
        exact[key] = exact.get(key, Decimal(0)) + usd
        amount = int(usd * NANOS_PER_USD)
        side.calls += charge.calls
        side.batch += amount if charge.batch else 0
        side.other += amount if charge.other else 0
        side.credit += amount if charge.credit else 0
        side.names.add(charge.model)
        for kind, count in charge.tokens.items():
            side.tokens[kind] = side.tokens.get(kind, 0) + count
    for key, usd in exact.items():
        sums[key].nanos = int((usd * NANOS_PER_USD).to_integral_value())
    return sums


def _of_books(rows: Iterable[Mapping[str, Any]], told: set[ModelKey]) -> dict[tuple[datetime.date, ModelKey], Side]:
    """The books by the export's own models: by the version served where the export tells that, else as asked for."""
    sums: dict[tuple[datetime.date, ModelKey], Side] = {}
    for row in rows:
        counts, day = counted(row), datetime.date(1970, 1, 1) + datetime.timedelta(days=int(row["day"]))
        if not counts["nanos"] and not any(counts[name] for name in _BOOK_TOKENS.values()):
            continue
        served, asked = str(row.get("served_model") or row["model"]), str(row["model"])
        name = served if model_key(served) in told or model_key(asked) not in told else asked
        side = sums.setdefault((day, ALL if told == {ALL} else model_key(name)), Side())
        side.names.add(name)
        side.nanos += counts["nanos"]
        side.list_nanos += counts["list_nanos"]
        side.estimated += counts["estimated_nanos"]
        side.calls += counts["calls"] - counts["refused"]
        for kind, column in _BOOK_TOKENS.items():
            side.tokens[kind] = side.tokens.get(kind, 0) + counts[column]
    return sums


def _name(day: datetime.date, key: ModelKey, *sides: Mapping[tuple[datetime.date, ModelKey], Side]) -> str:
    if key == ALL:
        return ""
    for side in sides:
        if names := sorted(name for name in side.get((day, key), Side()).names if name):
            return names[0]
    return ""


# ---------------------------------------------------------------- why
UNTOLD = (
    "the figures do not tell why: perhaps another key of the account, batch, or another price; an export of usage with"
    " tokens tells more"
)


def _why(line: Line, drifts: Mapping[tuple[datetime.date, ModelKey], int], today: datetime.date) -> tuple[str, ...]:
    found = tuple(_reasons(line, drifts, today))
    small = abs(line.drift) < CENT if line.priced else not line.drift
    return found if found or small else (UNTOLD,)


def _reasons(line: Line, drifts: Mapping[tuple[datetime.date, ModelKey], int], today: datetime.date) -> Iterable[str]:
    ours, theirs, drift = line.books, line.export, line.drift
    if not drift or (line.priced and abs(drift) < CENT):
        return
    if not theirs.names and not theirs.nanos:
        yield "only in our books: the export does not reach this day or model, or the call never reached the provider"
        return
    if not ours.names:
        yield (
            "only in the export: calls with another key of the account that do not go through a sidecar, or from before"
            " the books begin"
        )
        if theirs.other:
            yield f"{_usd(theirs.other)} of it is not for tokens: searches, storage or code execution"
        return
    if line.day >= today:
        yield "the day is not over: calls are still coming in, and providers report hours late"
    yield from _of_figures(line)
    if drift > 0 and _more_than(theirs.calls, ours.calls):
        yield (
            f"the export has {theirs.calls - ours.calls:,} more calls: another key of the account that does not go through"
            " a sidecar"
        )
    elif drift > 0 and not theirs.calls and _more_than(sum(theirs.tokens.values()), sum(ours.tokens.values())):
        yield "the export has more tokens: another key of the account that does not go through a sidecar"
    for other in (line.day - datetime.timedelta(days=1), line.day + datetime.timedelta(days=1)):
        beside = drifts.get((other, model_key(line.model)), 0)
        if beside * drift < 0 and abs(beside + drift) < abs(drift) / 5:
            yield (
                f"{other:%-d %B} drifts as much the other way: calls around midnight UTC, which we book when they begin"
                " and the provider when they end; or rows that came late"
            )
            break


def _of_figures(line: Line) -> Iterable[str]:
    """What the line's own figures show."""
    ours, theirs, drift = line.books, line.export, line.drift
    if ours.estimated and abs(drift) <= 2 * ours.estimated:
        yield f"{_usd(ours.estimated)} of ours is estimated: cut streams and answers that did not say their usage"
    if theirs.batch:
        yield f"{_usd(theirs.batch)} of it is batch, at its own price and booked when the batch is collected"
    if theirs.other:
        yield f"{_usd(theirs.other)} of it is not for tokens: searches, storage or code execution"
    if theirs.credit:
        yield f"{_usd(abs(theirs.credit))} are credits, which our books do not know"
    if theirs.tokens:
        cached = theirs.tokens.get("cache_read", 0), ours.tokens.get("cache_read", 0)
        if _more_than(max(cached), min(cached)) and abs(cached[0] - cached[1]) > abs(sum(theirs.tokens.values())) / 100:
            yield f"tokens read from a cache differ: {cached[0]:,} in the export, {cached[1]:,} in our books"
    if not line.priced:
        return
    if (
        theirs.tokens
        and ours.tokens
        and all(_same(theirs.tokens.get(k, 0), ours.tokens.get(k, 0)) for k in TOKEN_KINDS)
    ):
        yield "the tokens are the same, so the price is not: another version of it, or a contract that one side lacks"
    if not _same(ours.list_nanos, ours.nanos) and _same(theirs.nanos, ours.list_nanos):
        yield "the export is at list price and our books at your contract's: is the discount given on the invoice?"


def _same(one: int, other: int) -> bool:
    return abs(one - other) <= SAME * max(abs(one), abs(other), 1)


def _more_than(one: int, other: int) -> bool:
    return one > other and not _same(one, other)


def _usd(nanos: int) -> str:
    return f"${nanos / NANOS_PER_USD:,.2f}"
