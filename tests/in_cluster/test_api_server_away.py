"""The API server is away for a minute, and a namespace goes while its agents work: nobody is stopped by it, and the books are right."""

import time
from decimal import Decimal
from pathlib import Path

import pytest

from cluster.install import SYSTEM
from cluster.own import Own
from cluster.workloads import Agent, budget, namespace, said
from harness.until import until
from wfb_operator.controller.api_server import AWAY, BACK


def steady(providers, fresh, name):
    """An agent that calls all the time."""
    env = (("PAUSE", "0.2"), ("PERSIST", "yes"), ("TOKENS", "50"), ("LABEL", fresh(name)))
    return Agent("openai-python", name, providers, calls=100_000, env=env)


def test_a_minute_without_an_api_server_fails_no_call(cluster, installed, providers, fresh):
    """Agents, sidecars, ledger and controller live on; the controller's log says what waits, and afterwards the status is true."""
    if not isinstance(cluster, Own):
        pytest.skip("an API server is stopped from its machine, which only a cluster of our own lets us reach")
    where, restarts = fresh("beyond"), _restarts(cluster)
    cluster.apply(namespace(where, team=fresh("beyond")))
    cluster.apply([providers.roots(where), budget("beyond", "500.00", {"workflow": "beyond"}, where)])
    installed.wait_in_force("beyond", where)
    cluster.apply(steady(providers, fresh, "beyond").pod("beyond", where))
    cluster.kubectl("wait", "-n", where, "pod/beyond", "--for=condition=Ready", "--timeout=90s")
    log = until(lambda: next((cluster.layout.folder / "pod-logs").glob(f"{where}_beyond_*/agent/0.log"), None), "a log")
    until(lambda: len(_answers(log)) >= 20, "calls", 60)

    pid = cluster.processes.started()["kube-apiserver"]
    command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    cluster.processes.stop("kube-apiserver", grace=20)
    begun, made = time.monotonic(), len(_answers(log))
    until(lambda: time.monotonic() - begun >= 60 or set(_answers(log)) != {200}, "a minute", 90)
    assert len(_answers(log)) >= made + 60
    cluster.processes.start("kube-apiserver", command)
    cluster.processes.wait("kube-apiserver", cluster.answers, 90)

    until(lambda: len(_answers(log)) >= made + 120, "calls afterwards", 90)
    assert set(_answers(log)) == {200}
    told = until(lambda: (text := _controller_says(cluster)) and BACK in text and text, "the controller's word", 60)
    assert AWAY in told
    cluster.kubectl("delete", "pod", "-n", where, "beyond")
    billed = providers.usd(fresh("beyond"))
    until(lambda: Decimal(installed.status("beyond", where).get("spentUSD", "0")) == billed, "the bill in status", 60)
    assert _restarts(cluster) == restarts
    _wait_for_controllers(cluster, fresh("again"))


def test_a_namespace_that_is_deleted_goes_at_once_and_takes_no_dollar_with_it(cluster, installed, providers, fresh):
    """Nothing of ours holds it; the team's budget keeps what was spent there and says that it has no pods; made anew, the budget knows it."""
    where, team = fresh("leaving"), fresh("leavers")
    mine, above = budget("leaving", "50.00", {"workflow": "leaving"}, where), budget(team, "80.00", {"team": team})
    cluster.apply(namespace(where, team=team))
    cluster.apply([providers.roots(where), mine, above])
    installed.wait_in_force("leaving", where)
    cluster.apply(steady(providers, fresh, "leaving").pod("leaving", where))
    until(lambda: len(providers.lines(fresh("leaving"))) >= 20, "calls", 90)

    cluster.kubectl("delete", "namespace", where, "--timeout=90s", timeout=120)
    billed = providers.usd(fresh("leaving"))
    until(lambda: Decimal(installed.status(team).get("spentUSD", "0")) == billed, "the team's books", 60)
    condition = until(lambda: _condition(installed.status(team), "PodsCovered", "NoPods"), "no pods", 60)
    assert "No pod" in condition["message"]

    cluster.apply(namespace(where, team=team))
    cluster.apply(mine)
    again = until(lambda: _when(installed.status("leaving", where), billed), "what was spent before", 60)
    assert again["stage"] == "Open"


def _wait_for_controllers(cluster, name):
    """Until Kubernetes' own controllers are back: a new namespace gets its ServiceAccount, without which no pod is admitted."""
    cluster.apply(namespace(name))
    until(lambda: not cluster.try_kubectl("get", "serviceaccount", "default", "-n", name).returncode, "controllers", 90)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def _answers(log):
    """The statuses that an agent has met, by its log on the node."""
    lines = (line.partition(" F ")[2] for line in log.read_text().splitlines())
    return [one["status"] for one in said("\n".join(lines))]


def _controller_says(cluster):
    return cluster.try_kubectl("logs", "-n", SYSTEM, "deployment/wfb-controller").stdout


def _restarts(cluster):
    pods = cluster.get("pods", "-n", SYSTEM)["items"]
    return {
        pod["metadata"]["uid"]: sum(c["restartCount"] for c in pod["status"].get("containerStatuses", ()))
        for pod in pods
        if pod["status"]["phase"] == "Running"
    }


def _condition(status, kind, reason):
    return next((c for c in status.get("conditions", ()) if (c["type"], c["reason"]) == (kind, reason)), None)


def _when(status, billed):
    return status if Decimal(status.get("spentUSD", "0")) == billed else None
