"""Controller and ledger as processes beside an API server: what a chart would install, without its pods."""

import base64
import json
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from harness import until as waiting
from harness.processes import start
from wfb_core.grants import Claim, Need, Report
from wfb_core.wire import Batch, Dispatch, UsageRow, encode_dispatch

CRDS = Path(__file__).resolve().parents[2] / "crds"
SYSTEM, BILLING = "wfb-system", "billing"
USD = 1_000_000_000
AUDIENCE = "wfb.aifinops.dev"
PATIENCE = 60.0
"""Seconds for what takes a second or three: a busy machine is no failure of the controller's."""


def until(probe, what):
    """Waits with more patience than most."""
    return waiting.until(probe, what, PATIENCE)


def account(name, namespace):
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


def namespace(name, **labels):
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def pod(name, workflow, *, version="0.1.0"):
    """A pod object; nothing runs it here."""
    injected = {"aifinops.dev/injected": json.dumps({"version": version, "mode": "proxy-env"})} if version else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": BILLING,
            "labels": {"aifinops.dev/workflow": workflow},
            "annotations": injected,
        },
        "spec": {"containers": [{"name": "app", "image": "none.invalid/none"}], "serviceAccountName": "default"},
    }


def budget(name="triage", usd="10.00", **spec):
    return {
        "apiVersion": "aifinops.dev/v1alpha1",
        "kind": "WorkflowBudget",
        "metadata": {"name": name, "namespace": BILLING},
        "spec": {
            "selector": {"matchLabels": {"aifinops.dev/workflow": name}},
            "limits": [{"window": "Total", "usd": usd}],
            "ladder": [{"atPercent": 50, "action": "Warn"}],
            **spec,
        },
    }


class Plane:
    """The control plane under test: what a chart would install, without its pods."""

    def __init__(self, api, folder, port, kubeconfig=None, controller=()):
        """``kubeconfig`` is another way to the API server, for controller and ledger alone; ``controller`` are arguments of it."""
        self.api, self.folder, self.port = api, folder, port
        self.kubeconfig, self.url = kubeconfig or api.kubeconfig, f"https://localhost:{port}"
        self.ledger = self.controller = None
        self._more = controller
        self._seq, self._spent = {}, {}

    def install(self):
        """Kinds, namespaces, accounts, and a token for the controller."""
        self.api.apply([yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))])
        self.api.wait_established("workflowbudgets.aifinops.dev", "clusterworkflowbudgets.aifinops.dev")
        self.api.apply(
            [namespace(SYSTEM), namespace(BILLING), account("wfb-controller", SYSTEM), account("default", BILLING)]
        )
        self.token("controller", SYSTEM, "wfb-controller")

    def token(self, name, where, who, pod=None, audience=AUDIENCE):
        """A token of an account in a file, bound to a pod where one is given."""
        bound = ("--bound-object-kind=Pod", f"--bound-object-name={pod}") if pod else ()
        said = self.api.kubectl("create", "token", who, "-n", where, f"--audience={audience}", *bound).strip()
        path = self.folder / f"{name}.token"
        path.write_text(said)
        return said

    def start_controller(self, kubeconfig=None):
        """The controller, which makes the certificates too; with another kubeconfig as somebody else."""
        self.controller = start(
            [
                *(sys.executable, "-m", "wfb_operator.controller.main", "--ledger-url", self.url),
                *("--ledger-secret", f"{SYSTEM}:wfb-ledger-tls", "--certificates", SYSTEM),
                *("--token-file", str(self.folder / "controller.token"), "--kubeconfig"),
                str(kubeconfig or self.kubeconfig),
                *self._more,
            ],
            self.folder / "controller.log",
            env=self.api.environment(),
            timeout=PATIENCE,
        )

    def start_ledger(self):
        """The ledger, with the certificate that the controller has made."""
        tls = self.folder / "tls"
        tls.mkdir(exist_ok=True)
        for key, value in until(self.certificate, "the controller making the certificate").items():
            (tls / key).write_bytes(base64.b64decode(value))
        self.ledger = start(
            [
                *(sys.executable, "-m", "wfb_operator.ledger.main", "--state", str(self.folder / "ledger")),
                *("--listen", f"127.0.0.1:{self.port}", "--reviews", str(self.kubeconfig), "--tls", str(tls)),
                *("--controller-account", f"{SYSTEM}:wfb-controller"),
            ],
            self.folder / "ledger.log",
            env=self.api.environment(),
            timeout=PATIENCE,
        )

    def start(self):
        """All of it."""
        self.install()
        self.start_controller()
        self.start_ledger()
        return self

    def stop(self):
        """The processes."""
        for process in (self.controller, self.ledger):
            if process is not None:
                process.stop()

    def controller_says(self):
        """Its log."""
        return (self.folder / "controller.log").read_text()

    def metric(self, name):
        """One of the controller's figures without labels; None where it has none of the name."""
        with urllib.request.urlopen(f"{self.controller.ready['url']}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return next((float(line.split()[1]) for line in lines if line.split()[0] == name), None)

    def certificate(self):
        """The data of the ledger's Secret."""
        found = self.api.try_kubectl("get", "secret", "wfb-ledger-tls", "-n", SYSTEM, "-o", "json")
        return json.loads(found.stdout)["data"] if not found.returncode else None

    # -- what sidecars do
    def ask(self, method, path, token, body=None):
        """(status, answer) of the ledger."""
        context = ssl.create_default_context(cafile=str(self.folder / "tls" / "ca.crt"))
        context.check_hostname = False  # it is asked by its address here, and by its Service's name in a cluster
        request = urllib.request.Request(f"{self.url}{path}", body, {"authorization": f"Bearer {token}"}, method=method)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def report(self, token, uid, claims, needs=(), rows=(), decisions=()):
        """(status, answer) of one report of a sidecar's."""
        seq = self._seq[uid] = self._seq.get(uid, 0) + 1
        batches = (Batch(seq, tuple(rows), tuple(decisions)),) if rows or decisions else ()
        dispatch = Dispatch(Report(f"{uid}/1", 1, seq, claims, tuple(needs)), batches)
        return self.ask("POST", "/v1/report", token, encode_dispatch(dispatch))

    def spend(self, token, uid, usd, key="triage"):
        """A sidecar asks for money, gets it, and says that it was spent: in all so many dollars."""
        window, nanos, before = f"{BILLING}/{key}|Total|", int(float(usd) * USD), self._spent.get(uid, 0)
        cost = nanos - before
        claim = Claim(before, 0, 0, before, 0)
        status, answer = self.report(token, uid, {window: claim}, [Need(1, cost, cost, (window,), 0.0)])
        assert status == 200, answer
        assert answer["reply"]["answers"] == {"1": "granted"}, answer
        row = UsageRow(29_000_000, "openai", "gpt-5", "gpt-5", "ok", False, 1, 0, 10, 0, 0, 5, 0, cost, cost)
        status, answer = self.report(token, uid, {window: Claim(nanos, 0, 0, nanos, 0)}, (), [row])
        self._spent[uid] = nanos
        return status, answer

    # -- what people see
    def status(self, name="triage"):
        """A budget's status; empty before there is one."""
        return self.api.get("workflowbudget", name, "-n", BILLING).get("status") or {}

    def condition(self, kind, name="triage"):
        """(status, reason, message) of one condition; None before it is there."""
        found = [c for c in self.status(name).get("conditions", ()) if c["type"] == kind]
        return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else None

    def becomes(self, kind, reason, name="triage"):
        """Waits for a condition to have a reason; returns its message."""
        until(
            lambda: (self.condition(kind, name) or (0, 0))[1] == reason,
            f"{kind} {reason}: {self.condition(kind, name)}",
        )
        return self.condition(kind, name)[2]
