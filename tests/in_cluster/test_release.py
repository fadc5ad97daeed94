"""The chart's life: upgraded under running sidecars, uninstalled with nothing left hanging, installed again with its books."""

import base64
from decimal import Decimal

from cluster import install
from cluster.install import AUDIT, SYSTEM
from cluster.workloads import Agent, budget, namespace, said
from harness.certificates import Authority
from harness.until import until

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
    where = fresh("own-certificates")
    authority = Authority.make(tmp_path / "pki")
    root = authority.root.read_bytes()
    install.helm(cluster, "uninstall", "wfb", "--wait", "--timeout", "120s")
    _forget(cluster)
    cluster.apply([_secret(authority, part, name, root) for part, name in TLS.items()])
    given = dict.fromkeys(("webhookCABundle", "ledgerCABundle"), base64.b64encode(root).decode())
    given = install.values(certificates={"source": "existingSecret", **given})
    install.install(cluster, tmp_path, given)
    cluster.apply(namespace(where))
    cluster.apply([providers.roots(where), budget("steady", "5.00", {"workflow": "steady"}, where)])
    installed.wait_in_force("steady", where)
    agent = Agent("openai-python", "steady", providers, calls=2, env=(("LABEL", fresh("own")),))
    cluster.apply(agent.job("steady", where))
    cluster.kubectl("wait", "-n", where, "job/steady", "--for=condition=Complete", "--timeout=120s", timeout=150)
    until(lambda: _spent(installed, where) == providers.usd(fresh("own")) > 0, "the bill in status", 30)
    kept = {name: cluster.get("secret", name, "-n", SYSTEM)["data"]["ca.crt"] for name in TLS.values()}
    assert kept == dict.fromkeys(TLS.values(), base64.b64encode(root).decode())

    install.helm(cluster, "uninstall", "wfb", "--wait", "--timeout", "120s")
    _forget(cluster)
    install.install(cluster, tmp_path)


def _secret(authority, part, name, root):
    pair = authority.server(part, (f"wfb-{part}.{SYSTEM}.svc",))
    data = {"tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text(), "ca.crt": root.decode()}
    metadata = {"name": name, "namespace": SYSTEM}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "stringData": data}


def _forget(cluster):
    """Takes the Secrets away, and the auditor, who trusts the root that he began with."""
    cluster.kubectl("delete", "secret", "-n", SYSTEM, *TLS.values(), "--ignore-not-found")
    cluster.kubectl("delete", "pod", "-n", AUDIT, "auditor", "--ignore-not-found")


def _statuses(cluster, where):
    return [one["status"] for one in said(cluster.kubectl("logs", "-n", where, "steady", "-c", "agent"))]


def _spent(installed, where):
    return Decimal(installed.status("steady", where).get("spentUSD", "-1"))
