"""The till: the wallet at work. It asks, waits, settles, and keeps the one report in flight going."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from wfb_core.grants import PENDING, TIMEOUT, Wallet
from wfb_core.standing import Standing
from wfb_core.windows import shadow_id
from wfb_core.wire import Dispatch, RunFigures
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.ledger_link import LedgerLink, LedgerLinkError
from wfb_sidecar.outbox import Outbox
from wfb_sidecar.scope import Scope, shadowed

log = logging.getLogger(__name__)

OUTBOX_SECONDS = 1.0
"""How long rows may wait where money itself has no reason to report."""

AHEAD = 30.0
"""Seconds before a window ends in which money for the next one is asked for."""


class Till:
    """Drives one wallet: `ask` waits for the ledger's answer, `settle` books what a call cost."""

    def __init__(self, wallet: Wallet, clock: LedgerClock, link: LedgerLink, outbox: Outbox) -> None:
        self.wallet = wallet
        self.outbox = outbox
        self._clock = clock
        self._link = link
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self._wake = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._next = float("-inf")
        self.scope: Scope | None = None
        self.scope_version = 0
        self.on_newer_scope: Callable[[], None] = lambda: None
        self.on_figures: Callable[[RunFigures | None], None] = lambda _: None
        self.on_settle: Callable[[int, int], None] = lambda _call, _cost: None
        self.reports = 0
        self.report_errors = 0
        self.flagged = 0
        self.on_settled: Callable[[int, int], None] = lambda _call, _cost: None

    def start(self) -> None:
        """Begins to report."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="till")

    async def ask(
        self,
        call: int,
        hold: int,
        expected: int,
        at: Callable[[float], tuple[str, ...]],
        wait: float,
        delay: Callable[[str], float] | None = None,
    ) -> str:
        """The answer to a call's need: at once where money is at hand, else the ledger's, else TIMED_OUT.

        When the caller is cancelled (its client left) the call gives up its place.
        """
        now = self._clock.now()
        answer = self.wallet.ask(now, call, hold, expected, at, wait, delay)
        if answer != PENDING:
            self.told()
            return answer
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[call] = future
        self._wake.set()
        try:
            return await future
        except asyncio.CancelledError:
            self.wallet.drop(call)
            self.told()
            if future.done() and not future.cancelled() and call in self.wallet.holds:
                self.wallet.settle(self._clock.now(), call, 0)
            raise
        finally:
            self._waiting.pop(call, None)

    def settle(self, call: int, cost: int) -> None:
        """Replaces the hold by the real cost."""
        self.wallet.settle(self._clock.now(), call, cost)
        self.on_settle(call, cost)
        self.wallet.keep()
        self.told()
        self.on_settled(call, cost)

    def told(self) -> None:
        """Something is to be reported: wakes the loop where that moves its next report forward."""
        if self._due() < self._next:
            self._wake.set()

    def standings(self, scope: Scope, now: float) -> list[Standing]:
        """How the windows of the moment stand, those that were heard of."""
        spent = self.wallet.spent
        return [
            Standing(w.budget, w.limit, known, w.end) for w in scope.windows(now) if (known := spent(w.id)) is not None
        ]

    async def stop(self, timeout: float) -> bool:
        """Sends the last report; True when the ledger has answered for everything."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._sending:
            await asyncio.wait([self._sending], timeout=timeout)
        until = self._clock.now() + timeout
        while self._clock.now() < until:
            before = self.report_errors
            await self._send(min(TIMEOUT, timeout))
            if self.report_errors == before and not self.outbox.waiting:
                return True
            await asyncio.sleep(0.1)
        return False

    async def _run(self) -> None:
        while True:
            now = self._clock.now()
            for call, answer in self.wallet.poll(now):
                future = self._waiting.get(call)
                if future is not None and not future.done():
                    future.set_result(answer)
                elif call in self.wallet.holds:
                    self.wallet.settle(now, call, 0)  # granted to a client that has just left
            if self.scope is not None:
                self._open_ahead(now)
            due = self._due()
            if now >= due and (self._sending is None or self._sending.done()):
                self._sending = asyncio.get_running_loop().create_task(self._send(TIMEOUT), name="report")
                due = now + TIMEOUT
            deadlines = [w.deadline for w in self.wallet.waiting.values()]
            self._next = due
            delay = max(0.001, min([due, now + 5.0, *deadlines]) - now)
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay)

    def _due(self) -> float:
        due = self.wallet.due()
        return min(due, self.wallet.sent + OUTBOX_SECONDS) if self.outbox.waiting else due

    def _open_ahead(self, now: float) -> None:
        assert self.scope is not None
        for w in self.scope.windows(now):
            if now <= w.end - AHEAD or w.end == float("inf"):
                continue
            for later in self.scope.windows_ahead(w.end):
                if later.budget.key == w.budget.key and later.limit.window == w.limit.window:
                    self.wallet.ahead(w.id, later.id)
                    if shadowed(w.budget):
                        self.wallet.ahead(shadow_id(w.id), shadow_id(later.id))

    async def _send(self, timeout: float) -> None:
        sent = self._clock.now()
        report = self.wallet.report(sent)
        dispatch = Dispatch(report, self.outbox.seal(report.seq), self.scope_version)
        self.reports += 1
        try:
            response = await self._link.report(dispatch, timeout)
        except LedgerLinkError as e:
            self.report_errors += 1
            log.warning("report %d: %s", report.seq, e)
            return
        received = self._clock.now()
        self._clock.hear(response.now, sent, received)
        self.outbox.answered(response.applied)
        self.on_figures(response.loops)
        if response.reply is not None:
            self.wallet.on_reply(self._clock.now(), response.reply)
        if response.scope != self.scope_version:
            self.on_newer_scope()
        self._wake.set()
