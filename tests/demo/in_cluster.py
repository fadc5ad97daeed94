"""`make cluster-demo`: the chart in a real cluster, agents in pods, and the provider's bill compared with the books.

A simulator answers behind api.openai.com and api.anthropic.com and bills by itself. The agents are vendors' SDKs that know
nothing of budgets; the pods carry labels, and nothing else.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from cluster import __main__ as standing
from cluster import install, provider
from cluster.api import Api
from cluster.refusals import NotHereError, NotReadyError
from cluster.workloads import Agent, budget, namespace
from cluster_view import Picture, line, live
from rich.console import Console
from rich.live import Live
from rich.status import Status

LOOK_SECONDS = 1.5
LINE_SECONDS = 10.0
GIVE_UP_SECONDS = 300.0
SPACES = {"billing": "billing", "lab": "lab"}
"""Namespaces and their teams."""


def main() -> int:
    """Sets the cluster up, lets the agents spend and prints the verdict; 1 where books and bill differ."""
    console = Console()
    console.print("[bold]Four workflows, two teams, five budgets, one cluster.[/]\n", highlight=False)
    try:
        with tempfile.TemporaryDirectory(prefix="wfb-cluster-demo-") as folder, console.status("") as status:
            story = Story(*_set_up(console, status, Path(folder)))
            with _step(console, status, "budgets and agents are applied"):
                story.begin()
        return story.play(console)
    except (NotHereError, NotReadyError) as why:
        console.print(f"[red]{why}[/]", highlight=False)
        return 1


def _set_up(console: Console, status: Status, folder: Path) -> tuple[Api, install.Installed, provider.Provider]:
    with _step(console, status, "a cluster runs, with the images in it"):
        api = standing.up(lambda text: status.update(f"[dim]{text}[/]"))
    with _step(console, status, "api.openai.com and api.anthropic.com are simulated"):
        simulated = provider.start(api, folder, {"latency-ms": 120})
    with _step(console, status, "helm install"):
        installed = install.install(api, folder)
    return api, installed, simulated


@contextmanager
def _step(console: Console, status: Status, what: str) -> Iterator[None]:
    begun = time.monotonic()
    status.update(f"[dim]{what} …[/]")
    yield
    console.print(f"[green]✓[/] {what} [dim]({time.monotonic() - begun:.0f} s)[/]", highlight=False)


class Story:
    """The agents of one demo. Its namespaces are new ones: a budget that comes back has what it spent before."""

    def __init__(self, api: Api, installed: install.Installed, simulated: provider.Provider) -> None:
        self.api, self.installed, self.provider = api, installed, simulated
        taken = {item["metadata"]["name"] for item in api.get("namespaces")["items"]}
        number = next(n for n in range(1, 1000) if f"billing{_suffix(n)}" not in taken)
        self.spaces = {name: name + _suffix(number) for name in SPACES}
        self.lab = "team-lab" + _suffix(number)

    def begin(self) -> None:
        """Namespaces, budgets, and once these are in force the agents."""
        spaces, api = self.spaces, self.api
        api.apply([namespace(name, team=SPACES[kind]) for kind, name in spaces.items()])
        api.apply([self.provider.roots(name) for name in spaces.values()])
        budgets = [
            budget("invoice-triage", "0.25", {"workflow": "invoice-triage"}, spaces["billing"], ladder=_warn(70)),
            budget("nightly", "0.05", {"workflow": "nightly"}, spaces["billing"], window="Run", ladder=_warn(80)),
            budget(
                "research",
                "0.06",
                {"workflow": "research"},
                spaces["lab"],
                waitSeconds=2,
                maxDelaySeconds=2,
                ladder=[*_warn(40), {"atPercent": 60, "action": "Slow"}],
            ),
            budget("digest", "50.00", {"workflow": "digest"}, spaces["lab"]),
            budget(self.lab, "10.00", {"team": "lab"}),
        ]
        budgets[-1]["spec"]["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": spaces["lab"]}}
        api.apply(budgets)
        for one in budgets:
            name, where = one["metadata"]["name"], one["metadata"].get("namespace", "")
            _until(lambda name=name, where=where: self.installed.status(name, where).get("conditions"))
        agents = {
            "invoice-triage": ("billing", "openai-python", {"parallelism": 2, "completions": 2}),
            "nightly": ("billing", "openai-node", {}),
            "research": ("lab", "anthropic-python", {}),
            "digest": ("lab", "curl", {}),
        }
        for workflow, (kind, client, spec) in agents.items():
            # An agent that is told to wait until the afternoon gives up here, so that the demo ends.
            env = (("LABEL", f"{spaces[kind]}-{workflow}"), ("TOKENS", "180"), ("RETRIES", "0"))
            agent = Agent(client, workflow, self.provider, calls=40 if workflow == "digest" else 400, env=env)
            api.apply(agent.job(workflow, spaces[kind], **spec))

    def play(self, console: Console) -> int:
        """Shows it until every agent has ended; the exit status."""
        begun, told = time.monotonic(), 0.0
        console.print("\nIn another terminal:", style="dim")
        console.print(f"  export KUBECONFIG={self.api.kubeconfig}\n  kubectl get wfb -A -w\n", highlight=False)
        with Live(console=console, refresh_per_second=4, transient=False) as shown:
            while time.monotonic() - begun < GIVE_UP_SECONDS:
                picture = self.look(time.monotonic() - begun)
                if console.is_terminal:
                    shown.update(live(picture))
                elif picture.seconds - told >= LINE_SECONDS:
                    told = picture.seconds
                    console.print(line(picture), highlight=False, soft_wrap=True)
                if self.ended(picture):
                    break
                time.sleep(LOOK_SECONDS)
            _until(lambda: self.books() == self.bill())
            shown.update(live(self.look(time.monotonic() - begun)))
        return self.verdict(console)

    def look(self, seconds: float) -> Picture:
        """The cluster now."""
        names = {*self.spaces.values(), ""}

        def mine(what: str, *more: str) -> list[dict[str, Any]]:
            return [i for i in self.api.get(what, "-A", *more)["items"] if i["metadata"].get("namespace", "") in names]

        budgets = [b for b in mine("wfb,cwfb") if b["metadata"].get("namespace") or b["metadata"]["name"] == self.lab]
        events = self.api.get("events", "-A", "--field-selector=source=wfb-controller")["items"]
        about = {b["metadata"]["uid"] for b in budgets}
        events = [e for e in events if e["involvedObject"].get("uid") in about]
        pods = mine("pods", "-l", "aifinops.dev/workflow")
        return Picture(seconds, budgets, pods, events, {"usd": self.bill()})

    def ended(self, picture: Picture) -> bool:
        """Whether every agent's pod has ended."""
        return len(picture.pods) >= 5 and all(p["status"].get("phase") in ("Succeeded", "Failed") for p in picture.pods)

    def bill(self) -> Decimal:
        """What the provider charged this demo's agents."""
        names = tuple(f"{name}-" for name in self.spaces.values())
        lines = (one for one in self.provider.lines() if str(one.get("label", "")).startswith(names))
        return sum((Decimal(str(one["usd"])) for one in lines), Decimal())

    def rows(self) -> list[dict[str, Any]]:
        """The ledger's usage of this demo's namespaces."""
        return [row for row in self.installed.usage("namespace,workflow") if row["namespace"] in self.spaces.values()]

    def books(self) -> Decimal:
        """What the ledger has counted of it."""
        return sum((Decimal(row["usd"]) for row in self.rows()), Decimal())

    def verdict(self, console: Console) -> int:
        """The last word: books, bill, what was refused, and what a user may look at now."""
        console.print(self.api.kubectl("get", "wfb", "-A", "-o", "wide"), highlight=False, soft_wrap=True)
        bill, books = self.bill(), self.books()
        refused = sum(int(row["refused"]) for row in self.rows())
        over = self._overspent()
        good = bill == books and bill > 0 and refused > 0 and not over
        console.print(
            f"[bold {'green' if good else 'red'}]provider's bill ${bill:f} {'=' if bill == books else '≠'} our books"
            f" ${books:f}, overshoot ${over:f}, refused {refused}[/]\n"
        )
        console.print(f"The cluster stays:\n  export KUBECONFIG={self.api.kubeconfig}", highlight=False)
        console.print(f"  kubectl describe wfb research -n {self.spaces['lab']}\n  make cluster-down", highlight=False)
        return 0 if good else 1

    def _overspent(self) -> Decimal:
        windows = [
            window
            for item in self.api.get("wfb", "-A")["items"]
            if item["metadata"]["namespace"] in self.spaces.values()
            for window in (item.get("status") or {}).get("windows", ())
        ]
        return sum((Decimal(window["overspentUSD"]) for window in windows), Decimal())


def _warn(percent: int) -> list[dict[str, Any]]:
    return [{"atPercent": percent, "action": "Warn"}]


def _suffix(number: int) -> str:
    return "" if number == 1 else f"-{number}"


def _until(probe: Any, seconds: float = 30.0) -> None:
    """Waits; what is still not so in the end is for the verdict to show."""
    end = time.monotonic() + seconds
    while not probe() and time.monotonic() < end:
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
