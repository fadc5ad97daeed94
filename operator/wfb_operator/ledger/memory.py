"""What the ledger holds in memory: always equal to what is in the store, give or take the transaction being made.

Everything here changes between two transactions only. Where a transaction fails the whole of it is thrown away and
loaded anew, so no part of it can be half applied.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from math import inf

from wfb_core.budget import RUN
from wfb_core.grants import Holder, Row, Window
from wfb_core.runs import MOST, OTHER
from wfb_core.stages import OPEN
from wfb_operator.ledger.budgets import BudgetEntry, Budgets, as_followed, terms_of
from wfb_operator.ledger.grant_book import GrantBook, ended
from wfb_operator.ledger.identities import Identity, from_store
from wfb_operator.ledger.named_runs import NamedRuns
from wfb_operator.ledger.run_costs import RunCosts
from wfb_operator.ledger.stages_watch import WindowNote, watch_stages
from wfb_operator.ledger.store.port import (
    Books,
    Loaded,
    StoredHolder,
    StoredPod,
    StoredRow,
    StoredState,
    StoredWindow,
    Writes,
)
from wfb_operator.ledger.windows_open import Opening, WindowRefusedError, check_window

KEPT_SECONDS = 3600.0
"""How long ended windows, idle runs and silent holders without money stay in memory; later they are loaded when named."""

REVIEWED_MOST = 20_000
"""Tokens of a cluster that are remembered; past it all are looked at anew."""

REACH_MOST = 256
"""Windows remembered per pod as checked."""


@dataclass(slots=True)
class Reach:
    """The budgets of one pod, and the windows already checked for it."""

    entries: tuple[BudgetEntry, ...]
    openings: dict[str, Opening | str] = field(default_factory=dict)
    """By window id: what may be opened, or the reason why not."""


class Memory:
    """Grants, budgets and identities; the grants' own rules are in wfb_core.grants."""

    def __init__(self, loaded: Loaded, awake: float) -> None:
        """``awake`` is when this process began to listen, in Unix seconds."""
        state = loaded.state
        self.grants = GrantBook(epoch=state.epoch, learn_until=state.learn_until, awake=awake)
        self.scope, self.prices = state.scope, state.prices
        self.budgets = Budgets.from_store(loaded.budgets)
        self.run_costs = RunCosts(loaded.run_costs)
        self.named_runs = NamedRuns()
        self.notes: dict[str, WindowNote] = {}
        self.windows_of: dict[str, set[str]] = {}
        self.applied: dict[str, int] = {}
        self.pods: dict[str, StoredPod] = {}
        self.identities = {row.token_sha256: from_store(row) for row in loaded.identities}
        self._reviewed: dict[str, Identity] = {}
        self._reach: dict[str, Reach] = {}
        self._named: dict[str, set[int]] = {}  # by holder prefix: hashes of the run names that it sent
        self._named_since = awake
        self._state_written: StoredState = state
        self._batched: set[str] = set()
        self._rewritten: set[str] = set()
        self.bring_in(loaded.books)
        self.freeze(loaded.books.pods)

    # -- who and what
    def freeze(self, pods: Iterable[StoredPod]) -> None:
        """Labels that a first report froze count for every token of the pod."""
        known = {pod.holder_prefix: pod for pod in pods}
        self.pods.update(known)
        for token, identity in self.identities.items():
            if identity.holder_prefix and (pod := known.get(identity.holder_prefix)):
                self.identities[token] = identity.frozen(pod)

    def known(self, identity: Identity) -> Identity:
        """An identity as it counts now: with the labels that its pod's first report froze, where there was one.

        One that a cluster vouched for is remembered here and not in the store: the cluster is asked again instead.
        """
        if stored := self.identities.get(identity.token_sha256):
            return stored
        pod = self.pods.get(identity.holder_prefix) if identity.holder_prefix else None
        now = identity.frozen(pod) if pod else identity
        if self._reviewed.get(identity.token_sha256) != now:
            if len(self._reviewed) >= REVIEWED_MOST:
                self._reviewed.clear()
                self._reach.clear()
            self._reviewed[identity.token_sha256] = now
            self._reach.pop(identity.token_sha256, None)
        return self._reviewed[identity.token_sha256]

    def reach(self, identity: Identity) -> Reach:
        """The budgets that are for a pod."""
        reach = self._reach.get(identity.token_sha256)
        if reach is None:
            mine = tuple(entry for entry in self.budgets.entries.values() if identity.within(entry.budget))
            reach = self._reach[identity.token_sha256] = Reach(mine)
        return reach

    def opening(self, identity: Identity, window_id: str) -> Opening | str:
        """What a window means to a pod, or the reason why it may not name it."""
        openings = self.reach(identity).openings
        found = openings.get(window_id)
        if found is None:
            try:
                found = check_window(window_id, identity, self.budgets)
            except WindowRefusedError as refused:
                found = refused.reason
            if len(openings) >= REACH_MOST:
                openings.clear()
            openings[window_id] = found
        return found

    def named_run(self, identity: Identity, name: str) -> str:
        """The run that usage is kept under: the pod's own, or below it or instead of it the one that its caller named.

        A pod has so many names in an hour, however many it sends; the rest are one run.
        """
        if not name or name == identity.run:
            return identity.run
        name = name.removeprefix(f"{identity.run}/") if identity.run else name
        known = self._named.setdefault(identity.holder_prefix, set())
        key = hash(name)  # the names themselves would take ten times the room
        if key not in known:
            if len(known) >= MOST:
                name = OTHER
            else:
                known.add(key)
        return f"{identity.run}/{name}" if identity.run else name

    def scope_changed(self, now: float) -> None:
        """Budgets, prices or labels are others: everyone is to ask anew.

        The version follows the clock, so that a store restored from a backup repeats none.
        """
        self.scope = max(self.scope + 1, int(now))
        self._reach.clear()

    # -- windows
    def open(self, opening: Opening) -> None:
        """Open a window that no store knows."""
        terms = asdict(terms_of(as_followed(opening.at.id, opening.budget), opening.limit))
        self.grants.open(opening.at.id, start=opening.at.start, end=opening.at.end, **terms)
        self._note(opening.at.id, opening.budget.key, opening.limit.window, OPEN)

    def edit_windows(self, window_ids: Iterable[str]) -> None:
        """Bring windows to the limits now in force; one whose limit is gone stays as it was."""
        for window_id in window_ids:
            note = self.notes[window_id]
            found = self.budgets.limit(note.budget, note.kind)
            if found is not None:
                budget, limit = found
                self.grants.edit(window_id, **asdict(terms_of(as_followed(window_id, budget), limit)))
                self._rewritten.add(window_id)

    def bring_in(self, books: Books) -> None:
        """Take in what a store knows of windows and holders."""
        new = [w for w in books.windows if w.id not in self.grants.windows]
        self.grants.bring_in(
            {window.id: _window(window) for window in new},
            {(row.holder, row.window): Row(*row[2:]) for row in books.rows},
            {h.id: Holder(h.seq, h.seen, h.epoch, h.flagged, h.lost) for h in books.holders},
        )
        for holder in books.holders:
            self.applied.setdefault(holder.id, holder.applied)
        for window in new:
            self._note(window.id, window.budget, window.kind, window.stage, window.rung)
        self.edit_windows(window.id for window in new)

    def let_go(self, now: float) -> None:
        """Drop what nobody speaks of any more; the store keeps it."""
        before = now - KEPT_SECONDS
        if self._named_since < before:
            self._named, self._named_since = {}, now
        for window_id, window in list(self.grants.windows.items()):
            idle_run = self.notes[window_id].kind == RUN and self.grants.unheard(
                window_id, self._run_ended(window_id, now)
            )
            if ended(window, before) or idle_run:
                self.grants.drop(window_id)
                self.windows_of[self.notes.pop(window_id).budget].discard(window_id)
        for holder in self.grants.put_aside(before):
            self.applied.pop(holder, None)

    def _run_ended(self, window_id: str, now: float) -> float:
        """A run is over when nobody spoke of it since then: its budget may say sooner than memory would."""
        found = self.budgets.limit(self.notes[window_id].budget, RUN)
        return now - min(KEPT_SECONDS, found[1].max_age if found and found[1].max_age is not None else KEPT_SECONDS)

    def forget_runs(self, now: float, writes: Writes) -> None:
        """Have the store forget the runs that are older than their budget's ``maxAge``, but for those in memory."""
        writes.forget_runs = tuple(
            (entry.budget.key, now - limit.max_age)
            for entry in self.budgets.entries.values()
            for limit in entry.budget.limits
            if limit.max_age is not None
        )
        writes.present = self.grants.windows.keys()

    def _note(self, window_id: str, budget: str, kind: str, stage: str, rung: int = 0) -> None:
        self.notes[window_id] = WindowNote(budget, kind, stage, rung)
        self.windows_of.setdefault(budget, set()).add(window_id)

    # -- what is to be written
    def batch_applied(self, holder: str, number: int) -> None:
        """A holder's usage is in up to a batch."""
        self.applied[holder] = number
        self._batched.add(holder)

    def collect(self, now: float, writes: Writes) -> None:
        """Put everything that changed since the last transaction into the next."""
        grants, changes = self.grants, self.grants.take_changes()
        touched = changes.windows | {window for _, window in changes.rows} | self._rewritten
        moved = watch_stages(grants.windows, self.notes, self.budgets, touched & grants.windows.keys(), now, writes)
        for window_id in (changes.windows | moved) & grants.windows.keys():
            writes.windows.append(self._stored_window(window_id))
        for holder, window in changes.rows:
            if (row := grants.rows.get((holder, window))) is not None:
                writes.rows.append(
                    StoredRow(
                        window,
                        holder,
                        row.granted,
                        row.used,
                        row.held,
                        row.expected,
                        row.want,
                        row.released,
                        row.lost,
                        row.beyond,
                    )
                )
        for name in changes.holders | self._batched:
            if (who := grants.holders.get(name)) is not None:
                applied = self.applied.get(name, 0)
                writes.holders.append(StoredHolder(name, who.seq, who.seen, who.epoch, who.flagged, who.lost, applied))
        self._batched, self._rewritten = set(), set()
        state = StoredState(grants.epoch, grants.learn_until, self.scope, self.prices)
        if state != self._state_written:
            writes.state = self._state_written = state

    def _stored_window(self, window_id: str) -> StoredWindow:
        window, note = self.grants.windows[window_id], self.notes[window_id]
        return StoredWindow(
            window_id,
            note.budget,
            note.kind,
            window.start,
            window.end,
            window.limit,
            window.slow_from,
            window.largest,
            window.overdraft,
            window.learned,
            note.stage,
            window.trickle,
            None if window.exhausted_at == inf else window.exhausted_at,
            note.rung,
        )


def _window(stored: StoredWindow) -> Window:
    """A window as the grants have it; its rates and goal are the budget's to say, which follows at once."""
    return Window(
        limit=stored.limit,
        start=stored.starts,
        end=stored.ends,
        slow_from=stored.slow_from,
        largest=stored.largest,
        overdraft=stored.overdraft,
        learned=stored.learned,
        trickle=stored.trickle,
        exhausted_at=inf if stored.exhausted_at is None else stored.exhausted_at,
    )
