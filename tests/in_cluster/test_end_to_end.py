"""Agents in pods, each with its vendor's own client, in every mode: metered, attributed, seen in status, refused at the limit."""

from datetime import datetime
from decimal import Decimal

import pytest

from cluster.workloads import Agent, budget, namespace, said
from harness.until import until

LIMIT = Decimal("0.02")
WARN = [{"atPercent": 50, "action": "Warn"}]
MODES = {
    "transparent": ("openai-python", "anthropic-python", "openai-node", "openai-node20", "curl", "go", "java"),
    "proxy-env": ("openai-python", "anthropic-python", "openai-node", "curl", "go"),
    "base-url": ("openai-python", "anthropic-python", "openai-node", "openai-node20", "curl", "go"),
}
"""The clients that a mode is for: Java reads no proxy variable, and Node does from 22.21 and 24 on."""
WHERE = {"transparent": "letters", "proxy-env": "letters", "base-url": "search"}
TEAMS = {"letters": "billing", "search": "search"}
CASES = [(mode, client) for mode, clients in MODES.items() for client in clients]


@pytest.fixture(scope="module")
def agents(cluster, installed, providers, fresh):
    """Every case as a Job with a workflow and a budget of its own, all of them ended; budgets of teams and of the cluster over them.

    One mode's Jobs after the other's: six pods that start at once are a node's everyday, eighteen measure only the node.
    """
    cluster.apply([namespace(fresh(name), team=fresh(team)) for name, team in TEAMS.items()])
    cluster.apply([providers.roots(fresh(name)) for name in TEAMS])
    budgets = [budget(fresh(f"team-{team}"), "50.00", {"team": fresh(team)}) for team in TEAMS.values()]
    everything = budget(fresh("all"), "100.00", {})
    everything["spec"]["selector"] = {"matchExpressions": [{"key": "aifinops.dev/workflow", "operator": "Exists"}]}
    names = [fresh(name) for name in TEAMS]
    everything["spec"]["namespaceSelector"] = {
        "matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": names}]
    }
    budgets.append(everything)
    jobs = {mode: [] for mode in MODES}
    for mode, client in CASES:
        workflow, where = f"{client}-{mode}", fresh(WHERE[mode])
        budgets.append(budget(workflow, str(LIMIT), {"workflow": workflow}, where, ladder=WARN))
        annotations = (("mode", mode), *((("java-truststore", "true"),) if client == "java" else ()))
        labels = (("aifinops.dev/feature", client),)
        label = (("LABEL", fresh(workflow)),)
        jobs[mode].append(
            Agent(client, workflow, providers, env=label, labels=labels, annotations=annotations).job(workflow, where)
        )
    cluster.apply(budgets)
    for one in budgets:
        name, where = one["metadata"]["name"], one["metadata"].get("namespace", "")
        installed.wait_in_force(name, where)
    for mode, some in jobs.items():
        cluster.apply(some)
        where, ended = fresh(WHERE[mode]), ("--for=condition=Complete", "--timeout=300s")
        cluster.kubectl("wait", "-n", where, *(f"job/{job['metadata']['name']}" for job in some), *ended, timeout=320)
    return installed


@pytest.mark.parametrize(("mode", "client"), CASES)
def test_a_client_is_metered_attributed_and_refused_at_its_limit(cluster, agents, providers, fresh, mode, client):
    """The client knows nothing of us: its calls cost what the provider bills, its last answer is 402, and its Job completes."""
    workflow, where = f"{client}-{mode}", fresh(WHERE[mode])
    *good, last = said(cluster.kubectl("logs", "-n", where, f"job/{workflow}", "-c", "agent"))
    assert good, last
    assert {one["status"] for one in good} == {200}
    assert last["status"] == 402, last
    billed = providers.usd(fresh(workflow))
    assert Decimal("0.015") < billed <= LIMIT
    rows = agents.usage("namespace,team,feature,workflow,outcome", namespace=where, workflow=workflow, outcome="ok")
    assert [(r["team"], r["feature"], Decimal(r["usd"]), r["calls"]) for r in rows] == [
        (fresh(TEAMS[WHERE[mode]]), client, billed, len(good))
    ]
    status = until(lambda: _when(agents, workflow, where, billed), "the bill in status")
    assert status["stage"] == "Warn"
    # Money is left, and the status says all the same that a call was refused and why.
    refused = until(lambda: agents.status(workflow, where).get("lastRefusal"), "the refusal in status", 30)
    assert (refused["reason"], refused["window"]) == ("BudgetExhausted", "Day")


def test_budgets_that_overlap_each_count_every_call(agents, providers, fresh):
    """A team's budget holds its namespace's calls, the cluster's holds all of them, and both are the provider's bill."""
    sums = dict.fromkeys(TEAMS.values(), Decimal())
    for mode, client in CASES:
        sums[TEAMS[WHERE[mode]]] += providers.usd(fresh(f"{client}-{mode}"))
    for team, billed in sums.items():
        until(lambda team=team, billed=billed: _when(agents, fresh(f"team-{team}"), "", billed), f"team {team}")
    until(lambda: _when(agents, fresh("all"), "", sum(sums.values(), Decimal())), "the cluster's budget")


def test_the_event_of_a_threshold_comes_seconds_after_the_call_that_passed_it(cluster, agents, providers, fresh):
    """Between the billed call that passed half of the limit and the Event that says so there are seconds, for every budget."""
    lags = {}
    for mode, client in CASES:
        workflow, where = f"{client}-{mode}", fresh(WHERE[mode])
        chosen = f"involvedObject.kind=WorkflowBudget,involvedObject.name={workflow}"
        found = cluster.get("events", "-n", where, "--field-selector", chosen)["items"]
        reached = [e for e in found if "Warn" in (e["reason"], e["type"]) or "Warn" in e["message"]]
        assert len(reached) == 1, found
        when = datetime.fromisoformat(reached[0].get("eventTime") or reached[0]["firstTimestamp"]).timestamp()
        spent = Decimal()
        for line in providers.lines(fresh(workflow)):
            spent += Decimal(str(line["usd"]))
            if spent >= LIMIT / 2:
                lags[workflow] = when - line["at"]
                break
    assert len(lags) == len(CASES)
    # Five seconds is what a free machine keeps; pods that start together on two cores are given more.
    assert max(lags.values()) <= 15.0, lags


def _when(installed, name, where, billed):
    status = installed.status(name, where)
    return status if Decimal(status.get("spentUSD", "0")) == billed else None
