"""Three real minutes in Slow: whether fifty sidecars together spend evenly, in order, and answer everyone in time.

The ledger is the real process on SQLite at FULL synchronous, the holders are fifty sidecars' own call paths in this
process, the provider is the simulator, whose bill is what is measured. Calls name no cap and cost about a hundred and
fiftieth of what they could; three times as much is asked for as the budget's rest, spread over its hour, pays.

Run: python tests/bench/pacing.py [--seconds 180] [--json]
"""

import argparse
import asyncio
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
from harness.processes import budget, start_ledger
from overshoot import MODEL, TEXT, Provider, _quiet, _wallet, route_path

from wfb_core.money import format_usd, parse_usd
from wfb_operator.prices.compile import compile_snapshot

RESULTS = Path(__file__).resolve().parent / "results" / "pacing.json"
PODS, DEMAND, CALLS_A_SECOND, CALL_USD = 50, 3, 5.0, 0.00106
SETTLING_SECONDS = 20.0
"""Before the measurement begins: Slow has begun and its queue is full."""
MAX_DELAY = 20.0
REPORT_SECONDS = 1.0


@dataclass
class Seen:
    """What became of every call."""

    answers: Counter[str] = field(default_factory=Counter)
    calls: list[tuple[float, float, str]] = field(default_factory=list)
    """(asked, answered, answer), seconds."""
    retry_after: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    """Hold over cost."""

    def passed_over(self) -> float:
        """The longest that a call waited on after one was served that was asked for a report later."""
        served = sorted((asked, answered) for asked, answered, answer in self.calls if answer == "paid")
        first = [inf] * (len(served) + 1)
        for place in range(len(served) - 1, -1, -1):
            first[place] = min(first[place + 1], served[place][1])
        times = [asked for asked, _ in served]
        waited = [
            answered - first[bisect_right(times, asked + REPORT_SECONDS)]
            for asked, answered, answer in self.calls
            if answer in ("paid", "Paced") and answered - asked > REPORT_SECONDS
        ]
        return max((w for w in waited if w > -inf), default=0.0)


async def one_call(holder: Any, session: aiohttp.ClientSession, plain: str, seen: Seen, rng: random.Random) -> None:
    """Admitted, sent, read, settled, as the sidecar does it."""
    from wfb_core.settle import COMPLETE, FAILED
    from wfb_sidecar.books import Refused

    body = {"model": MODEL, "messages": [{"role": "user", "content": TEXT}]}
    row = holder.hosts.find(plain.removeprefix("http://"))
    route = row.route("POST", route_path())
    asked = time.monotonic()
    outcome = await holder.calls.admission.admit(row, route, "POST", route_path(), {}, json.dumps(body).encode())
    answered = time.monotonic()
    if isinstance(outcome, Refused):
        seen.answers[outcome.reason] += 1
        seen.calls.append((asked, answered, outcome.reason))
        seen.retry_after.append(float(outcome.headers.get("retry-after", inf)))
        return
    seen.answers["paid"] += 1
    seen.calls.append((asked, answered, "paid"))
    call, ending = outcome.call, FAILED
    call.forwarded = True
    headers = {"x-sim-output-tokens": str(rng.choice((20, 60, 100, 160, 160))), "x-sim-latency-ms": "300"}
    try:
        async with session.post(plain + route_path(), data=outcome.body, headers=headers) as answer:
            if holder.calls.settling.answering(call, answer.status, answer.headers) is not None:
                holder.calls.settling.pass_on(call, await answer.read())
                ending = COMPLETE
    finally:
        holder.calls.settling.finish(call, ending)
    seen.ratios.append(call.hold / (CALL_USD * 1e9))


async def ask_for_more(holders: list[Any], session: Any, plain: str, seen: Seen, until: float) -> None:
    """An open loop: calls come as they come, whether or not the earlier ones have their answers."""
    rng, under_way = random.Random(6), set()
    while time.monotonic() < until:
        await asyncio.sleep(rng.expovariate(DEMAND * CALLS_A_SECOND))
        task = asyncio.create_task(one_call(rng.choice(holders), session, plain, seen, rng))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)


def hour() -> tuple[str, float]:
    """A zone in whose calendar the present hour has enough of itself left, and how many seconds."""
    left = {zone: 3600 - (time.time() + offset) % 3600 for zone, offset in (("UTC", 0), ("Asia/Kolkata", 1800))}
    zone = max(left, key=lambda name: left[name])
    return zone, left[zone]


async def play(folder: Path, seconds: float) -> dict[str, Any]:
    """The one scenario."""
    provider = Provider(folder, "whole")
    zone, left = hour()
    limit = CALLS_A_SECOND * CALL_USD * left / 0.98
    document = budget(
        "bench",
        "1",
        limits=[{"window": "Hour", "usd": f"{limit:.6f}"}],
        timeZone=zone,
        ladder=[{"atPercent": 1, "action": "Slow"}],
        maxDelaySeconds=MAX_DELAY,
    )
    ledger = start_ledger(folder, [document], compile_snapshot("bench").data)
    try:
        labels = {"aifinops.dev/workflow": "bench"}
        endpoints = [{"endpoint": provider.plain.removeprefix("http://"), "provider": "openai"}]
        holders = [await _wallet(folder, ledger, labels, n, endpoints) for n in range(PODS)]
        seen, marks = Seen(), []
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            begun = time.monotonic()
            work = asyncio.create_task(
                ask_for_more(holders, session, provider.plain, seen, begun + SETTLING_SECONDS + seconds)
            )
            await asyncio.sleep(SETTLING_SECONDS)
            for _ in range(2):
                summary = await asyncio.to_thread(ledger.call, "GET", "/v1/summary")
                line = summary["budgets"][0]
                marks.append((time.monotonic(), line["end"] - summary["now"], parse_usd(line["spent_usd"]), line))
                if len(marks) == 1:
                    await asyncio.sleep(seconds)
            await work
            for h in holders:
                await _quiet(h)
                await h.till.stop(5.0)
                h.link.close()
        return row(seen, marks, limit)
    finally:
        ledger.process.kill()
        provider.process.kill()


def row(seen: Seen, marks: list[Any], limit: float) -> dict[str, Any]:
    """What is reported."""
    (t0, left0, spent0, line0), (t1, _, spent1, line1) = marks
    even = (limit * 1e9 - spent0) / left0
    rate = (spent1 - spent0) / (t1 - t0)
    inside = [c for c in seen.calls if t0 <= c[1] <= t1]
    paid = sum(answer == "paid" for _, _, answer in inside)
    waits = sorted(answered - asked for asked, answered, _ in inside)
    largest = max(seen.ratios, default=0.0) * CALL_USD
    return {
        "pods": PODS,
        "seconds": round(t1 - t0, 1),
        "limit_usd": f"{limit:.4f}",
        "remainder_in_largest_holds": round((limit * 1e9 - spent1) / (largest * 1e9), 1) if largest else None,
        "largest_hold_to_cost": round(max(seen.ratios, default=0.0), 1),
        "calls_paid": paid,
        "calls_paced_away": sum(answer == "Paced" for _, _, answer in inside),
        "other_answers": {a: n for a, n in seen.answers.items() if a not in ("paid", "Paced")},
        "even_usd_per_hour": format_usd(int(even * 3600)),
        "spent_usd_per_hour": format_usd(int(rate * 3600)),
        "rate_to_even": round(rate / even, 4),
        "wait_p50_s": round(statistics.median(waits), 2) if waits else None,
        "wait_p99_s": round(waits[int(len(waits) * 0.99)], 2) if waits else None,
        "longest_wait_s": round(waits[-1], 2) if waits else None,
        "passed_over_s": round(seen.passed_over(), 2),
        "retry_after_s": [min(seen.retry_after, default=None), max(seen.retry_after, default=None)],
        "stage": [line0["stage"], line1["stage"]],
    }


def main() -> int:
    """Plays it, writes the result, and fails where it strays by more than a twentieth or keeps a call too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0, help="how long is measured")
    parser.add_argument("--json", action="store_true", help="print the row as JSON alone")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="wfb-pacing-"))
    try:
        result = asyncio.run(play(folder, options.seconds))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        for name, value in result.items():
            print(f"{name:28} {value}")
    if options.seconds >= 180:
        RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    good = abs(result["rate_to_even"] - 1) <= 0.05 and result["longest_wait_s"] <= MAX_DELAY + 1
    return 0 if good and result["calls_paid"] >= 400 * options.seconds / 180 else 1


if __name__ == "__main__":
    sys.exit(main())
