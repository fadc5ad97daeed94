"""Conditions of a budget: their types, the reasons that each may have, and when they last turned."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

TRUE, FALSE, UNKNOWN = "True", "False", "Unknown"

READY, ENFORCED, WITHIN, PRICES, COVERED, NORMAL = (
    "Ready",
    "Enforced",
    "WithinBudget",
    "PricesKnown",
    "PodsCovered",
    "SpendNormal",
)
TYPES = (READY, ENFORCED, WITHIN, PRICES, COVERED, NORMAL)
"""All conditions, in the order in which people read them; every one is written from the first visit on."""

REASONS = {
    "InForce": "The ledger holds calls to this budget.",
    "StepsUseless": "The ledger holds calls to this budget; no call can follow some steps of its ladder.",
    "InvalidSpec": "The budget has a mistake; what was in force before it stays in force.",
    "LedgerAway": "The ledger does not answer; sidecars go on from money that was granted.",
    "LedgerRefused": "The ledger did not take the budget.",
    "Enforced": "Calls beyond the budget are refused.",
    "ReportOnly": "Calls are decided and recorded as if enforced, and all are let through.",
    "Suspended": "Every call is refused while spec.suspend is true.",
    "AllowedBeyond": "Calls go on beyond the limit, as spec.onExhausted says.",
    "RoomLeft": "Every window has money left.",
    "Exhausted": "A window's money is spent.",
    "CallsDoNotFit": "Money is left, and calls that need more than that are refused.",
    "AllPriced": "Every call of the last day had a known price.",
    "UnpricedModels": "Calls went to models whose price is not known.",
    "AllCovered": "Every pod in this budget has the sidecar of this version.",
    "Uncovered": "Pods in this budget run without the sidecar: their calls are not counted.",
    "Outdated": "Pods in this budget run an older sidecar.",
    "MayNotSee": "The controller may not look at the pods.",
    "NoPods": "No pod is within this budget.",
    "AsUsual": "Spending is as it usually is at this hour.",
    "Unusual": "A workflow spends far more than it usually does at this hour.",
    "NotSeen": "Not enough was seen to say.",
}
"""What each reason means; a condition's message adds the figures and the way out."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as the controller sees it now."""

    type: str
    status: str
    reason: str
    message: str = ""

    def __post_init__(self) -> None:
        assert self.reason in REASONS, self.reason


def as_written(
    found: Iterable[Condition], before: Iterable[Mapping[str, Any]], generation: int, now: str
) -> list[dict[str, Any]]:
    """Conditions as metav1.Condition; ``lastTransitionTime`` is kept where the status did not turn.

    ``before`` are those of the object's status, ``now`` is RFC 3339.
    """
    known = {condition.get("type"): condition for condition in before}
    written = []
    for condition in sorted(found, key=lambda c: TYPES.index(c.type)):
        last = known.get(condition.type, {})
        same = last.get("status") == condition.status and last.get("lastTransitionTime")
        written.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": condition.message or REASONS[condition.reason],
                "observedGeneration": generation,
                "lastTransitionTime": last["lastTransitionTime"] if same else now,
            }
        )
    return written
