"""The explanation: which budgets are for it and why others are not, how their windows stand, what decided, what would help."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from wfb_core import reasons
from wfb_core.budget import REPORT, Budget
from wfb_core.remedies import ways_out
from wfb_core.selectors import mismatch
from wfb_core.stages import EXHAUSTED, OPEN, STAGES
from wfb_core.windows import real_id
from wfb_operator.explain.subject import Subject

type Row = Mapping[str, Any]

RECENT = 10
"""Decisions that are listed for a pod or workflow."""


def explain_decision(record: Row, budgets: Sequence[Budget], lines: Sequence[Row]) -> dict[str, Any]:
    """One decision: as it was when it was made, and how its budgets stand now."""
    details = _details(record)
    labels = details.get("labels") or {"aifinops.dev/workflow": record["workflow"]}
    namespace = record["namespace"] if any(b.namespace for b in budgets if b.key in details.get("budgets", ())) else ""
    subject = Subject("decision", record["id"], record["namespace"], labels)
    known = details.get("budgets")
    found = []
    for budget in budgets:
        why = "" if known is not None and budget.key in known else _why_not(budget, subject, namespace, known)
        found.append(_budget(budget, why, lines, details.get("windows", ())))
    decided = next((w for w in details.get("windows", ()) if _is_decisive(w, record)), None)
    return {
        "subject": {"kind": "decision", "name": record["id"], "namespace": record["namespace"], "labels": dict(labels)},
        "decision": {**{k: v for k, v in record.items() if k != "details"}, **details},
        "sentence": reasons.SENTENCES.get(record["reason"], record["message"]),
        "decided": None if not record["budget"] else {"budget": record["budget"], "window": record["window"]},
        "budgets": found,
        "waysOut": ways_out(record["reason"], _figures(record, details, decided)),
    }


def explain_now(
    subject: Subject, budgets: Sequence[Budget], lines: Sequence[Row], decisions: Sequence[Row]
) -> dict[str, Any]:
    """A pod or a workflow: what a call of it made now would meet, and what became of its last ones."""
    found = []
    for budget in budgets:
        why = mismatch(budget, subject.labels, subject.namespace, subject.namespace_labels)
        found.append(_budget(budget, why, lines, ()))
    matched = [line for one in found if one["matches"] and one["enforcement"] != REPORT for line in one["windows"]]
    suspended = next((one["budget"] for one in found if one["matches"] and one["suspended"]), None)
    tightest = max(matched, key=_strictness, default=None)
    return {
        "subject": {
            "kind": subject.kind,
            "name": subject.name,
            "namespace": subject.namespace,
            "labels": dict(subject.labels),
        },
        "sentence": _now(found, tightest, suspended),
        "decided": None if tightest is None else {"budget": tightest["budget"], "window": tightest["kind"]},
        "budgets": found,
        "waysOut": _ways_now(tightest, suspended),
        "decisions": list(decisions[:RECENT]),
    }


def _details(record: Row) -> dict[str, Any]:
    try:
        found = json.loads(record.get("details") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _why_not(budget: Budget, subject: Subject, namespace: str, known: Sequence[str] | None) -> str:
    why = mismatch(budget, subject.labels, namespace, {})
    if known is None or why:
        return why
    return "it did not apply when the decision was made: it, or the labels of pod or namespace, came later"


def _budget(budget: Budget, why_not: str, lines: Sequence[Row], then: Sequence[Row]) -> dict[str, Any]:
    windows = []
    if not why_not:
        windows = [_window(line, budget) for line in lines if line["budget"] == budget.key]
        at = {real_id(w["window"]): w for w in then if w["budget"] == budget.key}
        for window in windows:
            if (was := at.pop(window["window"], None)) is not None:
                window["then"] = {k: was[k] for k in ("spent", "reserved", "stage", "limit")}
        for window_id, was in at.items():  # it has ended since
            windows.append(
                {
                    "budget": budget.key,
                    "window": window_id,
                    "kind": was["kind"],
                    "ended": True,
                    "then": {k: was[k] for k in ("spent", "reserved", "stage", "limit")},
                }
            )
    return {
        "budget": budget.key,
        "matches": not why_not,
        "whyNot": why_not,
        "enforcement": budget.enforcement,
        "suspended": budget.suspend,
        "windows": windows,
    }


_WHERE_KNOWN = {
    "would_spend_usd": "wouldSpend",
    "pacing": "pacedBy",
    "paced_usd_per_hour": "pacedUSDPerHour",
    "queued": "queued",
}
"""Of a summary's line what is told only where there is something to tell, by the explanation's names."""


def _window(line: Row, budget: Budget) -> dict[str, Any]:
    """A line of the summary, with what is left and the rung that comes next."""
    limit, spent = Decimal(line["limit_usd"]), Decimal(line["spent_usd"])
    rungs = next((budget.ladder_of(one) for one in budget.limits if one.window == line["kind"]), ())
    following = next((r for r in rungs if r.at_percent > line["percent_used"]), None)
    return {
        "budget": budget.key,
        "window": line["window"],
        "kind": line["kind"],
        "limit": line["limit_usd"],
        "spent": line["spent_usd"],
        "left": _plain(max(Decimal(0), limit - spent)),
        "reserved": line["reserved_usd"],
        "percentUsed": line["percent_used"],
        "stage": line["stage"],
        "next": f"{following.action} at {following.at_percent} %" if following else f"{EXHAUSTED} at 100 %",
        "end": line.get("end"),
    } | {shown: line[name] for name, shown in _WHERE_KNOWN.items() if line.get(name)}


def _is_decisive(window: Row, record: Row) -> bool:
    return bool(window["budget"] == record["budget"] and window["kind"] == record["window"])


def _figures(record: Row, details: Row, decided: Row | None) -> dict[str, Any]:
    least = (details.get("bound") or {}).get("least")
    spent = record["spent_usd"] if record["window"] else None
    limit = record["limit_usd"] if record["window"] else None
    return {
        "budget": record["budget"],
        "window": record["window"],
        "model": record["model"],
        "need": least,
        "left": None if spent is None or limit is None else _plain(max(Decimal(0), Decimal(limit) - Decimal(spent))),
        "enough": None if least is None or spent is None else _plain(Decimal(spent) + Decimal(least)),
        "resets": _moment(decided["end"]) if decided and decided.get("end") else None,
        "suggested": details.get("suggestedModel"),
        "retry": details.get("retryAfter"),
    }


def _strictness(window: Row) -> tuple[int, int]:
    return STAGES.index(window["stage"]), window["percentUsed"]


def _now(found: Sequence[Row], tightest: Row | None, suspended: str | None) -> str:
    if not any(one["matches"] for one in found):
        return "No budget is for it: its calls are not limited."
    if suspended:
        return f"Every call is refused: budget {suspended} is suspended."
    if tightest is None:
        return (
            "Only budgets that report are for it: every call is let through, and what Enforce would do is written down."
        )
    name = f"budget {tightest['budget']} ({tightest['kind']} limit ${tightest['limit']})"
    if tightest["stage"] == EXHAUSTED:
        return f"The tightest is {name}: nothing is left of it, and onExhausted decides."
    if tightest["stage"] == OPEN:
        return f"Calls go: the tightest is {name}, ${tightest['left']} are left, and {tightest['next']} comes next."
    return f"The tightest is {name}: stage {tightest['stage']}, ${tightest['left']} are left, {tightest['next']} comes next."


def _ways_now(tightest: Row | None, suspended: str | None) -> list[str]:
    if suspended:
        return ways_out(reasons.SUSPENDED, {"budget": suspended})
    if tightest is None or tightest["stage"] == OPEN:
        return []
    figures = {
        "budget": tightest["budget"],
        "window": tightest["kind"],
        "resets": _moment(tightest["end"]) if tightest.get("end") else None,
    }
    if tightest["stage"] == EXHAUSTED:
        raised = f"raise spec.limits ({tightest['kind']}) of budget {tightest['budget']} above ${tightest['spent']}"
        return [raised, *ways_out(reasons.BUDGET_EXHAUSTED, {"resets": figures["resets"]})]
    return ways_out(reasons.PACED, figures) if tightest["stage"] == "Slow" else []


def _moment(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _plain(amount: Decimal) -> str:
    whole, _, places = f"{amount:f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"
