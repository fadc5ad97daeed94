"""A holder without a wallet: it says what a test wants said, and the ledger's sums are checked after each report."""

from dataclasses import dataclass, field
from math import inf
from typing import Any

from wfb_core.grants import Claim, Ledger, Need, Reply, Report
from wfb_core.grants.window import SUMS


@dataclass
class Talk:
    """One holder's side of the conversation, without a wallet: it says what a test wants said."""

    ledger: Ledger
    name: str
    seq: int = 0
    epoch: int = 0
    last: Report | None = field(default=None, init=False)

    def say(self, now: float, claims: dict[str, Claim], *needs: Need) -> Reply:
        """Send the next report."""
        self.seq += 1
        self.last = Report(self.name, self.epoch, self.seq, claims, needs)
        reply = self.ledger.report(now, self.last)
        assert reply is not None
        for window in self.ledger.windows:
            rows = [row for (_, name), row in self.ledger.rows.items() if name == window]
            assert all(sum(getattr(r, s) for r in rows) == getattr(self.ledger.windows[window], s) for s in SUMS)
        self.epoch = reply.epoch
        return reply


def claim(used: int = 0, held: int = 0, ceiling: int | None = None, *, want: int = 0, expected: int = 0) -> Claim:
    """A claim whose ceiling is what it uses and holds, unless said."""
    return Claim(used, held, expected, used + held if ceiling is None else ceiling, want)


def need(
    hold: int, *windows: str, call: int = 1, waited: float = 0.0, expected: int = 0, patience: float = inf
) -> Need:
    """A waiting call."""
    return Need(call, hold, expected, windows or ("w",), waited, patience)


def ledger_of(limit: int = 1000, *names: str, **options: Any) -> Ledger:
    """A ledger with open windows."""
    ledger = Ledger()
    for name in names or ("w",):
        ledger.open(name, limit, **options)
    return ledger
