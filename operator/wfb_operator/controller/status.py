"""A budget's status: what the ledger counted, what the cluster shows, and what both mean, as the API has it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wfb_core.budget import ALLOW, REPORT, RUN, Budget
from wfb_core.downgrade_checks import WAY_OUT
from wfb_core.stages import EXHAUSTED, OPEN, STAGES
from wfb_core.windows import parse_window_id
from wfb_operator.controller.amounts import cents, rfc3339
from wfb_operator.controller.conditions import (
    COVERED,
    ENFORCED,
    FALSE,
    NORMAL,
    PRICES,
    READY,
    TRUE,
    UNKNOWN,
    WITHIN,
    Condition,
    as_written,
)
from wfb_operator.controller.coverage import Coverage
from wfb_operator.controller.refusals import last_refusal, without_room

RUNS_SHOWN = 5
TOP_SHOWN = 5
MODELS_NAMED = 5
STEPS_NAMED = 3

KEPT = (
    "stage",
    "tightestWindow",
    "spentUSD",
    "limitUSD",
    "reservedUSD",
    "percentUsed",
    "resetsAt",
    "windows",
    "runs",
    "topModels",
    "topFeatures",
    "lastRefusal",
)
"""What the ledger says: it stays as it was while the ledger does not answer."""

VOLATILE = ("usdPerHour", "exhaustedAt", "pacedUSDPerHour")
"""Fields of a window that move with the clock alone: they are written along, and are no reason to write."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What the ledger says of one budget."""

    lines: Sequence[Mapping[str, Any]] = ()
    """Of its summary: one for each window."""
    models: Sequence[Mapping[str, Any]] = ()
    features: Sequence[Mapping[str, Any]] = ()
    """The costliest of the last day: name, usd, calls."""
    unpriced: tuple[str, ...] = ()
    """Models of the last day whose price is not known."""
    refused: Mapping[str, Any] | None = None
    """Of its summary: the last call that the budget refused."""
    judged: Sequence[Mapping[str, Any]] = ()
    """Its workflows as the ledger's last look judged their spend, spikes first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a budget's document stands with the ledger."""

    budget: Budget | None
    """What is in force of it; None where nothing is."""
    mistake: Condition | None = None
    """Why the document as it stands is not in force."""
    only_reported: bool = False
    """Whether the installation lets everything through, whatever the document says."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that one status is made of."""

    document: Mapping[str, Any]
    standing: Standing
    coverage: Coverage = field(default_factory=Coverage)
    counted: Counted | None = None
    """None where the ledger does not answer."""
    blind: str = ""
    """Why the controller sees no pods; empty where it does."""
    useless: tuple[str, ...] = ()
    """Steps of its ladder that no call can follow, a sentence each."""


def status_of(seen: Seen, now: float) -> dict[str, Any]:
    """The status of a budget at a time, Unix seconds; what cannot be known now is kept from the one before."""
    before = seen.document.get("status") or {}
    generation = int(seen.document["metadata"].get("generation", 0))
    status: dict[str, Any] = {"observedGeneration": generation, "pods": seen.coverage.figures()}
    if seen.counted is None:
        status |= {name: before[name] for name in KEPT if name in before}
    else:
        status |= _money(seen.counted, now)
    conditions = [
        _ready(seen),
        _enforced(seen),
        _within(seen, now),
        _prices(seen),
        _covered(seen),
        _normal(seen),
    ]
    status["conditions"] = as_written(conditions, before.get("conditions") or (), generation, rfc3339(now))
    return status


def meaningful(status: Mapping[str, Any]) -> dict[str, Any]:
    """A status without what moves by itself: two that agree in this need no write."""
    windows = [{k: v for k, v in w.items() if k not in VOLATILE} for w in status.get("windows", ())]
    conditions = [{k: v for k, v in c.items() if k != "lastTransitionTime"} for c in status.get("conditions", ())]
    found = {**status, "windows": windows, "conditions": conditions}
    if refused := status.get("lastRefusal"):
        # Of a storm of refusals one a minute is written.
        found["lastRefusal"] = {k: v for k, v in refused.items() if k != "decision"} | {"at": refused["at"][:16]}
    return found


# ---------------------------------------------------------------- money
def _money(counted: Counted, now: float) -> dict[str, Any]:
    windows = [line for line in counted.lines if line["kind"] != RUN]
    runs = [line for line in counted.lines if line["kind"] == RUN]
    found: dict[str, Any] = {"windows": [_window(line, now) for line in windows]}
    if runs:
        worst = sorted(runs, key=lambda line: -float(line["spent_usd"]))[:RUNS_SHOWN]
        found["runs"] = {"active": len(runs), "worst": [_run(line) for line in worst]}
    if tightest := max(windows or runs, key=_tightness, default=None):
        found["stage"] = tightest["stage"]
        found["tightestWindow"] = tightest["kind"]
        found["spentUSD"], found["limitUSD"] = cents(tightest["spent_usd"]), cents(tightest["limit_usd"])
        found["reservedUSD"] = cents(tightest["reserved_usd"])
        found["percentUsed"] = tightest["percent_used"]
        if tightest["end"] is not None:
            found["resetsAt"] = rfc3339(tightest["end"])
    if counted.refused is not None:
        found["lastRefusal"] = last_refusal(counted.refused)
    for name, rows in (("topModels", counted.models), ("topFeatures", counted.features)):
        if rows:
            found[name] = [
                {"name": row["name"], "usd": cents(row["usd"]), "calls": row["calls"]} for row in rows[:TOP_SHOWN]
            ]
    return found


def _tightness(line: Mapping[str, Any]) -> tuple[int, int]:
    return STAGES.index(line["stage"]), line["percent_used"]


def _window(line: Mapping[str, Any], now: float) -> dict[str, Any]:
    shown: dict[str, Any] = {"window": line["kind"]}
    if line["start"] is not None:
        shown |= {"start": rfc3339(line["start"]), "end": rfc3339(line["end"])}
    amounts = ("limit", "spent", "reserved", "estimated", "lost", "overspent", "agreed")
    shown |= {f"{name}USD": cents(line.get(f"{name}_usd", "0")) for name in amounts}
    shown |= {"percentUsed": line["percent_used"], "stage": line["stage"], "queued": line.get("queued", 0)}
    if line.get("pacing"):
        shown |= {"pacedBy": line["pacing"], "pacedUSDPerHour": f"{float(line['paced_usd_per_hour']):.2f}"}
    if line["start"] is not None and now > line["start"]:
        spent, rest = float(line["spent_usd"]), float(line["limit_usd"]) - float(line["spent_usd"])
        rate = spent / max(now - line["start"], 60.0)
        shown["usdPerHour"] = f"{rate * 3600:.2f}"
        if rate > 0 and now + max(rest, 0.0) / rate < line["end"]:
            shown["exhaustedAt"] = rfc3339(now + max(rest, 0.0) / rate)
    return shown


def _run(line: Mapping[str, Any]) -> dict[str, Any]:
    return {"run": parse_window_id(line["window"])[2], "spentUSD": cents(line["spent_usd"]), "stage": line["stage"]}


# ---------------------------------------------------------------- conditions
def _ready(seen: Seen) -> Condition:
    if seen.standing.mistake is not None:
        return seen.standing.mistake
    if seen.counted is None:
        return Condition(READY, UNKNOWN, "LedgerAway")
    shared = seen.coverage.shared
    also = f" Its pods are also within {', '.join(shared[:3])}: a call needs room in every one." if shared else ""
    if seen.useless:
        return Condition(
            READY, TRUE, "StepsUseless", f"The ledger holds calls to this budget.{also} {_useless(seen.useless)}"
        )
    return Condition(READY, TRUE, "InForce", f"The ledger holds calls to this budget.{also}")


def _useless(steps: Sequence[str]) -> str:
    more = f"; and {len(steps) - STEPS_NAMED} more" if len(steps) > STEPS_NAMED else ""
    return f"No call can follow these steps of its ladder: {'; '.join(steps[:STEPS_NAMED])}{more}. {WAY_OUT}"


def _enforced(seen: Seen) -> Condition:
    budget = seen.standing.budget
    if budget is None:
        return Condition(ENFORCED, UNKNOWN, "NotSeen", "Nothing is in force; see the condition Ready.")
    if seen.standing.only_reported:
        return Condition(
            ENFORCED,
            FALSE,
            "ReportOnly",
            "The whole installation only reports (the chart's value enforcement: Report): calls are decided and recorded"
            " as this budget says, and all are let through.",
        )
    if budget.suspend:
        return Condition(ENFORCED, TRUE, "Suspended")
    if budget.enforcement == REPORT:
        return Condition(ENFORCED, FALSE, "ReportOnly")
    if budget.on_exhausted == ALLOW:
        return Condition(ENFORCED, FALSE, "AllowedBeyond")
    return Condition(ENFORCED, TRUE, "Enforced")


def _within(seen: Seen, now: float) -> Condition:
    if seen.counted is None:
        return Condition(WITHIN, UNKNOWN, "LedgerAway")
    spent = [line for line in seen.counted.lines if line["stage"] == EXHAUSTED]
    if not spent and (refused := without_room(seen.counted.refused, seen.counted.lines, now)):
        return Condition(WITHIN, FALSE, "CallsDoNotFit", refused)
    if not spent:
        stage = max((line["stage"] for line in seen.counted.lines), key=STAGES.index, default=OPEN)
        return Condition(WITHIN, TRUE, "RoomLeft", f"Every window has money left; the tightest is in stage {stage}.")
    windows = [line for line in spent if line["kind"] != RUN]
    parts = [_spent(line) for line in windows]
    if runs := len(spent) - len(windows):
        parts.append(f"{runs} {'run has' if runs == 1 else 'runs have'} spent what one run may")
    return Condition(WITHIN, FALSE, "Exhausted", f"{'; '.join(parts)}.")


def _spent(line: Mapping[str, Any]) -> str:
    until = f", new money at {rfc3339(line['end'])}" if line["end"] is not None else ", until the limit is raised"
    return f"{line['kind']}: {cents(line['spent_usd'])} of {cents(line['limit_usd'])} USD are spent{until}"


def _normal(seen: Seen) -> Condition:
    if seen.counted is None:
        return Condition(NORMAL, UNKNOWN, "LedgerAway")
    known = [row for row in seen.counted.judged if row["state"] != "Unknown"]
    if not known:
        return Condition(NORMAL, UNKNOWN, "NotSeen", "Three days of spending have to be seen to say what is usual.")
    spikes = [row for row in known if row["state"] == "Spike"]
    if not spikes:
        return Condition(NORMAL, TRUE, "AsUsual")
    told = "; ".join(f"{row['workflow']} since {rfc3339(row['since'])}: {row['message']}" for row in spikes[:3])
    return Condition(NORMAL, FALSE, "Unusual", f"{told}.")


def _covered(seen: Seen) -> Condition:
    if seen.standing.budget is None:
        return Condition(COVERED, UNKNOWN, "NotSeen", "Nothing is in force; see the condition Ready.")
    if seen.blind:
        return Condition(COVERED, UNKNOWN, "MayNotSee", f"Whether pods are covered cannot be seen: {seen.blind}.")
    return seen.coverage.condition()


def _prices(seen: Seen) -> Condition:
    if seen.counted is None:
        return Condition(PRICES, UNKNOWN, "LedgerAway")
    unpriced = seen.counted.unpriced
    if not unpriced:
        return Condition(PRICES, TRUE, "AllPriced")
    return Condition(
        PRICES,
        FALSE,
        "UnpricedModels",
        f"The price of {named(unpriced)} is not known: say in spec.unpricedModels what to do with such calls.",
    )


def named(names: Iterable[str]) -> str:
    """Some names in words, the first few of them."""
    found = list(names)
    more = len(found) - MODELS_NAMED
    return ", ".join(found[:MODELS_NAMED]) + (f" and {more} more" if more > 0 else "")
