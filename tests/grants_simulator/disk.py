"""What a ledger wrote down: only the changes it named, so a forgotten change shows after a restart."""

from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Self

from wfb_core.grants import Holder, Ledger, Row, Window


@dataclass
class Disk:
    """Durable copies of windows, rows and holders."""

    windows: dict[str, Window] = field(default_factory=dict)
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    holders: dict[str, Holder] = field(default_factory=dict)
    epoch: int = 1
    learn_until: float = -inf

    def write(self, ledger: Ledger) -> None:
        """One transaction: everything that changed since the last."""
        changes = ledger.take_changes()
        self._put(self.windows, ledger.windows, changes.windows)
        self._put(self.rows, ledger.rows, changes.rows)
        self._put(self.holders, ledger.holders, changes.holders)
        self.epoch, self.learn_until = ledger.epoch, ledger.learn_until

    @staticmethod
    def _put(kept: dict[Any, Any], living: dict[Any, Any], names: set[Any]) -> None:
        for name in names:
            if name in living:
                kept[name] = replace(living[name])
            else:
                kept.pop(name, None)

    def load(self, kind: type[Ledger], now: float) -> Ledger:
        """The ledger that a new process makes of it."""
        copy = self.copy()
        return kind(copy.windows, copy.rows, copy.holders, copy.epoch, copy.learn_until, now)

    def copy(self) -> Self:
        """A backup."""
        return type(self)(
            {name: replace(window) for name, window in self.windows.items()},
            {key: replace(row) for key, row in self.rows.items()},
            {name: replace(holder) for name, holder in self.holders.items()},
            self.epoch,
            self.learn_until,
        )
