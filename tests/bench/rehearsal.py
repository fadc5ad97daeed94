"""A day of three workflows and one loop, with and without budgets, under a clock that is moved: what each rung did.

The ledger's own code (reports, windows, stages, notices, usual runs) without its disk, and for each pod the sidecar's wallet and
guard against loops; only traffic and prices are made up, from a seed. Without budgets every call goes. A downgraded call has the
same tokens at a third of the price, as Haiku beside Sonnet. A refused call is gone: nobody comes again, but for the loop, which
never stops trying. Run: python tests/bench/rehearsal.py [--json]; the figures go to
tests/bench/results/rehearsal.json.
"""

import argparse
import heapq
import json
import math
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from figures import write
from rich import box
from rich.console import Console
from rich.table import Table

from harness.loop_rehearsal import KEY
from wfb_core.budget import OFF
from wfb_core.downgrade import Steps
from wfb_core.grants import BUSY, GRANTED, PENDING, TIMED_OUT, Wallet
from wfb_core.loops import Asked, LoopGuard, LoopVerdict, Seen, Usual, sketch_of, unit_of
from wfb_core.money import format_usd
from wfb_core.standing import Standing
from wfb_core.windows import window_at
from wfb_core.wire import Batch, Dispatch, UsageRow
from wfb_operator.ledger.budgets import Budgets
from wfb_operator.ledger.identities import SIDECAR, Identity
from wfb_operator.ledger.memory import Memory
from wfb_operator.ledger.reports import take_report
from wfb_operator.ledger.store.port import Books, Loaded, StageChange, StoredState, Writes

MIDNIGHT = 1_799_971_200.0
"""2027-01-15 00:00 UTC, a Friday."""
DAY = 86_400.0
USD = 1_000_000_000
SEED = 20270115
LOOP_BEGINS = 10 * 3600.0 + 20 * 60
TRICKLE = "1.00"
"""Dollars an hour that nightly evals may go on with past their limit."""
WORKFLOW, TEAM = "aifinops.dev/workflow", "aifinops.dev/team"


def budget(name, labels, limits, **spec):
    """A document of namespace ``agents``."""
    return {
        "apiVersion": "aifinops.dev/v1alpha1",
        "kind": "WorkflowBudget",
        "metadata": {"name": name, "namespace": "agents"},
        "spec": {"selector": {"matchLabels": labels}, "limits": limits, **spec},
    }


DEAR, CHEAP, TIMES = "claude-sonnet-4-5", "claude-haiku-4-5", 3
"""The model that is asked for, the one that a rung asks instead, and how many times the one costs the other."""
DELAY = 20.0
"""maxDelaySeconds, and waitSeconds: how long a call waits for money or its turn."""
LADDER = [
    {"atPercent": 60, "action": "Warn"},
    {"atPercent": 75, "action": "Downgrade", "models": [{"from": DEAR, "to": CHEAP}]},
    {"atPercent": 90, "action": "Slow"},
]
DOCUMENTS = [
    budget("triage", {WORKFLOW: "triage"}, [{"window": "Day", "usd": "60.00"}], ladder=LADDER),
    budget(
        "research",
        {WORKFLOW: "research"},
        [{"window": "Day", "usd": "120.00"}, {"window": "Run", "usd": "4.00", "ladder": []}],
        ladder=LADDER,
        loops={"action": "Refuse", "usualRunUSD": "0.70"},
    ),
    budget(
        "nightly-evals",
        {WORKFLOW: "nightly-evals"},
        [{"window": "Day", "usd": "12.00"}],
        onExhausted={"action": "Throttle", "usdPerHour": TRICKLE},
    ),
    budget(
        "team", {TEAM: "agents"}, [{"window": "Day", "usd": "200.00"}], ladder=[{"atPercent": 80, "action": "Warn"}]
    ),
]


@dataclass(frozen=True, order=True)
class Call:
    """One call that a program wants to make."""

    at: float
    pod: str = field(compare=False)
    cost: int = field(compare=False)
    hold: int = field(compare=False)
    seconds: float = field(compare=False)
    loop: bool = field(compare=False, default=False)
    body: dict = field(compare=False, default_factory=dict)
    judged: LoopVerdict | None = field(compare=False, default=None)
    """What the guard said of it, where it has slowed it down."""


@dataclass
class Pod:
    """A pod with its wallet."""

    name: str
    workflow: str
    run: str = ""
    wallet: Wallet = field(init=False)
    identity: Identity = field(init=False)
    guard: LoopGuard = field(default_factory=LoopGuard)
    rows: dict[int, int] = field(default_factory=dict)
    """Nano-USD by minute that no report has told."""
    batches: int = 0
    due: float = math.inf
    """When its next report is on the agenda."""

    def __post_init__(self):
        self.wallet = Wallet(f"{self.name}/1", lambda _: None)
        labels = {WORKFLOW: self.workflow, TEAM: "agents"}
        self.identity = Identity(self.name, SIDECAR, f"{self.name}/", labels, self.run, "agents")

    def untold(self) -> tuple[Batch, ...]:
        """The rows since the last report, as a batch."""
        rows = tuple(
            UsageRow(minute, "anthropic", DEAR, DEAR, "ok", False, 1, 0, 0, 0, 0, 0, 0, nanos, nanos)
            for minute, nanos in self.rows.items()
        )
        self.rows.clear()
        self.batches += bool(rows)
        return (Batch(self.batches, rows),) if rows else ()


@dataclass
class Tally:
    """What became of a workflow's calls."""

    calls: int = 0
    wanted: int = 0
    spent: int = 0
    refused: int = 0
    waited: int = 0
    turned_away: int = 0
    """Calls told to come later."""
    downgraded: int = 0
    slowed: int = 0
    """Calls that the guard against loops held back."""
    looked_like_loops: set[str] = field(default_factory=set)
    """Pods that it refused."""
    loop_wanted: int = 0
    loop_spent: int = 0
    loop_stopped: float = math.inf
    """When it was refused for the first time."""
    loop_by_then: int = 0
    """What it had cost; the rest are calls that were let through to try."""


def traffic(dice: random.Random) -> Iterator[tuple[Pod, list[Call]]]:
    """The pods and their calls, in the order of pods."""
    for n in range(6):  # a chat service: quiet nights, and a busy afternoon
        pod, calls, t = Pod(f"triage-{n}", "triage"), [], 0.0
        while True:
            hour = t / 3600
            rate = 0.2 + 0.8 * max(0.0, math.sin((hour - 6) / 14 * math.pi)) + (1.5 if 13 <= hour < 16 else 0.0)
            t += dice.expovariate(rate / 30)
            if t >= DAY:
                break
            cost = int(USD * 0.006 * dice.lognormvariate(0, 0.6))
            calls.append(Call(MIDNIGHT + t, pod.name, cost, int(cost * dice.uniform(4, 40)), dice.uniform(1, 6)))
        yield pod, calls
    for n in range(70):  # research agents, each a Job of its own, through the working day
        begins = dice.uniform(7, 20) * 3600
        pod, calls, t = Pod(f"research-{n}", "research", run=f"job-{n}"), [], begins
        for step in range(dice.randint(12, 40)):
            cost = int(USD * (0.01 + 0.0012 * step) * dice.lognormvariate(0, 0.4))
            hold, seconds = int(cost * dice.uniform(3, 20)), dice.uniform(4, 20)
            calls.append(Call(MIDNIGHT + t, pod.name, cost, hold, seconds, body=request(dice, step)))
            t += dice.uniform(10, 60)
        yield pod, [call for call in calls if call.at < MIDNIGHT + DAY]
    pod, calls, t, context = Pod("research-loop", "research", run="job-loop"), [], LOOP_BEGINS, 0
    while t < DAY:  # one agent whose tool fails: it asks again, with a context that grows to its model's end
        cost = int(USD * min(0.02 + 0.0004 * context, 0.30))
        hold, seconds = int(cost * 1.6) + USD // 50, dice.uniform(2, 5)
        body = request(random.Random(1), context)  # the same words each time
        calls.append(Call(MIDNIGHT + t, pod.name, cost, hold, seconds, loop=True, body=body))
        context += 1
        t += dice.uniform(6, 12)
    yield pod, calls
    pod, calls, t = Pod("evals-0", "nightly-evals", run="evals-1"), [], 2 * 3600.0
    for _ in range(1500):
        cost = int(USD * 0.011 * dice.lognormvariate(0, 0.3))
        calls.append(Call(MIDNIGHT + t, pod.name, cost, int(cost * dice.uniform(2, 8)), dice.uniform(1, 4)))
        t += dice.expovariate(1 / 3)
    yield pod, calls


def request(dice: random.Random, turns: int) -> dict:
    """A request of an agent after so many turns: what its tool found last is what tells one from another."""
    found = " ".join(f"w{dice.randrange(5000)}" for _ in range(60))
    messages = [
        {"role": "user", "content": "Find out what changed in the three reports, and write it down."},
        {"role": "assistant", "content": f"I look it up ({turns})."},
        {"role": "user", "content": f"It says: {found}"},
    ]
    return {"model": DEAR, "messages": messages}


class Rehearsal:
    """The day with budgets."""

    def __init__(self) -> None:
        state = StoredState(1, -math.inf, 0, "")
        self.memory = Memory(
            Loaded(state, 0.0, restored=False, budgets=(), identities=(), books=Books()), MIDNIGHT - 60
        )
        self.memory.budgets = Budgets.from_documents(DOCUMENTS)
        self.memory.scope_changed(MIDNIGHT)
        self.stages: list[StageChange] = []
        self.tallies: dict[str, Tally] = {}
        self._numbers, self._order = count(1), count()
        self._agenda: list[tuple[float, int, str, object]] = []
        self._asked: dict[tuple[str, int], tuple[Call, int, Seen | None]] = {}

    def run(self, pods: dict[str, Pod], calls: list[Call]) -> None:
        """Every call, and the reports between them."""
        for call in calls:
            self._put(call.at, "call", call)
        while self._agenda:
            now, _, what, of = heapq.heappop(self._agenda)
            if now > MIDNIGHT + DAY + 120:
                break
            if what == "call":
                self._ask(now, pods[of.pod], of)
            elif what == "settle":
                pod, number, cost, seen = of
                pod.wallet.settle(now, number, cost)
                if seen is not None:
                    pod.guard.settle(seen, cost)
                minute = int(now // 60)
                pod.rows[minute] = pod.rows.get(minute, 0) + cost
                self._next(now, pod)
            elif what == "poll":
                self._poll(now, of)
            elif of.due <= now:
                of.due = math.inf
                self._report(now, of)

    def _put(self, at: float, what: str, of: object) -> None:
        heapq.heappush(self._agenda, (at, next(self._order), what, of))

    def _tally(self, pod: Pod) -> Tally:
        return self.tallies.setdefault(pod.workflow, Tally())

    def _windows(self, pod: Pod, now: float) -> tuple[str, ...]:
        entries = self.memory.reach(pod.identity).entries
        return tuple(
            window_at(e.budget.key, limit.window, e.budget.time_zone, now, pod.run).id
            for e in entries
            for limit in e.budget.limits
            if limit.window != "Run" or pod.run
        )

    def _ask(self, now: float, pod: Pod, call: Call) -> None:
        tally, number = self._tally(pod), next(self._numbers)
        if call.judged is None:
            tally.calls += 1
            tally.wanted += call.cost
            tally.loop_wanted += call.cost if call.loop else 0
        verdict, asked = self._judge(now, pod, call)
        if verdict is not None and verdict.refusal is not None:
            tally.looked_like_loops.add(pod.name)
            self._refused(now, tally, call)
            return
        if verdict is not None and verdict.delay and call.judged is None:
            tally.slowed += 1
            self._put(now + verdict.delay, "call", replace(call, at=now + verdict.delay, judged=verdict))
            return
        seen = None if verdict is None else pod.guard.enter(now, asked, verdict)
        windows = self._windows(pod, now)
        openings = {name: self.memory.opening(pod.identity, name) for name in windows}
        standings = [
            Standing(o.budget, o.limit, spent)
            for name, o in openings.items()
            if (spent := pod.wallet.spent(name)) is not None
        ]
        steps = Steps((s.budget, s.limit) for s in standings)
        wanted = next(steps.wants(DEAR, lambda place: standings[place].spent), None)
        times = TIMES if wanted is not None else 1
        tally.downgraded += times > 1
        cost, most = call.cost // times, call.hold // times
        self._asked[pod.name, number] = call, cost, seen
        hold = pod.wallet.clamp(most, cost, windows, {name: o.limit.nanos for name, o in openings.items()})
        answer = pod.wallet.ask(now, number, hold, cost, lambda t: self._windows(pod, t), DELAY, lambda _: DELAY)
        if answer == PENDING:
            self._put(now + DELAY, "poll", pod)
        else:
            self._answered(now, pod, number, answer)
        self._next(now, pod)

    def _judge(self, now: float, pod: Pod, call: Call) -> tuple[LoopVerdict | None, Asked | None]:
        """What the guard says of a call; nothing where no budget of the pod has one."""
        budgets = [e.budget for e in self.memory.reach(pod.identity).entries]
        if all(b.loops.action == OFF for b in budgets):
            return None, None
        pod.guard.begin(unit_of(pod.run, f"{pod.name}/", now))
        asked = Asked(sketch_of(call.body, KEY), 0, len(str(call.body)), call.cost)
        return call.judged or pod.guard.judge(now, budgets, pod.workflow, asked), asked

    def _refused(self, now: float, tally: Tally, call: Call) -> None:
        tally.refused += 1
        if call.loop and tally.loop_stopped == math.inf:
            tally.loop_stopped, tally.loop_by_then = now, tally.loop_spent

    def _answered(self, now: float, pod: Pod, number: int, answer: str) -> None:
        (call, cost, seen), tally = self._asked.pop((pod.name, number)), self._tally(pod)
        if answer == GRANTED:
            tally.spent += cost
            tally.loop_spent += cost if call.loop else 0
            tally.waited += pod.wallet.waited(number) > 1.0
            self._put(now + call.seconds, "settle", (pod, number, cost, seen))
            return
        if seen is not None:
            pod.guard.settle(seen, 0, made=False)
        if answer in (TIMED_OUT, BUSY):
            tally.turned_away += 1
        else:
            self._refused(now, tally, call)

    def _poll(self, now: float, pod: Pod) -> None:
        for number, answer in pod.wallet.poll(now):
            self._answered(now, pod, number, answer)
        self._next(now, pod)

    def _next(self, now: float, pod: Pod) -> None:
        due = max(pod.wallet.due(), now + 0.001)
        if due < pod.due:
            pod.due = due
            self._put(due, "report", pod)

    def _report(self, now: float, pod: Pod) -> None:
        writes = Writes(now)
        identity = self.memory.known(pod.identity)
        taken = take_report(self.memory, identity, Dispatch(pod.wallet.report(now), pod.untold()), now, writes)
        self.memory.collect(now, writes)
        self.stages += writes.stages
        if taken.reply is not None:
            pod.wallet.on_reply(now, taken.reply)
        told = self.memory.run_costs.figures(identity, now)
        usual = Usual(told.median, told.sample, told.rate) if told.sample else None
        pod.guard.hear(told.unit, usual, told.others, told.own)
        self._poll(now, pod)


def rehearse() -> dict[str, object]:
    """The figures of the day."""
    drawn = list(traffic(random.Random(SEED)))
    day = Rehearsal()
    day.run({pod.name: pod for pod, _ in drawn}, sorted(call for _, calls in drawn for call in calls))
    rows = []
    for workflow, tally in day.tallies.items():
        key = f"agents/{workflow}"
        reached = {c.to_stage: c.at for c in reversed(day.stages) if c.budget == key and c.kind == "Day"}
        rows.append(
            {
                "workflow": workflow,
                "calls": tally.calls,
                "without_usd": format_usd(tally.wanted),
                "with_usd": format_usd(tally.spent),
                "refused": tally.refused,
                "waited": tally.waited,
                "turned_away": tally.turned_away,
                "downgraded": tally.downgraded,
                "slowed_as_loops": tally.slowed,
                "refused_as_loops": sorted(tally.looked_like_loops),
                "loop_without_usd": format_usd(tally.loop_wanted),
                "loop_with_usd": format_usd(tally.loop_spent),
                "loop_by_then_usd": format_usd(tally.loop_by_then),
                "loop_stopped": "" if tally.loop_stopped == math.inf else _clock(tally.loop_stopped),
                "stages": {name: _clock(at) for name, at in reached.items()},
            }
        )
    limits = {d["metadata"]["name"]: d["spec"]["limits"][0]["usd"] for d in DOCUMENTS}
    for row in rows:
        row["limit_usd"] = limits[row["workflow"]]
        row["reached_without"] = _reached(
            [c for p, cs in drawn if p.workflow == row["workflow"] for c in cs], row["limit_usd"]
        )
    runs = [c for c in day.stages if c.kind == "Run" and c.to_stage == "Exhausted"]
    stopped = next((row["loop_stopped"] for row in rows if row["loop_stopped"]), "")
    return {
        "seed": SEED,
        "workflows": rows,
        "loop_began": _clock(MIDNIGHT + LOOP_BEGINS),
        "loop_stopped": stopped,
        "healthy_runs_exhausted": [name for c in runs if (name := c.window.rpartition("|")[2]) != "job-loop"],
        "healthy_runs_refused_as_loops": [
            pod for t in day.tallies.values() for pod in sorted(t.looked_like_loops) if pod != "research-loop"
        ],
        "agreed_usd": format_usd(sum(w.agreed() for w in day.memory.grants.windows.values())),
        "team_without_usd": format_usd(sum(t.wanted for t in day.tallies.values())),
        "team_with_usd": format_usd(sum(t.spent for t in day.tallies.values())),
        "notices": len(day.stages),
    }


def _reached(calls: list[Call], limit: str) -> str:
    """When an amount is spent where nobody stops it."""
    left = int(float(limit) * USD)
    for call in sorted(calls):
        left -= call.cost
        if left <= 0:
            return _clock(call.at)
    return ""


def _clock(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%H:%M")


def main() -> int:
    """Rehearses; 1 where a limit was passed or a healthy run was stopped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="the figures instead of a table")
    args = parser.parse_args()
    figures = rehearse()
    write("rehearsal", {"at": datetime.now(UTC).isoformat(timespec="seconds"), **figures})
    if args.json:
        print(json.dumps(figures, indent=1))
        return 0
    table = Table(title="a day of three workflows and one loop", box=box.SIMPLE)
    for name in (
        "workflow",
        "limit",
        "without",
        "its limit passed at",
        "with",
        "refused",
        "waited",
        "told to come later",
        "cheaper model",
        "stages",
        "the loop, without",
        "with",
    ):
        table.add_column(name, justify="left" if name in ("workflow", "stages") else "right")
    for row in figures["workflows"]:
        stages = ", ".join(f"{name} {at}" for name, at in row["stages"].items())
        loop = (
            (f"${float(row['loop_without_usd']):.2f}", f"${float(row['loop_with_usd']):.2f}")
            if row["loop_without_usd"] != "0.00"
            else ("", "")
        )
        table.add_row(
            f"{row['workflow']} ({row['calls']:,} calls)",
            f"${row['limit_usd']}",
            f"${float(row['without_usd']):.2f}",
            row["reached_without"] or "–",
            f"${float(row['with_usd']):.2f}",
            *(f"{row[name]:,}" for name in ("refused", "waited", "turned_away", "downgraded")),
            stages,
            *loop,
        )
    Console(width=180).print(table)
    print(
        f"all: ${float(figures['team_without_usd']):.2f} without, ${float(figures['team_with_usd']):.2f} with; the loop began at {figures['loop_began']} and was stopped at {figures['loop_stopped']},"
        f" at ${max(float(row['loop_by_then_usd']) for row in figures['workflows']):.2f}; the rest are tries after each cool-down"
    )
    agreed = float(figures["agreed_usd"])
    over = [
        row["workflow"]
        for row in figures["workflows"]
        if float(row["with_usd"]) > float(row["limit_usd"]) + (agreed if row["workflow"] == "nightly-evals" else 0.0)
    ]
    wrong = [*figures["healthy_runs_exhausted"], *figures["healthy_runs_refused_as_loops"]]
    print(f"past its limit by agreement: ${agreed:.2f}; healthy runs stopped: {', '.join(wrong) or 'none'}")
    return 1 if over or wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
