"""Metrics of the injector: what became of pods, what their owners were told, how long the API server waited."""

import importlib.metadata

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from wfb_operator.injector.reasons import Report

FAILED = "failed"
"""The outcome of a review that had no report."""

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """Counters in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reviews = Counter(
            "wfb_injector_reviews", "Pods by what became of them.", ["outcome", "reason"], registry=self.registry
        )
        self._warnings = Counter(
            "wfb_injector_warnings", "Warnings that owners were given.", ["name"], registry=self.registry
        )
        self.seconds = Histogram(
            "wfb_injector_review_seconds", "From a review to its answer.", buckets=SECONDS, registry=self.registry
        )
        build = Gauge(
            "wfb_build_info", "The version of a part; always 1.", ["component", "version"], registry=self.registry
        )
        build.labels("injector", importlib.metadata.version("workflow-budget-operator")).set(1)

    def reviewed(self, report: Report) -> None:
        """A pod was judged."""
        self._reviews.labels(report.outcome, report.reason).inc()
        for warned in report.warnings:
            self._warnings.labels(warned.name).inc()

    def failed(self, reason: str) -> None:
        """A pod could not be judged, and was refused."""
        self._reviews.labels(FAILED, reason).inc()

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
