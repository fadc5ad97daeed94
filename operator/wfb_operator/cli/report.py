"""``wfb report``: what was spent, from the books of this machine's runs or of a cluster."""

import argparse
import csv
import datetime
import difflib
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wfb_core.money import format_usd, parse_usd
from wfb_operator.cli import tables
from wfb_operator.cli.period import period
from wfb_operator.cli.plan import UsageError
from wfb_operator.cli.source import Source, add_flags, opened
from wfb_operator.showback import split
from wfb_operator.showback.amounts import added
from wfb_operator.showback.books import Books, Question

DIMENSIONS = (
    "workflow",
    "team",
    "feature",
    "run",
    "namespace",
    "agent",
    "provider",
    "model",
    "served_model",
    "outcome",
    "minute",
    "hour",
    "day",
)
"""What usage may be told by."""

TIMES = {"minute": 60, "hour": 3_600, "day": 86_400}
"""Dimensions that are times, and how many seconds each lasts."""

ONLY = DIMENSIONS[:10]
"""Dimensions that a report may be kept to."""

FORMS = ("table", "csv", "json", "focus", "html")

ROWS_SHOWN = 50


def add_parser(commands: Any) -> None:
    """Adds ``report`` to the command line."""
    parser = commands.add_parser(
        "report",
        help="what was spent, by workflow, team, model …",
        description=(
            "Shows what was spent, and how the budgets stand: by all runs on this machine, or in a cluster, through its API"
            " server and with your own rights."
        ),
        epilog=(
            "examples:\n"
            "  wfb report                            the last 24 hours by workflow and model\n"
            "  wfb report --since 7d --by team\n"
            "  wfb report --since 2026-11-01 --by workflow,run --json\n"
            "  wfb report --since 2026-11-01 --until 2026-12-01 --by team,model -o html > november.html\n"
            "  wfb report --since 30d --by team --shared proportional -o csv\n"
            "  wfb report --since 30d -o focus > focus.csv      a FOCUS 1.2 dataset, by day\n"
            "  kubectl wfb report -n billing --by team          one namespace of the cluster; -A for all of it"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--since", metavar="WHEN", default="24h", help="30m, 24h, 7d, 2w, or a date such as 2026-11-23 (default: 24h)")
    add("--until", metavar="WHEN", help="the same, not included (default: now)")
    add("--by", metavar="LIST", help=f"of {', '.join(DIMENSIONS)} (default: workflow,model; html: team,workflow,model)")
    add("--only", metavar="NAME=VALUE", action="append", default=[], help="such as team=billing; may be repeated")
    add("-o", "--output", choices=FORMS, default="table", help="what to write to standard output (default: table)")
    add("--json", action="store_const", dest="output", const="json", help="the same as -o json")
    add("--shared", choices=split.RULES, help="split what has no name, or is common, over the rest: a statement")
    add("--common", metavar="LIST", default="", help="names whose cost is shared, beside what has none: platform,infra")
    add("--idle", metavar="USD", default="0", help="paid and used by nobody, such as a commitment's unused part")
    add("--top", metavar="N", type=int, default=ROWS_SHOWN, help=f"rows of a table (default: {ROWS_SHOWN}; 0: all)")
    add_flags(parser)
    parser.set_defaults(run=report)


def report(args: argparse.Namespace) -> int:
    """Prints what was spent; raises UsageError, StateError, StartError and LedgerError."""
    now = time.time()
    by = dimensions(args.by or ("team,workflow,model" if args.output == "html" else "workflow,model"))
    since, until = period(args.since, args.until, now)
    only = only_of(args.only)
    idle = _checked(args, by)
    with opened(args) as source:
        books, question = source.books, Question(since, until, source.kept_to(only))
        if args.output == "focus":
            _write_focus(books, question)
        elif args.output == "html":
            _write_page(books, question, by, args, idle, now)
        elif args.shared:
            _write_statement(source, question, by[0], args, idle)
        else:
            _write_usage(source, question, by, args)
    return 0


# ---------------------------------------------------------------- what was asked for
def dimensions(text: str) -> tuple[str, ...]:
    """The dimensions of a list such as ``workflow,model``; raises UsageError."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in DIMENSIONS:
            raise UsageError(f"--by {_short(name)} is not something usage is told by: {_nearest(name, DIMENSIONS)}")
    if not names:
        raise UsageError(f"--by is empty: choose of {', '.join(DIMENSIONS)}")
    return names


def only_of(given: Sequence[str]) -> dict[str, str]:
    """What a report is kept to, of ``NAME=VALUE``; raises UsageError."""
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--only {_short(text)} is not NAME=VALUE: write team=billing, or team= for no team")
        if name not in ONLY:
            raise UsageError(f"--only {_short(name)} is not something usage is told by: {_nearest(name, ONLY)}")
        if name in found:
            raise UsageError(f"--only {name} is given twice: a report is kept to one value of each")
        found[name] = value
    return found


def _checked(args: argparse.Namespace, by: Sequence[str]) -> int:
    """The idle cost in nano-USD; raises UsageError for options that do not go together."""
    try:
        idle = parse_usd(args.idle)
    except ValueError as error:
        raise UsageError(f"--idle {_short(args.idle)}: {error}") from error
    if args.top < 0:
        raise UsageError(f"--top {args.top} is less than zero: write how many rows a table may have, or 0 for all")
    if (idle or args.common) and args.shared in (None, split.NONE):
        option = "--idle" if idle else "--common"
        raise UsageError(f"{option} needs a rule by which it is split: --shared proportional or --shared even")
    if args.output == "focus" and (args.shared or args.by):
        option = "--shared" if args.shared else "--by"
        raise UsageError(f"{option} does not go with -o focus: that dataset has every dimension, and no shares")
    times = [name for name in by if name in TIMES]
    if args.output == "html" and times:
        raise UsageError(f"--by {times[0]} does not go with -o html: the page shows time in its chart")
    if args.shared and args.output != "html" and (len(by) > 1 or times):
        raise UsageError(f"--shared splits by one name: write --by {next((n for n in by if n not in TIMES), 'team')}")
    return idle


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"choose of {', '.join(names)}"


def _short(text: str) -> str:
    return text if text.isprintable() and len(text) <= 80 else repr(text[:80])


# ---------------------------------------------------------------- what is written
def _write_usage(source: Source, question: Question, by: tuple[str, ...], args: argparse.Namespace) -> None:
    books = source.books
    whole = books.usage(("estimated",), question.since, question.until, only=question.only)
    totals = (tables.folded(_estimated(whole.rows), ()) or [tables.nothing()])[0]
    if args.output == "csv":
        from wfb_operator.showback.csv_file import write_csv  # noqa: PLC0415 — as the others, only where it is asked for

        timed = _timed(tables.folded(_estimated(question.every(books, (*by, "estimated"))), by), by)
        columns = (*by, *tables.COUNTS, *tables.AMOUNTS)
        write_csv(timed, columns, sys.stdout, [name for name in by if name not in TIMES])
        return
    budgets = tables.budgets_of(books.summary(question.until), None, None)
    if args.output == "json":
        usage = tables.folded(_estimated(question.every(books, (*by, "estimated"))), by)
        exact = {"since": whole.since, "until": min(whole.until, question.until)}
        document = {"since": question.since, "until": question.until, "exact": exact, "by": list(by)}
        print(json.dumps(document | {"totals": totals, "usage": usage, "budgets": budgets}, indent=2))
        return
    found = question.sums(books, (*by, "estimated"))
    usage = tables.folded(_estimated(found.rows), by)
    title = f"Since {tables.moment(question.since)}"
    if args.until is not None:
        title += f" until {tables.moment(question.until)}"
    shown = usage[: args.top or None]
    table = tables.usage_table(shown, by, source.titled(title), rest=tables.difference(totals, shown), total=totals)
    tables.print_tables((table, tables.budget_table(budgets)), sys.stdout)
    if note := _coarser(question, found.since, found.until):
        print(note)


def _estimated(rows: Sequence[Mapping[str, Any]] | Iterator[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows with the part of their cost that was estimated."""
    for row in rows:
        yield {**row, "estimated_usd": row["usd"] if row.get("estimated") else "0"}


def _timed(rows: Sequence[Mapping[str, Any]], by: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows with their times as people and spreadsheets write them, UTC."""
    for row in rows:
        times = {
            name: datetime.datetime.fromtimestamp(row[name] * TIMES[name], datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            for name in by
            if name in TIMES
        }
        yield {**row, **times}


def _coarser(question: Question, since: int, until: int) -> str:
    """A sentence where the books answer for another time than was asked for."""
    if since > question.since:
        return f"Usage of before {tables.moment(since)} is no longer kept so finely, and is left out."
    if since // 60 < question.since // 60 or until // 60 > -(-question.until // 60):
        return (
            f"Finer rows are no longer kept: this is from {tables.moment(since)} to {tables.moment(until)}, whole hours or"
            " days (UTC)."
        )
    return ""


def _write_statement(source: Source, question: Question, dimension: str, args: argparse.Namespace, idle: int) -> None:
    shares = _shares(source.books, question, dimension, args, idle)
    names = ("own", "shared", "idle", "charged")
    rows = [
        {dimension: s.name, **dict(zip(names, map(format_usd, (s.direct, s.shared, s.idle, s.total)), strict=True))}
        for s in shares
    ]
    if args.output == "csv":
        from wfb_operator.showback.csv_file import write_csv  # noqa: PLC0415

        write_csv(rows, (dimension, *names), sys.stdout, (dimension,))
    elif args.output == "json":
        head = {"since": question.since, "until": question.until, "by": [dimension], "rule": args.shared}
        print(json.dumps(head | {"statement": rows}, indent=2))
    else:
        title = source.titled(f"Since {tables.moment(question.since)}, shared {args.shared}")
        tables.print_tables((tables.statement_table(rows, dimension, names, title),), sys.stdout)


def _shares(books: Books, question: Question, dimension: str, args: argparse.Namespace, idle: int) -> list[split.Share]:
    sums = added(question.every(books, (dimension,)), (dimension,))
    spent = {str(key[0]): counts["nanos"] for key, counts in sums.items()}
    common = {"", *(name.strip() for name in args.common.split(",") if name.strip())}
    return split.statement(spent, rule=args.shared, common=common, idle=idle)


def _write_focus(books: Books, question: Question) -> None:
    from wfb_operator.showback import focus  # noqa: PLC0415

    out: csv.DictWriter[str] | None = None
    for row in focus.rows(books, question):
        if out is None:
            out = csv.DictWriter(sys.stdout, list(row), lineterminator="\r\n")
            out.writeheader()
        out.writerow(row)
    if out is None:
        csv.writer(sys.stdout, lineterminator="\r\n").writerow(focus.COLUMNS)


def _write_page(
    books: Books, question: Question, by: Sequence[str], args: argparse.Namespace, idle: int, now: float
) -> None:
    from wfb_operator.showback.gather import statement  # noqa: PLC0415
    from wfb_operator.showback.page import page  # noqa: PLC0415

    found = statement(books, question, by)
    shares = _shares(books, question, by[0], args, idle) if args.shared else []
    sys.stdout.write(page(found, shares, args.shared or split.NONE, now))
