"""The terms under which calls are made: which budgets apply and what models cost, as the ledger last said."""

import asyncio
import contextlib

from wfb_core.hosts import HostRow
from wfb_core.price import ModelPrice, PriceBook, uplifted
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.scope import Scope

FIRST_WORD_SECONDS = 30.0
"""How long a call waits for the first word on budgets; the SDKs wait ten minutes for an answer, proxies before us a minute."""


class Terms:
    """None of both until the ledger has spoken; from then on always the last that it said."""

    def __init__(self, clock: LedgerClock) -> None:
        self._clock = clock
        self._served: dict[tuple[str, str], str] = {}
        self._heard = asyncio.Event()
        self.scope: Scope | None = None
        self.prices: PriceBook | None = None

    def hear(self, scope: Scope, prices: PriceBook) -> None:
        """Which budgets apply from now on, and what models cost; calls that waited for the first word go on."""
        self.scope, self.prices = scope, prices
        self._heard.set()

    async def known(self) -> bool:
        """Whether there are terms.

        A pod's first call is often made before the ledger has answered its sidecar: it is worth a wait, not an error.
        """
        if not self._heard.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), FIRST_WORD_SECONDS)
        return self.scope is not None and self.prices is not None

    def price(self, provider: str, model: str, row: HostRow | None) -> ModelPrice | None:
        """The price of a model by the name that a call gives it, or that its deployment was seen to serve."""
        assert self.prices is not None
        now = self._clock.now()
        host = row.pattern if row is not None else ""
        price = self.prices.find(provider, model, now, host)
        if price is None and (served := self._served.get((host or provider, model))):
            price = self.prices.find(provider, served, now, host)
        return uplifted(price, row.rates_uplift_percent) if price is not None and row is not None else price

    def seen_serving(self, provider: str, deployment: str, row: HostRow | None, model: str) -> None:
        """Learns which model is behind a deployment's name."""
        self._served[(row.pattern if row else provider, deployment)] = model
