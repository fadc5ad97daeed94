"""A real ledger on real SQLite and real HTTP; only its clock stands still until a test moves it."""

from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

from wfb_core.grants import Claim, Need, Report, Wallet
from wfb_core.wire import Batch, Dispatch, UsageRow, decode_response, encode_dispatch
from wfb_operator.ledger.http import LedgerHttp
from wfb_operator.ledger.identities import token_sha256
from wfb_operator.ledger.service import LedgerService
from wfb_operator.ledger.store.sqlite import SqliteStore

T0 = 1_800_000_000.0
"""Friday 2027-01-15 08:00:00 UTC."""

DAY = "default/triage|Day|2027-01-15T00:00:00+00:00"
TOMORROW = "default/triage|Day|2027-01-16T00:00:00+00:00"
USD = 1_000_000_000
ADMIN = "admin-token"


def document(name="triage", window="Day", usd="10.00", labels=None, **spec):
    """A WorkflowBudget as people write it."""
    return {
        "apiVersion": "aifinops.dev/v1alpha1",
        "kind": "WorkflowBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels or {"aifinops.dev/workflow": "triage"}},
            "limits": [{"window": window, "usd": usd}],
            **spec,
        },
    }


def usage(minute=int(T0 // 60), nanos=USD, **fields):
    """One usage row."""
    values = {
        "provider": "openai",
        "model": "gpt-5",
        "served_model": "gpt-5-2026",
        "outcome": "ok",
        "estimated": False,
        "calls": 1,
        "refused": 0,
        "input_tokens": 10,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 5,
        "reasoning_tokens": 0,
    }
    return UsageRow(minute=minute, nanos=nanos, **(values | {"list_nanos": nanos} | fields))


def dispatch(seq, claims=None, needs=(), *, holder="pod-a/1", epoch=1, batches=()):
    """A report: claims as {window: (used, held, ceiling)}, needs as (call, hold, windows)."""
    return Dispatch(
        Report(
            holder,
            epoch,
            seq,
            {w: Claim(used, held, held, ceiling, 0) for w, (used, held, ceiling) in (claims or {}).items()},
            tuple(Need(call, hold, hold, windows, 0.0) for call, hold, windows in needs),
        ),
        tuple(batches),
    )


def batch(number, *rows, decisions=()):
    return Batch(number, rows, tuple(decisions))


@dataclass
class Clock:
    """A wall and a monotonic clock that a test moves."""

    wall: float = T0
    monotonic: float = 0.0

    def forward(self, seconds):
        self.wall += seconds
        self.monotonic += seconds


@dataclass
class Answer:
    status: int
    body: object


@dataclass
class LedgerUnderTest:
    """A ledger over a directory that can be stopped and started anew."""

    directory: str
    clock: Clock = field(default_factory=Clock)
    restored: bool = False
    metrics_most: dict[str, int] = field(default_factory=dict)

    async def start(self):
        self.store = SqliteStore.open(self.directory)
        self.service = LedgerService(
            self.store,
            metrics_most=self.metrics_most,
            wall=lambda: self.clock.wall,
            monotonic=lambda: self.clock.monotonic,
        )
        await self.service.start(restored=self.restored)
        http = LedgerHttp(self.service, self.store, token_sha256(ADMIN))
        self.runner = web.AppRunner(http.application(), access_log=None)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"
        self.session = aiohttp.ClientSession()
        return self

    async def stop(self):
        await self.service.stop()
        await self.session.close()
        await self.runner.cleanup()
        await self.store.close()

    async def again(self):
        """Stop and start; what is not on disk is gone."""
        await self.stop()
        return await self.start()

    async def ask(self, method, path, token=ADMIN, **arguments):
        headers = {"authorization": f"Bearer {token}"} if token else {}
        async with self.session.request(method, self.url + path, headers=headers, **arguments) as answer:
            body = await answer.read()
            if answer.content_type == "application/json":
                body = await answer.json()
            return Answer(answer.status, body)

    async def get(self, path, token=ADMIN):
        answer = await self.ask("GET", path, token)
        assert answer.status == 200, answer
        return answer.body

    async def put_budgets(self, *documents):
        answer = await self.ask("PUT", "/v1/budgets", json={"budgets": list(documents)})
        assert answer.status == 200, answer
        return answer.body["version"]

    async def put_identity(self, token="token-a", prefix="pod-a/", role="sidecar", labels=None, run=""):
        identity = {
            "token_sha256": token_sha256(token),
            "role": role,
            "holder_prefix": prefix,
            "labels": labels or {"aifinops.dev/workflow": "triage", "aifinops.dev/team": "billing"},
            "run": run,
            "namespace": "default",
        }
        answer = await self.ask("PUT", "/v1/identities", json={"identities": [identity]})
        assert answer.status == 200, answer

    async def post(self, sent, token="token-a"):
        """Send a report; returns status and body, undecoded."""
        return await self.ask("POST", "/v1/report", token, data=encode_dispatch(sent))

    async def report(self, sent, token="token-a"):
        """Send a report that is expected to be answered."""
        headers = {"authorization": f"Bearer {token}"}
        url = self.url + "/v1/report"
        async with self.session.post(url, data=encode_dispatch(sent), headers=headers) as answer:
            body = await answer.read()
            assert answer.status == 200, body
            return decode_response(body)

    async def exchange(self, wallet: Wallet, batches=(), token="token-a"):
        """One round trip of a real wallet; returns what became of its waiting calls."""
        response = await self.report(Dispatch(wallet.report(self.clock.wall), tuple(batches)), token)
        if response.reply is not None:
            wallet.on_reply(self.clock.wall, response.reply)
        return dict(wallet.poll(self.clock.wall))
