"""What a run, or a while, has cost: the ledger's rows added up, as tables for people and as JSON for programs.

rich is loaded only by what prints, because ``wfb run`` is here before its command has started.
"""

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import IO, TYPE_CHECKING, Any

from wfb_core.budget import RUN
from wfb_core.windows import parse_window_id
from wfb_operator.showback.shown import plain

if TYPE_CHECKING:
    from rich.table import Table

type Row = Mapping[str, Any]

COUNTS = (
    "calls",
    "refused",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
)
"""The counts of a usage row."""

AMOUNTS = ("usd", "list_usd", "estimated_usd")
"""The amounts of a usage row: what was charged, what list prices would be, and what was not metered exactly."""

_COLUMNS = (
    ("calls", "calls"),
    ("refused", "refused"),
    ("input", "input_tokens"),
    ("cache read", "cache_read_tokens"),
    ("cache write", "cache_write_tokens"),
    ("output", "output_tokens"),
    ("reasoning", "reasoning_tokens"),
    ("cost", "usd"),
    ("list", "list_usd"),
    ("estimated", "estimated_usd"),
)
_ALWAYS = {"calls", "refused", "input_tokens", "output_tokens", "usd", "estimated_usd"}
"""Columns that are there even where all is zero; the other classes of tokens only take room then."""

PLAIN_WIDTH = 200
"""Columns where there is no terminal: a table in a file is not cut."""

_STYLES = {"Warn": "yellow", "Slow": "yellow", "Downgrade": "magenta", "Exhausted": "red"}
_TIMES = {"minute": 60.0, "hour": 3_600.0, "day": 86_400.0}
_SMALLEST = Decimal("0.000001")


def dollars(amount: str) -> str:
    """A decimal string for people: ``$1,234.50``, six places at most, and nothing that is not zero shown as zero."""
    value = Decimal(amount)
    sign, value = ("-" if value < 0 else ""), abs(value)
    if 0 < value < _SMALLEST:
        return f"{sign}<${_SMALLEST:f}"
    whole, _, places = f"{value.quantize(_SMALLEST, ROUND_HALF_UP):,f}".partition(".")
    return f"{sign}${whole}.{places.rstrip('0').ljust(2, '0')}"


def moment(unix: float | None) -> str:
    """A time in this machine's zone; empty for one that never comes."""
    if unix is None:
        return ""
    return datetime.datetime.fromtimestamp(unix).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def folded(
    rows: Iterable[Row], by: Sequence[str], keep: Callable[[Row], bool] = lambda _: True
) -> list[dict[str, Any]]:
    """Usage rows added up by some of their dimensions, dearest first; amounts are exact decimal strings."""
    sums: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in filter(keep, rows):
        key = tuple(row.get(name, "") for name in by)
        into = sums.setdefault(key, dict.fromkeys(COUNTS, 0) | dict.fromkeys(AMOUNTS, Decimal(0)))
        for name in COUNTS:
            into[name] += row.get(name, 0)
        for name in AMOUNTS:
            into[name] += Decimal(row.get(name, "0"))
    ordered = sorted(sums.items(), key=lambda item: (-item[1]["usd"], tuple(map(str, item[0]))))
    return [
        dict(zip(by, key, strict=True)) | into | {name: amount_text(into[name]) for name in AMOUNTS}
        for key, into in ordered
    ]


def nothing() -> dict[str, Any]:
    """The sums of no rows at all."""
    return dict.fromkeys(COUNTS, 0) | dict.fromkeys(AMOUNTS, "0.00")


def amount_text(amount: Decimal) -> str:
    """An exact amount as the ledger writes it: at least two places, no exponent."""
    whole, _, places = f"{amount:f}".partition(".")
    return f"{whole}.{places.rstrip('0').ljust(2, '0')}"


def budgets_of(summary: Row, keys: Iterable[str] | None, run: str | None) -> list[Row]:
    """The windows of a summary that concern these budgets (None: all) and, of windows of a run, only that run's."""
    wanted = None if keys is None else set(keys)
    return [
        row
        for row in summary.get("budgets", ())
        if (wanted is None or row["budget"] in wanted)
        and (run is None or row["kind"] != RUN or parse_window_id(row["window"])[2] == run)
    ]


def usage_rows(answer: Row) -> list[dict[str, Any]]:
    """The rows of an answer of ``/v1/usage``, with the estimated part of their cost beside it."""
    return [row | {"estimated_usd": row["usd"] if row.get("estimated") else "0"} for row in answer["usage"]]


def difference(whole: Row, parts: Sequence[Row]) -> dict[str, Any]:
    """What rows leave of their total, as ``folded`` gives both."""
    listed = (folded(parts, ()) or [nothing()])[0]
    left: dict[str, Any] = {name: whole[name] - listed[name] for name in COUNTS}
    return left | {name: amount_text(Decimal(whole[name]) - Decimal(listed[name])) for name in AMOUNTS}


def usage_table(
    rows: Sequence[Row], by: Sequence[str], title: str, *, rest: Row | None = None, total: Row | None = None
) -> "Table":
    """Usage by some dimensions, with a line of totals below more than one; rows as ``folded`` gives them.

    ``rest`` is what the rows leave out of ``total``, a line of its own where it is not nothing.
    """
    from rich.text import Text  # noqa: PLC0415

    more = rest is not None and any(Decimal(rest[name]) for name in (*COUNTS, *AMOUNTS))
    table = _table(title, show_footer=len(rows) > 1 or more)
    total = total or (folded(rows, ()) or [{}])[0]
    for index, name in enumerate(by):
        table.add_column(name.replace("_", " "), footer="total" if index == 0 else "", overflow="fold")
    columns = [(head, name) for head, name in _COLUMNS if name in _ALWAYS or _worth_a_column(name, total)]
    for head, name in columns:
        table.add_column(head, justify="right", footer=_figure(name, total.get(name, 0)), no_wrap=True)
    for row in rows:
        dimensions = [Text(_dimension(name, row.get(name, ""))) for name in by]
        table.add_row(*dimensions, *(_figure(name, row[name]) for _, name in columns))
    if more and rest is not None:
        table.add_row("all others", *[""] * (len(by) - 1), *(_figure(name, rest[name]) for _, name in columns))
    return table


def statement_table(rows: Sequence[Row], dimension: str, amounts: Sequence[str], title: str) -> "Table":
    """What each name is charged: its own, its shares, and the sum."""
    from rich.text import Text  # noqa: PLC0415

    table = _table(title, show_footer=len(rows) > 1)
    table.add_column(dimension, footer="total", overflow="fold")
    for name in amounts:
        table.add_column(name, justify="right", footer=dollars(_sum(*(row[name] for row in rows))), no_wrap=True)
    for row in rows:
        table.add_row(Text(_dimension(dimension, row[dimension])), *(dollars(row[name]) for name in amounts))
    return table


def _worth_a_column(name: str, total: Row) -> bool:
    """Tokens of a class where there are any; the list price where a contract's differs from it."""
    if name == "list_usd":
        return bool(total) and Decimal(total[name]) != Decimal(total["usd"])
    return bool(total.get(name))


def budget_table(rows: Sequence[Row]) -> "Table":
    """Windows of budgets: how much of each is spent, and when it begins anew."""
    from rich.text import Text  # noqa: PLC0415

    table = _table("Budgets")
    many_runs = sum(row["kind"] == RUN for row in rows) > 1
    in_flight = [_sum(row.get("reserved_usd", "0"), row.get("lost_usd", "0")) for row in rows]
    for name in ("budget", "window"):
        table.add_column(name, overflow="fold")
    for name in ("limit", "spent", *(("in flight",) if any(map(Decimal, in_flight)) else ()), "used"):
        table.add_column(name, justify="right", no_wrap=True)
    held = [held_back(row.get("pacing"), row.get("paced_usd_per_hour"), row.get("queued")) for row in rows]
    for name in ("stage", *(("held back",) if any(held) else ()), "resets"):
        table.add_column(name, no_wrap=True)
    for row, reserved, waits in zip(rows, in_flight, held, strict=True):
        table.add_row(
            Text(plain(row["budget"])),
            Text(
                f"{RUN} {plain(parse_window_id(row['window'])[2])}" if many_runs and row["kind"] == RUN else row["kind"]
            ),
            dollars(row["limit_usd"]),
            dollars(row["spent_usd"]),
            *((dollars(reserved),) if any(map(Decimal, in_flight)) else ()),
            f"{row['percent_used']} %",
            Text(row["stage"], style=_STYLES.get(row["stage"], "")),
            *((waits,) if any(held) else ()),
            moment(row.get("end")) or "never",
        )
    return table


def held_back(action: str | None, rate: str | None, queued: int | None) -> str:
    """What holds a window's calls back, to how many dollars an hour, and how many wait now; empty where nothing does."""
    pace = f"{action} to {dollars(rate or '0')}/h" if action else ""
    return ", ".join(part for part in (pace, f"{queued} wait" if queued else "") if part)


def comparison_table(title: str, *, priced: bool) -> "Table":
    """The head of a table that compares books and export, in dollars or in tokens."""
    table = _table(title)
    unit = "" if priced else " tokens"
    table.add_column("day", no_wrap=True)
    table.add_column("model", overflow="fold", min_width=12)
    for name in (f"books{unit}", f"provider{unit}", "drift", "in %"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("likely why", overflow="fold", min_width=24)
    return table


def _table(title: str, **options: Any) -> "Table":
    """An empty table in our manner: no lines between columns, so that eighty of them hold much."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    return Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, **options
    )


def _sum(*amounts: str) -> str:
    return amount_text(sum(map(Decimal, amounts), Decimal(0)))


def print_tables(tables: "Iterable[Table]", stream: IO[str], width: int | None = None) -> None:
    """Prints tables as wide as the terminal, or as wide as they are where there is none; ``width`` in columns."""
    from rich.console import Console  # noqa: PLC0415

    console = Console(file=stream, width=width or (None if stream.isatty() else PLAIN_WIDTH))
    for table in tables:
        console.print(table)


def _figure(name: str, value: Any) -> str:
    """A count or an amount for people."""
    return dollars(value or "0") if name in AMOUNTS else f"{value:,}"


def _dimension(name: str, value: Any) -> str:
    """A dimension's value, safe on a terminal; a minute, hour or day as the time when it begins."""
    if name in _TIMES and isinstance(value, int):
        return moment(value * _TIMES[name])
    return plain(value) if value not in {"", None} else "-"
