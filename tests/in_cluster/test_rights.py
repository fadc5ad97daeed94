"""Rights: what each ServiceAccount may do and, tried, may not; what a pod's token opens at the ledger, and what it does not."""

import json

import pytest

from cluster.images import PREFIX, tag
from cluster.install import AUDIENCE, SYSTEM
from cluster.workloads import Agent, budget, namespace
from harness.until import until

MAY = {
    "wfb-ledger": [
        ("get", "pods"),
        ("get", "namespaces"),
        ("get", "replicasets.apps"),
        ("get", "jobs.batch"),
        ("get", "workflows.argoproj.io"),
        ("create", "tokenreviews.authentication.k8s.io"),
        ("create", "subjectaccessreviews.authorization.k8s.io"),
    ],
    "wfb-controller": [
        ("watch", "workflowbudgets.aifinops.dev"),
        ("watch", "clusterworkflowbudgets.aifinops.dev"),
        ("patch", "workflowbudgets.aifinops.dev/status"),
        ("list", "pods"),
        ("list", "namespaces"),
        ("create", "events"),
    ],
    "wfb-injector": [("get", "namespaces"), ("create", "events")],
}
MAY_NOT = (
    ("get", "secrets"),
    ("list", "secrets"),
    ("list", "configmaps"),
    ("create", "pods"),
    ("delete", "pods"),
    ("create", "pods/exec"),
    ("patch", "deployments.apps"),
    ("patch", "workflowbudgets.aifinops.dev"),
    ("delete", "workflowbudgets.aifinops.dev"),
    ("create", "workflowbudgets.aifinops.dev"),
    ("patch", "namespaces"),
    ("create", "serviceaccounts/token"),
    ("impersonate", "users"),
    ("create", "clusterrolebindings.rbac.authorization.k8s.io"),
    ("patch", "mutatingwebhookconfigurations.admissionregistration.k8s.io"),
)


@pytest.mark.parametrize("account", MAY)
def test_an_account_may_do_what_it_needs_and_nothing_else(cluster, installed, account):
    """The API server is asked about every verb of the table, for the account, in another namespace than its own."""
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{SYSTEM}", "system:authenticated"]
    user = {"user": f"system:serviceaccount:{SYSTEM}:{account}", "groups": groups}

    def may(verb, resource):
        # A review rather than `kubectl auth can-i`, which takes a kind that the cluster lacks for one without a group.
        whole, _, part = resource.partition("/")
        name, _, group = whole.partition(".")
        asked = {"verb": verb, "resource": name, "group": group, "subresource": part, "namespace": "default"}
        spec = {**user, "resourceAttributes": asked}
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
        told = cluster.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(review))
        return json.loads(told)["status"]["allowed"]

    assert [pair for pair in MAY[account] if not may(*pair)] == []
    assert [pair for pair in MAY_NOT if may(*pair)] == []


@pytest.mark.parametrize("account", MAY)
def test_an_accounts_own_token_is_refused_what_it_may_not(cluster, installed, account, tmp_path):
    """The token itself, not impersonation: reading Secrets, changing a budget and making a pod are forbidden."""
    token = cluster.kubectl("create", "token", account, "-n", SYSTEM).strip()
    as_account = ("--token", token, "--kubeconfig", str(_nobody(cluster, tmp_path)))
    for command in (
        ("get", "secrets", "-n", "default"),
        ("get", "secret", "wfb-other", "-n", SYSTEM),
        ("delete", "--raw", "/apis/aifinops.dev/v1alpha1/namespaces/default/workflowbudgets/x"),
        ("run", "x", "--image=x", "-n", "default"),
    ):
        refused = cluster.try_kubectl(*command, *as_account)
        assert refused.returncode, command
        assert "forbidden" in refused.stderr.lower(), refused.stderr


@pytest.fixture(scope="module")
def pods(cluster, installed, providers, fresh):
    """Two pods of two workflows, and the sidecars' tokens: {name: (uid, token)}."""
    where = fresh("rights")
    cluster.apply(namespace(where))
    cluster.apply(providers.roots(where))
    found = {}
    for name in ("ours", "theirs"):
        cluster.apply(budget(name, "1.00", {"workflow": name}, where))
        agent = Agent("openai-python", name, providers, calls=1, env=(("LINGER", "600"),))
        cluster.apply(agent.pod(name, where))
    for name in ("ours", "theirs"):
        cluster.kubectl("wait", "-n", where, f"pod/{name}", "--for=condition=Ready", "--timeout=60s")
        token = cluster.kubectl("exec", "-n", where, name, "-c", "wfb-sidecar", "--", "cat", "/var/run/wfb/token/token")
        found[name] = (cluster.get("pod", name, "-n", where)["metadata"]["uid"], token.strip())
    until(lambda: len(installed.usage("namespace,workflow", namespace=where)) == 2, "both in the books", 30)
    yield found
    cluster.kubectl("delete", "namespace", where, "--wait=false")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/usage?by=workflow", None),
        ("GET", "/v1/summary", None),
        ("GET", "/v1/decisions", None),
        ("GET", "/v1/budgets", None),
        ("PUT", "/v1/budgets", {"budgets": []}),
        ("PUT", "/v1/prices", {}),
        ("PUT", "/v1/identities", {"identities": []}),
        ("POST", "/v1/release", {}),
    ],
)
def test_a_pods_token_reads_no_spend_and_raises_no_grant(installed, pods, method, path, body):
    """Everything but its own report and scope is forbidden to a sidecar's token."""
    status, text = installed.ask(method, path, body, token=pods["ours"][1])
    assert status == 403, text


def test_a_pod_cannot_report_for_another_pod(installed, pods):
    """A report under another pod's name, told with a pod's own token, is refused and nothing of it is booked."""
    before = installed.books("/v1/usage?by=workflow")
    theirs, _ = pods["theirs"]
    holder = {"holder": f"{theirs}/x", "life": 1, "sequence": 1, "windows": {}, "usage": [], "decisions": []}
    status, text = installed.ask("POST", "/v1/report", holder, token=pods["ours"][1])
    assert status in (400, 403), text
    assert installed.books("/v1/usage?by=workflow") == before


@pytest.mark.parametrize("token", ["nobody", "other audience", "not a pod's"])
def test_a_token_that_is_nobodys_opens_nothing(cluster, installed, pods, token):
    """Neither an invented one, nor one for the API server, nor one of an account without a pod."""
    made = {
        "nobody": lambda: "abc.def.ghi",
        "other audience": lambda: cluster.kubectl("create", "token", "wfb-controller", "-n", SYSTEM).strip(),
        "not a pod's": lambda: cluster.kubectl(
            "create", "token", "default", "-n", "default", "--audience", AUDIENCE
        ).strip(),
    }[token]()
    for path in ("/v1/scope?version=0", "/v1/usage?by=workflow"):
        status, text = installed.ask("GET", path, token=made)
        assert status in (401, 403), (path, text)


def test_a_pods_account_reads_the_spend_that_it_may_see(cluster, installed, pods, fresh):
    """`kubectl wfb report` in a pod, without a kubeconfig, reads its own namespace with the pod's account, and no other's."""
    where = fresh("rights")
    metadata = {"name": "reader", "namespace": where}
    view = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    subject = {"kind": "ServiceAccount", **metadata}
    report = ["kubectl-wfb", "report", "--by", "workflow", "-o", "json"]
    image = {"image": f"{PREFIX}/operator:{tag()}", "imagePullPolicy": "Never"}
    containers = [
        {"name": "own", "command": report, **image},
        {"name": "other", "command": [*report, "-n", "default"], **image},
    ]
    spec = {"serviceAccountName": "reader", "restartPolicy": "Never", "containers": containers}
    labels = {"aifinops.dev/inject": "false"}
    cluster.apply(
        [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": metadata,
                "roleRef": view,
                "subjects": [subject],
            },
            {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "labels": labels}, "spec": spec},
        ]
    )
    ended = until(lambda: _exit_codes(cluster, where, "reader"), "both reports", 90)
    told = {name: cluster.kubectl("logs", "-n", where, "reader", "-c", name) for name in ended}
    assert ended["own"] == 0, told
    rows = json.loads(told["own"])["usage"]
    assert {row["workflow"] for row in rows} == set(pods)
    assert ended["other"] != 0
    assert "you may not read the spend of namespace default" in told["other"]


def _exit_codes(cluster, where, name):
    """Of a pod's containers, as soon as all have ended."""
    statuses = cluster.get("pod", name, "-n", where)["status"].get("containerStatuses", ())
    ended = {one["name"]: one["state"]["terminated"]["exitCode"] for one in statuses if "terminated" in one["state"]}
    return ended if len(ended) == 2 else {}


def _nobody(cluster, folder):
    """A kubeconfig that knows the server and no user."""
    document = json.loads(cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    document["users"] = [{"name": document["contexts"][0]["context"]["user"], "user": {}}]
    path = folder / "nobody.kubeconfig"
    path.write_text(json.dumps(document))
    return path
