"""What the decision adds to a call that six budgets match: microseconds of one thread, step by step.

The decision is whether a call goes and to which model: every budget's lists, prices and bounds, where its windows stand,
and the model that a rung wants. What depends on the budgets alone is worked out when the ledger names them, and what was
decided of a call like this one is remembered with them, here as in the sidecar; the first call of its kind is shown too.
How much is held for it, and the hold in the wallet, are shown beside it. Reading and writing the request, the network,
and the file that a hold is written to are no part of either. Which window is the tightest is looked up when the answer
comes, for its headers. The guard against loops is measured apart: it runs only where a budget has one.

Run: python tests/bench/decide.py [--json] [--rounds N]; the figures go to tests/bench/results/decide.json.
"""

import argparse
import gc
import json
import platform
import random
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from figures import quantile, verdict, write
from rich import box
from rich.console import Console
from rich.table import Table

from harness.loop_rehearsal import KEY, asked_of
from shapes.healthy import long_research
from wfb_core import bounds
from wfb_core.budget import DOWNGRADE, SLOW, WARN, Budget, Limit, Loops, Rung
from wfb_core.decide import Policies, decide
from wfb_core.dialects import DIALECTS
from wfb_core.downgrade import Ask, Steps, obstacle
from wfb_core.expectation import Expectations
from wfb_core.grants import GRANTED
from wfb_core.grants.purse import Purse
from wfb_core.grants.wallet import Wallet
from wfb_core.loops import LoopGuard, Usual, sketch_of
from wfb_core.price import PriceBook
from wfb_core.standing import Standing, tightest
from wfb_core.usage import Usage
from wfb_operator.prices.compile import compile_snapshot

GOAL = 50.0
"""Microseconds of the decision at the median."""
DECISION = "decision: the first two"
BUDGETS = 6
USD = 10**9
NOW = 1_795_000_000.0
LIMIT = 200 * USD
LADDER = (
    Rung(70, WARN),
    Rung(80, SLOW),
    Rung(90, DOWNGRADE, (("claude-opus-*", "claude-haiku-4-5"), ("gpt-4o", "gpt-4o-mini"))),
)
BODY = {"model": "gpt-4o", "max_tokens": 500, "messages": [{"role": "user", "content": "hello there " * 40}]}


def budgets(**loops):
    """Six budgets of a workflow, a team and a namespace, with the whole ladder and a list of models."""
    return tuple(
        Budget(
            "agents",
            f"budget-{n}",
            {"aifinops.dev/workflow": "w"},
            (Limit("Day", LIMIT),),
            ladder=LADDER,
            models_allowed=("gpt-*", "claude-*"),
            models_denied=("*-preview",),
            loops=Loops(**loops),
        )
        for n in range(BUDGETS)
    )


@dataclass
class Chain:
    """One pod's decisions, all windows of its budgets spent to a percentage."""

    percent: int
    prices: PriceBook
    budgets: tuple[Budget, ...] = field(default_factory=budgets)
    expectations: Expectations = field(default_factory=Expectations)
    calls: int = 0

    def __post_init__(self):
        self.names = tuple(f"{b.key}|Day|2026-11-18" for b in self.budgets)
        spent = LIMIT * self.percent // 100
        purses = {name: Purse(10**15, 0, keep=1, limit=LIMIT, left=LIMIT - spent) for name in self.names}
        self.wallet = Wallet("pod-a/1", lambda record: None, purses=purses)
        self.policies = Policies(self.budgets)
        self.steps = Steps((b, b.limits[0]) for b in self.budgets)
        path = "/v1/chat/completions"
        self.facts, self.document = DIALECTS["openai-chat"].read_request("POST", path, {}, compact(BODY), "openai")
        self.price = self.prices.find("openai", "gpt-4o", NOW)
        self.target = self.prices.find("openai", "gpt-4o-mini", NOW)
        for _ in range(20):  # what it is like after the first calls of a model
            self.expectations.observe(self.facts, Usage(input_tokens=140, output_tokens=90))

    def lists(self):
        """Every budget's policies."""
        return self.policies.decide(self.facts, self.price.dearest(self.facts.tier))

    def first(self):
        """The same for the first call of its kind."""
        return decide(self.budgets, self.facts, self.price.dearest(self.facts.tier))

    def wants(self):
        """What the rungs reached want."""
        names, spent = self.names, self.wallet.spent
        return self.steps.wants(self.facts.model, lambda place: spent(names[place]))

    def standing(self):
        """How the windows stand."""
        spent = self.wallet.spent
        return [
            Standing(b, b.limits[0], known)
            for b, name in zip(self.budgets, self.names, strict=True)
            if (known := spent(name)) is not None
        ]

    def marks(self):
        """The tightest of the windows, which the answer's headers name."""
        return tightest(self.standing())

    def model(self):
        """The model to ask, by its price."""
        for wanted in self.wants():
            ask = Ask(wanted, self.facts, self.document, self.price, self.target, self.budgets)
            if obstacle(ask) is None:
                costs = self.expectations.switched(self.facts, self.price, self.facts, self.target)
                if costs is not None and costs[1] < costs[0]:
                    return self.target
        return self.price

    def amount(self, price):
        """The hold, as high as the call can cost or as money allows, and what is expected of it."""
        output, least = bounds.output_bound(self.facts, price), bounds.minimum(self.facts, price)
        full = bounds.hold(self.facts, price, output)
        hold = self.wallet.clamp(full, least, self.names, {})
        return hold, self.expectations.expected(self.facts, price, hold)

    def hold(self, amounts):
        """The hold in all six windows."""
        self.calls += 1
        answer = self.wallet.ask(NOW, self.calls, *amounts, lambda now: self.names, 30.0)
        assert answer == GRANTED, answer

    def decision(self):
        """The decision: whether it goes, and to which model."""
        assert self.lists().refusal is None
        return self.model()

    def held(self):
        """The decision, and the money for it."""
        price = self.decision()
        assert (price is self.target) == (self.percent >= 90)
        self.hold(self.amount(price))

    def end(self):
        """Lets the call settle, outside of what is measured."""
        self.wallet.settle(NOW, self.calls, 1)


def compact(document):
    """A document's JSON without blanks."""
    return json.dumps(document, separators=(",", ":")).encode()


def measured(work, rounds, after=lambda: None):
    """p50 and p99 of one thread's microseconds."""
    spent = []
    for _ in range(rounds):
        begun = time.thread_time_ns()
        work()
        spent.append((time.thread_time_ns() - begun) / 1000)
        after()
    return {"p50": round(quantile(spent, 0.5), 1), "p99": round(quantile(spent, 0.99), 1)}


def chain(percent, prices, rounds):
    """The steps by themselves, and all of them one after the other."""
    it = Chain(percent, prices)
    price = it.model()
    amounts = it.amount(price)
    return {
        "lists, prices and bounds": measured(it.lists, rounds),
        "which model is asked, by where windows stand": measured(it.model, rounds),
        "how much is held": measured(lambda: it.amount(price), rounds),
        "the hold in six windows": measured(lambda: it.hold(amounts), rounds, it.end),
        "on the way back: the tightest window": measured(it.marks, rounds),
        "lists, prices and bounds of the first of its kind": measured(it.first, rounds),
        DECISION: measured(it.decision, rounds),
        "decision and hold": measured(it.held, rounds, it.end),
    }


def guard(rounds):
    """The guard of six budgets on a long research run: a request's sketch, and the verdict with what follows a call."""
    turns = list(long_research(random.Random(4)))
    watching, it = budgets(action="Refuse"), LoopGuard()
    it.begin("run/r1")
    it.hear("run/r1", Usual(10**15, 48, 10**12), 0)
    sketches, verdicts = [], []
    for n in range(rounds):
        turn = turns[n % len(turns)]
        asked = asked_of(turn)
        t0 = time.thread_time_ns()
        sketch_of(turn.body, KEY)
        t1 = time.thread_time_ns()
        seen = it.enter(NOW + n, asked, it.judge(NOW + n, watching, "w", asked))
        it.settle(seen, turn.nanos)
        t2 = time.thread_time_ns()
        sketches.append((t1 - t0) / 1000)
        verdicts.append((t2 - t1) / 1000)
    return {
        name: {"p50": round(quantile(spent, 0.5), 1), "p99": round(quantile(spent, 0.99), 1)}
        for name, spent in (("sketch", sketches), ("verdict", verdicts))
    }


def show(console, figures):
    """A table of the steps, and whether the goal is reached."""
    below, beyond = figures["below every rung"], figures["on every rung, downgraded"]
    table = Table("µs with six budgets", "below every rung p50", "p99", "on every rung p50", "p99", box=box.SIMPLE_HEAD)
    for step in below:
        cells = (below[step]["p50"], below[step]["p99"], beyond[step]["p50"], beyond[step]["p99"])
        table.add_row(step, *map(str, cells), end_section=step.startswith("lists, prices and bounds of"))
    console.print(table)
    for name in CASES:
        p50 = figures[name][DECISION]["p50"]
        word = "reached" if p50 <= GOAL else "NOT reached"
        console.print(f"{name}: the decision takes {p50} µs at the median, {word} {verdict(p50, GOAL, most=True)}")
    found = figures["guard against loops"]
    console.print(
        f"where all six have a guard against loops: {found['sketch']['p50']} µs more for the request's sketch,"
        f" {found['verdict']['p50']} µs for the verdict"
    )


CASES = {"below every rung": 10, "on every rung, downgraded": 95}


def main():
    """Both cases; exit status 1 where the goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20_000, help="calls of each case (default 20000)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON instead of tables")
    args = parser.parse_args()
    prices = PriceBook.from_snapshot(compile_snapshot("bench").data)
    figures = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"python": platform.python_version(), "system": platform.platform()},
        "budgets": BUDGETS,
        "goal_p50_us": GOAL,
    }
    gc.collect()
    for name, percent in CASES.items():
        figures[name] = chain(percent, prices, args.rounds)
    figures["guard against loops"] = guard(min(args.rounds, 4000))
    path = write("decide", figures)
    if args.json:
        print(json.dumps(figures, indent=1))
    else:
        console = Console()
        show(console, figures)
        console.print(f"written to {path}")
    return 0 if all(figures[name][DECISION]["p50"] <= GOAL for name in CASES) else 1


if __name__ == "__main__":
    sys.exit(main())
