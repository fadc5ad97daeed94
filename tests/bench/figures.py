"""Figures of a bench: quantiles, ratios, and how they are shown."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
_BARS = "▁▂▃▄▅▆▇█"


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which `part` of them lie; of none, not a number."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def paired_ratio(these: Sequence[float], those: Sequence[float]) -> float:
    """The median of the rounds' ratios: what slows the machine in one round slows both sides of it."""
    ratios = [a / b for a, b in zip(these, those, strict=True) if b]
    return statistics.median(ratios) if ratios else float("nan")


def verdict(figure: float, goal: float, *, most: bool) -> str:
    """`met` or `not met`, coloured, with the goal."""
    met = figure <= goal if most else figure >= goal
    sign = "≤" if most else "≥"
    return f"[green]met[/] ({sign} {goal:g})" if met else f"[red]not met[/] ({sign} {goal:g})"


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """A line of bars from the least to the most of the values."""
    if not values:
        return ""
    step = max(1.0, len(values) / width)
    picked = [values[int(i * step)] for i in range(min(width, len(values)))]
    low, high = min(picked), max(picked)
    span = (high - low) or 1.0
    return "".join(_BARS[int((v - low) / span * (len(_BARS) - 1))] for v in picked)


def write(name: str, figures: Any) -> Path:
    """Writes results/NAME.json, replaced in one step, and returns its path."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    scratch = path.with_suffix(".tmp")
    scratch.write_text(json.dumps(figures, indent=1) + "\n")
    scratch.replace(path)
    return path
