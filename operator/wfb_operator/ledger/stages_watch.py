"""Stage changes: each window's place on its ladder is looked at after every group of reports, and told when it moved.

A rung that names somebody to tell leaves a notice, in the same transaction; one for each rung and window, for ever.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from wfb_core.budget import Rung
from wfb_core.grants import Window
from wfb_core.stages import EXHAUSTED, OPEN, stage_of
from wfb_core.windows import is_shadow
from wfb_operator.ledger.budgets import Budgets
from wfb_operator.ledger.store.port import Notice, StageChange, Writes


@dataclass(slots=True)
class WindowNote:
    """What a window is of, and where it was last seen on its ladder."""

    budget: str
    kind: str
    stage: str = OPEN
    rung: int = 0
    """The percentage at which the stage began; 0 also where an older version has noted it."""


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
        if is_shadow(window_id):
            continue  # what would be is told with the calls, and is no stage of anything
        note = notes[window_id]
        found = budgets.limit(note.budget, note.kind)
        if found is None:
            continue  # its budget is gone: there is no ladder to stand on
        budget, limit = found
        spent = windows[window_id].used
        ladder = budget.ladder_of(limit)
        stage = stage_of(ladder, spent, limit.nanos)
        if stage.name == note.stage and (stage.at_percent == note.rung or not note.rung):
            continue
        writes.stages.append(
            StageChange(
                window_id, note.budget, note.kind, note.stage, stage.name, now, spent, limit.nanos, stage.at_percent
            )
        )
        for percent, name in told_rungs(ladder, note.rung, stage.at_percent):
            writes.notices.append(Notice(window_id, percent, note.budget, name, now, spent, limit.nanos))
        note.stage, note.rung = stage.name, stage.at_percent
        moved.add(window_id)
    return moved


def told_rungs(ladder: Iterable[Rung], before: int, now: int) -> list[tuple[int, str]]:
    """(percentage, stage) of what was reached since a percentage and names somebody; the limit is for all whom any rung names."""
    telling = [rung for rung in ladder if rung.notify]
    reached = [(rung.at_percent, rung.action) for rung in telling if before < rung.at_percent <= now]
    return reached + ([(100, EXHAUSTED)] if telling and before < 100 <= now else [])
