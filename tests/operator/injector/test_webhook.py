"""The injector as a process behind a real API server: pods come out of admission with the sidecar, or with a sentence."""

import base64
import datetime
import json
import ssl
import sys
import urllib.error
import urllib.request

import pytest
import yaml

from harness.processes import start
from harness.until import until
from wfb_operator.certificates.issue import make_leaf, make_root

SETTINGS = {"image": "example.invalid/sidecar:1", "version": "0.1.0", "ledgerURL": "https://wfb-ledger.wfb-system.svc"}
HOOKS = {
    "namespace.injector.aifinops.dev": ({"aifinops.dev/inject": "true"}, "NotIn"),
    "pod.injector.aifinops.dev": ({}, "In"),
}


def hook(name, url, roots, labels, operator):
    """One webhook as the chart states it, but by address."""
    values = ["true", "false"] if operator == "NotIn" else ["true"]
    return {
        "name": name,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "timeoutSeconds": 5,
        "clientConfig": {"url": f"{url}/inject", "caBundle": base64.b64encode(roots).decode()},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "namespaceSelector": {"matchLabels": labels},
        "objectSelector": {
            "matchExpressions": [{"key": "aifinops.dev/inject", "operator": operator, "values": values}]
        },
    }


@pytest.fixture(scope="module")
def injector(api_server, tmp_path_factory):
    """The process, registered with the API server; its certificate's folder and root beside it."""
    folder = tmp_path_factory.mktemp("injector")
    now = datetime.datetime.now(datetime.UTC)
    root = make_root(now)
    write(folder, make_leaf(now, root, ("localhost",)))
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    process = start(
        [
            *(sys.executable, "-m", "wfb_operator.injector.main", "--certificate", str(folder)),
            *("--settings", str(folder / "settings.yaml"), "--kubeconfig", str(api_server.kubeconfig)),
        ],
        folder / "log",
        env=api_server.environment(),
    )
    url = process.ready["url"].replace("127.0.0.1", "localhost")
    hooks = [hook(name, url, root.certificate, *how) for name, how in HOOKS.items()]
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "wfb-injector-test"},
        "webhooks": hooks,
    }
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    spaces = {"asks": {"aifinops.dev/inject": "true"}, "silent": {}}
    spaces["restricted"] = {"aifinops.dev/inject": "true", "pod-security.kubernetes.io/enforce": "restricted"}
    for name, labels in spaces.items():
        api_server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        api_server.apply({**account, "metadata": {"name": "default", "namespace": name}})
    api_server.apply(configuration)
    yield process, url, folder, root
    api_server.kubectl("delete", "mutatingwebhookconfiguration", "wfb-injector-test")
    process.stop()


def write(folder, pair):
    """A certificate into the folder that the process reads."""
    (folder / "tls.crt").write_bytes(pair.certificate)
    (folder / "tls.key").write_bytes(pair.key)


def make(api, namespace, *, name="p", dry=True, owner=None, **more):
    """Asks the API server for a pod; (the pod or None, what was printed)."""
    secure = {
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    }
    labels = more.pop("labels", {})
    metadata = {
        "name": name,
        "namespace": namespace,
        "labels": labels,
        **({"ownerReferences": [owner]} if owner else {}),
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "serviceAccountName": "default",  # as the API server of a whole cluster sets it
            "containers": [{"name": "app", "image": "none.invalid/none", **secure}],
            **more,
        },
    }
    flags = ("--dry-run=server",) if dry else ()
    done = api.try_kubectl("create", "-f", "-", "-o", "json", *flags, input=json.dumps(pod))
    return (json.loads(done.stdout) if not done.returncode else None), done.stderr


def inits(pod):
    """Names of a pod's init containers."""
    return [c["name"] for c in pod["spec"].get("initContainers") or ()]


@pytest.fixture(autouse=True)
def ready(api_server, injector):
    """Waits until the API server has taken the webhooks up, which takes it a moment."""
    said = []

    def injected():
        """Whether a pod comes out with init containers; what was said otherwise is kept for the message."""
        pod, why = make(api_server, "asks")
        said[:] = [why]
        return pod and inits(pod)

    try:
        until(injected, "the webhooks at work", 20)
    except AssertionError as error:
        raise AssertionError(f"{error}: {said}") from error


ADMITTED = {
    "the namespace asks": ("asks", {}, ["wfb-sidecar", "wfb-redirect"]),
    "the pod asks": ("silent", {"labels": {"aifinops.dev/inject": "true"}}, ["wfb-sidecar", "wfb-redirect"]),
    "nobody asks": ("silent", {}, []),
    "the pod opts out": ("asks", {"labels": {"aifinops.dev/inject": "false"}}, []),
    "the node's network": ("asks", {"hostNetwork": True}, []),
    "under Pod Security": ("restricted", {}, ["wfb-sidecar"]),
}


@pytest.mark.parametrize(("namespace", "more", "expected"), ADMITTED.values(), ids=ADMITTED)
def test_what_comes_out_of_admission(api_server, injector, namespace, more, expected):
    """The API server's own selectors and the injector's choice, together; a restricted namespace admits what was made."""
    pod, said = make(api_server, namespace, **more)
    assert pod, said
    assert inits(pod) == expected
    assert ("forbids redirection" in said) == (namespace == "restricted")


def test_a_refused_pod_says_why(api_server, injector):
    """The message reaches whoever made the pod, with the way out."""
    pod, said = make(api_server, "asks", securityContext={"runAsUser": 64802})
    assert pod is None
    assert "whose traffic passes uncounted. Choose another runAsUser" in said


def test_an_owner_is_told_once(api_server, injector):
    """Two pods of one ReplicaSet that cannot be injected make one Event, on the ReplicaSet."""
    owner = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "name": "web",
        "uid": "11111111-1111-1111-1111-111111111111",
    }
    owner["controller"] = True
    for name in ("web-1", "web-2"):
        make(api_server, "asks", name=name, owner=owner, hostNetwork=True)
    found = until(lambda: api_server.get("events", "-n", "asks")["items"], "an Event")
    assert [(e["involvedObject"]["kind"], e["reason"]) for e in found] == [("ReplicaSet", "SidecarSkipped")]


def ask(url, root, body, path="/inject"):
    """(status, text) of the injector itself."""
    context = ssl.create_default_context(cadata=root.certificate.decode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(urllib.request.Request(url + path, body), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"request":{}}', b'{"apiVersion":"x","request":{"kind":{"kind":"Pod"}}}']
)
def test_what_is_no_review_is_told_so(injector, body):
    """A body that cannot be answered is a 400 with a sentence, never an allowed pod."""
    _, url, _, root = injector
    status, text = ask(url, root, body)
    assert status == 400
    assert "AdmissionReview" in text


def test_an_unknown_namespace_refuses_the_pod(injector):
    """What a namespace says is not known, so the pod is not let through uncounted, and it is counted."""
    _, url, _, root = injector
    request = {"uid": "u", "namespace": "nowhere", "kind": {"kind": "Pod"}, "object": {"metadata": {}, "spec": {}}}
    status, text = ask(url, root, json.dumps({"apiVersion": "admission.k8s.io/v1", "request": request}).encode())
    response = json.loads(text)["response"]
    assert (status, response["allowed"], response["uid"]) == (200, False, "u")
    assert "namespace nowhere cannot be read" in response["status"]["message"]
    assert 'reason="NamespaceUnknown"' in ask(url, root, None, "/metrics")[1]
