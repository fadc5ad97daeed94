"""``wfb top``: what is going on now, drawn anew every few seconds, or once."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from wfb_core.money import format_usd
from wfb_operator.cli import tables
from wfb_operator.cli.plan import UsageError
from wfb_operator.cli.report import only_of
from wfb_operator.cli.source import add_flags, opened
from wfb_operator.cli.state import LedgerError
from wfb_operator.showback.books import Row
from wfb_operator.showback.now import Name, Now, look
from wfb_operator.showback.shown import named, plain

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

MINUTES_MOST = 24 * 60
BAR = 24
_BLOCKS = "▁▂▃▄▅▆▇█"
_STYLES = {"Warn": "yellow", "Slow": "yellow", "Downgrade": "magenta", "Exhausted": "red"}


def add_parser(commands: Any) -> None:
    """Adds ``top`` to the command line."""
    parser = commands.add_parser(
        "top",
        help="what is spent now, live: budgets, workflows, models, runs",
        description=(
            "Shows what is spent now, by the runs on this machine or in a cluster: budgets, the dearest names, what was"
            " refused. Ctrl-C ends it."
        ),
        epilog=(
            "examples:\n"
            "  wfb top\n"
            "  wfb top --minutes 15 --only team=billing\n"
            "  wfb top --once                        one look, for a terminal or a file\n"
            "  wfb top --json                        one look, for a program\n"
            "  kubectl wfb top -n billing            one namespace of the cluster; -A for all of it"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--minutes", metavar="N", type=int, default=60, help="how long the last while is (default: 60)")
    add("--only", metavar="NAME=VALUE", action="append", default=[], help="such as team=billing; may be repeated")
    add("--rows", metavar="N", type=int, default=8, help="names of each kind (default: 8)")
    add("--every", metavar="SECONDS", type=float, default=2.0, help="between two looks (default: 2)")
    add("--once", action="store_true", help="one look, then end")
    add("--json", action="store_true", help="one look as a JSON document")
    add_flags(parser)
    parser.set_defaults(run=top)


def top(args: argparse.Namespace) -> int:
    """Shows it; raises UsageError, StateError, StartError and LedgerError."""
    for option, value, least, most in (
        ("--minutes", args.minutes, 2, MINUTES_MOST),
        ("--rows", args.rows, 1, 100),
        ("--every", args.every, 0.5, 3600),
    ):
        if not least <= value <= most:
            raise UsageError(f"{option} {value:g} is not from {least:g} to {most:g}")
    only = only_of(args.only)
    with opened(args) as source:
        kept = source.kept_to(only)

        def seen() -> Now:
            return look(source.books, time.time(), args.minutes, args.rows, kept)

        if args.json:
            print(json.dumps(seen().document(), indent=2))
        elif args.once or not sys.stdout.isatty():
            _console().print(screen(seen(), source.scope))
        else:
            _live(seen, source.scope, args.every)
    return 0


def _console() -> Any:
    from rich.console import Console  # noqa: PLC0415

    return Console(width=None if sys.stdout.isatty() else 120)


def _live(seen: Callable[[], Now], scope: str, every: float) -> None:
    from rich.live import Live  # noqa: PLC0415

    now = seen()
    with Live(screen(now, scope), console=_console(), screen=True, auto_refresh=False) as live:
        while True:
            try:
                time.sleep(every)
            except KeyboardInterrupt:
                return
            now, problem = look_again(seen, now)
            live.update(screen(now, scope, problem), refresh=True)


def look_again(seen: Callable[[], Now], last: Now) -> tuple[Now, str]:
    """The next look, or the last with a sentence while books that answered do not; raises LedgerError for what stays."""
    try:
        return seen(), ""
    except LedgerError as error:
        if error.status < 500:  # not allowed, not there, or the ledger of this machine has gone
            raise
        return last, f"shown as of {time.strftime('%H:%M:%S', time.localtime(last.at))}: {error}"


# ---------------------------------------------------------------- what is drawn
def screen(now: Now, scope: str = "", problem: str = "") -> "RenderableType":
    """One look as it is drawn: a head line, budgets with bars, the dearest names, refusals and changes of stage.

    ``scope`` says in words whose books they are, ``problem`` why it is not of this moment.
    """
    from rich.columns import Columns  # noqa: PLC0415
    from rich.console import Group  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    names = [_names(dimension, found) for dimension, found in now.names.items() if found]
    parts: list[RenderableType] = [_head(now, scope), _budgets(now.budgets)]
    if problem:
        parts.insert(0, Text(plain(problem, 500), style="red"))
    if names:
        parts.append(Columns(names, padding=(0, 3)))
    if now.refusals or now.stages:
        parts.append(Columns([table for table in (_refusals(now), _stages(now.stages)) if table], padding=(0, 3)))
    return Group(*parts)


def _head(now: Now, scope: str) -> Any:
    from rich.text import Text  # noqa: PLC0415

    line = Text.assemble(
        (f"{_money(now.per_hour)} an hour", "bold"),
        f"   {_money(now.spent)} in {now.minutes} minutes   {now.calls - now.refused:,} calls   ",
        (f"{now.refused:,} refused", "red" if now.refused else ""),
        f"   {time.strftime('%H:%M:%S', time.localtime(now.at))}",
        f"   {scope}" if scope else "",
    )
    return Text.assemble(line, "\n", (spark(now.by_minute, 60), "cyan"), "  now\n")


def spark(values: Sequence[int], width: int) -> str:
    """A line of blocks, the highest the largest value; of more values than its width the sums of neighbours."""
    step = -(-len(values) // width)
    sums = [sum(values[max(0, end - step) : end]) for end in range(len(values), 0, -step)][::-1]
    most = max(sums, default=0)
    if not most:
        return _BLOCKS[0] * len(sums)
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, value * len(_BLOCKS) // most)] for value in sums)


def bar(percent: int, width: int = BAR) -> str:
    """A bar of a share; full where it is all, or more."""
    full = min(width, max(0, percent) * width // 100)
    return "█" * full + "░" * (width - full)


def _budgets(rows: Sequence[Row]) -> "Table":
    from rich.text import Text  # noqa: PLC0415

    table = _table("Budgets" if rows else "Budgets: none", "budget", "window", "", "used", "spent", "limit", "stage")
    for row in rows[:20]:
        percent = int(row["percent_used"])
        colour = "red" if percent >= 100 else "yellow" if percent >= 80 else "green"
        table.add_row(
            Text(plain(row["budget"], 60)),
            str(row["kind"]),
            Text(bar(percent), style=colour),
            f"{percent} %",
            tables.dollars(row["spent_usd"]),
            tables.dollars(row["limit_usd"]),
            Text(str(row["stage"]), style=_STYLES.get(str(row["stage"]), "")),
        )
    return table


def _names(dimension: str, names: Sequence[Name]) -> "Table":
    from rich.text import Text  # noqa: PLC0415

    table = _table(f"{dimension}s", dimension, "spent", "calls", "refused")
    for name in names:
        table.add_row(
            Text(named(name.name, 36)), _money(name.nanos), f"{name.calls - name.refused:,}", f"{name.refused:,}"
        )
    return table


def _refusals(now: Now) -> "Table | None":
    if not now.refusals:
        return None
    table = _table("refused", "reason", "times")
    for reason, count in now.refusals:
        table.add_row(plain(reason), f"{count:,}")
    return table


def _stages(rows: Sequence[Row]) -> "Table | None":
    from rich.text import Text  # noqa: PLC0415

    if not rows:
        return None
    table = _table("changes of stage", "when", "budget", "window", "from", "to")
    for row in rows:
        table.add_row(
            tables.moment(row["at"]), Text(plain(row["budget"], 60)), row["kind"], row["from_stage"], row["to_stage"]
        )
    return table


def _table(title: str, *heads: str) -> "Table":
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    right = {"spent", "limit", "used", "calls", "refused", "times"}
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left", no_wrap=head != "budget", overflow="fold")
    return table


def _money(nanos: int) -> str:
    return tables.dollars(format_usd(nanos))
