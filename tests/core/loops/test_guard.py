"""The guard of a pod: Flag, Slow and Refuse in this order, half-open probes, and what it says about it."""

import pytest

from wfb_core import reasons
from wfb_core.budget import Budget, Limit, Loops
from wfb_core.loops import Asked, LoopGuard, Sketch, Usual
import itertools

USUAL = Usual(100, 48, 600)
COOLDOWN = 300.0


def budget(name="b", enforcement="Enforce", **loops):
    """A budget whose guard may do anything."""
    return Budget(
        "team",
        name,
        {},
        (Limit("Day", 10**12),),
        enforcement=enforcement,
        loops=Loops(**{"action": "Refuse", "cooldown": COOLDOWN, **loops}),
    )


def asked(n=None, *, retry=0, expected=10, failed=False):
    """A request: the same as every other with n None, else one of its own."""
    marks = frozenset(range(16)) if n is None else frozenset(range(1000 * n, 1000 * n + 16))
    return Asked(Sketch(marks, first_turn=False, tool_failed=failed), retry, 1000, expected)


class Pod:
    """A guard and a clock; every call costs what it says and ends at once."""

    def __init__(self, *budgets, unit="run/r1", usual=USUAL):
        self.guard, self.budgets, self.now, self.calls = LoopGuard(), budgets or (budget(),), 1000.0, 0
        self.guard.begin(unit)
        self.guard.hear(unit, usual, 0)
        self.recovered = ()

    def judge(self, request):
        return self.guard.judge(self.now, self.budgets, "w", request)

    def call(self, request=None, cost=10, *, fails=False):
        """One call; returns its verdict."""
        self.now += 1.0
        self.calls += 1
        request = request or asked(self.calls)
        verdict = self.judge(request)
        if verdict.refusal is None:
            seen = self.guard.enter(self.now, request, verdict)
            self.recovered = self.guard.settle(seen, 0 if fails else cost, failed=fails)
        return verdict

    def until_refused(self, make=lambda: None, cost=10):
        """Calls until one is refused; returns that verdict and every sighting on the way."""
        sightings = []
        for _ in range(2000):
            verdict = self.call(make(), cost)
            sightings += verdict.sightings
            if verdict.refusal:
                return verdict, sightings
        raise AssertionError("never refused")


def test_cost_alone_stops_a_run_at_the_multiple():
    """Requests that are all new: flagged, slowed, refused before the multiple and one call are spent; each told once."""
    pod = Pod()
    verdict, sightings = pod.until_refused()
    assert 1000 <= pod.guard.own < 1000 + 10
    assert [s.stage for s in sightings] == ["Flag", "Slow", "Refuse"]
    assert [s.reason for s in sightings] == [reasons.LOOP_FLAGGED, reasons.LOOP_SLOWED, reasons.LOOP_REFUSED]
    assert verdict.refusal.reason == reasons.LOOP_REFUSED
    assert "10.0 x the median of 48 runs" in verdict.refusal.message


def test_requests_that_are_alike_stop_it_much_earlier():
    """The same run with one request over and over: hardly more than twice the median."""
    pod = Pod()
    verdict, _ = pod.until_refused(asked)
    assert 200 <= pod.guard.own <= 260
    assert "24 of the last 25 requests were nearly the same" in verdict.refusal.message


def test_nothing_below_twice_the_median_is_a_loop():
    """However alike its requests are."""
    pod = Pod()
    assert all(pod.call(asked()).stage == "None" for _ in range(19))


def test_attempts_that_cost_nothing_say_nothing():
    """A provider's outage: hundreds of attempts fail alike, and the run goes on where it was."""
    pod = Pod()
    for _ in range(50):
        pod.call()
    assert all(pod.call(asked(retry=2), fails=True).refusal is None for _ in range(300))
    assert pod.call().refusal is None


def test_calls_in_flight_count_with_what_is_expected_of_them():
    """Fifty calls at once do not slip through below the multiple before any has settled."""
    pod = Pod()
    let_through = 0
    for n in range(50):
        request = asked(n, expected=100)
        verdict = pod.judge(request)
        if verdict.refusal is None:
            pod.guard.enter(pod.now, request, verdict)
            let_through += 1
    assert let_through == 10


def test_what_other_pods_spent_counts():
    """The run is judged over all of its pods: this one's own part may be small."""
    pod = Pod()
    pod.guard.hear("run/r1", USUAL, 995)
    pod.call()
    assert pod.call().refusal is not None


def test_what_the_books_know_of_this_pod_counts():
    """Money that a container spent before it was restarted; figures older than what is known here change nothing."""
    pod = Pod()
    pod.call(cost=50)
    pod.guard.hear("run/r1", USUAL, 0, 40)
    assert pod.guard.total == 50
    pod.guard.hear("run/r1", USUAL, 0, 995)
    assert pod.guard.total == 995
    pod.guard.hear("run/r0", USUAL, 7, 10**6)
    assert pod.guard.total == 995


def test_slow_is_the_most_where_the_budget_says_so():
    """Action Slow: calls wait, longer each time and at most maxDelaySeconds, and none is refused."""
    pod = Pod(budget(action="Slow"))
    delays = [pod.call().delay for _ in range(120)]
    first = next(n for n, delay in enumerate(delays) if delay)
    assert delays[first : first + 7] == [1, 2, 4, 8, 16, 20, 20]


def test_flag_only_tells():
    """Action Flag: one sighting, no delay, no refusal."""
    pod = Pod(budget(action="Flag"))
    verdicts = [pod.call() for _ in range(150)]
    assert [s.stage for v in verdicts for s in v.sightings] == ["Flag"]
    assert not any(v.delay or v.refusal for v in verdicts)


@pytest.mark.parametrize(
    "watched",
    [budget(action="Off"), budget(except_workflows=("v", "w"))],
    ids=["off", "workflow excepted"],
)
def test_a_budget_that_does_not_look(watched):
    """Off, or off for this workflow: nothing is told and nothing happens."""
    pod = Pod(watched)
    assert all(pod.call(cost=1000) == pod.guard.judge(0, (), "w", asked()) for _ in range(30))


def test_too_few_runs_say_nothing_unless_the_budget_states_the_usual_cost():
    """Below minimumRuns only usualRunUSD is something to compare with."""
    few = Usual(100, 19, 600)
    assert all(Pod(usual=few).call(cost=10**6).refusal is None for _ in range(3))
    pod = Pod(budget(usual_run=100), usual=few)
    verdict, _ = pod.until_refused()
    assert "what spec.loops.usualRunUSD states" in verdict.refusal.message
    assert pod.guard.own == 1000


def test_report_tells_and_lets_through():
    """Enforcement Report: what would have been refused is written down, and every call goes."""
    pod = Pod(budget(enforcement="Report"))
    verdicts = [pod.call() for _ in range(130)]
    assert not any(v.refusal or v.delay for v in verdicts)
    assert sum(len(v.reported) for v in verdicts) >= 25
    assert all(s.message.startswith("would be under Enforce: ") for v in verdicts for s in v.sightings)


def test_report_does_not_weaken_another_budget():
    """Of two budgets the one that enforces refuses, whatever the other only writes down."""
    pod = Pod(budget("a", "Report"), budget("b"))
    verdict, _ = pod.until_refused()
    assert verdict.refusal.budget == "team/b"


class TestProbes:
    """After the cool-down: call by call."""

    @pytest.fixture
    def stopped(self):
        """A run that was refused as a loop of alike requests."""
        pod = Pod()
        pod.until_refused(asked)
        return pod

    def test_refused_until_the_cool_down_is_over(self, stopped):
        """Even a request that is new; the refusal says when one will be tried."""
        stopped.now += COOLDOWN - 3
        verdict = stopped.call()
        assert verdict.refusal is not None
        assert 0 < verdict.refusal.resets_at - stopped.now < 3

    def test_a_run_that_moves_on_is_let_go_on(self, stopped):
        """Three calls that are new close the breaker, which is told; the run then goes on to its end."""
        stopped.now += COOLDOWN
        assert [stopped.call().refusal for _ in range(3)] == [None, None, None]
        assert [s.reason for s in stopped.recovered] == [reasons.LOOP_RECOVERED]
        assert all(stopped.call().refusal is None for _ in range(30))

    def test_the_failed_step_may_be_repeated_once(self, stopped):
        """What broke may have been mended meanwhile: the same request goes through once, and new ones after it."""
        stopped.now += COOLDOWN
        assert stopped.call(asked()).refusal is None
        assert [stopped.call().refusal for _ in range(10)] == [None] * 10

    def test_a_loop_that_goes_on_spends_one_call_a_cool_down(self, stopped):
        """The second request of the old kind opens the breaker again, for twice as long each time."""
        spent, tries = stopped.guard.own, []
        for _ in range(5000):
            if stopped.call(asked()).refusal is None:
                tries.append(stopped.now)
        assert stopped.guard.own - spent == 10 * len(tries)
        gaps = [round(b - a) for a, b in itertools.pairwise(tries)]
        assert [gap >= COOLDOWN * 2 ** (n + 1) for n, gap in enumerate(gaps)] == [True] * len(gaps)
        assert len(tries) in (3, 4)

    def test_one_at_a_time(self, stopped):
        """While a call that tries is under way every other one is refused."""
        stopped.now += COOLDOWN
        request = asked(7000)
        seen = stopped.guard.enter(stopped.now, request, stopped.judge(request))
        assert stopped.call().refusal is not None
        stopped.guard.settle(seen, 10)
        assert stopped.call().refusal is None

    def test_a_call_that_was_not_made_shows_nothing(self, stopped):
        """No money for it, or its client left: the next one is let through in its place, and three are still needed."""
        stopped.now += COOLDOWN
        for n in range(5):
            request = asked(7000 + n)
            seen = stopped.guard.enter(stopped.now, request, stopped.judge(request))
            assert seen.probes == ("team/b",)
            assert stopped.guard.settle(seen, 0, made=False) == ()
        assert [stopped.call().refusal for _ in range(2)] == [None, None]
        assert stopped.recovered == ()

    def test_an_attempt_that_fails_at_the_provider_is_no_recovery(self, stopped):
        """The provider is down when it is tried: another is let through, and a second failure opens it again."""
        stopped.now += COOLDOWN
        assert stopped.call(fails=True).refusal is None
        assert stopped.call(fails=True).refusal is None
        assert stopped.recovered == ()

    def test_a_run_stopped_for_its_cost_alone_gets_one_more_usual_run(self):
        """It went on with new requests each time: so it may be long and not a loop, and is let on in steps."""
        pod = Pod()
        pod.until_refused()
        pod.now += COOLDOWN
        spent = pod.guard.own
        for _ in range(200):
            if pod.call().refusal:
                break
        assert 100 <= pod.guard.own - spent <= 150


def test_an_hour_that_ends_does_not_close_a_breaker():
    """A pod without a run is judged by the hour; a loop that was stopped stays so across it."""
    pod = Pod(unit="hour/1/p")
    pod.until_refused(asked)
    pod.guard.begin("hour/2/p")
    assert pod.guard.own == 0
    assert pod.call(asked()).refusal is not None


def test_a_pods_hour_is_only_flagged_for_its_cost():
    """A server's pod follows its callers' number: cost alone never slows it, whatever it comes to."""
    pod = Pod(unit="hour/1/p")
    verdicts = [pod.call() for _ in range(300)]
    assert {v.stage for v in verdicts} == {"None", "Flag"}


def test_a_settled_call_counts_once():
    """Settling twice changes nothing; one of the hour before counts for that hour."""
    pod = Pod(unit="hour/1/p")
    seen = pod.guard.enter(pod.now, asked(), pod.judge(asked()))
    pod.guard.begin("hour/2/p")
    pod.guard.settle(seen, 10)
    pod.guard.settle(seen, 10)
    assert (pod.guard.own, pod.guard.total) == (0, 0)
