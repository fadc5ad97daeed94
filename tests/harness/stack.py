"""A simulated provider, a real ledger on SQLite and real sidecars, all in one loop beside the test's own thread."""

import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from harness.certificates import PROVIDER_HOSTS, Certificates
from harness.ledger_under_test import ADMIN
from harness.loop_thread import LoopThread
from harness.processes import budget
from harness.until import until
from simulator import Provider, running
from wfb_core.money import parse_usd
from wfb_operator.ledger.http import LedgerHttp
from wfb_operator.ledger.identities import token_sha256
from wfb_operator.ledger.service import LedgerService
from wfb_operator.ledger.store.sqlite import SqliteStore
from wfb_operator.prices.compile import compile_snapshot
from wfb_sidecar.config import parse_config
from wfb_sidecar.main import Sidecar

WORKFLOW = "tested"
PREFIX = "pod-a/"
TOKEN = "token-a"

SNAPSHOT = compile_snapshot("2026-11-23T00:00:00Z")


@dataclass
class Books:
    """What the ledger has in its books: nano-USD and rows."""

    spent: int
    reserved: int
    estimated: int
    rows: list[dict[str, Any]]

    def calls(self, **dimensions: Any) -> int:
        """Calls of the rows that agree with these dimensions."""
        return sum(r["calls"] for r in self._chosen(dimensions))

    def refused(self) -> int:
        """Refusals."""
        return sum(r["refused"] for r in self.rows)

    def nanos(self, **dimensions: Any) -> int:
        """Nano-USD of the rows that agree with these dimensions."""
        return sum(parse_usd(r["usd"]) for r in self._chosen(dimensions))

    def _chosen(self, dimensions: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [r for r in self.rows if all(r[k] == v for k, v in dimensions.items())]


class Bench:
    """The ledger and the provider; sidecars are added to it."""

    def __init__(self, loop: LoopThread, folder: Path, certificates: Certificates, *, tls: str = "good") -> None:
        """`tls` names the certificate that the provider shows."""
        self.loop = loop
        self.folder = folder
        self.certificates = certificates
        self._tls = getattr(certificates, tls)
        self._ends = AsyncExitStack()
        self.sidecars: list[RunningSidecar] = []
        self.dispatches: list[bytes] = []
        """Bodies of all reports that reached the ledger."""
        self.listen_port = 0
        self._port_kept: socket.socket | None = None

    # -- life

    def open(self, **spec: Any) -> "Bench":
        """Starts provider and ledger with one budget; `usd` and fields of its spec."""
        self.loop.run(self._open())
        self.put_budget(**spec)
        return self

    async def _open(self) -> None:
        self.provider = Provider()
        self.urls = await self._ends.enter_async_context(
            running(self.provider, certificate=self._tls.certificate, key=self._tls.key)
        )
        await self.open_ledger()
        await self._ask("PUT", "/v1/prices", data=SNAPSHOT.data)
        identity = {
            "token_sha256": token_sha256(TOKEN),
            "role": "sidecar",
            "holder_prefix": PREFIX,
            "labels": {"aifinops.dev/workflow": WORKFLOW, "aifinops.dev/team": "billing"},
            "run": "",
            "namespace": "test",
        }
        await self._ask("PUT", "/v1/identities", json={"identities": [identity]})

    async def open_ledger(self) -> None:
        """Starts the ledger on its folder, on the port that it had."""
        (self.folder / "ledger").mkdir(parents=True, exist_ok=True)
        self.store = SqliteStore.open(str(self.folder / "ledger"))
        self.service = LedgerService(self.store)
        await self.service.start(restored=False)
        application = LedgerHttp(self.service, self.store, token_sha256(ADMIN)).application()
        application.middlewares.insert(0, self._listening)
        if self._port_kept is not None:
            self._port_kept.close()
            self._port_kept = None
        self.runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.listen_port).start()
        self.listen_port = self.runner.addresses[0][1]
        self.ledger_url = f"http://127.0.0.1:{self.listen_port}"

    @property
    def _listening(self) -> Any:
        @web.middleware
        async def listening(request: web.Request, handler: Any) -> web.StreamResponse:
            if request.path == "/v1/report":
                self.dispatches.append(await request.read())
            answer: web.StreamResponse = await handler(request)
            return answer

        return listening

    async def close_ledger(self) -> None:
        """Stops the ledger; what is on disk stays."""
        await self.service.stop()
        await self.runner.cleanup()
        await self.store.close()
        # Bound and not listening: connections are refused, and nobody else is given the port meanwhile.
        self._port_kept = socket.socket()
        self._port_kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._port_kept.bind(("127.0.0.1", self.listen_port))

    def ledger_away(self) -> None:
        """No ledger answers from now on."""
        self.loop.run(self.close_ledger())

    def ledger_back(self) -> None:
        """The ledger answers again."""
        self.loop.run(self.open_ledger())

    def close(self) -> None:
        """Ends everything."""
        for sidecar in self.sidecars:
            sidecar.stop()
        self.loop.run(self._close())

    async def _close(self) -> None:
        await self.close_ledger()
        await self._ends.aclose()
        if self._port_kept is not None:
            self._port_kept.close()

    # -- the ledger's side

    def put_budget(self, usd: str = "10.00", **spec: Any) -> None:
        """Replaces the budget."""
        self.put_budgets(budget(WORKFLOW, usd, waitSeconds=spec.pop("waitSeconds", 2), **spec))

    def put_budgets(self, *documents: Mapping[str, Any]) -> None:
        """Replaces all budgets by documents that match the workflow `tested`."""
        for document in documents:
            document["spec"]["selector"] = {"matchLabels": {"aifinops.dev/workflow": WORKFLOW}}
        self.ask("PUT", "/v1/budgets", json={"budgets": list(documents)})
        version = self.loop.call(lambda: self.service.memory.scope if self.service.memory else 0)
        for sidecar in self.sidecars:
            until(lambda s=sidecar: s.parts.watch.version >= version, "the sidecar hearing of the budget")

    def ask(self, method: str, path: str, **arguments: Any) -> Any:
        """One request with the controller's token, or with another `token`."""
        return self.loop.run(self._ask(method, path, **arguments))

    async def _ask(self, method: str, path: str, token: str = ADMIN, **arguments: Any) -> Any:
        headers = {"authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.ledger_url + path, headers=headers, **arguments) as answer,
        ):
            text = await answer.read()
            assert answer.status == 200, text
            return json.loads(text) if text else None

    def books(self) -> Books:
        """What the ledger has now."""
        summary = self.ask("GET", "/v1/summary")
        usage = self.ask("GET", "/v1/usage?by=provider,model,served_model,outcome,estimated")["usage"]
        lines = summary["budgets"]
        first = lines[0] if lines else {"spent_usd": "0", "reserved_usd": "0", "estimated_usd": "0"}
        return Books(
            parse_usd(first["spent_usd"]), parse_usd(first["reserved_usd"]), parse_usd(first["estimated_usd"]), usage
        )

    def decisions(self) -> list[dict[str, Any]]:
        """Decision records of calls that have ended, newest first."""
        until(lambda: all(not s.busy() for s in self.sidecars), "all calls settled and told")
        return list(self.ask("GET", "/v1/decisions?limit=1000")["decisions"])

    def settled(self, calls: int | None = None, deadline: float = 10.0) -> Books:
        """The books once every call in flight has ended and was told, `calls` of them where given."""

        def told() -> Books | None:
            if any(s.busy() for s in self.sidecars):
                return None
            books = self.books()
            return books if books.reserved == 0 and (calls is None or books.calls() >= calls) else None

        until(lambda: all(not s.busy() for s in self.sidecars), "all calls settled and told", deadline)
        return until(told, f"{calls} calls in the books", deadline)

    @contextmanager
    def balanced(self, calls: int = 1) -> Iterator[Callable[[], Books]]:
        """Around `calls` calls: their cost in the books is the provider's bill to the nano, and nothing stays held.

        Raises AssertionError at its end; what it yields gives the books' growth after that.
        """
        before, billed = self.settled(), self.bill()
        grown: list[Books] = []
        yield lambda: grown[0]
        after = self.settled(before.calls() + calls)
        assert after.calls() - before.calls() == calls
        assert after.spent - before.spent == self.bill() - billed
        assert after.nanos() - before.nanos() == self.bill() - billed
        assert after.estimated == before.estimated
        grown.append(
            Books(
                after.spent - before.spent,
                after.reserved,
                after.estimated - before.estimated,
                [row for row in after.rows if row not in before.rows],
            )
        )

    # -- the provider's side

    def bill(self) -> int:
        """What the provider charged so far, in nano-USD."""
        return sum(nanos(line.usd) for line in self.loop.call(lambda: list(self.provider.bill.lines)))

    def bill_lines(self) -> list[Any]:
        """The bill's lines."""
        return self.loop.call(lambda: list(self.provider.bill.lines))

    def seen(self) -> list[dict[str, Any]]:
        """The calls as they reached the provider."""
        return self.loop.call(lambda: list(self.provider.seen))

    def behave(self, **said: Any) -> None:
        """Changes what the provider does by default."""
        self.loop.call(lambda: self.provider.behave({k.replace("_", "-"): v for k, v in said.items()}))

    def configuration(self, state: Path, **config: Any) -> dict[str, Any]:
        """A sidecar's configuration document against this bench."""
        tls = self.urls.tls.removeprefix("https://")
        state.parent.mkdir(parents=True, exist_ok=True)
        token = state.parent / "token"
        token.write_text(TOKEN)
        return {
            "ledger_url": self.ledger_url,
            "token_file": str(token),
            "state_dir": str(state),
            "holder_prefix": PREFIX,
            "upstream_ca": str(self.certificates.root),
            "connect_to": {f"{host}:443": tls for host in PROVIDER_HOSTS},
            "grace_seconds": 5.0,
            **config,
        }

    def sidecar(self, name: str = "a", **config: Any) -> "RunningSidecar":
        """A sidecar with a state folder of its own, ready to take calls."""
        document = self.configuration(self.folder / f"sidecar-{name}" / "state", **config)
        running = RunningSidecar(self, document)
        running.start()
        return running


class RunningSidecar:
    """A sidecar in the bench's loop."""

    def __init__(self, bench: Bench, document: dict[str, Any]) -> None:
        self.bench = bench
        self.document = document
        self.ready: dict[str, Any] = {}
        self.parts: Sidecar

    def start(self, *, wait: bool = True) -> None:
        """Starts it on its state, and waits until it has heard its budgets."""
        self.parts = self.bench.loop.call(lambda: Sidecar(parse_config(self.document)))
        self.ready = self.bench.loop.run(self.parts.start())
        self.bench.sidecars.append(self)
        if wait:
            until(lambda: self.parts.calls.terms.scope is not None, "the sidecar's scope")

    def stop(self) -> None:
        """Lets it drain and end."""
        if self.ready:
            self.ready = {}
            self.bench.loop.run(self.parts.stop())

    @property
    def proxy(self) -> str:
        """The explicit proxy's URL."""
        return str(self.ready["proxy"])

    @property
    def proxy_address(self) -> tuple[str, int]:
        """The same as an address."""
        host, _, port = self.proxy.removeprefix("http://").rpartition(":")
        return host, int(port)

    @property
    def base_url(self) -> str:
        """The base-url listener's URL."""
        return str(self.ready["base_url"])

    @property
    def bundle(self) -> str:
        """What a process must trust."""
        return str(self.ready["bundle"])

    def busy(self) -> bool:
        """Whether a call is in flight, waits, or is yet to be told."""
        parts = self.parts
        return self.call(
            lambda: (
                bool(parts.calls.settling.in_flight or parts.till.wallet.holds or parts.till.wallet.waiting)
                or parts.till.outbox.waiting
                or parts.till.wallet._changed
                or parts.till.wallet._in_flight
            )
        )

    def call(self, function: Callable[[], Any]) -> Any:
        """Runs a function in the loop's thread."""
        return self.bench.loop.call(function)

    def metric(self, name: str, **labels: str) -> float:
        """A sample of its metrics; 0 where it was never counted."""
        return self.call(lambda: self.parts.metrics.registry.get_sample_value(f"wfb_sidecar_{name}", labels)) or 0.0

    def environment(self, **more: str) -> dict[str, str]:
        """What an agent's process gets: proxy and trust, and keys."""
        return {
            "HTTPS_PROXY": self.proxy,
            "HTTP_PROXY": self.proxy,
            "SSL_CERT_FILE": self.bundle,
            "OPENAI_API_KEY": "sk-secret-openai",
            "ANTHROPIC_API_KEY": "sk-secret-anthropic",
            **more,
        }


def nanos(usd: Decimal) -> int:
    """Nano-USD of an exact amount, as a single call is rounded: half up."""
    return int((usd * 1_000_000_000).to_integral_value("ROUND_HALF_UP"))


def without_proxies() -> dict[str, str]:
    """This process's environment without proxies of its own."""
    return {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.startswith("SSL_CERT")}
