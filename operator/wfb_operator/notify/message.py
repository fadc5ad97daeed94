"""What is said: a CloudEvent, the same bytes at every attempt, under an id that stands for the rung and the window."""

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from wfb_core.budget import Budget, Limit, Notify
from wfb_core.runs import run_in_words, run_of_label
from wfb_core.stages import EXHAUSTED
from wfb_core.windows import parse_window_id, window_of_id

TYPE = "dev.aifinops.budget.stage.reached"
CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Message:
    """One notice, ready to be signed and sent."""

    id: str
    """Receivers know a repeated message by it."""
    body: bytes


def message_of(notice: Mapping[str, Any], budget: Budget, limit: Limit) -> Message:
    """The CloudEvent of a notice as the ledger tells it (CloudEvents 1.0.2, JSON format, structured mode)."""
    identity = f"{budget.key}|{notice['window']}|{notice['at_percent']}"
    id_ = f"wfb-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
    _, kind, label = parse_window_id(notice["window"])
    spent, allowed = notice["spent_usd"], notice["limit_usd"]
    what = f"run {run_in_words(label)}" if kind == "Run" else kind
    then = "stage Exhausted" if notice["stage"] == EXHAUSTED else f"stage {notice['stage']} ({notice['at_percent']} %)"
    data = {
        "budget": budget.key,
        "namespace": budget.namespace,
        "name": budget.name,
        "window": {"kind": kind, **_times(notice["window"], budget), **(_run(label) if kind == "Run" else {})},
        "stage": notice["stage"],
        "atPercent": notice["at_percent"],
        "spentUSD": spent,
        "limitUSD": allowed,
        "enforcement": budget.enforcement,
        "onExhausted": budget.on_exhausted,
        "message": f"Budget {budget.key}: {spent} of {allowed} USD of its limit for {what} are spent, {then} begins.",
    }
    event = {
        "specversion": "1.0",
        "id": id_,
        "source": _source(budget),
        "type": TYPE,
        "subject": limit.window,
        "time": _moment(notice["at"]),
        "datacontenttype": "application/json",
        "data": data,
    }
    return Message(id_, json.dumps(event, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode())


def targets_of(notice: Mapping[str, Any], budget: Budget, limit: Limit) -> tuple[Notify, ...]:
    """Whom a notice is for, as the budget stands now: those of its rung; at the limit itself, those of any rung."""
    rungs = budget.ladder_of(limit)
    reached = notice["at_percent"]
    return tuple(dict.fromkeys(t for r in rungs if reached in (r.at_percent, 100) for t in r.notify))


def target_name(target: Notify) -> str:
    """What a target is called where it is written down who took a notice; no address, which may be a secret."""
    return hashlib.sha256(f"{target.url}|{target.secret}|{target.url_key}".encode()).hexdigest()[:16]


def _run(label: str) -> dict[str, str]:
    name, pod = run_of_label(label)
    return {"run": name, "pod": pod} if pod else {"run": name}


def _source(budget: Budget) -> str:
    if budget.namespace:
        return f"/apis/aifinops.dev/v1alpha1/namespaces/{budget.namespace}/workflowbudgets/{budget.name}"
    return f"/apis/aifinops.dev/v1alpha1/clusterworkflowbudgets/{budget.name}"


def _times(window: str, budget: Budget) -> dict[str, str]:
    try:
        at = window_of_id(window, budget.time_zone)
    except ValueError:  # from before an edit of the zone
        return {}
    return {} if at.end == inf else {"start": _moment(at.start), "end": _moment(at.end)}


def _moment(unix: float) -> str:
    return datetime.datetime.fromtimestamp(unix, datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
