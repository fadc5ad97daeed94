"""What the cluster's demo shows while agents spend: budgets filling, the last Events, and the provider's bill."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from rich import box
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

COLOURS = {"Open": "green", "Warn": "yellow", "Slow": "dark_orange", "Downgrade": "magenta", "Exhausted": "red"}
EVENTS_SHOWN = 6


@dataclass(frozen=True)
class Picture:
    """The cluster at one moment, as kubectl and the provider give it."""

    seconds: float
    budgets: Sequence[Mapping[str, Any]] = ()
    pods: Sequence[Mapping[str, Any]] = ()
    events: Sequence[Mapping[str, Any]] = ()
    bill: Mapping[str, Any] = field(default_factory=dict)


def live(picture: Picture) -> Group:
    """All of it, for a terminal."""
    return Group(_budgets(picture), _events(picture.events), _bill(picture))


def line(picture: Picture) -> str:
    """The same in a line, for a log."""
    parts = [f"{_name(b)} {_status(b, 'spentUSD', '0')}/{_status(b, 'limitUSD', '-')}" for b in picture.budgets]
    return f"{picture.seconds:4.0f} s  {'  '.join(parts)}  billed {picture.bill.get('usd', '0')}"


def _budgets(picture: Picture) -> Table:
    title = f"kubectl get finops -A   ({picture.seconds:.0f} s)"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1, 0, 0), expand=True)
    for name in ("budget", "spent $", "limit $", "used", "", "stage", "pods"):
        right = "$" in name or name == "used"
        table.add_column(name, justify="right" if right else "left", no_wrap=True, ratio=None if name else 1)
    for budget in picture.budgets:
        stage, percent = _status(budget, "stage", "…"), int(_status(budget, "percentUsed", 0))
        colour = COLOURS.get(stage, "white")
        bar = ProgressBar(completed=min(100, percent), complete_style=colour, finished_style=colour)
        refused = (budget.get("status") or {}).get("lastRefusal")
        shown = Text(stage, colour) + (Text(" · refuses", "red") if refused and stage != "Exhausted" else Text())
        table.add_row(
            _name(budget),
            _status(budget, "spentUSD", "0.00"),
            _status(budget, "limitUSD", "…"),
            f"{percent} %",
            bar,
            shown,
            _pods(budget, picture.pods),
        )
    return table


def _pods(budget: Mapping[str, Any], pods: Iterable[Mapping[str, Any]]) -> Text:
    """Running and ended pods of a namespaced budget's workflow, a sign each."""
    asked = budget["spec"].get("selector", {}).get("matchLabels", {})
    signs = Text()
    for pod in pods:
        labels = pod["metadata"].get("labels", {})
        if budget["metadata"].get("namespace") != pod["metadata"]["namespace"] or not asked.items() <= labels.items():
            continue
        phase = (pod.get("status") or {}).get("phase", "")
        signs += {"Running": Text("● ", "green"), "Succeeded": Text("✓ ", "blue"), "Failed": Text("✗ ", "red")}.get(
            phase, Text("○ ", "bright_black")
        )
    return signs


def _events(events: Iterable[Mapping[str, Any]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for event in sorted(events, key=lambda e: e["firstTimestamp"])[-EVENTS_SHOWN:]:
        about = event["involvedObject"]
        warning = "yellow" if event["type"] == "Warning" else "white"
        table.add_row(f"[dim]{event['firstTimestamp'][11:19]}[/]", about["name"], f"[{warning}]{event['message']}[/]")
    return table


def _bill(picture: Picture) -> Text:
    return Text(f"\nthe provider has billed ${Decimal(str(picture.bill.get('usd', 0))):f}", "bold")


def _name(budget: Mapping[str, Any]) -> str:
    return "/".join(filter(None, (budget["metadata"].get("namespace", ""), budget["metadata"]["name"])))


def _status(budget: Mapping[str, Any], name: str, default: Any) -> Any:
    return (budget.get("status") or {}).get(name, default)
