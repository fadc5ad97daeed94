"""Metrics of the controller, and whether it still does its work."""

import importlib.metadata
from collections import Counter as Tally
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wfb_core.label_values import Bounds
from wfb_operator.controller.coverage import Coverage

BUDGETS_MOST, NAMESPACES_MOST = 2000, 500
"""Values of the labels budget and namespace; the rest count as ``other``."""

STALE_SECONDS = 60.0
"""Without a finished round for so long the controller is to be started anew."""


class Metrics:
    """Counters in a registry of their own."""

    def __init__(self, started: float) -> None:
        """``started`` in Unix seconds."""
        self.registry = CollectorRegistry()
        self._last = started
        self.rounds = Counter("wfb_controller_rounds", "Rounds that were finished.", registry=self.registry)
        self.rounds_failed = Counter("wfb_controller_rounds_failed", "Rounds that failed.", registry=self.registry)
        self.last_round = Gauge(
            "wfb_controller_last_round_timestamp_seconds", "When a round was finished last.", registry=self.registry
        )
        self.status_writes = Counter("wfb_controller_status_writes", "Statuses written.", registry=self.registry)
        self.pushes = Counter(
            "wfb_controller_budget_pushes", "Sets of budgets sent to the ledger.", registry=self.registry
        )
        self.ledger_failures = Counter(
            "wfb_controller_ledger_failures", "Questions that the ledger did not answer.", registry=self.registry
        )
        self.notices = Counter(
            "wfb_controller_notices",
            "Attempts to tell of a rung, by what came of them.",
            ["outcome"],
            registry=self.registry,
        )
        self.ledger_up = Gauge(
            "wfb_controller_ledger_up", "1 while the ledger answers the controller.", registry=self.registry
        )
        self.mistaken = Gauge(
            "wfb_controller_budgets_mistaken", "Budgets that are not in force as they stand.", registry=self.registry
        )
        build = Gauge(
            "wfb_build_info", "The version of a part; always 1.", ["component", "version"], registry=self.registry
        )
        build.labels("controller", importlib.metadata.version("workflow-budget-operator")).set(1)
        self._pods = _Pods()
        self.registry.register(self._pods)
        self.api_server_answers = Gauge(
            "wfb_controller_api_server_answers",
            "1 where the API server answered the last request, 0 where it did not.",
            registry=self.registry,
        )
        self.api_server_answers.set(1)
        self.api_failures = Counter(
            "wfb_controller_api_failures",
            "Requests that the API server did not grant.",
            ["what"],
            registry=self.registry,
        )

    def ledger_answered(self, *, answered: bool) -> None:
        """Whether the ledger answered just now."""
        self.ledger_up.set(answered)
        if not answered:
            self.ledger_failures.inc()

    def surveyed(self, coverage: Mapping[str, Coverage], bare: Iterable[str]) -> None:
        """Pods by budget, and the namespaces of those that ask for the sidecar and have none, one a pod."""
        self._pods.coverage, self._pods.bare = dict(coverage), Tally(bare)

    def round_done(self, wall: float) -> None:
        """A round is finished."""
        self._last = wall
        self.rounds.inc()
        self.last_round.set(wall)

    def stale(self, wall: float) -> str:
        """Why the controller is not healthy; empty where it is."""
        age = wall - self._last
        return f"no round was finished for {age:.0f} s" if age > STALE_SECONDS else ""

    def text(self) -> bytes:
        """As Prometheus reads it."""
        return generate_latest(self.registry)


class _Pods(Collector):
    """What the last survey of the pods found."""

    def __init__(self) -> None:
        self.coverage: Mapping[str, Coverage] = {}
        self.bare: Mapping[str, int] = {}
        self._bounds = Bounds({"budget": BUDGETS_MOST, "namespace": NAMESPACES_MOST})

    def collect(self) -> Iterable[Metric]:
        pods: Tally[tuple[str, str]] = Tally()
        for key, found in self.coverage.items():
            budget, figures = self._bounds.value("budget", key), found.figures()
            for state, number in (*figures.items(), ("uncovered", len(found.uncovered))):
                pods[budget, state] += number
        by_budget = GaugeMetricFamily(
            "wfb_budget_pods", "Pods of a budget: matched, covered, uncovered, outdated.", labels=("budget", "state")
        )
        for labels, number in pods.items():
            by_budget.add_metric(labels, number)
        bare: Tally[str] = Tally()
        for namespace, number in self.bare.items():
            bare[self._bounds.value("namespace", namespace)] += number
        without = GaugeMetricFamily(
            "wfb_pods_without_sidecar", "Pods that ask for the sidecar and have none.", labels=("namespace",)
        )
        for namespace, number in bare.items():
            without.add_metric((namespace,), number)
        yield by_budget
        yield without
