"""A real Prometheus over parts of ours, for tests."""

import json
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.until import until


@dataclass
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query; raises AssertionError with Prometheus' own words."""
        found: list[dict[str, Any]] = self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")[
            "result"
        ]
        return found

    def value(self, expression: str) -> float | None:
        """The value of the first series; None where there is none."""
        found = self.query(expression)
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> list[dict[str, str]]:
        """The labels of the alerts that fire."""
        return [alert["labels"] for alert in self._get("/api/v1/alerts")["alerts"] if alert["state"] == "firing"]

    def up(self) -> dict[str, str]:
        """{job: what is wrong with its scrape}; empty texts where it is well."""
        targets = self._get("/api/v1/targets?state=active")["activeTargets"]
        return {t["labels"]["job"]: "" if t["health"] == "up" else t["lastError"] or t["health"] for t in targets}

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(self.url + path)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{urllib.parse.unquote_plus(path)}: {error.read().decode()}") from error


@contextmanager
def running(
    program: str,
    folder: Path,
    jobs: Sequence[Mapping[str, Any]],
    *,
    rules: str = "",
    seconds: float = 1.0,
    inside: Sequence[str] = (),
    door: Callable[[int], int] = lambda port: port,
) -> Iterator[Prometheus]:
    """One that scrapes jobs (Prometheus' scrape_configs) and evaluates rules every so many seconds.

    In another network it is started by the words ``inside``; ``door`` gives the port here that leads to one there.
    """
    every = f"{int(seconds * 1000)}ms"
    (folder / "rules.yaml").write_text(rules or "groups: []")
    config = {
        "global": {"scrape_interval": every, "evaluation_interval": every, "scrape_timeout": every},
        "rule_files": ["rules.yaml"],
        "scrape_configs": list(jobs),
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*inside, program, f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    started = Prometheus(f"http://127.0.0.1:{door(port)}")
    try:
        until(lambda: _ready(started.url, process, folder), "Prometheus", 60)
        yield started
    finally:
        process.terminate()
        process.wait(20)


def job(name: str, url: str) -> dict[str, Any]:
    """A scrape of one part, its own labels kept."""
    target = url.removeprefix("http://")
    return {"job_name": name, "honor_labels": True, "static_configs": [{"targets": [target]}]}


def _ready(url: str, process: subprocess.Popen[bytes], folder: Path) -> bool:
    assert process.poll() is None, (folder / "prometheus.log").read_text()
    try:
        with urllib.request.urlopen(url + "/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
