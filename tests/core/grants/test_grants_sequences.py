"""Any order of loss, doubling, delay, crash and resume, found by search: the inequalities hold after every step."""

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from grants_simulator import Disk
from wfb_core.grants import EXHAUSTED, GRANTED, PENDING, Ledger, Record, Reply, Report, Wallet

WINDOWS = ("a", "b")
CALL_WINDOWS = st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "a")])
AMOUNTS = st.sampled_from([100, 60, 40, 25, 10, 1, 0])
PODS = st.sampled_from(["one", "two"])


class Adversary(RuleBasedStateMachine):
    """Two holders, two windows, and a network that keeps every message ever sent and delivers any of them again."""

    @initialize(limits=st.tuples(AMOUNTS, AMOUNTS))
    def begin(self, limits: tuple[int, int]) -> None:
        """Open the windows."""
        self.now, self.calls = 0.0, 0
        self.limits = dict(zip(WINDOWS, limits, strict=True))
        self.ledger, self.disk = Ledger(), Disk()
        for name, limit in self.limits.items():
            self.ledger.open(name, limit, slow_from=2.0)
        self.disk.write(self.ledger)
        self.records: dict[str, Record] = {}
        self.wallets = {name: Wallet(name, self.saver(name)) for name in ("one", "two")}
        self.reports: list[Report] = []
        self.replies: list[tuple[str, Reply]] = []
        self.in_flight: list[tuple[str, int, int]] = []
        self.billed: Counter[str] = Counter()
        self.settled: Counter[str] = Counter()

    def saver(self, name: str) -> Any:
        """What keeps a wallet's record."""
        return lambda record: self.records.__setitem__(name, record)

    @rule(seconds=st.sampled_from([0.5, 4.0, 70.0]))
    def time_goes_by(self, seconds: float) -> None:
        """And the ledger sweeps."""
        self.now += seconds
        self.ledger.sweep(self.now)
        self.disk.write(self.ledger)
        for name in self.wallets:
            self.poll(name)

    @rule(name=PODS, hold=AMOUNTS, cost=AMOUNTS, windows=CALL_WINDOWS, served=st.booleans())
    def ask(self, name: str, hold: int, cost: int, windows: tuple[str, ...], served: bool) -> None:
        """A call that costs at most its hold, and often has its answer at once."""
        self.calls += 1
        self.costs = {**getattr(self, "costs", {}), self.calls: min(cost, hold)}
        answer = self.wallets[name].ask(self.now, self.calls, hold, hold, lambda now: windows, 30.0)
        self.answered(name, self.calls, hold, windows, answer)
        if served:
            self.exchange(name)

    def answered(self, name: str, call: int, hold: int, windows: tuple[str, ...], answer: str) -> None:
        """A granted call is billed at once, and nobody is told EXHAUSTED while what is settled leaves room."""
        if answer == GRANTED:
            self.in_flight.append((name, call, self.costs[call]))
            self.billed.update(dict.fromkeys(windows, self.costs[call]))
        elif answer == EXHAUSTED:
            assert any(self.limits[w] - self.settled[w] < hold for w in windows)

    def poll(self, name: str) -> None:
        """Hand out answers."""
        wallet = self.wallets[name]
        waiting = {call: (wait.hold, wait.at(self.now)) for call, wait in wallet.waiting.items()}
        self.asked = {**getattr(self, "asked", {}), **waiting}
        for call, answer in wallet.poll(self.now):
            if answer != PENDING:
                self.answered(name, call, *self.asked[call], answer)

    @precondition(lambda self: self.in_flight)
    @rule(which=st.integers(0, 1000))
    def settle(self, which: int) -> None:
        """A call ends."""
        name, call, cost = self.in_flight.pop(which % len(self.in_flight))
        windows = self.wallets[name].holds[call].windows
        self.wallets[name].settle(self.now, call, cost)
        self.settled.update(dict.fromkeys(windows, cost))

    @rule(name=PODS)
    def report(self, name: str) -> None:
        """A report leaves; it may never arrive."""
        self.poll(name)
        self.reports.append(self.wallets[name].report(self.now))

    @precondition(lambda self: self.reports)
    @rule(back=st.integers(0, 5), written=st.booleans())
    def report_arrives(self, back: int, written: bool) -> None:
        """Any of the latest reports, again or for the first time; where the ledger dies over it nobody hears of it."""
        report = self.reports[-1 - back % len(self.reports)]
        reply = self.ledger.report(self.now, report)
        if not written:
            self.ledger_restarts()
            return
        self.disk.write(self.ledger)
        if reply is not None:
            self.replies.append((report.holder, reply))

    @precondition(lambda self: self.replies)
    @rule(back=st.integers(0, 5))
    def reply_arrives(self, back: int) -> None:
        """Any of the latest replies, again or for the first time."""
        name, reply = self.replies[-1 - back % len(self.replies)]
        self.poll(name)
        self.wallets[name].on_reply(self.now, reply)
        self.poll(name)

    @rule(name=PODS)
    def exchange(self, name: str) -> None:
        """For once, all goes well."""
        self.report(name)
        self.report_arrives(0, True)
        if self.replies:
            self.reply_arrives(0)

    @rule()
    def ledger_restarts(self) -> None:
        """From what was written down."""
        self.ledger = self.disk.load(Ledger, self.now)

    @rule(name=PODS)
    def wallet_restarts(self, name: str) -> None:
        """From its record; its calls are gone, and what they held counts as used."""
        if name not in self.records:
            return
        old = self.wallets[name]
        self.wallets[name] = new = Wallet.resume(self.records[name], self.saver(name))
        self.in_flight = [call for call in self.in_flight if call[0] != name]
        for window, purse in new.purses.items():
            self.settled[window] += purse.used - old.purses[window].used

    @invariant()
    def nothing_is_spent_beyond_a_limit(self) -> None:
        """By the providers' bills."""
        for window, billed in getattr(self, "billed", {}).items():
            assert billed <= self.limits[window]

    @invariant()
    def the_inequalities_hold(self) -> None:
        """``used + held <= ceiling <= granted`` at each holder, ``sum(granted) <= limit``, and nobody is flagged."""
        for name, wallet in getattr(self, "wallets", {}).items():
            for window, purse in wallet.purses.items():
                row = self.ledger.rows.get((name, window))
                assert purse.used + purse.held <= purse.ceiling <= (row.granted if row else 0)
        for window in getattr(self, "limits", {}):
            books = self.ledger.windows[window]
            assert books.granted <= books.limit
            assert (books.overdraft, books.beyond, books.learned) == (0, 0, 0)
            assert books.granted == sum(row.granted for (_, w), row in self.ledger.rows.items() if w == window)
        assert not any(who.flagged for who in getattr(self, "ledger", Ledger()).holders.values())

    def teardown(self) -> None:
        """Calm returns: what is settled is what the ledger has, and what is free is free again."""
        if not hasattr(self, "wallets"):
            return
        for name, wallet in self.wallets.items():
            for call in list(wallet.waiting):
                wallet.drop(call)
            for holder, call, cost in [call for call in self.in_flight if call[0] == name]:
                windows = self.wallets[holder].holds[call].windows
                wallet.settle(self.now, call, cost)
                self.settled.update(dict.fromkeys(windows, cost))
        self.in_flight = []
        self.now += 1000.0
        for _ in range(3):
            for name in self.wallets:
                self.now += 1.0
                self.exchange(name)
        for window in WINDOWS:
            books = self.ledger.windows[window]
            assert (books.used, books.held, books.granted) == (self.settled[window], 0, self.settled[window])
            assert books.used >= self.billed[window]


Adversary.TestCase.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestAdversary = Adversary.TestCase
