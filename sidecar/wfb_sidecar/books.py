"""What the sidecar writes down of a call: its row, its decision, and the provider's own words for a refusal."""

import datetime
import random
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wfb_core import reasons
from wfb_core.budget import Budget, Limit
from wfb_core.decide import Refusal
from wfb_core.dialects import Dialect
from wfb_core.money import format_usd
from wfb_core.runs import Reached
from wfb_core.settle import Settlement
from wfb_core.usage import Usage
from wfb_core.wire import DecisionRecord, UsageRow
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.metrics import Metrics
from wfb_sidecar.till import Till


@dataclass(frozen=True, slots=True)
class Refused:
    """The answer to give instead of the provider's."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """Which call something is written down for."""

    provider: str
    model: str
    decision: str = ""
    hold: int = 0
    at: float | None = None
    """Ledger time of admission; now where there was none."""
    evidence: str = ""
    """What its decision was made from, as JSON."""
    run: str = ""
    """The run that the caller named."""


class Books:
    """Rows and decisions on their way to the ledger."""

    def __init__(self, clock: LedgerClock, till: Till, metrics: Metrics) -> None:
        self._clock = clock
        self._till = till
        self._metrics = metrics

    def refuse(self, dialect: Dialect, refusal: Refusal, entry: Entry) -> Refused:
        """Books a refusal and says it as the provider would."""
        decision = self.record(refusal, entry)
        self._metrics.refused.labels(entry.provider, refusal.reason).inc()
        self.book(entry, "refused", refused=1, now=True)
        details: dict[str, Any] = {"decision": decision, "reason": refusal.reason}
        if refusal.budget:
            details["budget"] = refusal.budget
        if refusal.window:
            details["scope"] = refusal.window
        if refusal.limit is not None and refusal.spent is not None:
            details["limit"] = format_usd(refusal.limit)
            details["spent"] = format_usd(refusal.spent)
            details["remaining"] = format_usd(max(0, refusal.limit - refusal.spent))
        if refusal.resets_at is not None:
            details["resetsAt"] = datetime.datetime.fromtimestamp(refusal.resets_at, datetime.UTC).isoformat()
        if refusal.suggested_model:
            details["suggestedModel"] = refusal.suggested_model
        message = f"{refusal.message.removesuffix('.')}. Decision {decision}."
        status, headers, body = dialect.refusal(refusal.reason, message, refusal.status, details, refusal.retry_after)
        return Refused(status, headers, body, refusal.reason, message)

    def record(self, refusal: Refusal, entry: Entry, kind: str = "refusal") -> str:
        """Writes a refusal or a finding down; returns the decision's id."""
        decision = entry.decision or new_decision()
        self._till.outbox.note(
            DecisionRecord(
                id=decision,
                at=self._clock.now(),
                kind=kind,
                reason=refusal.reason,
                message=refusal.message,
                status=refusal.status,
                provider=entry.provider,
                model=entry.model,
                budget=refusal.budget,
                window=refusal.window,
                hold=entry.hold,
                cost=0,
                limit=refusal.limit or 0,
                spent=refusal.spent or 0,
                details=entry.evidence,
                run=entry.run,
            )
        )
        return decision

    def run_reached(self, run: str, budget: Budget, limit: Limit, reached: Reached) -> bool:
        """Writes down what a named run has reached on a budget's ladder; whether the ledger will hear of it.

        The record's cost is what was spent since the run was last told of there: the ledger tells no step before that anew.
        """
        stage, spent, most = reached.stage, format_usd(reached.spent), format_usd(limit.nanos)
        return self._till.outbox.note(
            DecisionRecord(
                id=new_decision(),
                at=self._clock.now(),
                kind="finding",
                reason=reasons.RUN_STAGE_REACHED,
                message=f"run {run} has spent ${spent} of the ${most} that budget {budget.key} gives one run:"
                f" stage {stage.name} ({stage.at_percent} %) begins",
                budget=budget.key,
                window=limit.window,
                cost=reached.since,
                limit=limit.nanos,
                spent=reached.spent,
                run=run,
            )
        )

    def would(self, provider: str, reason: str) -> None:
        """Counts what Enforce would have done to a call of a budget that only reports."""
        self._metrics.would.labels(provider, reason).inc()

    def settled(self, entry: Entry, outcome: str, settlement: Settlement, served: str, prices: str) -> None:
        """Books a settled call, and why it was estimated or what was found out about it."""
        self.book(
            entry,
            outcome,
            calls=1,
            served=served,
            nanos=settlement.cost,
            list_nanos=settlement.list_cost,
            estimated=settlement.estimated,
            usage=settlement.usage,
            prices=settlement.source or prices,
        )
        if settlement.estimated:
            self._note(entry, "estimate", "UsageEstimated", settlement.finding or "usage not seen", settlement.cost)
        elif settlement.finding:
            self._note(entry, "finding", "PricedWithFinding", settlement.finding, settlement.cost)

    def book(
        self,
        entry: Entry,
        outcome: str,
        *,
        calls: int = 0,
        refused: int = 0,
        served: str = "",
        nanos: int = 0,
        list_nanos: int | None = None,
        estimated: bool = False,
        usage: Usage | None = None,
        prices: str = "",
        now: bool = False,
    ) -> None:
        """Adds a row of usage."""
        usage = usage or Usage()
        at = self._clock.now() if now or entry.at is None else entry.at
        self._till.outbox.add(
            UsageRow(
                minute=int(at // 60),
                provider=entry.provider,
                model=entry.model,
                served_model=served,
                outcome=outcome,
                estimated=estimated,
                calls=calls,
                refused=refused,
                input_tokens=usage.input_tokens,
                cache_read_tokens=usage.cache_read_tokens,
                cache_write_tokens=usage.cache_write_tokens,
                output_tokens=usage.output_tokens,
                reasoning_tokens=usage.reasoning_tokens,
                nanos=nanos,
                list_nanos=nanos if list_nanos is None else list_nanos,
                run=entry.run,
                prices=prices,
            )
        )
        self._till.told()

    def _note(self, entry: Entry, kind: str, reason: str, message: str, cost: int) -> None:
        self._till.outbox.note(
            DecisionRecord(
                id=entry.decision or new_decision(),
                at=self._clock.now() if entry.at is None else entry.at,
                kind=kind,
                reason=reason,
                message=message,
                status=0,
                provider=entry.provider,
                model=entry.model,
                budget="",
                window="",
                hold=entry.hold,
                cost=cost,
                limit=0,
                spent=0,
                run=entry.run,
            )
        )


_IDS = random.Random(secrets.token_bytes(32))  # noqa: S311 — told apart, not kept secret: a system call each costs more
"""Where decisions' ids come from."""


def new_decision() -> str:
    """A decision's id: what a user tells the platform team."""
    return f"d-{_IDS.getrandbits(48):012x}"
