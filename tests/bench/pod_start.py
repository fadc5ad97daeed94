"""How much longer a pod takes until it is ready because of the sidecar, mode by mode, on a real kubelet.

Pods with and without are started in turns, so that what slows the machine slows both. A pod's time runs from when its
creation was asked for until its condition Ready is seen. The kubelet looks at its containers once a second, so pods are
asked for at odd moments: right after the one before was ready, each would meet the same moment of that second.

Run: python tests/bench/pod_start.py [--rounds 8] [--json]
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cluster import __main__ as standing
from cluster import install, provider
from cluster.api import Api
from cluster.workloads import Agent, budget, namespace
from figures import quantile, verdict, write
from kubernetes import client, watch
from rich.console import Console
from rich.table import Table

GOAL_SECONDS = 3.0
MODES = ("without", "transparent", "proxy-env", "base-url")
SPACE = "pod-start"


def main() -> int:
    """Runs it; the exit status says only whether it ran."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    api = standing.up()
    with tempfile.TemporaryDirectory(prefix="wfb-pod-start-") as folder:
        simulated = provider.start(api, Path(folder))
        install.install(api, Path(folder))
    api.apply(namespace(SPACE, team="bench"))
    api.apply([simulated.roots(SPACE), budget("bench", "100.00", {"workflow": "bench"}, SPACE)])
    took: dict[str, list[float]] = {mode: [] for mode in MODES}
    moments = random.Random(1)
    try:
        for number in range(given.rounds + 1):
            for mode in MODES:
                time.sleep(moments.random())
                seconds = _start(api, simulated, mode, f"{mode}-{number}")
                if number:  # the first of each fills caches
                    took[mode].append(seconds)
                    print(f"{mode} {seconds:.2f} s", file=sys.stderr, flush=True)
    finally:
        api.kubectl("delete", "namespace", SPACE, "--wait=false")
    figures = _figures(took)
    path = write("pod_start", figures)
    if given.json:
        print(json.dumps(figures, indent=1))
    else:
        _show(figures, path)
    return 0


def _start(api: Api, simulated: provider.Provider, mode: str, name: str) -> float:
    """Seconds until a pod is ready; it is gone afterwards."""
    annotations = () if mode == "without" else (("mode", mode),)
    labels = (("aifinops.dev/inject", "false"),) if mode == "without" else ()
    env = (("LINGER", "600"),)
    agent = Agent("curl", "bench", simulated, calls=0, env=env, labels=labels, annotations=annotations)
    core = client.CoreV1Api(api.client())
    begun = time.monotonic()
    core.create_namespaced_pod(SPACE, agent.pod(name, SPACE))
    stream = watch.Watch()
    try:
        for event in stream.stream(
            core.list_namespaced_pod, SPACE, field_selector=f"metadata.name={name}", timeout_seconds=120
        ):
            conditions = event["object"].status.conditions or ()
            if any(c.type == "Ready" and c.status == "True" for c in conditions):
                return time.monotonic() - begun
        raise RuntimeError(f"pod {name} was not ready within two minutes")
    finally:
        stream.stop()
        core.delete_namespaced_pod(name, SPACE, grace_period_seconds=0)


def _figures(took: dict[str, list[float]]) -> dict[str, Any]:
    modes = {}
    for mode, seconds in took.items():
        more = [a - b for a, b in zip(seconds, took["without"], strict=True)]
        modes[mode] = {
            "p50_s": round(statistics.median(seconds), 2),
            "most_s": round(quantile(seconds, 0.99), 2),
            "more_p50_s": round(statistics.median(more), 2),
            "more_most_s": round(max(more), 2),
        }
    worst = max(one["more_p50_s"] for one in modes.values())
    return {
        "rounds": len(took["without"]),
        "modes": modes,
        "goal_more_s": GOAL_SECONDS,
        "met": worst <= GOAL_SECONDS,
    }


def _show(figures: dict[str, Any], path: Path) -> None:
    console = Console()
    table = Table(title=f"a pod until it is ready, {figures['rounds']} rounds")
    for name in ("mode", "p50 s", "most s", "more p50 s", "more, most s"):
        table.add_column(name, justify="left" if name == "mode" else "right")
    for mode, one in figures["modes"].items():
        table.add_row(mode, *(f"{one[name]:.2f}" for name in ("p50_s", "most_s", "more_p50_s", "more_most_s")))
    console.print(table)
    worst = max(one["more_p50_s"] for one in figures["modes"].values())
    console.print(f"with against without: {verdict(worst, GOAL_SECONDS, most=True)}   {path}")


if __name__ == "__main__":
    sys.exit(main())
