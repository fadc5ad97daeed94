"""``wfb whatif``: a changed budget against the minutes that were recorded."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from wfb_core.budget import DOWNGRADE, RUN, Budget
from wfb_core.money import format_usd, parse_usd
from wfb_core.price import PriceBook
from wfb_core.rates import total
from wfb_core.selectors import LABEL_PREFIX, NAMESPACE_NAME, SHORT_LABELS, mismatch
from wfb_core.usage import Usage
from wfb_core.whatif import Minute, Replayed, WhatIf, replay
from wfb_operator.cli import source, tables
from wfb_operator.cli.budget_file import load
from wfb_operator.cli.period import moment_of
from wfb_operator.cli.plan import UsageError
from wfb_operator.showback.books import PAGE, Books, Reading, Row

BY = ("minute", "namespace", "team", "feature", "workflow", "run", "provider", "model", "outcome")
SLICE = 6 * 3600
"""Seconds asked for at once; halved where an answer is full."""

WINDOWS_SHOWN = 40


def add_parser(commands: Any) -> None:
    """Adds ``whatif`` to the command line."""
    parser = commands.add_parser(
        "whatif",
        help="what a changed budget would have done to what was recorded",
        description=(
            "Replays recorded minutes against the budgets of a file: refused, held back, downgraded, saved, and when money"
            " would have run out. Each budget is replayed on its own."
        ),
        epilog=(
            "A minute's calls are taken at their average cost. Calls that were refused when it was recorded have no cost and\n"
            "stay refused, holds and waits of seconds are not seen, and whether a program would have come again nobody knows.\n\n"
            "examples:\n"
            "  wfb whatif -f budget.yaml --since 7d\n"
            "  wfb whatif -f budget.yaml --since 2026-11-01 --json\n"
            "  kubectl wfb whatif -f budget.yaml -n billing      against what a cluster recorded"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-f", "--file", metavar="FILE", required=True, help="a YAML file of budgets, as wfb run and kubectl take it")
    add("--since", metavar="WHEN", default="7d", help="30m, 24h, 7d, 2w, or a date such as 2026-11-23 (default: 7d)")
    add("--prices", metavar="FILE", help="contract prices over the list's, by which a Downgrade is priced")
    source.add_flags(parser)
    add("--json", action="store_true", help="one JSON document instead of tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the replays; raises UsageError, BudgetFileError, StateError, StartError and LedgerError."""
    budgets = [item.budget for item in load(args.file)]
    for budget in budgets:
        check(budget)
    now = time.time()
    since = moment_of(args.since, now)
    if since >= now:
        raise UsageError(f"--since {args.since} is not in the past: give when the replay is to begin")
    downgrades = any(rung.models for b in budgets for limit in b.limits for rung in b.ladder_of(limit))
    prices = _prices(args.prices) if downgrades or args.prices else None
    with source.opened(args) as found:
        history = recorded(found.books, since, int(now) + 60)
    for sentence in (older(history, since), *(beyond(budget, found) for budget in budgets)):
        if sentence:
            sys.stderr.write(f"wfb: {sentence}\n")
    rows = history.rows
    replays = [(budget, replay(budget, minutes_of(budget, rows, prices))) for budget in budgets]
    if args.json:
        exact = {"since": history.since, "until": int(now)}
        documents = [document(b, w) for b, w in replays]
        print(json.dumps({"since": since, "until": int(now), "exact": exact, "budgets": documents}, indent=2))
    else:
        show(replays, history.since, found)
    return 0


def check(budget: Budget) -> None:
    """Raises UsageError where recorded minutes cannot tell whose they are."""
    known = {LABEL_PREFIX + name for name in SHORT_LABELS}
    asked = {*budget.match_labels, *(rule.key for rule in budget.match_rules)}
    if strange := sorted(asked - known):
        raise UsageError(
            f"budget {budget.key} selects by {strange[0]}, and minutes are kept by workflow, team, feature, run and"
            " namespace: replay it with a selector of these"
        )
    namespaces = budget.namespace_selector
    if strange := sorted({*namespaces.labels, *(rule.key for rule in namespaces.rules)} - {NAMESPACE_NAME}):
        raise UsageError(
            f"budget {budget.key} selects namespaces by {strange[0]}, and minutes are kept by the namespace's name: replay it"
            f" with {NAMESPACE_NAME}"
        )


def recorded(books: Books, since: int, until: int) -> Reading:
    """Usage by the minute, whole, however much there is, and from when on it is kept; raises what the books raise."""
    rows: list[Row] = []
    first, step = since // 60 * 60, SLICE  # whole minutes: one that two answers share would count twice
    kept = first
    while first < until:
        last = min(first + step, until)
        answer = books.usage(BY, first, last, only={}, most=PAGE)
        if len(answer.rows) >= PAGE and step > 60:
            step = max(60, step // 120 * 60)
            continue
        rows += answer.rows
        # Minutes that are forgotten are so from the oldest on, and an answer begins with the first that is kept.
        if answer.since > first:
            kept = min(answer.since, until)
        first = max(last, kept)
    return Reading(rows, max(since, kept), until)


def older(history: Reading, since: int) -> str:
    """A sentence where a replay was asked for from before the minutes that are kept; empty where it was not."""
    if history.since <= since:
        return ""
    return (
        f"minutes of before {tables.moment(history.since)} are no longer kept: the replay begins there and not at"
        f" {tables.moment(since)}, and windows that had begun before lack what was spent in them"
    )


def beyond(budget: Budget, found: source.Source) -> str:
    """A sentence where the books that were read hold only a part of what is a budget's; empty where they do not."""
    if not found.namespace or budget.namespace == found.namespace:
        return ""
    if budget.namespace:
        return f"budget {budget.key} is for namespace {budget.namespace}, and these books are of {found.scope}"
    return (
        f"budget {budget.key} is for more than {found.scope}: only what was recorded there is replayed;"
        " --all-namespaces has the rest"
    )


def minutes_of(budget: Budget, rows: Sequence[Row], prices: PriceBook | None) -> list[Minute]:
    """The rows that are a budget's, as its replay reads them."""
    by_run = any(limit.window == RUN for limit in budget.limits)
    pairs = [p for limit in budget.limits for r in budget.ladder_of(limit) if r.action == DOWNGRADE for p in r.models]
    models = tuple(dict.fromkeys(model for _, model in pairs))
    found = []
    for row in rows:
        labels = {LABEL_PREFIX + name: row[name] for name in SHORT_LABELS if row[name]}
        # A run on this machine has a namespace only where one was given to it.
        if mismatch(budget, labels, row["namespace"], {}):
            continue
        cheaper = () if prices is None else tuple(_repriced(prices, row, models))
        run_id = row["run"] if by_run else ""
        calls, refused = row["calls"], row["refused"]
        nanos = parse_usd(row["usd"])
        found.append(Minute(row["minute"], row["provider"], row["model"], calls, nanos, run_id, refused, cheaper))
    return found


def _repriced(prices: PriceBook, row: Row, models: Sequence[str]) -> Iterator[tuple[str, int]]:
    """(model, what the row's tokens would cost there), of models that are priced."""
    tokens = {
        name: row[name]
        for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    }
    for model in models:
        price = prices.find(row["provider"], model, row["minute"] * 60.0)
        rates = None if price is None else price.rates_for(row["input_tokens"] // max(1, row["calls"]))
        if rates is not None:
            yield model, total(Usage(**tokens), rates)


def _prices(file: str | None) -> PriceBook:
    """List prices, and the contract's over them; raises UsageError for a slip in the file."""
    from wfb_operator.prices.compile import compile_snapshot  # noqa: PLC0415 — takes a while to load
    from wfb_operator.prices.overlay import load_overlay  # noqa: PLC0415

    try:
        snapshot = compile_snapshot("whatif", overlay=load_overlay(file) if file else None)
    except ValueError as e:
        raise UsageError(f"--prices {e}") from None
    return PriceBook.from_snapshot(snapshot.data)


def document(budget: Budget, found: WhatIf) -> dict[str, Any]:
    """A replay as JSON: amounts are decimal strings, times Unix seconds."""
    return {"budget": budget.key, "totals": _line(found.total), "windows": [_line(window) for window in found.windows]}


def _line(seen: Replayed) -> dict[str, Any]:
    named = {"kind": seen.kind, "window": seen.id, "start": seen.start, "end": seen.end} if seen.kind else {}
    limit = (
        {"limitUSD": format_usd(seen.limit), "stage": seen.stage, "exhaustedAt": seen.exhausted_at} if seen.kind else {}
    )
    return {
        **named,
        **limit,
        "calls": seen.calls,
        "recordedUSD": format_usd(seen.demanded),
        "wouldSpendUSD": format_usd(seen.spent),
        "savedUSD": format_usd(seen.saved) if seen.saved >= 0 else f"-{format_usd(-seen.saved)}",
        "refused": seen.refused,
        "heldBack": seen.slowed,
        "downgraded": seen.downgraded,
        "refusedWhenRecorded": seen.already_refused,
    }


def show(replays: Sequence[tuple[Budget, WhatIf]], since: float, found: source.Source) -> None:
    """Prints replays for people: a table for each budget, its fullest windows where there are many."""
    for budget, result in replays:
        title = found.titled(f"Budget {budget.key}, replayed since {tables.moment(since)}")
        if not result.windows:
            print(f"{title}: no recorded call is its own")
            continue
        table = tables._table(title)  # noqa: SLF001 — our own manner of tables
        table.add_column("window")
        for name in ("limit", "recorded", "would spend", "saved", "calls", "refused", "held back", "downgraded"):
            table.add_column(name, justify="right", no_wrap=True)
        for name in ("stage", "would run out"):
            table.add_column(name, no_wrap=True)
        shown = result.windows
        if len(shown) > WINDOWS_SHOWN:
            fullest = sorted(shown, key=lambda w: (w.refused + w.slowed, w.demanded), reverse=True)[:WINDOWS_SHOWN]
            shown = tuple(window for window in shown if window in fullest)
        for window in shown:
            table.add_row(_name(window), *_figures(window), window.stage, tables.moment(window.exhausted_at))
        table.add_row("all calls", *_figures(result.total), "", "")
        tables.print_tables((table,), sys.stdout)
        if left := len(result.windows) - len(shown):
            print(f"{left} more windows: --json has them all")


def _name(window: Replayed) -> str:
    return f"{window.kind} {window.id.rpartition('|')[2][:16]}".strip()


def _figures(seen: Replayed) -> tuple[str, ...]:
    line = _line(seen)
    limit = tables.dollars(line["limitUSD"]) if "limitUSD" in line else ""
    money = (tables.dollars(line[name]) for name in ("recordedUSD", "wouldSpendUSD", "savedUSD"))
    return (limit, *money, *(f"{line[name]:,}" for name in ("calls", "refused", "heldBack", "downgraded")))
