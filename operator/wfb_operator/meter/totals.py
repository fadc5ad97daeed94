"""Adding rows up: by model, host or day, and by reason."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from wfb_operator.meter.row import Row

UNKNOWN = "(unknown)"


@dataclass(slots=True)
class Total:
    """Sums over some rows; counts that are not known add nothing."""

    calls: int = 0
    unpriced: int = 0
    """Billable calls whose cost is not known."""
    input_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    nanos: int = 0

    def add(self, row: Row) -> None:
        """Takes a billable row in."""
        self.calls += 1
        self.unpriced += row.nanos is None
        self.input_tokens += row.input_tokens or 0
        self.cache_read_tokens += row.cache_read_tokens or 0
        self.output_tokens += row.output_tokens or 0
        self.reasoning_tokens += row.reasoning_tokens or 0
        self.nanos += row.nanos or 0


@dataclass(slots=True)
class Totals:
    """Everything that the table of a recording shows."""

    groups: dict[str, Total] = field(default_factory=dict)
    whole: Total = field(default_factory=Total)
    reasons: Counter[str] = field(default_factory=Counter)
    entries: int = 0
    first: float | None = None
    last: float | None = None

    @classmethod
    def of(cls, rows: Iterable[Row], by: str) -> "Totals":
        """The totals of rows by one of KEYS."""
        totals, key = cls(), KEYS[by]
        for row in rows:
            totals.entries += 1
            totals.reasons[row.reason] += 1
            if row.provider is not None and row.at is not None:
                totals.first = row.at if totals.first is None else min(totals.first, row.at)
                totals.last = row.at if totals.last is None else max(totals.last, row.at)
            if row.billable:
                totals.groups.setdefault(key(row), Total()).add(row)
                totals.whole.add(row)
        return totals


def _model(row: Row) -> str:
    return f"{row.provider}/{row.served_model or row.model or UNKNOWN}"


def _day(row: Row) -> str:
    return UNKNOWN if row.at is None else f"{datetime.fromtimestamp(row.at, UTC):%Y-%m-%d}"


KEYS: dict[str, Callable[[Row], str]] = {"model": _model, "host": lambda row: row.host, "day": _day}
"""What rows can be added up by; days are those of UTC."""
