"""Headers that the sidecar puts on answers: how the tightest budget stands, and which model was asked instead."""

import datetime

from wfb_core.money import format_usd
from wfb_core.standing import Standing, tightest
from wfb_sidecar.call import Call
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.downgrading import Downgrading
from wfb_sidecar.named_runs import NamedRuns
from wfb_sidecar.terms import Terms
from wfb_sidecar.till import Till

REFUSED = "refused"
"""x-wfb-downgrade: the model asked instead refused the request, and this is its answer."""


class Marks:
    """Marks answers."""

    def __init__(self, clock: LedgerClock, terms: Terms, till: Till, downgrading: Downgrading, runs: NamedRuns) -> None:
        self._clock = clock
        self._terms = terms
        self._till = till
        self._downgrading = downgrading
        self._runs = runs

    def of_answer(self, call: Call, status: int) -> dict[str, str]:
        """The headers for an answer of the provider; a refusal by the model asked instead is noted on the way."""
        refused = self._downgrading.refused(call, status)
        scope = self._terms.scope
        standing = None
        if scope is not None:
            standing = tightest(self._till.standings(scope, self._clock.now()) + self._runs.standings(call, scope))
        return of_budget(standing) | of_models(call, refused=refused)


def of_budget(standing: Standing | None) -> dict[str, str]:
    """The tightest budget's headers; none where every window is below its first rung."""
    if standing is None:
        return {}
    marks = {
        "x-wfb-budget": standing.budget.key,
        "x-wfb-budget-window": standing.limit.window,
        "x-wfb-budget-stage": standing.stage.name,
        "x-wfb-budget-remaining": format_usd(standing.left),
    }
    if standing.end != float("inf"):
        marks["x-wfb-budget-resets"] = datetime.datetime.fromtimestamp(standing.end, datetime.UTC).isoformat()
    return marks


def of_models(call: Call, *, refused: bool) -> dict[str, str]:
    """The headers of a call that was asked of another model."""
    if call.downgraded is None:
        return {}
    marks = {
        "x-wfb-model-requested": _plain(call.downgraded.requested),
        "x-wfb-model-served": _plain(call.downgraded.wanted.model),
        "x-wfb-decision": call.decision,
    }
    return marks | {"x-wfb-downgrade": REFUSED} if refused else marks


def _plain(text: str) -> str:
    """A model's name as a header's value: it is the caller's text."""
    return "".join(c if " " < c <= "~" else "?" for c in text)
