"""A browser, and the page over a real ledger with something to tell."""

from urllib.parse import urlencode

import pytest

from harness.chromium import chromium
from harness.ledger_under_test import DAY, T0, USD, LedgerUnderTest, batch, dispatch, document, usage
from harness.loop_thread import LoopThread
from wfb_core import reasons
from wfb_core.wire import DecisionRecord
from wfb_operator.page.server import PageServer

HOSTILE = '<img src=x onerror="document.title=\'owned\'"> "quoted"\n\u202eright-to-left'
"""A label's value as nobody would want it."""


@pytest.fixture(scope="module")
def browser():
    """For one file only: no other loop can be run in this thread beside it."""
    with chromium() as running:
        yield running


WORKFLOWS = {
    "triage": ("billing", "12.00", 0.91),
    "research": ("lab", "40.00", 0.725),
    "digest": ("press", "5.00", 1.0),
    "quiet": ("press", "5.00", 0.1),
}
"""Workflows: their team, a day's limit, and the part of it that is spent."""

LADDER = [{"atPercent": 70, "action": "Warn"}, {"atPercent": 85, "action": "Slow"}]


class Served:
    """The page's server over a real ledger, in a loop of its own thread."""

    def __init__(self, folder):
        self.loop = LoopThread()
        self.ledger = self.loop.run(LedgerUnderTest(str(folder)).start())
        self.problem = None
        self.lacking = {}
        self.server = PageServer(self._read, "runs of a test")
        self.url = self.loop.run(self.server.start())
        self.loop.run(self._tell())

    def _read(self, resource, query):
        if self.problem:
            return self.problem
        if resource in self.lacking:
            return self.lacking[resource], {"message": f"{resource} cannot be read"}
        path = {"summaries": "/v1/summary"}.get(resource, f"/v1/{resource}")
        answer = self.loop.run(self.ledger.ask("GET", f"{path}?{urlencode(query)}"))
        return answer.status, answer.body

    async def _tell(self):
        """A day of four workflows, a refusal, and a label that would like to be a program."""
        ledger = self.ledger
        await ledger.put_budgets(
            *(
                document(name, usd=usd, labels={"aifinops.dev/workflow": name}, ladder=LADDER)
                for name, (_, usd, _) in WORKFLOWS.items()
            )
        )
        for n, (name, (team, usd, part)) in enumerate(WORKFLOWS.items()):
            labels = {"aifinops.dev/workflow": name, "aifinops.dev/team": team}
            await ledger.put_identity(name, f"{name}/", labels=labels, run=f"run-{n}")
            await self._spend(name, int(float(usd) * part * USD), n)
        await self._go_round()
        await self._spike()
        labels = {"aifinops.dev/workflow": "hostile", "aifinops.dev/team": HOSTILE}
        await ledger.put_identity("hostile", "hostile/", labels=labels)
        told = DecisionRecord("d-hostile", T0, "refusal", "BudgetExhausted", HOSTILE, 402, "openai", HOSTILE)
        row = usage(nanos=USD // 50, model=HOSTILE, served_model="gpt-5")
        await ledger.report(dispatch(1, holder="hostile/1", batches=[batch(1, row, decisions=[told])]), "hostile")

    async def _spend(self, name, nanos, n):
        """Asks for money as a sidecar does, and tells of a day in which it went."""
        window = DAY.replace("triage", name)
        holder = f"{name}/1"
        await self.ledger.report(dispatch(1, {window: (0, 0, 0)}, [(1, nanos, (window,))], holder=holder), name)
        minutes = range(int(T0 // 60) - 24 * 60, int(T0 // 60), 10)
        each = nanos // len(minutes)
        rows = [
            usage(minute=m, nanos=each, model=("gpt-5", "claude-sonnet-4-5")[i % 2], calls=1 + (i * (n + 3)) % 7)
            for i, m in enumerate(minutes)
        ]
        refused = usage(nanos=0, calls=0, refused=3, outcome="refused")
        said = DecisionRecord(f"d-{name}", T0, "refusal", "BudgetExhausted", f"budget default/{name} has $0.00 left")
        decisions = [said] if name == "digest" else []
        sent = dispatch(
            2, {window: (nanos, 0, nanos)}, holder=holder, batches=[batch(2, *rows, refused, decisions=decisions)]
        )
        await self.ledger.report(sent, name)

    async def _go_round(self):
        """A run of research is refused as a loop."""
        said = "this run has cost $4.10, 12.3 x the median of 48 runs ($0.33)"
        seen = DecisionRecord(
            "d-loop", T0, "finding", reasons.LOOP_REFUSED, said, budget="default/research", spent=41, limit=33
        )
        await self.ledger.report(dispatch(3, holder="research/1", batches=[batch(3, decisions=[seen])]), "research")

    async def _spike(self):
        """A workflow that spends a cent in ten minutes for two weeks, and nine in each of the last minutes."""
        await self.ledger.put_identity("steady", "steady/", labels={"aifinops.dev/workflow": "steady"})
        now = int(T0 // 60)
        rows = [usage(minute=m, nanos=USD // 100, calls=60) for m in range(now - 14 * 24 * 60, now, 10)]
        await self.ledger.report(dispatch(1, holder="steady/1", batches=[batch(1, *rows)]), "steady")
        self.ledger.service._watching.cancel()  # it would look once a minute, and learn some hours at a time
        for _ in range(30):
            await self.ledger.service.anomalies.look()
        rows = [usage(minute=m, nanos=9 * USD // 100, calls=60, outcome="error") for m in range(now - 12, now)]
        await self.ledger.report(dispatch(2, holder="steady/1", batches=[batch(2, *rows)]), "steady")
        await self.ledger.service.anomalies.look()

    def stop(self):
        """Ends all of it."""
        self.loop.run(self.server.stop())
        self.loop.run(self.ledger.stop())
        self.loop.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One for all tests of a file."""
    found = Served(tmp_path_factory.mktemp("page"))
    yield found
    found.stop()


@pytest.fixture
def page(browser, served, request):
    """The page, opened and drawn once; a test may ask for a colour scheme by ``@pytest.mark.parametrize`` with ``indirect``."""
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme=getattr(request, "param", "light")
    )
    opened = context.new_page()
    opened.said = []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.goto(served.url)
    opened.wait_for_selector("#budget-rows tr th")
    yield opened
    context.close()
