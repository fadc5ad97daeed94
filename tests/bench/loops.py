"""The guard against loops, on shapes of runs that know nothing of it: where loops are stopped, and false alarms.

Run: python tests/bench/loops.py [--json] [--runs N]; the figures go to tests/bench/results/loops.json.
"""

import argparse
import json
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from figures import quantile, verdict, write
from rich import box
from rich.console import Console
from rich.table import Table

from harness.loop_rehearsal import KEY, asked_of, budget, healthy, looping
from shapes import HEALTHY, LOOPING
from shapes.healthy import long_research
from wfb_core.dialects import DIALECTS
from wfb_core.loops import LoopGuard, Usual, sketch_of

MULTIPLE, SAMPLE = 10, 48
GOAL_FALSE, GOAL_BEYOND = 1.0, 1.0
"""Percent of healthy runs refused; calls beyond the multiple of the median."""


def healthy_row(shape, runs):
    """How many healthy runs of a shape were flagged, slowed, refused."""
    usual, ran = healthy(shape, runs, seed=7, sample=SAMPLE)
    times = [run.cost / usual.median for run in ran]
    return {
        "shape": shape,
        "runs": runs,
        "dearest_x_median": round(max(times), 2),
        "flagged": sum(bool(run.stages) for run in ran),
        "slowed": sum("Slow" in run.stages or "Refuse" in run.stages for run in ran),
        "refused": sum(bool(run.refused) for run in ran),
        "refused_below_multiple": sum(bool(run.refused) and run.cost < MULTIPLE * usual.median for run in ran),
        "turns": sum(run.turns for run in ran),
    }


def loop_row(shape, runs):
    """Where the runs of a loop were stopped, in medians, and how far beyond the multiple in calls."""
    usual, ran = looping(shape, runs, seed=7, sample=SAMPLE)
    times = [run.cost / usual.median for run in ran]
    return {
        "shape": shape,
        "runs": runs,
        "stopped": sum(bool(run.refused) for run in ran),
        "p50_x_median": round(quantile(times, 0.5), 2),
        "p99_x_median": round(quantile(times, 0.99), 2),
        "most_x_median": round(max(times), 2),
        "calls_beyond": round(max((run.cost - MULTIPLE * usual.median) / run.dearest for run in ran), 2),
        "turns_p50": quantile([run.turns for run in ran], 0.5),
        "said": ran[0].refused,
    }


def speed():
    """Microseconds of this thread: a sketch, a verdict by six budgets, and reading the same request for comparison."""
    import random

    turns = list(long_research(random.Random(4)))
    budgets = tuple(budget() for _ in range(6))
    guard = LoopGuard()
    guard.begin("run/r1")
    guard.hear("run/r1", Usual(10**15, SAMPLE, 10**12), 0)
    found = {"sketch": [], "verdict": [], "reading": []}
    for turn in turns * 30:
        body = json.dumps(turn.body).encode()
        asked = asked_of(turn)
        t0 = time.thread_time()
        sketch_of(turn.body, KEY)
        t1 = time.thread_time()
        seen = guard.enter(t1, asked, guard.judge(t1, budgets, "w", asked))
        guard.settle(seen, turn.nanos)
        t2 = time.thread_time()
        DIALECTS["openai-chat"].read_request("POST", "/v1/chat/completions", {}, body, "openai")
        t3 = time.thread_time()
        for name, spent in (("sketch", t1 - t0), ("verdict", t2 - t1), ("reading", t3 - t2)):
            found[name].append(spent * 1e6)
    return {name: {"p50": round(quantile(v, 0.5)), "p99": round(quantile(v, 0.99))} for name, v in found.items()}


def show(console, figures):
    """Two tables and a line."""
    table = Table("loop", "runs", "stopped", "p50", "p99", "most", "calls beyond 10 x", "turns", box=box.SIMPLE_HEAD)
    for r in figures["loops"]:
        cells = (
            r["shape"],
            r["runs"],
            r["stopped"],
            f"{r['p50_x_median']} x",
            f"{r['p99_x_median']} x",
            f"{r['most_x_median']} x",
        )
        table.add_row(
            *map(str, cells),
            verdict(r["calls_beyond"], GOAL_BEYOND, most=True) + f" {r['calls_beyond']}",
            str(r["turns_p50"]),
        )
    console.print(table)
    table = Table(
        "healthy", "runs", "dearest", "flagged", "slowed", "refused", "of these below 10 x", box=box.SIMPLE_HEAD
    )
    for r in figures["healthy"]:
        names = ("shape", "runs", "dearest_x_median", "flagged", "slowed", "refused", "refused_below_multiple")
        table.add_row(*(str(r[name]) for name in names))
    console.print(table)
    total = figures["false_alarms"]
    console.print(
        f"healthy runs refused: {total['refused']} of {total['runs']} ({total['refused_percent']} %)"
        f" {verdict(total['refused_percent'], GOAL_FALSE, most=True)}; slowed {total['slowed_percent']} %,"
        f" flagged {total['flagged_percent']} %"
    )
    micro = figures["microseconds"]
    console.print(
        f"a call costs {micro['sketch']['p50']} µs for its sketch and {micro['verdict']['p50']} µs for the verdict of six"
        f" budgets; reading the same request takes {micro['reading']['p50']} µs"
    )


def main():
    """All shapes; exit status 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="runs of each shape (default 200)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of tables")
    args = parser.parse_args()
    calm = [healthy_row(shape, args.runs) for shape in HEALTHY]
    runs = sum(r["runs"] for r in calm)
    alarms = {"runs": runs}
    for name in ("flagged", "slowed", "refused"):
        alarms[name] = sum(r[name] for r in calm)
        alarms[f"{name}_percent"] = round(100 * alarms[name] / runs, 2)
    figures = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"python": platform.python_version(), "system": platform.platform()},
        "cost_multiple": MULTIPLE,
        "learned_from_runs": SAMPLE,
        "healthy": calm,
        "false_alarms": alarms,
        "loops": [loop_row(shape, args.runs) for shape in LOOPING],
        "microseconds": speed(),
    }
    path = write("loops", figures)
    if args.json:
        print(json.dumps(figures, indent=1))
    else:
        console = Console()
        show(console, figures)
        console.print(f"written to {path}")
    stopped = all(r["stopped"] == r["runs"] and r["calls_beyond"] < GOAL_BEYOND for r in figures["loops"])
    return 0 if stopped and alarms["refused_percent"] <= GOAL_FALSE else 1


if __name__ == "__main__":
    sys.exit(main())
