"""Every reason a decision can carry: a named constant with a sentence, used in bodies, logs, Events and metrics alike."""

ALLOWED = "Allowed"
BUDGET_EXHAUSTED = "BudgetExhausted"
MONEY_IN_FLIGHT = "MoneyInFlight"
PACED = "Paced"
THROTTLED = "Throttled"
QUEUE_FULL = "QueueFull"
HOLDERS_LOST = "HoldersLost"
LEDGER_UNREACHABLE = "LedgerUnreachable"
SUSPENDED = "Suspended"
MODEL_NOT_ALLOWED = "ModelNotAllowed"
MODEL_UNPRICED = "ModelUnpriced"
UNMETERED = "Unmetered"
UNBOUNDED = "Unbounded"
HOSTED_TOOL_NOT_ALLOWED = "HostedToolNotAllowed"
DOWNGRADED = "Downgraded"
DOWNGRADE_REFUSED = "DowngradeRefused"
BODY_NOT_UNDERSTOOD = "BodyNotUnderstood"
BODY_TOO_LARGE = "BodyTooLarge"
INTERNAL_ERROR = "InternalError"
NOT_READY = "NotReady"
LOOP_FLAGGED = "LoopFlagged"
LOOP_SLOWED = "LoopSlowed"
LOOP_REFUSED = "LoopRefused"
LOOP_RECOVERED = "LoopRecovered"
RUN_STAGE_REACHED = "RunStageReached"

SENTENCES: dict[str, str] = {
    ALLOWED: "Every budget that matches the call had room for it.",
    BUDGET_EXHAUSTED: "What is already settled leaves no room for this call in one of its budgets.",
    MONEY_IN_FLIGHT: "The money left is reserved by calls still in flight and did not come back in time.",
    PACED: "A budget is in stage Slow: what is left is spread over the rest of its window, or spent at a rate.",
    THROTTLED: "A budget is exhausted and lets a stated trickle through, which does not pay for this call yet.",
    QUEUE_FULL: "Too many calls already wait for the money left.",
    HOLDERS_LOST: "The money left is held by sidecars that have not been heard from.",
    LEDGER_UNREACHABLE: "The money at hand is spent and no ledger answers; failurePolicy is Fail.",
    SUSPENDED: "The budget is suspended: spec.suspend is true.",
    MODEL_NOT_ALLOWED: "The budget's model lists do not allow this model.",
    MODEL_UNPRICED: "No price is known for this model, and a price that is not known is never zero.",
    UNMETERED: "This path of a provider's host is not understood, so its cost cannot be known.",
    UNBOUNDED: "The request can cost more than any bound that its body shows.",
    HOSTED_TOOL_NOT_ALLOWED: "The budget refuses tools that the provider runs itself and bills beside tokens.",
    DOWNGRADED: "A budget's step asked another model instead, which is expected to cost less.",
    DOWNGRADE_REFUSED: "The model asked instead refused the request; the step rests for this pair of models.",
    BODY_NOT_UNDERSTOOD: "The request's body could not be read as its dialect says.",
    BODY_TOO_LARGE: "The request's body is larger than the sidecar reads.",
    INTERNAL_ERROR: "The sidecar failed inside; it refuses rather than let a call through unmetered.",
    NOT_READY: "The sidecar has not yet heard which budgets apply.",
    LOOP_FLAGGED: "The run costs far more than its workflow's runs usually do, or is about to.",
    LOOP_SLOWED: "The run looks like a loop: its calls are held back.",
    LOOP_REFUSED: "The run is a loop by its cost and its calls; now and then one is let through to try.",
    LOOP_RECOVERED: "A run that was stopped as a loop moved on and goes on.",
    RUN_STAGE_REACHED: "A run that its caller named has reached a step of its budget's ladder, or the limit.",
}
