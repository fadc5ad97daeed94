"""The stand on which SDKs are tried: one ledger, one provider, and for every SDK a sidecar, a budget and a process."""

import contextlib
import hashlib
import itertools
import json
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any

from harness.stack import Bench, RunningSidecar
from harness.until import until
from sdks import build
from sdks.rows import ROWS, Row
from wfb_core.grants import timing
from wfb_core.money import format_usd, parse_usd
from wfb_operator.cli.environment import Endpoints, child_environment

PATIENCE = 300.0
"""Seconds for one answer of a process, its start included."""

AT_ONCE = 4
"""Processes that start together: the imports of some SDKs take seconds."""

KEYS = {
    "OPENAI_API_KEY": "sk-test",
    "ANTHROPIC_API_KEY": "sk-ant-test",
    "GOOGLE_API_KEY": "test",
    "GEMINI_API_KEY": "test",
    "MISTRAL_API_KEY": "test",
    "CO_API_KEY": "test",
    "GROQ_API_KEY": "gsk_test",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


def budget_name(row: Row) -> str:
    """Its budget as a refusal names it."""
    return f"test/{row.workflow}"


def case_of(row: Row, prompt: str, *, model: str = "", stream: bool = False, gate: bool = False) -> dict[str, Any]:
    """What a process is asked to do; asking.py names the keys."""
    case = {"model": model or row.model, "stream": stream, "prompt": prompt, "gate": gate}
    return {**case, "budget": row.budget, "status": row.status}


class Talker:
    """The lines to and from the process of one SDK."""

    def __init__(self, row: Row, to: IO[bytes], from_: IO[bytes], log: Path) -> None:
        self.row = row
        self._to = to
        self._from = from_
        self._log = log

    def ask(self, case: Mapping[str, Any]) -> None:
        """Begins one case."""
        self._to.write(json.dumps(case).encode() + b"\n")
        self._to.flush()

    def go_on(self) -> None:
        """Ends the wait that it has told."""
        self.ask({})

    def told(self) -> dict[str, Any]:
        """What it says next; raises AssertionError with its standard error where it says nothing."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._from, selectors.EVENT_READ)
            ready = selector.select(PATIENCE)
        line = self._from.readline() if ready else b""
        assert line, f"{self.row.name} said nothing: {self._log.read_text()[-3000:]}"
        return dict(json.loads(line))

    def close(self) -> None:
        """Says that no more cases come."""
        with contextlib.suppress(BrokenPipeError):
            self._to.close()
        self._from.close()


def start(rows: Mapping[Row, Mapping[str, str]], folder: Path) -> tuple[subprocess.Popen[bytes], list[Talker]]:
    """The process of rows with one environment and one script, by what each row's own variables are."""
    first = next(iter(rows))
    script, _, argument = first.driver.partition(" ")
    log = folder / f"{first.workflow}.log"
    path = build.HERE / "drivers" / script
    common = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")} | KEYS
    with log.open("wb") as errors:
        if (
            first.environment == build.NODE
        ):  # a row alone, on its standard input and output; its modules stand beside it
            place = folder / first.workflow
            (place / "node_modules").symlink_to(build.folder_of(build.NODE) / "node_modules")
            command = [str(build.program(build.NODE)), shutil.copy(path, place), argument]
            process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=errors, env={**common, **rows[first]})
            assert process.stdin is not None
            assert process.stdout is not None
            return process, [Talker(first, process.stdin, process.stdout, log)]
        talkers, plan = [], []
        for row, environment in rows.items():
            (take, to), (from_, give) = os.pipe(), os.pipe()
            talkers.append(Talker(row, os.fdopen(to, "wb"), os.fdopen(from_, "rb", 0), log))
            argument = row.driver.partition(" ")[2]
            plan.append({"argument": argument, "environment": dict(environment), "take": take, "give": give})
        ends = [end for one in plan for end in (one["take"], one["give"])]
        command = [str(build.program(first.environment)), str(path)]
        process = subprocess.Popen(
            command, stdin=PIPE, stdout=subprocess.DEVNULL, stderr=errors, env=common, pass_fds=ends
        )
    for end in ends:
        os.close(end)
    assert process.stdin is not None
    process.stdin.write(json.dumps(plan).encode() + b"\n")
    process.stdin.close()
    return process, talkers


@dataclass
class Place:
    """One SDK on the stand."""

    row: Row
    sidecar: RunningSidecar
    talker: Talker

    def waits(self) -> bool:
        """Whether a call of it waits for money."""
        return bool(self.sidecar.call(lambda: self.sidecar.parts.till.wallet.waiting))

    def counted(self) -> dict[str, float]:
        """Attempts that reached the sidecar so far: ``refused``, and ``forwarded`` to the provider and ended."""
        registry = self.sidecar.parts.metrics.registry
        found = {"refused": 0.0, "forwarded": 0.0}
        for metric in self.sidecar.call(lambda: list(registry.collect())):
            for sample in metric.samples:
                if sample.name == "wfb_sidecar_calls_refused_total":
                    found["refused"] += sample.value
                elif sample.name == "wfb_sidecar_calls_total":
                    found["forwarded"] += sample.value
        return found


class Stand(Bench):
    """All SDKs at once."""

    def set_up(self) -> "Stand":
        """Starts everything; each SDK has a budget that is never in its way."""
        self.loop.run(self._open())
        identities = [self._identity(row) for row in ROWS]
        self.ask("PUT", "/v1/identities", json={"identities": identities})
        self.zone = _noon()
        self.places: dict[str, Place] = {}
        self.processes: list[subprocess.Popen[bytes]] = []
        self.put({row: {"limits": [{"window": "Day", "usd": "1000.00"}]} for row in ROWS})
        for groups in itertools.batched(self._groups(), AT_ONCE):
            for group in groups:
                self._begin(group)
            for row in itertools.chain(*groups):
                self._warm(self.places[row.name])
        return self

    def close(self) -> None:
        """Ends everything."""
        for place in self.places.values():
            place.talker.close()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        super().close()

    def put(self, specs: Mapping[Row, Mapping[str, Any]]) -> None:
        """Replaces all budgets, by row, and waits until every sidecar has heard."""
        documents = [
            {
                "apiVersion": "aifinops.dev/v1alpha1",
                "kind": "WorkflowBudget",
                "metadata": {"name": row.workflow, "namespace": "test"},
                "spec": {
                    "selector": {"matchLabels": {"aifinops.dev/workflow": row.workflow}},
                    "timeZone": self.zone,
                    **spec,
                },
            }
            for row, spec in specs.items()
        ]
        self.ask("PUT", "/v1/budgets", json={"budgets": documents})
        version = self.loop.call(lambda: self.service.memory.scope if self.service.memory else 0)
        for sidecar in self.sidecars:
            until(lambda s=sidecar: s.parts.watch.version >= version, "the sidecar hearing of the budget", PATIENCE)
            # What it last heard of money counts for a moment: a limit raised within it would be refused from memory.
            until(lambda s=sidecar: s.call(lambda: _forgotten(s)), "what was heard before to be old", PATIENCE)
        for place in self.places.values():
            limit = parse_usd(specs[place.row]["limits"][0]["usd"])
            until(lambda p=place, n=limit: p.sidecar.call(lambda: _cut_to(p.sidecar, n)), "slack given back", PATIENCE)

    def spent(self) -> dict[str, int]:
        """Nano-USD in the books, by budget, once every call has ended and was told."""
        until(lambda: all(not s.busy() for s in self.sidecars), "all calls settled and told", PATIENCE)
        return {line["budget"]: parse_usd(line["spent_usd"]) for line in self.ask("GET", "/v1/summary")["budgets"]}

    def usd_beyond(self, factor: int) -> dict[Row, str]:
        """For every row the limit that leaves `factor` times its ``left`` of today's money."""
        spent = self.spent()
        return {row: format_usd(spent[budget_name(row)] + factor * parse_usd(row.left)) for row in ROWS}

    def _warm(self, place: Place) -> None:
        """Lets a process import what its SDK puts off until the first call."""
        assert place.talker.told() == {"ready": True}
        place.talker.ask(case_of(place.row, "Hello."))
        place.talker.told()

    def _identity(self, row: Row) -> dict[str, Any]:
        return {
            "token_sha256": hashlib.sha256(row.workflow.encode()).hexdigest(),
            "role": "sidecar",
            "holder_prefix": f"{row.workflow}/",
            "labels": {"aifinops.dev/workflow": row.workflow},
            "run": row.workflow,
            "namespace": "test",
        }

    def _groups(self) -> list[list[Row]]:
        """Rows that share a process, and with it the import of their SDK."""
        groups: dict[tuple[str, ...], list[Row]] = {}
        for row in ROWS:
            alone = row.name if row.environment == build.NODE else ""
            groups.setdefault((row.environment, row.driver.partition(" ")[0], alone), []).append(row)
        return list(groups.values())

    def _begin(self, group: list[Row]) -> None:
        sidecars = {row: self._sidecar(row) for row in group}
        process, talkers = start({row: self._variables(row, sidecars[row]) for row in group}, self.folder)
        self.processes.append(process)
        for talker in talkers:
            self.places[talker.row.name] = Place(talker.row, sidecars[talker.row], talker)

    def _sidecar(self, row: Row) -> RunningSidecar:
        folder = self.folder / row.workflow
        folder.mkdir(parents=True)
        (folder / "key").write_text(row.workflow)
        return self.sidecar(row.workflow, token_file=str(folder / "key"), holder_prefix=f"{row.workflow}/")

    def _variables(self, row: Row, sidecar: RunningSidecar) -> dict[str, str]:
        """What `wfb run` gives a program, so that its calls pass the sidecar."""
        endpoints = Endpoints(sidecar.proxy, sidecar.base_url, str(sidecar.ready["ca"]), sidecar.bundle)
        environment, warnings = child_environment({"HOME": str(self.folder / row.workflow)}, endpoints)
        assert warnings == []
        return environment


def _forgotten(sidecar: RunningSidecar) -> bool:
    parts = sidecar.parts
    return bool(parts.clock.now() - parts.till.wallet._heard >= timing.NEAR)


def _noon() -> str:
    """A time zone in which it is about noon: no day ends while its budgets are tried."""
    ahead = 12 - datetime.fromtimestamp(time.time(), UTC).hour  # IANA's sign: Etc/GMT-5 is five hours ahead of UTC
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/UTC"


def _cut_to(sidecar: RunningSidecar, limit: int) -> bool:
    """Whether no money is at hand that was granted under another limit: it would pay a call that is to be refused."""
    return all(
        purse.ceiling <= purse.used + purse.held
        or (purse.limit == limit and purse.ceiling <= purse.used + purse.held + purse.keep)
        for purse in sidecar.parts.till.wallet.purses.values()
    )
