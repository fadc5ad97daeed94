"""What a decision was made from, written down beside it for ``wfb explain``: prices, bounds and windows, no content."""

import json
from collections.abc import Sequence
from typing import Any

from wfb_core import bounds
from wfb_core.decide import Refusal
from wfb_core.money import format_usd
from wfb_core.stages import stage_of
from wfb_core.wire import DETAILS_LONGEST
from wfb_sidecar.call import Call
from wfb_sidecar.scope import OpenWindow, Scope
from wfb_sidecar.till import Till


def evidence_of(
    till: Till, scope: Scope, call: Call, refusal: Refusal, windows: Sequence[OpenWindow] | None = None
) -> str:
    """A JSON object; the farthest windows are left out where it would grow too long. Amounts are decimal strings.

    ``windows`` are those that decided, where they are not the call's own.
    """
    facts, price = call.facts, call.price
    found: dict[str, Any] = {
        "labels": dict(scope.labels),
        "requested": {"model": facts.model, "cap": facts.cap, "stream": facts.stream, "tier": facts.tier or ""},
        "budgets": [b.key for b in scope.budgets],
        "suggestedModel": refusal.suggested_model,
        "retryAfter": refusal.retry_after,
        "waited": round(call.waited, 1),
    }
    if price is not None and call.rates is not None:
        least, full = bounds.minimum(facts, price), bounds.most(facts, price)
        found["price"] = {
            "input": format_usd(call.rates.input),
            "output": format_usd(call.rates.output),
            "from": call.priced_by or price.source or price.version,
        }
        found["bound"] = {
            "least": None if least is None else format_usd(least),
            "full": None if full is None else format_usd(full),
            "input": format_usd(call.input_cost),
            "hold": format_usd(call.hold),
            "cap": call.cap,
        }
    lines = [_line(till, w) for w in (scope.windows(call.at) if windows is None else windows)]
    lines.sort(key=lambda line: line["order"])
    for line in lines:
        del line["order"]
    found["windows"] = lines
    while len(text := json.dumps(found, separators=(",", ":"))) > DETAILS_LONGEST and lines:
        lines.pop()
    return text if len(text) <= DETAILS_LONGEST else ""


def _line(till: Till, window: OpenWindow) -> dict[str, Any]:
    left, room = till.wallet.left(window.id), till.wallet.room(window.id)
    limit, budget = window.limit.nanos, window.budget
    spent = till.wallet.spent(window.id)
    if spent is None and left is not None and budget.enforcement != "Report":
        spent = limit - left
    stage = None if spent is None else stage_of(budget.ladder_of(window.limit), spent, limit).name
    return {
        "window": window.id,
        "budget": budget.key,
        "kind": window.limit.window,
        "enforcement": budget.enforcement,
        "limit": format_usd(limit),
        "spent": None if spent is None else format_usd(spent),
        "reserved": None if left is None or room is None else format_usd(left - room),
        "stage": stage,
        "end": None if window.end == float("inf") else window.end,
        "order": (limit - spent) if spent is not None else limit,
    }
