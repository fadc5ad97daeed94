"""What the controller takes with many budgets and pods, how many statuses it writes, and how late they are.

Controller and ledger are the real processes beside a real API server; the pods are objects, which is all that the controller
sees of pods, and the money is spent through the ledger's own protocol, as sidecars do. First nothing happens for a while, then
every budget spends every few seconds, and some pass their first rung.

Run: python tests/bench/budgets.py [--budgets 100 1000] [--pods 5000] [--json]
"""

import argparse
import asyncio
import json
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
from cluster import api_server
from cluster.api import Api
from figures import quantile, verdict, write
from harness.plane import Plane
from harness.processes import Process
from harness.until import until
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from rich.console import Console
from rich.table import Table

from wfb_core.grants import Claim, Need, Report
from wfb_core.wire import Batch, Dispatch, UsageRow, encode_dispatch
from wfb_operator.ledger.identities import token_sha256

USD = 1_000_000_000
LIMIT, GRANT, CENT = 1000, 500, USD // 100
SPACES = 10
EVERY_SECONDS = 5.0
"""Between two reports of one budget."""
QUIET_SECONDS, BUSY_SECONDS, THRESHOLDS = 20.0, 60.0, 20
GOAL_STAGE_SECONDS = 5.0
GROUP = ("aifinops.dev", "v1alpha1", "workflowbudgets")


def main() -> int:
    """Runs it; the exit status says only whether it ran."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--budgets", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--pods", type=int, default=5000)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    figures = [_size(count, given.pods) for count in given.budgets]
    path = write("budgets", figures)
    if given.json:
        print(json.dumps(figures, indent=1))
    else:
        _show(figures, path)
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _size(count: int, pods: int) -> dict[str, Any]:
    """One number of budgets, with an API server of its own."""
    with tempfile.TemporaryDirectory(prefix="wfb-budgets-") as name, api_server.running(_tell) as api:
        plane = Plane(api, Path(name), *api_server.free_ports(1))
        plane.install()
        _tell(f"making {count} budgets and {pods} pods")
        _objects(api, count, pods)
        begun = time.monotonic()
        try:
            plane.start_controller()
            plane.start_ledger()
            seen = Seen(api)
            until(lambda: len(seen.ready) >= count, "every budget in force", 300)
            found = {"budgets": count, "pods": pods, "all_in_force_s": round(time.monotonic() - begun, 1)}
            found["quiet"] = _during(plane, lambda: time.sleep(QUIET_SECONDS))
            _tell(f"{count} budgets spend")
            spending = Spending(plane, seen, count)
            found["busy"] = _during(plane, lambda: asyncio.run(spending.run()))
            found["busy"] |= spending.figures(found["busy"]["status_writes"])
            return found
        finally:
            plane.stop()


def _objects(api: Api, count: int, pods: int) -> None:
    api.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"n{n}"}} for n in range(SPACES)])
    shared = threading.local()

    def made(what: tuple[str, dict[str, Any]]) -> None:
        if not hasattr(shared, "api"):
            shared.api = api.client()
        kind, body = what
        where = body["metadata"]["namespace"]
        if kind == "pod":
            client.CoreV1Api(shared.api).create_namespaced_pod(where, body)
        else:
            custom = client.CustomObjectsApi(shared.api)
            custom.create_namespaced_custom_object(GROUP[0], GROUP[1], where, GROUP[2], body)

    everything = [("budget", _budget(n)) for n in range(count)] + [("pod", _pod(n, count)) for n in range(pods)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(made, everything))


def _budget(number: int) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP[0]}/{GROUP[1]}",
        "kind": "WorkflowBudget",
        "metadata": {"name": f"w{number}", "namespace": f"n{number % SPACES}"},
        "spec": {
            "selector": {"matchLabels": {"aifinops.dev/workflow": f"w{number}"}},
            "limits": [{"window": "Total", "usd": f"{LIMIT}.00"}],
            "ladder": [{"atPercent": 50, "action": "Warn"}],
        },
    }


def _pod(number: int, count: int) -> dict[str, Any]:
    workflow = number % count
    metadata = {
        "name": f"p{number}",
        "namespace": f"n{workflow % SPACES}",
        "labels": {"aifinops.dev/workflow": f"w{workflow}", "pod-template-hash": "6d4cf56db6"},
        "annotations": {"aifinops.dev/injected": '{"version": "0.1.0", "mode": "transparent"}'},
    }
    spec = {"containers": [{"name": "app", "image": "none.invalid/none"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Seen:
    """Statuses as a watch shows them, with the moment at which each was seen."""

    def __init__(self, api: Api) -> None:
        self.ready: set[str] = set()
        self.told: dict[str, list[tuple[int, float]]] = {}
        """By budget, totals in nano-USD and when the ledger confirmed them, of those not seen yet."""
        self.lags: list[float] = []
        self.stages: dict[str, float] = {}
        """When a budget was first seen in stage Warn."""
        self._api = api
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        custom = client.CustomObjectsApi(self._api.client())
        while True:
            try:
                stream = watch.Watch().stream(custom.list_cluster_custom_object, *GROUP, timeout_seconds=600)
                for event in stream:
                    self._take(event["object"])
            except (ApiException, OSError, ValueError):  # the API server ends with the bench
                time.sleep(0.5)
            except Exception:
                return

    def _take(self, document: Mapping[str, Any]) -> None:
        name, status, now = document["metadata"]["name"], document.get("status") or {}, time.monotonic()
        if any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", ())):
            self.ready.add(name)
        if status.get("stage") == "Warn":
            self.stages.setdefault(name, now)
        waiting, spent = self.told.get(name, []), round(float(status.get("spentUSD", 0)) * 100) * CENT
        while waiting and waiting[0][0] <= spent:
            self.lags.append(now - waiting.pop(0)[1])


class Spending:
    """One holder a budget that tells a cent more every few seconds; some of them jump over the first rung."""

    def __init__(self, plane: Plane, seen: Seen, count: int) -> None:
        self._plane, self._seen, self._count = plane, seen, count
        self._used = [0] * count
        self._sent = [0] * count
        self._reached: dict[str, float] = {}
        self.reports = self.failed = 0

    async def run(self) -> None:
        """For BUSY_SECONDS."""
        context = ssl.create_default_context(cafile=str(self._plane.folder / "tls" / "ca.crt"))
        context.check_hostname = False
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=32)) as session:
            self._session = session
            await self._identities()
            for first in range(0, self._count, 32):
                await asyncio.gather(*(self._tell(n) for n in range(first, min(self._count, first + 32))))
            self.reports, begun, number, running = 0, time.monotonic(), 0, set[asyncio.Task[None]]()
            gap = EVERY_SECONDS / self._count
            jumps = {int(BUSY_SECONDS * 0.4 / gap) + 7 * n for n in range(min(THRESHOLDS, self._count))}
            while time.monotonic() - begun < BUSY_SECONDS:
                await asyncio.sleep(max(0.0, begun + number * gap - time.monotonic()))
                which = number % self._count
                self._used[which] = GRANT * USD if number in jumps else min(self._used[which] + CENT, GRANT * USD)
                task = asyncio.create_task(self._tell(which))
                running.add(task)
                task.add_done_callback(running.discard)
                number += 1
            await asyncio.gather(*running)

    async def _identities(self) -> None:
        identities = [
            {
                "token_sha256": token_sha256(f"t{n}"),
                "role": "sidecar",
                "holder_prefix": f"h{n}/",
                "labels": {"aifinops.dev/workflow": f"w{n}"},
                "namespace": f"n{n % SPACES}",
            }
            for n in range(self._count)
        ]
        token = (self._plane.folder / "controller.token").read_text()
        await self._ask("PUT", "/v1/identities", token, json.dumps({"identities": identities}).encode())

    async def _tell(self, n: int) -> None:
        window, used = f"n{n % SPACES}/w{n}|Total|", self._used[n]
        self._sent[n] += 1
        first = self._sent[n] == 1
        left = 0 if first else GRANT * USD - used
        claim = Claim(used, left, left, 0 if first else GRANT * USD, 0)
        needs = (Need(1, GRANT * USD, GRANT * USD, (window,), 0.0),) if first else ()
        minute = int(time.time() // 60)
        row = UsageRow(minute, "openai", "gpt-5", "gpt-5", "ok", False, 1, 0, 10, 0, 0, 5, 0, CENT, CENT)
        rows = () if first else (Batch(self._sent[n], (row,)),)
        body = encode_dispatch(Dispatch(Report(f"h{n}/1", 1, self._sent[n], {window: claim}, needs), rows))
        try:
            await self._ask("POST", "/v1/report", f"t{n}", body)
        except (aiohttp.ClientError, TimeoutError, RuntimeError):
            self.failed += 1
            return
        if not first:
            self.reports += 1
            self._seen.told.setdefault(f"w{n}", []).append((used, time.monotonic()))
            if used >= GRANT * USD:
                self._reached.setdefault(f"w{n}", time.monotonic())

    async def _ask(self, method: str, path: str, token: str, body: bytes) -> None:
        headers = {"authorization": f"Bearer {token}"}
        async with self._session.request(method, self._plane.url + path, data=body, headers=headers) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{method} {path}: {answer.status} {await answer.text()}")

    def figures(self, writes: int) -> dict[str, Any]:
        """Lags in seconds, and how many reports went into one write of a status."""
        until(lambda: self._reached.keys() <= self._seen.stages.keys(), "every new stage in a status", 60)
        stages = [self._seen.stages[name] - at for name, at in self._reached.items()]
        lags = list(self._seen.lags)
        return {
            "reports": self.reports,
            "failed": self.failed,
            "reports_per_write": round(self.reports / writes, 2) if writes else None,
            "status_lag_p50_s": round(quantile(lags, 0.5), 2),
            "status_lag_p99_s": round(quantile(lags, 0.99), 2),
            "stage_lag_p50_s": round(quantile(stages, 0.5), 2),
            "stage_lag_most_s": round(max(stages, default=float("nan")), 2),
            "goal_stage_lag_s": GOAL_STAGE_SECONDS,
            "met": max(stages, default=float("nan")) <= GOAL_STAGE_SECONDS,
        }


def _during(plane: Plane, work: Any) -> dict[str, Any]:
    """What controller and ledger took while something happened."""
    writes, begun = plane.metric("wfb_controller_status_writes_total"), time.monotonic()
    rounds = plane.metric("wfb_controller_rounds_total")
    cpu = {name: _cpu(process) for name, process in _processes(plane).items()}
    work()
    seconds = time.monotonic() - begun
    made = int(plane.metric("wfb_controller_status_writes_total") - writes)
    found: dict[str, Any] = {"seconds": round(seconds, 1), "status_writes": made}
    found["writes_per_s"] = round(made / seconds, 1)
    found["round_s"] = round(seconds / max(1.0, plane.metric("wfb_controller_rounds_total") - rounds), 2)
    for name, process in _processes(plane).items():
        found[f"{name}_cpu_percent"] = round((_cpu(process) - cpu[name]) / seconds * 100, 1)
        found[f"{name}_rss_mb"] = round(process.rss_mb(), 1)
    return found


def _processes(plane: Plane) -> dict[str, Process]:
    return {"controller": plane.controller, "ledger": plane.ledger}


def _cpu(process: Process) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _show(sizes: list[dict[str, Any]], path: Path) -> None:
    console = Console()
    table = Table(title=f"the controller with {sizes[0]['pods']} pods", padding=0)
    names = (
        "budgets",
        "",
        "CPU %",
        "RSS MB",
        "round s",
        "writes a s",
        "reports a write",
        "lag p50 s",
        "lag p99 s",
        "new stage, most s",
    )
    for name in names:
        table.add_column(name, justify="right" if name else "left", min_width=5, overflow="fold")
    for size in sizes:
        for phase in ("quiet", "busy"):
            one = size[phase]
            lags = ("reports_per_write", "status_lag_p50_s", "status_lag_p99_s", "stage_lag_most_s")
            shown = (one["controller_cpu_percent"], one["controller_rss_mb"], one["round_s"], one["writes_per_s"])
            rest = [str(one.get(name, "")) for name in lags]
            table.add_row(str(size["budgets"]) if phase == "quiet" else "", phase, *map(str, shown), *rest)
    console.print(table)
    worst = max(size["busy"]["stage_lag_most_s"] for size in sizes)
    console.print(f"a new stage in the status: {verdict(worst, GOAL_STAGE_SECONDS, most=True)}   {path}")


if __name__ == "__main__":
    sys.exit(main())
