"""Opening windows: a report names one by its id, and the ledger makes sure that there is such a window for this pod."""

from dataclasses import dataclass, replace

from wfb_core.budget import REPORT, RUN, Budget, Limit
from wfb_core.grants.timing import AHEAD
from wfb_core.windows import WindowAt, is_shadow, parse_window_id, real_id, window_of_id
from wfb_operator.ledger.budgets import Budgets
from wfb_operator.ledger.identities import Identity

EARLY = 60.0
"""Seconds before the time at which the ledger hands out slack that a window may be named: clocks differ."""

LATE = 31 * 86_400.0
"""Seconds after its end in which a window that nobody opened may still be told of: spend while no ledger answered."""

MALFORMED, NO_BUDGET, NO_LIMIT, NOT_YOURS, OTHER_RUN, NOT_NOW = (
    "malformed",
    "no such budget",
    "no such limit",
    "labels do not match",
    "another run",
    "too early or too late",
)


class WindowRefusedError(ValueError):
    """A window that this pod may not name; ``reason`` is one of the constants above."""

    def __init__(self, reason: str, window_id: str) -> None:
        self.reason = reason
        super().__init__(f"window {window_id!r}: {reason}")


@dataclass(frozen=True, slots=True)
class Opening:
    """A window that may be opened: its times, and what it is a window of."""

    at: WindowAt
    budget: Budget
    limit: Limit


def check_window(window_id: str, identity: Identity, budgets: Budgets) -> Opening:
    """What a window id means to a pod, whatever the time; raises WindowRefusedError.

    A shadow is opened like the window that it belongs to, of a budget that only reports.
    """
    try:
        key, kind, label = parse_window_id(real_id(window_id))
    except ValueError as error:
        raise WindowRefusedError(MALFORMED, window_id) from error
    if key not in budgets.entries:
        raise WindowRefusedError(NO_BUDGET, window_id)
    found = budgets.limit(key, kind)
    if found is None:
        raise WindowRefusedError(NO_LIMIT, window_id)
    budget, limit = found
    if is_shadow(window_id) and budget.enforcement != REPORT:
        raise WindowRefusedError(NO_LIMIT, window_id)
    if not identity.within(budget):
        raise WindowRefusedError(NOT_YOURS, window_id)
    if kind == RUN and label != identity.run:
        raise WindowRefusedError(OTHER_RUN, window_id)
    try:
        at = window_of_id(real_id(window_id), budget.time_zone)
    except ValueError as error:
        raise WindowRefusedError(MALFORMED, window_id) from error
    return Opening(replace(at, id=window_id), budget, limit)


def check_time(opening: Opening, now: float) -> None:
    """Whether a window may be opened at a time; raises WindowRefusedError."""
    if not opening.at.start - AHEAD - EARLY <= now < opening.at.end + LATE:
        raise WindowRefusedError(NOT_NOW, opening.at.id)
