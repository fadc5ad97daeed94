"""docs/sdks.md as data: its tables are the expectations, and what was seen is said in the words of their cells."""

from pathlib import Path

from sdks.rungs import Seen

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sdks.md"
TOLD_SECONDS = 59.0
"""The Retry-After of a call whose turn in stage Slow is minutes away: the longest that is ever told."""


def tables(text: str) -> dict[str, dict[str, str]]:
    """Every table whose first column is ``SDK``: cells by row and column; raises ValueError where one is said twice."""
    found: dict[str, dict[str, str]] = {}
    columns: list[str] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split(" | ")]
        if not line.startswith("|"):
            columns = []
        elif cells[0] == "SDK":
            columns = cells[1:]
        elif columns and not cells[0].startswith("-"):
            row = found.setdefault(cells[0], {})
            for column, cell in zip(columns, cells[1:], strict=True):
                if column in row:
                    raise ValueError(f"{column!r} of {cells[0]!r} is said twice")
                row[column] = cell
    return found


def said(seen: Seen, rung: str) -> str:
    """What was seen on a rung, as a cell says it; where models change, with the one that the answer names."""
    if "error" in seen.told:
        waits = f", {_waits(seen.told['waits'])}" if seen.attempts > 1 else ""
        return f"{seen.attempts} × {seen.told['error']} {seen.told['status']}{waits}"
    finish = f"{seen.told['finish']}, {seen.told['model']}" if rung.startswith("Downgrade") else seen.told["finish"]
    return finish if seen.attempts == 1 else f"{seen.attempts} × {finish}"


def _waits(seconds: list[float]) -> str:
    """Whether the SDK waited as long as it was told."""
    return "as told" if set(seconds) == {TOLD_SECONDS} else "at its own pace"
