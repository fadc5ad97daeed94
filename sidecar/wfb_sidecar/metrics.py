"""What the sidecar says of itself to Prometheus."""

import importlib.metadata

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from wfb_core.label_values import Bounds

HOSTS_MOST = 50
"""Hosts that have a series of their own: a wildcard of the table stands for any number of them."""

_HOP = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5)
_WAIT = (0.001, 0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0)
_RATIO = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.5, 3.0)


class Metrics:
    """One registry of its own: nothing of the process's default collectors."""

    def __init__(self) -> None:
        r = self.registry = CollectorRegistry()
        self.calls = Counter(
            "wfb_sidecar_calls", "Calls settled, by how they ended.", ["provider", "outcome"], registry=r
        )
        self.estimated = Counter("wfb_sidecar_calls_estimated", "Calls settled by estimate.", ["provider"], registry=r)
        self.refused = Counter(
            "wfb_sidecar_calls_refused", "Calls refused, by reason.", ["provider", "reason"], registry=r
        )
        self.would = Counter(
            "wfb_sidecar_calls_would_refuse",
            "Calls that budgets in Report would have refused or held back, by reason.",
            ["provider", "reason"],
            registry=r,
        )
        self.unmetered = Counter(
            "wfb_sidecar_calls_unmetered", "Calls let through without a meter.", ["provider", "reason"], registry=r
        )
        self.run_headers_ignored = Counter(
            "wfb_sidecar_run_headers_ignored",
            "Calls whose x-wfb-run names no run; each went on without one.",
            registry=r,
        )
        self.calls_in_other_run = Counter(
            "wfb_sidecar_calls_in_other_run", "Calls whose run shares one book, being one too many.", registry=r
        )
        self.internal_errors = Counter(
            "wfb_sidecar_internal_errors", "Failures of the sidecar's own code; each refused its call.", registry=r
        )
        self.passed = Counter(
            "wfb_sidecar_connections_passed", "Connections passed through untouched, by kind.", ["kind"], registry=r
        )
        self.passed_bytes = Counter("wfb_sidecar_passed_bytes", "Bytes passed through untouched.", registry=r)
        self.intercepted = Counter(
            "wfb_sidecar_connections_intercepted", "Connections to providers' hosts.", registry=r
        )
        self.client_tls_failed = Counter(
            "wfb_sidecar_client_tls_failed", "Clients that did not accept our certificate.", ["host"], registry=r
        )
        self.upstream_tls_failed = Counter(
            "wfb_sidecar_upstream_tls_failed", "Providers whose certificate could not be verified.", registry=r
        )
        self.connect_errors = Counter("wfb_sidecar_connect_errors", "Providers that could not be reached.", registry=r)
        self.cost_of_hold = Histogram(
            "wfb_sidecar_cost_to_hold_ratio", "What a call cost, as a part of its hold.", registry=r, buckets=_RATIO
        )
        self.actual_of_expected = Histogram(
            "wfb_sidecar_actual_to_expected_ratio",
            "Tokens that a call used, as a part of those expected of it.",
            ["tokens"],
            registry=r,
            buckets=_RATIO,
        )
        self.cut_at_cap = Counter(
            "wfb_sidecar_answers_cut_at_cap",
            "Answers that ended at a cap which the sidecar had lowered.",
            ["provider"],
            registry=r,
        )
        self.loop_calls = Counter(
            "wfb_loops_calls",
            "Calls that the guard against loops flagged, slowed down, refused, or let through to try.",
            ["what"],
            registry=r,
        )
        self.in_flight = Gauge("wfb_sidecar_calls_in_flight", "Calls that hold money now.", registry=r)
        self.waiting = Gauge("wfb_sidecar_calls_waiting", "Calls that wait for money.", registry=r)
        self.ledger_silent = Gauge("wfb_sidecar_ledger_silent", "1 while no ledger answers.", registry=r)
        self.reports = Counter("wfb_sidecar_reports", "Reports sent to the ledger.", registry=r)
        self.report_errors = Counter("wfb_sidecar_report_errors", "Reports without an answer.", registry=r)
        self.report_flagged = Counter(
            "wfb_sidecar_reports_flagged", "Reports that the ledger did not believe.", registry=r
        )
        self.decisions_dropped = Counter(
            "wfb_sidecar_decisions_dropped", "Decisions that were counted and, in a storm, not told.", registry=r
        )
        self.journal_errors = Counter("wfb_sidecar_journal_errors", "Lines that the journal did not take.", registry=r)
        self.admit_seconds = Histogram(
            "wfb_sidecar_admit_seconds",
            "From a request read whole to its leaving, without the wait for money.",
            registry=r,
            buckets=_HOP,
        )
        self.settle_seconds = Histogram(
            "wfb_sidecar_settle_seconds", "Settling a call and writing it down.", registry=r, buckets=_HOP
        )
        self.wait_seconds = Histogram(
            "wfb_sidecar_wait_seconds",
            "What calls waited for money, or for their turn in stage Slow.",
            registry=r,
            buckets=_WAIT,
        )
        build = Gauge("wfb_build_info", "The version of a part; always 1.", ["component", "version"], registry=r)
        build.labels("sidecar", importlib.metadata.version("workflow-budget-operator")).set(1)
        self._hosts = Bounds({}, HOSTS_MOST)

    def admitted(self, seconds: float, waited: float) -> None:
        """A request may leave after so long, the wait for money included."""
        self.wait_seconds.observe(waited)
        self.admit_seconds.observe(max(0.0, seconds - waited))

    def client_refused(self, host: str) -> None:
        """A client did not accept our certificate."""
        self.client_tls_failed.labels(self._hosts.value("host", host)).inc()

    def settled(self, provider: str, outcome: str, estimated: bool, hold: int, cost: int) -> None:
        """Counts one settled call."""
        self.calls.labels(provider, outcome).inc()
        if estimated:
            self.estimated.labels(provider).inc()
        if hold > 0:
            self.cost_of_hold.observe(cost / hold)

    def expected(self, input_ratio: float, output_ratio: float) -> None:
        """How far off the expectation of one call was."""
        self.actual_of_expected.labels("input").observe(input_ratio)
        self.actual_of_expected.labels("output").observe(output_ratio)
