"""Events of a budget: one for each stage that a window reaches, with a name that says which, so that none comes twice."""

import hashlib
from collections.abc import Mapping
from typing import Any

from wfb_core.stages import EXHAUSTED, OPEN
from wfb_core.windows import parse_window_id
from wfb_operator.controller.status import rfc3339

COMPONENT = "wfb-controller"
RECENT_SECONDS = 1800.0
"""Stage changes older than this are told no more: the API server forgets Events after an hour, and its memory of their names."""


def stage_event(change: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The Event for a stage change of the ledger; its name is the same whenever the same change is told."""
    metadata = document["metadata"]
    _, kind, label = parse_window_id(change["window"])
    what = f"Run {label}" if kind == "Run" else kind
    stage, spent, limit = change["to_stage"], _dollars(change["spent_usd"]), _dollars(change["limit_usd"])
    told = {
        EXHAUSTED: f"{what}: {spent} of {limit} USD are spent, calls are refused or let through as onExhausted says.",
        OPEN: f"{what}: {spent} of {limit} USD, below every rung again.",
    }
    message = told.get(stage, f"{what}: {spent} of {limit} USD are spent, stage {stage} begins.")
    moment = rfc3339(change["at"])
    identity = f"{metadata['uid']}|{change['window']}|{change['from_stage']}|{stage}|{change['at']}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:200]}.{hashlib.sha256(identity.encode()).hexdigest()[:16]}",
            "namespace": metadata.get("namespace") or "default",
        },
        "involvedObject": {
            "apiVersion": document["apiVersion"],
            "kind": document["kind"],
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata["uid"],
        },
        "type": "Normal" if stage == OPEN else "Warning",
        "reason": "BelowEveryRung" if stage == OPEN else f"Stage{stage}",
        "message": message,
        "source": {"component": COMPONENT},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def _dollars(usd: str) -> str:
    whole, _, decimals = usd.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')[:2]}"
