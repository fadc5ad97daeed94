"""Prometheus in the cluster, by the chart's own PodMonitors and rules: a loop in a pod fires the alert while its money is there."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from cluster import monitors
from cluster.own import Own
from cluster.workloads import Agent, budget, namespace
from harness import prometheus
from harness.programs import program
from harness.prometheus_rules import rules_text
from harness.until import until

BURNS = "WfbBudgetBurnsTooFast"
PARTS = {"wfb-ledger", "wfb-controller", "wfb-injector", "wfb-sidecars"}
LIMIT = "20.00"
SHAPES = {"runaway": (("TOKENS", "8000"), ("PAUSE", "0.5")), "steady": (("TOKENS", "1"), ("PAUSE", "1"))}
"""A loop, and calls that each cost less than a second of the day's money (20 dollars ÷ 86,400 s = 231 micro-dollars)."""


@pytest.fixture(scope="module")
def pods(cluster, installed, providers, fresh):
    """A namespace with a workflow that has run into a loop, eight cents a call, and one that spends evenly; twenty dollars a day each."""
    if not isinstance(cluster, Own):
        pytest.skip("Prometheus is put into the cluster's network, which only a cluster of our own lets us do")
    where = fresh("watched")
    # A zone in which it is about six in the morning: shortly before midnight no money would be said to run out.
    zone = f"Etc/GMT{(datetime.now(UTC).hour - 6 + 12) % 24 - 12:+d}"
    cluster.apply(namespace(where, team=fresh("watched")))
    cluster.apply(
        [providers.roots(where), *(budget(name, LIMIT, {"workflow": name}, where, timeZone=zone) for name in SHAPES)]
    )
    for name in SHAPES:
        installed.wait_in_force(name, where)
    for name, shape in SHAPES.items():
        env = (("LABEL", fresh(name)), *shape)
        cluster.apply(Agent("openai-python", name, providers, calls=100_000, env=env).pod(name, where))
    for name in SHAPES:
        cluster.kubectl("wait", "-n", where, f"pod/{name}", "--for=condition=Ready", "--timeout=90s")
    yield where
    cluster.kubectl("delete", "namespace", where, "--wait=false")


@pytest.fixture(scope="module")
def watched(cluster, pods, tmp_path_factory):
    """A Prometheus in the cluster's network over every part of the chart; the alert waits for two looks, not for minutes."""
    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus.running(
        program("prometheus", package="prometheus"),
        folder,
        monitors.scrapes(cluster, folder),
        rules=rules_text(burnRateFor="1s"),
        inside=cluster.inside([]),
        door=lambda port: cluster.door("prometheus-door", port),
    ) as running:
        yield running
    cluster.processes.stop("prometheus-door")


def test_every_part_of_the_chart_is_scraped(watched, pods):
    """What the PodMonitors choose by labels and ports is there and answers: ledger, controller, injector, and the sidecars in users' pods."""
    until(lambda: watched.up().keys() == PARTS and not any(watched.up().values()), "all scraped", 60)
    found = {row["metric"]["pod"] for row in watched.query(f'up{{job="wfb-sidecars",namespace="{pods}"}} == 1')}
    assert found == set(SHAPES)


def test_a_loop_in_a_pod_fires_the_alert_while_most_of_its_money_is_left(cluster, watched, pods, providers, fresh):
    """It fires for the loop and for nothing else; the figures that it fired on are the provider's bill."""
    fired = until(lambda: [one for one in watched.firing() if one["alertname"] == BURNS], "the alert", 120)
    assert {(one["budget"], one["window"], one["severity"]) for one in fired} == {
        (f"{pods}/runaway", "Day", "critical")
    }
    used = watched.value(f'wfb_budget_used_ratio{{budget="{pods}/runaway"}}')
    assert 0 < used < 0.5
    cluster.kubectl("delete", "pod", "-n", pods, "runaway", "--wait=true")
    for name in ("runaway", "steady"):
        series = f'wfb_budget_spent_usd{{budget="{pods}/{name}",window="Day"}}'
        _agrees(watched, series, lambda n=name: providers.usd(fresh(n)))
    assert Decimal(0) < providers.usd(fresh("runaway")) < Decimal(LIMIT)
    assert not [one for one in watched.firing() if one["alertname"] == BURNS and one["budget"] == f"{pods}/steady"]


def _agrees(watched, series, billed):
    """Waits until a series is what was billed, up to the calls that are on their way."""
    until(lambda: watched.value(series) == pytest.approx(float(billed()), abs=2e-4), series, 60)
