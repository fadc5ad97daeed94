"""A month of 1,000 workflows and 50 teams, 40 million calls: reports by every dimension, the database's size, and the sums.

The rows go through the store's own transactions, roll-ups and forgetting, hour by hour as the month goes by, so what is
measured is what a ledger has at a month's end. Sums are also kept apart, in plain integers, while the rows are made.

Writing waits for the disk at every transaction, as a ledger does; ``--keep /dev/shm/…`` makes it in memory.

Run: python tests/bench/month.py [--rows MILLIONS] [--workflows N] [--teams N] [--days N] [--keep DIR]
"""

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))
from harness.synthetic_month import hour_rows, workflows

import figures
from wfb_operator.ledger.store.port import USAGE_COUNTS, USAGE_DIMENSIONS, Writes
from wfb_operator.ledger.store.sqlite import SqliteStore
from wfb_operator.ledger.store.tiers import Retention

FIRST_DAY = 20_758
"""2026-11-01, in days since the Unix epoch."""

GOAL_SECONDS = 2.0
DIMENSIONS = (
    "team",
    "feature",
    "workflow",
    "model",
    "served_model",
    "provider",
    "namespace",
    "outcome",
    "estimated",
    "run",
)
REPORTS = [(name,) for name in DIMENSIONS] + [
    ("day",),
    ("day", "team"),
    ("workflow", "model"),
    ("team", "feature", "model"),
]
ROUNDS = 5
CALLS = 40_000_000


async def make(store, options):
    """The month, hour by hour; returns the sums by every dimension, and how long writing and rolling up took."""
    flows = workflows(options.workflows, options.teams)
    hours = options.days * 24
    rows_each = options.rows * 1e6 / hours / options.workflows
    calls_each = CALLS / hours / options.workflows
    sums, seconds, rows = {name: Counter() for name in DIMENSIONS}, Counter(), 0
    longest = 0.0
    for hour in range(FIRST_DAY * 24, FIRST_DAY * 24 + hours):
        usage = dict(hour_rows(flows, hour, calls_each, rows_each))
        rows += len(usage)
        for key, counts in usage.items():
            values = dict(zip(USAGE_DIMENSIONS, key, strict=True))
            for name in DIMENSIONS:
                sums[name][values[name]] += counts[7]
            sums["calls"] = sums.get("calls", 0) + counts[0]
        now = (hour + 1) * 3600.0
        began = time.perf_counter()
        await store.write(Writes(now, usage=usage))
        written = time.perf_counter()
        parts = True
        while parts:
            part = time.perf_counter()
            parts = await store.roll_up(now - 600)
            longest = max(longest, time.perf_counter() - part)
        rolled = time.perf_counter()
        while await store.tidy(Retention().horizon(now)):
            pass
        seconds += {"write": written - began, "roll up": rolled - written, "forget": time.perf_counter() - rolled}
        if hour % 24 == 23:
            print(f"day {hour // 24 - FIRST_DAY + 1}: {rows:,} rows, {sums['calls']:,} calls", file=sys.stderr)
    await store.mark()
    return sums, seconds, rows, longest


async def measure(store, since, until, sums):
    """(dimensions, rows told, the rounds' seconds, whether the sums are the ledger's) of every report."""
    found = []
    whole = sum(sums["team"].values())
    for by in REPORTS:
        rounds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            answer = await store.usage(by, since, until, 10_000)
            rounds.append(time.perf_counter() - began)
        told, skip = Counter(), 0
        while True:  # every row, page by page, for the sums
            page = (await store.usage(by, since, until, 100_000, skip=skip)).rows
            skip += len(page)
            for row in page:
                told[row[by[0]]] += row["nanos"]
            if len(page) < 100_000:
                break
        same = sum(told.values()) == whole and (
            by[0] not in sums or {k: v for k, v in told.items() if v} == {k: v for k, v in sums[by[0]].items() if v}
        )
        found.append((by, skip, rounds, same, len(answer.rows)))
    return found


async def bench(options):
    """Makes the month, measures, shows and writes the figures."""
    folder = options.keep or tempfile.mkdtemp(prefix="wfb-month-")
    os.makedirs(folder, exist_ok=True)
    store = SqliteStore.open(folder)
    try:
        began = time.perf_counter()
        sums, seconds, rows, longest = await make(store, options)
        made = time.perf_counter() - began
        since, until = FIRST_DAY * 1440, (FIRST_DAY + options.days) * 1440
        # A month that a person asks for does not begin at midnight UTC.
        shifted = since + 7 * 60 + 13
        ragged = []
        for by in REPORTS:
            at = time.perf_counter()
            await store.usage(by, shifted, until - 97, 10_000)
            ragged.append(time.perf_counter() - at)
        reports = await measure(store, since, until, sums)
        counts = {
            table: store._writer.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("usage_minute", "usage_hour", "usage_day", "usage_run")
        }
        exact = {name: sum(sums[name].values()) == sum(sums["team"].values()) for name in DIMENSIONS}
    finally:
        await store.close()
    size = os.path.getsize(os.path.join(folder, "ledger.db"))
    if not options.keep:
        shutil.rmtree(folder)
    show(options, sums, reports, ragged, counts, size, seconds, rows, made, longest, exact)


def show(options, sums, reports, ragged, counts, size, seconds, rows, made, longest, exact):
    """A table for people, results/month.json for programs."""
    table = Table(title=f"A month of {options.workflows:,} workflows, {options.teams} teams: {sums['calls']:,} calls")
    for head in ("by", "rows", "p50 s", "slowest s", "from 07:13 s", f"≤ {GOAL_SECONDS:g} s", "sums"):
        table.add_column(head, justify="left" if head == "by" else "right")
    shown = []
    for (by, told, rounds, same, _), odd in zip(reports, ragged, strict=True):
        middle, slowest = statistics.median(rounds), max(rounds)
        met = max(middle, odd) <= GOAL_SECONDS
        table.add_row(
            ", ".join(by), f"{told:,}", f"{middle:.3f}", f"{slowest:.3f}", f"{odd:.3f}",
            "[green]met[/]" if met else "[red]not met[/]", "[green]equal[/]" if same else "[red]differ[/]",
        )  # fmt: skip
        shown.append(
            {"by": by, "rows": told, "p50_s": round(middle, 4), "max_s": round(slowest, 4), "ragged_s": round(odd, 4),
             "sums_equal": same}
        )  # fmt: skip
    console = Console()
    console.print(table)
    console.print(
        f"{rows:,} minute rows of which {counts['usage_minute']:,} are kept; {counts['usage_hour']:,} by hour,"
        f" {counts['usage_day']:,} by day, {counts['usage_run']:,} of runs: {size / 1e6:,.0f} MB."
        f" Written in {seconds['write']:.0f} s, rolled up in {seconds['roll up']:.0f} s (the longest part"
        f" {1000 * longest:.0f} ms), forgotten in {seconds['forget']:.0f} s; {made:.0f} s in all."
    )
    figures.write(
        "month",
        {
            "workflows": options.workflows, "teams": options.teams, "days": options.days, "calls": sums["calls"],
            "minute_rows": rows, "kept": counts, "megabytes": round(size / 1e6, 1),
            "seconds": {name: round(value, 1) for name, value in seconds.items()},
            "longest_part_ms": round(1000 * longest, 1), "usd": str(sum(sums["team"].values()) / 1e9),
            "dimensions_agree": all(exact.values()), "reports": shown,
        },
    )  # fmt: skip
    if not all(entry["sums_equal"] for entry in shown):
        sys.exit("sums differ")


def main():
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rows", type=float, default=2.0, metavar="MILLIONS", help="minute rows of the month (default: 2)"
    )
    parser.add_argument("--workflows", type=int, default=1000)
    parser.add_argument("--teams", type=int, default=50)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--keep", metavar="DIR", help="leave the database there")
    asyncio.run(bench(parser.parse_args()))


assert USAGE_COUNTS[7] == "nanos"

if __name__ == "__main__":
    main()
