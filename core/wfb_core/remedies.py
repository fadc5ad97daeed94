"""What would let a refused call through: for each reason the ways out, with the decision's own figures in them."""

from collections.abc import Mapping
from typing import Any

from wfb_core import reasons

WAYS_OUT: dict[str, tuple[str, ...]] = {
    reasons.BUDGET_EXHAUSTED: (
        "raise spec.limits ({window}) of budget {budget} to at least ${enough}",
        "wait until the window begins anew at {resets}",
        "use {suggested}, which the money left would pay",
        "send a smaller request: its input and a short answer need ${need} at least, and ${left} is left",
    ),
    reasons.MONEY_IN_FLIGHT: (
        "try again in {retry} s: calls in flight give back what they do not use",
        "lower the caps of concurrent calls on their answers, so that each reserves less",
        "raise spec.waitSeconds of budget {budget}",
    ),
    reasons.PACED: (
        "try again in {retry} s: budget {budget} spreads what is left over the rest of its window",
        "raise spec.limits ({window}) of budget {budget}, or the percentage of its Slow step",
        "raise spec.maxDelaySeconds of budget {budget}, so that calls wait longer instead",
    ),
    reasons.THROTTLED: (
        "try again in {retry} s: the trickle beyond the limit pays one call after the other",
        "raise spec.limits ({window}) of budget {budget}, or its onExhausted.usdPerHour",
    ),
    reasons.QUEUE_FULL: ("try again in {retry} s with fewer calls at once", "raise spec.limits of budget {budget}"),
    reasons.HOLDERS_LOST: (
        "wait for the sidecars that are silent, or give back what dead ones hold (`POST /v1/release`)",
        "raise spec.limits ({window}) of budget {budget}",
    ),
    reasons.LEDGER_UNREACHABLE: (
        "bring the ledger back: `wfb doctor` says what is wrong with it",
        "set spec.failurePolicy: Ignore in budget {budget} to go on without it",
    ),
    reasons.SUSPENDED: ("set spec.suspend: false in budget {budget}",),
    reasons.MODEL_NOT_ALLOWED: (
        "use a model that spec.models of budget {budget} allows",
        "add {model} to spec.models.allowed of budget {budget}, or take it out of denied",
    ),
    reasons.MODEL_UNPRICED: (
        "give {model} a price",
        "set spec.unpricedModels of budget {budget} to PriceAs with a rate, or to Allow",
    ),
    reasons.UNMETERED: (
        "set spec.unpricedModels.action: Allow in budget {budget} to let such calls through unmetered",
    ),
    reasons.UNBOUNDED: (
        "give the request a cap on its answer",
        "set spec.outputBound: Clamp in budget {budget}",
    ),
    reasons.BODY_NOT_UNDERSTOOD: ("send the body as the provider's API documents it",),
    reasons.BODY_TOO_LARGE: ("upload large parts as files instead of inside the request",),
    reasons.NOT_READY: ("try again in a second: the sidecar had not heard of its budgets yet",),
    reasons.INTERNAL_ERROR: ("see the sidecar's log: it refuses rather than let a call through unmetered",),
}
"""A way out that needs a figure which a decision does not have is left out."""


def ways_out(reason: str, figures: Mapping[str, Any]) -> list[str]:
    """The ways out of a refusal for a reason; ``figures`` fill in, and None or empty ones take their sentence away."""
    given = {name: value for name, value in figures.items() if value not in (None, "")}
    found = []
    for sentence in WAYS_OUT.get(reason, ()):
        try:
            found.append(sentence.format_map(given))
        except KeyError:
            continue
    return found
