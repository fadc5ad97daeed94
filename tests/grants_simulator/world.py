"""The world: events in the order of time, and the properties checked after each."""

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Any, Self

from grants_simulator.disk import Disk
from grants_simulator.scenarios import SCENARIOS
from wfb_core.grants import (
    BUSY,
    EXHAUSTED,
    GRANTED,
    LEARN,
    LOST,
    PENDING,
    STUCK,
    TIMED_OUT,
    Claim,
    Ledger,
    Record,
    Reply,
    Report,
    Row,
    Wallet,
)
from wfb_core.grants.window import SUMS

COST = 1_000_000
"""What a call costs on average, in nano-USD."""


class Broken(AssertionError):  # noqa: N818  reads as the sentence it begins
    """A property does not hold; the message begins with its number."""


def must(holds: bool, what: str) -> None:
    """Raise Broken unless a property holds."""
    if not holds:
        raise Broken(what)


@dataclass
class Kinds:
    """Which classes a world is made of; a mutant is a subclass."""

    ledger: type[Ledger] = Ledger
    wallet: type[Wallet] = Wallet
    forgetful_disk: bool = False
    """Whether a restarted ledger finds the state of an earlier restart."""


@dataclass
class Call:
    """One call of an app, and what it will really cost."""

    number: int
    pod: "Pod"
    hold: int
    expected: int
    cost: int
    asked: float
    large: bool = False
    answer: str = PENDING
    answered: float = inf
    windows: tuple[str, ...] = ()


@dataclass(eq=False)
class Pod:
    """One holder: a wallet, its record, and its place in the tree of budgets."""

    name: str
    budgets: tuple[str, ...]
    wallet: Wallet | None = None
    record: Record | None = None
    dead: bool = False
    cut_until: float = -inf
    wake: float = inf


@dataclass
class World:
    """One tree of budgets (flows in teams in a cluster) under one seed."""

    seed: int
    scenario: str
    kinds: Kinds = field(default_factory=Kinds)
    calls_total: int = 500
    pods: int = 0
    rate: float = 0.0
    duration: float = 0.0
    longest: float = 60.0
    ratio: float = 0.0
    """Hold over cost."""
    large: float = 0.01
    """Part of the calls that ask for far more than the others."""
    wait: float = 30.0
    idle: float = 0.3
    clamp: bool | None = None
    bias: float = 1.0
    """Expectation over cost."""
    slow_from: float = inf
    rates: tuple[tuple[float, int], ...] = ()
    end: float = inf
    until: float = 0.0
    calm_between: float = 0.0
    limits: dict[str, int] | None = None
    troubles: dict[str, float] | None = None
    """Weights instead of the scenario's own."""

    def __post_init__(self) -> None:
        self.rng = r = random.Random(f"{self.scenario} {self.seed}")
        self.weather = SCENARIOS[self.scenario]
        self.ratio = self.ratio or r.choice([1, 2, 5, 20, 50, 200])
        self.pods = self.pods or r.randint(1, 20)
        self.rate = self.rate or r.choice([5.0, 10.0])
        self.duration = self.duration or r.choice([3.0, 8.0])
        self.calm_between = self.calm_between or r.choice([4.0, 20.0])
        if self.clamp is None:
            self.clamp = r.random() < 0.5
        self.until = self.until or 2.0 * self.calls_total / self.rate
        self.trickle = int(self.weather.trickle * COST * 3600)
        self.short_since: dict[str, float] = {}  # by window: when a call first found too little of the limit settled
        self.day = self.until / self.weather.days + 1 if self.weather.days > 1 else inf
        self.limits = dict(self.limits or self._some_limits())
        self.now, self.ticks = 0.0, 0
        self.events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self.disk = Disk()
        self.ledger = self.kinds.ledger()
        self.stale: Disk | None = None
        self.backup: Disk | None = None
        self.away_until, self.crash_next, self.raised_at = -inf, False, -inf
        self.living: dict[str, Pod] = {}
        self.everybody: dict[str, Pod] = {}
        self.calls: list[Call] = []
        self.billed: Counter[str] = Counter()  # by window
        self.excess: Counter[str] = Counter()  # billed beyond holds, or let through on purpose
        self.allowed: Counter[str] = Counter()  # what operators gave away by release or restore
        self.given_away: set[tuple[str, str]] = set()  # the same by (holder, window)
        self.bound: dict[str, int] = {}
        self.spent: Counter[tuple[str, str]] = Counter()  # by (holder, window)
        self.over: Counter[tuple[str, str]] = Counter()  # counted above what was spent, since a resume
        self.settled: Counter[str] = Counter()  # by window, from the holders' own books
        self.answers: Counter[str] = Counter()
        self.waits: dict[tuple[bool, str], list[float]] = defaultdict(list)
        self.bills: list[tuple[float, int]] = []
        self.liars = 0
        for _ in range(self.pods):
            self.spawn()
        self.after(5.0, self.sweep)
        if self.weather.troubles:
            self.after(3.0, self.trouble)

    def _some_limits(self) -> dict[str, int]:
        r, limits = self.rng, {}
        limits["cluster"] = int(COST * self.calls_total * r.uniform(0.6, 1.1)) // self.weather.days
        for team in "01":
            limits[f"team{team}"] = int(limits["cluster"] * r.uniform(0.3, 0.8))
            for flow in "01":
                limits[f"flow{team}{flow}"] = int(limits[f"team{team}"] * r.uniform(0.3, 1.0))
        return limits

    # Time and the network

    def after(self, delay: float, what: Callable[..., None], *args: Any) -> None:
        """Let something happen later."""
        self.ticks += 1
        heapq.heappush(self.events, (self.now + delay, self.ticks, what, args))

    def send(self, what: Callable[..., None], *args: Any) -> None:
        """Hand a message to the network."""
        loss, double = self.weather.loss, self.weather.double
        if self.calm_again:
            loss = double = 0.0
        for _ in range(self.rng.choices([0, 1, 2], [loss, 1 - loss - double, double])[0]):
            self.after(self.rng.expovariate(50.0 if self.calm_again else self.weather.speed), what, *args)

    calm_again = False

    def run(self) -> Self:
        """Live through it, let calm return, and check the end."""
        while self.events and self.events[0][0] < self.until:
            self.step()
        self.calm_down()
        return self

    def step(self) -> None:
        """The next event, and what must hold after it."""
        self.now, _, what, args = heapq.heappop(self.events)
        what(*args)
        self.check_bills()

    # Windows

    def window(self, budget: str, now: float) -> str:
        """The budget's window at a time, opened where nobody named it before."""
        day = 0 if self.day == inf else int(now // self.day)
        name = f"{budget}/{day}"
        if name not in self.ledger.windows:
            start, end = (-inf, self.end) if self.day == inf else (day * self.day, (day + 1) * self.day)
            self.ledger.open(
                name, self.limits[budget], start, end, self.slow_from, rates=self.rates, trickle=self.trickle
            )
            self.disk.write(self.ledger)
        self.bound.setdefault(name, self.limits[budget])
        return name

    def windows_of(self, pod: Pod) -> Callable[[float], tuple[str, ...]]:
        """The windows that a pod's calls must fit in."""
        return lambda now: tuple(self.window(budget, now) for budget in pod.budgets)

    # Holders

    def spawn(self) -> None:
        """A pod starts."""
        name = f"pod{len(self.everybody)}"
        flow = self.rng.choice(["00", "01", "10", "11"])
        pod = Pod(name, ("cluster", f"team{flow[0]}", f"flow{flow}"))
        pod.wallet = self.kinds.wallet(name, self.saver(pod))
        self.living[name] = self.everybody[name] = pod
        self.after(self.rng.random(), self.demand, pod)

    @staticmethod
    def saver(pod: Pod) -> Callable[[Record], None]:
        """What keeps a wallet's record."""

        def save(record: Record) -> None:
            pod.record = record

        return save

    def demand(self, pod: Pod) -> None:
        """A pod's app makes a call, now and then a burst, now and then nothing for a while."""
        if self.calm_again or pod.dead:
            return
        r = self.rng
        pause = r.uniform(20, 120) if r.random() < 0.02 * self.idle else r.expovariate(self.rate / self.pods)
        self.after(pause, self.demand, pod)
        if pod.wallet is not None:
            for _ in range(20 if r.random() < 0.01 else 1):
                self.make_call(pod)

    def make_call(self, pod: Pod, *, hold: int = 0, large: bool = False) -> Call:
        """One call of an app."""
        r, wallet = self.rng, pod.wallet
        cost = 1 + int(COST * r.expovariate(1.0))
        large = large or r.random() < self.large
        if not hold:
            hold = int(cost * self.ratio * r.uniform(1.0, 1.5)) * ((20 if self.ratio <= 5 else 3) if large else 1)
        at = self.windows_of(pod)
        if self.clamp and not large:
            limits = {name: self.ledger.windows[name].limit for name in at(self.now)}
            hold = wallet.clamp(hold, int(cost * 1.2) + 1, at(self.now), limits)
        if r.random() < self.weather.dear:
            cost = int(hold * r.uniform(1.0, 2.0))
        expected = max(1, int(cost * self.bias * r.uniform(0.3, 1.7)))
        call = Call(len(self.calls), pod, hold, expected, cost, self.now, large)
        self.calls.append(call)
        self.answered(call, wallet.ask(self.now, call.number, hold, expected, at, self.wait))
        if call.answer == PENDING and r.random() < 0.05:
            self.after(r.expovariate(0.2), self.leave, call)
        self.pump(pod)
        return call

    def note_shortness(self, report: Report) -> None:
        """By the holders' own books: no trickle is due before a waiting call finds too little of the limit itself."""
        for need in report.needs:
            for name in need.windows:
                if self.limits[name.split("/")[0]] - self.settled[name] - self.ledger.windows[name].lost < need.hold:
                    self.short_since.setdefault(name, self.now)

    def due(self, name: str) -> int:
        """What the trickle makes due in a window by now."""
        return int(self.trickle * (self.now - self.short_since.get(name, self.now)) / 3600)

    def leave(self, call: Call) -> None:
        """The client of a waiting call goes away."""
        if call.pod.wallet is not None and call.number in call.pod.wallet.waiting:
            call.pod.wallet.drop(call.number)
            call.answer = "left"
            self.answers["left"] += 1

    def answered(self, call: Call, answer: str) -> None:
        """A call has its answer: a granted one is billed at once."""
        if answer == PENDING:
            return
        must(self.now - call.asked <= self.wait + 0.5, "P4: a call waited beyond its deadline")
        wallet, on_purpose = call.pod.wallet, False
        if answer == TIMED_OUT and self.weather.ignore and wallet.silent(self.now):
            at = self.windows_of(call.pod)(self.now)
            limits = {name: self.ledger.windows[name].limit for name in at}
            if wallet.overdraw(self.now, call.number, call.hold, call.expected, at, limits):
                answer, on_purpose = GRANTED, True
        call.answer, call.answered = answer, self.now
        self.answers["let through" if on_purpose else answer] += 1
        self.waits[call.large, answer].append(self.now - call.asked)
        if answer == EXHAUSTED:
            self.check_exhausted(call)
        if answer != GRANTED:
            return
        call.windows = wallet.holds[call.number].windows
        self.bills.append((self.now, call.cost))
        for name in call.windows:
            self.billed[name] += call.cost
            self.spent[call.pod.name, name] += call.cost
            self.excess[name] += call.cost if on_purpose else max(0, call.cost - call.hold)
        self.after(min(self.longest, self.rng.expovariate(1 / self.duration)), self.settle, call)

    def settle(self, call: Call) -> None:
        """A call ends, if its holder still lives to see it."""
        wallet = call.pod.wallet
        if wallet is not None and call.number in wallet.holds:
            wallet.settle(self.now, call.number, call.cost)
            for name in call.windows:
                self.settled[name] += call.cost
            self.pump(call.pod)

    def pump(self, pod: Pod) -> None:
        """What the shell around a wallet does whenever it wakes."""
        wallet = pod.wallet
        if wallet is None:
            return
        if self.day < inf and self.now % self.day > self.day - 30.0:
            at = self.windows_of(pod)
            for old, new in zip(at(self.now), at(self.now + self.day), strict=True):
                wallet.ahead(old, new)
        for number, answer in wallet.poll(self.now):
            self.answered(self.calls[number], answer)
        if self.now >= wallet.due():
            report = wallet.report(self.now)
            if pod.cut_until < self.now:
                self.send(self.at_ledger, report)
        due = min([wallet.due(), *(wait.deadline for wait in wallet.waiting.values())])
        if due < inf and (due < pod.wake or pod.wake <= self.now):
            pod.wake = max(due, self.now) + self.rng.random() * 0.05
            self.after(pod.wake - self.now, self.wake, pod, pod.wake)

    def wake(self, pod: Pod, at: float) -> None:
        """A timer rings, unless it was set anew."""
        if pod.wake == at:
            pod.wake = inf
            self.pump(pod)

    # Messages

    def at_ledger(self, report: Report) -> None:
        """A report arrives."""
        if self.now < self.away_until or self.everybody[report.holder].cut_until > self.now:
            return
        ledger = self.ledger
        before = {name: (w.granted, w.overdraft + w.beyond + w.learned) for name, w in ledger.windows.items()}
        flagged = ledger.holders[report.holder].flagged if report.holder in ledger.holders else 0
        self.note_shortness(report)
        reply = ledger.report(self.now, report)
        must(
            report.holder not in ledger.holders or ledger.holders[report.holder].flagged == flagged,
            "P6: honest, flagged",
        )
        if self.crash_next:
            self.crash_next = False
            self.restart()  # before anything was written down: nobody hears of it
            return
        self.disk.write(ledger)
        for name in report.claims:
            if name in before:
                self.check_sums(name, *before[name])
        if reply is not None:
            self.send(self.at_wallet, self.everybody[report.holder], reply)

    def at_wallet(self, pod: Pod, reply: Reply) -> None:
        """A reply arrives."""
        if pod.wallet is not None and pod.cut_until < self.now:
            pod.wallet.on_reply(self.now, reply)
            self.pump(pod)

    def sweep(self) -> None:
        """The ledger's own timer."""
        self.ledger.sweep(self.now)
        self.disk.write(self.ledger)
        self.after(5.0, self.sweep)

    # Troubles

    def trouble(self) -> None:
        """Something goes wrong, and something else will."""
        if self.calm_again:
            return
        self.after(self.rng.expovariate(1 / self.calm_between), self.trouble)
        names, weights = zip(*(self.troubles or self.weather.troubles).items(), strict=True)
        getattr(self, f"trouble_{self.rng.choices(names, weights)[0]}")()

    def somebody(self) -> list[Pod]:
        """One living pod, if there is one."""
        living = list(self.living.values())
        return [self.rng.choice(living)] if living else []

    def bury(self, pod: Pod) -> None:
        """A pod is gone for good; another takes its place; an operator may release what it had."""
        del self.living[pod.name]
        pod.dead, pod.wallet = True, None
        self.after(self.rng.random(), self.spawn)
        if self.rng.random() < 0.3:
            self.after(LOST, self.release, pod)

    def trouble_kill(self) -> None:
        """A pod is deleted without a word."""
        for pod in self.somebody():
            if pod.wallet is not None:
                self.bury(pod)

    def trouble_node(self) -> None:
        """A node fails with several pods."""
        for _ in range(3):
            self.trouble_kill()

    def trouble_resume(self) -> None:
        """A container is killed and starts again in place, from its record."""
        for pod in self.somebody():
            if pod.wallet is None or pod.record is None:
                continue
            for name, (_, used, held) in pod.record.purses.items():
                self.settled[name] += used + held - (p.used if (p := pod.wallet.purses.get(name)) else used + held)
                self.over[pod.name, name] = used + held - self.spent[pod.name, name]
                enough = self.over[pod.name, name] >= 0 or self.excess[name] > 0
                must(enough, f"P5: the record of {pod.name} forgot spend")
            pod.wallet = None
            self.after(self.rng.uniform(1, 3), self.resume, pod)

    def resume(self, pod: Pod) -> None:
        """The container is back."""
        pod.wallet = self.kinds.wallet.resume(pod.record, self.saver(pod))
        pod.wake = inf
        self.pump(pod)

    def trouble_partition(self) -> None:
        """A pod's network is cut for a while."""
        for pod in self.somebody():
            pod.cut_until = self.now + self.rng.uniform(2, 40)

    def trouble_mistake(self) -> None:
        """A living pod is out of reach for long, and somebody releases it."""
        for pod in self.somebody():
            pod.cut_until = self.now + LOST + 30.0
            self.after(LOST, self.release, pod)

    def release(self, pod: Pod) -> None:
        """Whoever releases bears the risk of what was spent and never told."""
        if self.calm_again:
            return
        for name, amount in self.ledger.release(pod.name).items():
            self.allowed[name] += amount
            self.given_away.add((pod.name, name))
        self.disk.write(self.ledger)

    def trouble_restart(self) -> None:
        """The ledger's process ends: at once, or after a report that it could not write down any more."""
        if self.rng.random() < 0.3:
            self.crash_next = True
        else:
            self.restart()

    def restart(self) -> None:
        """A new ledger process reads the disk."""
        if self.kinds.forgetful_disk:
            self.disk, self.stale = self.stale or self.disk, self.disk.copy()
        self.ledger = self.disk.load(self.kinds.ledger, self.now)

    def trouble_away(self) -> None:
        """No ledger answers for a while."""
        self.away_until = self.now + self.rng.uniform(2, 30 if self.weather.ignore else 20)

    def trouble_lie(self) -> None:
        """Somebody claims spend it was never granted."""
        name = self.rng.choice(list(self.ledger.windows) or [self.window("cluster", self.now)])
        self.liars += 1
        liar = f"liar{self.liars}"
        claim = Claim(2 * self.ledger.windows[name].limit, 0, 0, 0, 0)
        used = self.ledger.windows[name].used
        self.ledger.report(self.now, Report(liar, self.ledger.epoch, 1, {name: claim}, ()))
        must(self.ledger.holders[liar].flagged == 1, "P6: a lie was believed")
        must(self.ledger.windows[name].used == used, "P6: a refused report changed the books")
        self.disk.write(self.ledger)

    def trouble_edit(self) -> None:
        """A limit is changed: what is out above it may still be spent, and no more."""
        budget = self.rng.choice(list(self.limits))
        self.limits[budget] = limit = int(self.limits[budget] * self.rng.choice([0.5, 0.8, 1.3]))
        self.raised_at = self.now
        for name, window in self.ledger.windows.items():
            if name.startswith(f"{budget}/"):
                due = self.due(name)
                if limit > window.limit:
                    self.short_since.pop(name, None)  # there is room again: what was due until now stays in the bound
                self.bound[name] = max(limit, min(window.granted, self.bound[name] + due))
                self.ledger.edit(name, limit, self.slow_from, self.rates, self.trickle)
        self.disk.write(self.ledger)

    def trouble_backup(self) -> None:
        """Somebody copies the disk."""
        self.backup = self.disk.copy()

    def trouble_restore(self) -> None:
        """The copy becomes the disk; what it does not know is lost for good where the holder never speaks again."""
        if self.backup is None or self.now < self.ledger.learn_until:
            return
        old = self.ledger
        self.disk, self.backup = self.backup, None
        self.ledger = self.disk.load(self.kinds.ledger, self.now)
        for name, window in old.windows.items():
            self.ledger.open(
                name, window.limit, window.start, window.end, window.slow_from, rates=self.rates, trickle=self.trickle
            )
        self.ledger.begin_epoch(self.now)
        self.disk.write(self.ledger)
        unknown = {key: row.granted - self.ledger.rows.get(key, Row()).granted for key, row in old.rows.items()}
        self.after(LEARN, self.learnt, unknown, self.now)

    def learnt(self, unknown: dict[tuple[str, str], int], since: float) -> None:
        """The learning minute is over: who said nothing in it may have spent what nobody knows of."""
        for (holder, name), amount in unknown.items():
            who = self.ledger.holders.get(holder)
            if amount > 0 and (who is None or who.seen < since or self.everybody[holder].dead):
                self.allowed[name] += amount
                self.given_away.add((holder, name))

    # Properties

    def check_bills(self) -> None:
        """P1."""
        for name, billed in self.billed.items():
            if billed > self.bound[name]:
                counted = billed - self.excess[name] - self.allowed[name] - self.due(name)
                must(counted <= self.bound[name], f"P1: {name} spent {counted} of {self.bound[name]}")

    def check_sums(self, name: str, granted: int, unbooked: int) -> None:
        """P2."""
        window = self.ledger.windows[name]
        rows = [row for (_, window_id), row in self.ledger.rows.items() if window_id == name]
        for total in SUMS:
            must(sum(getattr(row, total) for row in rows) == getattr(window, total), f"P2: sum of {total} in {name}")
        must(all(row.used + row.held <= row.granted for row in rows), "P2: a row spends beyond its grant")
        booked = window.overdraft + window.beyond + window.learned - unbooked
        most = max(window.limit + self.due(name), granted)
        must(window.granted - max(0, booked) <= most, f"P2: {name} is committed beyond its limit")
        must(
            not window.overdraft + window.beyond or self.excess[name] > 0 or self.weather.ignore,
            "P2: overdraft is booked though no call cost more than its hold",
        )

    def check_exhausted(self, call: Call) -> None:
        """P3."""
        must(not self.trickle, "P3: exhausted, though a trickle goes on")
        if self.now - self.raised_at < 3.0:
            return  # an answer on its way may be about the limit as it was
        times = (self.now, call.asked, max(0.0, self.now - 2.0))
        names = {name for at in times for name in self.windows_of(call.pod)(at)}
        truly = any(self.ledger.windows[name].limit - self.settled[name] < call.hold for name in names)
        must(truly, "P3: exhausted, though what is settled leaves room")

    def calm_down(self) -> None:
        """Calm returns, everything in flight ends and is told: P5 and P7."""
        self.calm_again, self.away_until, self.crash_next = True, -inf, False
        for pod in self.everybody.values():
            pod.cut_until = -inf
        self.until = self.now + 200.0
        while self.events and self.events[0][0] < self.until:
            self.step()
        for (holder, name), row in self.ledger.rows.items():
            spent = self.spent[holder, name] + self.over[holder, name]
            if not self.everybody[holder].dead:
                must(row.used == spent, f"P5: {holder} in {name}: the ledger has {row.used}, it spent {spent}")
                must(row.held == 0 and row.beyond == 0, f"P5: {holder} in {name}: {row.held} is still held")
            elif (holder, name) not in self.given_away and not self.excess[name]:
                must(row.used <= spent <= row.granted, f"P5: {holder}, dead, spent {spent} in {name}: not covered")
        loaded = self.disk.load(self.kinds.ledger, self.now)
        written, living = ({k: row for k, row in x.rows.items() if row != Row()} for x in (loaded, self.ledger))
        must(written == living, "P7: the rows written down are not the ledger's")
        for name, window in self.ledger.windows.items():
            durable = (
                "limit",
                "start",
                "end",
                "slow_from",
                "largest",
                "overdraft",
                "learned",
                "trickle",
                "exhausted_at",
                *SUMS,
            )
            same = all(getattr(loaded.windows[name], part) == getattr(window, part) for part in durable)
            must(same, f"P7: the window {name} written down is not the ledger's")
        must(set(loaded.windows) == set(self.ledger.windows), "P7: windows are missing")
        for name, who in self.ledger.holders.items():
            kept = loaded.holders[name]
            same = (kept.seq, kept.seen, kept.epoch, kept.lost) == (who.seq, who.seen, who.epoch, who.lost)
            must(same, f"P7: the holder {name} written down is not the ledger's")


__all__ = ["BUSY", "COST", "STUCK", "Broken", "Call", "Kinds", "Pod", "World", "must"]
