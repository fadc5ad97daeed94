"""How far budgets are overshot, and how often calls are refused that could have been paid.

Every scenario asks for at least three times its limit, over the real ledger process on SQLite at FULL synchronous, from
real sidecar processes or from the wallets of many (the sidecar's own call path without the proxy's bytes). The
provider is a simulator that bills by itself; what it billed is what is compared with the limit.

Where a budget throttles beyond its limit, what its trickle allows is agreed: the least of what the ledger says of it and
of its rate times the seconds since the first call. Only what is billed beyond limit and trickle is overshoot.

Run: python tests/bench/overshoot.py [--quick] [--only TEXT] [--json]
"""

import argparse
import asyncio
import itertools
import json
import random
import re
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
from harness.processes import (
    Ledger,
    Process,
    budget,
    restart_sidecar,
    start_ledger,
    start_sidecar,
    start_simulator,
)
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from wfb_core.money import format_usd, parse_usd
from wfb_operator.prices.compile import compile_snapshot

RESULTS = Path(__file__).resolve().parent / "results" / "overshoot.json"
HANG_UPS = 0.3
MODEL = "gpt-4o"
OUTPUT_TOKENS = 100
CALL_USD = 0.00106
"""About what one call of MODEL with OUTPUT_TOKENS costs."""
TEXT = "Say what is wrong with this invoice, line by line. " * 2
NEEDS = re.compile(r"needs \$([0-9.]+) at least")
LONGEST_SECONDS = 180.0
CHECK_EVERY = 20
"""Every so many refusals the settled amount that a refusal states is held against the provider's bill."""


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    name: str
    sidecars: int
    """Sidecar processes, or wallets where `wallets`."""
    callers: int
    limit_usd: str = "0.50"
    wallets: bool = True
    streamed: bool | None = None
    """None: half of the calls."""
    capped: bool | None = None
    bill_cut: str = "whole"
    chaos: bool = False
    """A sidecar is killed and restarted with its wallet, another killed for good, the ledger killed and restarted."""
    hard: bool = False
    """The first ten calls are asked at once, uncapped: 6.40 dollars at worst, 0.03 in truth, on 5: all must be paid."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """More of the budget: its ladder and what happens at its limit."""

    @property
    def trickle(self) -> int:
        """Nano-USD an hour beyond the limit."""
        return parse_usd(self.spec.get("onExhausted", {}).get("usdPerHour", "0"))


WARN = {"atPercent": 50, "action": "Warn"}
SLOW = {"atPercent": 60, "action": "Slow", "usdPerHour": "54.00"}
DOWNGRADE = {
    "atPercent": 90,
    "action": "Downgrade",
    "models": [{"from": MODEL, "to": "gpt-4o-mini"}],
}
THROTTLE = {"onExhausted": {"action": "Throttle", "usdPerHour": "18.00"}, "maxDelaySeconds": 1}
RUNGS: dict[str, dict[str, Any]] = {
    "Downgrade, Clamp": {"ladder": [DOWNGRADE], "outputBound": "Clamp"},
    "Downgrade, Adaptive": {"ladder": [DOWNGRADE], "outputBound": "Adaptive"},
    "Slow at a rate": {"ladder": [SLOW], "maxDelaySeconds": 1},
    "Throttle": THROTTLE,
    "every rung, Adaptive": {"ladder": [WARN, SLOW, DOWNGRADE], "outputBound": "Adaptive", **THROTTLE},
}
"""Budgets with rungs, by what they do."""


def scenarios(quick: bool) -> list[Scenario]:
    """The rows: every number of sidecars with every number of callers, then every shape, then what goes wrong."""
    rows = [Scenario("hard case: 10 calls of $6.40 worst, $0.03 real", 1, 10, "5.00", hard=True)]
    turn = itertools.cycle(itertools.product(("whole", "made"), (None, True, False)))
    for sidecars, wallets in ((1, True), (10, True), (50, True), (3, False)):
        for callers in (1, 50, 200):
            cut, capped = next(turn)
            kind = "wallets" if wallets else "sidecars"
            name = f"{sidecars} {kind}, {callers} callers, cut streams billed {cut}"
            rows.append(
                Scenario(name, sidecars, callers, "0.30" if callers == 1 else "0.50", wallets, None, capped, cut)
            )
    for streamed, capped, cut in itertools.product((True, False), (True, False), ("whole", "made")):
        name = f"{'streams' if streamed else 'unary'}, {'max_tokens' if capped else 'no max_tokens'}, billed {cut}"
        rows.append(Scenario(name, 10, 50, "1.00", wallets=True, streamed=streamed, capped=capped, bill_cut=cut))
    for cut in ("whole", "made"):
        rows.append(
            Scenario(f"kills and restarts, billed {cut}", 3, 50, "1.00", wallets=False, bill_cut=cut, chaos=True)
        )
    for name, spec in RUNGS.items():
        rows.append(Scenario(f"rungs: {name}, 10 wallets", 10, 50, spec=spec))
    rows.append(Scenario("rungs: every rung, 3 sidecars", 3, 50, wallets=False, spec=RUNGS["every rung, Adaptive"]))
    rows.append(Scenario("a larger limit, 3 sidecars", 3, 200, "3.00", wallets=False, bill_cut="made"))
    return [r for r in rows if not quick or r.hard or r.chaos or r.callers == 50]


@dataclass
class Tally:
    """What the callers saw."""

    answers: Counter[str] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    needs: list[int] = field(default_factory=list)
    """The least hold of every call refused with 402."""
    first: list[str] = field(default_factory=list)
    """What became of the first ten calls."""
    false_by_own_words: int = 0
    checks: list[tuple[int, int]] = field(default_factory=list)
    """(settled as a refusal states it, billed by the provider a moment later)."""
    asked: int = 0

    def paid(self) -> None:
        """Books a call that had its whole answer."""
        self.answers["paid"] += 1
        if len(self.first) < 10:
            self.first.append("paid")

    def refused(self, reason: str, document: dict[str, Any]) -> None:
        """Books a refusal."""
        self.answers[reason] += 1
        if len(self.first) < 10:
            self.first.append(reason)
        if reason == "QueueFull":
            self.asked -= 1  # as an SDK it comes again after Retry-After
        if reason != "BudgetExhausted":
            return
        said = NEEDS.search(json.dumps(document))
        need = parse_usd(said[1]) if said else 0
        self.needs.append(need)
        remaining = document.get("error", {}).get("budget", {}).get("remaining")
        if remaining is not None and parse_usd(remaining) >= need:
            self.false_by_own_words += 1


class Caller:
    """Asks one call after another, hangs up on some, and writes down what it gets."""

    def __init__(self, scenario: Scenario, tally: Tally, rng: random.Random, demand: int, plain: str) -> None:
        self.scenario, self.tally, self.rng, self.demand, self.plain = scenario, tally, rng, demand, plain

    def request(self) -> tuple[dict[str, Any], dict[str, str], bool]:
        """(body, headers, whether to hang up)."""
        s, r = self.scenario, self.rng
        body: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": TEXT}]}
        stream = r.random() < 0.5 if s.streamed is None else s.streamed
        if stream:
            body["stream"] = True
        if (r.random() < 0.5 if s.capped is None else s.capped) and not s.hard:
            body["max_tokens"] = 200
        tokens = r.choice((20, 60, 100, 160, 160))
        headers = {"x-sim-output-tokens": str(tokens), "x-sim-latency-ms": "15", "x-sim-pace-ms": "2"}
        if s.hard:
            body["model"] = "gpt-6-astra"
            headers = {"x-sim-output-tokens": "600", "x-sim-latency-ms": "200"}
        return body, headers, not s.hard and r.random() < HANG_UPS

    async def back_off(self, reason: str) -> None:
        """Waits a fraction of the Retry-After where the queue was full."""
        if reason == "QueueFull":
            await asyncio.sleep(self.rng.uniform(0.1, 0.4))

    async def settled_check(self, session: aiohttp.ClientSession, document: dict[str, Any]) -> None:
        """Holds what a refusal calls settled against the bill."""
        spent = document.get("error", {}).get("budget", {}).get("spent")
        if spent is None or self.tally.answers["BudgetExhausted"] % CHECK_EVERY != 1:
            return
        async with session.get(self.plain + "/sim/bill/summary") as answer:
            self.tally.checks.append((parse_usd(spent), parse_usd(str((await answer.json())["usd"]))))


class ProxyCaller(Caller):
    """Through a sidecar process, as a plain-HTTP proxy."""

    def __init__(self, *args: Any, proxies: list[str]) -> None:
        super().__init__(*args)
        self.proxies = proxies

    async def run(self) -> None:
        """Until the demand is met."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            while self.tally.asked < self.demand:
                self.tally.asked += 1
                await self.once(session, self.rng.choice(self.proxies))

    async def once(self, session: aiohttp.ClientSession, proxy: str) -> None:
        """One call."""
        body, headers, hang_up = self.request()
        headers["authorization"] = "Bearer sk-test"
        begun = time.monotonic()
        try:
            async with session.post(
                self.plain + "/v1/chat/completions",
                json=body,
                headers=headers,
                proxy=proxy,
                timeout=aiohttp.ClientTimeout(total=60, sock_connect=5),
            ) as answer:
                if answer.status != 200:
                    document = await answer.json(content_type=None)
                    reason = answer.headers.get("x-wfb-reason", f"status {answer.status}")
                    self.tally.refused(reason, document)
                    await self.back_off(reason)
                    await self.settled_check(session, document)
                    return
                self.tally.waits.append(time.monotonic() - begun)
                if hang_up:
                    await answer.content.readany()
                    self.tally.answers["hung up"] += 1
                    answer.close()
                    return
                await answer.read()
                self.tally.paid()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            self.tally.answers["broken"] += 1
            await asyncio.sleep(0.05)


class WalletCaller(Caller):
    """Through a sidecar's own call path in this process, without the proxy's bytes."""

    def __init__(self, *args: Any, holders: list[Any], session: aiohttp.ClientSession) -> None:
        super().__init__(*args)
        self.holders, self.session = holders, session

    async def run(self) -> None:
        """Until the demand is met."""
        while self.tally.asked < self.demand:
            self.tally.asked += 1
            await self.once(self.rng.choice(self.holders))

    async def once(self, holder: Any) -> None:
        """One call: admitted, sent, read, settled."""
        from wfb_core.settle import COMPLETE, CUT, FAILED, LEFT
        from wfb_sidecar.books import Refused

        body, headers, hang_up = self.request()
        row = holder.hosts.find(self.plain.removeprefix("http://"))
        route = row.route("POST", "/v1/chat/completions")
        begun = time.monotonic()
        outcome = await holder.calls.admission.admit(
            row, route, "POST", "/v1/chat/completions", {}, json.dumps(body).encode()
        )
        if isinstance(outcome, Refused):
            document = json.loads(outcome.body)
            self.tally.refused(outcome.reason, document)
            await self.back_off(outcome.reason)
            await self.settled_check(self.session, document)
            return
        self.tally.waits.append(time.monotonic() - begun)
        call, ending = outcome.call, FAILED
        call.forwarded = True
        try:
            async with self.session.post(self.plain + route_path(), data=outcome.body, headers=headers) as answer:
                if holder.calls.settling.answering(call, answer.status, answer.headers) is None:
                    return
                chunks, ending = 0, CUT
                async for chunk in answer.content.iter_any():
                    holder.calls.settling.pass_on(call, chunk)
                    chunks += 1
                    if hang_up and chunks == 1:
                        self.tally.answers["hung up"] += 1
                        if not holder.calls.settling.client_left(call):
                            ending = LEFT
                            answer.close()
                            return
                holder.calls.settling.pass_on(call, b"")
                ending = COMPLETE
                if not hang_up:
                    self.tally.paid()
        except (aiohttp.ClientError, TimeoutError):
            self.tally.answers["broken"] += 1
        finally:
            holder.calls.settling.finish(call, ending)


def route_path() -> str:
    """The one path that is called."""
    return "/v1/chat/completions"


class Provider:
    """The simulator's process and its bill."""

    def __init__(self, folder: Path, bill_cut: str) -> None:
        self.process = start_simulator(folder, "--bill-cut", bill_cut)
        self.plain = str(self.process.ready["plain"])

    def bill(self) -> int:
        """Nano-USD billed once nothing is open."""
        with urllib.request.urlopen(self.plain + "/sim/bill/summary?wait=1", timeout=90) as answer:
            return parse_usd(str(json.loads(answer.read())["usd"]))


async def play(scenario: Scenario, folder: Path, tick: Any) -> dict[str, Any]:
    """One scenario from an empty ledger; its row."""
    provider = Provider(folder, scenario.bill_cut)
    disconnect = {"whole": "ReadOn", "made": "Close"}[scenario.bill_cut]
    ledger = start_ledger(
        folder,
        [budget("bench", scenario.limit_usd, onDisconnect=disconnect, **scenario.spec)],
        compile_snapshot("bench").data,
    )
    labels = {"aifinops.dev/workflow": "bench"}
    limit = parse_usd(scenario.limit_usd)
    demand = 500 if scenario.hard else int(float(scenario.limit_usd) * 3.2 / CALL_USD * 1.2) + 2 * scenario.callers
    tally, rng = Tally(), random.Random(scenario.name)
    endpoints = [{"endpoint": provider.plain.removeprefix("http://"), "provider": "openai"}]
    sidecars: dict[int, Process] = {}
    holders: list[Any] = []
    watch = asyncio.create_task(_watch(tally, demand, tick))
    begun = time.monotonic()
    try:
        if scenario.wallets:
            holders = [await _wallet(folder, ledger, labels, n, endpoints) for n in range(scenario.sidecars)]
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(connector=connector) as session:
                callers = [
                    WalletCaller(
                        scenario,
                        tally,
                        random.Random(rng.random()),
                        demand,
                        provider.plain,
                        holders=holders,
                        session=session,
                    )
                    for _ in range(scenario.callers)
                ]
                await _drive([c.run() for c in callers])
        else:
            for n in range(scenario.sidecars):
                token = ledger.admit(f"pod{n}/", labels)
                sidecars[n] = start_sidecar(
                    folder / f"sidecar{n}",
                    ledger,
                    f"pod{n}/",
                    token,
                    endpoints=endpoints,
                    proxy=f"127.0.0.1:{_free_port()}",
                )
            proxies = [str(p.ready["proxy"]) for p in sidecars.values()]
            proxy_callers = [
                ProxyCaller(scenario, tally, random.Random(rng.random()), demand, provider.plain, proxies=proxies)
                for _ in range(scenario.callers)
            ]
            work = [c.run() for c in proxy_callers]
            if scenario.chaos:
                work.append(_havoc(folder, ledger, sidecars, proxies, tally, demand))
            await _drive(work)
        for h in holders:
            await _quiet(h)
            await h.till.stop(10.0)
            h.link.close()
        for p in sidecars.values():
            await asyncio.to_thread(p.stop)
        billed = await asyncio.to_thread(provider.bill)
        return _row(scenario, tally, ledger, limit, billed, time.monotonic() - begun)
    finally:
        watch.cancel()
        for p in sidecars.values():
            if p.process.poll() is None:
                p.kill()
        ledger.process.kill()
        provider.process.kill()


def _row(scenario: Scenario, tally: Tally, ledger: Ledger, limit: int, billed: int, seconds: float) -> dict[str, Any]:
    summary = ledger.call("GET", "/v1/summary")
    window = next(b for b in summary["budgets"] if b["kind"] == "Total")
    spent, lost, estimated = (parse_usd(window[k]) for k in ("spent_usd", "lost_usd", "estimated_usd"))
    usage = ledger.call("GET", "/v1/usage?by=outcome,estimated")["usage"]
    # What is settled only grows: a call whose least hold still fits at the end could have been paid all along.
    by_the_end = sum(need <= limit - spent for need in tally.needs)
    beyond_the_bill = sum(said > billed_then + estimated for said, billed_then in tally.checks)
    refused = tally.answers["BudgetExhausted"] + tally.answers["Throttled"]
    agreed = min(parse_usd(window["agreed_usd"]), int(scenario.trickle * seconds / 3600))
    held = parse_usd(window["reserved_usd"])
    waits = sorted(tally.waits) or [0.0]
    return {
        "scenario": scenario.name,
        "sidecars": scenario.sidecars,
        "callers": scenario.callers,
        "limit_usd": format_usd(limit),
        "billed_usd": format_usd(billed),
        "overshoot_usd": format_usd(max(0, billed - limit - agreed)),
        "agreed_usd": format_usd(agreed),
        "calls": tally.asked,
        "refused": refused,
        "false_blocks": max(tally.false_by_own_words, by_the_end) + beyond_the_bill,
        "timed_out": tally.answers["MoneyInFlight"],
        "paced": tally.answers["Paced"],
        "busy": tally.answers["QueueFull"],
        "unspent_usd": format_usd(max(0, limit - spent)),
        "estimated_calls": sum(u["calls"] for u in usage if u["estimated"]),
        "first_ten_paid": tally.first.count("paid"),
        "paid": tally.answers["paid"],
        "hung_up": tally.answers["hung up"],
        "broken": tally.answers["broken"],
        "stuck": tally.answers["HoldersLost"],
        "unreachable": tally.answers["LedgerUnreachable"] + tally.answers["NotReady"],
        "other": sum(n for k, n in tally.answers.items() if k not in KNOWN),
        "settled_usd": format_usd(spent),
        "lost_usd": format_usd(lost),
        "held_by_killed_usd": format_usd(held),
        "estimated_usd": format_usd(estimated),
        "books_minus_bill_usd": format_usd(spent - billed),
        "median_wait_ms": round(statistics.median(waits) * 1000, 1),
        "longest_wait_ms": round(waits[-1] * 1000, 1),
    }


KNOWN = {
    "BudgetExhausted",
    "Paced",
    "Throttled",
    "MoneyInFlight",
    "QueueFull",
    "HoldersLost",
    "LedgerUnreachable",
    "NotReady",
    "paid",
    "hung up",
    "broken",
}


async def _wallet(folder: Path, ledger: Ledger, labels: dict[str, str], n: int, endpoints: list[Any]) -> Any:
    """A sidecar's parts without its doors."""
    from wfb_sidecar.config import parse_config
    from wfb_sidecar.main import Sidecar

    token = ledger.admit(f"wallet{n}/", labels)
    sidecar = Sidecar(
        parse_config(
            {
                "ledger_url": ledger.url,
                "token_file": str(token),
                "holder_prefix": f"wallet{n}/",
                "state_dir": str(folder / f"wallet{n}"),
                "endpoints": endpoints,
            }
        )
    )
    await sidecar.watch.once(0.0)
    sidecar.till.start()
    return sidecar


async def _quiet(holder: Any) -> None:
    while holder.calls.settling.in_flight:
        await asyncio.sleep(0.05)


async def _drive(work: list[Any]) -> None:
    async with asyncio.timeout(LONGEST_SECONDS):
        await asyncio.gather(*work)


async def _havoc(
    folder: Path, ledger: Ledger, sidecars: dict[int, Process], proxies: list[str], tally: Tally, demand: int
) -> None:
    """Kills at a tenth, a fifth and three tenths of the demand, while there is still money to lose."""
    while tally.asked < demand * 0.08:
        await asyncio.sleep(0.005)
    sidecars[0].kill()
    await asyncio.sleep(0.3)
    sidecars[0] = await asyncio.to_thread(restart_sidecar, folder / "sidecar0")
    while tally.asked < demand * 0.14:
        await asyncio.sleep(0.005)
    ledger.process.kill()
    await asyncio.sleep(0.5)
    await asyncio.to_thread(ledger.restart)
    while tally.asked < demand * 0.2:
        await asyncio.sleep(0.005)
    dead = sidecars.pop(1)
    proxies.remove(str(dead.ready["proxy"]))
    dead.kill()


async def _watch(tally: Tally, demand: int, tick: Any) -> None:
    while True:
        tick(min(1.0, tally.asked / demand), tally)
        await asyncio.sleep(0.2)


def _free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """The table, and the verdict."""
    table = Table(title="Overshoot and false refusals")
    names = {
        "scenario": "scenario",
        "limit_usd": "limit $",
        "billed_usd": "billed $",
        "agreed_usd": "agreed $",
        "overshoot_usd": "overshoot $",
        "calls": "calls",
        "refused": "refused",
        "false_blocks": "false",
        "timed_out": "timed out",
        "paced": "paced",
        "busy": "busy",
        "unspent_usd": "unspent $",
        "estimated_calls": "estimated",
        "broken": "broken",
        "median_wait_ms": "wait p50 ms",
        "longest_wait_ms": "longest ms",
    }
    for key, title in names.items():
        table.add_column(title, justify="left" if key == "scenario" else "right", no_wrap=key != "scenario")
    for row in rows:
        table.add_row(*(str(row.get(k, "")) for k in names))
    console.print(table)
    over = sum(parse_usd(r["overshoot_usd"]) for r in rows)
    late = [r for r in rows if r["timed_out"] > 0.01 * r["calls"]]
    left = [
        r
        for r in rows
        if not r["scenario"].startswith("kills") and parse_usd(r["unspent_usd"]) > 0.01 * parse_usd(r["limit_usd"])
    ]
    console.print(
        f"overshoot ${format_usd(over)} over {len(rows)} scenarios, {sum(r['calls'] for r in rows)} calls;"
        f" false refusals {sum(r['false_blocks'] for r in rows)};"
        f" more than 1 % timed out in {len(late)}; more than 1 % of the limit unspent in {len(left)}"
    )


def keep(rows: list[dict[str, Any]]) -> None:
    """Writes the rows in place of those of the same scenarios; the others stay as they were measured."""
    RESULTS.parent.mkdir(exist_ok=True)
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    played = {row["scenario"] for row in rows}
    RESULTS.write_text(json.dumps([*(r for r in known if r["scenario"] not in played), *rows], indent=1) + "\n")


def main() -> int:
    """Plays the scenarios, writes the results, and fails where money was overshot or a call falsely refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a third of the scenarios")
    parser.add_argument("--only", default="", help="scenarios whose name holds this text")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--keep", action="store_true", help="keep the states")
    options = parser.parse_args()
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 190)
    chosen = [s for s in scenarios(options.quick) if options.only in s.name]
    rows = []
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        bar = progress.add_task("", total=len(chosen), note="")
        for n, scenario in enumerate(chosen):
            folder = Path(tempfile.mkdtemp(prefix="wfb-overshoot-"))

            def tick(part: float, tally: Tally, n: int = n, scenario: Scenario = scenario) -> None:
                progress.update(bar, completed=n + part, description=scenario.name, note=f"{tally.asked} calls")

            rows.append(asyncio.run(play(scenario, folder, tick)))
            progress.update(bar, completed=n + 1)
            if not options.keep:
                shutil.rmtree(folder, ignore_errors=True)
    show(rows, console)
    if options.json:
        print(json.dumps(rows, indent=1))
    if not options.quick:
        keep(rows)
    bad = any(parse_usd(r["overshoot_usd"]) or r["false_blocks"] or not r["refused"] for r in rows)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
