"""Metrics of the controller, and whether it still does its work."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

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
        self.api_failures = Counter(
            "wfb_controller_api_failures",
            "Requests that the API server did not grant.",
            ["what"],
            registry=self.registry,
        )

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
