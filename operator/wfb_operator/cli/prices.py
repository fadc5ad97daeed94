"""`wfb prices`: what a model's tokens would be charged at, and why."""

import argparse
import datetime
import json
import sys
import time
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table

from wfb_core.money import format_usd
from wfb_core.price import ModelPrice, PriceBook, Rates
from wfb_core.rates import CLASSES, PARENTS
from wfb_core.usage import UNITS
from wfb_operator.prices.limits import UNKNOWN_TIERS

STANDARD = "standard"
_PLAIN_WIDTH = 160
_FEW = 100
_TEXT = ("input", "cache_read", "cache_write", "cache_write_1h", "output")
"""The classes of tokens that every call of text has."""


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
    parser.add_argument("--host", default="", help="where calls go, for contract prices of a host or region")
    parser.add_argument("--overlay", metavar="FILE", help="contract prices over the list's, in YAML or TOML")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Prints the prices; 0, or 1 where no price is known, or 2 for arguments that mean nothing."""
    # The price data takes its time to load: not before it is asked for.
    from wfb_operator.prices.compile import compile_snapshot  # noqa: PLC0415
    from wfb_operator.prices.overlay import load_overlay  # noqa: PLC0415

    try:
        at = _instant(args.at)
        overlay = load_overlay(args.overlay) if args.overlay else None
        snapshot = compile_snapshot("now", None, overlay=overlay)
        book = PriceBook.from_snapshot(snapshot.data)
        if args.provider and args.provider not in book.providers():
            raise ValueError(
                f"provider {args.provider!r} is not in the price data; it has {', '.join(book.providers())}"
            )
    except ValueError as e:
        print(f"wfb prices: {e}", file=sys.stderr)
        return 2
    providers = (args.provider,) if args.provider else book.providers()
    rows = list(_rows(book, providers, args.model, at, args.host))
    if not rows:
        for line in _missing(book, providers, args.model or ""):
            print(f"wfb prices: {line}", file=sys.stderr)
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


def _missing(book: PriceBook, providers: Iterable[str], model: str) -> Iterable[str]:
    """Why no provider has a price: those that know the model, else one line for all."""
    told = {p: book.why_unpriced(p, model) for p in providers}
    known = {p: why for p, why in told.items() if " that matches " not in why}
    if len(told) == 1:
        known = told
    for provider, why in known.items():
        yield f"no price for {model!r} at {provider}: {why}"
    if not known:
        yield (
            f"no price for {model!r}: the price list ({book.source}) has no model that matches it at any of"
            f" {len(told)} providers; write its name as a call does, or state its price with --overlay"
        )


def _rows(
    book: PriceBook, providers: Iterable[str], model: str | None, at: float, host: str
) -> Iterable[dict[str, Any]]:
    """One row for every service tier and context tier; without a model, the standard tiers of all."""
    for provider in providers:
        for name in (model,) if model else book.models(provider):
            price = book.find(provider, name, at, host)
            if price is None:
                continue
            changes = [_text(t)[:10] for t in book.changes(provider, name) if t > at] if model else []
            tiers = {STANDARD: price.standard} | (dict(price.tiers) if model else {})
            for tier, steps in tiers.items():
                for start, rates in steps:
                    yield _row(price, tier, start, rates, changes)


def _row(price: ModelPrice, tier: str, start: int, rates: Rates, changes: list[str]) -> dict[str, Any]:
    row = {
        "provider": price.provider,
        "model": price.model,
        "tier": tier,
        "above_input_tokens": max(start, 0),
        **_amounts(rates),
        "since": price.since or None,
        "next_change": changes[0] if changes else None,
        "max_output_tokens": price.max_output,
        "context_tokens": price.context,
        "image_tokens": price.image_tokens,
        "costs_more_in_region": price.uplift,
        "limits_source": price.limits_source or None,
        "source": price.source,
    }
    if rates.listed is not None:
        row["list"] = _amounts(rates.listed)
    return row


def _amounts(rates: Rates) -> dict[str, Any]:
    """Dollars of every class that text pays, of others where they differ from the class they are part of, of units."""
    own = [
        name for name in CLASSES if name in _TEXT or getattr(rates, name) != getattr(rates, next(iter(PARENTS[name])))
    ]
    return {
        "usd_per_million": {name: format_usd(getattr(rates, name)) for name in own} if rates.tokens_priced else {},
        "usd_per_unit": {name: _exact(rate) for name, rate in rates.units},
    }


def _exact(rate: int) -> str:
    """Nano-dollars per million units as dollars of one, exactly."""
    whole, rest = divmod(rate, 10**15)
    return f"{whole}.{f'{rest:015d}'.rstrip('0').ljust(2, '0')}"


def _print(book: PriceBook, rows: list[dict[str, Any]], at: float, model: str | None) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    table = Table(title=f"USD per million tokens at {_text(at)}", title_justify="left", caption_justify="left")
    for name in ("provider", "model", *(("tier",) if model else ()), "input tokens"):
        table.add_column(name, overflow="fold")
    for name in (*_TEXT, "since", "max output", "context"):
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        above = row["above_input_tokens"]
        table.add_row(
            row["provider"],
            row["model"],
            *((row["tier"],) if model else ()),
            f"> {above:,}" if above else _first(rows, row),
            *(row["usd_per_million"].get(name, "") for name in _TEXT),
            row["since"] or "",
            *("" if row[key] is None else f"{row[key]:,}" for key in ("max_output_tokens", "context_tokens")),
        )
    console.print(table)
    for line in _others(rows, model):
        console.print(line)
    console.print(f"prices: {book.source}, snapshot {book.version[:12]}")
    if not model:
        return
    for row in {r["provider"]: r for r in rows}.values():
        changed = f"; the next dated entry counts from {row['next_change']}" if row["next_change"] else ""
        console.print(
            f"{row['provider']}: rates from {row['source']}; limits from {row['limits_source'] or 'nowhere'}{changed}"
        )
        if row["costs_more_in_region"]:
            console.print(f"{row['provider']}: hosts that keep data in their region add what they document, mostly 10%")
        if model.lower() != row["model"].lower():
            console.print(f"{model!r} is charged as {row['provider']}'s {row['model']}")
    for provider in dict.fromkeys(row["provider"] for row in rows):
        for gap in UNKNOWN_TIERS:
            if gap.provider == provider:
                console.print(f"{provider}: no price for {gap.words}: {gap.why} ({gap.source})")
    console.print(
        "Service tiers that are not listed have no known price. A class without a rate of its own pays the input rate."
    )


def _others(rows: list[dict[str, Any]], model: str | None) -> Iterable[str]:
    """Lines for what the table has no columns for: other classes of tokens, units, and the list's price."""
    told = set()
    for row in rows:
        name = f"{row['provider']} {row['model']}"
        tier = f"{name} {row['tier']}" if model else name
        per_token = [f"{c.replace('_', ' ')} ${usd}" for c, usd in row["usd_per_million"].items() if c not in _TEXT]
        if per_token and (model or len(rows) < _FEW):
            yield f"{tier}: {', '.join(per_token)} per million tokens"
        if row["usd_per_unit"] and (model or not row["usd_per_million"]):
            units = [_each(unit, usd) for unit, usd in row["usd_per_unit"].items()]
            line = f"{name}: {', '.join(units)}"
            if line not in told:
                told.add(line)
                yield line
        if "list" in row:
            listed = [f"{c.replace('_', ' ')} ${usd}" for c, usd in row["list"]["usd_per_million"].items()]
            yield f"{tier}: list price {', '.join(listed)}"


def _each(unit: str, usd: str) -> str:
    """A unit's price in words: milliseconds by the hour, everything else by the thousand."""
    by, count = ("an hour", 3_600_000) if unit.endswith("_ms") else ("a thousand", 1_000)
    amount = f"{Decimal(usd) * count:f}"
    whole, _, rest = amount.partition(".")
    return f"{UNITS[unit].removeprefix('milliseconds of ')} ${whole}.{rest.rstrip('0').ljust(2, '0')} {by}"


def _first(rows: list[dict[str, Any]], row: dict[str, Any]) -> str:
    """Up to where the first context tier reaches."""
    same = [r for r in rows if all(r[key] == row[key] for key in ("provider", "model", "tier")) and r is not row]
    return f"≤ {min(r['above_input_tokens'] for r in same):,}" if same else "any"
