"""What people ask the ledger: budgets now, usage in all, and a pod's own scope. Money leaves as decimal strings."""

from collections.abc import Mapping
from math import inf
from typing import Any

from wfb_core.budget import RUN, SLOW, THROTTLE, Budget, Limit
from wfb_core.grants import Window
from wfb_core.money import format_usd
from wfb_core.stages import percent_used, stage_of
from wfb_core.windows import WindowAt, is_shadow, shadow_id, window_at, window_of_id
from wfb_core.wire import run_figures_document
from wfb_operator.ledger.budgets import granted_limit
from wfb_operator.ledger.identities import Identity
from wfb_operator.ledger.memory import Memory
from wfb_operator.ledger.store.port import Store

USAGE_BY = (
    "namespace",
    "team",
    "feature",
    "workflow",
    "run",
    "provider",
    "model",
    "served_model",
    "outcome",
    "estimated",
)
ROWS_MOST = 10_000

REFUSED = ("budget", "window", "id", "at", "reason", "message", "model", "hold", "limit", "spent")
"""What a summary tells of each budget's last refusal."""


def scope_of(memory: Memory, identity: Identity, now: float) -> dict[str, Any]:
    """What applies to one pod: its budgets, and what is left in their windows; whole nano-USD."""
    windows = {}
    entries = memory.reach(identity).entries
    for entry in entries:
        for limit in entry.budget.limits:
            if limit.window == RUN and not identity.run:
                continue
            at = window_at(entry.budget.key, limit.window, entry.budget.time_zone, now, identity.run)
            window = memory.grants.windows.get(at.id) or Window(granted_limit(entry.budget, limit))
            windows[at.id] = {"left": window.left(), "room": window.room()}
            if (shadow := memory.grants.windows.get(shadow_id(at.id))) is not None:
                windows[shadow_id(at.id)] = {"left": shadow.left(), "room": shadow.room()}
    return {
        "version": memory.scope,
        "now": now,
        "holder_labels": dict(identity.labels),
        "run": identity.run,
        "budgets": [entry.document for entry in entries],
        "windows": windows,
        "prices": memory.prices,
        "loops": run_figures_document(memory.run_costs.figures(identity, now)),
    }


async def summary(memory: Memory, store: Store, now: float, since: int, namespace: str = "") -> dict[str, Any]:
    """Every budget's windows now, the last call that each refused, and usage since a minute; of one namespace where it is named.

    A cluster's budget tells of other namespaces' money, and so do lost holders: both are for those who may read all.
    """
    found = [w for w in _windows_now(memory, now) if namespace in ("", w[1].namespace)]
    holders = len(memory.grants.holders)
    estimates = await store.estimates([at.id for at, *_ in found])
    usage = (await store.usage(USAGE_BY, since, 2**62, ROWS_MOST, namespace=namespace)).rows
    shown = {budget.key for _, budget, *_ in found}
    refused = [row for row in await store.last_refusals() if row["budget"] in shown]
    return {
        "now": now,
        "budgets": [_line(*one, estimates.get(one[0].id, 0), now) | _would(memory, one[0].id) for one in found],
        "refused": [in_dollars({name: row[name] for name in REFUSED}) for row in refused],
        "usage": [in_dollars(row) for row in usage],
        "holders": holders,
        "lost_holders": [] if namespace else _lost(memory),
    }


def in_dollars(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its amounts as decimal strings: ``nanos`` becomes ``usd``, ``list_nanos`` ``list_usd``, other amounts ``…_usd``."""
    shown: dict[str, Any] = {}
    for name, value in row.items():
        if name == "nanos":
            shown["usd"] = format_usd(value)
        elif name == "list_nanos":
            shown["list_usd"] = format_usd(value)
        elif name in ("hold", "cost", "limit", "spent"):
            shown[f"{name}_usd"] = format_usd(value)
        elif name == "estimated":
            shown[name] = bool(value)
        else:
            shown[name] = value
    return shown


def _lost(memory: Memory) -> list[dict[str, Any]]:
    """Holders that fell silent with money, the longest silent first: what release is for."""
    grants = memory.grants
    lost: dict[str, int] = {}
    for (name, _), row in grants.rows.items():
        if row.lost:
            lost[name] = max(lost.get(name, 0), row.lost)
    found = sorted(lost, key=lambda name: grants.holders[name].seen)
    return [{"holder": n, "seen": grants.holders[n].seen, "lost_usd": format_usd(lost[n])} for n in found]


def _windows_now(memory: Memory, now: float) -> list[tuple[WindowAt, Budget, Limit, Window]]:
    """The window of every limit at a time; of runs those in memory."""
    found = []
    for entry in memory.budgets.entries.values():
        budget = entry.budget
        for limit in budget.limits:
            if limit.window == RUN:
                ids = sorted(
                    w for w in memory.windows_of.get(budget.key, ()) if memory.notes[w].kind == RUN and not is_shadow(w)
                )
                ats = [window_of_id(window_id, budget.time_zone) for window_id in ids]
            else:
                ats = [window_at(budget.key, limit.window, budget.time_zone, now)]
            for at in ats:
                window = memory.grants.windows.get(at.id) or Window(granted_limit(budget, limit))
                window.advance(now)
                found.append((at, budget, limit, window))
    return found


def pacing(window: Window, now: float) -> tuple[str, int]:
    """Which action holds calls back in a window now, and to how many nano-USD per hour; empty where none does."""
    if window.exhausted_at <= now:
        return THROTTLE, window.trickle
    return (SLOW, int(window.pace_per_second(now) * 3600)) if window.slow() else ("", 0)


def _would(memory: Memory, window_id: str) -> dict[str, str]:
    """What would be spent under Enforce, of a budget that only reports and has seen calls."""
    shadow = memory.grants.windows.get(shadow_id(window_id))
    return {} if shadow is None else {"would_spend_usd": format_usd(shadow.used)}


def _line(at: WindowAt, budget: Budget, limit: Limit, window: Window, estimated: int, now: float) -> dict[str, Any]:
    only_counted = granted_limit(budget, limit) != limit.nanos
    action, rate = pacing(window, now)
    return {
        "budget": budget.key,
        "window": at.id,
        "kind": limit.window,
        "start": None if at.start == -inf else at.start,
        "end": None if at.end == inf else at.end,
        "limit_usd": format_usd(limit.nanos),
        "spent_usd": format_usd(window.used),
        "reserved_usd": format_usd(window.held),
        "lost_usd": format_usd(window.lost),
        "overspent_usd": format_usd(max(0, window.used - limit.nanos) if only_counted else window.overdraft),
        "agreed_usd": format_usd(window.agreed()),
        "estimated_usd": format_usd(estimated),
        "percent_used": percent_used(window.used, limit.nanos),
        "stage": stage_of(budget.ladder_of(limit), window.used, limit.nanos).name,
        "pacing": action,
        "paced_usd_per_hour": format_usd(rate) if action else None,
        "queued": window.queued(now),
        "ladder": [[rung.at_percent, rung.action] for rung in budget.ladder_of(limit)],
    }
