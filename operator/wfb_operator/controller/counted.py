"""What the ledger's summary and usage say of each budget."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from wfb_core.budget import Budget
from wfb_core.money import format_usd, parse_usd
from wfb_core.selectors import LABEL_PREFIX
from wfb_operator.controller.status import Counted

USAGE_BY = ("namespace", "team", "feature", "workflow", "model", "outcome")
"""The dimensions that a budget's share of the usage is found by."""

OURS = {LABEL_PREFIX + name: name for name in ("team", "feature", "workflow")}
"""The dimensions of a row that are labels of pods, by label."""


def counted(
    budgets: Mapping[str, Budget],
    lines: Iterable[Mapping[str, Any]],
    refused: Iterable[Mapping[str, Any]],
    usage: Sequence[Mapping[str, Any]],
    judged: Sequence[Mapping[str, Any]],
    namespace_labels: Callable[[str], Mapping[str, str]],
) -> dict[str, Counted]:
    """Each budget's windows, costliest models and features, unpriced models and last refusal.

    ``lines`` and ``refused`` are the summary's, ``usage`` rows by USAGE_BY, ``judged``
    workflows as their spend was judged. A budget that selects by labels of other people's gets no
    share of the usage: rows carry ours alone.
    """
    by_budget: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for line in lines:
        by_budget[line["budget"]].append(line)
    last = {row["budget"]: row for row in refused}
    found = {}
    for key, budget in budgets.items():
        mine = [row for row in usage if _of(budget, row, namespace_labels(row["namespace"]))]
        unpriced = sorted({row["model"] for row in mine if row["outcome"] == "unpriced"})
        workflows = {(row["namespace"], row["workflow"]) for row in mine}
        found[key] = Counted(
            by_budget[key],
            _top(mine, "model"),
            _top(mine, "feature"),
            tuple(unpriced),
            last.get(key),
            [row for row in judged if (row["namespace"], row["workflow"]) in workflows],
        )
    return found


def spikes(figures: Mapping[str, Counted]) -> list[dict[str, Any]]:
    """What is out of the usual, as Events are made of it: once for each budget that the workflow is within."""
    return [
        {**row, "budget": key, "at": row["since"]}
        for key, mine in figures.items()
        for row in mine.judged
        if row["state"] == "Spike"
    ]


def _of(budget: Budget, row: Mapping[str, Any], namespace_labels: Mapping[str, str]) -> bool:
    if budget.namespace not in ("", row["namespace"]):
        return False
    asked = {*budget.match_labels, *(rule.key for rule in budget.match_rules)}
    if not asked <= OURS.keys():
        return False
    return budget.matches({label: row[name] for label, name in OURS.items() if row[name]}, namespace_labels)


def _top(rows: Iterable[Mapping[str, Any]], dimension: str) -> list[dict[str, Any]]:
    sums: dict[str, list[Any]] = {}
    for row in rows:
        if name := row[dimension]:
            total = sums.setdefault(name, [0, 0])
            total[0] += parse_usd(row["usd"])
            total[1] += row["calls"]
    ordered = sorted(sums.items(), key=lambda item: (-item[1][0], item[0]))
    return [{"name": name, "usd": format_usd(nanos), "calls": calls} for name, (nanos, calls) in ordered]
