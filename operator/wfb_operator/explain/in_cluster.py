"""What is asked about in a cluster, and the budgets that may be for it: read with the user's own rights."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from wfb_core.budget import Budget
from wfb_core.document import BudgetErrors, parse_budget
from wfb_core.selectors import LABEL_PREFIX, SHORT_LABELS
from wfb_core.windows import window_at
from wfb_operator.doctor.look import Look
from wfb_operator.explain.subject import POD, Subject, SubjectError


def subject_in(look: Look, kind: str, name: str, namespace: str, labels: Mapping[str, str]) -> Subject:
    """A pod with its own and its namespace's labels, or a workflow of a namespace; raises SubjectError, LookError."""
    seen = look.seen(namespace)
    if "namespaces" in seen.unread and not seen.namespaces:
        of_namespace: Mapping[str, str] = {}
    else:
        of_namespace = seen.namespace_labels.get(namespace, {})
    inherited = {k: v for n in SHORT_LABELS if (v := of_namespace.get(k := LABEL_PREFIX + n))}
    if kind != POD:
        return Subject(kind, name, namespace, {**inherited, LABEL_PREFIX + "workflow": name, **labels}, of_namespace)
    pod = next((p for p in seen.pods if p["metadata"]["name"] == name), None)
    if pod is None:
        why = seen.unread.get("pods")
        raise SubjectError(
            f"pods of {namespace} cannot be read: {why}" if why else f"there is no pod {name} in {namespace}"
        )
    own = pod["metadata"].get("labels") or {}
    return Subject(kind, name, namespace, {**inherited, **own, **labels}, of_namespace, pod["metadata"].get("uid", ""))


def budgets_in(
    look: Look, namespace: str, told: Sequence[Mapping[str, Any]] = ()
) -> tuple[list[Budget], list[dict[str, Any]]]:
    """The budgets of a namespace and of the cluster, as far as they may be read, and their windows as summary lines.

    ``told`` are the lines of the ledger's own summary: what it has is of this moment, the rest is from the budgets' status.
    """
    found, lines = [], [dict(line) for line in told]
    fresh = {line["budget"] for line in told}
    for document in look.budgets(namespace):
        try:
            budget = parse_budget(document)
        except BudgetErrors:
            continue  # its condition Ready says so
        found.append(budget)
        if budget.key not in fresh:
            lines += [_line(budget, window) for window in (document.get("status") or {}).get("windows") or ()]
    return found, lines


def _line(budget: Budget, window: Mapping[str, Any]) -> dict[str, Any]:
    starts = _unix(window.get("start"))
    return {
        "budget": budget.key,
        "window": f"{budget.key}|{window['window']}|"
        if starts is None
        else window_at(budget.key, window["window"], budget.time_zone, starts).id,
        "kind": window["window"],
        "limit_usd": window["limitUSD"],
        "spent_usd": window["spentUSD"],
        "reserved_usd": window.get("reservedUSD", "0.00"),
        "percent_used": window["percentUsed"],
        "stage": window["stage"],
        "end": _unix(window.get("end")),
        "pacing": window.get("pacedBy", ""),
        "paced_usd_per_hour": window.get("pacedUSDPerHour"),
        "queued": window.get("queued", 0),
    }


def _unix(moment: str | None) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()
