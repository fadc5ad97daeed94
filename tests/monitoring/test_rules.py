"""The alerts as stories told to promtool: what fires, when, and what stays silent all day."""

import re
import subprocess
from pathlib import Path

import pytest

from harness.prometheus_rules import RULES, alerts, pieces, rules_text, told

DOCS = Path(__file__).resolve().parents[2] / "docs"
DAY, MINUTES = 86_400.0, 1440
BURNS = "WfbBudgetBurnsTooFast"


def budget(spent, limit, window="Day", length=DAY, name="ns/b"):
    """The series of one budget, a sample a minute; its window begins when the story does and every ``length`` after."""
    labels = f'{{budget="{name}",window="{window}",pod="wfb-ledger-0"}}'
    minutes = range(len(spent))
    starts = [n * 60 // length * length for n in minutes]
    stages = [4 if s >= limit else 1 if s >= 0.7 * limit else 0 for s in spent]
    return {
        f"wfb_budget_spent_usd{labels}": spent,
        f"wfb_budget_limit_usd{labels}": [limit] * len(spent),
        f"wfb_budget_window_start_timestamp_seconds{labels}": starts,
        f"wfb_budget_window_end_timestamp_seconds{labels}": [start + length for start in starts],
        f"wfb_budget_used_ratio{labels}": [s / limit for s in spent],
        f"wfb_budget_stage{labels}": stages,
    }


OF = {"budget": "ns/b", "window": "Day"}
HOURS = [f"{n}h" for n in range(1, 24)]

LOOP = pieces((0, 0.1, 600), (60, 6, 24))
"""Six dollars an hour until ten, then a loop that spends six a minute; of 200."""

PACE = {
    "a day of even spending, 95 % of the money": (pieces((0, 190 / MINUTES, MINUTES)), 200, [*HOURS, "1439m"], []),
    "a day of even spending, all of the money": (pieces((0, 200 / MINUTES, MINUTES)), 200, HOURS, []),
    "even spending over midnight": (
        pieces((0, 190 / MINUTES, MINUTES), (0, 190 / MINUTES, 600)),
        200,
        ["1440m", "1442m", "1446m", "25h", "33h"],
        [],
    ),
    "a day's work done from nine to five": (
        pieces((0, 0, 540), (0, 190 / 480, 480), (190, 0, 420)),
        200,
        [f"{n}m" for n in range(540, 1020, 15)],
        [],
    ),
    "a burst of ten minutes": (
        pieces((0, 0.05, 600), (30, 1.2, 10), (42, 0.05, 100)),
        200,
        ["10h", "605m", "610m", "615m", "11h"],
        [],
    ),
    "a loop at ten": (LOOP, 200, ["610m"], [OF]),
    "before it was a loop": (LOOP, 200, ["599m"], []),
    "once the money is gone": (pieces((0, 0.1, 600), (60, 6, 24), (204, 0, 30)), 200, ["640m"], []),
    "a spent budget without a limit of its own": (pieces((0, 1, 60)), 0.0001, ["50m"], []),
}


@pytest.mark.parametrize(("spent", "limit", "times", "firing"), PACE.values(), ids=PACE)
def test_the_pace_of_a_day(tmp_path, promtool, spent, limit, times, firing):
    """A day that lasts is silent at every hour; a runaway is told."""
    assert told(tmp_path, promtool, budget(spent, limit), [(at, BURNS, firing) for at in times]) == ""


def test_a_runaway_is_told_while_most_of_the_money_is_left(tmp_path, promtool):
    """Four minutes after the loop began the alert fires, and more than half of the day's money is still there."""
    expected = [("602m", BURNS, []), ("604m", BURNS, [OF])]
    used = ("604m", "max(wfb_budget_used_ratio) < bool 0.5", 1)
    assert told(tmp_path, promtool, budget(LOOP, 200), expected, [used]) == ""


WINDOWS = {
    "Hour": (3600.0, pieces((0, 0.01, 10), (0.1, 2, 10)), "16m"),
    "Week": (7 * DAY, pieces((0, 0.001, 1440), (1.4, 0.05, 240)), "1660m"),
    "Month": (30 * DAY, pieces((0, 0.0002, 2880), (0.6, 0.005, 1200)), "3900m"),
}


@pytest.mark.parametrize(("length", "spent", "at"), list(WINDOWS.values()), ids=WINDOWS)
def test_longer_and_shorter_windows_have_their_own_pace(tmp_path, promtool, length, spent, at):
    """An hour's runaway is told within minutes, a month's within hours."""
    window = next(name for name, row in WINDOWS.items() if row[0] == length)
    firing = [{"budget": "ns/b", "window": window}]
    assert told(tmp_path, promtool, budget(spent, 20, window, length), [(at, BURNS, firing)]) == ""


SERIES = {
    "a rung": (
        {'wfb_budget_stage{budget="b",window="Day"}': [0, 1, 2, 3, 4]},
        [
            ("0m", "WfbBudgetRungReached", []),
            ("1m", "WfbBudgetRungReached", [{"budget": "b", "window": "Day"}]),
            ("3m", "WfbBudgetRungReached", [{"budget": "b", "window": "Day"}]),
            ("4m", "WfbBudgetRungReached", []),
            ("3m", "WfbBudgetExhausted", []),
            ("4m", "WfbBudgetExhausted", [{"budget": "b", "window": "Day"}]),
        ],
    ),
    "an anomaly": (
        {'wfb_spend_anomaly_ratio{namespace="n",workflow="w"}': [1] * 5 + [4] * 20},
        [("4m", "WfbSpendAnomaly", []), ("20m", "WfbSpendAnomaly", [{"namespace": "n", "workflow": "w"}])],
    ),
    "a loop that was stopped, the first of its workflow": (
        {
            "wfb_ledger_healthy": [1] * 60,
            'wfb_loops_sightings_total{budget="b",stage="Slow"}': ["_"] * 30 + [3] * 30,
        },
        [
            ("29m", "WfbLoopStopped", []),
            ("31m", "WfbLoopStopped", [{"budget": "b", "stage": "Slow"}]),
            ("45m", "WfbLoopStopped", []),
        ],
    ),
    "a model without a price": (
        {
            "wfb_ledger_healthy": [1] * 60,
            'wfb_unpriced_calls_total{namespace="n",workflow="w",model="m"}': [5] * 30 + [6] * 30,
        },
        [
            ("29m", "WfbUnpricedTraffic", []),
            ("31m", "WfbUnpricedTraffic", [{"namespace": "n", "workflow": "w", "model": "m"}]),
            ("45m", "WfbUnpricedTraffic", []),
        ],
    ),
    "an old model without a price, after an outage of Prometheus": (
        {
            "wfb_ledger_healthy": ["_"] * 30 + [1] * 30,
            'wfb_unpriced_calls_total{namespace="n",workflow="w",model="m"}': ["_"] * 30 + [5] * 30,
        },
        [("32m", "WfbUnpricedTraffic", []), ("50m", "WfbUnpricedTraffic", [])],
    ),
    "calls that nobody reads": (
        {
            "wfb_ledger_healthy": [1] * 60,
            'wfb_unmetered_calls_total{namespace="n",workflow="w",provider="p"}': ["_"] * 30 + [1] * 30,
        },
        [
            ("29m", "WfbUnmeteredTraffic", []),
            ("31m", "WfbUnmeteredTraffic", [{"namespace": "n", "workflow": "w", "provider": "p"}]),
        ],
    ),
    "pods without a sidecar": (
        {
            'wfb_budget_pods{budget="b",state="uncovered"}': [0] * 5 + [2] * 30,
            'wfb_budget_pods{budget="b",state="covered"}': [3] * 35,
            'wfb_pods_without_sidecar{namespace="n"}': [0] * 5 + [1] * 30,
        },
        [
            ("8m", "WfbPodsUncovered", []),
            ("20m", "WfbPodsUncovered", [{"budget": "b"}]),
            ("8m", "WfbPodsWithoutSidecar", []),
            ("20m", "WfbPodsWithoutSidecar", [{"namespace": "n"}]),
        ],
    ),
    "old sidecars": (
        {'wfb_budget_pods{budget="b",state="outdated"}': [1] * 1600},
        [("10h", "WfbSidecarsOutdated", []), ("25h", "WfbSidecarsOutdated", [{"budget": "b"}])],
    ),
    "sidecars that fell silent": (
        {"wfb_ledger_holders_lost": [0, 1, 1, 0] + [1] * 40},
        [("3m", "WfbSidecarsStale", []), ("10m", "WfbSidecarsStale", []), ("30m", "WfbSidecarsStale", [{}])],
    ),
    "the ledger away for the controller": (
        {
            "wfb_controller_ledger_up": [1] * 5 + [0] * 10,
            "wfb_ledger_healthy": [1] * 15,
            'wfb_sidecar_ledger_silent{namespace="n"}': [0] * 5 + [1] * 10,
        },
        [
            ("5m", "WfbLedgerUnreachable", []),
            ("9m", "WfbLedgerUnreachable", [{}]),
            ("9m", "WfbSidecarsSilent", [{"namespace": "n"}]),
        ],
    ),
    "the ledger not scraped": (
        {"wfb_controller_ledger_up": [1] * 30, "wfb_ledger_healthy": [1] * 5 + ["stale"] + ["_"] * 24},
        [("4m", "WfbLedgerUnreachable", []), ("9m", "WfbLedgerUnreachable", [{}])],
    ),
    "a disk that is full": (
        {"wfb_ledger_store_failures_total": [0] * 10 + list(range(20))},
        [("9m", "WfbStoreFailing", []), ("20m", "WfbStoreFailing", [{}])],
    ),
    "a sidecar's own failure": (
        {'wfb_sidecar_internal_errors_total{namespace="n"}': [0] * 10 + [1] * 20},
        [
            ("9m", "WfbSidecarErrors", []),
            ("12m", "WfbSidecarErrors", [{"namespace": "n"}]),
            ("25m", "WfbSidecarErrors", []),
        ],
    ),
    "a controller that stands still": (
        {"wfb_controller_last_round_timestamp_seconds": [60 * min(n, 5) for n in range(20)]},
        [("6m", "WfbControllerStuck", []), ("12m", "WfbControllerStuck", [{}])],
    ),
    "prices of the day they came, and of three months ago": (
        {"wfb_prices_snapshot_timestamp_seconds": [0] * (91 * 24)},
        [("2h", "WfbPricesOld", []), ("2160h", "WfbPricesOld", [{}])],
    ),
}


@pytest.mark.parametrize(("series", "expected"), SERIES.values(), ids=SERIES)
def test_what_else_is_told(tmp_path, promtool, series, expected):
    """Each alert fires on its cause and not before."""
    interval = "1h" if "wfb_prices_snapshot_timestamp_seconds" in series else "1m"
    assert told(tmp_path, promtool, series, expected, interval=interval) == ""


def test_each_alert_has_a_story():
    """None is untested."""
    tested = {alert for _, expected in SERIES.values() for _, alert, firing in expected if firing} | {BURNS}
    assert tested == {alert["alert"] for alert in alerts()}


def test_promtool_takes_the_rules(tmp_path, promtool):
    """Prometheus' own check, with the annotations' templates."""
    (tmp_path / "rules.yaml").write_text(rules_text())
    command = [promtool, "check", "rules", "rules.yaml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_alert_says_what_it_is_and_has_a_runbook(alert):
    """Summary, description, severity, and a page with what it means, where to look and what to do."""
    name, annotations = alert["alert"], alert["annotations"]
    assert re.fullmatch("Wfb[A-Za-z]+", name)
    assert alert["labels"].keys() == {"severity"}
    assert alert["labels"]["severity"] in {"info", "warning", "critical"}
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    assert len(annotations["description"]) > len(annotations["summary"]) / 2 > 10
    assert annotations["runbook_url"].endswith(f"/docs/runbooks/{name}.md")
    page = (DOCS / "runbooks" / f"{name}.md").read_text()
    assert page.startswith(f"# {name}\n")
    assert re.findall("^## (.*)$", page, re.MULTILINE) == ["What it means", "Look here", "Do this"]


def test_there_is_no_runbook_without_its_alert():
    """A page for an alert that is gone would mislead."""
    assert {page.stem for page in (DOCS / "runbooks").glob("*.md")} == {alert["alert"] for alert in alerts()}


def test_the_page_lists_every_alert():
    """With its severity."""
    listed = re.findall(
        r"^\| \[(\w+)\]\(runbooks/(\w+)\.md\) \|.*\| (\w+) \|$", (DOCS / "metrics.md").read_text(), re.MULTILINE
    )
    assert [(name, page, severity) for name, page, severity in listed] == [
        (alert["alert"], alert["alert"], alert["labels"]["severity"]) for alert in alerts()
    ]


def test_the_rules_use_metrics_that_exist():
    """Every metric of an expression is one that docs/metrics.md documents, or a recorded one."""
    text = RULES.read_text()
    expressions = " ".join(line for line in text.splitlines() if not re.match(r"\s*(description|summary|#)", line))
    documented = set(re.findall(r"^\| `(wfb_\w+)`", (DOCS / "metrics.md").read_text(), re.MULTILINE))
    used = set(re.findall(r"\b(wfb_\w+)\b", expressions))
    assert used <= documented
    assert len(used) > 15
