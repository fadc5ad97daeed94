"""What happens while the command runs: edits of the budget files, changes of stage, and one line that shows both."""

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO

from wfb_core.budget import Budget
from wfb_core.money import format_usd
from wfb_core.stages import OPEN
from wfb_operator.cli.budget_file import BudgetFileError, LoadedBudget
from wfb_operator.cli.tables import Row, dollars

AUTO, OFF, ON = "auto", "off", "on"

GONE_AFTER = 6
"""Looks at a file that is not there before that is said: editors replace files."""

type Stamp = tuple[int, int, int] | None


@dataclass(slots=True)
class Voice:
    """Everything that ``wfb`` says on standard error, so that the live line and sentences do not run into each other."""

    stream: IO[str] = field(default_factory=lambda: sys.stderr)
    quiet: bool = False
    live: bool = False
    _shown: bool = False

    def note(self, sentence: str) -> None:
        """Something good to know; nothing when quiet."""
        if not self.quiet:
            self.trouble(sentence)

    def trouble(self, sentence: str) -> None:
        """Something that went wrong; each of its lines after ``wfb:``, except those that continue one."""
        self.clear()
        for line in sentence.splitlines():
            self._write(f"{'' if line.startswith(' ') else 'wfb: '}{line}\n")

    def line(self, text: str) -> None:
        """Shows the live line in place of the last; the cursor stays at its start, so the command's output covers it."""
        if self.live:
            self._write(f"\r\x1b[2K{text[: shutil.get_terminal_size().columns - 1]}\r")
            self._shown = True

    def clear(self) -> None:
        """Takes the live line away."""
        if self._shown:
            self._write("\r\x1b[2K")
            self._shown = False

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads it any more: no reason to end the command


def shows_live(choice: str, stderr_is_terminal: bool, stdout_is_terminal: bool) -> bool:
    """Whether the live line is drawn: by itself only where it cannot run into the command's output."""
    return stderr_is_terminal and (choice == ON or (choice == AUTO and not stdout_is_terminal))


@dataclass(slots=True)
class BudgetFiles:
    """The budget files of a run: read at its start, and again when one is edited."""

    paths: Sequence[str]
    load: Callable[[str], list[LoadedBudget]]
    current: dict[str, list[LoadedBudget]] = field(default_factory=dict)
    _stamps: dict[str, Stamp] = field(default_factory=dict)
    _seen: dict[str, Stamp] = field(default_factory=dict)
    _gone: dict[str, int] = field(default_factory=dict)

    def read(self) -> list[LoadedBudget]:
        """Every budget of every file; raises BudgetFileError with the mistakes of all of them."""
        mistakes = []
        for path in self.paths:
            self._stamps[path] = self._seen[path] = _stamp(path)
            try:
                self.current[path] = self.load(path)
            except BudgetFileError as error:
                mistakes.append(error)
        if mistakes:
            problems = [problem for error in mistakes for problem in error.problems]
            together = BudgetFileError(mistakes[0].path, problems)
            together.args = ("\n".join(map(str, mistakes)),)
            raise together
        return self.budgets()

    def budgets(self) -> list[LoadedBudget]:
        """The budgets as last read."""
        return [loaded for path in self.paths for loaded in self.current[path]]

    def again(self, path: str) -> None:
        """Take an edit up once more at the next look, because it could not be passed on."""
        self._stamps[path] = None

    def edited(self) -> list[tuple[str, list[LoadedBudget] | str]]:
        """Files with a new content that has stayed for one look: (path, its budgets, or what is wrong with it)."""
        found: list[tuple[str, list[LoadedBudget] | str]] = []
        for path in self.paths:
            stamp = _stamp(path)
            if stamp is None:
                self._gone[path] = self._gone.get(path, 0) + 1
                if self._gone[path] == GONE_AFTER:
                    found.append((path, f"{path} is gone: the budgets that it held stay as they were"))
                continue
            self._gone[path] = 0
            settled, self._seen[path] = stamp == self._seen[path], stamp
            if settled and stamp != self._stamps[path]:
                self._stamps[path] = stamp
                try:
                    found.append((path, self.load(path)))
                except BudgetFileError as error:
                    found.append((path, f"{error}\n{path} was edited and is not valid: the budgets stay as they were"))
        return found


def _stamp(path: str) -> Stamp:
    """What changes with every edit of a file; None where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def changes(before: Sequence[Budget], after: Sequence[Budget]) -> list[str]:
    """What an edit changed, a sentence for each budget; nothing where it changed nothing."""
    old, new = ({budget.key or budget.name: budget for budget in budgets} for budgets in (before, after))
    sentences = [f"budget {key}: removed, it limits nothing any more" for key in old if key not in new]
    for key, budget in new.items():
        if key not in old:
            sentences.append(f"budget {key}: added")
        elif budget != old[key]:
            sentences.append(f"budget {key}: {', '.join(_differences(old[key], budget)) or 'changed'}")
    return sentences


def _differences(old: Budget, new: Budget) -> list[str]:
    found = []
    if old.suspend != new.suspend:
        found.append("suspended, every call is refused" if new.suspend else "no longer suspended")
    amounts = {limit.window: limit.nanos for limit in old.limits}
    for limit in new.limits:
        was, now = amounts.pop(limit.window, None), f"${format_usd(limit.nanos)}"
        if was is None:
            found.append(f"{limit.window} limit {now} added")
        elif was != limit.nanos:
            found.append(f"{limit.window} limit ${format_usd(was)} → {now}")
    found.extend(f"{window} limit removed" for window in amounts)
    if old.enforcement != new.enforcement:
        found.append(f"enforcement {old.enforcement} → {new.enforcement}")
    if (old.selector, old.namespace_selector) != (new.selector, new.namespace_selector):
        found.append("selector changed")
    return found


@dataclass(slots=True)
class Stages:
    """The stage at which each window was last seen."""

    _last: dict[str, str] = field(default_factory=dict)

    def changed(self, windows: Iterable[Row]) -> list[str]:
        """A sentence for each window whose stage differs from when it was last seen; a new one was Open."""
        found = []
        for row in windows:
            if row["stage"] != self._last.get(row["window"], OPEN):
                found.append(
                    f"budget {row['budget']}: {row['percent_used']} % of {dollars(row['limit_usd'])}"
                    f" ({row['kind']}), {row['stage']}"
                )
            self._last[row["window"]] = row["stage"]
        return found


def live_text(windows: Sequence[Row]) -> str:
    """The two tightest windows in one line."""
    tight = sorted(windows, key=lambda row: -int(row["percent_used"]))[:2]
    return "wfb  " + "  |  ".join(
        f"{row['budget']} {row['kind']} {dollars(row['spent_usd'])} of {dollars(row['limit_usd'])}"
        f" ({row['percent_used']} %) {row['stage']}"
        for row in tight
    )
