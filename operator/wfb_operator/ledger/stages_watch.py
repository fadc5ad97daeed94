"""Stage changes: each window's place on its ladder is looked at after every group of reports, and told when it moved."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wfb_core.grants import Window
from wfb_core.stages import OPEN, stage_of
from wfb_operator.ledger.budgets import Budgets
from wfb_operator.ledger.store.port import StageChange, Writes


@dataclass(slots=True)
class WindowNote:
    """What a window is of, and where it was last seen on its ladder."""

    budget: str
    kind: str
    stage: str = OPEN


def watch_stages(
    windows: Mapping[str, Window],
    notes: Mapping[str, WindowNote],
    budgets: Budgets,
    looked_at: Iterable[str],
    now: float,
    writes: Writes,
) -> set[str]:
    """Note every window whose stage is another than before; returns their ids.

    The stage goes with the window into the store in the same transaction, so each change is told once, restarts or not.
    """
    moved = set()
    for window_id in looked_at:
        note = notes[window_id]
        found = budgets.limit(note.budget, note.kind)
        if found is None:
            continue  # its budget is gone: there is no ladder to stand on
        budget, limit = found
        spent = windows[window_id].used
        stage = stage_of(budget.ladder_of(limit), spent, limit.nanos).name
        if stage != note.stage:
            writes.stages.append(
                StageChange(window_id, note.budget, note.kind, note.stage, stage, now, spent, limit.nanos)
            )
            note.stage = stage
            moved.add(window_id)
    return moved
