"""The budgets in force, and what each means for a window of its own."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

from wfb_core.budget import ALLOW, ENFORCE, REPORT, SLOW, THROTTLE, Budget, Limit
from wfb_core.document import BudgetErrors, parse_budget
from wfb_core.windows import is_shadow
from wfb_operator.ledger.store.port import StoredBudget

LIMIT_MOST = 2**60
"""Nano-USD, over a billion dollars: the largest limit that is kept, and the one that is never reached."""


@dataclass(frozen=True, slots=True)
class BudgetEntry:
    """A budget and the document it was read from."""

    budget: Budget
    document: Mapping[str, Any]
    text: str

    def stored(self) -> StoredBudget:
        """As a store keeps it."""
        return StoredBudget(self.budget.key, self.text)


class DocumentsError(ValueError):
    """Mistakes in documents: a list of ``{"path", "value", "message"}`` whose path begins with the document's place."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        self.errors = errors
        super().__init__(f"{len(errors)} mistakes in the documents")


@dataclass(frozen=True, slots=True)
class Budgets:
    """All budgets by key, in their order."""

    entries: Mapping[str, BudgetEntry] = field(default_factory=dict)

    @classmethod
    def from_store(cls, rows: Iterable[StoredBudget]) -> "Budgets":
        """The budgets as they were stored; raises BudgetErrors where this version cannot read one."""
        found = {}
        for row in rows:
            document = json.loads(row.document)
            found[row.key] = BudgetEntry(parse_budget(document), document, row.document)
        return cls(found)

    @classmethod
    def from_documents(cls, documents: Any) -> "Budgets":
        """The budgets of a request; raises DocumentsError with every mistake of every document."""
        if not isinstance(documents, list):
            raise DocumentsError(
                [{"path": ["budgets"], "value": None, "message": 'is not a list: send {"budgets": [documents]}'}]
            )
        errors: list[dict[str, Any]] = []
        found: dict[str, BudgetEntry] = {}
        for n, document in enumerate(documents):
            try:
                entry = _entry(document)
            except BudgetErrors as wrong:
                errors += [
                    {"path": ["budgets", n, *e.path], "value": _shown(e.value), "message": e.message}
                    for e in wrong.errors
                ]
                continue
            for i, limit in enumerate(entry.budget.limits):
                if limit.nanos > LIMIT_MOST:
                    message = "is more than the ledger counts: state at most 1152921504 dollars"
                    errors.append(
                        {"path": ["budgets", n, "spec", "limits", i, "usd"], "value": None, "message": message}
                    )
            if entry.budget.key in found:
                message = f"is a second budget {entry.budget.key}: give each a name of its own in its namespace"
                errors.append(
                    {"path": ["budgets", n, "metadata", "name"], "value": entry.budget.name, "message": message}
                )
            found[entry.budget.key] = entry
        if errors:
            raise DocumentsError(errors)
        return cls(found)

    def same(self, other: "Budgets") -> bool:
        """Whether nothing differs, order included."""
        return [e.text for e in self.entries.values()] == [e.text for e in other.entries.values()]

    def limit(self, key: str, kind: str) -> tuple[Budget, Limit] | None:
        """A budget and its limit for a kind of window; None where there is none now."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        return next(((entry.budget, limit) for limit in entry.budget.limits if limit.window == kind), None)


@dataclass(frozen=True, slots=True)
class Terms:
    """How the grants treat a window of a limit; amounts in nano-USD, fields as those of a Window."""

    limit: int
    slow_from: float
    rates: tuple[tuple[float, int], ...]
    trickle: int
    goal: int | None


def terms_of(budget: Budget, limit: Limit) -> Terms:
    """What a budget's words mean for the windows of one of its limits.

    One that only counts is never reached. One that allows calls beyond its limit still paces up to it.
    """
    unlimited = budget.enforcement == REPORT or budget.on_exhausted == ALLOW
    slow = [rung for rung in budget.ladder_of(limit) if rung.action == SLOW and budget.enforcement != REPORT]
    rates = tuple((rung.at_percent / 100, rung.rate) for rung in slow) if any(rung.rate for rung in slow) else ()
    return Terms(
        limit=LIMIT_MOST if unlimited else limit.nanos,
        slow_from=min((rung.at_percent / 100 for rung in slow), default=inf),
        rates=rates,
        trickle=budget.trickle if budget.on_exhausted == THROTTLE and not unlimited else 0,
        goal=limit.nanos if unlimited and slow else None,
    )


def granted_limit(budget: Budget, limit: Limit) -> int:
    """The limit that grants are held to: a budget that only counts is never reached, and is judged by its stated one."""
    return terms_of(budget, limit).limit


def as_followed(window_id: str, budget: Budget) -> Budget:
    """The budget that a window follows: a shadow follows what Enforce would do."""
    return replace(budget, enforcement=ENFORCE) if is_shadow(window_id) else budget


def _entry(document: Any) -> BudgetEntry:
    budget = parse_budget(document)
    return BudgetEntry(budget, document, json.dumps(document, sort_keys=True, separators=(",", ":")))


def _shown(value: object) -> object:
    """A value as an error's JSON carries it."""
    return value if value is None or isinstance(value, (str, int, float, bool)) else repr(value)[:200]
