"""`make demo`: real SDK agents spend against budgets on this machine, and the provider's bill is compared with the books.

A simulator stands in for OpenAI and Anthropic, with its own prices and its own bill. Everything else is what runs in
production: the ledger's process, a sidecar for each agent, `wfb run` around each program.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.live import Live
from rich.table import Table

from harness.certificates import make_certificates
from harness.processes import start_simulator

HERE = Path(__file__).resolve().parent
AGENTS = ("invoice-triage", "research", "digest")
PROGRAMS = {"invoice-triage": "triage.py", "research": "research.py", "digest": "digest.py"}
TEAMS = {"invoice-triage": "billing", "research": "lab", "digest": "lab"}
BEHAVIOUR = {"output-tokens": 180, "latency-ms": 30, "pace-ms": 2}


def main() -> int:
    """Runs the agents and prints the verdict; 1 where the books are not the bill."""
    console = Console()
    console.print("[bold]Three agents, three budgets.[/] A simulated provider answers and bills by itself.\n")
    with tempfile.TemporaryDirectory(prefix="wfb-demo-") as name:
        folder = Path(name)
        certificates = make_certificates(folder)
        simulator = start_simulator(
            folder,
            "--cert", str(certificates.good.certificate), "--key", str(certificates.good.key),
            "--defaults", json.dumps(BEHAVIOUR),
        )  # fmt: skip
        try:
            return _play(console, folder, simulator.ready, str(certificates.root))
        finally:
            simulator.stop()


def _play(console: Console, folder: Path, provider: dict[str, Any], root: str) -> int:
    begun = time.monotonic()
    address = str(provider["tls"]).removeprefix("https://")
    runs = {}
    for workflow in AGENTS:
        command = [
            sys.executable, "-m", "wfb_operator.cli.main", "run", "--quiet",
            "--budget", str(HERE / "budgets.yaml"), "--state", str(folder / "state"), "--upstream-ca", root,
            "--label", f"workflow={workflow}", "--label", f"team={TEAMS[workflow]}",
            "--connect-to", f"api.openai.com:443={address}", "--connect-to", f"api.anthropic.com:443={address}",
            "--json", str(folder / f"{workflow}.json"),
            "--", sys.executable, str(HERE / PROGRAMS[workflow]),
        ]  # fmt: skip
        env = {**os.environ, "OPENAI_API_KEY": "sk-demo", "ANTHROPIC_API_KEY": "sk-ant-demo"}
        runs[workflow] = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with Live(console=console, refresh_per_second=8, transient=not console.is_terminal) as live:
        while any(r.poll() is None for r in runs.values()):
            live.update(_spending(str(provider["plain"]), time.monotonic() - begun))
            time.sleep(0.15)
    for workflow, run in runs.items():
        assert run.stdout is not None
        console.print(run.stdout.read().strip(), highlight=False, soft_wrap=True)
        if run.returncode != 0:
            console.print(f"[red]{workflow} ended with {run.returncode}[/]")
            return 1
    return _verdict(console, folder, str(provider["plain"]))


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.loads(answer.read())


def _spending(plain: str, seconds: float) -> Table:
    bill = _get(plain + "/sim/bill/summary")
    table = Table(title=f"the provider's bill after {seconds:.0f} s", min_width=60)
    table.add_column("model")
    table.add_column("calls", justify="right")
    table.add_column("billed $", justify="right")
    for model, row in sorted(bill["by_model"].items()):
        table.add_row(model, str(row["calls"]), row["usd"])
    return table


def _verdict(console: Console, folder: Path, plain: str) -> int:
    report = [sys.executable, "-m", "wfb_operator.cli.main", "report", "--state", str(folder / "state")]
    shown = subprocess.run(report, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "160"})
    console.print(shown.stdout, highlight=False, soft_wrap=True, markup=False)
    told = json.loads(subprocess.run([*report, "--json"], check=True, capture_output=True, text=True).stdout)
    bill = Decimal(str(_get(plain + "/sim/bill/summary?wait=1")["usd"]))
    books = sum((Decimal(str(row["usd"])) for row in told["usage"]), Decimal(0))
    refused = sum(int(row["refused"]) for row in told["usage"])
    overshoot = sum(
        (max(Decimal(0), Decimal(str(b["spent_usd"])) - Decimal(str(b["limit_usd"]))) for b in told["budgets"]),
        Decimal(0),
    )
    good = bill == books and not overshoot and refused > 0
    console.print(
        f"[bold {'green' if good else 'red'}]provider's bill ${bill:f} {'=' if bill == books else '≠'} our books"
        f" ${books:f}, overshoot ${overshoot:f}, refused {refused}[/]"
    )
    console.print(
        "\nWith keys of your own, around your own program:\n"
        "  .venv/bin/wfb run --budget tests/demo/budgets.yaml --label workflow=research -- python agent.py\n"
        "  .venv/bin/wfb report"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
