"""The chart's life: upgraded under running sidecars, uninstalled with nothing left hanging, installed again with its books."""

import base64
import json
from decimal import Decimal

from cryptography import x509

from cluster import cert_manager, install
from cluster.install import AUDIT, SYSTEM
from cluster.workloads import Agent, budget, namespace, said
from harness.certificates import Authority
from harness.until import until

PEOPLE = "v1alpha1.spend.aifinops.dev"
TLS = {"ledger": "wfb-ledger-tls", "injector": "wfb-injector-tls"}


def test_the_charts_own_test_passes(cluster, installed):
    """Helm asks the API server for a labelled pod and sees it injected, as docs/install.md tells users to."""
    assert "Succeeded" in install.helm(cluster, "test", "wfb", "--timeout", "120s")


def test_an_upgrade_an_uninstall_and_a_new_install_lose_nothing(cluster, installed, providers, fresh, tmp_path):
    """No call of a running agent fails while the chart is upgraded, and a new install knows what was spent before."""
    where = fresh("release")
    cluster.apply(namespace(where))
    cluster.apply([providers.roots(where), budget("steady", "500.00", {"workflow": "steady"}, where)])
    installed.wait_in_force("steady", where)
    env = (("PAUSE", "0.2"), ("PERSIST", "yes"), ("TOKENS", "5"), ("LABEL", fresh("upgraded")))
    cluster.apply(Agent("openai-python", "steady", providers, calls=100_000, env=env).pod("steady", where))
    cluster.kubectl("wait", "-n", where, "pod/steady", "--for=condition=Ready", "--timeout=60s")
    until(lambda: _statuses(cluster, where).count(200) > 5, "calls", 30)

    changed = install.values(commonLabels={"upgraded": fresh("yes")})
    changed["ledger"]["keepDays"] = 399
    changed["injector"]["replicas"] = 1
    install.upgrade(cluster, tmp_path, changed)
    installed.wait()
    made = _statuses(cluster, where).count(200)
    until(lambda: _statuses(cluster, where).count(200) > made + 20, "calls after the upgrade", 30)
    assert set(_statuses(cluster, where)) == {200}

    cluster.kubectl("delete", "pod", "-n", where, "steady")
    billed = providers.usd(fresh("upgraded"))
    until(lambda: _spent(installed, where) == billed, "the books", 30)
    install.helm(cluster, "uninstall", "wfb", "--wait", "--timeout", "120s")
    assert cluster.get("wfb", "steady", "-n", where)["status"]["spentUSD"] == str(_spent(installed, where))
    unlabelled = fresh("after")
    cluster.apply(namespace(unlabelled))
    cluster.kubectl("run", "plain", "-n", unlabelled, "--image=x", "--image-pull-policy=Never")
    cluster.kubectl("delete", "namespace", unlabelled, "--timeout=60s", timeout=90)

    cluster.kubectl(
        "patch", "wfb", "steady", "-n", where, "--subresource=status", "--type=merge", "-p", '{"status":null}'
    )
    install.upgrade(cluster, tmp_path, install.values())
    installed.wait()
    until(lambda: _spent(installed, where) == billed, "the books of the old release", 60)


def test_certificates_of_ones_own_serve_as_well(cluster, installed, providers, fresh, tmp_path):
    """Secrets signed by somebody else's root are taken as they are: a pod is injected, its call metered and shown in status."""
    authority = Authority.make(tmp_path / "pki")
    root = authority.root.read_bytes()
    _uninstall(cluster)
    cluster.apply([_secret(authority, part, name, root) for part, name in TLS.items()])
    given = dict.fromkeys(("webhookCABundle", "ledgerCABundle"), base64.b64encode(root).decode())
    install.install(cluster, tmp_path, install.values(certificates={"source": "existingSecret", **given}))
    _a_job_is_metered(cluster, installed, providers, fresh("own-certificates"))
    assert _roots(cluster) == dict.fromkeys(TLS.values(), base64.b64encode(root).decode())

    _uninstall(cluster)
    install.install(cluster, tmp_path)


def test_cert_manager_signs_and_renews_what_the_chart_asks_it_for(cluster, installed, providers, fresh, tmp_path):
    """A real cert-manager fills both Secrets and both CA bundles; a renewed key is served without a restart, and calls are metered."""
    _uninstall(cluster)
    with cert_manager.running(cluster, tmp_path):
        install.install(cluster, tmp_path, install.values(certificates={"source": "certManager"}))
        _a_job_is_metered(cluster, installed, providers, fresh("cert-manager"))
        cluster.kubectl("wait", f"apiservice/{PEOPLE}", "--for=condition=Available", "--timeout=60s", timeout=90)
        served = {name: _serial(cluster, name) for name in TLS.values()}
        cluster.kubectl("delete", "secret", "-n", SYSTEM, *TLS.values())
        for name, before in served.items():
            until(lambda name=name, before=before: _serial(cluster, name) not in {"", before}, f"{name} anew", 60)
        _a_job_is_metered(cluster, installed, providers, fresh("renewed"))
        assert set(_restarts(cluster).values()) == {0}
        _uninstall(cluster)
    install.install(cluster, tmp_path)


def _a_job_is_metered(cluster, installed, providers, where):
    """A pod of a new namespace is injected, and its bill is in its budget's status."""
    cluster.apply(namespace(where))
    cluster.apply([providers.roots(where), budget("steady", "5.00", {"workflow": "steady"}, where)])
    installed.wait_in_force("steady", where)
    agent = Agent("openai-python", "steady", providers, calls=2, env=(("LABEL", where),))
    cluster.apply(agent.job("steady", where))
    cluster.kubectl("wait", "-n", where, "job/steady", "--for=condition=Complete", "--timeout=120s", timeout=150)
    until(lambda: _spent(installed, where) == providers.usd(where) > 0, "the bill in status", 30)


def _roots(cluster):
    return {name: cluster.get("secret", name, "-n", SYSTEM)["data"]["ca.crt"] for name in TLS.values()}


def _serial(cluster, name):
    """The serial number of a Secret's certificate; empty where there is none yet."""
    got = cluster.try_kubectl("get", "secret", name, "-n", SYSTEM, "-o", "json")
    text = "" if got.returncode else json.loads(got.stdout).get("data", {}).get("tls.crt", "")
    return text and x509.load_pem_x509_certificate(base64.b64decode(text)).serial_number


def _restarts(cluster):
    pods = cluster.get("pods", "-n", SYSTEM)["items"]
    return {
        pod["metadata"]["name"]: sum(c["restartCount"] for c in pod["status"].get("containerStatuses", ()))
        for pod in pods
    }


def _secret(authority, part, name, root):
    pair = authority.server(part, (f"wfb-{part}.{SYSTEM}.svc",))
    data = {"tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text(), "ca.crt": root.decode()}
    metadata = {"name": name, "namespace": SYSTEM}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "stringData": data}


def _uninstall(cluster):
    """Takes the release away, its Secrets, and the auditor, who trusts the root that he began with."""
    install.helm(cluster, "uninstall", "wfb", "--wait", "--timeout", "120s", "--ignore-not-found")
    cluster.kubectl("delete", "secret", "-n", SYSTEM, "wfb-ca", *TLS.values(), "--ignore-not-found")
    cluster.kubectl("delete", "pod", "-n", AUDIT, "auditor", "--ignore-not-found")


def _statuses(cluster, where):
    return [one["status"] for one in said(cluster.kubectl("logs", "-n", where, "steady", "-c", "agent"))]


def _spent(installed, where):
    return Decimal(installed.status("steady", where).get("spentUSD", "-1"))
