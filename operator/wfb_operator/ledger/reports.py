"""A sidecar's report: what it names is found, what it may not name is left out, and the grants' rules do the rest."""

from dataclasses import dataclass, replace

from wfb_core.budget import RUN
from wfb_core.grants import Reply, Report
from wfb_core.windows import window_at
from wfb_core.wire import Batch, Dispatch, UsageRow
from wfb_operator.ledger.identities import Identity
from wfb_operator.ledger.memory import Memory
from wfb_operator.ledger.store.port import StoredDecision, Wanted, Writes
from wfb_operator.ledger.windows_open import Opening, WindowRefusedError, check_time


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a report."""

    reply: Reply | None
    applied: int
    flagged: bool
    refused: tuple[str, ...]
    """Why windows were left out; for metrics."""
    sightings: tuple[tuple[str, str], ...] = ()
    """(budget, stage) of loops that were not told of before; for metrics."""
    dropped: tuple[str, ...] = ()
    """Why decisions of batches applied now were left out; for metrics and the log."""
    untold: int = 0
    """Steps of named runs that were one too many in their minute; for metrics."""


def wanted_by(memory: Memory, identity: Identity, report: Report, now: float, wanted: Wanted) -> None:
    """Add what the report names and memory does not hold, so that it is looked up before anything is decided."""
    if report.holder not in memory.grants.holders:
        wanted.holders.add(report.holder)
    for window_id in _named(report):
        if window_id not in memory.grants.windows and _may_open(memory, identity, window_id, now):
            wanted.windows.add(window_id)
    if identity.holder_prefix not in memory.pods:
        wanted.pods.add(identity.holder_prefix)


def take_report(memory: Memory, identity: Identity, dispatch: Dispatch, now: float, writes: Writes) -> Taken:
    """Apply one report and its batches to memory, and add to the transaction what they say."""
    report = dispatch.report
    if identity.holder_prefix not in memory.pods:
        pod = identity.pod(now)
        writes.pods.append(pod)
        memory.freeze([pod])
    refused = _open_windows(memory, identity, report, now)
    asked = report if not refused else _without(memory, report, set(refused))
    who = memory.grants.holders.get(report.holder)
    flagged_before = who.flagged if who else 0
    reply = memory.grants.report(now, asked)
    flagged = memory.grants.holders[report.holder].flagged > flagged_before
    before = memory.applied.get(report.holder, 0)
    dropped = tuple(why for batch in dispatch.batches if batch.number > before for why in batch.dropped)
    untold_before = memory.named_runs.untold
    applied, sightings = _take_batches(memory, identity, report.holder, dispatch.batches, now, writes)
    untold = memory.named_runs.untold - untold_before
    return Taken(reply, applied, flagged, tuple(refused.values()), tuple(sightings), dropped, untold)


def _named(report: Report) -> set[str]:
    return {*report.claims, *(window for need in report.needs for window in need.windows)}


def _may_open(memory: Memory, identity: Identity, window_id: str, now: float) -> bool:
    found = memory.opening(identity, window_id)
    if isinstance(found, str):
        return False
    try:
        check_time(found, now)
    except WindowRefusedError:
        return False
    return True


def _open_windows(memory: Memory, identity: Identity, report: Report, now: float) -> dict[str, str]:
    """Open what the report may name; returns the rest with the reasons."""
    refused = {}
    for window_id in _named(report):
        found = memory.opening(identity, window_id)
        if isinstance(found, Opening):
            if window_id in memory.grants.windows:
                continue
            try:
                check_time(found, now)
                memory.open(found)
                claim = report.claims.get(window_id)
                if found.limit.window == RUN and claim is not None and claim.ceiling:
                    # Forgotten while its pod was out of reach: refused, the pod could never report again.
                    memory.grants.believe(report.holder, window_id, claim.ceiling)
            except WindowRefusedError as error:
                refused[window_id] = error.reason
        else:
            refused[window_id] = found
    return refused


def _without(memory: Memory, report: Report, refused: set[str]) -> Report:
    """The report without windows that it may not name, and without the calls that ask for money of them.

    A window in which the holder has money is heard all the same: its budget is gone, but what it spent is to be told.
    """
    rows = memory.grants.rows
    return replace(
        report,
        claims={
            window: claim
            for window, claim in report.claims.items()
            if window not in refused or (report.holder, window) in rows
        },
        needs=tuple(need for need in report.needs if refused.isdisjoint(need.windows)),
    )


# ---------------------------------------------------------------- usage
def _take_batches(
    memory: Memory, identity: Identity, holder: str, batches: tuple[Batch, ...], now: float, writes: Writes
) -> tuple[int, list[tuple[str, str]]]:
    """Book the batches above the last one; returns the highest that is booked, and new sightings of loops."""
    applied = memory.applied.get(holder, 0)
    sightings = []
    for batch in sorted(batches, key=lambda batch: batch.number):
        if batch.number <= applied:
            continue
        applied = batch.number
        memory.batch_applied(holder, applied)
        for row in batch.rows:
            _book(memory, identity, row, writes)
        workflow = identity.label("workflow")
        for d in batch.decisions:
            if (stage := memory.run_costs.sighted(identity, holder, d, writes)) is not None:
                sightings.append((d.budget, stage))
            run = memory.named_run(identity, d.run)
            mine = (entry.budget for entry in memory.reach(identity).entries)
            memory.named_runs.hear(identity, mine, run, d, now, writes)
            # What is told of another pod's budget would stand in that budget's status.
            foreign = d.budget in memory.budgets.entries and not _within(memory, identity, d.budget)
            writes.decisions.append(
                StoredDecision(
                    d.id,
                    min(d.at, now),
                    d.kind,
                    d.reason,
                    d.message,
                    d.status,
                    d.provider,
                    d.model,
                    "" if foreign else d.budget,
                    "" if foreign else d.window,
                    d.hold,
                    d.cost,
                    d.limit,
                    d.spent,
                    holder,
                    identity.namespace,
                    workflow,
                    run,
                    d.details,
                )
            )
    return applied, sightings


def _within(memory: Memory, identity: Identity, budget: str) -> bool:
    return any(entry.budget.key == budget for entry in memory.reach(identity).entries)


def _book(memory: Memory, identity: Identity, row: UsageRow, writes: Writes) -> None:
    workflow, named = identity.label("workflow"), memory.named_run(identity, row.run)
    key = (
        row.minute,
        identity.namespace,
        identity.label("team"),
        identity.label("feature"),
        workflow,
        named,
        row.agent,
        row.provider,
        row.model,
        row.served_model,
        row.outcome,
        int(row.estimated),
        row.prices,
    )
    counts = (
        row.calls,
        row.refused,
        row.input_tokens,
        row.cache_read_tokens,
        row.cache_write_tokens,
        row.output_tokens,
        row.reasoning_tokens,
        row.nanos,
        row.list_nanos,
    )
    known = writes.usage.get(key)
    writes.usage[key] = list(counts) if known is None else [a + b for a, b in zip(known, counts, strict=True)]
    if named:
        run = identity.namespace, workflow, named
        seen, nanos = writes.runs.get(run, (0.0, 0))
        writes.runs[run] = (max(seen, row.minute * 60.0), nanos + row.nanos)
    memory.run_costs.book(identity, row.minute * 60.0, row.nanos, writes)
    if row.estimated and row.nanos:
        _book_estimate(memory, identity, row, writes)


def _book_estimate(memory: Memory, identity: Identity, row: UsageRow, writes: Writes) -> None:
    """What was not metered exactly is shown apart, in every window that its minute belongs to."""
    for entry in memory.reach(identity).entries:
        for limit in entry.budget.limits:
            if limit.window == RUN and not identity.run:
                continue
            try:
                at = window_at(entry.budget.key, limit.window, entry.budget.time_zone, row.minute * 60.0, identity.run)
            except ValueError:  # a minute outside the calendar belongs to no window
                continue
            writes.estimates[at.id] = writes.estimates.get(at.id, 0) + row.nanos
