"""What is going on now: spend by the minute, the dearest names of the last while, budgets, refusals, changes of stage."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wfb_core.money import format_usd
from wfb_operator.showback.amounts import added, nothing
from wfb_operator.showback.books import Books, Question, Row

RATE_MINUTES = 5
"""Minutes over which the rate of spend is taken: the current one is not over, so it is left out."""

DIMENSIONS = ("workflow", "model", "run")

DECISIONS_LOOKED_AT = 1000


@dataclass(frozen=True, slots=True)
class Name:
    """One name's spend of the last while."""

    name: str
    nanos: int
    calls: int
    refused: int


@dataclass(frozen=True, slots=True)
class Now:
    """One look."""

    at: float
    minutes: int
    """How long the last while is."""
    by_minute: tuple[int, ...]
    """Nano-USD of every minute of it, the current one last."""
    spent: int
    calls: int
    refused: int
    per_hour: int
    """Nano-USD an hour, as in the last whole minutes."""
    names: dict[str, tuple[Name, ...]]
    """Of each dimension the dearest."""
    budgets: tuple[Row, ...]
    """The tightest first."""
    refusals: tuple[tuple[str, int], ...]
    """Reasons of refusals of the last while, the most frequent first."""
    stages: tuple[Row, ...]
    """The newest changes of stage."""

    def document(self) -> dict[str, Any]:
        """As JSON: amounts are exact decimal strings."""
        return {
            "at": self.at,
            "minutes": self.minutes,
            "spent_usd": format_usd(self.spent),
            "usd_per_hour": format_usd(self.per_hour),
            "calls": self.calls,
            "refused": self.refused,
            "by_minute_usd": [format_usd(nanos) for nanos in self.by_minute],
            "top": {
                dimension: [
                    {"name": n.name, "usd": format_usd(n.nanos), "calls": n.calls, "refused": n.refused} for n in names
                ]
                for dimension, names in self.names.items()
            },
            "budgets": list(self.budgets),
            "refusals": [{"reason": reason, "count": count} for reason, count in self.refusals],
            "stages": list(self.stages),
        }


def look(books: Books, now: float, minutes: int, most: int, only: dict[str, str]) -> Now:
    """One look at the books; raises what they raise."""
    current = int(now // 60)
    since = (current - minutes + 1) * 60
    question = Question(since, (current + 1) * 60, only)
    by_minute = {key[0]: sums for key, sums in added(question.every(books, ("minute",)), ("minute",)).items()}
    spent = tuple(by_minute.get(minute, nothing())["nanos"] for minute in range(current - minutes + 1, current + 1))
    whole = spent[:-1][-RATE_MINUTES:]
    budgets = sorted(
        books.summary(question.until).get("budgets", ()),
        key=lambda row: (-int(row["percent_used"]), str(row["budget"])),
    )
    refusals = Counter(
        str(row["reason"]) for row in books.decisions("refusal", DECISIONS_LOOKED_AT) if row.get("at", 0) >= since
    )
    return Now(
        now,
        minutes,
        spent,
        sum(spent),
        sum(sums["calls"] for sums in by_minute.values()),
        sum(sums["refused"] for sums in by_minute.values()),
        sum(whole) * 60 // len(whole) if whole else spent[-1] * 60,
        {dimension: _dearest(books, question, dimension, most) for dimension in DIMENSIONS},
        tuple(budgets),
        tuple(refusals.most_common(most)),
        tuple(books.stages(most)),
    )


def _dearest(books: Books, question: Question, dimension: str, most: int) -> tuple[Name, ...]:
    rows: Sequence[Row] = books.usage(
        (dimension,), question.since, question.until, only=question.only, most=most + 1
    ).rows
    found = [
        Name(str(key[0]), sums["nanos"], sums["calls"], sums["refused"])
        for key, sums in added(rows, (dimension,)).items()
        if key[0] != "" or dimension != "run"
    ]
    return tuple(found[:most])
