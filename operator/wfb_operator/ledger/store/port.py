"""What the ledger asks of a store: one writer, whole transactions, and every answer held back until they are on disk."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from wfb_operator.ledger.store.tiers import Horizon

DECISIONS_KEPT = 10_000
"""The newest decisions stay; older ones are forgotten."""

NOTICES_KEPT = 10_000
"""The newest notices stay, sent or not: receivers that are down for days do not fill the disk."""

NAMED_RUN = "NamedRun"
"""The kind of a stage change of a run that a caller named: no window, and told once for each run and step."""

RUN_NOTICES_KEPT = 1000
"""The newest notices of one budget's named runs stay: callers make the names up, and may push out no notice of a window."""

USAGE_DIMENSIONS = (
    "minute",
    "namespace",
    "team",
    "feature",
    "workflow",
    "run",
    "agent",
    "provider",
    "model",
    "served_model",
    "outcome",
    "estimated",
    "prices",
)
"""By which usage is kept apart."""

USAGE_BY = ("minute", "hour", "day", *USAGE_DIMENSIONS[1:])
"""By which usage may be asked for: minutes, hours and days are counted from the Unix epoch, UTC."""

USAGE_COUNTS = (
    "calls",
    "refused",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "nanos",
    "list_nanos",
)
"""What is added up."""

TOTAL_DIMENSIONS = ("namespace", "team", "feature", "workflow", "provider", "model", "outcome", "estimated")
"""By which usage is kept for ever, without its time: what metrics are restored from. Values are few, see label_values."""

TOTAL_COUNTS = (*USAGE_COUNTS, "cache_saved_nanos", "cache_extra_nanos")
"""What is added up of it; the last two are what caches saved and what writing to them cost more, nano-USD."""


class StoreError(Exception):
    """The store could not do what was asked, and did none of it."""


class StoreContentError(StoreError):
    """The store does not take this content; another transaction may well succeed."""


class StoreRefusedError(Exception):
    """The store must not be used as it is; the message is one line that names the way out."""


class StoredWindow(NamedTuple):
    """One limit in one period; amounts in nano-USD, infinite times for Run and Total."""

    id: str
    budget: str
    kind: str
    starts: float
    ends: float
    limit: int
    slow_from: float
    largest: int
    overdraft: int
    learned: int
    stage: str
    trickle: int
    """Nano-USD per hour beyond the limit."""
    exhausted_at: float | None
    """Since when the trickle accrues; None while it does not."""
    rung: int = 0
    """The percentage at which the stage began."""


class StoredRow(NamedTuple):
    """One holder in one window, nano-USD."""

    window: str
    holder: str
    granted: int
    used: int
    held: int
    expected: int
    want: int
    released: int
    lost: int
    beyond: int


class StoredHolder(NamedTuple):
    """One sidecar process."""

    id: str
    seq: int
    seen: float
    epoch: int
    flagged: int
    lost: bool
    applied: int
    """The highest batch of usage rows that is in the store."""


class StoredBudget(NamedTuple):
    """One document, as JSON text."""

    key: str
    document: str


class StoredIdentity(NamedTuple):
    """Who bears a token; labels as JSON text."""

    token_sha256: str
    role: str
    holder_prefix: str
    labels: str
    run: str
    namespace: str


class StoredPod(NamedTuple):
    """What a pod was called at its first report; labels as JSON text."""

    holder_prefix: str
    labels: str
    run: str
    namespace: str
    first_seen: float


class StageChange(NamedTuple):
    """A window moved on its ladder; amounts in nano-USD."""

    window: str
    budget: str
    kind: str
    from_stage: str
    to_stage: str
    at: float
    spent: int
    limit: int
    at_percent: int = 0


class Notice(NamedTuple):
    """A rung that a window has reached, for those whom the rung names; amounts in nano-USD."""

    window: str
    at_percent: int
    """100 where the limit itself is reached."""
    budget: str
    stage: str
    at: float
    spent: int
    limit: int


class NoticeMark(NamedTuple):
    """How far a notice has come."""

    delivered: str
    """JSON: the names of the targets that took it."""
    done: float
    """When nothing more was to be sent, 0 before; Unix seconds."""
    window: str
    at_percent: int


class StoredDecision(NamedTuple):
    """One decision record and whose it was."""

    id: str
    at: float
    kind: str
    reason: str
    message: str
    status: int
    provider: str
    model: str
    budget: str
    window: str
    hold: int
    cost: int
    limit: int
    spent: int
    holder: str
    namespace: str
    workflow: str
    run: str
    details: str = ""
    """JSON: what the decision was made from; empty where an older sidecar told it."""


class StoredRunCost(NamedTuple):
    """What one pod spent in one run or hour, nano-USD."""

    namespace: str
    workflow: str
    unit: str
    """As wfb_core.loops.unit_of names it."""
    pod: str
    first_seen: float
    last_seen: float
    nanos: int
    caught: bool
    """Whether the pod's guard stopped it as a loop."""


class StoredSighting(NamedTuple):
    """A run reached a stage of the guard against loops; amounts in nano-USD."""

    namespace: str
    workflow: str
    unit: str
    budget: str
    stage: str
    reason: str
    message: str
    at: float
    spent: int
    limit: int
    """What cost alone makes it a loop at."""
    holder: str


class StoredState(NamedTuple):
    """What there is one of."""

    epoch: int
    learn_until: float
    scope: int
    """The version of budgets, prices and labels that holders were told."""
    prices: str
    """SHA-256 of the snapshot in force, empty where there is none."""


@dataclass(frozen=True, slots=True)
class Books:
    """What a store knows of some windows and holders."""

    windows: tuple[StoredWindow, ...] = ()
    rows: tuple[StoredRow, ...] = ()
    """All rows of those windows, and those of the holders in windows that are in memory."""
    holders: tuple[StoredHolder, ...] = ()
    """Every holder that a row names, and those asked for."""
    pods: tuple[StoredPod, ...] = ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Everything a ledger needs to go on."""

    state: StoredState
    clock: float
    """The ledger's time at the last transaction."""
    restored: bool
    """Whether the store is an older copy than the one last written: some grants in it are unknown."""
    budgets: tuple[StoredBudget, ...]
    identities: tuple[StoredIdentity, ...]
    books: Books
    run_costs: tuple[StoredRunCost, ...] = ()
    """Of the last weeks, the newest of each workflow."""


class Usage(NamedTuple):
    """What was used, and in which time: outward to whole hours or days where finer rows are forgotten."""

    rows: list[Mapping[str, Any]]
    since: int
    until: int
    """Minutes; rows are of [since, until)."""


@dataclass(slots=True)
class Wanted:
    """What reports name and memory does not hold."""

    windows: set[str] = field(default_factory=set)
    holders: set[str] = field(default_factory=set)
    pods: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.windows or self.holders or self.pods)


@dataclass(slots=True)
class Writes:
    """One transaction: written whole or not at all."""

    clock: float
    windows: list[StoredWindow] = field(default_factory=list)
    rows: list[StoredRow] = field(default_factory=list)
    holders: list[StoredHolder] = field(default_factory=list)
    pods: list[StoredPod] = field(default_factory=list)
    usage: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    """Counts to add, by dimensions."""
    totals: dict[tuple[Any, ...], list[int]] = field(default_factory=dict)
    """TOTAL_COUNTS to add, by TOTAL_DIMENSIONS."""
    runs: dict[tuple[str, str, str], tuple[float, int]] = field(default_factory=dict)
    """(namespace, workflow, run) → (seen, nanos to add)."""
    run_costs: dict[tuple[str, str, str, str], tuple[float, int, int]] = field(default_factory=dict)
    """(namespace, workflow, unit, pod) → (seen, nanos to add, whether it is caught)."""
    sightings: list[StoredSighting] = field(default_factory=list)
    """One that is there already, by its unit, budget and stage, stays as it is."""
    estimates: dict[str, int] = field(default_factory=dict)
    """Nano-USD to add to what a window's spend holds of estimates."""
    stages: list[StageChange] = field(default_factory=list)
    """One of a named run that is there already, for its step, is left as it is."""
    notices: list[Notice] = field(default_factory=list)
    """One that is there already, for its window and rung, is left as it is."""
    marks: list[NoticeMark] = field(default_factory=list)
    decisions: list[StoredDecision] = field(default_factory=list)
    budgets: tuple[StoredBudget, ...] | None = None
    """All budgets from now on; None leaves them."""
    identities: list[StoredIdentity] = field(default_factory=list)
    snapshot: tuple[str, bytes] | None = None
    """A price snapshot and its SHA-256."""
    state: StoredState | None = None
    forget_runs: tuple[tuple[str, float], ...] = ()
    """(budget, time): its runs whose holders were all unheard since are forgotten, a part at a time."""
    present: Collection[str] = ()
    """Windows in memory: those stay."""

    def __bool__(self) -> bool:
        return any(
            (
                self.windows,
                self.rows,
                self.holders,
                self.pods,
                self.usage,
                self.runs,
                self.run_costs,
                self.sightings,
                self.estimates,
                self.stages,
                self.notices,
                self.marks,
                self.decisions,
                self.budgets is not None,
                self.identities,
                self.snapshot,
                self.state,
                self.forget_runs,
            )
        )


class Store(Protocol):
    """One ledger's memory beyond its process. Everything raises StoreError."""

    async def load(self, since: float) -> Loaded:
        """Everything, with the windows that had not ended at ``since`` (Unix seconds).

        Of windows without an end only those with a holder seen since then, and every Total.
        """

    async def find(self, wanted: Wanted, present: Collection[str]) -> Books:
        """What is known of the wanted.

        Every holder that comes, wanted or named by a row, comes with its rows in the windows ``present`` in memory.
        """

    async def write(self, writes: Writes) -> None:
        """One transaction, on disk when this returns."""

    async def mark(self) -> None:
        """Now and then: leave a trace beside the data by which an older copy of it is told."""

    async def roll_up(self, before: float) -> bool:
        """Add the minutes before a time to hours, and whole hours to days, a part at a call; whether there is more."""

    async def tidy(self, horizon: Horizon) -> bool:
        """Forget usage, stage changes and windows of before their times, a part at a call; whether there is more.

        Usage is forgotten only where a coarser table holds it.
        """

    async def forget_silent(self, before: float) -> None:
        """Forget pods, and tokens put for them, that nobody has heard of since a time, a part at a call."""

    async def snapshot(self, sha256: str) -> bytes | None:
        """A price snapshot; None where there is none of that name."""

    async def usage(
        self,
        by: tuple[str, ...],
        since: int,
        until: int,
        most: int,
        *,
        namespace: str = "",
        skip: int = 0,
        only: Mapping[str, str] | None = None,
    ) -> Usage:
        """Sums of usage between two minutes, by some dimensions, the dearest first; ValueError for an unknown one.

        Of one namespace where it is named, and of those that have the values of ``only``. ``skip`` leaves out the first
        rows, of a fixed order.
        """

    async def totals(self) -> list[tuple[Any, ...]]:
        """TOTAL_DIMENSIONS and TOTAL_COUNTS of all usage ever, in the order in which they were first seen."""

    async def snapshot_at(self, sha256: str) -> float:
        """When a price snapshot came first, Unix seconds; 0 for one that is not there."""

    async def runs_since(self, since: float) -> list[tuple[str, str, str, int]]:
        """(namespace, workflow, run, nano-USD) of the runs seen since then, the dearest first."""

    async def estimates(self, windows: list[str]) -> dict[str, int]:
        """What windows' spend holds of estimates, nano-USD."""

    async def decisions(
        self, kind: str, id_: str, most: int, *, reason: str = "", namespace: str = ""
    ) -> list[Mapping[str, Any]]:
        """The newest decisions, of a kind, by an id, for a reason, or of a namespace where they are not empty."""

    async def last_refusals(self) -> list[Mapping[str, Any]]:
        """Of each budget that refused a call the newest of those decisions that are still kept."""

    async def stage_changes(self, most: int, *, namespace: str = "") -> list[Mapping[str, Any]]:
        """The newest stage changes, of one namespace's budgets where it is named."""

    async def notices(self, most: int) -> list[Mapping[str, Any]]:
        """Notices that are still to be sent, the oldest first."""

    async def runs(self, most: int, *, namespace: str = "") -> list[Mapping[str, Any]]:
        """The runs seen last, of one namespace where it is named."""

    async def sightings(self, most: int, *, namespace: str = "") -> list[Mapping[str, Any]]:
        """The newest sightings of loops, of one namespace where it is named."""

    async def close(self) -> None:
        """Let go of everything; what was written stays."""
