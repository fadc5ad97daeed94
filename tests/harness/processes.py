"""The project's real processes, started for tests and benches: simulator, ledger, sidecar."""

import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent


class NotReadyError(RuntimeError):
    """A process ended, or said nothing, before it was ready; the message holds what it wrote."""


@dataclass
class Process:
    """One started process and the JSON line with which it said that it is ready."""

    process: subprocess.Popen[str]
    ready: dict[str, Any]
    log: Path

    @property
    def pid(self) -> int:
        """Its id."""
        return self.process.pid

    def kill(self) -> None:
        """SIGKILL: no last word."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout: float = 40.0) -> int:
        """SIGTERM, and its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def rss_mb(self) -> float:
        """Resident memory in MB."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise NotReadyError(f"process {self.pid} has no VmRSS")


def start(command: Sequence[str], log: Path, env: Mapping[str, str] | None = None, timeout: float = 20.0) -> Process:
    """Starts a process that prints one JSON line when it is ready; raises NotReadyError."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True, env=env
        )
    # A process that hangs before its line is killed, which ends the read below.
    alarm = threading.Timer(timeout, process.kill)
    alarm.start()
    assert process.stdout is not None
    line = process.stdout.readline()
    alarm.cancel()
    try:
        ready = json.loads(line)
    except ValueError:
        process.kill()
        raise NotReadyError(f"{command[:4]} was not ready: {line!r} {log.read_text()[-2000:]}") from None
    return Process(process, ready, log)


def start_simulator(folder: Path, *arguments: str) -> Process:
    """`ready`: plain and tls URLs."""
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    return start([sys.executable, "-m", "simulator", *arguments], folder / "simulator.log", env)


@dataclass
class Ledger:
    """A ledger process and the controller's token for it."""

    folder: Path
    process: Process
    token: str
    listen: str
    identities: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.process.ready["url"])

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """One request with the controller's token; the parsed answer."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        request.add_header("authorization", f"Bearer {token or self.token}")
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def admit(self, prefix: str, labels: Mapping[str, str], run: str = "", namespace: str = "") -> Path:
        """A token file for holders whose names begin with a prefix."""
        token = secrets.token_urlsafe(24)
        path = self.folder / f"token-{prefix.strip('/').replace('/', '-')}"
        path.write_text(token)
        path.chmod(0o600)
        identity = {
            "token_sha256": hashlib.sha256(token.encode()).hexdigest(),
            "role": "sidecar",
            "holder_prefix": prefix,
            "labels": dict(labels),
            "run": run,
            "namespace": namespace,
        }
        self.call("PUT", "/v1/identities", {"identities": [identity]})
        return path

    def restart(self) -> None:
        """Starts it again on the same state and port; what ended it is the caller's choice."""
        self.process = _ledger_process(self.folder, self.listen)


def start_ledger(folder: Path, documents: Sequence[Mapping[str, Any]], snapshot: bytes) -> Ledger:
    """A ledger with budgets and prices, on a port that it keeps across restarts."""
    folder.mkdir(parents=True, exist_ok=True)
    token = secrets.token_urlsafe(24)
    (folder / "admin").write_text(token)
    process = _ledger_process(folder, "127.0.0.1:0")
    listen = str(process.ready["url"]).removeprefix("http://")
    ledger = Ledger(folder, process, token, listen)
    ledger.call("PUT", "/v1/prices", snapshot)
    ledger.call("PUT", "/v1/budgets", {"budgets": list(documents)})
    return ledger


def _ledger_process(folder: Path, listen: str) -> Process:
    command = [sys.executable, "-m", "wfb_operator.ledger.main", "--state", str(folder / "ledger")]
    command += ["--listen", listen, "--admin-token-file", str(folder / "admin")]
    return start(command, folder / "ledger.log")


def start_sidecar(folder: Path, ledger: Ledger, prefix: str, token_file: Path, **config: Any) -> Process:
    """A sidecar with its own state below `folder`; `config` as in its configuration file."""
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "ledger_url": ledger.url,
        "token_file": str(token_file),
        "holder_prefix": prefix,
        "state_dir": str(folder / "state"),
        **config,
    }
    (folder / "config.json").write_text(json.dumps(document))
    return restart_sidecar(folder)


def restart_sidecar(folder: Path) -> Process:
    """Starts a sidecar again with the configuration and the state that it had."""
    command = [sys.executable, "-m", "wfb_sidecar.main", "--config", str(folder / "config.json")]
    return start(command, folder / "sidecar.log")


def budget(name: str, usd: str, **spec: Any) -> dict[str, Any]:
    """A WorkflowBudget for the workflow of the same name, with one limit for ever unless `spec` says otherwise."""
    return {
        "apiVersion": "aifinops.dev/v1alpha1",
        "kind": "WorkflowBudget",
        "metadata": {"name": name, "namespace": "test"},
        "spec": {
            "selector": {"matchLabels": {"aifinops.dev/workflow": name}},
            "limits": [{"window": "Total", "usd": usd}],
            **spec,
        },
    }
