"""The last call that a budget refused: what its status shows, and whether calls fail for want of room below the limit."""

from collections.abc import Iterable, Mapping
from typing import Any

from wfb_core.reasons import BUDGET_EXHAUSTED, HOLDERS_LOST, MONEY_IN_FLIGHT
from wfb_core.windows import parse_window_id
from wfb_operator.controller.amounts import cents, rfc3339

FRESH_SECONDS = 600.0
"""How long a refusal is taken as a sign that calls are refused now; afterwards it is only remembered."""

WITHOUT_ROOM = (BUDGET_EXHAUSTED, MONEY_IN_FLIGHT, HOLDERS_LOST)
"""Reasons that say: the money left did not pay this call."""


def last_refusal(refused: Mapping[str, Any]) -> dict[str, Any]:
    """``status.lastRefusal`` of a line of the summary's ``refused``."""
    shown = {"at": rfc3339(refused["at"]), "reason": refused["reason"], "message": refused["message"][:1024]}
    if refused["window"]:
        shown["window"] = _kind(refused["window"])
    for name, key in (("model", "model"), ("decision", "id")):
        if refused[key]:
            shown[name] = refused[key]
    return shown


def without_room(refused: Mapping[str, Any] | None, lines: Iterable[Mapping[str, Any]], now: float) -> str:
    """A sentence where a present window refused a call lately that its rest could not pay; empty else.

    ``lines`` are the summary's windows of the budget.
    """
    if refused is None or refused["reason"] not in WITHOUT_ROOM or now - refused["at"] > FRESH_SECONDS:
        return ""
    named = refused["window"]
    line = max(
        (line for line in lines if named in (line["window"], line["kind"])),
        key=lambda line: float(line["spent_usd"]),
        default=None,
    )
    if line is None:
        return ""
    needed = f" of up to {cents(refused['hold_usd'])} USD" if float(refused["hold_usd"]) > 0 else ""
    to = f" to {refused['model']}" if refused["model"] else ""
    return (
        f"{line['kind']}: {cents(line['spent_usd'])} of {cents(line['limit_usd'])} USD are spent, and a call{to}{needed}"
        " was refused because it does not fit into the rest: ask for a shorter answer or a cheaper model, or raise the limit."
    )


def _kind(window: str) -> str:
    """The kind of a window that is named by its id or, as sidecars do, by its kind alone."""
    return parse_window_id(window)[1] if "|" in window else window
