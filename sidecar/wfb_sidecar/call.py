"""One call as the sidecar knows it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from wfb_core.call import CallFacts
from wfb_core.dialects import AnswerReader, Dialect
from wfb_core.downgrade import Wanted
from wfb_core.hosts import HostRow
from wfb_core.loops import Seen
from wfb_core.price import ModelPrice, Rates
from wfb_core.usage import Usage
from wfb_sidecar.books import Entry


@dataclass(frozen=True, slots=True)
class Downgraded:
    """That a call is asked of another model."""

    requested: str
    """The model that the caller asked for."""
    wanted: Wanted
    """The rung that wants another, and which."""


@dataclass(frozen=True, slots=True)
class Instead:
    """A call as another model would have been asked, had the budget that wants it not only reported."""

    facts: CallFacts
    price: ModelPrice


@dataclass(slots=True)
class Call:
    """One attempt: what it holds and what is known of its answer."""

    id: int
    decision: str
    provider: str
    facts: CallFacts
    dialect: Dialect
    price: ModelPrice | None
    rates: Rates | None
    at: float
    """Ledger time of admission."""
    hold: int = 0
    waited: float = 0.0
    """Seconds until the money was there."""
    input_cost: int = 0
    cap: int | None = None
    billed_whole: bool | None = None
    reader: AnswerReader | None = None
    forwarded: bool = False
    settled: bool = False
    first_byte: float = 0.0
    last_byte: float = 0.0
    waiter: "asyncio.Task[Any] | None" = None
    left: bool = False
    findings: list[str] = field(default_factory=list)
    row: HostRow | None = None
    """The host it goes to; None over a socket."""
    priced_by: str = ""
    """Whose price it is, if not the snapshot's: a budget may state one."""
    retry: int = 0
    """Attempts of the SDK before this one, as its headers tell."""
    loop: "Seen | None" = None
    """What the guard against loops keeps of it, where there is one."""
    asks_after: "Call | None" = None
    """For a poll: the call whose result it reads."""

    downgraded: Downgraded | None = None
    would: Instead | None = None
    """What a budget that only reports would have made of it."""
    usage: Usage | None = None
    """What it used, once that is known."""
    run: str = ""
    """The run that the caller named, as it is reported: below the pod's own run where it has one."""
    named_run: str = ""
    """The same, as the caller named it."""
    hold_most: int | None = None
    """The largest hold that its run leaves it; None where no run limits it."""

    @property
    def requested(self) -> str:
        """The model that the caller asked for."""
        return self.facts.model if self.downgraded is None else self.downgraded.requested

    @property
    def entry(self) -> Entry:
        """What is written down of it."""
        return Entry(self.provider, self.requested, self.decision, self.hold, self.at, run=self.run)
