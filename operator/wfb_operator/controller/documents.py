"""From the API's objects to the documents that the ledger reads: a budget with a mistake keeps its last good form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from wfb_core.budget import IGNORE, REPORT, Budget
from wfb_core.document import BudgetErrors, parse_budget
from wfb_operator.controller.conditions import FALSE, READY, Condition
from wfb_operator.controller.status import Standing

READ_MOST = 16_384
"""Texts of budgets whose reading is remembered: a round meets the same thousand as the last one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be in force, and how each budget of the cluster stands; by key."""

    documents: Mapping[str, Mapping[str, Any]]
    standings: Mapping[str, Standing]


def plan(
    budgets: Mapping[str, Mapping[str, Any]], in_force: Mapping[str, Mapping[str, Any]], *, only_report: bool = False
) -> Plan:
    """The documents for the ledger: of each budget the one that can be read, else what is in force of it already.

    A budget that cannot be read says so in its own condition and takes no other with it. ``only_report`` is the
    installation's setting: whatever a budget says, it is put in force as one that refuses nothing.
    """
    documents: dict[str, Mapping[str, Any]] = {}
    standings = {}
    for key in sorted(budgets):
        document, mistake = stated(budgets[key]), None
        try:
            _read(json.dumps(document))
        except BudgetErrors as wrong:
            kept = in_force.get(key)
            mistake = _mistake(wrong, kept=kept is not None)
            if kept is None:
                standings[key] = Standing(None, mistake)
                continue
            document = dict(kept)
        documents[key] = reporting(document) if only_report else document
        standings[key] = Standing(_read(json.dumps(documents[key])), mistake, only_report)
    return Plan(documents, standings)


def reporting(document: Mapping[str, Any]) -> dict[str, Any]:
    """A budget that decides and records as it says, and lets everything through, an outage of the ledger included."""
    return {**document, "spec": {**document["spec"], "enforcement": REPORT, "failurePolicy": IGNORE}}


def stated(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a person stated: without status, and without what the API server adds."""
    metadata = {name: document["metadata"][name] for name in ("name", "namespace") if document["metadata"].get(name)}
    return {
        "apiVersion": document["apiVersion"],
        "kind": document["kind"],
        "metadata": metadata,
        "spec": document.get("spec") or {},
    }


@lru_cache(maxsize=READ_MOST)
def _read(text: str) -> Budget:
    return parse_budget(json.loads(text))


def _mistake(wrong: BudgetErrors, *, kept: bool) -> Condition:
    texts = [str(error) for error in wrong.errors]
    what = "; ".join(texts[:3]) + (f"; and {len(texts) - 3} more" if len(texts) > 3 else "")
    held = "what was in force before stays in force" if kept else "nothing is held to this budget"
    return Condition(READY, FALSE, "InvalidSpec", f"{what} ({held}).")
