"""Runs of the last day: how many of each workflow and what they cost, and the dearest by name."""

from collections.abc import Iterable, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric

from wfb_core.label_values import Bounds, plain
from wfb_core.money import NANOS_PER_USD

BACK_SECONDS = 86_400.0
LOOK_SECONDS = 60.0
"""Between two looks at the store: a day may have many runs."""

TOP = 10
"""Runs that have a series with their name; which ones these are moves with the spend."""

Run = tuple[str, str, str, int]
"""(namespace, workflow, run, nano-USD)."""


def families(runs: Sequence[Run], bounds: Bounds) -> Iterable[Metric]:
    """The gauges of some runs, the dearest first."""
    sums: dict[tuple[str, str], list[int]] = {}
    for namespace, workflow, _, nanos in runs:
        total = sums.setdefault((bounds.value("namespace", namespace), bounds.value("workflow", workflow)), [0, 0])
        total[0] += 1
        total[1] += nanos
    labels = ("namespace", "workflow")
    count = GaugeMetricFamily("wfb_runs_last_day", "Runs that called within the last 24 hours.", labels=labels)
    spent = GaugeMetricFamily("wfb_runs_last_day_spent_usd", "What those runs cost in all.", labels=labels)
    for series, (number, nanos) in sums.items():
        count.add_metric(series, number)
        spent.add_metric(series, nanos / NANOS_PER_USD)
    top = GaugeMetricFamily(
        "wfb_top_run_spent_usd", f"The {TOP} dearest runs of the last 24 hours.", labels=(*labels, "run")
    )
    for namespace, workflow, run, nanos in runs[:TOP]:
        series3 = (bounds.value("namespace", namespace), bounds.value("workflow", workflow), plain(run))
        top.add_metric(series3, nanos / NANOS_PER_USD)
    yield count
    yield spent
    yield top
