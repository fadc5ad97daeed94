"""Budgets of a cluster in the ledger: keys without a namespace, and pods chosen by their namespace's labels."""

import pytest
from harness.ledger_under_test import T0, USD, dispatch, document

from wfb_operator.ledger.identities import CONTROLLER, SIDECAR, Identity, from_store, token_sha256

OURS = "/all|Day|2027-01-15T00:00:00+00:00"


def cluster_document(name="all", **spec):
    """A ClusterWorkflowBudget over ten dollars a day."""
    doc = document(name, **spec) | {"kind": "ClusterWorkflowBudget", "metadata": {"name": name}}
    doc["spec"].pop("selector")
    return doc


async def put(ledger, token, namespace, labels):
    """A sidecar in a namespace with these labels."""
    identity = {
        "token_sha256": token_sha256(token),
        "role": SIDECAR,
        "holder_prefix": f"{token}/",
        "labels": {"aifinops.dev/workflow": "triage"},
        "namespace": namespace,
        "namespace_labels": labels,
    }
    return await ledger.ask("PUT", "/v1/identities", json={"identities": [identity]})


async def scope(ledger, token):
    """The keys of the budgets that a pod hears of."""
    found = (await ledger.get("/v1/scope", token))["budgets"]
    return [f"{b['metadata'].get('namespace', '')}/{b['metadata']['name']}" for b in found]


async def test_a_cluster_budget_grants_and_counts(ledger):
    """Its windows are known by ``/name``, through grants, reports, the summary and a restart."""
    await ledger.put_budgets(cluster_document())
    first = await ledger.report(dispatch(1, {OURS: (0, 0, 0)}, [(1, 4 * USD, (OURS,))]))
    assert first.reply.shares[OURS].granted >= 4 * USD
    await ledger.report(dispatch(2, {OURS: (USD, 0, 4 * USD)}))
    await ledger.again()
    windows = (await ledger.get("/v1/summary"))["budgets"]
    assert [(w["budget"], w["window"], w["spent_usd"]) for w in windows] == [("/all", OURS, "1.00")]
    assert await scope(ledger, "token-a") == ["/all"]


async def test_namespaces_are_chosen_by_their_labels(ledger):
    """A pod is within a cluster's budget as its namespace's labels, and its name, say; and so after a restart."""
    by_name = {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["lab"]}]}
    await ledger.put_budgets(
        cluster_document("prod", namespaceSelector={"matchLabels": {"env": "prod"}}),
        cluster_document("lab", namespaceSelector=by_name),
        cluster_document("all"),
    )
    assert (await put(ledger, "one", "billing", {"env": "prod"})).status == 200
    assert (await put(ledger, "two", "lab", {"env": "test"})).status == 200
    for _ in range(2):
        assert await scope(ledger, "one") == ["/prod", "/all"]
        assert await scope(ledger, "two") == ["/lab", "/all"]
        await ledger.again()


async def test_labels_of_a_namespace_are_frozen_with_the_pod(ledger):
    """A namespace relabelled after a pod's first report does not move that pod's money."""
    await ledger.put_budgets(cluster_document("prod", namespaceSelector={"matchLabels": {"env": "prod"}}))
    await put(ledger, "one", "billing", {"env": "prod"})
    await ledger.report(dispatch(1, holder="one/1"), "one")
    await put(ledger, "one", "billing", {"env": "test"})
    for _ in range(2):
        assert await scope(ledger, "one") == ["/prod"]
        await ledger.again()


def test_stored_labels_keep_apart():
    """Labels of pod and namespace with one key come back from a store as they were."""
    one = Identity("x" * 64, SIDECAR, "p/", {"team": "a", "x/y": ""}, "", "ns", {"team": "b"})
    assert from_store(one.stored()) == one
    assert Identity("x" * 64, CONTROLLER).frozen(one.pod(T0)).namespace_labels == {"team": "b"}


@pytest.mark.parametrize(
    ("field", "labels", "words"),
    [
        ("namespace_labels", {"a": 1}, "identities[0].namespace_labels.a"),
        ("namespace_labels", [], "identities[0].namespace_labels: is not a mapping"),
        ("labels", {"namespace:team": "b"}, "a colon is in none of them"),
    ],
)
async def test_wrong_labels_are_named(ledger, field, labels, words):
    """A pod's label cannot pass for one of its namespace, and what is no label is named."""
    identity = {"token_sha256": "0" * 64, "role": SIDECAR, "holder_prefix": "p/", field: labels}
    answer = await ledger.ask("PUT", "/v1/identities", json={"identities": [identity]})
    assert answer.status == 422
    assert words in answer.body["error"]
