"""Minutes at half of what the sidecar can do, with everything that holds memory, to see that it stays flat.

Unary calls and streams at a steady rate on kept connections, and meanwhile: uploads of 64 MB that stream through, chat bodies
of 60 MB that are read whole, more at once than the gate lets in, streams that stall until their client leaves or that
the provider cuts, and clients that hang up on a slow answer.

Run: python tests/bench/soak.py [--minutes 10] [--json]
"""

import argparse
import asyncio
import json
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import uvloop
from figures import sparkline, verdict, write
from harness.processes import Process
from load import HOST, Client, ClosedError, Stand, Way, address, chat, make_stand, request, trusting, wait_until_told
from load import together as all_out
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

CONNECTIONS = 16
CHAT = "/v1/chat/completions"
MB = 1 << 20
GROWTH_MOST = 1.05
SAMPLE_SECONDS = 5.0
CALIBRATION_SECONDS = 4.0
UPLOAD_EVERY, BODIES_EVERY, STALL_EVERY, LEAVE_EVERY = 11.0, 23.0, 3.0, 2.0
BODIES_AT_ONCE = 3
"""Times 60 MB: more than the 128 MB that the gate lets in."""


@dataclass
class Sample:
    """One look at both processes."""

    seconds: float
    sidecar_mb: float
    ledger_mb: float
    calls: int


@dataclass
class Soak:
    """One run."""

    stand: Stand
    sidecar: Process
    seconds: float
    show: Callable[[str, float], None]
    rate: float = 0.0
    samples: list[Sample] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    """What happened, by kind and outcome."""

    async def run(self) -> None:
        """Measures what the sidecar can do, then soaks it at half of that."""
        way = self._way()
        clients = [await way.client() for _ in range(CONNECTIONS)]
        self.show("how much it can do", 0)
        rates = [
            calls / took
            for stream in (False, True)
            for calls, took in [await all_out(clients, self._chat(stream), CALIBRATION_SECONDS)]
        ]
        self.rate = statistics.harmonic_mean(rates) / 2
        for client in clients:
            client.abort()
        began = time.monotonic()
        tasks = [
            asyncio.ensure_future(work)
            for work in (
                self._steady(way, began),
                self._every(UPLOAD_EVERY, self._upload),
                self._every(BODIES_EVERY, self._bodies),
                self._every(STALL_EVERY, self._stall),
                self._every(STALL_EVERY, self._cut),
                self._every(LEAVE_EVERY, self._leave),
            )
        ]
        try:
            await self._watch(began, tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- the load

    def _way(self) -> Way:
        return Way(address(self.sidecar.ready["proxy"]), trusting(self.sidecar.ready["ca"]), f"{HOST}:443")

    def _chat(self, stream: bool, **headers: object) -> bytes:
        return request(CHAT, HOST, chat(stream=stream), **headers)

    async def _steady(self, way: Way, began: float) -> None:
        """Calls at the rate, whoever is free takes the next; a connection that broke is replaced."""
        issued = 0
        sent = [self._chat(False), self._chat(True)]

        async def work() -> None:
            nonlocal issued
            client: Client | None = None
            while True:
                at = began + issued / self.rate
                issued += 1
                stream = issued % 2
                await asyncio.sleep(max(0.0, at - time.monotonic()))
                try:
                    client = client or await way.client()
                    self.done[f"{'stream' if stream else 'unary'} {(await client.call(sent[stream])).status}"] += 1
                except OSError:
                    self.done["broken"] += 1
                    client = None

        await asyncio.gather(*(work() for _ in range(CONNECTIONS)))

    async def _every(self, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            await act()

    async def _once(self, kind: str, sent: bytes, patience: float = 60.0) -> None:
        """One call on a connection of its own; its client leaves when patience ends."""
        client: Client | None = None
        try:
            async with asyncio.timeout(patience):
                client = await self._way().client()
                self.done[f"{kind} {(await client.call(sent)).status}"] += 1
        except ClosedError:
            self.done[f"{kind} closed"] += 1
        except TimeoutError:
            self.done[f"{kind} left"] += 1
        except OSError:
            self.done[f"{kind} unreachable"] += 1
        finally:
            if client is not None:
                client.abort()

    async def _upload(self) -> None:
        await self._once(
            "upload 64 MB", request("/v1/files", HOST, bytes(64 * MB), content_type="application/octet-stream")
        )

    async def _bodies(self) -> None:
        image = b'"data:image/png;base64,' + b"A" * (60 * MB) + b'"'
        body = chat(stream=False).replace(
            b'"You check invoices."', b'[{"type":"image_url","image_url":{"url":' + image + b"}}]", 1
        )
        body = body.replace(b'"role": "system"', b'"role": "user"', 1)
        sent = request(CHAT, HOST, body)
        await asyncio.gather(*(self._once("chat 60 MB", sent) for _ in range(BODIES_AT_ONCE)))

    async def _stall(self) -> None:
        await self._once("stalled", self._chat(True, x_sim_stall_after=2, x_sim_stall_ms=60_000), patience=1.5)

    async def _cut(self) -> None:
        await self._once("cut by provider", self._chat(True, x_sim_fault="cut"))

    async def _leave(self) -> None:
        await self._once("hung up", self._chat(False, x_sim_latency_ms=700), patience=0.2)

    # -- what is seen

    async def _watch(self, began: float, tasks: list[asyncio.Future[None]]) -> None:
        while (seconds := time.monotonic() - began) < self.seconds:
            calls = sum(n for kind, n in self.done.items() if kind.startswith(("unary", "stream")))
            self.samples.append(Sample(seconds, self.sidecar.rss_mb(), self.stand.ledger.process.rss_mb(), calls))
            self.show(f"{self.rate:.0f} calls/s, RSS {self.samples[-1].sidecar_mb:.0f} MB", seconds)
            done, _ = await asyncio.wait(tasks, timeout=SAMPLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # none of them ends by itself: what ended it is raised here

    def in_minute(self, process: str, minute: float) -> float:
        """The median of a process's samples in the minute that ends at `minute`."""
        within = [getattr(s, process) for s in self.samples if (minute - 1) * 60 <= s.seconds < minute * 60]
        return statistics.median(within or [getattr(self.samples[-1], process)])

    def internal_errors(self) -> int:
        """Failures of the sidecar's own code, by its own count."""
        with urllib.request.urlopen(f"{self.sidecar.ready['health']}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return sum(int(float(x.split()[-1])) for x in lines if x.startswith("wfb_sidecar_internal_errors_total "))


def result(soak: Soak, minutes: float) -> dict[str, Any]:
    """What is written to results/soak.json; early is minute 2, or a fifth of a shorter run."""
    early, errors = max(1.0, min(2.0, minutes / 5)), soak.internal_errors()
    first, last = soak.in_minute("sidecar_mb", early), soak.in_minute("sidecar_mb", minutes)
    ledger_first, ledger_last = soak.in_minute("ledger_mb", early), soak.in_minute("ledger_mb", minutes)
    return {
        "minutes": minutes,
        "calls_per_second": round(soak.rate, 1),
        "early_minute": round(early, 2),
        "sidecar_early_mb": round(first, 1),
        "sidecar_late_mb": round(last, 1),
        "sidecar_peak_mb": round(max(s.sidecar_mb for s in soak.samples), 1),
        "growth": round(last / first, 3),
        "flat": last <= GROWTH_MOST * first,
        "ledger_early_mb": round(ledger_first, 1),
        "ledger_late_mb": round(ledger_last, 1),
        "internal_errors": errors,
        "outcomes": dict(sorted(soak.done.items())),
        "samples": [
            {
                "s": round(s.seconds),
                "sidecar_mb": round(s.sidecar_mb, 1),
                "ledger_mb": round(s.ledger_mb, 1),
                "calls": s.calls,
            }
            for s in soak.samples
        ],
    }


def tables(soak: Soak, told: dict[str, Any]) -> list[Table]:
    """What a person reads."""
    memory = Table(
        title=f"RSS over {told['minutes']:g} minutes at {told['calls_per_second']:g} calls a second",
        box=box.SIMPLE_HEAD,
    )
    for name in ("process", "", f"minute {told['early_minute']:g}", f"minute {told['minutes']:g}", "peak", "growth"):
        memory.add_column(name)
    for process, name in (("sidecar_mb", "sidecar"), ("ledger_mb", "ledger")):
        values = [getattr(s, process) for s in soak.samples]
        first, last = told[f"{name}_early_mb"], told[f"{name}_late_mb"]
        growth = f"{last / first:.3f} " + (verdict(last / first, GROWTH_MOST, most=True) if name == "sidecar" else "")
        memory.add_row(
            name, sparkline(values, 24), f"{first:.1f} MB", f"{last:.1f} MB", f"{max(values):.1f} MB", growth
        )
    outcomes = Table(title=f"what happened; internal errors: {told['internal_errors']}", box=box.SIMPLE_HEAD)
    outcomes.add_column("what")
    outcomes.add_column("times", justify="right")
    for kind, times in told["outcomes"].items():
        outcomes.add_row(kind, str(times))
    return [memory, outcomes]


def main() -> None:
    """Runs the soak, prints tables, writes results/soak.json; exit status 1 where memory grew."""
    parser = argparse.ArgumentParser(description="Memory of sidecar and ledger under a long, mixed load.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long; 10 by default, 60 at most")
    parser.add_argument("--json", action="store_true", help="print the record instead of tables")
    args = parser.parse_args()
    if not 1 <= args.minutes <= 60:
        parser.error(f"--minutes: {args.minutes:g} is not from 1 to 60")
    shown = Console(stderr=args.json)
    folder = Path(tempfile.mkdtemp(prefix="wfb-soak-"))
    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    try:
        stand = make_stand(folder)
        try:
            sidecar = stand.sidecar("sidecar")
            try:
                wait_until_told(sidecar)
                with Progress(*columns, console=shown, transient=True) as progress:
                    task = progress.add_task("starting", total=args.minutes * 60)
                    soak = Soak(
                        stand,
                        sidecar,
                        args.minutes * 60,
                        lambda text, seconds: progress.update(task, description=text, completed=seconds),
                    )
                    uvloop.run(soak.run())
                told = result(soak, args.minutes)
            finally:
                sidecar.stop()
        finally:
            stand.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    path = write("soak", told)
    if args.json:
        print(json.dumps(told, indent=1))
    else:
        for table in tables(soak, told):
            shown.print(table)
        shown.print(f"[dim]{path}[/]")
    sys.exit(0 if told["flat"] else 1)


if __name__ == "__main__":
    main()
