"""How long the injector takes to answer the API server, at a steady rate of pods, transparent and over TLS.

The injector is the real process behind real TLS, asking a real API server for namespaces. Reviews are sent on a schedule,
whether or not earlier ones were answered, so that a slow answer does not slow the questions down.

Run: python tests/bench/webhook.py [--rate 50] [--seconds 20] [--json]
"""

import argparse
import asyncio
import datetime
import json
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
import yaml
from cluster import api_server
from cluster.api import Api
from figures import quantile, verdict, write
from harness.processes import Process, start
from rich.console import Console
from rich.table import Table

from wfb_operator.certificates.issue import make_leaf, make_root

GOAL_MS = 20.0
NAMESPACES = 10
SETTINGS = {"image": "example.invalid/sidecar:1", "version": "0.1.0", "ledgerURL": "https://wfb-ledger.wfb-system.svc"}


def main() -> int:
    """Runs it; the exit status says only whether it ran."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rate", type=float, default=50.0, help="reviews a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wfb-webhook-") as name, api_server.running(_tell) as api:
        folder = Path(name)
        injector = _injector(api, folder)
        try:
            figures = asyncio.run(_measure(injector, folder, given.rate, given.seconds))
        finally:
            injector.stop()
    path = write("webhook", figures)
    print(json.dumps(figures, indent=1) if given.json else "", end="")
    if not given.json:
        _show(figures, path)
    return 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _injector(api: Api, folder: Path) -> Process:
    now = datetime.datetime.now(datetime.UTC)
    root = make_root(now)
    leaf = make_leaf(now, root, ("localhost",))
    (folder / "tls.crt").write_bytes(leaf.certificate)
    (folder / "tls.key").write_bytes(leaf.key)
    (folder / "root.crt").write_bytes(root.certificate)
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    labels = {"aifinops.dev/inject": "true", "aifinops.dev/team": "billing"}
    api.apply(
        [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"n{n}", "labels": labels}}
            for n in range(NAMESPACES)
        ]
    )
    command = [sys.executable, "-m", "wfb_operator.injector.main", "--certificate", str(folder)]
    command += ["--settings", str(folder / "settings.yaml"), "--kubeconfig", str(api.kubeconfig)]
    return start(command, folder / "injector.log", env=api.environment(), timeout=90.0)


async def _measure(injector: Process, folder: Path, rate: float, seconds: float) -> dict[str, Any]:
    url = injector.ready["url"].replace("127.0.0.1", "localhost") + "/inject"
    took: list[float] = []
    failed = 0
    context = ssl.create_default_context(cafile=str(folder / "root.crt"))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=50)) as session:

        async def ask(number: int) -> float:
            begun = time.perf_counter()
            async with session.post(url, json=_review(number)) as answer:
                said = await answer.json()
            if not (said["response"]["allowed"] and said["response"].get("patch")):
                raise RuntimeError(f"not injected: {said}")
            return (time.perf_counter() - begun) * 1000

        for number in range(NAMESPACES):  # connections are open and namespaces known, as in a cluster that is at work
            await ask(number)
        before, begun = _cpu(injector), time.perf_counter()
        waiting = []
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
            waiting.append(asyncio.create_task(ask(number)))
        for one in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(one, BaseException):
                failed += 1
            else:
                took.append(one)
        spent = time.perf_counter() - begun
    return {
        "rate": rate,
        "seconds": round(spent, 1),
        "reviews": len(took),
        "failed": failed,
        "p50_ms": round(quantile(took, 0.5), 2),
        "p90_ms": round(quantile(took, 0.9), 2),
        "p99_ms": round(quantile(took, 0.99), 2),
        "most_ms": round(max(took, default=float("nan")), 2),
        "goal_p99_ms": GOAL_MS,
        "met": quantile(took, 0.99) <= GOAL_MS and not failed,
        "cpu_percent": round((_cpu(injector) - before) / spent * 100, 1),
        "rss_mb": round(injector.rss_mb(), 1),
    }


def _review(number: int) -> dict[str, Any]:
    """A Deployment's pod with two containers, as the API server sends one."""
    namespace, owner = f"n{number % NAMESPACES}", {"apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": True}
    app = {
        "image": "registry.invalid/app:1",
        "env": [{"name": f"V{n}", "value": "x" * 40} for n in range(20)],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "agent-6d4cf56db6-",
            "namespace": namespace,
            "labels": {"aifinops.dev/workflow": f"w{number % 40}", "pod-template-hash": "6d4cf56db6"},
            "ownerReferences": [{**owner, "name": "agent-6d4cf56db6", "uid": "u"}],
        },
        "spec": {
            "serviceAccountName": "default",
            "containers": [{"name": "agent", **app}, {"name": "helper", **app}],
            "volumes": [{"name": "data", "emptyDir": {}}],
        },
    }
    request = {"uid": str(number), "namespace": namespace, "operation": "CREATE", "object": pod, "dryRun": False}
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {**request, "kind": kind}}


def _cpu(process: Process) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _show(figures: dict[str, Any], path: Path) -> None:
    console = Console()
    table = Table(title=f"the webhook at {figures['rate']:g} pods a second for {figures['seconds']:g} s")
    for name in ("reviews", "failed", "p50 ms", "p90 ms", "p99 ms", "most ms", "CPU %", "RSS MB"):
        table.add_column(name, justify="right")
    names = ("reviews", "failed", "p50_ms", "p90_ms", "p99_ms", "most_ms", "cpu_percent", "rss_mb")
    table.add_row(*(f"{figures[name]:g}" for name in names))
    console.print(table)
    console.print(f"p99: {verdict(figures['p99_ms'], GOAL_MS, most=True)}   {path}")


if __name__ == "__main__":
    sys.exit(main())
