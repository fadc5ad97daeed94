"""The sidecar's clock follows the ledger and nothing else."""

from hypothesis import given
from hypothesis import strategies as st

from wfb_sidecar.clock import LedgerClock


class Pod:
    """The clocks of a pod."""

    def __init__(self, wall=1000.0):
        self.wall = wall
        self.monotonic = 50.0

    def forward(self, seconds):
        """Time passes."""
        self.wall += seconds
        self.monotonic += seconds

    def clock(self):
        """The sidecar's clock on them."""
        return LedgerClock(lambda: self.wall, lambda: self.monotonic)


def test_a_wall_clock_set_back_or_forward_changes_nothing():
    """Between two answers only the monotonic clock counts."""
    pod = Pod()
    clock = pod.clock()
    for jump in (-86_400, 7 * 86_400, -1e9):
        pod.wall += jump
        before = clock.now()
        pod.forward(3)
        assert clock.now() == before + 3


def test_the_ledgers_time_replaces_the_pods():
    """A pod an hour behind is corrected by one answer, within half its round trip."""
    pod = Pod()
    clock = pod.clock()
    assert not clock.heard
    sent = clock.now()
    pod.forward(0.2)
    clock.hear(4600.1, sent, clock.now())
    assert clock.heard
    assert abs(clock.now() - 4600.2) < 0.101


@given(st.floats(0, 5), st.floats(0, 1))
def test_an_agreeing_ledger_moves_nothing(length, when):
    """Time does not jitter with the network: what an answer's length explains is left alone."""
    pod = Pod()
    clock = pod.clock()
    sent = clock.now()
    pod.forward(length)
    before = clock.now()
    clock.hear(sent + when * (before - sent), sent, before)
    assert clock.now() == before


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1)), min_size=1, max_size=30), st.floats(-1e6, 1e6))
def test_answers_bring_the_clock_to_the_ledgers_time(exchanges, ahead):
    """Whatever the round trips were, the clock is never further off than the length of the shortest one so far."""
    pod = Pod()
    clock = pod.clock()
    ledger = lambda: pod.monotonic + ahead  # noqa: E731
    shortest = float("inf")
    for length, when in exchanges:
        sent = clock.now()
        pod.forward(length * when)
        heard = ledger()
        pod.forward(length * (1 - when))
        clock.hear(heard, sent, clock.now())
        shortest = min(shortest, length)
        assert abs(clock.now() - ledger()) <= max(shortest, length) + 1e-6
