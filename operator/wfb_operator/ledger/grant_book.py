"""The grants in memory: only what somebody may still speak about; the rest waits in the store."""

from collections.abc import Mapping
from math import inf

from wfb_core.grants import Holder, Ledger, Row, Window
from wfb_core.grants.window import SUMS


class GrantBook(Ledger):
    """A ledger whose windows and holders come and go, while every window's sums stay whole."""

    __slots__ = ()

    def bring_in(
        self, windows: Mapping[str, Window], rows: Mapping[tuple[str, str], Row], holders: Mapping[str, Holder]
    ) -> None:
        """Take in what a store knows.

        ``rows`` are all rows of the new windows, which make their sums; rows in windows that were here before are
        already in those windows' sums. What is here already stays as it is.
        """
        new = windows.keys() - self.windows.keys()
        for name in new:
            self.windows[name] = windows[name]
        for name, holder in holders.items():
            if name not in self.holders:
                self.holders[name] = holder
                if not holder.lost:
                    self._heard[name] = None
        for (holder_name, window_name), row in rows.items():
            if (holder_name, window_name) in self.rows or window_name not in self.windows:
                continue
            self.rows[holder_name, window_name] = row
            self._index(holder_name, window_name)
            if window_name in new:
                window = self.windows[window_name]
                for total in SUMS:
                    setattr(window, total, getattr(window, total) + getattr(row, total))
                self._agree_on_loss(holder_name, window_name)

    def _agree_on_loss(self, holder: str, window: str) -> None:
        """A holder may have fallen silent, or come back, while a window of it was not here."""
        row, lost = self.rows[holder, window], self.holders[holder].lost
        if lost:
            self._book(holder, window, want=0, expected=0)
        self._book(holder, window, lost=row.granted - row.used if lost else 0)

    def put_aside(self, silent_since: float) -> list[str]:
        """Drop the holders unheard since then that have nothing out; they are brought in again if they return.

        Their rows stay in the windows' sums. Returns their names.
        """
        aside = [
            name
            for name, holder in self.holders.items()
            if holder.seen < silent_since
            and not holder.queued
            and all(_settled(self.rows[name, window]) for window in self._windows_of.get(name, ()))
        ]
        for name in aside:
            for window in self._windows_of.pop(name, set()):
                del self.rows[name, window]
                self._holders_in[window].discard(name)
            del self.holders[name]
            self._heard.pop(name, None)
        return aside

    def drop(self, window_id: str) -> None:
        """Drop a window and its rows that nobody speaks about any more; they stay in the store."""
        pending = self.take_changes()
        self.forget(window_id)
        self.take_changes()  # what forget says to delete is to be kept
        self._changes = pending

    def unheard(self, window_id: str, since: float) -> bool:
        """Whether no holder of a window was heard since then."""
        return all(self.holders[name].seen < since for name in self._holders_in.get(window_id, ()))


def _settled(row: Row) -> bool:
    return row.granted == row.used and row.held == row.expected == row.want == row.lost == row.beyond == 0


def ended(window: Window, before: float) -> bool:
    """Whether a window ended before a time; Run and Total never do."""
    return window.end != inf and window.end < before
