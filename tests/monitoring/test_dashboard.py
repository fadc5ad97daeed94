"""The dashboard: Grafana's own schema takes it, and a real Prometheus has data for each of its panels."""

import json
import re

import pytest

from harness import prometheus
from harness.prometheus_rules import CHART
from harness.until import until

DASHBOARD = json.loads((CHART / "files" / "monitoring" / "dashboard.json").read_text())
VARIABLES = {"$__rate_interval": "1m", "$__range": "1h"} | {
    f"${v['name']}": v["allValue"] for v in DASHBOARD["templating"]["list"] if v["type"] == "query"
}


def shown(expression):
    """An expression with every variable at All."""
    for name, value in sorted(VARIABLES.items(), reverse=True):
        expression = expression.replace(name, value)
    assert "$" not in expression
    return expression


def queries():
    """(panel, query) of all panels."""
    return [
        pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}")
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    ]


@pytest.fixture(scope="module")
def scraped(parts, prometheus_program, tmp_path_factory):
    """A real Prometheus that saw the parts before and after some spend."""
    jobs = [prometheus.job(name, url) for name, url in parts.urls.items()]
    with prometheus.running(prometheus_program, tmp_path_factory.mktemp("prometheus"), jobs, seconds=0.5) as running:
        until(lambda: running.up() and not any(running.up().values()), "all parts scraped", 30)
        for n in range(3):
            before = running.value("sum(wfb_spend_usd_total)")
            assert parts.call(f"once more {n}").status_code == 200
            parts.call("no", model="o1-preview")
            until(lambda b=before: running.value("sum(wfb_spend_usd_total)") > b, "the spend being scraped", 30)
        yield running


@pytest.mark.parametrize("expression", queries())
def test_each_panel_has_data(scraped, expression):
    """Prometheus answers the query with at least one series whose value is a number."""
    found = scraped.query(shown(expression))
    assert found, expression
    # A ratio of nothing to nothing is no value; something happened of everything that a panel shows.
    assert any(series["value"][1] != "NaN" for series in found), (expression, found)


@pytest.mark.parametrize(
    "variable", [v for v in DASHBOARD["templating"]["list"] if v["type"] == "query"], ids=lambda v: v["name"]
)
def test_each_variable_has_values(scraped, variable):
    """The query of each drop-down finds label values."""
    metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"]).groups()
    assert any(series["metric"].get(label) for series in scraped.query(shown(metric)))


def difference(ours, theirs, path=""):
    """Paths at which what was read of the dashboard lacks or changes something; what it adds are Grafana's defaults."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, value in ours.items():
            yield from [f"{path}.{name}"] if name not in theirs else difference(value, theirs[name], f"{path}.{name}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for n, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from difference(one, other, f"{path}[{n}]")
    elif ours != theirs:
        yield path


def through_schema(document):
    """A dashboard read and written by the types that Grafana generates from its schema."""
    from grafana_foundation_sdk.cog import encoder, plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    return json.loads(encoder.JSONEncoder().encode(Dashboard.from_json(document)))


def test_grafanas_schema_knows_all_of_it():
    """Nothing of the dashboard, its panels, options and queries is unknown to Grafana's published types."""
    assert list(difference(DASHBOARD, through_schema(DASHBOARD))) == []


def test_the_schema_would_find_a_mistake():
    """A misspelt option, anywhere, is found."""
    wrong = json.loads(json.dumps(DASHBOARD))
    panel = next(p for p in wrong["panels"] if p["type"] == "timeseries")
    panel["options"]["legend"]["showLegand"] = True
    panel["targets"][0]["exprr"] = "up"
    wrong["titel"] = "x"
    assert len(list(difference(wrong, through_schema(wrong)))) == 3


def test_panels_lie_beside_each_other():
    """No two panels overlap, none leaves the grid of 24 columns, ids are unique, and each says its unit."""
    taken = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"]["uid"] == "${datasource}"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_it_shows_what_it_is_for():
    """Spend by each dimension, stages, runs, refusals, unit costs, caches and coverage have a panel."""
    titles = " ".join(panel["title"] for panel in DASHBOARD["panels"])
    for word in ("team", "feature", "workflow", "model", "Stages", "runs", "Refused", "Slowed", "Cost of a call"):
        assert word in titles
    for word in ("Cost of a run", "caches save", "Forecast", "Pods", "hop"):
        assert word in titles
