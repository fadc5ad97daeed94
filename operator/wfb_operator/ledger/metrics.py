"""Metrics for Prometheus; amounts become floats only here."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wfb_core.budget import RUN
from wfb_core.money import NANOS_PER_USD
from wfb_core.windows import window_at
from wfb_operator.ledger.summary import pacing

if TYPE_CHECKING:  # the service makes its metrics, and the gauges look at the service
    from wfb_operator.ledger.reports import Taken
    from wfb_operator.ledger.service import LedgerService

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counters and histograms of one ledger, in a registry of their own."""

    def __init__(self, service: "LedgerService") -> None:
        self.registry = CollectorRegistry()
        self.reports = Counter(
            "wfb_ledger_reports", "Reports by what became of them.", ["result"], registry=self.registry
        )
        self.flagged = Counter("wfb_ledger_flagged", "Reports refused as implausible.", registry=self.registry)
        self.refused_windows = Counter(
            "wfb_ledger_windows_refused", "Windows that a report named and may not.", ["reason"], registry=self.registry
        )
        self.report_seconds = Histogram(
            "wfb_ledger_report_seconds",
            "From a report's arrival to its answer.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.commit_seconds = Histogram(
            "wfb_ledger_commit_seconds", "Writing one transaction to disk.", buckets=SECONDS, registry=self.registry
        )
        self.group_size = Histogram(
            "wfb_ledger_group_size",
            "Changes written in one transaction.",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
            registry=self.registry,
        )
        self.store_failures = Counter(
            "wfb_ledger_store_failures",
            "Transactions that failed; nobody in them was answered.",
            registry=self.registry,
        )
        self.denied = Counter(
            "wfb_ledger_denied", "Requests without the right to them.", ["status"], registry=self.registry
        )
        self.loops = Counter(
            "wfb_loops_sightings",
            "Runs that a guard against loops flagged, slowed down, refused or let go on; once per run and stage.",
            ["budget", "stage"],
            registry=self.registry,
        )
        self.registry.register(_Gauges(service))
        self._by_result = {name: self.reports.labels(name) for name in ("taken", "repeated", "flagged")}

    def taken(self, taken: "Taken") -> None:
        """Count one report."""
        result = "flagged" if taken.flagged else "repeated" if taken.reply is None else "taken"
        self._by_result[result].inc()
        if taken.flagged:
            self.flagged.inc()
        for budget, stage in taken.sightings:
            self.loops.labels(budget, stage).inc()
        for reason in taken.refused:
            self.refused_windows.labels(reason).inc()

    def text(self) -> bytes:
        """What Prometheus reads."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    """What is so now, looked up when it is asked for."""

    def __init__(self, service: "LedgerService") -> None:
        self._service = service

    def collect(self) -> Iterable[Metric]:
        service, memory = self._service, self._service.memory
        yield CounterMetricFamily(
            "wfb_ledger_clock_steps_back", "Backward steps of the wall clock, ignored.", service.clock.steps_back
        )
        if memory is None:
            return
        grants = memory.grants
        yield GaugeMetricFamily("wfb_ledger_holders", "Holders in memory.", len(grants.holders))
        yield GaugeMetricFamily("wfb_ledger_windows", "Windows in memory.", len(grants.windows))
        yield GaugeMetricFamily("wfb_ledger_epoch", "Rises with every restore from a backup.", grants.epoch)
        names = ("limit", "spent", "reserved", "lost", "overdraft", "agreed")
        gauges = {
            name: GaugeMetricFamily(f"wfb_budget_{name}_usd", f"{name} now, in dollars.", labels=["budget", "window"])
            for name in names
        }
        queued = GaugeMetricFamily("wfb_budget_queued_calls", "Calls that wait now.", labels=["budget", "window"])
        paced = GaugeMetricFamily(
            "wfb_budget_paced_usd_per_hour",
            "To what Slow or Throttle holds calls now; not there where nothing does.",
            labels=["budget", "window", "action"],
        )
        now = service.clock.now()
        for entry in memory.budgets.entries.values():
            budget = entry.budget
            for limit in budget.limits:
                if limit.window == RUN:
                    continue  # a series for every run would never end
                window = grants.windows.get(window_at(budget.key, limit.window, budget.time_zone, now).id)
                amounts = (0, 0, 0, 0, 0)
                if window is not None:
                    window.advance(now)
                    amounts = (window.used, window.held, window.lost, window.overdraft, window.agreed())
                    queued.add_metric([budget.key, limit.window], window.queued(now))
                    action, rate = pacing(window, now)
                    if action:
                        paced.add_metric([budget.key, limit.window, action], rate / NANOS_PER_USD)
                for name, nanos in zip(names, (limit.nanos, *amounts), strict=True):
                    gauges[name].add_metric([budget.key, limit.window], nanos / NANOS_PER_USD)
        yield from (*gauges.values(), queued, paced)
