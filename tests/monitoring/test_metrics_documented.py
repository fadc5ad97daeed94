"""docs/metrics.md is what the parts really export: every metric with its type, its labels and its part."""

import re
from pathlib import Path

import pytest

from wfb_operator.controller import metrics as controller
from wfb_operator.ledger.metrics import MOST

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
PARTS = ("ledger", "sidecar", "controller", "injector")
SILENT = {"wfb_spend_anomaly_ratio"}
"""Metrics that have no sample in so small an installation; their labels are compared elsewhere."""


def documented():
    """{(part, metric): (type, labels)} of the table."""
    found = {}
    for name, kind, labels, part in re.findall(
        r"^\| `(wfb_\w+)` \| (\w+)[^|]*\|([^|]*)\| (\w+) \|", PAGE, re.MULTILINE
    ):
        names = frozenset(label.strip() for label in labels.split(",") if label.strip())
        for one in PARTS if part == "all" else [part]:
            assert (one, name) not in found, name
            found[one, name] = kind, names
    return found


def exported(parts):
    """The same of what the parts answer; a histogram's ``le`` is no label of ours."""
    found = {}
    for part in PARTS:
        for family in parts.families(part).values():
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = frozenset(
                label
                for s in family.samples
                for label in s.labels
                if not (label == "le" and family.type == "histogram")
            )
            if family.name.endswith("_created"):
                continue
            found[part, name] = family.type, labels
    return found


def test_the_table_is_what_the_parts_export(parts):
    """None is missing on either side, and types are the same."""
    table, real = documented(), exported(parts)
    assert {key: kind for key, (kind, _) in table.items()} == {key: kind for key, (kind, _) in real.items()}


def test_the_labels_are_those_of_the_table(parts):
    """Where a metric has samples they bear the labels that the table names; empty ones are no labels."""
    table, real = documented(), exported(parts)
    without = {key for key, (_, labels) in real.items() if not labels and table[key][1]}
    events = {name for _, name in without}
    # What has not happened in this installation has no series: nobody failed, nobody was silent.
    assert events <= SILENT | {
        "wfb_budget_paced_usd_per_hour",
        "wfb_top_run_spent_usd",
        "wfb_runs_last_day",
        "wfb_runs_last_day_spent_usd",
        "wfb_ledger_windows_refused_total",
        "wfb_ledger_denied_total",
        "wfb_ledger_otlp_total",
        "wfb_controller_notices_total",
        "wfb_loops_sightings_total",
        "wfb_loops_calls_total",
        "wfb_sidecar_calls_would_refuse_total",
        "wfb_sidecar_answers_cut_at_cap_total",
        "wfb_sidecar_client_tls_failed_total",
        "wfb_sidecar_calls_estimated_total",
        "wfb_sidecar_connections_passed_total",
        "wfb_spend_estimated_usd_total",
        "wfb_cache_saved_usd_total",
        "wfb_cache_extra_usd_total",
    }
    for key, (_, labels) in real.items():
        if key not in without:
            assert labels <= table[key][1], key
            assert table[key][1] - labels <= {"feature", "team"}, key


@pytest.mark.parametrize("part", PARTS)
def test_every_metric_says_what_it_is(parts, part):
    """Each has a sentence of help, and our prefix."""
    for name, family in parts.families(part).items():
        assert name.startswith("wfb_"), name
        assert re.fullmatch(r"[A-Z1].{8,}\.", family.documentation), (name, family.documentation)


def test_the_bounds_are_those_of_the_table():
    """The number of values that each label may have."""
    table = dict(re.findall(r"^\| (\w+) \| (\d+) \|", PAGE, re.MULTILINE))
    assert {label: int(number) for label, number in table.items()} == MOST
    assert (MOST["budget"], MOST["namespace"]) == (controller.BUDGETS_MOST, controller.NAMESPACES_MOST)
