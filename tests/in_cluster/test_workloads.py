"""Kinds of workloads: what is injected and how, what is left alone and counted, and budgets of a run."""

import json
import subprocess
import sys
from decimal import Decimal

import pytest

from cluster.workloads import Agent, budget, namespace, said
from harness.until import until

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="module")
def place(cluster, installed, providers, fresh):
    """A namespace that asks for the sidecar, without budgets."""
    name = fresh("work")
    cluster.apply(namespace(name, team=fresh("work")))
    cluster.apply(providers.roots(name))
    return name


def test_every_run_of_a_cronjob_has_a_budget_of_its_own(cluster, installed, providers, place):
    """The first run is refused at its limit; the second starts from nothing and is refused at the same limit."""
    agent = Agent("openai-python", "nightly", providers, calls=10)
    cluster.apply(budget("nightly", "0.006", {"workflow": "nightly"}, place, window="Run"))
    spec = {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": agent.job("nightly", place)["spec"]}}
    metadata = {"name": "nightly", "namespace": place}
    cluster.apply({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": spec})
    installed.wait_in_force("nightly", place)
    answers = []
    for run in ("first", "second"):
        cluster.kubectl("create", "job", "-n", place, run, "--from=cronjob/nightly")
        cluster.kubectl("wait", "-n", place, f"job/{run}", "--for=condition=Complete", "--timeout=60s")
        answers.append(
            [one["status"] for one in said(cluster.kubectl("logs", "-n", place, f"job/{run}", "-c", "agent"))]
        )
    assert answers == [[200, 200, 402], [200, 200, 402]]
    runs = installed.usage("namespace,run", namespace=place)
    assert len([row for row in runs if Decimal(row["usd"]) > 0]) == 2, runs


def test_a_restricted_namespace_gets_the_mode_that_it_admits(cluster, installed, providers, fresh):
    """Pod Security forbids the redirecting container: the pod comes with proxy variables instead, runs, and its owner is told."""
    where = fresh("strict")
    document = namespace(where)
    document["metadata"]["labels"].update(RESTRICTED)
    cluster.apply(document)
    cluster.apply(providers.roots(where))
    cluster.apply(Agent("openai-python", "strict", providers, calls=2).job("strict", where))
    cluster.kubectl("wait", "-n", where, "job/strict", "--for=condition=Complete", "--timeout=60s")
    pod = cluster.get("pods", "-n", where)["items"][0]
    assert json.loads(pod["metadata"]["annotations"]["aifinops.dev/injected"])["mode"] == "proxy-env"
    assert [one["status"] for one in said(cluster.kubectl("logs", "-n", where, "job/strict", "-c", "agent"))] == [
        200,
        200,
    ]
    until(lambda: installed.usage("namespace", namespace=where), "its calls in the books")


def test_what_is_left_alone_is_counted_and_says_why(cluster, installed, providers, place):
    """A pod on the node's network and one that opted out run as they were written; the budget over them says they are not covered."""
    cluster.apply(budget("outside", "1.00", {"workflow": "outside"}, place))
    agent = Agent("openai-python", "outside", providers, calls=0, env=(("LINGER", "600"),))
    opted = Agent(
        "openai-python",
        "outside",
        providers,
        calls=0,
        env=(("LINGER", "600"),),
        labels=(("aifinops.dev/inject", "false"),),
    )
    cluster.apply([agent.pod("on-the-node", place, hostNetwork=True, hostAliases=None), opted.pod("opted-out", place)])
    for name in ("on-the-node", "opted-out"):
        cluster.kubectl("wait", "-n", place, f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
        pod = cluster.get("pod", name, "-n", place)
        assert [c["name"] for c in pod["spec"].get("initContainers", [])] == []
    condition = until(lambda: _condition(installed, "outside", place, "PodsCovered", "False"), "the sweep", 90)
    assert "on-the-node" in condition["message"] or "2" in condition["message"]
    assert installed.status("outside", place)["pods"] == {"matched": 2, "covered": 0, "outdated": 0}
    cluster.kubectl("delete", "pod", "-n", place, "on-the-node", "opted-out", "--grace-period=0", "--force")


def test_a_typo_in_a_label_is_visible(cluster, installed, providers, place):
    """The budget's condition and the doctor name the pod's label that nearly matches."""
    cluster.apply(budget("invoices", "1.00", {"workflow": "invoices"}, place))
    agent = Agent("openai-python", "invoises", providers, calls=0, env=(("LINGER", "600"),))
    cluster.apply(agent.pod("typo", place))
    cluster.kubectl("wait", "-n", place, "pod/typo", "--for=condition=Ready", "--timeout=60s")
    condition = until(
        lambda: (c := _condition(installed, "invoices", place, "PodsCovered")) and "invoises" in c["message"] and c,
        "the sweep",
        90,
    )
    assert condition["status"] != "True"
    doctor = [sys.executable, "-m", "wfb_operator.cli.main", "doctor", "-n", place, "--json"]
    told = cluster.run(doctor, check=False).stdout
    assert "invoises" in told, told
    cluster.kubectl("delete", "pod", "-n", place, "typo", "--grace-period=0", "--force")


def test_a_deployment_rolls_without_a_failed_call(cluster, installed, providers, place):
    """Two replicas call all the time while both are replaced: no call of the old pods or the new ones fails."""
    env = (("PAUSE", "0.1"), ("PERSIST", "yes"), ("TOKENS", "5"))
    agent = Agent("openai-python", "rolling", providers, calls=100_000, env=env)
    cluster.apply(agent.deployment("rolling", place, replicas=2))
    cluster.kubectl("rollout", "status", "-n", place, "deployment/rolling", "--timeout=90s")
    old = _names(cluster, place)
    until(lambda: installed.usd(namespace=place, workflow="rolling") > 0, "calls")
    with _following(cluster, place, old) as texts:
        cluster.kubectl("rollout", "restart", "-n", place, "deployment/rolling")
        cluster.kubectl("rollout", "status", "-n", place, "deployment/rolling", "--timeout=120s", timeout=150)
        until(lambda: not set(old) & set(_names(cluster, place)), "the old pods gone", 60)
    new = [
        until(lambda n=n: cluster.kubectl("logs", "-n", place, n, "-c", "agent"), n, 60) for n in _names(cluster, place)
    ]
    for text in (*texts(), *new):
        statuses = {one["status"] for one in said(text)}
        assert statuses == {200}, text[-2000:]
    cluster.kubectl("delete", "deployment", "-n", place, "rolling", "--wait=false")


def _names(cluster, where):
    return [p["metadata"]["name"] for p in cluster.get("pods", "-n", where, "-l", "app=rolling")["items"]]


def _condition(installed, name, where, kind, status=""):
    found = [c for c in installed.status(name, where).get("conditions", []) if c["type"] == kind]
    return next((c for c in found if status in ("", c["status"])), None)


class _following:  # noqa: N801  # reads as a word of the sentence
    """The logs of pods until these are gone."""

    def __init__(self, cluster, where, names):
        command = [str(cluster.program), "logs", "-f", "-n", where, "-c", "agent"]
        self._children = [
            subprocess.Popen([*command, name], env=cluster.environment(), stdout=subprocess.PIPE, text=True)
            for name in names
        ]

    def __enter__(self):
        return lambda: self._texts

    def __exit__(self, *_):
        self._texts = [child.communicate(timeout=60)[0] for child in self._children]
