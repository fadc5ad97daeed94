"""The sidecar's clock: the ledger's time, carried on by the monotonic clock between two answers."""

import time
from collections.abc import Callable


class LedgerClock:
    """Unix seconds as the ledger counts them; a wall clock set back or forward in the pod changes nothing.

    Until the ledger has been heard the pod's own wall clock stands in.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._offset = wall() - monotonic()
        self.heard = False

    def now(self) -> float:
        """The ledger's time, as well as it is known."""
        return self._monotonic() + self._offset

    def hear(self, ledger_now: float, sent: float, received: float) -> None:
        """Follows the ledger's answer; `sent` and `received` are `now()` around the exchange.

        The true offset lies within the exchange's length, so a difference within it is left alone: time must not
        jitter with the network.
        """
        slack = received - sent
        ahead = ledger_now - sent  # how far the ledger is ahead of our idea at sending; 0…slack when we agree
        if ahead < 0 or ahead > slack:
            self._offset += ahead - slack / 2
        self.heard = True
