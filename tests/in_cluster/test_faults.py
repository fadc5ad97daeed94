"""What fails in a cluster and what must not follow: the sidecar is killed, the ledger is away, the API server is away."""

from decimal import Decimal

import pytest

from cluster.install import SYSTEM
from cluster.own import Own
from cluster.workloads import Agent, budget, namespace, said
from harness.until import until


@pytest.fixture(scope="module")
def place(cluster, installed, providers, fresh):
    """A namespace that asks for the sidecar, with a budget far from its limit."""
    name = fresh("faults")
    cluster.apply(namespace(name, team=fresh("faults")))
    cluster.apply(providers.roots(name))
    everything = budget("steady", "500.00", {}, name)
    everything["spec"]["selector"] = {"matchExpressions": [{"key": "aifinops.dev/workflow", "operator": "Exists"}]}
    cluster.apply(everything)
    installed.wait_in_force("steady", name)
    cluster.apply(steady(providers, fresh, "away").pod("away", name))
    return name


def steady(providers, fresh, name, **env):
    """An agent that calls all the time and goes on after a failure."""
    said_env = {"PAUSE": "0.2", "PERSIST": "yes", "TOKENS": "50", "LABEL": fresh(name), **env}
    return Agent("openai-python", name, providers, calls=100_000, env=tuple(said_env.items()))


def test_a_killed_sidecar_comes_back_with_the_same_root_and_the_same_books(cluster, installed, providers, place, fresh):
    """SIGKILL while a client lives: it meets refused connections at most, never an unknown root, and no dollar is lost or doubled."""
    if not isinstance(cluster, Own):
        pytest.skip("a container is killed from its node, which only a cluster of our own lets us reach")
    cluster.apply(steady(providers, fresh, "killed").pod("killed", place))
    cluster.kubectl("wait", "-n", place, "pod/killed", "--for=condition=Ready", "--timeout=90s")
    until(lambda: _good(cluster, place, "killed") >= 5, "calls", 30)
    before = _good(cluster, place, "killed")
    _kill(cluster, place, "killed")
    until(lambda: _restarts(cluster, place, "killed") == 1, "the restart", 60)
    until(lambda: _good(cluster, place, "killed") >= before + 20, "calls after the restart", 60)
    lines = said(cluster.kubectl("logs", "-n", place, "killed", "-c", "agent"))
    failures = [one for one in lines if one["status"] != 200]
    assert all(one["status"] == 0 and "certificate" not in str(one).lower() for one in failures), failures
    cluster.kubectl("delete", "pod", "-n", place, "killed")
    billed = providers.usd(fresh("killed"))
    until(lambda: installed.usd(namespace=place, workflow="killed") >= billed, "the books", 30)
    rows = installed.usage("namespace,workflow,estimated", namespace=place, workflow="killed")
    certain = sum(Decimal(row["usd"]) for row in rows if not row["estimated"])
    # A call that the kill cut short is billed by the provider, and booked as an estimate from its hold.
    assert certain <= billed <= sum(Decimal(row["usd"]) for row in rows)


def test_two_minutes_without_a_ledger_fail_no_call(cluster, installed, providers, place, fresh):
    """Far from the limit, pods spend what they have been granted; afterwards the books hold every call."""
    until(lambda: _good(cluster, place, "away") >= 200, "a pace to go by", 90)
    cluster.kubectl("scale", "-n", SYSTEM, "statefulset/wfb-ledger", "--replicas=0")
    cluster.kubectl("wait", "-n", SYSTEM, "pod/wfb-ledger-0", "--for=delete", "--timeout=60s")
    made = _good(cluster, place, "away")
    # About five calls a second: 450 of them are more than two minutes with what each takes.
    until(
        lambda: _good(cluster, place, "away") >= made + 450 or _bad(cluster, place, "away"), "two minutes of calls", 240
    )
    assert _bad(cluster, place, "away") == []
    cluster.kubectl("scale", "-n", SYSTEM, "statefulset/wfb-ledger", "--replicas=1")
    installed.wait()
    cluster.kubectl("delete", "pod", "-n", place, "away")
    billed = providers.usd(fresh("away"))
    assert len(providers.lines(fresh("away"))) >= made + 450
    until(lambda: installed.usd(namespace=place, workflow="away") == billed, "the books", 60)


def _kill(cluster, where, name):
    pod = cluster.get("pod", name, "-n", where)
    (status,) = [c for c in pod["status"]["initContainerStatuses"] if c["name"] == "wfb-sidecar"]
    container = status["containerID"].removeprefix("containerd://")
    task = ["ctr", "-a", str(cluster.layout.socket), "-n", "k8s.io", "tasks", "kill", "-s", "SIGKILL", container]
    cluster.run(cluster.inside(task))


def _restarts(cluster, where, name):
    statuses = cluster.get("pod", name, "-n", where)["status"]["initContainerStatuses"]
    return sum(c["restartCount"] for c in statuses if c["name"] == "wfb-sidecar" and c["ready"])


def _lines(cluster, where, name):
    return said(cluster.kubectl("logs", "-n", where, name, "-c", "agent"))


def _good(cluster, where, name):
    return sum(one["status"] == 200 for one in _lines(cluster, where, name))


def _bad(cluster, where, name):
    return [one for one in _lines(cluster, where, name) if one["status"] != 200]
