"""The life of a call in the pod: read, decided, held (admission), forwarded, settled (settling). Each settles exactly once."""

from wfb_core.expectation import Expectations
from wfb_sidecar.admission import Admission
from wfb_sidecar.books import Books
from wfb_sidecar.clock import LedgerClock
from wfb_sidecar.downgrading import Downgrading
from wfb_sidecar.holding import Holding
from wfb_sidecar.loop_watch import LoopWatch
from wfb_sidecar.marks import Marks
from wfb_sidecar.metrics import Metrics
from wfb_sidecar.named_runs import NamedRuns
from wfb_sidecar.settling import Settling
from wfb_sidecar.terms import Terms
from wfb_sidecar.till import Till


class Calls:
    """All calls of this sidecar: what is known to decide them by, who decides, and who settles."""

    def __init__(self, clock: LedgerClock, till: Till, metrics: Metrics, pod: str = "") -> None:
        """``pod`` is what the holder's name begins with."""
        expectations = Expectations()
        books = Books(clock, till, metrics)
        self.terms = Terms(clock)
        self.loops = LoopWatch(clock, books, expectations, metrics, pod)
        self.settling = Settling(clock, self.terms, till, books, expectations, self.loops, metrics)
        downgrading = Downgrading(clock, self.terms, books, expectations)
        runs = NamedRuns(clock, self.terms, till, books, expectations, metrics)
        self.holding = holding = Holding(clock, till, books, expectations, self.terms, runs)
        self.admission = Admission(
            clock, self.terms, till, books, downgrading, holding, runs, self.settling, self.loops, metrics
        )
        self.marks = Marks(clock, self.terms, till, downgrading, runs)
