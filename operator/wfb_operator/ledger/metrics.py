"""Metrics for Prometheus; amounts become floats only here.

What is so now is copied between two reports and written out by another thread, so that a scrape holds no report up.
"""

import asyncio
import importlib.metadata
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wfb_core.grants import ANSWERS
from wfb_core.label_values import Bounds
from wfb_core.price import PriceBook
from wfb_operator.ledger import metrics_budgets, metrics_runs, metrics_totals
from wfb_operator.ledger.forecast import Forecast
from wfb_operator.ledger.store.port import Store

if TYPE_CHECKING:  # the service makes its metrics, and the gauges look at the service
    from wfb_operator.ledger.reports import Taken
    from wfb_operator.ledger.service import LedgerService

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

MOST = {
    "budget": 2000,
    "namespace": 500,
    "team": 500,
    "feature": 1000,
    "workflow": 2000,
    "provider": 50,
    "model": 200,
    "unpriced_model": 50,
}
"""Values that a label may have before the rest count as ``other``; unpriced_model is the label model of
wfb_unpriced_calls_total, because names that cost nothing must not crowd out those that do."""


class Metrics:
    """Counters, histograms and gauges of one ledger."""

    def __init__(self, service: "LedgerService", store: Store, most: Mapping[str, int] | None = None) -> None:
        """``most`` replaces some of MOST."""
        self._service, self._store = service, store
        self.bounds = Bounds({**MOST, **(most or {})})
        self.totals = metrics_totals.Totals(self.bounds)
        self.forecast = Forecast()
        self.prices: PriceBook | None = None
        self.anomalies: Mapping[tuple[str, str], float] = {}
        """What workflows spend as a multiple of the usual, by (namespace, workflow)."""
        self._prices_at: tuple[str, float] = ("", 0.0)
        self._runs: tuple[float, list[metrics_runs.Run]] = (float("-inf"), [])
        self._process()

    def _process(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.reports = Counter("wfb_ledger_reports", "Reports by what became of them.", ["result"], registry=registry)
        self.flagged = Counter("wfb_ledger_flagged", "Reports refused as implausible.", registry=registry)
        self.refused_windows = Counter(
            "wfb_ledger_windows_refused", "Windows that a report named and may not.", ["reason"], registry=registry
        )
        self.dropped_decisions = Counter(
            "wfb_ledger_decisions_dropped",
            "Records of decisions that could not be read; the rest of their reports was taken.",
            registry=registry,
        )
        self.holds = Counter(
            "wfb_holds_answered", "Answers to calls that asked for money, by answer.", ["answer"], registry=registry
        )
        self.report_seconds = Histogram(
            "wfb_ledger_report_seconds", "From a report's arrival to its answer.", buckets=SECONDS, registry=registry
        )
        self.commit_seconds = Histogram(
            "wfb_ledger_commit_seconds", "Writing one transaction to disk.", buckets=SECONDS, registry=registry
        )
        self.group_size = Histogram(
            "wfb_ledger_group_size",
            "Changes written in one transaction.",
            buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
            registry=registry,
        )
        self.store_failures = Counter(
            "wfb_ledger_store_failures", "Transactions that failed; nobody in them was answered.", registry=registry
        )
        self.loops = Counter(
            "wfb_loops_sightings",
            "Runs that a guard against loops flagged, slowed down, refused or let go on; once per run and stage.",
            ["budget", "stage"],
            registry=registry,
        )
        self.run_stages_untold = Counter(
            "wfb_ledger_run_stages_untold",
            "Steps that runs named by callers reached, and that were too many in a minute for an Event or a notice.",
            registry=registry,
        )
        self.denied = Counter("wfb_ledger_denied", "Requests without the right to them.", ["status"], registry=registry)
        self.otlp = Counter(
            "wfb_ledger_otlp", "Exports to an OpenTelemetry collector, by result.", ["result"], registry=registry
        )
        self._by_result = {name: self.reports.labels(name) for name in ("taken", "repeated", "flagged")}
        self._by_answer = {name: self.holds.labels(name) for name in ANSWERS}

    # -- what happens
    def taken(self, taken: "Taken") -> None:
        """Count one report."""
        result = "flagged" if taken.flagged else "repeated" if taken.reply is None else "taken"
        self._by_result[result].inc()
        if taken.flagged:
            self.flagged.inc()
        for budget, stage in taken.sightings:
            self.loops.labels(budget, stage).inc()
        self.dropped_decisions.inc(len(taken.dropped))
        self.run_stages_untold.inc(taken.untold)
        for reason in taken.refused:
            self.refused_windows.labels(reason).inc()
        if taken.reply is not None:
            for answer in taken.reply.answers.values():
                self._by_answer[answer].inc()

    async def restore(self) -> None:
        """Begin where the store is: what only rises goes on from there. Raises StoreError."""
        self.totals.restore(await self._store.totals())
        await self.read_prices()

    async def read_prices(self) -> None:
        """Read the price snapshot that is in force now; raises StoreError."""
        memory = self._service.memory
        sha256 = memory.prices if memory else ""
        if self._prices_at[0] == sha256:
            return
        body = await self._store.snapshot(sha256)
        self.prices = _price_book(body)
        self._prices_at = sha256, await self._store.snapshot_at(sha256)

    def look(self) -> list[metrics_budgets.BudgetLine]:
        """Every limit now; looked at now and then also between scrapes, so that the forecasts follow the spend."""
        memory = self._service.memory
        return [] if memory is None else metrics_budgets.lines(memory, self.forecast, self._service.clock.now())

    # -- what is read
    async def text(self) -> bytes:
        """What Prometheus reads; raises StoreError."""
        found = await self.families()
        return await asyncio.to_thread(lambda: generate_latest(self.registry) + generate_latest(_Found(found())))

    async def families(self) -> Callable[[], Iterable[Metric]]:
        """A copy of everything beside the process's own counters, to be written out by any thread. Raises StoreError."""
        lines, totals, now = self.look(), self.totals.copy(), self._service.clock.now()
        here = [*self._now()]
        anomalies = dict(self.anomalies)
        estimates = await self._store.estimates([line.window for line in lines])
        runs = await self._recent_runs(now)

        def written() -> Iterable[Metric]:
            """The families, made when they are asked for."""
            yield from here
            yield from metrics_budgets.families(lines, estimates, self.bounds)
            yield from metrics_totals.families(totals)
            yield from metrics_runs.families(runs, self.bounds)
            yield self._anomalies(anomalies)

        return written

    async def _recent_runs(self, now: float) -> list[metrics_runs.Run]:
        at, runs = self._runs
        if time.monotonic() - at >= metrics_runs.LOOK_SECONDS:
            runs = await self._store.runs_since(now - metrics_runs.BACK_SECONDS)
            self._runs = time.monotonic(), runs
        return runs

    def _anomalies(self, found: Mapping[tuple[str, str], float]) -> Metric:
        gauge = GaugeMetricFamily(
            "wfb_spend_anomaly_ratio",
            "What a workflow spends as a multiple of its usual.",
            labels=("namespace", "workflow"),
        )
        for (namespace, workflow), ratio in found.items():
            labels = (self.bounds.value("namespace", namespace), self.bounds.value("workflow", workflow))
            gauge.add_metric(labels, ratio)
        return gauge

    def _now(self) -> Iterable[Metric]:
        """The ledger's own state, as gauges."""
        service, memory = self._service, self._service.memory
        build = GaugeMetricFamily("wfb_build_info", "The version of a part; always 1.", labels=("component", "version"))
        build.add_metric(("ledger", importlib.metadata.version("workflow-budget-operator")), 1)
        yield build
        yield CounterMetricFamily(
            "wfb_ledger_clock_steps_back", "Backward steps of the wall clock, ignored.", service.clock.steps_back
        )
        yield GaugeMetricFamily("wfb_ledger_healthy", "1 while the ledger can answer.", not service.unhealthy())
        if memory is None:
            return
        grants = memory.grants
        lost = {holder for (holder, _), row in grants.rows.items() if row.lost}
        waiting = {call for window in grants.windows.values() for call in window.queue}
        yield GaugeMetricFamily("wfb_ledger_holders", "Sidecars in memory.", len(grants.holders))
        yield GaugeMetricFamily("wfb_ledger_holders_lost", "Sidecars that fell silent with money.", len(lost))
        yield GaugeMetricFamily("wfb_holds_waiting", "Calls that wait for money in the ledger.", len(waiting))
        yield GaugeMetricFamily("wfb_ledger_windows", "Windows in memory.", len(grants.windows))
        yield GaugeMetricFamily("wfb_ledger_epoch", "Rises with every restore from a backup.", grants.epoch)
        if self._prices_at[1]:
            yield GaugeMetricFamily(
                "wfb_prices_snapshot_timestamp_seconds",
                "When the prices in force came to this ledger first.",
                self._prices_at[1],
            )


class _Found(Collector):
    """Families that are there already, as a registry's only collector."""

    def __init__(self, found: Iterable[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def _price_book(body: bytes | None) -> PriceBook | None:
    """What a snapshot says; None where this version cannot read it, which its sidecars say louder."""
    if body is None:
        return None
    try:
        return PriceBook.from_snapshot(body)
    except ValueError:
        return None
