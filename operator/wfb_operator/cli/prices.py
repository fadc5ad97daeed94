"""`wfb prices`: what a model's tokens would be charged at, and why."""

import argparse
import datetime
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import astuple, fields
from typing import Any

from rich.console import Console
from rich.table import Table

from wfb_core.money import format_usd
from wfb_core.price import ModelPrice, PriceBook, Rates

STANDARD = "standard"
_PLAIN_WIDTH = 160
_CLASSES = tuple(f.name for f in fields(Rates))


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `prices` to the command line."""
    parser = subparsers.add_parser(
        "prices",
        help="what a model's tokens would be charged at, and why",
        description="Rates in USD per million tokens, as the sidecar would charge them.",
    )
    parser.add_argument("model", nargs="?", help="a model's name as a call gives it; without it, every priced model")
    parser.add_argument("--provider", help="only this provider's prices, such as openai")
    parser.add_argument(
        "--at", metavar="DATE", help="a date or time such as 2026-12-01 or 2026-12-01T08:00Z; now if left out"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the prices; 0, or 1 where no price is known, or 2 for arguments that mean nothing."""
    # The price data takes its time to load: not before it is asked for.
    from wfb_operator.prices.compile import compile_snapshot  # noqa: PLC0415

    try:
        at = _instant(args.at)
        wanted = [args.provider] if args.provider else None
        snapshot = compile_snapshot("now", wanted) if wanted else compile_snapshot("now")
    except ValueError as e:
        print(f"wfb prices: {e}", file=sys.stderr)
        return 2
    book = PriceBook.from_snapshot(snapshot.data)
    rows = list(_rows(book, args.model, at))
    if not rows:
        for provider in book.providers():
            why = book.why_unpriced(provider, args.model or "")
            print(f"wfb prices: no price for {args.model!r} at {provider}: {why}", file=sys.stderr)
        return 1
    if args.json:
        document = {"version": book.version, "source": book.source, "at": _text(at), "prices": rows}
        print(json.dumps(document, indent=2))
    else:
        _print(book, rows, at, args.model)
    return 0


def _instant(text: str | None) -> float:
    if text is None:
        return time.time()
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"--at {text!r} is not a date: write it as 2026-12-01 or 2026-12-01T08:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _text(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rows(book: PriceBook, model: str | None, at: float) -> Iterable[dict[str, Any]]:
    """One row for every service tier and context tier; without a model, the standard tiers of all."""
    for provider in book.providers():
        for name in (model,) if model else book.models(provider):
            price = book.find(provider, name, at)
            if price is None:
                continue
            changes = [_text(t)[:10] for t in book.changes(provider, name) if t > at] if model else []
            tiers = {STANDARD: price.standard} | (dict(price.tiers) if model else {})
            for tier, steps in tiers.items():
                for start, rates in steps:
                    yield _row(price, tier, start, rates, changes)


def _row(price: ModelPrice, tier: str, start: int, rates: Rates, changes: list[str]) -> dict[str, Any]:
    return {
        "provider": price.provider,
        "model": price.model,
        "tier": tier,
        "above_input_tokens": max(start, 0),
        "usd_per_million": dict(zip(_CLASSES, map(format_usd, astuple(rates)), strict=True)),
        "since": price.since or None,
        "next_change": changes[0] if changes else None,
        "max_output_tokens": price.max_output,
        "context_tokens": price.context,
        "image_tokens": price.image_tokens,
        "limits_source": price.limits_source or None,
    }


def _print(book: PriceBook, rows: list[dict[str, Any]], at: float, model: str | None) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    table = Table(title=f"USD per million tokens at {_text(at)}", title_justify="left", caption_justify="left")
    for name in ("provider", "model", *(("tier",) if model else ()), "input tokens"):
        table.add_column(name, overflow="fold")
    for name in (*_CLASSES, "since", "max output", "context"):
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        above = row["above_input_tokens"]
        table.add_row(
            row["provider"],
            row["model"],
            *((row["tier"],) if model else ()),
            f"> {above:,}" if above else _first(rows, row),
            *row["usd_per_million"].values(),
            row["since"] or "",
            *("" if row[key] is None else f"{row[key]:,}" for key in ("max_output_tokens", "context_tokens")),
        )
    console.print(table)
    console.print(f"prices: {book.source}, snapshot {book.version[:12]}")
    if not model:
        return
    for row in {r["provider"]: r for r in rows}.values():
        changed = f"; the next dated entry counts from {row['next_change']}" if row["next_change"] else ""
        console.print(f"limits: {row['limits_source'] or 'none known'}{changed}")
        if model.lower() != row["model"]:
            console.print(f"{model!r} is charged as {row['provider']}'s {row['model']}")
    console.print(
        "Service tiers that are not listed have no known price. A class without a rate of its own pays the input rate."
    )


def _first(rows: list[dict[str, Any]], row: dict[str, Any]) -> str:
    """Up to where the first context tier reaches."""
    same = [r for r in rows if all(r[key] == row[key] for key in ("provider", "model", "tier")) and r is not row]
    return f"≤ {min(r['above_input_tokens'] for r in same):,}" if same else "any"
