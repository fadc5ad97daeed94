"""``wfb reconcile``: the provider's own usage or cost export against the books, by day and model."""

import argparse
import datetime
import json
import os
import sys
import time
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from wfb_core.money import format_usd
from wfb_operator.cli import tables
from wfb_operator.cli.books import LedgerBooks, check_recorded, visiting
from wfb_operator.cli.plan import UsageError
from wfb_operator.cli.state import State, default_root
from wfb_operator.reconcile.charge import ExportError
from wfb_operator.reconcile.compare import Line, compare
from wfb_operator.reconcile.read import BYTES_MOST, Export, read_export
from wfb_operator.reconcile.shapes import PROVIDERS
from wfb_operator.showback.books import Books, Question
from wfb_operator.showback.shown import plain

DAY = 86_400
DRIFTED = 1
"""The exit code where more drifts than ``--fail-above`` allows."""


def add_parser(commands: Any) -> None:
    """Adds ``reconcile`` to the command line."""
    parser = commands.add_parser(
        "reconcile",
        help="compare the books with a provider's own export of cost or usage",
        description=(
            "Compares the books with what a provider says, by UTC day and model, and names the likely reasons of every"
            " difference. Nothing is changed, and nothing is sent anywhere."
        ),
        epilog=(
            "examples:\n"
            "  wfb reconcile --provider openai costs.csv\n"
            "  wfb reconcile --provider anthropic cost_report.json --json\n"
            "  wfb reconcile --provider bedrock cur.csv --fail-above 2      exit code 1 above 2 %"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("file", metavar="EXPORT", help="the provider's CSV, or the JSON of its cost or usage API; - for standard input")
    add("--provider", required=True, metavar="NAME", help=f"of {', '.join(sorted(PROVIDERS))}")
    add("--state", metavar="DIR", help="where spend is kept (default: $XDG_STATE_HOME/wfb, else ~/.local/state/wfb)")
    add("--fail-above", metavar="PERCENT", help="exit with 1 where the whole period drifts by more")
    add("--json", action="store_true", help="one JSON document instead of tables")
    parser.set_defaults(run=reconcile)


def reconcile(args: argparse.Namespace) -> int:
    """Prints the comparison; raises UsageError, StateError, StartError and LedgerError."""
    provider = PROVIDERS.get(args.provider.lower())
    if provider is None:
        raise UsageError(
            f"--provider {plain(args.provider, 40)}: no export of it is known, of {', '.join(sorted(PROVIDERS))}"
        )
    allowed = _percent(args.fail_above)
    name = "standard input" if args.file == "-" else args.file
    try:
        export = read_export(name, _content(args.file), provider)
    except ExportError as error:
        raise UsageError(str(error)) from error
    state = State(os.path.abspath(args.state or default_root(os.environ)))
    check_recorded(state)
    now = time.time()
    with visiting(state) as ledger:
        lines = _lines(LedgerBooks(ledger), export, provider, now)
    ours, theirs = _sums(lines)
    drift = theirs - ours
    percent = 100 * drift / theirs if theirs else None
    if args.json:
        print(json.dumps(_document(export, lines, ours, theirs), indent=2))
    else:
        _show(export, lines, ours, theirs)
    return DRIFTED if allowed is not None and drift and (percent is None or abs(percent) > allowed) else 0


def _content(path: str) -> bytes:
    try:
        if path == "-":
            content = sys.stdin.buffer.read(BYTES_MOST + 1)
        else:
            with open(path, "rb") as file:
                content = file.read(BYTES_MOST + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > BYTES_MOST:
        raise UsageError(f"{path} is larger than {BYTES_MOST // 2**20} MiB: export a shorter period")
    return content


def _percent(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        value = Decimal(-1)
    if not 0 <= value <= 1000:
        raise UsageError(
            f"--fail-above {plain(text, 40)} is not a percentage: write a number from 0 to 1000, such as 2"
        )
    return float(value)


def _lines(books: Books, export: Export, provider: str, now: float) -> list[Line]:
    epoch = datetime.date(1970, 1, 1)
    days = [charge.day for charge in export.charges]
    since, until = ((day - epoch).days * DAY for day in (min(days), max(days)))
    today = datetime.datetime.fromtimestamp(now, datetime.UTC).date()
    if max(days) > today + datetime.timedelta(days=1) or since < 0:
        day = max(days) if since >= 0 else min(days)
        raise UsageError(f"the export speaks of {day}, which is {'in the future' if since >= 0 else 'before 1970'}")
    question = Question(since, until + DAY, {"provider": provider})
    rows = question.every(books, ("day", "model", "served_model", "estimated"))
    return compare(export.charges, list(rows), today)


def _sums(lines: Sequence[Line]) -> tuple[int, int]:
    """What both sides say in all: nano-USD, or tokens where the export has no costs."""
    if lines and not lines[0].priced:
        return (
            sum(sum(line.books.tokens.values()) for line in lines),
            sum(sum(line.export.tokens.values()) for line in lines),
        )
    return sum(line.books.nanos for line in lines), sum(line.export.nanos for line in lines)


# ---------------------------------------------------------------- what is written
def _document(export: Export, lines: Sequence[Line], ours: int, theirs: int) -> dict[str, Any]:
    priced = bool(lines) and lines[0].priced
    written = format_usd if priced else int
    unit = "usd" if priced else "tokens"
    return {
        "export": export.shape.name,
        "provider": export.shape.provider,
        "rows_left_out": export.left_out,
        "unit": unit,
        "books": written(ours),
        "provider_says": written(theirs),
        "drift": written(theirs - ours),
        "lines": [
            {
                "day": line.day.isoformat(),
                "model": line.model,
                "books_usd": format_usd(line.books.nanos),
                "provider_usd": format_usd(line.export.nanos) if priced else None,
                "books_tokens": line.books.tokens,
                "provider_tokens": line.export.tokens or None,
                "drift": written(line.drift),
                "drift_percent": None if line.percent is None else round(line.percent, 3),
                "reasons": list(line.reasons),
            }
            for line in lines
        ],
    }


def _show(export: Export, lines: Sequence[Line], ours: int, theirs: int) -> None:
    from rich.text import Text  # noqa: PLC0415

    priced = bool(lines) and lines[0].priced
    table = tables.comparison_table(f"{export.shape.provider}: {export.shape.name}, against the books", priced=priced)

    def told(amount: int) -> str:
        return tables.dollars(format_usd(amount)) if priced else f"{amount:,}"

    for line in lines:
        sides = (line.books.nanos, line.export.nanos) if priced else (
            sum(line.books.tokens.values()), sum(line.export.tokens.values())
        )  # fmt: skip
        table.add_row(
            line.day.isoformat(),
            Text(plain(line.model) or "all models"),
            *map(told, sides),
            told(line.drift),
            "" if line.percent is None else f"{line.percent:+.1f} %",
            Text("; ".join(line.reasons)),
        )
    percent = f" ({100 * (theirs - ours) / theirs:+.2f} %)" if theirs else ""
    tables.print_tables((table,), sys.stdout)
    print(f"In all {told(ours)} in the books, {told(theirs)} in the export: {told(theirs - ours)} drift{percent}.")
    if export.left_out:
        print(f"{export.left_out:,} rows of the export are not about models, or empty, and are left out.")
