"""The webhook's certificate is replaced while the API server asks all the time: no request is dropped, and the new one serves."""

import datetime
import http.client
import json
import ssl
import sys
import threading

import pytest
import yaml

from harness.processes import start
from harness.until import until
from wfb_operator.certificates.issue import make_leaf, make_root

SETTINGS = {"image": "example.invalid/sidecar:1", "version": "0.1.0", "ledgerURL": "https://wfb-ledger.wfb-system.svc"}
ASKERS = 4


class Asker:
    """Sends reviews one after the other, on a connection kept or on new ones, and keeps what went wrong."""

    def __init__(self, port, roots, *, keeps):
        self._port, self._roots, self._keeps = port, roots, keeps
        self._ending = threading.Event()
        self.answered, self.failures, self.serials = 0, [], set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        connection = None
        while not self._ending.is_set():
            try:
                if connection is None:
                    context = ssl.create_default_context(cadata=self._roots)
                    connection = http.client.HTTPSConnection("localhost", self._port, timeout=20, context=context)
                connection.request("POST", "/inject", json.dumps(REVIEW), {"content-type": "application/json"})
                self.serials.add(connection.sock.getpeercert()["serialNumber"])
                said = json.loads(connection.getresponse().read())
                if not said["response"]["allowed"] or "patch" not in said["response"]:
                    self.failures.append(said)
                self.answered += 1
            except (OSError, http.client.HTTPException, KeyError) as error:
                self.failures.append(repr(error))
                connection = None
            if not self._keeps and connection is not None:
                connection.close()
                connection = None

    def end(self):
        self._ending.set()
        self._thread.join(30)


REVIEW = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "1",
        "namespace": "rotates",
        "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "object": {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": "rotates"},
            "spec": {"containers": [{"name": "app", "image": "none.invalid/none"}]},
        },
    },
}


@pytest.fixture
def served(api_server, tmp_path):
    """The injector's process with a first certificate: (its port, its folder, the root)."""
    now = datetime.datetime.now(datetime.UTC)
    root = make_root(now)
    write(tmp_path, make_leaf(now, root, ("localhost",)))
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    labels = {"aifinops.dev/inject": "true"}
    api_server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rotates", "labels": labels}})
    command = [sys.executable, "-m", "wfb_operator.injector.main", "--certificate", str(tmp_path)]
    command += ["--settings", str(tmp_path / "settings.yaml"), "--kubeconfig", str(api_server.kubeconfig)]
    process = start(command, tmp_path / "log", env=api_server.environment(), timeout=60.0)
    yield int(process.ready["url"].rpartition(":")[2]), tmp_path, root
    process.stop()


def write(folder, pair):
    """A certificate into the folder that the process reads, the key first: a moment in which they do not match."""
    (folder / "tls.key").write_bytes(pair.key)
    (folder / "tls.crt").write_bytes(pair.certificate)


def test_no_request_is_dropped_while_certificates_change(served):
    """A leaf of the same root, then one of a new root that clients learned before: connections kept and new ones go on throughout."""
    port, folder, root = served
    now = datetime.datetime.now(datetime.UTC)
    following = make_root(now)
    # Clients hear of a new root long before a leaf is signed by it.
    roots = (root.certificate + following.certificate).decode()
    askers = [Asker(port, roots, keeps=n % 2 == 0) for n in range(ASKERS)]
    fresh = askers[1]
    for signer in (root, following):
        known = len(until(lambda: fresh.serials, "requests"))
        write(folder, make_leaf(now, signer, ("localhost",)))
        until(lambda known=known: len(fresh.serials) > known, "the new certificate", 40)
    for asker in askers:
        asker.end()
    assert [asker.failures for asker in askers] == [[]] * ASKERS
    assert len(fresh.serials) == 3
    assert all(asker.answered > 10 for asker in askers)
