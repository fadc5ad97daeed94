"""`wfb meter`: what recorded traffic cost, by model, without installing anything."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from wfb_core.money import format_usd
from wfb_operator.cli.tables import PLAIN_WIDTH, dollars
from wfb_operator.meter import reasons
from wfb_operator.meter.exchange import Exchange, NotReadableError
from wfb_operator.meter.recording import opened
from wfb_operator.meter.row import Row
from wfb_operator.meter.totals import KEYS, Total, Totals

if TYPE_CHECKING:
    from wfb_operator.meter.measure import Measure

_LARGE = 8 * 1024 * 1024
"""Bytes from which a file is worth a progress bar."""
_COLUMNS = {
    "calls": "calls",
    "input": "input_tokens",
    "cached": "cache_read_tokens",
    "output": "output_tokens",
    "reasoning": "reasoning_tokens",
}
"""The table's columns and the sums that they show."""
_ALWAYS = frozenset({"calls", "input", "output"})
"""Columns that are there even where all is zero."""
_QUIET = frozenset({reasons.METERED, reasons.REPORTED_COST})


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `meter` to the command line."""
    parser = subparsers.add_parser(
        "meter",
        help="what recorded traffic cost, by model: a HAR or mitmproxy flow file",
        description="Reads recorded calls of any provider and says what they used and cost. Nothing leaves this machine.",
        epilog=(
            "examples:\n"
            "  wfb meter traffic.har                  a table by model\n"
            "  wfb meter traffic.flow --by day        what `mitmdump -w traffic.flow` wrote, by day\n"
            "  wfb meter - --json < traffic.har       one JSON object an entry, in order\n"
            "\n"
            "--json says on standard error how many entries there are of each reason; docs/meter.md explains them. The exit\n"
            "code is 0 wherever something could be read, 2 where nothing could."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="FILE", help="a HAR 1.2 or mitmproxy flow file; - reads standard input")
    parser.add_argument("--json", action="store_true", help="one JSON object an entry instead of the table")
    parser.add_argument(
        "--by", choices=sorted(KEYS), default="model", help="what the table adds up by (default: model)"
    )
    parser.add_argument("--prices", metavar="FILE", help="a YAML or TOML file of contract prices over the list prices")
    parser.add_argument(
        "--hosts", metavar="FILE", help="a TOML table of providers' hosts in addition to the known ones"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the table or the lines; 0, or 2 where nothing could be read."""
    try:
        data = sys.stdin.buffer.read() if args.file == "-" else _read(args.file)
        measure = _measure(args)
        found, count = opened(data)
    except (NotReadableError, ValueError) as e:
        print(f"wfb meter: {e if not isinstance(e, NotReadableError) else f'{args.file}: {e}'}", file=sys.stderr)
        return 2
    watched = len(data) >= _LARGE and sys.stderr.isatty() and not (args.json and sys.stdout.isatty())
    rows = _watched(measure, found, count) if watched else map(measure.row, found)
    try:
        if args.json:
            return _lines(rows)
        return _table(rows, args)
    except NotReadableError as e:
        print(f"wfb meter: {args.file}: {e}", file=sys.stderr)
        return 2


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as e:
        raise NotReadableError(f"cannot be read: {e.strerror}") from e


def _measure(args: argparse.Namespace) -> "Measure":
    # The price data and the dialects take their time to load: not before they are asked for.
    from wfb_core.host_table import load_hosts  # noqa: PLC0415
    from wfb_core.price import PriceBook  # noqa: PLC0415
    from wfb_operator.meter.measure import Measure  # noqa: PLC0415
    from wfb_operator.prices.compile import compile_snapshot  # noqa: PLC0415
    from wfb_operator.prices.overlay import load_overlay  # noqa: PLC0415

    overlay = load_overlay(args.prices) if args.prices else None
    snapshot = compile_snapshot("now", None, overlay=overlay)
    return Measure(load_hosts(args.hosts), PriceBook.from_snapshot(snapshot.data))


def _watched(measure: "Measure", found: Iterable[Exchange], count: int | None) -> Iterator[Row]:
    """The rows, with a progress bar on standard error."""
    # Left to itself, the bar would take what is printed meanwhile to standard error too.
    bar = Progress(console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False)
    with bar:
        for exchange in bar.track(found, total=count, description="metering"):
            yield measure.row(exchange)


def _lines(rows: Iterable[Row]) -> int:
    """Prints a line a row, and on standard error how many there were of each reason."""
    seen = Counter[str]()
    for row in rows:
        print(json.dumps(row.document(), ensure_ascii=True))
        seen[row.reason] += 1
    entries = seen.total()
    if code := _outcome(entries, seen[reasons.ENTRY_DAMAGED]):
        return code
    counts = ", ".join(f"{count:,} {reason}" for reason, count in seen.most_common())
    print(f"{entries:,} entries{': ' if counts else ''}{counts}", file=sys.stderr)
    return 0


def _outcome(entries: int, damaged: int) -> int:
    if entries and entries == damaged:
        print(f"wfb meter: none of {entries} entries could be read: they hold no request with a URL", file=sys.stderr)
        return 2
    return 0


def _table(rows: Iterable[Row], args: argparse.Namespace) -> int:
    totals = Totals.of(rows, args.by)
    damaged = totals.reasons[reasons.ENTRY_DAMAGED]
    if _outcome(totals.entries, damaged):
        return 2
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    title = _plain(_title(totals, args.file))
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(args.by, overflow="fold", min_width=10)
    shown = [name for name in _COLUMNS if name in _ALWAYS or getattr(totals.whole, _COLUMNS[name])]
    for name in (*shown, "cost", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for key, total in sorted(totals.groups.items(), key=lambda item: (-item[1].nanos, item[0])):
        share = f"{100 * total.nanos / totals.whole.nanos:.0f}%" if totals.whole.nanos else ""
        table.add_row(_plain(key), *_cells(total, shown), share)
    table.add_section()
    table.add_row("total", *_cells(totals.whole, shown), "")
    console.print(table)
    if unpriced := totals.whole.unpriced:
        console.print(f"+ the cost of {unpriced:,} of these calls is not known and comes on top", highlight=False)
    for reason, count in totals.reasons.most_common():
        if reason not in _QUIET:
            console.print(f"{count:>8,}  {reason}: {reasons.SENTENCES[reason]}", highlight=False)
    return 0


def _cells(total: Total, names: Iterable[str]) -> tuple[str, ...]:
    cost = dollars(format_usd(total.nanos)) + ("+" if total.unpriced else "")
    if total.unpriced == total.calls:
        cost = "unknown" if total.calls else cost
    return (*(f"{getattr(total, _COLUMNS[name]):,}" for name in names), cost)


def _plain(text: str) -> Text:
    """A name from a recording as it may stand on a terminal: no markup, nothing that moves the cursor."""
    return Text("".join(c if c.isprintable() else "\ufffd" for c in text))


def _title(totals: Totals, name: str) -> str:
    shown = "standard input" if name == "-" else name
    if totals.first is None or totals.last is None:
        return f"{shown}: {totals.entries:,} entries"
    first, last = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}" for at in (totals.first, totals.last))
    return f"{shown}: {totals.entries:,} entries, {first} to {last} UTC"
