"""One run from its first process to its last: ledger and sidecar up, the command, ledger and sidecar down."""

import contextlib
import datetime
import hashlib
import http.client
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wfb_core.host_table import load_hosts
from wfb_core.hosts import Hosts
from wfb_operator.cli import tables
from wfb_operator.cli.budget_file import LoadedBudget
from wfb_operator.cli.child import run_command
from wfb_operator.cli.environment import BASE_URL, RUN_VARIABLE, Endpoints, child_environment, trusted_files
from wfb_operator.cli.ladders import useless_steps
from wfb_operator.cli.live import Stages, Voice, changes, live_text
from wfb_operator.cli.plan import Plan, UsageError, applies, no_doubles
from wfb_operator.cli.processes import (
    READY_SECONDS,
    Service,
    StartError,
    configure,
    is_alive,
    signals_held,
    start_sidecar,
)
from wfb_operator.cli.state import (
    Ledger,
    LedgerError,
    Member,
    StateError,
    budgets_together,
    enter,
    find_ledger,
    leave,
    run_path,
    start_ledger,
    started,
    write_private,
)

if TYPE_CHECKING:
    from wfb_operator.cli.notices import Notices

DRAIN_SECONDS = 35.0
"""More than a sidecar gives calls in flight after SIGTERM."""

CLOSE_SECONDS = 2.0
"""For a sidecar that ends because something went wrong, or that has ended already."""

MOST_RESTARTS = 5
"""How often one run starts a sidecar anew before it leaves its calls to fail."""

SUMMARY_SECONDS = 1.0
"""Between two looks at the budgets' stages."""


@dataclass(slots=True)
class Session:
    """One run from its first process to its last."""

    plan: Plan
    voice: Voice
    stages_told: bool = True
    warnings: list[str] = field(default_factory=list)
    _env: dict[str, str] = field(default_factory=dict)
    _member: Member | None = None
    _ledger: Ledger | None = None
    _ledger_service: Service | None = None
    _sidecar: Service | None = None
    _config: dict[str, Any] = field(default_factory=dict)
    _prices: bytes = b""
    _token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    _holder: str = ""
    _stages: Stages = field(default_factory=Stages)
    _looked: float = 0.0
    _restarts: int = 0
    _notices: "Notices | None" = None
    _away: bool = False
    _keep: bool = False
    _began: float = field(default_factory=time.time)

    # -- up

    def open(self, base_env: Mapping[str, str]) -> None:
        """Joins or starts the ledger, starts the sidecar, and makes the command's environment."""
        plan, state = self.plan, self.plan.state
        # A holder's labels are frozen at its first report, so no two runs may share a name, even one given twice.
        self._holder = f"{plan.run_id}-{secrets.token_hex(4)}-"
        with state.turn():
            with signals_held():
                self._member = enter(state, run_path(plan.run_id))
                os.makedirs(self._member.folder, mode=0o700, exist_ok=True)
                self._sidecar, pipe = start_sidecar(self._log())
            try:
                self._ledger = find_ledger(state)
                if self._ledger is None:
                    with signals_held():
                        self._ledger_service = start_ledger(state)
                self._prices = _prices()
                if self._ledger_service is not None:
                    self._ledger = started(state, self._ledger_service)
                self._register(self._entries(plan.files.budgets()))
                self._config = self._sidecar_config(base_env)
            finally:
                configure(pipe, self._config)
        line = self._sidecar_ready()
        endpoints = Endpoints(
            proxy=line["proxy"],
            base_url=line["base_url"],
            ca=line["ca"],
            bundle=line["bundle"],
            mode=plan.mode,
            own=tuple(endpoint for endpoint, _ in plan.endpoints),
            metered=_names(load_hosts(plan.hosts)),
            override_trust=plan.override_trust,
            covered=_covered(trusted_files(base_env), line["bundle"]),
        )
        # A sidecar that has to be started anew takes the same addresses, because the command knows only those.
        self._config |= {name: urlsplit(line[name]).netloc for name in ("proxy", "base_url", "health")}
        self._env, self.warnings = child_environment(base_env, endpoints)
        self.warnings += useless_steps([item.budget for item in plan.files.budgets()], self._prices, time.time())
        self._env[RUN_VARIABLE] = plan.run_id

    def _register(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Tells the ledger of prices, of who the sidecar is, and of the budgets of all living runs."""
        assert self._ledger is not None
        self._ledger.put("/v1/prices", self._prices)
        digest = hashlib.sha256(self._token.encode()).hexdigest()
        who = self.plan.identity() | {"token_sha256": digest, "role": "sidecar", "holder_prefix": self._holder}
        self._ledger.put("/v1/identities", {"identities": [who]})
        self._publish(entries)

    def _publish(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Puts our budgets and the other members' to the ledger, and writes ours down; only in one's turn."""
        assert self._ledger is not None
        assert self._member is not None
        others = [(name, document) for name, document in self.plan.state.members() if name != self._member.id]
        self._ledger.put("/v1/budgets", {"budgets": budgets_together(entries, others)})
        self._member.write({"pid": os.getpid(), "budgets": entries})

    def _entries(self, loaded: Sequence[LoadedBudget]) -> list[dict[str, Any]]:
        return [
            {"key": item.budget.key, "path": os.path.realpath(item.path), "document": item.document} for item in loaded
        ]

    def _sidecar_config(self, base_env: Mapping[str, str]) -> dict[str, Any]:
        assert self._member is not None
        assert self._ledger is not None
        token_file = os.path.join(self._member.folder, "token")
        write_private(token_file, self._token.encode())
        return {
            "ledger_url": self._ledger.url,
            "token_file": token_file,
            "state_dir": os.path.join(self._member.folder, "sidecar"),
            "holder_prefix": self._holder,
            "upstream_ca": self._extra_roots(base_env),
            "upstream_proxy": self.plan.upstream_proxy,
            "connect_to": dict(self.plan.connect_to),
            "hosts": self.plan.hosts,
            "endpoints": [{"endpoint": e, "provider": provider} for e, provider in self.plan.endpoints],
        }

    def _extra_roots(self, base_env: Mapping[str, str]) -> str | None:
        """A file of the roots to trust as well: those asked for, and those of trust variables that are replaced."""
        paths = [self.plan.upstream_ca] if self.plan.upstream_ca else []
        if self.plan.override_trust:
            paths += trusted_files(base_env)
        found = []
        for path in paths:
            with contextlib.suppress(OSError), open(path, "rb") as f:
                found.append(f.read().strip())
        if not found:
            return None
        assert self._member is not None
        joined = os.path.join(self._member.folder, "extra-roots.pem")
        write_private(joined, b"\n".join(found) + b"\n")
        return joined

    def _sidecar_ready(self) -> dict[str, Any]:
        """The addresses of the sidecar once it serves and knows its budgets; raises StartError."""
        assert self._sidecar is not None
        deadline = time.monotonic() + READY_SECONDS
        line = self._sidecar.ready()
        missing = [
            name for name in ("proxy", "base_url", "health", "ca", "bundle") if not isinstance(line.get(name), str)
        ]
        if missing:
            raise StartError(f"the sidecar's line {line!r} names no {', '.join(missing)}")
        while (answer := _get(line["health"], "/readyz"))[0] != 200:
            if time.monotonic() > deadline or not self._sidecar.running():
                raise StartError(f"the sidecar is not ready: {answer[1]}{self._sidecar.tail()}")
            time.sleep(0.02)
        return line

    def _log(self) -> str:
        assert self._member is not None
        return os.path.join(self._member.folder, "sidecar.log")

    # -- while the command runs

    def run_command(self) -> int:
        """Runs the command to its end; its exit code."""
        status = run_command(self.plan.command, self._env, self.tick)
        self.voice.clear()
        return status

    def tick(self) -> None:
        """Looks at everything that may have changed. Nothing that goes wrong here ends the command."""
        try:
            self._take_edits()
            self._keep_sidecar()
            if time.monotonic() >= self._looked + SUMMARY_SECONDS:
                self._look()
                self._looked = time.monotonic()
        except (LedgerError, StateError, StartError) as error:
            self._ledger_away(error)

    def _take_edits(self) -> None:
        files = self.plan.files
        for path, found in files.edited():
            if isinstance(found, str):
                self.voice.trouble(found)
                continue
            before, previous = [item.budget for item in files.budgets()], files.current[path]
            files.current[path] = found
            sentences = changes(before, [item.budget for item in files.budgets()])
            if not sentences:
                continue
            try:
                no_doubles(files.budgets())
                with self.plan.state.turn(5.0):
                    self._publish(self._entries(files.budgets()))
            except (UsageError, StateError, LedgerError) as error:
                files.current[path] = previous
                details = error.errors if isinstance(error, LedgerError) else ()
                self.voice.trouble("\n".join((*(details or (str(error),)), f"{path} was edited: it stays as it was")))
                if isinstance(error, LedgerError) and error.status in {0, 401, 403}:
                    files.again(path)
                    raise
                continue
            sentences += useless_steps([item.budget for item in found], self._prices, time.time())
            for sentence in sentences:
                self.voice.note(sentence)
            if not any(applies(item.budget, self.plan.labels, self.plan.namespace) for item in files.budgets()):
                self.voice.trouble("no budget matches this run any more: its calls are not limited")

    def _keep_sidecar(self) -> None:
        """Starts a sidecar that died anew, in its place: same addresses, same certificates, same wallet."""
        assert self._sidecar is not None
        if self._sidecar.running() or self._restarts > MOST_RESTARTS:
            return
        self._restarts += 1
        tail, status = self._sidecar.tail(), self._sidecar.process.returncode
        if self._restarts > MOST_RESTARTS:
            self.voice.trouble(
                f"the sidecar stopped again (status {status}): calls to providers fail from now on{tail}"
            )
            return
        self.voice.trouble(f"the sidecar stopped (status {status}) and is started anew{tail}")
        self._sidecar, pipe = start_sidecar(self._log())
        configure(pipe, self._config)
        self._sidecar_ready()

    def _look(self) -> None:
        """Asks how the budgets stand, and tells what has changed."""
        if self._ledger is None:
            raise LedgerError("there is no ledger")
        windows = self._windows(self._ledger.get("/v1/summary"))
        if self._away:
            self._away = False
            self.voice.note("the ledger answers again")
        self._tell_stages(windows)
        if windows:
            self.voice.line(live_text(windows))
        self._send_notices()

    def _send_notices(self) -> None:
        """From the first budget on that tells somebody."""
        if self._notices is None and any(item.budget.tells for item in self.plan.files.budgets()):
            from wfb_operator.cli.notices import Notices  # noqa: PLC0415 — loads aiohttp, which no other run needs

            self._notices = Notices(
                ledger=lambda: self._ledger,
                lock_path=self.plan.state.path("notices.lock"),
                secrets_dir=self.plan.secrets_dir,
                budgets=lambda: {item.budget.key: item.budget for item in self.plan.files.budgets()},
                say=self.voice.trouble,
            )
            self._notices.start()

    def _tell_stages(self, windows: Sequence[Mapping[str, Any]]) -> None:
        if self.stages_told:
            for sentence in self._stages.changed(windows):
                self.voice.note(sentence)

    def _windows(self, summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return tables.budgets_of(summary, {item.budget.key for item in self.plan.files.budgets()}, self.plan.run_id)

    def _ledger_away(self, error: Exception) -> None:
        """Finds the ledger that another run has started anew, or starts it where it was."""
        if not self._away:
            self._away = True
            self.voice.trouble(f"{error}; calls go on from the money at hand")
        self._looked = time.monotonic() + 1.0
        with contextlib.suppress(LedgerError, StateError, StartError), self.plan.state.turn(2.0):
            found = find_ledger(self.plan.state)
            if found is None and self._ledger is not None and not is_alive(self._ledger.pid):
                self._ledger_service = start_ledger(self.plan.state, urlsplit(self._ledger.url).netloc)
                found = started(self.plan.state, self._ledger_service)
            if found is not None:
                self._ledger = found
                self._register(self._entries(self.plan.files.budgets()))

    # -- down

    def finish(self, status: int) -> int:
        """Ends the sidecar and shows what was spent; the command's exit code."""
        try:
            self._look()
        except LedgerError as error:
            self._ledger_away(error)  # the sidecar's last report needs one
        self.voice.clear()
        self._drain()
        self._tell(status)
        if self._notices is not None:
            self._notices.stop()
        return status

    def _drain(self) -> None:
        assert self._sidecar is not None
        try:
            gentle = not self._sidecar.running() or self._sidecar.stop(DRAIN_SECONDS)
        except KeyboardInterrupt:
            gentle = self._sidecar.stop(0)
        if not gentle:
            self.voice.trouble("calls were still in flight: what was held for them counts as spent")

    def _tell(self, status: int) -> None:
        """Shows what was spent."""
        assert self._ledger is not None
        try:
            summary = self._ledger.get("/v1/summary")
            by = "namespace,team,feature,workflow,run,provider,model,served_model,outcome,estimated"
            rows = self._ledger.get("/v1/usage", by=by, since=str(int(self._began) // 60 * 60))
        except LedgerError as error:
            self._keep = True
            self.voice.trouble(f"{error}: what was spent cannot be shown")
            self._write_json({"exit_code": status, "error": str(error)})
            return
        rows = [row for row in tables.usage_rows(rows) if row.get("run") == self.plan.run_id]
        windows = self._windows(summary)
        self._tell_stages(windows)
        self._show(rows, windows)
        by_all = ("workflow", "team", "feature", "provider", "model", "served_model", "outcome")
        self._write_json(
            {
                "exit_code": status,
                "totals": (tables.folded(rows, ()) or [tables.nothing()])[0],
                "usage": tables.folded(rows, by_all),
                "budgets": windows,
            }
        )

    def _show(self, rows: Sequence[Mapping[str, Any]], windows: Sequence[Mapping[str, Any]]) -> None:
        if self.voice.quiet:
            return
        by = ("workflow", "model")
        if rows:
            usage = tables.usage_table(tables.folded(rows, by), by, f"Run {self.plan.run_id}")
            tables.print_tables((usage, tables.budget_table(windows)), sys.stderr)
            return
        tables.print_tables((tables.budget_table(windows),), sys.stderr)
        hint = (
            "its clients must read OPENAI_BASE_URL and ANTHROPIC_BASE_URL"
            if self.plan.mode == BASE_URL
            else "a client that ignores HTTPS_PROXY is not seen: aiohttp needs trust_env=True, Node 22.21 or newer;"
            " or try --mode base-url"
        )
        self.voice.note(f"no call to a provider was seen. If there were any: {hint}")

    def _write_json(self, found: Mapping[str, Any]) -> None:
        """Writes the document that was asked for; one without sums too, or an older one would be taken for this run's."""
        if self.plan.json_to is None:
            return
        document = {
            "run": self.plan.run_id,
            "labels": dict(self.plan.labels),
            "began": _utc(self._began),
            "ended": _utc(time.time()),
            **found,
        }
        text = json.dumps(document, indent=2) + "\n"
        try:
            if self.plan.json_to == "-":
                sys.stdout.write(text)
                sys.stdout.flush()
            else:
                with open(str(self.plan.json_to), "w", encoding="utf-8") as f:
                    f.write(text)
        except OSError as error:
            self.voice.trouble(f"--json {self.plan.json_to} could not be written: {error.strerror}")

    def close(self) -> None:
        """Stops what is ours and leaves, wherever we are; a sidecar that could not report keeps its folder."""
        with signals_held():
            if self._sidecar is not None:
                self._sidecar.stop(CLOSE_SECONDS)
            if self._member is None:
                return
            try:
                leave(self._member, self._ledger, self._ledger_service, keep=self._keep)
            except StateError as error:
                self.voice.trouble(str(error))
            if self._keep:
                self.voice.trouble(f"what the sidecar could not report is kept in {self._member.folder}")


def _covered(paths: Sequence[str], bundle: str) -> tuple[str, ...]:
    """Those files that hold certificates, and none that the bundle does not hold."""
    known = _certificates(bundle)
    found = [(path, _certificates(path)) for path in paths]
    return tuple(path for path, certificates in found if certificates and certificates <= known)


def _certificates(path: str) -> set[bytes]:
    """The certificates of a PEM file, without white space; none where it cannot be read."""
    try:
        with open(path, "rb") as f:
            blocks = f.read().split(b"-----BEGIN CERTIFICATE-----")[1:]
    except OSError:
        return set()
    return {b"".join(block.partition(b"-----END CERTIFICATE-----")[0].split()) for block in blocks}


def _prices() -> bytes:
    """The snapshot of all known prices."""
    from wfb_operator.prices.compile import compile_snapshot  # noqa: PLC0415 — loads while the ledger starts

    return compile_snapshot(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT00:00:00Z}").data


def _get(url: str, path: str) -> tuple[int, str]:
    """Status and body of a small answer; status 0 where there is none."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=2.0)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(2000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def _utc(unix: float) -> str:
    return datetime.datetime.fromtimestamp(unix, datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _names(hosts: Hosts) -> tuple[str, ...]:
    """The providers' names, of patterns what follows the last asterisk; own servers are named apart."""
    return tuple(row.pattern.rpartition("*")[2].lstrip(".-") for row in hosts.rows if ":" not in row.pattern)
