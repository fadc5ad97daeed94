"""Events of a budget: one for each stage that a window reaches, with a name that says which, so that none comes twice."""

import hashlib
from collections.abc import Mapping
from typing import Any

from wfb_core.runs import run_in_words
from wfb_core.stages import EXHAUSTED, OPEN
from wfb_core.windows import parse_window_id
from wfb_operator.controller.amounts import rfc3339

COMPONENT = "wfb-controller"
RECENT_SECONDS = 1800.0
"""Stage changes older than this are told no more: the API server forgets Events after an hour, and its memory of their names."""


def stage_event(change: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The Event for a stage change of the ledger; its name is the same whenever the same change is told."""
    metadata = document["metadata"]
    _, window, label = parse_window_id(change["window"])
    what = f"Run {run_in_words(label)}" if window == "Run" else window
    percent = change.get("at_percent", 0)
    rung = f" ({percent} %)" if percent else ""
    stage, spent, limit = change["to_stage"], _dollars(change["spent_usd"]), _dollars(change["limit_usd"])
    told = {
        EXHAUSTED: f"{what}: {spent} of {limit} USD are spent, calls are refused or let through as onExhausted says.",
        OPEN: f"{what}: {spent} of {limit} USD, below every rung again.",
    }
    message = told.get(stage, f"{what}: {spent} of {limit} USD are spent, stage {stage}{rung} begins.")
    kind, reason = ("Normal", "BelowEveryRung") if stage == OPEN else ("Warning", f"Stage{stage}")
    identity = f"{metadata['uid']}|{change['window']}|{change['from_stage']}|{stage}|{percent}|{change['at']}"
    return _event(document, kind, reason, message, identity, change["at"])


def loop_event(sighting: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The Event for a run that a guard against loops saw reach a stage: one for a run, a budget and a stage."""
    unit = f"{sighting['namespace']}/{sighting['workflow']}|{sighting['unit']}"
    identity = f"{document['metadata']['uid']}|loop|{unit}|{sighting['stage']}"
    kind = "Normal" if sighting["stage"] == "Recovered" else "Warning"
    _, _, name = sighting["unit"].partition("/")
    whose = f"run {name}" if sighting["unit"].startswith("run/") else f"pod {name.partition('/')[2].strip('/')}"
    message = f"{sighting['workflow'] or 'no workflow'}, {whose}: {sighting['message']}"
    return _event(document, kind, sighting["reason"], message, identity, sighting["at"])


def spend_event(spike: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The Event for a workflow that spends far more than it usually does: one for a spike and a budget."""
    workflow = f"{spike['namespace']}/{spike['workflow']}"
    identity = f"{document['metadata']['uid']}|spend|{workflow}|{spike['at']}"
    message = f"{spike['workflow'] or 'no workflow'}: {spike['message']}"
    return _event(document, "Warning", "SpendUnusual", message, identity, spike["at"])


def downgrade_event(decision: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """The Event for a model that refused what a rung asked of it: one for a pod's process and a pair of models."""
    identity = (
        f"{document['metadata']['uid']}|downgrade|{decision['holder']}|{decision['provider']}|{decision['message']}"
    )
    pod = decision["holder"].partition("/")[0]
    message = f"{decision['workflow'] or 'no workflow'}, pod {pod}: {decision['message']}"
    return _event(document, "Warning", decision["reason"], message, identity, decision["at"])


def trouble_event(document: Mapping[str, Any], reason: str, message: str, identity: str, at: float) -> dict[str, Any]:
    """The Event for something that its owner should mend; one for each identity, however often it is told."""
    return _event(document, "Warning", reason, message, f"{document['metadata']['uid']}|{identity}", at)


def _event(
    document: Mapping[str, Any], kind: str, reason: str, message: str, identity: str, at: float
) -> dict[str, Any]:
    metadata, moment = document["metadata"], rfc3339(at)
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
        "type": kind,
        "reason": reason,
        "message": message[:1024],
        "source": {"component": COMPONENT},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def _dollars(usd: str) -> str:
    whole, _, decimals = usd.partition(".")
    return f"{whole}.{decimals.ljust(2, '0')[:2]}"
