"""What the API server did not do, told once in a sentence, and told again when it is over."""

import logging

from wfb_operator.controller.cluster import ClusterError
from wfb_operator.controller.metrics import Metrics

log = logging.getLogger(__name__)

AWAY = (
    "the API server does not answer: calls are held to the budgets as before, and statuses, Events and changes of budgets"
    " wait until it does"
)
BACK = "the API server answers again"
RIGHTS = "the chart's ClusterRole wfb-controller grants it: bring it back with helm upgrade"


def sentence(error: ClusterError) -> str:
    """What a refused request means to whoever reads it, and the way out."""
    if error.status == 403:
        return f"the controller lacks a right: {error.said}; {RIGHTS}"
    return str(error)


class ApiServer:
    """Failures and their ends, by what was asked: ``list``, ``status`` or ``event``."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told: dict[str, str] = {}
        self.away = False
        """Whether it did not answer the last question."""

    def failed(self, what: str, error: ClusterError) -> None:
        """Count a failure, and say it unless it was the last that was said of this."""
        self._metrics.api_failures.labels(what).inc()
        self._answers(not error.away)
        text = sentence(error)
        if not error.away and self._told.get(what) != text:
            self._told[what] = text
            log.warning("%s", text)

    def granted(self, what: str) -> None:
        """It did what it was asked."""
        self._answers(answers=True)
        if self._told.pop(what, ""):
            log.info("the API server grants it again: %s", what)

    def _answers(self, answers: bool) -> None:
        if self.away == answers:
            log.warning("%s", BACK if answers else AWAY)
        self.away = not answers
        self._metrics.api_server_answers.set(answers)
