"""People read the books through a real API server: who they are comes from it, and what they may from its RBAC."""

import base64
import json
import ssl
import sys
import urllib.error
import urllib.request

import pytest

from cluster.api_server import free_ports
from harness.processes import start
from harness.until import until
from wfb_core.grants import Report
from wfb_core.wire import Batch, Dispatch, UsageRow, encode_dispatch
from wfb_operator.cli.cluster_books import ClusterBooks
from wfb_operator.cli.state import LedgerError
from wfb_operator.ledger.identities import token_sha256

SYSTEM, ROOT = "wfb-people", "/apis/spend.aifinops.dev/v1alpha1"
ADMIN = "an-admin-token"
SPENT = {"billing": 700_000_000, "research": 5_000_000_000}


def role(name, subject, namespace=""):
    """Who may list spend: in a namespace, or everywhere where none is named."""
    kind = "Role" if namespace else "ClusterRole"
    place = {"namespace": namespace} if namespace else {}
    rbac = "rbac.authorization.k8s.io"
    rule = {"apiGroups": ["spend.aifinops.dev"], "resources": ["*"], "verbs": ["list", "get"]}
    return [
        {"apiVersion": f"{rbac}/v1", "kind": kind, "metadata": {"name": name, **place}, "rules": [rule]},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": f"{kind}Binding",
            "metadata": {"name": name, **place},
            "roleRef": {"apiGroup": rbac, "kind": kind, "name": name},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": subject}],
        },
    ]


class Books:
    """A ledger process that answers people, registered with an API server."""

    def __init__(self, api, folder):
        self.api, self.folder = api, folder
        self.port, self.people = free_ports(2)
        pair = api.authority.sign(SYSTEM, SYSTEM, names=(f"wfb-ledger.{SYSTEM}.svc", "localhost"))
        (folder / "tls").mkdir()
        (folder / "tls" / "tls.crt").write_bytes(pair.certificate.read_bytes())
        (folder / "tls" / "tls.key").write_bytes(pair.key.read_bytes())
        (folder / "admin").write_text(ADMIN)
        self.trust = ssl.create_default_context(cafile=str(api.authority.root))
        command = [sys.executable, "-m", "wfb_operator.ledger.main", f"--state={folder}/state", f"--tls={folder}/tls"]
        command += [f"--listen=127.0.0.1:{self.port}", f"--admin-token-file={folder}/admin"]
        command += [f"--reviews={api.kubeconfig}", f"--people=127.0.0.1:{self.people}"]
        self.process = start(command, folder / "ledger.log")

    def register(self):
        """The Service and the APIService, as a chart would make them."""
        service = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": self.people}]}
        spec = {
            "group": "spend.aifinops.dev",
            "version": "v1alpha1",
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
            "service": {"name": "wfb-ledger", "namespace": SYSTEM, "port": self.people},
            "caBundle": base64.b64encode(self.api.authority.root.read_bytes()).decode(),
        }
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
        name = {"name": "wfb-ledger", "namespace": SYSTEM}
        self.api.apply(
            [
                {"apiVersion": "v1", "kind": "Service", "metadata": name, "spec": service},
                {
                    "apiVersion": "apiregistration.k8s.io/v1",
                    "kind": "APIService",
                    "metadata": {"name": "v1alpha1.spend.aifinops.dev"},
                    "spec": spec,
                },
                *role("spend-billing", "anna", "billing"),
                *role("spend-all", "the-cfo"),
            ]
        )

    def available(self):
        """Whether the API server says so."""
        conditions = self.api.get("apiservice", "v1alpha1.spend.aifinops.dev").get("status", {}).get("conditions", [])
        return any(c["type"] == "Available" and c["status"] == "True" for c in conditions)

    def spend(self):
        """What pods of two namespaces spent, told as their sidecars tell it."""
        identities = [
            {"token_sha256": token_sha256(ns), "role": "sidecar", "holder_prefix": f"{ns}/", "namespace": ns}
            for ns in SPENT
        ]
        self._send("PUT", "/v1/identities", ADMIN, json.dumps({"identities": identities}).encode())
        for ns, nanos in SPENT.items():
            row = UsageRow(29_000_000, "openai", "gpt-5", "gpt-5", "ok", False, 1, 0, 10, 0, 0, 5, 0, nanos, nanos)
            body = encode_dispatch(Dispatch(Report(f"{ns}/1", 1, 1, {}, ()), (Batch(1, (row,)),)))
            self._send("POST", "/v1/report", ns, body)

    def _send(self, method, path, token, body):
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        request = urllib.request.Request(f"https://localhost:{self.port}{path}", body, headers, method=method)
        with urllib.request.urlopen(request, context=self.trust, timeout=10) as answer:
            return json.loads(answer.read())

    def ask_directly(self, pair=None, headers=None):
        """(status, text) of somebody who goes round the API server."""
        context = ssl.create_default_context(cafile=str(self.api.authority.root))
        if pair:
            context.load_cert_chain(pair.certificate, pair.key)
        request = urllib.request.Request(f"https://localhost:{self.people}{ROOT}/usage", headers=headers or {})
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()


@pytest.fixture(scope="module")
def books(api_server, tmp_path_factory):
    """Registered, available, and with something to tell."""
    for ns in SPENT:
        api_server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ns}})
    found = Books(api_server, tmp_path_factory.mktemp("people"))
    try:
        found.register()
        found.spend()
        until(found.available, "the aggregated API available", 60)
        yield found
    finally:
        api_server.try_kubectl("delete", "apiservice", "v1alpha1.spend.aifinops.dev")
        found.process.stop()


def read(api, user, path):
    """(what kubectl said, whether it succeeded) of a person who has a client certificate and no token."""
    done = api.try_kubectl("get", "--raw", ROOT + path, kubeconfig=api.user(user))
    return (json.loads(done.stdout) if done.returncode == 0 else done.stderr), done.returncode == 0


READS = {
    ("anna", "/namespaces/billing/usage?by=namespace"): ["billing"],
    ("anna", "/namespaces/research/usage?by=namespace"): None,
    ("anna", "/usage?by=namespace"): None,
    ("the-cfo", "/usage?by=namespace"): ["research", "billing"],
    ("the-cfo", "/namespaces/billing/usage?by=namespace"): ["billing"],
    ("nobody-in-particular", "/namespaces/billing/usage?by=namespace"): None,
}


@pytest.mark.parametrize(("asked", "expected"), READS.items(), ids=[" ".join(k) for k in READS])
def test_everyone_reads_what_the_clusters_roles_allow(books, asked, expected):
    """A namespace's reader sees that namespace alone, and only who may list everywhere sees everything."""
    found, succeeded = read(books.api, *asked)
    assert succeeded == (expected is not None), found
    if expected is None:
        assert "forbidden" in found.lower()
    else:
        assert [row["namespace"] for row in found["usage"]] == expected


def test_the_api_tells_what_it_has(books):
    """``kubectl api-resources`` lists it, with verbs that let nothing be deleted or watched."""
    told = books.api.kubectl("api-resources", "--api-group=spend.aifinops.dev", "-o", "wide", "--no-headers")
    lines = {line.split()[0]: line for line in told.splitlines()}
    assert sorted(lines) == ["decisions", "page", "runs", "stages", "summaries", "usage"]
    assert all("delete" not in line and "watch" not in line for line in lines.values())


def test_a_mistake_comes_back_as_a_sentence(books):
    """What is wrong with a query is said through the API server too."""
    said, succeeded = read(books.api, "anna", "/namespaces/billing/usage?by=colour")
    assert not succeeded
    assert "'colour' is none of" in said
    said, succeeded = read(books.api, "anna", "/namespaces/billing/summaries?since=yesterday")
    assert not succeeded
    assert "not a whole number" in said


def test_going_round_the_api_server_opens_nothing(books):
    """Without a certificate there is no connection; an administrator's own, with headers made up, is nobody's."""
    with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
        books.ask_directly()
    mine = books.api.authority.sign("mallory", "mallory", ("system:masters",))
    status, text = books.ask_directly(mine, {"X-Remote-User": "the-cfo", "X-Remote-Group": "system:masters"})
    assert status == 401, text
    assert "not the API server's" in text


def test_the_page_comes_with_the_books(books):
    """Its files are the group's too, for whoever has ``kubectl proxy`` and no ``wfb``."""
    page = books.api.kubectl("get", "--raw", f"{ROOT}/page/index.html")
    assert "<title>Workflow budgets</title>" in page
    missing = books.api.try_kubectl("get", "--raw", f"{ROOT}/page/passwd")
    assert "NotFound" in missing.stderr or "no file" in missing.stderr


def test_the_command_lines_books_are_the_users_own(books):
    """``ClusterBooks`` reads with a kubeconfig's rights, and says who has to be asked where they do not reach."""
    anna = str(books.api.user("anna"))
    found = ClusterBooks(anna, namespace="billing").get("usage", {"by": "namespace"})
    assert [(row["namespace"], row["usd"]) for row in found["usage"]] == [("billing", "0.70")]
    with pytest.raises(LedgerError, match="you may not read the spend of all namespaces"):
        ClusterBooks(anna, everywhere=True).get("usage", {})
