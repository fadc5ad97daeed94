"""The chart: what it renders by its values, that a real API server takes it, and that it asks for no more than it needs."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
import yaml

from cluster import binaries
from cluster.refusals import NotHereError
from harness.prometheus_rules import rules_text

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "workflow-budget-operator"


@pytest.fixture(scope="session")
def helm():
    """The program, built once from its pinned module."""
    try:
        return str(binaries.find_or_build(["helm"])["helm"])
    except NotHereError as why:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs helm: {why}")
        pytest.skip(f"no helm: {why}")


def run(helm, *arguments):
    """(status, what was printed) of helm."""
    done = subprocess.run([helm, *arguments], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def render(helm, *values):
    """The objects of the chart by (kind, name)."""
    sets = [argument for value in values for argument in ("--set", value)]
    done = subprocess.run(
        [helm, "template", "wfb", str(CHART), "-n", "wfb-system", "--kube-version", "1.34.0", *sets],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = [d for d in yaml.safe_load_all(done.stdout) if d]
    return {(d["kind"], d["metadata"]["name"]): d for d in found}


def pods(objects):
    """(name, pod's spec) of everything that makes pods, the test's pod included."""
    for (kind, name), found in objects.items():
        if kind in ("Deployment", "StatefulSet"):
            yield name, found["spec"]["template"]["spec"]
        elif kind == "Pod":
            yield name, found["spec"]


def test_it_passes_helms_own_check(helm):
    """Helm lint, strictly."""
    status, said = run(helm, "lint", "--strict", str(CHART))
    assert status == 0, said


def test_the_kinds_are_those_of_the_project():
    """What the chart carries is byte for byte what crds/ holds."""
    ours = {p.name: p.read_bytes() for p in (ROOT / "crds").glob("*.yaml")}
    assert {p.name: p.read_bytes() for p in (CHART / "files" / "crds").glob("*.yaml")} == ours


def test_every_value_is_described():
    """The schema describes each value that values.yaml has, and nothing is a value that the schema does not know."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    def walk(values, described, path):
        assert described.get("description") or path == "", path
        if isinstance(values, dict) and described.get("properties"):
            for name, value in values.items():
                assert name in described["properties"], f"{path}.{name}"
                walk(value, described["properties"][name], f"{path}.{name}")

    described = schema | {"description": "all"}
    resources = [p for p in _paths(described) if p.endswith(("requests", "limits"))]
    assert resources
    walk(yaml.safe_load((CHART / "values.yaml").read_text()), _filled(described), "")


def _paths(node, path=""):
    for name, below in (node.get("properties") or {}).items():
        yield f"{path}.{name}"
        yield from _paths(below, f"{path}.{name}")


def _filled(node):
    """The schema with a description on requests and limits, which Kubernetes describes."""
    if "properties" in node:
        node = node | {"properties": {k: _filled(v) for k, v in node["properties"].items()}}
    return {"description": "of Kubernetes"} | node


def test_usage_is_kept_no_longer_finely_than_coarsely(helm):
    """A shorter keepDays alone shortens the finer ones, or the ledger would not start."""
    status, said = run(helm, "template", "wfb", str(CHART), "--set", "ledger.keepDays=9")
    assert status == 0, said
    for flag in ("--keep-days=9", "--keep-hours-days=9", "--keep-minutes-days=9", "--keep-runs-days=9"):
        assert f"- {flag}\n" in said


BAD = {
    "a typo": ("ledgerr.keepDays=1", "ledgerr"),
    "a mode that is none": ("sidecar.mode=magic", "value must be one of"),
    "no replicas": ("injector.replicas=0", "minimum"),
    "a policy that is none": ("injector.failurePolicy=Maybe", "value must be one of"),
    "a Secret without its root": ("certificates.source=existingSecret", "webhookCABundle"),
    "a collector that is no address": ("otlp.endpoint=collector", "does not match pattern"),
    "an enforcement that is none": ("enforcement=Maybe", "value must be one of"),
    "a threshold that is no time": ("alerts.thresholds.staleFor=soon", "does not match pattern"),
    "a threshold that nothing has": ("alerts.thresholds.brunRate=2", "brunRate"),
    "a label that no metric has": ("metrics.mostValues.pod=2", "value must be one of"),
    "a digest that is none": ("images.sidecar.digest=abc", "does not match pattern"),
}


@pytest.mark.parametrize(("value", "words"), BAD.values(), ids=BAD)
def test_a_value_that_means_nothing_is_refused(helm, value, words):
    """At install time, naming the value; nothing is half installed."""
    status, said = run(helm, "template", "wfb", str(CHART), "--set", value)
    assert status != 0
    assert words in said


TOGGLES = {
    "crds.enabled=false": (
        {
            ("CustomResourceDefinition", "workflowbudgets.aifinops.dev"),
            ("CustomResourceDefinition", "clusterworkflowbudgets.aifinops.dev"),
        },
        set(),
    ),
    "injector.replicas=1": ({("PodDisruptionBudget", "wfb-injector")}, set()),
    "podDisruptionBudget.enabled=false": ({("PodDisruptionBudget", "wfb-injector")}, set()),
    "podMonitor.enabled=true": (
        set(),
        {("PodMonitor", f"wfb-{part}") for part in ("ledger", "controller", "injector", "sidecars")},
    ),
    "alerts.enabled=true": (set(), {("PrometheusRule", "wfb")}),
    "dashboard.enabled=true": (set(), {("ConfigMap", "wfb-dashboard")}),
    "people.enabled=false": (
        {
            ("APIService", "v1alpha1.spend.aifinops.dev"),
            ("ClusterRole", "wfb-page"),
            ("ClusterRole", "wfb-spend"),
            ("ClusterRoleBinding", "wfb-page"),
            ("RoleBinding", "wfb-ledger-front-proxy"),
        },
        set(),
    ),
    "networkPolicy.enabled=true": (set(), {("NetworkPolicy", "wfb")}),
    "notify.secrets.billing={hook,chat}": (set(), {("Role", "wfb-notify"), ("RoleBinding", "wfb-notify")}),
    "certificates.source=certManager": (
        set(),
        {
            ("Certificate", "wfb-ca"),
            ("Certificate", "wfb-injector"),
            ("Certificate", "wfb-ledger"),
            ("Issuer", "wfb-ca"),
            ("Issuer", "wfb-self-signed"),
        },
    ),
    "certificates.source=certManager,certificates.certManager.issuerRef.name=own": (
        set(),
        {("Certificate", "wfb-injector"), ("Certificate", "wfb-ledger")},
    ),
}


@pytest.mark.parametrize(("value", "change"), TOGGLES.items(), ids=TOGGLES)
def test_a_toggle_adds_or_takes_just_its_objects(helm, value, change):
    """Everything else is there with and without it."""
    before, after = render(helm), render(helm, value)
    assert (before.keys() - after.keys(), after.keys() - before.keys()) == change


def test_kinds_are_kept_unless_told(helm):
    """Uninstalling deletes no budget."""
    name = ("CustomResourceDefinition", "workflowbudgets.aifinops.dev")
    assert render(helm)[name]["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert "helm.sh/resource-policy" not in (render(helm, "crds.keep=false")[name]["metadata"].get("annotations") or {})


def test_every_container_is_restricted(helm):
    """Pod Security restricted, a root file system that is read-only, and bounds on what it takes."""
    seen = 0
    for name, spec in pods(render(helm)):
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            seen += 1
            security = container["securityContext"]
            assert security == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            if name != "wfb-test":
                assert {"requests", "limits"} <= container["resources"].keys()
                assert "livenessProbe" in container
    assert seen == 4


def test_our_own_pods_are_never_injected(helm):
    """Neither by label nor by namespace: an injector that waits for itself never starts."""
    objects = render(helm)
    hooks = objects["MutatingWebhookConfiguration", "wfb-injector"]["webhooks"]
    for hook in hooks:
        (excluded,) = [e["values"] for e in hook["namespaceSelector"]["matchExpressions"] if e["operator"] == "NotIn"]
        assert {"kube-system", "kube-node-lease", "wfb-system"} <= set(excluded)
        assert (hook["failurePolicy"], hook["timeoutSeconds"], hook["reinvocationPolicy"]) == ("Fail", 5, "IfNeeded")
    for found in objects.values():
        if found["kind"] in ("Deployment", "StatefulSet"):
            assert found["spec"]["template"]["metadata"]["labels"]["aifinops.dev/inject"] == "false"


def rights(objects, name):
    """What a ClusterRole allows, as "verb group/resource"."""
    return {
        f"{verb} {group}/{resource}" + (f" {','.join(rule['resourceNames'])}" if rule.get("resourceNames") else "")
        for rule in objects["ClusterRole", name]["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_secrets_of_notices_are_read_by_name_and_only_where_named(helm):
    """A namespace that is named gets a Role for exactly these Secrets, bound to the controller; hosts go to its command line."""
    objects = render(helm, "notify.secrets.billing={hook,chat}", "notify.allow={*.svc,http://10.1.2.3:8080}")
    role, binding = objects["Role", "wfb-notify"], objects["RoleBinding", "wfb-notify"]
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "billing"
    wanted = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["hook", "chat"], "verbs": ["get"]}
    assert role["rules"] == [wanted]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "wfb-controller", "namespace": "wfb-system"}]
    (container,) = objects["Deployment", "wfb-controller"]["spec"]["template"]["spec"]["containers"]
    assert {"--notify-allow=*.svc", "--notify-allow=http://10.1.2.3:8080"} <= set(container["args"])


def test_rights_are_these_and_no_others(helm):
    """The ledger reads, the controller writes status and Events, the injector reads namespaces; nobody reads Secrets of others."""
    objects = render(helm)
    assert rights(objects, "wfb-ledger") == {
        "create authentication.k8s.io/tokenreviews",
        "get /pods",
        "get /namespaces",
        "get apps/replicasets",
        "get batch/jobs",
        "get argoproj.io/workflows",
        "create authorization.k8s.io/subjectaccessreviews",
    }
    assert rights(objects, "wfb-injector") == {"get /namespaces", "create /events"}
    budgets = ("workflowbudgets", "clusterworkflowbudgets")
    assert rights(objects, "wfb-controller") == {
        *(f"{verb} aifinops.dev/{kind}" for verb in ("get", "list", "watch") for kind in budgets),
        *(f"patch aifinops.dev/{kind}/status" for kind in budgets),
        *(f"{verb} /{kind}" for verb in ("get", "list", "watch") for kind in ("pods", "namespaces")),
        "create /events",
        *(f"{verb} apiextensions.k8s.io/customresourcedefinitions" for verb in ("get", "list", "watch")),
        *(
            f"{verb} admissionregistration.k8s.io/mutatingwebhookconfigurations wfb-injector"
            for verb in ("get", "patch")
        ),
        *(f"{verb} apiregistration.k8s.io/apiservices v1alpha1.spend.aifinops.dev" for verb in ("get", "patch")),
    }
    assert rights(objects, "wfb-spend") == {
        f"list spend.aifinops.dev/{name}"
        for name in ("summaries", "usage", "decisions", "stages", "runs", "anomalies", "loops")
    }
    assert rights(objects, "wfb-page") == {"get spend.aifinops.dev/page"}
    for name in ("certManager", "existingSecret"):
        more = ["certificates.webhookCABundle=cm9vdA=="] if name == "existingSecret" else []
        without = render(helm, f"certificates.source={name}", *more)
        assert not any("mutatingwebhook" in right for right in rights(without, "wfb-controller"))
        verbs = {verb for rule in without["Role", "wfb-certificates"]["rules"] for verb in rule["verbs"]}
        assert verbs == {"get"}


def test_a_real_api_server_takes_all_of_it(helm, api_server):
    """Every object of the default render is valid, by a dry run with strict fields."""
    objects = [o for o in render(helm).values() if "helm.sh/hook" not in (o["metadata"].get("annotations") or {})]
    api_server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "wfb-system"}})
    api_server.apply(objects, "--dry-run=server")


def test_command_lines_are_those_that_the_programs_know(helm):
    """Each argument that the chart passes is one of the program's own options."""
    for name, spec in pods(render(helm)):
        program, *arguments = spec["containers"][0]["args"]
        module = {
            "wfb-ledger": "wfb_operator.ledger.main",
            "wfb-controller": "wfb_operator.controller.main",
            "wfb-injector": "wfb_operator.injector.main",
            "wfb": "wfb_operator.cli.main",
        }[program]
        help_of = [a for a in arguments if not a.startswith("-")][:1]
        done = subprocess.run(
            [sys.executable, "-m", module, *help_of, "--help"], capture_output=True, text=True, check=True
        )
        for argument in arguments:
            if argument.startswith("--"):
                assert argument.partition("=")[0] in done.stdout, (name, argument)


def test_the_rules_are_those_that_were_tested(helm):
    """What Prometheus gets is what promtool is told stories of, with the thresholds of the values."""
    rule = render(helm, "alerts.enabled=true", "alerts.labels.release=kube")["PrometheusRule", "wfb"]
    assert rule["spec"] == yaml.safe_load(rules_text())
    assert rule["metadata"]["labels"]["release"] == "kube"
    other = render(helm, "alerts.enabled=true", "alerts.thresholds.burnRateFactor=6", "alerts.runbooks=https://x/")
    assert other["PrometheusRule", "wfb"]["spec"] == yaml.safe_load(rules_text(burnRateFactor=6, runbooks="https://x"))


def test_the_dashboard_is_the_file(helm):
    """Byte for byte a document that Grafana reads, under the label that its sidecar looks for."""
    found = render(helm, "dashboard.enabled=true")["ConfigMap", "wfb-dashboard"]
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(found["data"]["workflow-budgets.json"]) == json.loads(
        (CHART / "files" / "monitoring" / "dashboard.json").read_text()
    )


def test_the_ledger_is_told_how_many_values_a_label_has(helm):
    """One argument a label."""
    ledger = render(helm, "metrics.mostValues.workflow=5000")["StatefulSet", "wfb-ledger"]
    assert "--metrics-most=workflow=5000" in ledger["spec"]["template"]["spec"]["containers"][0]["args"]


@pytest.mark.parametrize("enforcement", ["Enforce", "Report"])
def test_the_controller_is_told_whether_budgets_are_enforced(helm, enforcement):
    """One value for the whole installation."""
    controller = render(helm, f"enforcement={enforcement}")["Deployment", "wfb-controller"]
    arguments = controller["spec"]["template"]["spec"]["containers"][0]["args"]
    assert f"--enforcement={enforcement}" in arguments


def test_what_prometheus_scrapes_is_there_and_verified(helm):
    """Each port that a PodMonitor names is one of its pods'; certificates are checked, and the ledger alone is sent its token."""
    objects = render(helm, "podMonitor.enabled=true", "metrics.tokenSecret.name=scrape")
    for name, workload, port in (
        ("ledger", "StatefulSet", "https"),
        ("controller", "Deployment", "http"),
        ("injector", "Deployment", "https"),
    ):
        spec = objects["PodMonitor", f"wfb-{name}"]["spec"]
        template = objects[workload, f"wfb-{name}"]["spec"]["template"]
        assert spec["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
        ports = [port, "people"] if name == "ledger" else [port]
        assert [p["name"] for p in template["spec"]["containers"][0]["ports"]] == ports
        (endpoint,) = spec["podMetricsEndpoints"]
        assert (endpoint["port"], endpoint["honorLabels"]) == (port, True)
    sidecars = objects["PodMonitor", "wfb-sidecars"]["spec"]
    assert (sidecars["namespaceSelector"], sidecars["selector"]) == ({"any": True}, {})
    assert sidecars["podMetricsEndpoints"][0]["port"] == "wfb-health"
    ledger, injector = (
        objects["PodMonitor", f"wfb-{name}"]["spec"]["podMetricsEndpoints"][0] for name in ("ledger", "injector")
    )
    for name, endpoint in (("ledger", ledger), ("injector", injector)):
        assert endpoint["tlsConfig"] == {
            "ca": {"secret": {"name": f"wfb-{name}-tls", "key": "ca.crt"}},
            "serverName": f"wfb-{name}.wfb-system.svc",
        }
    assert "authorization" not in injector
    assert ledger["authorization"] == {"credentials": {"name": "scrape", "key": "token"}}
    spec = objects["StatefulSet", "wfb-ledger"]["spec"]["template"]["spec"]
    assert "--metrics-token-file=/etc/wfb/metrics/token" in spec["containers"][0]["args"]
    (volume,) = [v for v in spec["volumes"] if v["name"] == "metrics"]
    assert volume["secret"]["secretName"] == "scrape"
    assert (
        "authorization"
        not in render(helm, "podMonitor.enabled=true")["PodMonitor", "wfb-ledger"]["spec"]["podMetricsEndpoints"][0]
    )


def test_metrics_go_to_a_collector_only_where_one_is_named(helm):
    """Nothing leaves the cluster unasked."""
    for endpoint, sent in (("", []), ("http://c:4318", ["--otlp-endpoint=http://c:4318", "--otlp-seconds=60"])):
        ledger = render(helm, f"otlp.endpoint={endpoint}")["StatefulSet", "wfb-ledger"]
        arguments = ledger["spec"]["template"]["spec"]["containers"][0]["args"]
        assert [a for a in arguments if a.startswith("--otlp")] == sent


def test_a_collectors_headers_come_from_a_secret(helm):
    """Mounted for the ledger alone, and only where there is a collector to send them to."""
    named = ("otlp.headersSecret.name=collector", "otlp.headersSecret.key=h")
    for values, mounted in ((("otlp.endpoint=https://c:4318", *named), True), (named, False)):
        pod = render(helm, *values)["StatefulSet", "wfb-ledger"]["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert ("--otlp-headers-file=/etc/wfb/otlp/h" in container["args"]) is mounted
        assert ("/etc/wfb/otlp" in [m["mountPath"] for m in container["volumeMounts"]]) is mounted
        volumes = [v["secret"] for v in pod["volumes"] if v["name"] == "otlp"]
        secret = {"secretName": "collector", "defaultMode": 0o440, "items": [{"key": "h", "path": "h"}]}
        assert volumes == ([secret] if mounted else [])
