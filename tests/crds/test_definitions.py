"""The definitions: alike but for what they say of scope and selectors, and pleasant to read, print and merge."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from harness.budget_documents import budget, cluster_budget

from wfb_core.document import MOST_LABELS, MOST_PATTERNS, MOST_RUNGS, MOST_VALUES, parse_budget

ROOT = Path(__file__).resolve().parents[2]
STATUS = {
    "observedGeneration": 1,
    "conditions": [
        {
            "type": kind,
            "status": "True",
            "reason": "InForce",
            "message": "The ledger holds calls to this budget.",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-15T08:00:00Z",
        }
        for kind in ("Ready", "Enforced", "WithinBudget", "PricesKnown", "PodsCovered", "SpendNormal")
    ],
    "stage": "Slow",
    "tightestWindow": "Day",
    "spentUSD": "171.20",
    "limitUSD": "200.00",
    "reservedUSD": "3.50",
    "percentUsed": 85,
    "resetsAt": "2026-01-16T00:00:00Z",
    "windows": [
        {
            "window": "Day",
            "start": "2026-01-15T00:00:00Z",
            "end": "2026-01-16T00:00:00Z",
            "limitUSD": "200.00",
            "spentUSD": "171.20",
            "reservedUSD": "3.50",
            "estimatedUSD": "0.10",
            "lostUSD": "0.00",
            "overspentUSD": "0.00",
            "percentUsed": 85,
            "stage": "Slow",
            "agreedUSD": "0.00",
            "queued": 3,
            "pacedBy": "Slow",
            "pacedUSDPerHour": "2.40",
            "usdPerHour": "21.40",
            "exhaustedAt": "2026-01-15T09:20:00Z",
        },
        {"window": "Total", "limitUSD": "9000.00", "spentUSD": "171.20", "percentUsed": 1, "stage": "Open"},
    ],
    "runs": {"active": 12, "worst": [{"run": "job-1", "spentUSD": "4.90", "stage": "Warn"}]},
    "topModels": [{"name": "gpt-5", "usd": "120.00", "calls": 4000}],
    "topFeatures": [{"name": "triage", "usd": "171.20", "calls": 5000}],
    "pods": {"matched": 6, "covered": 5, "outdated": 1},
}


def schema(definition):
    return definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(node, path=""):
    """Every schema below one, with its path."""
    yield path, node
    for name, below in node.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(node.get(name), dict):
            yield from nodes(node[name], f"{path}[]")


def test_the_two_differ_only_where_they_must(definitions):
    """One definition is the other but for names, scope, the selectors and the sentence on top."""
    ours, theirs = (copy.deepcopy(definitions[kind]) for kind in ("WorkflowBudget", "ClusterWorkflowBudget"))
    names = {"kind": "WorkflowBudget", "plural": "workflowbudgets", "shortNames": ["wfb"]}
    assert names.items() <= ours["spec"].pop("names").items()
    names = {"kind": "ClusterWorkflowBudget", "plural": "clusterworkflowbudgets", "shortNames": ["cwfb"]}
    assert names.items() <= theirs["spec"].pop("names").items()
    assert (ours["spec"].pop("scope"), theirs["spec"].pop("scope")) == ("Namespaced", "Cluster")
    assert (schema(ours).pop("description"), ours.pop("metadata")) != (
        schema(theirs).pop("description"),
        theirs.pop("metadata"),
    )
    spec, other = (schema(one)["properties"]["spec"] for one in (ours, theirs))
    assert (spec.pop("required"), other.pop("required")) == (["selector", "limits"], ["limits"])
    selector, open_selector = spec["properties"].pop("selector"), other["properties"].pop("selector")
    namespaces = other["properties"].pop("namespaceSelector")
    assert ours == theirs
    assert selector.pop("x-kubernetes-validations")
    assert selector.pop("description") != open_selector.pop("description")
    assert selector == open_selector
    assert shape(namespaces) == shape(selector)


def shape(selector):
    """A selector without words, and without the rule on short keys, which a namespace does not have."""
    found = copy.deepcopy(selector)
    for _, node in nodes(found):
        node.pop("description", None)
    rules = found["properties"]["matchLabels"]["x-kubernetes-validations"]
    found["properties"]["matchLabels"]["x-kubernetes-validations"] = rules[:1]
    return found


@pytest.mark.parametrize("kind", ["WorkflowBudget", "ClusterWorkflowBudget"])
def test_every_field_is_described_and_bounded(definitions, kind):
    """There is a sentence for kubectl explain on every field, and nothing in a spec is without bounds."""
    top = schema(definitions[kind])
    fields = [(path, node) for path, node in nodes(top) if path.startswith((".spec", ".status"))]
    assert len(fields) > 100
    undescribed = [path for path, node in fields if not path.endswith("[]") and "description" not in node]
    assert not undescribed
    for path, node in fields:
        assert node["type"] in ("object", "array", "string", "integer", "number", "boolean"), path
        if path.startswith(".spec"):
            bounds = {"array": "maxItems", "string": "maxLength", "integer": "maximum", "number": "maximum"}
            assert bounds.get(node["type"], "type") in node or "enum" in node, path
        if node["type"] == "array":
            assert "x-kubernetes-list-type" in node, path
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path
        for rule in node.get("x-kubernetes-validations", []):
            assert rule["message"], path


def test_the_bounds_are_the_cores(definitions):
    """As much as the API server takes the core reads."""
    found = dict(nodes(schema(definitions["ClusterWorkflowBudget"])))
    assert found[".spec.ladder"]["maxItems"] == found[".spec.limits[].ladder"]["maxItems"] == MOST_RUNGS
    assert found[".spec.selector.matchLabels"]["maxProperties"] == MOST_LABELS
    assert found[".spec.namespaceSelector.matchExpressions"]["maxItems"] == MOST_LABELS
    assert found[".spec.selector.matchExpressions[].values"]["maxItems"] == MOST_VALUES
    assert found[".spec.models.allowed"]["maxItems"] == found[".spec.models.denied"]["maxItems"] == MOST_PATTERNS
    step = found[".spec.limits[].ladder[]"]
    assert step == found[".spec.ladder[]"]


@pytest.mark.parametrize("name", ["wfb", "cwfb"])
def test_explain_reads_like_help(kinds, name):
    """By the short name kubectl explain knows the fields, their choices and what they are for."""
    top = kinds.kubectl("explain", f"{name}.spec")
    assert "failurePolicy" in top
    assert "enum: Fail, Ignore" in top
    assert "The kill switch." in top
    assert "quoted decimal string" in " ".join(kinds.kubectl("explain", f"{name}.spec.limits.usd").split())
    assert "exhaustedAt" in kinds.kubectl("explain", f"{name}.status", "--recursive")


@pytest.fixture
def stored(kinds):
    """One object of each kind with a status, until the test ends."""
    found = [budget("columns"), cluster_budget("columns")]
    for document in found:
        assert kinds.ask(document, dry_run=None).accepted
        status = {k: document[k] for k in ("apiVersion", "kind", "metadata")} | {"status": STATUS}
        answer = kinds.apply(status, "wfb-controller", "status")
        assert answer.accepted, answer
        assert answer.body["status"] == STATUS
    yield found
    for document in found:
        kinds.delete(document)


@pytest.mark.parametrize("name", ["workflowbudgets", "cwfb"])
def test_columns(kinds, stored, name):
    """At a glance kubectl get shows what matters, and more with -o wide."""
    header, row = kinds.kubectl("get", name, "columns").splitlines()
    assert header.split() == ["NAME", "READY", "SPENT", "LIMIT", "USED", "STAGE", "RESETS", "AGE"]
    assert row.split()[:-1] == ["columns", "True", "171.20", "200.00", "85", "Slow", "2026-01-16T00:00:00Z"]
    header, row = kinds.kubectl("get", name, "columns", "-o", "wide").splitlines()
    assert header.split()[7:-1] == ["TIGHTEST", "RESERVED", "PODS", "COVERED", "ENFORCED", "REFUSED"]
    assert row.split()[7:-1] == ["Day", "3.50", "6", "5", "True"]


def test_the_category_lists_both(kinds, stored):
    """With the category kubectl get lists every kind of ours."""
    names = kinds.kubectl("get", "finops", "-o", "name").split()
    assert {"workflowbudget.aifinops.dev/columns", "clusterworkflowbudget.aifinops.dev/columns"} <= set(names)


def test_the_status_is_a_door_of_its_own(kinds, stored):
    """Who writes the status changes no spec, and who writes the spec no status."""
    document = stored[0]
    moved = copy.deepcopy(document) | {"status": {"stage": "Open"}}
    moved["spec"]["suspend"] = True
    assert kinds.apply(moved, "someone", force="true").body["status"] == STATUS
    answer = kinds.apply(
        {**document, "spec": {**document["spec"], "suspend": False}}, "someone", "status", force="true"
    )
    assert answer.body["spec"]["suspend"] is True


def test_conditions_merge_by_type(kinds, stored):
    """Two writers of a status each keep their own conditions."""
    head = {k: stored[0][k] for k in ("apiVersion", "kind", "metadata")}
    mine = {**STATUS["conditions"][0], "type": "Approved", "status": "Unknown"}
    found = kinds.apply({**head, "status": {"conditions": [mine]}}, "approval", "status").body["status"]
    assert [c["type"] for c in found["conditions"]] == [c["type"] for c in STATUS["conditions"]] + ["Approved"]


def test_limits_merge_by_window(kinds):
    """Server-side apply keeps another manager's limit, takes this one's back, and tells of a conflict over one."""
    document = budget("merged")
    selector = document["spec"]["selector"]
    other = budget("merged", limits=[{"window": "Month", "usd": "900"}])
    other["spec"].pop("selector")
    try:
        assert kinds.apply(document, "team").accepted
        both = kinds.apply(other, "finance").body
        assert both["spec"]["limits"] == [{"window": "Day", "usd": "200.00"}, {"window": "Month", "usd": "900"}]
        assert both["spec"]["selector"] == selector
        higher = budget("merged", limits=[{"window": "Day", "usd": "300.00"}, {"window": "Month", "usd": "999"}])
        conflict = kinds.apply(higher, "team")
        assert conflict.status == 409
        assert 'conflict with "finance": .spec.limits[window="Month"].usd' in conflict.body["message"]
        other["spec"]["limits"] = [{"window": "Year", "usd": "5000"}]
        found = kinds.apply(other, "finance").body["spec"]["limits"]
        assert sorted(limit["window"] for limit in found) == ["Day", "Year"]
    finally:
        kinds.delete(document)


def test_an_edit_that_breaks_a_rule_is_refused(kinds):
    """Rules hold for updates too, and an object that was fine before stays as it was."""
    document = budget("edited")
    try:
        assert kinds.ask(document, dry_run=None).accepted
        document["spec"]["limits"].append({"window": "Day", "usd": "1"})
        assert (
            kinds.call("PATCH", kinds.path(document, "edited"), document, "application/merge-patch+json").status == 422
        )
        kept = kinds.call("GET", kinds.path(document, "edited")).body
        assert len(kept["spec"]["limits"]) == 1
    finally:
        kinds.delete(document)


def examples():
    """Every budget that the documentation and the demo show."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "tests" / "demo" / "budgets.yaml"]:
        text = path.read_text()
        blocks = [text] if path.suffix == ".yaml" else [b.partition("```")[0] for b in text.split("```yaml\n")[1:]]
        for block in blocks:
            for document in yaml.safe_load_all(block):
                if isinstance(document, dict) and document.get("kind", "").endswith("WorkflowBudget"):
                    yield pytest.param(document, id=f"{path.name}-{document['metadata']['name']}")


@pytest.mark.parametrize("document", list(examples()))
def test_what_is_shown_works(kinds, document):
    """A budget that people copy from us is taken, and means the same in the cluster as around one command."""
    namespace = document["metadata"].get("namespace")
    if namespace:
        kinds.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
    answer = kinds.ask(document)
    assert answer.accepted, answer.body["message"]
    assert parse_budget(answer.body) == parse_budget(json.loads(json.dumps(document)))
