"""What goes to nobody we know passes as it is, out of the same pod that is metered."""

import pytest

from cluster.images import AGENTS
from cluster.workloads import Agent, namespace, said
from harness.certificates import Authority

NAMES = ("https", "mtls", "wss", "grpc")


@pytest.fixture(scope="module")
def partner(cluster, installed, fresh, tmp_path_factory):
    """Somebody else's services with a root of their own: (their addresses by name, what a client needs)."""
    where = fresh("partner")
    authority = Authority.make(tmp_path_factory.mktemp("partner"), "Partner Root")
    server = authority.server("partner", tuple(f"{name}.partner.test" for name in NAMES))
    client = authority.client("client", "agent.test")
    root = authority.root.read_text()
    labels = {"app": "partner"}
    files = {"tls.crt": server.certificate.read_text(), "tls.key": server.key.read_text(), "ca.crt": root}
    container = {
        "name": "partner",
        "image": AGENTS,
        "imagePullPolicy": "Never",
        "command": ["python3", "-u", "/agents/partner.py"],
        "volumeMounts": [{"name": "partner", "mountPath": "/partner"}],
        "readinessProbe": {"tcpSocket": {"port": 8445}, "periodSeconds": 1},
    }
    spec = {"containers": [container], "volumes": [{"name": "partner", "secret": {"secretName": "partner"}}]}
    metadata = {"name": "partner", "namespace": where}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": where}})
    services = [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": where},
            "spec": {"selector": labels, "ports": [{"port": 443, "targetPort": 8443 + number}]},
        }
        for number, name in enumerate(NAMES)
    ]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**metadata, "labels": labels}, "spec": spec}
    cluster.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": files}, *services, pod])
    cluster.kubectl("wait", "-n", where, "pod/partner", "--for=condition=Ready", "--timeout=60s")
    addresses = {name: cluster.get("service", name, "-n", where)["spec"]["clusterIP"] for name in NAMES}
    return addresses, {
        "ca.crt": root,
        "client.crt": client.certificate.read_text(),
        "client.key": client.key.read_text(),
    }


@pytest.mark.parametrize("mode", ["transparent", "proxy-env"])
def test_https_client_certificates_websockets_and_grpc_pass(cluster, installed, providers, partner, fresh, mode):
    """Each answers under its own root, the client's certificate reaches the server, and a provider is metered meanwhile."""
    addresses, files = partner
    where = fresh(f"foreign-{mode}")
    cluster.apply(namespace(where))
    metadata = {"name": "partner", "namespace": where}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": files}
    cluster.apply([providers.roots(where), secret])
    agent = Agent("openai-python", "both", providers, calls=1, annotations=(("mode", mode),))
    job = agent.job("both", where)
    spec = job["spec"]["template"]["spec"]
    spec["hostAliases"] = [
        *providers.aliases,
        *({"ip": ip, "hostnames": [f"{name}.partner.test"]} for name, ip in addresses.items()),
    ]
    spec["volumes"].append({"name": "partner", "secret": {"secretName": "partner"}})
    container = spec["containers"][0]
    container["volumeMounts"].append({"name": "partner", "mountPath": "/partner"})
    container["command"] = ["sh", "-c", "python3 /agents/partner_client.py && python3 /agents/openai_python.py"]
    cluster.apply(job)
    cluster.kubectl("wait", "-n", where, "job/both", "--for=condition=Complete", "--timeout=90s", timeout=100)
    met, call = said(cluster.kubectl("logs", "-n", where, "job/both", "-c", "agent"))
    assert met == {"https": "nobody", "mtls": "agent.test", "wss": "olleh", "grpc": "olleh"}
    assert call["status"] == 200
    assert [row["calls"] for row in installed.usage("namespace,outcome", namespace=where)] == [1]
