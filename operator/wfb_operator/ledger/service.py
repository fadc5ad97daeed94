"""The ledger at work: everything that changes it goes through one queue, in groups, and is answered once it is on disk.

What arrives while a transaction is being written waits for the next; so one disk flush serves all that came meanwhile.
If a transaction fails nobody in it is answered, memory is loaded anew from the store, and the next group is tried.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from wfb_core.budget import OFF
from wfb_core.grants import timing
from wfb_core.wire import Dispatch, Response, RunFigures
from wfb_operator.ledger.anomalies import AnomalyWatch
from wfb_operator.ledger.budgets import Budgets
from wfb_operator.ledger.clock import LedgerClock
from wfb_operator.ledger.edits import (
    add_identities,
    identities_wanted,
    release_holder,
    replace_budgets,
    replace_prices,
)
from wfb_operator.ledger.identities import Identity
from wfb_operator.ledger.memory import KEPT_SECONDS, Memory
from wfb_operator.ledger.metrics import Metrics
from wfb_operator.ledger.reports import Taken, take_report, wanted_by
from wfb_operator.ledger.store.port import NoticeMark, Store, StoreContentError, StoreError, Wanted, Writes
from wfb_operator.ledger.store.tiers import Retention

log = logging.getLogger(__name__)

SWEEP_SECONDS = 5.0
LET_GO_SECONDS = 60.0
TIDY_SECONDS = 60.0
ROLL_AFTER_SECONDS = 600.0
"""Minutes are added to hours once they are so old: reports that are not late come within seconds."""
PARTS_MOST, PART_PAUSE_SECONDS = 200, 0.02
"""Parts of rolling up and of forgetting in one turn, and how long reports have the store for themselves between them."""
SILENT_DAYS = 30.0
"""Pods, and tokens put for them, that are not heard of for so long are forgotten; what they spent stays."""
GROUP_MOST = 1000
"""Changes in one transaction; more than that waits for the next."""
STUCK_SECONDS = 15.0
"""A transaction that takes longer makes the ledger unhealthy."""


class UnavailableError(Exception):
    """The store did not take the change: nothing happened, ask again."""


@dataclass(slots=True)
class _Change:
    """Something waiting for the next transaction."""

    apply: Callable[[Memory, float, Writes], Any]
    wants: Callable[[Memory, float, Wanted], None] | None
    done: asyncio.Future[Any]


class LedgerService:
    """One ledger over one store; ``start`` it, and ``stop`` it."""

    def __init__(
        self,
        store: Store,
        *,
        retention: Retention = Retention(),  # noqa: B008 — frozen
        metrics_most: Mapping[str, int] | None = None,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """``metrics_most`` replaces some of wfb_operator.ledger.metrics.MOST."""
        self._store, self._retention = store, retention
        self._wall, self._monotonic = wall, monotonic
        self.clock = LedgerClock(0.0, wall, monotonic)
        self.metrics = Metrics(self, store, metrics_most)
        self.anomalies = AnomalyWatch(store, self._now, self._tell_anomalies)
        self.memory: Memory | None = None
        """None while what the store holds is not known."""
        self._awake = 0.0
        self._waiting: list[_Change] = []
        self._work = asyncio.Event()
        self._scope_moved = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._watching: asyncio.Task[None] | None = None
        self._writing_since: float | None = None
        self._failed = ""
        self._scope_written = 0
        self._let_go_at = monotonic() + LET_GO_SECONDS
        self.closing = False

    # -- life
    async def start(self, *, restored: bool = False) -> None:
        """Load everything and begin to work; raises StoreError, or ValueError where a stored budget cannot be read.

        ``restored`` says what the store cannot know by itself: that it is an older copy.
        """
        loaded = await self._store.load(self.clock.now() - KEPT_SECONDS)
        self.clock = LedgerClock(loaded.clock, self._wall, self._monotonic)
        now = self._awake = self.clock.now()
        self.memory = Memory(loaded, self._awake)
        if restored or loaded.restored:
            log.warning("the store is an older copy: for %d s holders are heard and nothing is granted", timing.LEARN)
            self.memory.grants.begin_epoch(now)
            self.memory.scope_changed(now)
            writes = Writes(now)
            self.memory.collect(now, writes)
            await self._store.write(writes)
        self._scope_written = self.memory.scope
        await self._store.mark()
        await self.metrics.restore()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._run(), name="ledger-queue"),
            loop.create_task(self._keep_house(), name="ledger-house"),
        ]
        self._watching = loop.create_task(self.anomalies.run(), name="ledger-anomalies")

    async def stop(self) -> None:
        """Finish what is in the queue, and answer nobody after it."""
        self.closing = True
        self._scope_moved.set()
        self._work.set()
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        if self._tasks:
            queue, house = self._tasks
            house.cancel()
            with suppress(asyncio.CancelledError):
                await house
            await queue
        for change in self._waiting:
            change.done.set_exception(UnavailableError("the ledger is shutting down"))

    # -- changes
    async def report(self, identity: Identity, dispatch: Dispatch) -> Response:
        """Take a sidecar's report in; raises UnavailableError."""

        def wants(memory: Memory, now: float, wanted: Wanted) -> None:
            """What the report names and memory lacks."""
            wanted_by(memory, memory.known(identity), dispatch.report, now, wanted)

        def apply(memory: Memory, now: float, writes: Writes) -> tuple[Taken, int, float, RunFigures | None]:
            """The report's own part of the transaction."""
            who = memory.known(identity)
            taken = take_report(memory, who, dispatch, now, writes)
            guarded = any(entry.budget.loops.action != OFF for entry in memory.reach(who).entries)
            return taken, memory.scope, now, memory.run_costs.figures(who, now) if guarded else None

        taken, scope, now, loops = await self._change(apply, wants)
        self.metrics.taken(taken)
        for why in taken.dropped:
            log.warning("a decision of %s is not kept: %s", dispatch.report.holder, why)
        return Response(taken.reply, taken.applied, scope, max(now, self.clock.now()), loops)

    async def put_budgets(self, budgets: Budgets) -> int:
        """Put a set of budgets in force; returns the scope's version. Raises UnavailableError."""

        def apply(memory: Memory, now: float, writes: Writes) -> int:
            """The set's own part of the transaction."""
            replace_budgets(memory, budgets, now, writes)
            return memory.scope

        return int(await self._change(apply))

    async def put_prices(self, snapshot: bytes) -> str:
        """Put a price snapshot in force; returns its SHA-256. Raises UnavailableError."""
        sha256 = await self._change(lambda memory, now, writes: replace_prices(memory, snapshot, now, writes))
        with suppress(StoreError):  # the snapshot is in force; metrics read it at the next start
            await self.metrics.read_prices()
        return str(sha256)

    async def put_identities(self, identities: list[Identity]) -> None:
        """Add or replace identities; raises UnavailableError."""
        await self._change(
            lambda memory, now, writes: add_identities(memory, identities, now, writes),
            lambda memory, _, wanted: identities_wanted(memory, identities, wanted),
        )

    async def release(self, holder: str) -> Mapping[str, int] | None:
        """Give back a dead holder's slack by window, nano-USD; None for an unknown holder. Raises UnavailableError."""

        def wants(memory: Memory, _: float, wanted: Wanted) -> None:
            """The holder, where memory lacks it."""
            if holder not in memory.grants.holders:
                wanted.holders.add(holder)

        given: Mapping[str, int] | None = await self._change(
            lambda memory, _now, _writes: release_holder(memory, holder), wants
        )
        return given

    async def mark_notice(self, window: str, at_percent: int, delivered: list[str], *, done: bool) -> None:
        """Write down who has taken a notice, and whether anybody is still to be told. Raises UnavailableError."""

        def apply(_memory: Memory, now: float, writes: Writes) -> None:
            """The mark's own part of the transaction."""
            writes.marks.append(NoticeMark(json.dumps(delivered), now if done else 0.0, window, at_percent))

        await self._change(apply)

    async def forget_runs(self) -> None:
        """Forget runs that are older than their budgets say; raises UnavailableError."""
        await self._change(lambda memory, now, writes: memory.forget_runs(now, writes))

    async def wait_for_scope(self, after: int, seconds: float) -> bool:
        """Whether the scope is, or becomes within a time, another than a version."""
        until = time.monotonic() + seconds
        while not self.closing:
            # A version that is not on disk yet is told to nobody: if its transaction fails it will be another's.
            if self.memory is not None and after != self._scope_written and self.memory.scope == self._scope_written:
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            with suppress(TimeoutError):
                await asyncio.wait_for(self._scope_moved.wait(), left)
        return False

    def _now(self) -> float:
        return self.clock.now()  # the clock is another one after a start

    def _tell_anomalies(self, ratios: Mapping[tuple[str, str], float]) -> None:
        self.metrics.anomalies = ratios

    # -- state of health
    def known_memory(self) -> Memory:
        """What is in memory; raises UnavailableError while what the store holds is not known."""
        if self.memory is None:
            raise UnavailableError("what the store holds is not known at the moment")
        return self.memory

    def unhealthy(self) -> str:
        """Why the ledger cannot answer for now; empty where it can."""
        if self._failed:
            return self._failed
        if self._writing_since is not None and time.monotonic() - self._writing_since > STUCK_SECONDS:
            return f"a transaction has been under way for more than {STUCK_SECONDS:g} s"
        return ""

    # -- the queue
    def _change(
        self,
        apply: Callable[[Memory, float, Writes], Any],
        wants: Callable[[Memory, float, Wanted], None] | None = None,
    ) -> Awaitable[Any]:
        if self.closing:
            raise UnavailableError("the ledger is shutting down")
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Change(apply, wants, done))
        self._work.set()
        return done

    async def _run(self) -> None:
        while self._waiting or not self.closing:
            await self._work.wait()
            if len(self._waiting) <= GROUP_MOST:
                group, self._waiting = self._waiting, []
                if not self.closing:
                    self._work.clear()
            else:
                group, self._waiting = self._waiting[:GROUP_MOST], self._waiting[GROUP_MOST:]
            if group:
                await self._together(group)

    async def _together(self, group: list[_Change]) -> None:
        """Apply a group to memory, write it as one transaction, and only then answer."""
        self._writing_since = time.monotonic()
        try:
            memory = self.memory if self.memory is not None else await self._load_again()
            answers = await self._apply_and_write(memory, group)
        except Exception as error:
            self.memory = None
            await self._try_to_load_again()
            self._wake_those_waiting()
            if len(group) > 1 and _blames_one(error):
                for change in group:  # each on its own: only the one at fault is not answered
                    await self._together([change])
            else:
                self._fail(group, error)
            return
        finally:
            self._writing_since = None
        self._failed = ""
        self._tell_scope()
        for change, answer in zip(group, answers, strict=True):
            if not change.done.done():
                change.done.set_result(answer)
        self._let_go(memory)

    def _let_go(self, memory: Memory) -> None:
        """Now and then, between two transactions and with everything written, drop what nobody speaks of."""
        if self._monotonic() < self._let_go_at:
            return
        self._let_go_at = self._monotonic() + LET_GO_SECONDS
        try:
            memory.let_go(self.clock.now())
        except Exception:
            log.exception("memory is loaded anew")
            self.memory = None

    def _tell_scope(self) -> None:
        """Wake everyone who waits for another scope, once it is on disk."""
        if self.memory is not None and self.memory.scope != self._scope_written:
            self._scope_written = self.memory.scope
            self._wake_those_waiting()

    def _wake_those_waiting(self) -> None:
        moved, self._scope_moved = self._scope_moved, asyncio.Event()
        moved.set()

    async def _apply_and_write(self, memory: Memory, group: list[_Change]) -> list[Any]:
        now, wanted = self.clock.now(), Wanted()
        for change in group:
            if change.wants is not None:
                change.wants(memory, now, wanted)
        if wanted:
            found = await self._store.find(wanted, memory.grants.windows.keys())
            memory.bring_in(found)
            memory.freeze(found.pods)
        writes = Writes(now)
        answers = [change.apply(memory, now, writes) for change in group]
        memory.collect(now, writes)
        writes.totals = self.metrics.totals.of(writes.usage, self.metrics.prices)
        if writes:
            with self.metrics.commit_seconds.time():
                await self._store.write(writes)
            self.metrics.totals.add(writes.totals)
            self.metrics.group_size.observe(len(group))
        return answers

    def _fail(self, group: list[_Change], error: Exception) -> None:
        self.metrics.store_failures.inc()
        if isinstance(error, StoreError):
            reason = f"the store did not take the change: {error}"
            log.error("%s; %d changes are not answered", reason, len(group))
        else:
            reason = f"the ledger failed inside: {type(error).__name__}"
            log.error("%s; %d changes are not answered", reason, len(group), exc_info=error)
        self._failed = reason
        for change in group:
            if not change.done.done():
                change.done.set_exception(UnavailableError(reason))

    async def _load_again(self) -> Memory:
        loaded = await self._store.load(self.clock.now() - KEPT_SECONDS)
        await self.metrics.restore()  # a transaction that failed here may be on disk
        self.memory = Memory(loaded, self._awake)
        return self.memory

    async def _try_to_load_again(self) -> None:
        try:
            await self._load_again()
        except Exception as error:
            log.warning("the store cannot be read: %s", error)

    # -- now and then
    async def _keep_house(self) -> None:
        tidy_at = time.monotonic() + TIDY_SECONDS
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self._change(lambda memory, now, _: memory.grants.sweep(now))
                self.metrics.look()
                await self._store.mark()
                if time.monotonic() >= tidy_at:
                    tidy_at = time.monotonic() + TIDY_SECONDS
                    await self._roll_and_forget()
                    await self.forget_runs()
                    await self._store.forget_silent(self.clock.now() - SILENT_DAYS * 86_400.0)
            except Exception as error:
                log.warning("housekeeping: %s: %s", type(error).__name__, error)

    async def _roll_and_forget(self) -> None:
        """A part at a time, between which reports are written; what is left waits for the next turn."""
        now = self.clock.now()
        horizon = self._retention.horizon(now)
        await self._in_parts(lambda: self._store.roll_up(now - ROLL_AFTER_SECONDS))
        await self._in_parts(lambda: self._store.tidy(horizon))

    async def _in_parts(self, work: Callable[[], Awaitable[bool]]) -> None:
        for _ in range(PARTS_MOST):
            if self.closing or not await work():
                return
            await asyncio.sleep(PART_PAUSE_SECONDS)


def _blames_one(error: Exception) -> bool:
    """Whether a group may have failed for the content of one of its changes, and not for the store's state."""
    return isinstance(error, StoreContentError) or not isinstance(error, StoreError)
