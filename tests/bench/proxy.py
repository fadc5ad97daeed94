"""What the sidecar costs beside a direct call and beside a bare mitmproxy relay, all in one run.

The systems take turns, round by round, on connections that stay open, so what the machine does meanwhile slows them alike;
ratios are medians over rounds. The provider takes one of the cores, so processor time per call is the quietest figure.

Run: python tests/bench/proxy.py [--quick] [--json]
"""

import argparse
import asyncio
import json
import math
import shutil
import ssl
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import uvloop
from figures import paired_ratio, quantile, verdict, write
from harness.processes import Process, start
from load import (
    HOST,
    Client,
    Stand,
    Way,
    address,
    chat,
    cpu_seconds,
    make_stand,
    one_by_one,
    request,
    together,
    trusting,
    wait_until_told,
)
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

CONCURRENT = 16
DIRECT, RELAY, SIDECAR = "direct", "relay", "sidecar"
SYSTEMS = (DIRECT, RELAY, SIDECAR)
P50_MOST, RPS_LEAST, RSS_MOST, READY_MOST, SPLICE_LEAST = 1.25, 0.8, 80.0, 1500.0, 0.6
RELAY_FILE = Path(__file__).resolve().parent / "relay.py"


@dataclass(frozen=True)
class Plan:
    """How long the run is."""

    rounds: int
    alone: int
    """Calls of one client in a round."""
    seconds: float
    """Of CONCURRENT clients in a round."""
    paced: int
    """Streams in a round whose tokens come one after another, for the time to the first."""
    starts: int
    total_calls: int
    """Each proxy has relayed so many when its memory is read."""
    splice_bytes: int
    splice_rounds: int

    @property
    def steps(self) -> int:
        """Steps of the progress bar."""
        return 4 * 3 * self.rounds + 2 * self.starts + 4 + 2 * self.splice_rounds


FULL = Plan(12, 150, 1.0, 12, 7, 10_000, 1 << 30, 5)
QUICK = Plan(3, 80, 0.5, 5, 3, 3_000, 1 << 30, 1)


@dataclass
class Row:
    """What was measured of one system in one case, a value a round."""

    alone: list[list[float]] = field(default_factory=list)
    """Seconds of each call of one client."""
    rps: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    """Microseconds of processor time a call, at CONCURRENT."""
    first: list[list[float]] = field(default_factory=list)
    """Seconds to the first token."""

    def medians(self) -> list[float]:
        """Each round's median latency."""
        return [statistics.median(r) for r in self.alone]

    def firsts(self) -> list[float]:
        """Each round's median time to the first token."""
        return [statistics.median(r) for r in self.first]


@dataclass
class Proxy:
    """A proxy of one kind of transport, and the way through it."""

    process: Process
    rss_idle: float
    calls: int = 0
    rss: float = math.nan


class Bench:
    """One run."""

    def __init__(self, stand: Stand, plan: Plan, step: Callable[[str], None]) -> None:
        self.stand = stand
        self.plan = plan
        self.step = step
        self.rows: dict[tuple[str, str], Row] = defaultdict(Row)
        self.proxies: dict[tuple[str, str], Proxy] = {}
        self.ready: dict[str, list[float]] = {RELAY: [], SIDECAR: []}
        self.splice: dict[str, list[float]] = {DIRECT: [], SIDECAR: []}

    async def run(self) -> None:
        """Everything; the processes it started are ended."""
        try:
            self._time_starts()
            for transport in ("plain", "tls"):
                await self._measure(transport)
            await self._splice()
        finally:
            for proxy in self.proxies.values():
                proxy.process.stop()

    # -- processes

    def _start_relay(self, transport: str) -> Process:
        s, tls = self.stand, transport == "tls"
        command = [sys.executable, str(RELAY_FILE), "--upstream", s.tls if tls else s.plain]
        if tls:
            command += ["--tls", "--cert", str(s.certificate), "--key", str(s.key), "--roots", str(s.root)]
        return start(command, s.folder / f"relay-{transport}.log")

    def _time_starts(self) -> None:
        names = iter(range(1000))
        starts = {
            RELAY: lambda: self._start_relay("tls"),
            SIDECAR: lambda: self.stand.sidecar(f"start-{next(names)}"),
        }
        for start_one in starts.values():  # once unmeasured: files come into the page cache, bytecode is written
            start_one().stop()
        for _ in range(self.plan.starts):
            for system, start_one in starts.items():
                began = time.perf_counter()
                process = start_one()
                self.ready[system].append((time.perf_counter() - began) * 1000)
                process.stop()
                self.step(f"start-up of the {system}")

    # -- calls

    async def _measure(self, transport: str) -> None:
        stand, tls = self.stand, transport == "tls"
        relay, sidecar = self._start_relay(transport), self.stand.sidecar(f"sidecar-{transport}")
        self.proxies[RELAY, transport] = Proxy(relay, math.nan)
        self.proxies[SIDECAR, transport] = Proxy(sidecar, math.nan)
        wait_until_told(sidecar)
        for system in (RELAY, SIDECAR):
            self.proxies[system, transport].rss_idle = self.proxies[system, transport].process.rss_mb()
        through = address(sidecar.ready["proxy"])
        ways = {
            DIRECT: Way(address(stand.tls if tls else stand.plain), trusting(stand.root) if tls else None),
            RELAY: Way(address(relay.ready["url"]), trusting(stand.root) if tls else None),
            SIDECAR: Way(through, trusting(sidecar.ready["ca"]), f"{HOST}:443") if tls else Way(through),
        }
        clients = {s: [await ways[s].client() for _ in range(CONCURRENT)] for s in SYSTEMS}
        cases = {f"{transport}-unary": False, f"{transport}-sse": True}
        try:
            for system in SYSTEMS:  # once unmeasured
                for stream in cases.values():
                    await self._call(transport, system, clients[system], stream, 0.2)
            for i in range(self.plan.rounds):
                for case, stream in cases.items():
                    # Whoever comes after the same neighbour every time would inherit its caches.
                    for system in SYSTEMS[i % 3 :] + SYSTEMS[: i % 3]:
                        self.step(f"{case} {system}")
                        await self._round(self.rows[case, system], transport, system, clients[system], stream)
            for system in (RELAY, SIDECAR):
                self.step(f"{transport} {system}: {self.plan.total_calls} calls")
                proxy = self.proxies[system, transport]
                while proxy.calls < self.plan.total_calls:
                    await self._call(transport, system, clients[system], proxy.calls % 2 == 0, 2.0)
                proxy.rss = proxy.process.rss_mb()
        finally:
            for client in [c for of_one in clients.values() for c in of_one]:
                client.abort()

    async def _round(self, row: Row, transport: str, system: str, clients: list[Client], stream: bool) -> None:
        sent = self._request(transport, system, stream)
        row.alone.append([a.whole for a in await one_by_one(clients[0], sent, self.plan.alone)])
        process = self.proxies[system, transport].process if system != DIRECT else None
        before = cpu_seconds(process.pid) if process else 0.0
        calls, seconds = await self._call(transport, system, clients, stream, self.plan.seconds)
        row.rps.append(calls / seconds)
        if process:
            row.cpu.append((cpu_seconds(process.pid) - before) / calls * 1e6)
        if stream:
            paced = self._request(transport, system, stream, x_sim_chunks=4, x_sim_pace_ms=3)
            row.first.append([a.first for a in await one_by_one(clients[0], paced, self.plan.paced)])
        if system != DIRECT:
            self.proxies[system, transport].calls += self.plan.alone + (self.plan.paced if stream else 0)

    async def _call(
        self, transport: str, system: str, clients: list[Client], stream: bool, seconds: float
    ) -> tuple[int, float]:
        calls, took = await together(clients, self._request(transport, system, stream), seconds)
        if system != DIRECT:
            self.proxies[system, transport].calls += calls
        return calls, took

    def _request(self, transport: str, system: str, stream: bool, **headers: object) -> bytes:
        host = HOST if transport == "tls" else self.stand.plain
        target = "/v1/chat/completions"
        if transport == "plain" and system != DIRECT:  # both read the destination from the request
            target = f"http://{host}{target}"
        return request(target, host, chat(stream=stream), **headers)

    # -- what is not a provider's

    async def _splice(self) -> None:
        process = self.proxies[SIDECAR, "tls"].process
        port = address(self.stand.tls)[1]
        through = address(process.ready["proxy"])
        for _ in range(self.plan.splice_rounds):
            for system in (DIRECT, SIDECAR):
                self.step(f"1 GB, {'direct' if system == DIRECT else 'spliced'}")
                seconds = await asyncio.to_thread(
                    _download,
                    self.stand.root,
                    port,
                    through if system == SIDECAR else None,
                    self.plan.splice_bytes,
                )
                self.splice[system].append(self.plan.splice_bytes / 1e6 / seconds)

    # -- results

    def results(self) -> list[dict[str, Any]]:
        """One record a case and system; what does not apply is null."""
        records = []
        for (case, system), row in self.rows.items():
            proxy = self.proxies.get((system, case.partition("-")[0]))
            alone = [x for r in row.alone for x in r]
            records.append(
                {
                    "case": case,
                    "system": system,
                    "p50_ms": _round(quantile(alone, 0.5) * 1000),
                    "p99_ms": _round(quantile(alone, 0.99) * 1000),
                    "rps": _round(statistics.median(row.rps), 1),
                    "ttft_ms": _round(quantile([x for r in row.first for x in r], 0.5) * 1000),
                    "rss_mb": _round(proxy.rss, 1) if proxy else None,
                    "ready_ms": _round(statistics.median(self.ready[system]), 0) if proxy else None,
                    "rss_idle_mb": _round(proxy.rss_idle, 1) if proxy else None,
                    "cpu_us": _round(statistics.median(row.cpu), 0) if row.cpu else None,
                }
            )
        empty = dict.fromkeys(("p50_ms", "p99_ms", "rps", "ttft_ms", "rss_mb", "ready_ms", "rss_idle_mb", "cpu_us"))
        records += [
            {"case": "splice-1gb", "system": s, **empty, "mb_per_s": _round(statistics.median(v), 1)}
            for s, v in self.splice.items()
        ]
        return records

    def tables(self) -> Iterator[Table]:
        """What a person reads."""
        yield self._calls_table()
        yield self._goals_table()

    def _calls_table(self) -> Table:
        table = Table(
            title="1 kB in, 64 tokens out; ×: to the relay, median of rounds",
            caption=f"p50, p99, TTFT with one client; rps and CPU µs a call with {CONCURRENT}",
            box=box.SIMPLE_HEAD,
            padding=(0, 0),
            collapse_padding=True,
        )
        for name in ("case", "system", "p50 ms", "×", "p99 ms", "rps", "×", "TTFT", "CPU µs", "×"):
            table.add_column(name, justify="left" if name in {"case", "system"} else "right", no_wrap=True)
        for record in self.results():
            case, system = record["case"], record["system"]
            if "mb_per_s" in record:
                continue
            row, relay = self.rows[case, system], self.rows[case, RELAY]
            table.add_row(
                case if system == DIRECT else "",
                system,
                f"{record['p50_ms']:.2f}",
                f"{paired_ratio(row.medians(), relay.medians()):.2f}",
                f"{record['p99_ms']:.2f}",
                f"{record['rps']:.0f}",
                f"{paired_ratio(row.rps, relay.rps):.2f}",
                f"{record['ttft_ms']:.2f}" if row.first else "",
                f"{record['cpu_us']:.0f}" if row.cpu else "",
                f"{statistics.median(row.cpu) / statistics.median(relay.cpu):.2f}" if row.cpu else "",
                end_section=system == SIDECAR,
            )
        return table

    def _goals_table(self) -> Table:
        table = Table(title="goals", box=box.SIMPLE_HEAD)
        for name in ("figure", "relay or direct", "sidecar", "ratio", "goal"):
            table.add_column(name, justify="left" if name in {"figure", "goal"} else "right")
        for case in dict.fromkeys(c for c, _ in self.rows):
            row, relay = self.rows[case, SIDECAR], self.rows[case, RELAY]
            for name, these, those, scale, goal, most in (
                ("p50 ms", row.medians(), relay.medians(), 1000, P50_MOST, True),
                ("rps", row.rps, relay.rps, 1, RPS_LEAST, False),
            ):
                ratio = paired_ratio(these, those)
                a, b = statistics.median(those) * scale, statistics.median(these) * scale
                table.add_row(f"{case} {name}", f"{a:.4g}", f"{b:.4g}", f"{ratio:.2f}", verdict(ratio, goal, most=most))
        for transport in ("plain", "tls"):
            relay, sidecar = self.proxies[RELAY, transport], self.proxies[SIDECAR, transport]
            for name, a, b in (
                (f"{transport} RSS MB idle", relay.rss_idle, sidecar.rss_idle),
                (f"{transport} RSS MB, {self.plan.total_calls} calls", relay.rss, sidecar.rss),
            ):
                table.add_row(name, f"{a:.1f}", f"{b:.1f}", f"{b / a:.2f}", verdict(b, RSS_MOST, most=True))
        a, b = statistics.median(self.ready[RELAY]), statistics.median(self.ready[SIDECAR])
        table.add_row("spawn to ready, ms", f"{a:.0f}", f"{b:.0f}", f"{b / a:.2f}", verdict(b, READY_MOST, most=True))
        a, b = statistics.median(self.splice[DIRECT]), statistics.median(self.splice[SIDECAR])
        ratio = paired_ratio(self.splice[SIDECAR], self.splice[DIRECT])
        goal = verdict(ratio, SPLICE_LEAST, most=False)
        table.add_row("1 GB spliced, MB/s (to direct)", f"{a:.0f}", f"{b:.0f}", f"{ratio:.2f}", goal)
        return table


def _round(value: float, digits: int = 3) -> float | None:
    return None if math.isnan(value) else round(value, digits)


def _download(root: Path, port: int, through: tuple[str, int] | None, size: int) -> float:
    """Seconds to download so many bytes from `localhost`, which is nobody's provider; a blocking socket costs least."""
    import socket

    context = ssl.create_default_context(cafile=root)
    with socket.create_connection(through or ("127.0.0.1", port)) as raw:
        if through:
            raw.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n".encode())
            said = b""
            while not said.endswith(b"\r\n\r\n"):
                said += raw.recv(1)
            if b" 200 " not in said:
                raise OSError(f"the proxy answered {said!r}")
        with context.wrap_socket(raw, server_hostname="localhost") as s:
            began = time.perf_counter()
            s.sendall(f"GET /download?bytes={size} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            buffer = bytearray(1 << 18)
            got = 0
            while n := s.recv_into(buffer):
                got += n
            seconds = time.perf_counter() - began
    if got < size:
        raise OSError(f"the download ended after {got} bytes of {size}")
    return seconds


def main() -> None:
    """Runs the bench, prints tables, writes results/proxy.json."""
    parser = argparse.ArgumentParser(description="Latency, throughput and memory beside direct calls and a bare relay.")
    parser.add_argument("--quick", action="store_true", help="under a minute, noisier")
    parser.add_argument("--json", action="store_true", help="print the records instead of tables")
    args = parser.parse_args()
    plan = QUICK if args.quick else FULL
    shown = Console(stderr=args.json)
    folder = Path(tempfile.mkdtemp(prefix="wfb-bench-"))
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    try:
        stand = make_stand(folder)
        try:
            with Progress(*columns, console=shown, transient=True) as progress:
                task = progress.add_task("starting", total=plan.steps)
                bench = Bench(stand, plan, lambda text: progress.update(task, description=text, advance=1))
                uvloop.run(bench.run())
        finally:
            stand.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    path = write("proxy", bench.results())
    if args.json:
        print(json.dumps(bench.results(), indent=1))
        return
    for table in bench.tables():
        shown.print(table)
    shown.print(f"[dim]{path}[/]")


if __name__ == "__main__":
    main()
