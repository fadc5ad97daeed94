"""A ledger that people read through a real API server: registered as the chart registers it, told as sidecars tell it."""

import base64
import json
import ssl
import sys
import urllib.error
import urllib.request

from cluster.api_server import free_ports
from harness.processes import start
from harness.until import until
from wfb_core.wire import encode_dispatch
from wfb_operator.ledger.identities import token_sha256

SYSTEM, ROOT = "wfb-people", "/apis/spend.aifinops.dev/v1alpha1"
ADMIN = "an-admin-token"


def role(name, subject, namespace=""):
    """Who may list spend, and see budgets and pods: in a namespace, or everywhere where none is named."""
    kind = "Role" if namespace else "ClusterRole"
    place = {"namespace": namespace} if namespace else {}
    rbac = "rbac.authorization.k8s.io"
    groups = {"spend.aifinops.dev": ["*"], "aifinops.dev": ["*"], "": ["pods"]}
    rules = [{"apiGroups": [group], "resources": of, "verbs": ["list", "get"]} for group, of in groups.items()]
    return [
        {"apiVersion": f"{rbac}/v1", "kind": kind, "metadata": {"name": name, **place}, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": f"{kind}Binding",
            "metadata": {"name": name, **place},
            "roleRef": {"apiGroup": rbac, "kind": kind, "name": name},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": subject}],
        },
    ]


class PeopleLedger:
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

    def register(self, *roles):
        """The Service and the APIService, as a chart would make them, and who may read."""
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
                *roles,
            ]
        )
        until(self.available, "the aggregated API available", 60)

    def unregister(self):
        """The API server knows nothing of it any more, and it ends."""
        self.api.try_kubectl("delete", "apiservice", "v1alpha1.spend.aifinops.dev")
        self.process.stop()

    def available(self):
        """Whether the API server says so."""
        conditions = self.api.get("apiservice", "v1alpha1.spend.aifinops.dev").get("status", {}).get("conditions", [])
        return any(c["type"] == "Available" and c["status"] == "True" for c in conditions)

    def pods(self, prefixes=None, **labels):
        """Makes it know a pod in each namespace, by the namespace's name as its token; labels by namespace.

        ``prefixes`` are what their holders' names begin with, by namespace: its name and a slash where none is given.
        """
        identities = [
            {
                "token_sha256": token_sha256(ns),
                "role": "sidecar",
                "holder_prefix": (prefixes or {}).get(ns, f"{ns}/"),
                "namespace": ns,
                "labels": given,
            }
            for ns, given in labels.items()
        ]
        self.send("PUT", "/v1/identities", ADMIN, {"identities": identities})

    def report(self, namespace, dispatch):
        """What the pod of a namespace tells; returns the answer."""
        return self.send("POST", "/v1/report", namespace, encode_dispatch(dispatch))

    def send(self, method, path, token, body):
        """A request to the ledger's own door, where sidecars and the controller knock."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
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
