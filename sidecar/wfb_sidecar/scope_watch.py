"""Follows the ledger's word on which budgets apply: a long poll that a change ends at once."""

import asyncio
import hashlib
import logging
from collections.abc import Callable

from wfb_core.price import PriceBook
from wfb_core.wire import RunFigures, parse_run_figures
from wfb_sidecar.ledger_link import LedgerLink, LedgerLinkError
from wfb_sidecar.scope import Scope

log = logging.getLogger(__name__)

WAIT = 20.0
PAUSE = 0.5


class ScopeWatch:
    """Calls back with every new scope and its prices; keeps the last one while no ledger answers."""

    def __init__(
        self,
        link: LedgerLink,
        on_scope: Callable[[Scope, PriceBook, dict[str, tuple[int, int]], RunFigures | None], None],
        wall: Callable[[float, float, float], None],
        now: Callable[[], float],
    ) -> None:
        """`wall(ledger_now, sent, received)` hears the ledger's clock; `now` is the clock of `sent` and `received`."""
        self._link = link
        self._on_scope = on_scope
        self._hear = wall
        self._now = now
        self._prices: tuple[str, PriceBook] | None = None
        self.version = 0
        self.errors = 0
        self.last_error = ""

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                await self.once(WAIT if self.version else 0.0)
            except LedgerLinkError as e:
                self._failed(str(e))
                await asyncio.sleep(PAUSE)
            except ValueError as e:
                self._failed(f"the ledger's scope cannot be used: {e}")
                await asyncio.sleep(PAUSE)

    async def once(self, wait: float) -> None:
        """One poll; raises LedgerLinkError, ValueError."""
        sent = self._now()
        answer = await self._link.scope(self.version, wait)
        if answer is None:
            return
        if not self.version:
            self._hear(float(answer["now"]), sent, self._now())
        scope = Scope.from_answer(answer)
        if self._prices is None or self._prices[0] != scope.prices:
            snapshot = await self._link.prices(scope.prices)
            if hashlib.sha256(snapshot).hexdigest() != scope.prices:
                raise ValueError("the price snapshot does not have the hash that the scope names")
            self._prices = (scope.prices, PriceBook.from_snapshot(snapshot))
        rooms = {w: (int(r["left"]), int(r["room"])) for w, r in answer.get("windows", {}).items()}
        self._on_scope(scope, self._prices[1], rooms, parse_run_figures(answer.get("loops")))
        self.version = scope.version

    def _failed(self, text: str) -> None:
        self.errors += 1
        if text != self.last_error:
            log.warning("scope: %s", text)
            self.last_error = text
