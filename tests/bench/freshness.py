"""How long after a call ended its dollars are in the metric, in `kubectl get wfb` and on the page, in a real cluster.

Agents in pods call through their sidecars; the provider simulator's bill says when each call ended and what it cost. Meanwhile
the ledger's metrics are read as a scrape reads them, budgets are watched as `kubectl get wfb -w` does, and the page's books are
asked for through the aggregated API. A call is seen where the sum up to it is first shown; how often we look is part of the lag.

Run: python tests/bench/freshness.py [--pods 6] [--seconds 60] [--json]
"""

import argparse
import json
import re
import sys
import tempfile
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cluster import __main__ as standing
from cluster import install, provider
from cluster.workloads import Agent, budget, namespace
from figures import quantile, verdict, write
from harness.until import until
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from rich.console import Console
from rich.table import Table
from urllib3.exceptions import HTTPError

from wfb_core.money import NANOS_PER_USD, parse_usd
from wfb_operator.cli.cluster_books import ROOT

GOAL_SECONDS = 5.0
LOOK_SECONDS = 0.25
LEDGER = f"/api/v1/namespaces/{install.SYSTEM}/services/https:wfb-ledger:443/proxy/metrics"
SPEND = ROOT + "/namespaces/{}/summaries"
GROUP = ("aifinops.dev", "v1alpha1")

type Spent = Mapping[str, int]
"""Nano-USD by budget name, as one place shows it."""


def main() -> int:
    """Runs it; the exit status says only whether it ran."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--pods", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    api = standing.up()
    with tempfile.TemporaryDirectory(prefix="wfb-freshness-") as folder:
        simulated = provider.start(api, Path(folder), {"latency-ms": 100})
        installed = install.install(api, Path(folder))
    space = f"freshness-{int(time.time())}"
    try:
        figures = _measure(installed, simulated, space, given.pods, given.seconds)
    finally:
        api.kubectl("delete", "namespace", space, "--wait=false")
    path = write("freshness", figures)
    if given.json:
        print(json.dumps(figures, indent=1))
    else:
        _show(figures, path)
    return 0


def _measure(
    installed: install.Installed, simulated: provider.Provider, space: str, pods: int, seconds: float
) -> dict[str, Any]:
    api = installed.api
    names = [f"w{n}" for n in range(pods)]
    api.apply(namespace(space, team="bench"))
    api.apply([simulated.roots(space), *(budget(name, "500.00", {"workflow": name}, space) for name in names)])
    for name in names:
        installed.wait_in_force(name, space)
    for number, name in enumerate(names):
        env = (("LABEL", f"{space}-{name}"), ("PAUSE", f"{0.4 + 0.1 * number:g}"), ("TOKENS", str(100 + 40 * number)))
        api.apply(Agent("openai-python", name, simulated, calls=100_000, env=env).pod(name, space))
    places = {
        "metric": Place(lambda: _metrics(api.client(), space)),
        "kubectl get wfb": Place(lambda: _watched(api.client(), space)),
        "page": Place(lambda: _books(api.client(), space)),
    }
    until(lambda: len({line["label"] for line in _bill(simulated, space)}) == pods, "a call of every pod", 120)
    print(f"{pods} pods spend for {seconds:g} s", file=sys.stderr, flush=True)
    time.sleep(seconds)
    for name in names:
        api.kubectl("delete", "pod", "-n", space, name, "--wait=false")
    until(lambda: not api.get("pods", "-n", space)["items"], "the pods gone", 60)
    bill = _bill(simulated, space)
    whole = {name: sum(parse_usd(line["usd"]) for line in bill if line["label"] == f"{space}-{name}") for name in names}
    for what, place in places.items():
        until(lambda p=place: {name: p.last(name) for name in names} == whole, f"the bill in {what}", 60)
        place.stop()
    return {
        "pods": pods,
        "calls": len(bill),
        "goal_p95_s": GOAL_SECONDS,
        "places": {what: _lags(place, bill, space) for what, place in places.items()},
    }


class Place:
    """Somewhere that shows what was spent, looked at in a thread of its own."""

    def __init__(self, looks: Callable[[], Iterator[Spent]]) -> None:
        self._shown: dict[str, list[tuple[int, float]]] = {}
        self._ended = threading.Event()
        self._looks = looks
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        for spent in self._looks():
            if self._ended.is_set():
                return
            now = time.time()
            for name, nanos in spent.items():
                seen = self._shown.setdefault(name, [])
                if not seen or nanos > seen[-1][0]:
                    seen.append((nanos, now))

    def last(self, name: str) -> int:
        """What it shows now."""
        return self._shown.get(name, [(0, 0.0)])[-1][0]

    def seen(self, name: str, nanos: int) -> float:
        """When so much was first shown."""
        shown = self._shown[name]
        return shown[bisect_left(shown, (nanos, 0.0))][1]

    def stop(self) -> None:
        """Looks no more."""
        self._ended.set()


def _metrics(api: Any, space: str) -> Iterator[Spent]:
    """The metric of every budget, as often as we look."""
    series = re.compile(
        rf'^wfb_budget_spent_usd{{(?=.*budget="{space}/([^"]+)")(?=.*window="Day").*}} (\S+)$', re.MULTILINE
    )
    while True:
        yield {name: round(float(value) * NANOS_PER_USD) for name, value in series.findall(_get(api, LEDGER))}
        time.sleep(LOOK_SECONDS)


def _books(api: Any, space: str) -> Iterator[Spent]:
    """What the page reads of every budget, as often as we look."""
    while True:
        found = json.loads(_get(api, SPEND.format(space)) or '{"budgets": []}')
        yield {b["budget"].partition("/")[2]: parse_usd(b["spent_usd"]) for b in found["budgets"]}
        time.sleep(LOOK_SECONDS)


def _watched(api: Any, space: str) -> Iterator[Spent]:
    """What each budget's status says, as soon as the API server tells."""
    custom = client.CustomObjectsApi(api)
    while True:
        stream = watch.Watch().stream(custom.list_namespaced_custom_object, *GROUP, space, "workflowbudgets")
        for event in stream:
            document = event["object"]
            yield {document["metadata"]["name"]: parse_usd(document.get("status", {}).get("spentUSD", "0"))}


def _get(api: Any, path: str) -> str:
    """The text that the API server answers; empty where it does not."""
    options = {"auth_settings": ["BearerToken"], "_preload_content": False, "_return_http_data_only": True}
    try:
        return str(api.call_api(path, "GET", _request_timeout=5.0, **options).data.decode())
    except (ApiException, HTTPError, OSError):
        return ""


def _bill(simulated: provider.Provider, space: str) -> list[dict[str, Any]]:
    return [line for line in simulated.lines() if str(line.get("label", "")).startswith(f"{space}-")]


def _lags(place: Place, bill: list[dict[str, Any]], space: str) -> dict[str, Any]:
    lags, sums = [], dict[str, int]()
    for line in sorted(bill, key=lambda line: float(line["at"])):
        name = line["label"].removeprefix(f"{space}-")
        sums[name] = sums.get(name, 0) + parse_usd(line["usd"])
        lags.append(place.seen(name, sums[name]) - float(line["at"]))
    return {f"p{part:g}_s": round(quantile(lags, part / 100), 2) for part in (50, 95, 99)} | {
        "most_s": round(max(lags), 2)
    }


def _show(figures: dict[str, Any], path: Path) -> None:
    console = Console()
    table = Table(title=f"from a call's end until it is seen, {figures['calls']} calls of {figures['pods']} pods")
    for name in ("where", "p50 s", "p95 s", "p99 s", "most s", "p95"):
        table.add_column(name, justify="left" if name == "where" else "right")
    for where, one in figures["places"].items():
        told = (f"{one[name]:.2f}" for name in ("p50_s", "p95_s", "p99_s", "most_s"))
        table.add_row(where, *told, verdict(one["p95_s"], GOAL_SECONDS, most=True))
    console.print(table)
    console.print(str(path))


if __name__ == "__main__":
    sys.exit(main())
